// Command stream is a function whose handler returns a reader, which
// aws-lambda-go streams.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-lambda-go/lambda"
)

type event struct {
	N     int  `json:"n"`
	Break bool `json:"break"`
}

func main() { lambda.Start(handle) }

func handle(_ context.Context, e event) (io.Reader, error) {
	r, w := io.Pipe()
	go func() {
		for i := range max(e.N, 3) {
			fmt.Fprintf(w, "piece %d\n", i)
		}
		if e.Break {
			w.CloseWithError(errors.New("broken off"))
			return
		}
		w.Close()
	}()
	return r, nil
}
