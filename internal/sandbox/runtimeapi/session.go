// Package runtimeapi serves the AWS Lambda Runtime API (version 2018-06-01) to
// the one environment that can reach a listener.
//
// It is the hot path of every invocation, so it does not use net/http: it
// reads and writes its few messages itself, strictly, with one read and one
// write each where they are small, and hands an event to a waiting connection
// in the goroutine of whoever invokes. [Session.Invoke] allocates the answer
// and nothing else.
//
// What it answers, in AWS's words:
//
//	GET  /2018-06-01/runtime/invocation/next             200 and the event
//	POST /2018-06-01/runtime/invocation/{id}/response    202 {"status":"OK"}
//	POST /2018-06-01/runtime/invocation/{id}/error       202 {"status":"OK"}
//	POST /2018-06-01/runtime/init/error                  202 {"status":"OK"}
//	an id that is not out                                400 InvalidRequestID
//	an id that has been answered                         403 InvalidStateTransition
//	init/error once ready                                403 InvalidStateTransition
//	after the deadline, or a stale invocation id         410 InvokeTimeout
//	a body over its limit                                413 RequestEntityTooLarge
//	a body that stops short                              400 TruncatedHTTPRequest
//	any other path, SnapStart's restore among them       404 NotFound
//	another method                                       405 MethodNotAllowed
//
// A response is streamed if Lambda-Runtime-Function-Response-Mode says so, or
// if it comes in chunks with the content type of what aws-lambda-go streams,
// which sends no mode. Error trailers count in either mode. The X-Ray error cause
// is read over: there is no X-Ray here, and the error document says the same.
//
// Of the Extensions API only what aws-lambda-go's WithEnableSIGTERM needs is
// there: registering an extension that wants no events. Gust sends SIGTERM
// before it kills in any case.
//
// The peer is the function's program, which may be hostile: whatever it sends,
// the node holds a bounded number of connections for it, 4 to 16 KB each while
// nothing is under way (512 KB during trailers), and one body for each
// invocation that is out. A connection that is slow or silent costs that and
// nothing more, and ends with the environment.
package runtimeapi

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

var (
	// ErrDeadline: the invocation's deadline passed before its answer was
	// there. The program may still be at it; whoever invokes ends it.
	ErrDeadline = errors.New("the deadline has passed")
	// ErrEnded: the session ended before the program was given the event.
	ErrEnded = errors.New("the session has ended")
	// ErrAbandoned wraps the cause of a context that ended while the program
	// had the event. The program may still be at it, and the place it takes
	// is not given back.
	ErrAbandoned = errors.New("the invocation was abandoned")
)

// Options are what a session needs to know; the zero value is right for an
// ordinary function.
type Options struct {
	// Concurrency is how many invocations may be out at once, as
	// AWS_LAMBDA_MAX_CONCURRENCY tells the program. 0 means 1.
	Concurrency int
	// MaxResponse bounds buffered responses and error documents, in bytes. 0
	// means gust.MaxSyncPayload.
	MaxResponse int64
	// MaxStream bounds streamed responses. 0 means gust.MaxStreamPayload.
	MaxStream int64
	// Function is the name that a registering extension is told.
	Function string
}

// Session is the Runtime API of one environment. Its methods may be called by
// many goroutines at once.
type Session struct {
	ln    net.Listener
	opts  Options
	ready chan struct{}
	ended chan struct{} // closed when Fail begins
	// interrupted is closed by Interrupt.
	interrupted chan struct{}
	calls       sync.Pool // of *call
	slots       chan struct{}
	base        [8]byte // what the ids of this session's invocations begin with

	mu       sync.Mutex
	gone     sync.Cond // live or streams has changed
	live     int       // goroutines: the accept loop's and the connections'
	streams  int       // of them, those whose connection a stream's reader has
	seq      uint64
	isReady  bool
	initErr  *gust.FunctionError
	failure  *gust.FunctionError // set when the session has ended
	over     bool
	broken   bool // interrupted is closed
	conns    map[*conn]struct{}
	waiting  []*conn // parked in next; the last one has waited least
	pending  []*call // not given to the program yet, in order
	active   map[string]*call
	answered string // the request id answered last, until another is out
	expired  string // the request id that missed its deadline last
}

