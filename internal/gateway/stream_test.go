package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke"
)

// streamed is an answer that a test writes as it goes.
type streamed struct {
	*io.PipeReader
	closed atomic.Bool
}

func (s *streamed) Close() error {
	s.closed.Store(true)
	return s.PipeReader.Close()
}

// streams is an invoker whose functions stream what is written to the pipe.
func streams(contentType string) (invokerFuncs, *streamed, *io.PipeWriter) {
	pr, pw := io.Pipe()
	s := &streamed{PipeReader: pr}
	return invokerFuncs{invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) {
		return &invoke.Response{Result: &gust.Result{ContentType: contentType, Stream: s}}, nil
	}}, s, pw
}

// TestStream: head and body reach the client as soon as the function has
// written them.
func TestStream(t *testing.T) {
	iv, stream, out := streams(integrationType + "; v=1")
	s := door(t, Options{Invoker: iv})
	go io.WriteString(out, `{"statusCode":201,"headers":{"content-type":"text/event-stream"},"cookies":["a=b"]}`+delimiter)
	resp := do(t, "GET", s.URL+"/", nil) // the body has not begun
	if resp.StatusCode != 201 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Set-Cookie") != "a=b" {
		t.Error(resp.StatusCode, resp.Header)
	}
	body := bufio.NewReader(resp.Body)
	for _, line := range []string{"data: 1\n", "data: 2\n"} {
		if _, err := io.WriteString(out, line); err != nil {
			t.Fatal(err)
		}
		if got, err := body.ReadString('\n'); err != nil || got != line {
			t.Fatal(got, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Error(rest, err)
	}
	s.Close()
	if !stream.closed.Load() {
		t.Error("the stream was not closed")
	}
}

func TestStreams(t *testing.T) {
	failure := &gust.FunctionError{Outcome: gust.OutcomeError, Type: "Boom"}
	timeout := &gust.FunctionError{Outcome: gust.OutcomeTimeout}
	for _, c := range []struct {
		name, contentType, stream string
		end                       error
		want                      string
	}{
		{"octets", "text/csv", "a,b\n", nil, "200 Content-Type: text/csv | a,b\n"},
		{"no type", "", "\x00\x01", nil, "200 Content-Type: application/octet-stream | \x00\x01"},
		{"nothing", "text/csv", "", nil, "200 Content-Type: text/csv | "},
		{"no head", integrationType, "{}" + delimiter + "x", nil, "200 Content-Type: application/octet-stream | x"},
		{"no body", integrationType, `{"statusCode":204}` + delimiter, nil, "204 | "},
		{"failed before it began", "text/csv", "", failure, `502 Content-Length: 35 Content-Type: application/json | {"message":"Internal Server Error"}`},
		{"timed out in the prelude", integrationType, `{"status`, timeout, `504 Content-Length: 40 Content-Type: application/json | {"message":"Endpoint request timed out"}`},
		{"a wrong prelude", integrationType, `{"statusCode":7}` + delimiter + "x", nil, `502 Content-Length: 35 Content-Type: application/json | {"message":"Internal Server Error"}`},
		{"no end of the prelude", integrationType, `{}`, nil, `502 Content-Length: 35 Content-Type: application/json | {"message":"Internal Server Error"}`},
		{"a wrong type", "text/\r\nx: y", "x", nil, `502 Content-Length: 35 Content-Type: application/json | {"message":"Internal Server Error"}`},
		{"failed in the middle", "text/csv", "a,b\n", failure, "200 Content-Type: text/csv | a,b\n unexpected EOF"},
	} {
		iv, _, out := streams(c.contentType)
		s := door(t, Options{Invoker: iv})
		go func() {
			io.WriteString(out, c.stream)
			out.CloseWithError(c.end)
		}()
		resp := do(t, "GET", s.URL+"/", nil)
		resp.Header.Del("x-amzn-RequestId")
		if got := shown(resp); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestBufferedPrelude: the answer may have the form of a stream and come whole.
func TestBufferedPrelude(t *testing.T) {
	iv := invokerFuncs{invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) {
		return &invoke.Response{Result: &gust.Result{ContentType: integrationType, Payload: []byte(`{"statusCode":202}` + delimiter + "x")}}, nil
	}}
	resp := do(t, "GET", door(t, Options{Invoker: iv}).URL+"/", nil)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 202 || string(body) != "x" {
		t.Error(resp.StatusCode, string(body))
	}
}

// TestClientLeavesAStream: the stream is given up when nobody reads it.
func TestClientLeavesAStream(t *testing.T) {
	iv, stream, out := streams("text/plain")
	s := door(t, Options{Invoker: iv})
	go io.WriteString(out, "x")
	resp := do(t, "GET", s.URL+"/", nil)
	resp.Body.Close()
	var err error
	for err == nil { // until the connection's buffers are full, or it is closed
		_, err = out.Write(bytes.Repeat([]byte("x"), 1<<20))
	}
	if !errors.Is(err, io.ErrClosedPipe) || !stream.closed.Load() {
		t.Error(err)
	}
}

// TestConnectionGoesOn: deadlines of one request do not reach the next on its
// connection.
func TestConnectionGoesOn(t *testing.T) {
	big := answers(`{"statusCode":200,"body":"` + strings.Repeat("x", 3*maxPooled) + `"}`)
	s := door(t, Options{Invoker: big})
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	for range 3 {
		resp, err := (&http.Client{Transport: transport}).Post(s.URL+"/", "text/plain", strings.NewReader(strings.Repeat("y", 100000)))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 3*maxPooled {
			t.Error(n, err)
		}
		resp.Body.Close()
	}
}
