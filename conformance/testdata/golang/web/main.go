// Command web is a plain HTTP server on $PORT: pages, pieces that come when they
// are made, and a WebSocket that sends everything back.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/coder/websocket"
)

func main() {
	var looks atomic.Int32
	http.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if looks.Add(1) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/web/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Target", r.RequestURI)
		w.Header().Set("X-Forwarded", r.Header.Get("X-Forwarded-For"))
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusAccepted)
		io.Copy(w, r.Body)
	})
	http.HandleFunc("/web/pieces", func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		rc.Flush()
		line := make([]byte, 64)
		for {
			n, err := r.Body.Read(line)
			if n > 0 {
				fmt.Fprintf(w, "you said %s\n", strings.TrimSpace(string(line[:n])))
				rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	http.HandleFunc("/web/socket", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(data) == "bye" {
				c.Close(4000, "as you like")
				return
			}
			if c.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	})
	http.HandleFunc("/web/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
