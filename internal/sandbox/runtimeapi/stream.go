package runtimeapi

import (
	"io"
	"os"
	"sync"

	gust "github.com/gust-dev/gust"
)

// stream is a response on its way. Whoever reads it reads the connection
// itself: nothing is buffered between the program and the reader but what the
// kernel holds.
type stream struct {
	s     *Session
	body  *body
	limit int64
	done  chan struct{} // the connection's goroutine may go on

	cause error // why it was cut from this side; guarded by the session's mu

	mu    sync.Mutex // one reader at a time
	total int64
	err   error // how it ended: io.EOF, or the error every Read returns
	shut  bool
}

// stream lets the invoker have the body, and answers the program when it is
// through.
func (c *conn) stream(cl *call, b *body) bool {
	s := c.s
	st := &stream{s: s, body: b, limit: s.opts.MaxStream, done: make(chan struct{})}
	s.mu.Lock()
	if cl.state == settled {
		s.mu.Unlock()
		c.finish(cl, nil, nil)
		return c.refuse(b, 410, "InvokeTimeout", "Invoke timeout")
	}
	cl.result = &gust.Result{ContentType: c.head.kind, Stream: st}
	cl.stream = st
	c.streaming = true
	s.streams++
	s.gone.Broadcast()
	s.settle(cl) // but it stays out until the stream has ended
	s.mu.Unlock()

	through := true
	select {
	case <-st.done:
	case <-s.interrupted:
		through = false // the reader may still be at it, and sees c close
	}

	cl.timer.Stop()
	s.mu.Lock()
	cl.reading = nil
	c.streaming = false
	s.streams--
	if s.active[cl.inv.RequestID] == cl {
		s.answered = cl.inv.RequestID
	}
	s.remove(cl)
	cause := st.cause
	s.mu.Unlock()
	if !through {
		c.lost = true
		return false
	}

	ok := false
	fe, _ := st.err.(*gust.FunctionError)
	switch {
	case cause != nil:
		c.head.close = true
		c.reply(410, "InvokeTimeout", "Invoke timeout")
	case st.body.done:
		ok = c.accepted()
	case fe != nil && fe.Outcome == gust.OutcomeSize:
		ok = c.refuse(b, 413, "RequestEntityTooLarge", fe.Message)
	default:
		c.head.close = true
		c.reply(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
	}
	s.dispatch()
	return ok
}

// cut ends the stream from this side; the reader is interrupted by the
// connection's deadline. The caller holds the session's mu.
func (st *stream) cut(err error) {
	if st.cause == nil {
		st.cause = err
	}
}

// Read returns io.EOF after the whole response, and else a
// *gust.FunctionError (the program's own, from the trailers; a response that
// stops short or is over its limit; Fail's), or ErrDeadline.
func (st *stream) Read(p []byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.shut {
		return 0, os.ErrClosed
	}
	if st.err != nil {
		return 0, st.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if over := st.limit + 1 - st.total; int64(len(p)) > over {
		p = p[:over]
	}
	n, err := st.body.Read(p)
	if st.total += int64(n); st.total > st.limit {
		n--
		st.end(tooLarge(0, st.limit))
	} else if err != nil {
		st.end(err)
	}
	return n, st.err
}

// Close reads what is left and forgets it, so that the program can finish, and
// returns when it has (or its deadline has passed). A stream read to its end
// has nothing left.
func (st *stream) Close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.shut = true
	if st.err != nil {
		return nil
	}
	n, err := st.body.discard(st.limit - st.total)
	st.total += n
	switch err {
	case nil:
		st.end(io.EOF)
	case errTooLong:
		st.end(tooLarge(0, st.limit))
	default:
		st.end(err)
	}
	return nil
}

// end decides how the stream has ended, and gives the connection back.
func (st *stream) end(err error) {
	st.s.mu.Lock()
	cause, failure := st.cause, st.s.failure
	st.s.mu.Unlock()
	fe, isFunction := err.(*gust.FunctionError)
	switch {
	case isFunction:
		st.err = fe
	case err == io.EOF && st.body.errorType != "":
		st.err = functionError(gust.OutcomeError, st.body.errorType, st.body.errorBody)
	case err == io.EOF:
		st.err = io.EOF
	case cause != nil:
		st.err = cause
	case failure != nil:
		st.err = failure
	case isMalformed(err):
		st.err = broken("Runtime.InvalidResponse", "the response's body is malformed")
	default:
		st.err = truncated()
	}
	close(st.done)
}
