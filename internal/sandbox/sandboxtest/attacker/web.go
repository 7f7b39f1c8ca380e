package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

func dialAPI() (net.Conn, error) {
	return net.DialTimeout("tcp", os.Getenv("AWS_LAMBDA_RUNTIME_API"), 500*time.Millisecond)
}

// serve is an http program on $PORT.
func serve() {
	var looks atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		// Not ready at the first looks.
		if looks.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Println("ready now")
	})
	mux.HandleFunc("/call", func(w http.ResponseWriter, r *http.Request) { callOnce(w) })
	mux.HandleFunc("/never", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/looks", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, looks.Load()) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Query", r.URL.RawQuery)
		w.Header().Set("X-Host", r.Host)
		w.WriteHeader(http.StatusTeapot)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/lines", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		for i := range n {
			fmt.Printf("web line %d\n", i)
		}
	})
	// Each piece goes out when the client asks for it through the body.
	mux.HandleFunc("/duplex", func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
		rc.Flush()
		in := bufio.NewScanner(r.Body)
		for in.Scan() {
			fmt.Fprintf(w, "you said %s\n", in.Text())
			rc.Flush()
		}
	})
	here, opened := make(chan struct{}, 1000), make(chan struct{})
	mux.HandleFunc("/barrier", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		here <- struct{}{}
		if len(here) == n {
			close(opened)
		}
		<-opened
	})
	// An upgrade to a protocol of its own: every line comes back.
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			rw.WriteString(line)
			rw.Flush()
		}
	})
	// What is no HTTP, and what is without an end.
	for path, text := range map[string]string{"/junk": "this is no HTTP\r\n\r\n", "/status": "HTTP/1.1 99999 What\r\n\r\n",
		"/length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "/chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				io.WriteString(conn, text)
				conn.Close()
			}
		})
	}
	mux.HandleFunc("/endless-header", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		line := "X-Endless: " + strings.Repeat("e", 8000) + "\r\n"
		for {
			if _, err := io.WriteString(conn, line); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(5) })
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { forever() })
	srv := &http.Server{Addr: net.JoinHostPort("", os.Getenv("PORT")), Handler: mux}
	fatal(71, "serve: %v", srv.ListenAndServe())
}