// New serves the Runtime API on ln until Fail or Close. It takes ln over.
func New(ln net.Listener, opts Options) *Session {
	if opts.Concurrency < 1 {
		opts.Concurrency = 1
	}
	if opts.MaxResponse == 0 {
		opts.MaxResponse = gust.MaxSyncPayload
	}
	if opts.MaxStream == 0 {
		opts.MaxStream = gust.MaxStreamPayload
	}
	s := &Session{
		ln:    ln,
		opts:  opts,
		ready: make(chan struct{}),
		ended: make(chan struct{}),

		interrupted: make(chan struct{}),

		slots:  make(chan struct{}, 2*opts.Concurrency+16),
		conns:  make(map[*conn]struct{}),
		active: make(map[string]*call),
	}
	rand.Read(s.base[:])
	s.gone.L = &s.mu
	s.calls.New = func() any { return newCall(s) }
	s.live = 1
	go s.accept()
	return s
}

// Addr is where the API is served.
func (s *Session) Addr() net.Addr { return s.ln.Addr() }

// Ready is closed at the program's first next, or when there will be none;
// InitError tells which.
func (s *Session) Ready() <-chan struct{} { return s.ready }

// InitError is nil if the program got as far as its first next. Valid once
// Ready is closed.
func (s *Session) InitError() *gust.FunctionError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initErr
}

// acceptPause is how long accepting waits after it has failed.
const acceptPause = 5 * time.Millisecond

// accept holds a bounded number of connections; more wait in the listener's
// backlog.
func (s *Session) accept() {
	defer s.leave()
	for {
		select {
		case s.slots <- struct{}{}:
		case <-s.ended:
			return
		}
		nc, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The node has no descriptor left, or the program gave up
			// meanwhile. It tries again, and the node may have some then.
			<-s.slots
			select {
			case <-time.After(acceptPause):
				continue
			case <-s.ended:
				return
			}
		}
		c := newConn(s, nc)
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			nc.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.live++
		s.mu.Unlock()
		go c.serve()
	}
}

func (s *Session) leave() {
	s.mu.Lock()
	s.live--
	s.gone.Broadcast()
	s.mu.Unlock()
}

// call is one Invoke. It is reused when nothing can hold it any more.
type call struct {
	s     *Session
	inv   *gust.Invocation
	id    [36]byte      // Lambda-Runtime-Invocation-Id
	done  chan struct{} // one token when settled and not being written
	timer *time.Timer

	// Guarded by the session's mu.
	state    callState
	writing  *conn // the event is being written there
	reading  *conn // the answer is being read there
	stream   *stream
	result   *gust.Result
	err      error
	notGiven bool // when settled: the program never had the event
}

type callState uint8

const (
	queued  callState = iota // waits for a next
	out                      // given to the program, or about to be
	settled                  // result or err is there, or a stream has begun
)

func newCall(s *Session) *call {
	c := &call{s: s, done: make(chan struct{}, 1)}
	c.timer = time.AfterFunc(time.Hour, func() { s.cut(c, ErrDeadline) })
	c.timer.Stop()
	return c
}

