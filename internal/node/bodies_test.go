package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// TestBodiesComeInTime: who sends a head and no body loses the connection,
// whether somebody reads the body or not, and whose body is there may wait for the
// answer as long as it takes.
func TestBodiesComeInTime(t *testing.T) {
	const patience = 100 * time.Millisecond
	read := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/ignores", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("/reads", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
	})
	mux.HandleFunc("/works", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the call was ended:", r.Context().Err())
		case <-time.After(3 * patience): // it has work to do
		}
	})
	s := httptest.NewServer((&bodies{patience: patience, most: gust.MB}).bound(mux))
	defer s.Close()
	for _, path := range []string{"/ignores", "/reads"} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegin", path)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is kept", path)
		}
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
	for range 2 { // one connection
		resp, err := s.Client().Post(s.URL+"/works", "text/plain", strings.NewReader("a body"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// TestBodiesAreBoundedTogether: what all make the node hold at once has a limit,
// small ones pass beside it, and what has ended makes room.
func TestBodiesAreBoundedTogether(t *testing.T) {
	const most = 200 << 10
	read, end := make(chan error), make(chan struct{})
	b := &bodies{patience: time.Minute, most: most}
	s := httptest.NewServer(b.bound(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		<-end
	})))
	defer s.Close()
	answered := make(chan error, 10)
	send := func(path string, size int) error {
		t.Helper()
		go func() {
			resp, err := s.Client().Post(s.URL+path, "text/plain", strings.NewReader(strings.Repeat("x", size)))
			if err == nil {
				err = resp.Body.Close()
			}
			answered <- err
		}()
		return <-read
	}
	for _, c := range []struct {
		path string
		size int
		busy bool
	}{
		{"/", bodyFree + most, false}, {"/", bodyFree + 1, true}, {"/", bodyFree, false}, {"/v1/artifacts/0", bodyFree + most, false},
	} {
		if err := send(c.path, c.size); errors.Is(err, gust.ErrBusy) != c.busy || err != nil && !c.busy {
			t.Errorf("%d bytes to %s: %v", c.size, c.path, err)
		}
	}
	for range 4 {
		end <- struct{}{}
		<-answered // of one that was refused the connection may break off
	}
	if err := send("/", bodyFree+most); err != nil {
		t.Errorf("when all have ended: %v", err)
	}
	end <- struct{}{}
	<-answered
	s.Close()
	if held := b.held.Load(); held != 0 {
		t.Errorf("%d bytes are held in the end", held)
	}
}
