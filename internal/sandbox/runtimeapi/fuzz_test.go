package runtimeapi

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// script is a program that sends what it is told, in pieces, and reads
// nothing.
type script struct {
	data  []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.data[:min(s.piece, len(s.data))])
	s.data = s.data[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// ended is a connection on which nothing comes.
func (*pipeListener) ended() net.Conn { return &script{} }

// FuzzExchange sends anything at all to a session that has an invocation for
// whoever asks. Nothing may panic, hang, or be left behind, and the invocation
// has one end.
func FuzzExchange(f *testing.F) {
	next := "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n"
	post := "POST /2018-06-01/runtime/invocation/r/"
	for _, seed := range []string{
		next,
		next + post + "response HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok" + next,
		next + post + "response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nT: v\r\n\r\n" + next,
		next + post + "response HTTP/1.1\r\nHost: h\r\nLambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nLambda-Runtime-Function-Error-Type: E\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\n",
		next + post + "response HTTP/1.1\r\nHost: h\r\nLambda-Runtime-Function-Response-Mode: streaming\r\nContent-Length: 900\r\n\r\n2",
		next + post + "error HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Type: application/vnd.aws.lambda.error.cause+json\r\nContent-Length: 20\r\n\r\n{\"errorMessage\":\"m\"}",
		next + post + "response HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n",
		"POST /2018-06-01/runtime/init/error HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
		"POST /2020-01-01/extension/register HTTP/1.1\r\nHost: h\r\nLambda-Extension-Name: n\r\nContent-Length: 2\r\n\r\n{}",
		"\r\n\r\nGET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nLambda-Runtime-Function-XRay-Error-Cause: x\r\n\r\n",
	} {
		f.Add([]byte(seed), uint16(1<<15))
		f.Add([]byte(seed), uint16(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		ln := newPipeListener()
		s := New(ln, Options{MaxResponse: 2000, MaxStream: 2000})
		done := make(chan error, 1)
		go func() {
			r, err := s.Invoke(context.Background(), &gust.Invocation{RequestID: "r", Payload: []byte("event"), Deadline: time.Now().Add(time.Minute)})
			if err == nil && r.Stream != nil {
				_, err = io.Copy(io.Discard, r.Stream)
				r.Stream.Close()
			}
			if err == nil && len(r.Payload) > 2000 {
				t.Errorf("%d bytes were accepted", len(r.Payload))
			}
			done <- err
		}()
		ln.conns <- &script{data: data, piece: int(piece) + 1}
		s.Fail(&gust.FunctionError{Outcome: gust.OutcomeExit, Type: "Runtime.ExitError"})
		select {
		case err := <-done:
			if err == ErrDeadline {
				t.Error("the invocation ended at its deadline only")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the invocation never ended")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.live != 0 || len(s.conns) != 0 || len(s.waiting) != 0 || len(s.pending) != 0 || len(s.active) != 0 {
			t.Errorf("left behind: %d live, %d connections, %d waiting, %d pending, %d active", s.live, len(s.conns), len(s.waiting), len(s.pending), len(s.active))
		}
	})
}
