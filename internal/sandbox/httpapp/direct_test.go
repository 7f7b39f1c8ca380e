package httpapp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gust "github.com/gust-dev/gust"
)

// script is a program that answers each connection's requests with given bytes,
// and closes it after the last, or when there is an empty one.
type script struct {
	ln    net.Listener
	conns atomic.Int32
	mu    sync.Mutex
	seen  []string
	wg    sync.WaitGroup
}

func newScript(t *testing.T, answers ...string) *script {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{ln: ln}
	var next atomic.Int32
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for first := true; ; first = false {
					var head strings.Builder
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						if line == "\r\n" {
							break
						}
						head.WriteString(line)
					}
					if first {
						s.conns.Add(1)
					}
					s.mu.Lock()
					s.seen = append(s.seen, head.String())
					s.mu.Unlock()
					i := int(next.Add(1)) - 1
					if i >= len(answers) || answers[i] == "" {
						return
					}
					text, ends := strings.CutSuffix(answers[i], "<close>")
					io.WriteString(c, text)
					if ends {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *script) app(t *testing.T, indirect bool) *App {
	a := New(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.ln.Addr().String())
	}, Options{})
	a.indirect = indirect
	<-a.Ready()
	t.Cleanup(a.Close)
	return a
}

// told is all that can be seen of a request: what the program got, and what came
// back.
func told(t *testing.T, a *App, s *script, method, target string, header http.Header) string {
	var out strings.Builder
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		fmt.Fprintf(&out, "interim %d %v\n", code, h)
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, "http://h"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := a.RoundTrip(r)
	var fe *gust.FunctionError
	if err != nil {
		if !errors.As(err, &fe) {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "error %s %s\n", fe.Outcome, fe.Type)
	} else {
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Fprintf(&out, "%s %d %q %v close=%v length=%d te=%v", resp.Proto, resp.StatusCode, resp.Status, headers(resp.Header), resp.Close, resp.ContentLength, resp.TransferEncoding)
		fmt.Fprintf(&out, " body=%q trailer=%v", body, resp.Trailer)
		if err != nil && errors.As(err, &fe) {
			fmt.Fprintf(&out, " error %s %s", fe.Outcome, fe.Type)
		} else if err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, head := range s.seen {
		out.WriteString("got " + strings.ReplaceAll(head, "\r\n", " | ") + "\n")
	}
	s.seen = nil
	return out.String()
}

func headers(h http.Header) string {
	var out strings.Builder
	for _, k := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&out, "%s=%q ", k, h[k])
	}
	return out.String()
}

// Whichever way a request goes, the program and the asker see the same.
func TestBothWaysAreTheSame(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, c := range []struct {
		name    string
		method  string
		target  string
		header  http.Header
		times   int
		answers []string
		conns   int32 // 0: does not matter
	}{
		{name: "plain", times: 3, answers: []string{ok, ok, ok}, conns: 1},
		{name: "headers", header: http.Header{"User-Agent": {"x"}, "A": {"1", "2"}, "Accept-Encoding": {"br"}, "X-Empty": {""}}, answers: []string{ok}},
		{name: "target", target: "/a%2Fb;c?x=%zz&y", answers: []string{ok}},
		{name: "HEAD", method: "HEAD", times: 2, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"}, conns: 1},
		{name: "OPTIONS", method: "OPTIONS", answers: []string{ok}},
		{name: "no content", times: 2, answers: []string{"HTTP/1.1 204 No Content\r\n\r\n", ok}, conns: 1},
		{name: "not modified", times: 2, answers: []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ok}, conns: 1},
		{name: "chunks and trailers", times: 2, answers: []string{
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX-T: v\r\n\r\n", ok}, conns: 1},
		{name: "connection: close", times: 2, answers: []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx<close>", ok}, conns: 2},
		{name: "until the end", times: 2, answers: []string{"HTTP/1.1 200 OK\r\n\r\nall of it<close>", ok}, conns: 2},
		{name: "HTTP/1.0", times: 2, answers: []string{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx<close>", ok}, conns: 2},
		{name: "early hints", times: 2, answers: []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok, ok}, conns: 1},
		{name: "hop by hop", answers: []string{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"}},
		{name: "many cookies", answers: []string{"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"}},
		{name: "asked for nothing", times: 2, answers: []string{ok + "<close>", ok}, conns: 2},
		{name: "cut off body", answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx<close>"}},
		{name: "cut off chunk", answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab<close>"}},
		{name: "cut off head", answers: []string{"HTTP/1.1 200 OK\r\nConte<close>"}},
		{name: "no answer", answers: []string{""}},
		{name: "no HTTP", answers: []string{"220 smtp\r\n\r\n<close>"}},
		{name: "two lengths", answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"}},
		{name: "bad length", answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nxx"}},
		{name: "head over the limit", answers: []string{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead) + "\r\n\r\n<close>"}},
		{name: "large body", answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + strings.Repeat("x", 600000)}},
		{name: "gone in between", times: 2, answers: []string{ok, "", ok}, conns: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = "GET"
			}
			if c.target == "" {
				c.target = "/"
			}
			var got [2]string
			for i, indirect := range []bool{true, false} {
				s := newScript(t, c.answers...)
				a := s.app(t, indirect)
				for range max(1, c.times) {
					got[i] += told(t, a, s, c.method, c.target, c.header.Clone())
				}
				if n := s.conns.Load(); c.conns > 0 && n != c.conns {
					t.Errorf("indirect %v: %d connections, want %d", indirect, n, c.conns)
				}
				a.Close()
			}
			if got[0] != got[1] {
				t.Errorf("through http.Transport:\n%.2000s\ndirect:\n%.2000s", got[0], got[1])
			}
		})
	}
}

// TestMoreThanWasSaid: what a program sends unasked is nobody's answer. It is not
// held to http.Transport's way, which may hand it to the next request.
func TestMoreThanWasSaid(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	s := newScript(t, ok+"HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n", ok)
	a := s.app(t, false)
	for range 2 {
		if got := told(t, a, s, "GET", "/", nil); !strings.Contains(got, "200 OK") {
			t.Error(got)
		}
	}
	a.Close()
	if n := s.conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestWhatGoesDirect(t *testing.T) {
	for name, c := range map[string]struct {
		want   bool
		method string
		header http.Header
		body   io.Reader
	}{
		"GET":           {true, "GET", nil, nil},
		"HEAD":          {true, "HEAD", nil, nil},
		"OPTIONS":       {true, "OPTIONS", nil, nil},
		"GET with body": {false, "GET", nil, strings.NewReader("x")},
		"POST":          {false, "POST", nil, nil},
		"DELETE":        {false, "DELETE", nil, nil},
		"CONNECT":       {false, "CONNECT", nil, nil},
		"upgrade":       {false, "GET", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, nil},
		"expect":        {false, "GET", http.Header{"Expect": {"100-continue"}}, nil},
	} {
		r, err := http.NewRequest(c.method, "http://h/", c.body)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, c.header)
		if got := isDirect(r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A request whose context ends ends at once, and its connection with it.
func TestDirectIsCancelled(t *testing.T) {
	s := newScript(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	a := s.app(t, false)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://h/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel(gone)
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	resp.Body.Close()
	a.mu.Lock()
	n := len(a.conns)
	a.mu.Unlock()
	if n != 0 || len(a.links.idle) != 0 {
		t.Fatalf("%d connections are left", n)
	}
}
