// Command web is the benchmarks' plain HTTP server: the baseline by itself, and
// a function of the http runtime.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	addr := "127.0.0.1:" + os.Getenv("PORT")
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 1 { // tells who started it where it listens
		if err := os.WriteFile(os.Args[1], []byte(ln.Addr().String()), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})))
}
