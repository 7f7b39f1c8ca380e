package runtimeapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gust "github.com/gust-dev/gust"
)

const streamHead = "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: h\r\nContent-Type: text/html\r\n" +
	"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n" +
	"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// streamed starts a session whose program has begun a streamed answer to "a".
func streamed(t *testing.T, opts Options, deadline time.Time) (*Session, *client, *gust.Result) {
	t.Helper()
	s := start(t, opts)
	c := connect(t, s)
	done := invoke(s, t.Context(), "a", "", deadline)
	c.next()
	c.read()
	c.send(fmt.Sprintf(streamHead, "a"))
	o := <-done // before anything of the body is there
	if o.err != nil || o.result.Stream == nil || o.result.ContentType != "text/html" {
		t.Fatalf("got %+v, %v", o.result, o.err)
	}
	return s, c, o.result
}

// goesOn checks that the program can take the next event.
func goesOn(t *testing.T, s *Session, c *client) {
	t.Helper()
	done := invoke(s, t.Context(), "next", "", far)
	c.next()
	c.read()
	c.post("invocation/next/response", "", "fine")
	wantOK(t, done, "fine")
}

func TestStream(t *testing.T) {
	s, c, r := streamed(t, Options{}, far)
	for i := range 5 { // each part is there before the next is sent
		part := strings.Repeat("p", 1+i*3000)
		c.send(chunk(part))
		got := make([]byte, len(part))
		if _, err := io.ReadFull(r.Stream, got); err != nil || string(got) != part {
			t.Fatalf("got %.100q, %v", got, err)
		}
	}
	c.send("0\r\n\r\n")
	if n, err := r.Stream.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("got %d, %v", n, err)
	}
	if m := c.read(); m.status != "HTTP/1.1 202 Accepted" {
		t.Errorf("got %v", m)
	}
	if err := r.Stream.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Stream.Read(make([]byte, 10)); err != os.ErrClosed {
		t.Errorf("got %v", err)
	}
	goesOn(t, s, c)
}

func TestStreamIsReadByAnyReader(t *testing.T) {
	_, c, r := streamed(t, Options{}, far)
	want := strings.Repeat("0123456789", 3000)
	go c.send(chunk(want[:7]) + chunk(want[7:20_000]) + chunk(want[20_000:]) + "0\r\n\r\n")
	if err := iotest.TestReader(r.Stream, []byte(want)); err != nil {
		t.Error(err)
	}
}

// aws-lambda-go says by the content type alone that it streams.
func TestStreamOfAHTTPResponse(t *testing.T) {
	s := start(t, Options{})
	c := connect(t, s)
	done := invoke(s, t.Context(), "a", "", far)
	c.next()
	c.read()
	c.send("POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: application/vnd.awslambda.http-integration-response\r\n\r\n")
	o := <-done
	c.send(chunk(`{"statusCode":200}`) + "0\r\n\r\n")
	if b, err := io.ReadAll(o.result.Stream); err != nil || string(b) != `{"statusCode":200}` {
		t.Errorf("got %q, %v", b, err)
	}
}

// The program waits while nobody reads, and the session holds none of it.
func TestStreamHasBackpressure(t *testing.T) {
	s, c, r := streamed(t, Options{}, far)
	sent := make(chan int64, 1)
	c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	go func() {
		var n int64
		for {
			m, err := io.WriteString(c.Conn, chunk(strings.Repeat("x", 1<<16)))
			n += int64(m)
			if err != nil {
				sent <- n
				return
			}
		}
	}()
	if n := <-sent; n > 64<<20 {
		t.Errorf("%d bytes went nowhere", n)
	}
	s.mu.Lock()
	for c := range s.conns {
		if n := cap(c.rd.buf); n > maxLine+2 {
			t.Errorf("the session buffers %d bytes", n)
		}
	}
	s.mu.Unlock()
	c.Close()
	r.Stream.Close()
}

