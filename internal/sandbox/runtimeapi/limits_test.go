package runtimeapi

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

func TestResponsesOverTheirLimit(t *testing.T) {
	const limit = 1000
	big := strings.Repeat("x", limit+500)
	for _, c := range []struct {
		name, request, message string
	}{
		{"announced", fmt.Sprintf("response HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(big), big),
			"Response payload size (1500 bytes) exceeded maximum allowed payload size (1000 bytes)."},
		{"chunked", fmt.Sprintf("response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n%s\r\n3e8\r\n%s\r\n0\r\n\r\n", big[:500], big[:1000]),
			"Response payload size (1500 bytes) exceeded maximum allowed payload size (1000 bytes)."},
		{"an error document", fmt.Sprintf("error HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(big), big),
			"Response payload size (1500 bytes) exceeded maximum allowed payload size (1000 bytes)."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Options{MaxResponse: limit})
			p := connect(t, s)
			done := invoke(s, t.Context(), "a", "", far)
			p.next()
			p.read()
			p.send("POST /2018-06-01/runtime/invocation/a/" + c.request)
			wantError(t, (<-done).err, gust.OutcomeSize, "Function.ResponseSizeTooLarge", c.message)
			m := p.read()
			if m.status != "HTTP/1.1 413 Request Entity Too Large" || m.body != `{"errorMessage":"Exceeded maximum allowed payload size (1000 bytes).","errorType":"RequestEntityTooLarge"}`+"\n" {
				t.Errorf("got %v", m)
			}
			// The runtime has read why, and goes on.
			done = invoke(s, t.Context(), "b", "", far)
			p.next()
			p.read()
			p.post("invocation/b/response", "", big[:limit])
			wantOK(t, done, big[:limit])
		})
	}
}

func TestInitErrorOverItsLimit(t *testing.T) {
	s := start(t, Options{MaxResponse: 10})
	c := connect(t, s)
	c.post("init/error", "", strings.Repeat("x", 11))
	if m := c.read(); m.status != "HTTP/1.1 413 Request Entity Too Large" {
		t.Errorf("got %v", m)
	}
	c.post("init/error", "", "x")
	if m := c.read(); m.status != "HTTP/1.1 202 Accepted" {
		t.Errorf("got %v", m)
	}
}

// A program that announces a body and sends little of it gets memory for
// little of it.
func TestAnnouncedBodiesAreNotAllocated(t *testing.T) {
	var arrived [100]byte
	src := &reader{buf: arrived[:], w: len(arrived), src: newPipeListener().ended()}
	b := body{src: src, left: 6 * gust.MB}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		src.buf, src.r, src.w, b.left = arrived[:], 0, len(arrived), 6*gust.MB
		if _, err := b.all(6 * gust.MB); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 10; n > 400<<10 {
		t.Errorf("%d bytes were allocated for 100", n)
	}
}

func TestHeads(t *testing.T) {
	post := "POST /2018-06-01/runtime/invocation/a/error HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
	for _, c := range []struct {
		name, head, status string
	}{
		{"a line as long as may be", post + "X: " + strings.Repeat("x", maxLine-10) + "\r\n\r\n{}", "202"},
		{"a line too long", post + "X: " + strings.Repeat("x", maxLine) + "\r\n\r\n{}", "431"},
		{"a line without an end", post + "X: " + strings.Repeat("x", 10*maxLine), "431"},
		{"too many lines", post + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 70) + "\r\n{}", "431"},
		{"an X-Ray cause of 1 MB", post + "Lambda-Runtime-Function-XRay-Error-Cause: " + strings.Repeat("x", 1<<20) + "\r\nLambda-Runtime-Function-Error-Type: T\r\n\r\n{}", "202"},
		{"an X-Ray cause without an end", post + "lambda-runtime-function-xray-error-cause:" + strings.Repeat("x", 3<<20), "431"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Options{})
			p := connect(t, s)
			go s.Invoke(t.Context(), &gust.Invocation{RequestID: "a", Deadline: far})
			p.next()
			p.read()
			go io.WriteString(p.Conn, c.head) // may be cut off
			if m := p.read(); !strings.HasPrefix(m.status, "HTTP/1.1 "+c.status+" ") {
				t.Errorf("got %v, want %s", m, c.status)
			}
		})
	}
}

func TestTrailersOverTheirLimit(t *testing.T) {
	s := start(t, Options{})
	p := connect(t, s)
	done := invoke(s, t.Context(), "a", "", far)
	p.next()
	p.read()
	go io.WriteString(p.Conn, "POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"+
		"Lambda-Runtime-Function-Error-Body: "+strings.Repeat("x", maxTrailer))
	wantError(t, (<-done).err, gust.OutcomeProtocol, "Runtime.InvalidResponse", "malformed")
}
