// Command url serves an http.Handler as a function, as for function URLs with
// response streaming.
package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-lambda-go/lambdaurl"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/url/teapot", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		http.SetCookie(w, &http.Cookie{Name: "tea", Value: "green"})
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s?%s\n", r.URL.Path, r.URL.RawQuery)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/url/pieces", func(w http.ResponseWriter, r *http.Request) {
		for i := range 1000 {
			fmt.Fprintf(w, "piece %d\n", i)
		}
	})
	lambdaurl.Start(mux)
}
