// Command concurrent takes several events at once where
// AWS_LAMBDA_MAX_CONCURRENCY says so, and answers each when as many are there.
package main

import (
	"context"
	"os"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
)

type event struct {
	Wait int `json:"wait"`
}

var (
	mu      sync.Mutex
	arrived int
	open    = make(chan struct{})
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, e event) (map[string]any, error) {
	mu.Lock()
	if arrived++; arrived == e.Wait {
		close(open)
	}
	mu.Unlock()
	if e.Wait > 0 {
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return map[string]any{"pid": os.Getpid(), "max": os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY")}, nil
}