// Invoke gives the event to the program and waits for the answer. With a
// streamed answer it returns at its beginning, with Result.Stream set.
//
// The error is the *gust.FunctionError the program answered with or deserved;
// the one given to Fail, itself; InitError's, if the program will not be ready;
// ErrDeadline; ErrEnded; or context.Cause(ctx), wrapped in ErrAbandoned if the
// program had the event.
func (s *Session) Invoke(ctx context.Context, inv *gust.Invocation) (*gust.Result, error) {
	c := s.calls.Get().(*call)
	c.inv = inv
	s.mu.Lock()
	if s.over || s.initErr != nil {
		err := error(ErrEnded)
		if s.initErr != nil {
			err = s.initErr
		}
		s.mu.Unlock()
		return nil, err
	}
	s.pending = append(s.pending, c)
	w, d := s.match()
	s.mu.Unlock()
	c.timer.Reset(time.Until(inv.Deadline))
	s.deliver(w, d)
	select {
	case <-c.done:
	case <-ctx.Done():
		s.cut(c, ctx.Err())
		<-c.done
	}
	s.mu.Lock()
	result, err, notGiven, stream := c.result, c.err, c.notGiven, c.stream
	s.mu.Unlock()
	if stream != nil {
		return result, nil // the stream keeps the call and its timer
	}
	stopped := c.timer.Stop()
	if err != nil && err == ctx.Err() {
		if err = context.Cause(ctx); !notGiven {
			return nil, fmt.Errorf("%w: %w", ErrAbandoned, err)
		}
	}
	if stopped { // else its function runs, and an abandoned call is still out
		*c = call{s: s, done: c.done, timer: c.timer}
		s.calls.Put(c)
	}
	return result, err
}

// match takes the connection that waited least and the first call that may be
// given out, if there are both. The caller holds mu, and delivers.
func (s *Session) match() (*conn, *call) {
	if len(s.waiting) == 0 || len(s.pending) == 0 || len(s.active) >= s.opts.Concurrency {
		return nil, nil
	}
	for i, c := range s.pending {
		// One request id is out once at a time: the program's answer names
		// nothing else for certain.
		if s.active[c.inv.RequestID] != nil {
			continue
		}
		s.pending = slices.Delete(s.pending, i, i+1)
		w := s.waiting[len(s.waiting)-1]
		s.waiting = s.waiting[:len(s.waiting)-1]
		s.active[c.inv.RequestID] = c
		s.answered = ""
		s.seq++
		c.identify(s.base, s.seq)
		c.state, c.writing = out, w
		w.state = connWriting
		return w, c
	}
	return nil, nil
}

// deliver writes events to connections, beginning with what match returned,
// until there is nothing more to match.
func (s *Session) deliver(w *conn, c *call) {
	for w != nil {
		err := w.writeEvent(c)
		s.mu.Lock()
		c.writing = nil
		w.state = connIdle
		w.changed.Broadcast()
		if err != nil || w.closing {
			w.nc.Close()
		}
		switch {
		case c.state == settled:
			// Its deadline passed, or the answer came, during the write.
			c.done <- struct{}{}
			if w.cut && !s.over {
				w.cut = false // the write was through all the same
				w.nc.SetWriteDeadline(time.Time{})
			}
		case err != nil:
			// The program did not get it whole: another connection may.
			delete(s.active, c.inv.RequestID)
			if s.over {
				c.err, c.notGiven = ErrEnded, true
				s.settle(c)
			} else {
				c.state = queued
				s.pending = slices.Insert(s.pending, 0, c)
			}
		}
		w, c = s.match()
		s.mu.Unlock()
	}
}

// settle ends a call, whose result or err is set, and wakes its Invoke, unless
// the event is still being written: then deliver does. The caller holds mu.
func (s *Session) settle(c *call) {
	c.state = settled
	if c.writing == nil {
		c.done <- struct{}{}
	}
}

// remove takes a call out of what is out. The caller holds mu.
func (s *Session) remove(c *call) {
	if s.active[c.inv.RequestID] == c {
		delete(s.active, c.inv.RequestID)
	}
}

