package environment

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/runtimeapi"
)

// stream is a streamed answer with what the environment adds: the program is
// killed at the deadline even if nobody reads, errors are worded, and lines
// come before the end.
type stream struct {
	io.ReadCloser
	e         *Environment
	requestID string
	allowed   time.Duration
	timer     *time.Timer
	expired   atomic.Bool // the program was killed for the deadline
	err       error
}

func (e *Environment) newStream(inv *gust.Invocation, begin time.Time, from io.ReadCloser) *stream {
	s := &stream{
		ReadCloser: from,
		e:          e,
		requestID:  inv.RequestID,
		allowed:    inv.Deadline.Sub(begin),
	}
	s.timer = time.AfterFunc(time.Until(inv.Deadline), func() {
		s.expired.Store(true)
		e.putDown()
	})
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.timer.Stop()
		switch {
		case err == io.EOF:
			s.e.pipe.Drain()
			s.err = io.EOF
		case s.expired.Load():
			// The connection may have broken off first.
			err = runtimeapi.ErrDeadline
			fallthrough
		default:
			s.err = s.e.failed(context.Background(), s.requestID, s.allowed, err)
		}
	}
	return n, s.err
}

func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	s.timer.Stop()
	s.e.pipe.Drain()
	return err
}