func TestStreamErrors(t *testing.T) {
	trailer := func(doc string) string {
		return "0\r\nLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\nLambda-Runtime-Function-Error-Body: " +
			base64.StdEncoding.EncodeToString([]byte(doc)) + "\r\n\r\n"
	}
	for _, c := range []struct {
		name, rest    string
		half          bool
		outcome       gust.Outcome
		kind, message string
		status        string
	}{
		{"the program's own", chunk("half") + trailer(`{"errorType":"Gone","errorMessage":"it went away"}`), false,
			gust.OutcomeError, "Gone", "it went away", "HTTP/1.1 202 Accepted"},
		{"the program's own, as text", chunk("half") + trailer(`boom`), false,
			gust.OutcomeError, "Runtime.StreamError", "boom", "HTTP/1.1 202 Accepted"},
		{"no base64", chunk("half") + "0\r\nLambda-Runtime-Function-Error-Body: ***\r\n\r\n", false,
			gust.OutcomeProtocol, "Runtime.InvalidResponse", "malformed", "HTTP/1.1 400 Bad Request"},
		{"a malformed chunk", chunk("half") + "G\r\n", false,
			gust.OutcomeProtocol, "Runtime.InvalidResponse", "malformed", "HTTP/1.1 400 Bad Request"},
		{"the end of the connection", "8\r\nhalf", true,
			gust.OutcomeProtocol, "Runtime.TruncatedResponse", "before the whole", ""},
		{"over the limit", chunk("half") + chunk(strings.Repeat("x", 1<<20)) + "0\r\n\r\n", false,
			gust.OutcomeSize, "Function.ResponseSizeTooLarge", "(1000 bytes)", "HTTP/1.1 413 Request Entity Too Large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p, r := streamed(t, Options{MaxStream: 1000}, far)
			go func() {
				io.WriteString(p.Conn, c.rest)
				if c.half {
					p.Close()
				}
			}()
			b, err := io.ReadAll(r.Stream)
			if !strings.HasPrefix(string(b), "half") || len(b) > 1000 {
				t.Errorf("got %d bytes: %.20q", len(b), b)
			}
			wantError(t, err, c.outcome, c.kind, c.message)
			if _, again := r.Stream.Read(make([]byte, 1)); again != err {
				t.Errorf("then %v", again)
			}
			r.Stream.Close()
			if c.status != "" {
				if m := p.read(); m.status != c.status {
					t.Errorf("got %v", m)
				}
			}
		})
	}
}

// Who does not want the rest lets the program finish all the same.
func TestStreamClosedEarly(t *testing.T) {
	s, c, r := streamed(t, Options{}, far)
	go c.send(chunk(strings.Repeat("x", 1<<20)) + chunk("end") + "0\r\n\r\n")
	r.Stream.Read(make([]byte, 10))
	r.Stream.Close()
	if m := c.read(); m.status != "HTTP/1.1 202 Accepted" {
		t.Errorf("got %v", m)
	}
	goesOn(t, s, c)
}

func TestStreamDeadline(t *testing.T) {
	s, c, r := streamed(t, Options{}, time.Now().Add(500*time.Millisecond))
	c.send(chunk("half"))
	b, err := io.ReadAll(r.Stream)
	if string(b) != "half" || err != ErrDeadline {
		t.Errorf("got %q, %v", b, err)
	}
	r.Stream.Close()
	goesOn(t, s, connect(t, s))
}

func TestStreamAfterTheProgramsEnd(t *testing.T) {
	s, c, r := streamed(t, Options{}, far)
	half := strings.Repeat("h", 10_000)
	c.send(chunk(half) + "10\r\n")
	c.Close()
	e := &gust.FunctionError{Outcome: gust.OutcomeExit, Message: "exit status 1"}
	failed := make(chan struct{})
	go func() { s.Fail(e); close(failed) }()
	<-s.ended
	b, err := io.ReadAll(r.Stream)
	if string(b) != half || err != error(e) {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	<-failed
}

// An interrupted session does not wait for a reader that never comes.
func TestInterruptedStream(t *testing.T) {
	s, c, r := streamed(t, Options{}, far)
	c.send(chunk("half"))
	s.Close()
	var fe *gust.FunctionError
	if _, err := io.ReadAll(r.Stream); !errors.As(err, &fe) || fe.Outcome != gust.OutcomeSandbox {
		t.Errorf("got %v", err)
	}
	r.Stream.Close()
}