// cut ends a call from this side, and interrupts whatever is done for it.
func (s *Session) cut(c *call, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.state == queued:
		i := slices.Index(s.pending, c)
		if i < 0 {
			return // not yet, or no longer, a call
		}
		s.pending = slices.Delete(s.pending, i, i+1)
		c.notGiven = true
	case c.state == settled && c.stream == nil:
		return
	case s.active[c.inv.RequestID] != c:
		return // its stream has ended
	}
	if err == ErrDeadline {
		s.expired = c.inv.RequestID
	}
	// A context that ended leaves the program at work and its place taken.
	if err == ErrDeadline && !c.notGiven {
		s.remove(c)
	}
	if c.writing != nil {
		c.writing.cut = true
		c.writing.nc.SetWriteDeadline(past)
	}
	if c.reading != nil {
		c.reading.nc.SetReadDeadline(past)
	}
	if c.stream != nil {
		c.stream.cut(err)
		return
	}
	c.err = err
	s.settle(c)
}

// past is a deadline that interrupts.
var past = time.Unix(1, 0)

// Fail tells that the program has ended. What it had sent is still taken, then
// everything that waits gets e, as it is; calls the program never had get
// ErrEnded. If it was not ready, e is its InitError. Streams go on to what the
// program had sent of them. Fail returns when they and all connections have
// ended.
func (s *Session) Fail(e *gust.FunctionError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over, s.failure = true, e
		close(s.ended)
		s.ln.Close()
		// The program is gone, so every connection is at its end or has data
		// that can be read without waiting. The time is for a descriptor that
		// somebody outside the backend's control still holds.
		grace := time.Now().Add(100 * time.Millisecond)
		for c := range s.conns {
			c.changed.Broadcast()
			if !c.streaming {
				c.nc.SetDeadline(grace)
			}
		}
		for s.live > s.streams {
			s.gone.Wait()
		}
		s.giveUp()
	}
	for s.live > 0 {
		s.gone.Wait()
	}
}

// giveUp settles every call that nobody can answer any more. The caller holds
// mu.
func (s *Session) giveUp() {
	if !s.isReady {
		s.beReady(s.failure)
	}
	for _, c := range s.pending {
		c.err, c.notGiven = ErrEnded, true
		s.settle(c)
	}
	s.pending = nil
	for id, c := range s.active {
		if c.stream != nil {
			continue
		}
		delete(s.active, id)
		if c.state != settled {
			c.err = s.failure
			s.settle(c)
		}
	}
}

// Interrupt breaks off streams, whose readers may be slow, for a program that
// the node has ended. It is final: a stream that begins afterwards breaks off
// too.
func (s *Session) Interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return
	}
	s.broken = true
	close(s.interrupted)
}

// Close ends every connection, and all that waits as Fail does.
func (s *Session) Close() {
	s.Interrupt()
	s.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	s.Fail(&gust.FunctionError{
		Outcome: gust.OutcomeSandbox,
		Type:    "Sandbox.Stopped",
		Message: "the environment was stopped before the invocation was done",
	})
}

// beReady closes Ready. With an error, calls that wait for it get it. The
// caller holds mu.
func (s *Session) beReady(err *gust.FunctionError) {
	s.isReady, s.initErr = true, err
	close(s.ready)
	if err == nil {
		return
	}
	for _, c := range s.pending {
		c.err, c.notGiven = err, true
		s.settle(c)
	}
	s.pending = nil
}

// identify gives the call an id that no other invocation has: a UUID of
// version 8, from the session's random base and a count.
func (c *call) identify(base [8]byte, seq uint64) {
	const digits = "0123456789abcdef"
	var raw [16]byte
	copy(raw[:8], base[:])
	binary.BigEndian.PutUint64(raw[8:], seq)
	raw[6] = raw[6]&0x0f | 0x80
	raw[8] = raw[8]&0x3f | 0x80
	at := 0
	for i, b := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			c.id[at] = '-'
			at++
		}
		c.id[at], c.id[at+1] = digits[b>>4], digits[b&15]
		at += 2
	}
}
