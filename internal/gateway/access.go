package gateway

import (
	"net/http"
	"time"
)

// Access is a request and how it was answered.
type Access struct {
	RequestID string
	Method    string
	Path      string // as it was asked for, with its query
	// Status is 0 when the answer broke off before it began.
	Status   int
	Duration time.Duration
}

// watched serves a request and tells Access of it, also when it breaks off.
func (g *gateway) watched(w http.ResponseWriter, r *http.Request) {
	start := g.Now()
	watch := &watch{ResponseWriter: w}
	uri := r.URL.RequestURI() // the request is changed when it is passed on
	defer func() {
		g.Access(Access{
			RequestID: w.Header().Get(requestIDHeader), Method: r.Method, Path: uri, Status: watch.status, Duration: g.Now().Sub(start),
		})
	}()
	g.ServeHTTP(watch, r)
}

// watch keeps the status of the answer.
type watch struct {
	http.ResponseWriter
	status int
}

func (w *watch) WriteHeader(status int) {
	if w.status < 200 { // those below announce another
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watch) Write(p []byte) (int, error) {
	if w.status < 200 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what net/http gave.
func (w *watch) Unwrap() http.ResponseWriter { return w.ResponseWriter }
