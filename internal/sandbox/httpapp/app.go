// Package httpapp speaks HTTP to a program that serves it: when it is ready,
// and one request after the other over kept connections.
//
// The connections are http.Transport's, set up for a peer that is one function
// and is near: as many idle ones as requests may run at once, no proxy, no
// compression of its own, nothing added to a request. Requests without a body
// have a cheaper way of their own, see direct.go. Idle connections are
// closed after 4 s, before the 5 s after which Node's server closes its end,
// so that a request seldom meets a connection that is just closing; if it
// does, http.Transport's rules say whether it is sent again (nothing of it had
// been sent, or it is idempotent).
package httpapp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// ErrEnded is returned by RoundTrip when the program ended before it was given
// anything of the request.
var ErrEnded = errors.New("the program has ended")

const (
	// The program is asked whether it is ready after firstPoll, and then ever
	// more seldom up to lastPoll: a program that is up in 2 ms is not kept
	// waiting for 20, and one that takes 10 s costs nothing.
	firstPoll = 200 * time.Microsecond
	lastPoll  = 20 * time.Millisecond
	// readyTimeout bounds one request to the ready path.
	readyTimeout = 2 * time.Second
	// lastWords is how long after a lost connection the reason, that the
	// program has ended, is waited for.
	lastWords = 100 * time.Millisecond
	// idleTimeout is how long an unused connection is kept.
	idleTimeout = 4 * time.Second
	// maxHead bounds an answer's head.
	maxHead = 256 * gust.KB
)

// Options are what an App needs to know.
type Options struct {
	// ReadyPath answers 2xx or 3xx when the program is ready; empty means
	// that accepting a connection is enough.
	ReadyPath string
	// Concurrency is how many requests may run at once, for the connections
	// that are kept. 0 means gust.DefaultHTTPPerEnvironment.
	Concurrency int
}

// App is one program. Its methods may be called by many goroutines at once.
type App struct {
	transport *http.Transport
	links     links
	indirect  bool // everything goes through transport; for tests
	dial      func(context.Context) (net.Conn, error)
	ready     chan struct{}
	ended     chan struct{} // closed by Fail
	stopPoll  context.CancelFunc
	polling   chan struct{} // closed when polling has ended

	mu      sync.Mutex
	isReady bool
	initErr *gust.FunctionError
	failure *gust.FunctionError
	conns   map[*conn]struct{}
}

// New begins to ask the program whether it is ready. dial connects to it; it
// fails as long as the program does not listen.
func New(dial func(context.Context) (net.Conn, error), opts Options) *App {
	if opts.Concurrency < 1 {
		opts.Concurrency = gust.DefaultHTTPPerEnvironment
	}
	a := &App{
		dial:    dial,
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
		polling: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
	}
	a.links.max = opts.Concurrency
	a.transport = &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return a.connect(ctx) },
		DisableCompression:     true,
		MaxIdleConnsPerHost:    opts.Concurrency,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHead,
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.stopPoll = cancel
	go a.poll(ctx, opts.ReadyPath)
	return a
}

// Ready is closed when the program is ready, or will never be; InitError tells
// which.
func (a *App) Ready() <-chan struct{} { return a.ready }

// InitError is what Fail was given if the program was not ready then. Valid
// once Ready is closed.
func (a *App) InitError() *gust.FunctionError {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.initErr
}

// poll asks until the program is ready.
func (a *App) poll(ctx context.Context, path string) {
	defer close(a.polling)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := firstPoll; ; wait = min(wait*5/4, lastPoll) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if a.probe(ctx, path) {
			a.mu.Lock()
			if a.failure == nil {
				a.isReady = true
				close(a.ready)
			}
			a.mu.Unlock()
			return
		}
		timer.Reset(wait)
	}
}

func (a *App) probe(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if path == "" {
		c, err := a.dial(ctx)
		if err != nil {
			return false
		}
		c.Close()
		return true
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return false
	}
	u.Scheme, u.Host = "http", peer
	req := (&http.Request{
		Method: http.MethodGet,
		URL:    u,
		Host:   "localhost",
		Header: http.Header{"User-Agent": {"gust-ready"}},
	}).WithContext(ctx)
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return false
	}
	// What is short is read, so that the connection can be kept.
	io.CopyN(io.Discard, resp.Body, 4*gust.KB)
	resp.Body.Close()
	return resp.StatusCode >= 200 && resp.StatusCode < 400
}

// peer stands for the program in URLs, where there has to be a host.
const peer = "program"

// RoundTrip sends a request, whose URL needs no scheme and no host, waiting
// for the program to be ready first, and returns the answer as its head has
// come; both bodies stream. After 101 Switching Protocols the answer's body is
// an io.ReadWriteCloser. Hop-by-hop headers are the caller's affair.
//
// The error is ErrEnded; what was given to Fail, itself; another
// *gust.FunctionError if the program broke the connection; the request body's
// own; or the context's cause. While the answer's body is read the same hold.
func (a *App) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	select {
	case <-a.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a.mu.Lock()
	initErr, failure := a.initErr, a.failure
	a.mu.Unlock()
	switch {
	case initErr != nil:
		return nil, initErr
	case failure != nil:
		return nil, ErrEnded
	}

	out := new(http.Request)
	*out = *req
	u := *req.URL
	u.Scheme, u.Host = "http", peer
	out.URL, out.RequestURI = &u, ""
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		// Otherwise http.Transport adds its own.
		out.Header = req.Header.Clone()
		if out.Header == nil {
			out.Header = make(http.Header)
		}
		out.Header["User-Agent"] = nil
	}
	var sent *requestBody
	if req.Body != nil && req.Body != http.NoBody {
		sent = &requestBody{body: req.Body}
		out.Body = sent
	}
	send := a.transport.RoundTrip
	if !a.indirect && isDirect(out) {
		send = a.direct
	}
	resp, err := send(out)
	if err != nil {
		return nil, a.explain(ctx, sent, err)
	}
	resp.Request = req
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &responseBody{body: resp.Body, a: a, ctx: ctx, sent: sent}
	}
	return resp, nil
}

// dialError is a connection that could not be made: the program got nothing.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// explain says why a request or an answer broke off.
func (a *App) explain(ctx context.Context, sent *requestBody, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if sent != nil {
		if err := sent.failure(); err != nil {
			return err
		}
	}
	// A program that ends closes its connections before its end is known.
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-a.ended:
		if errors.As(err, new(dialError)) {
			return ErrEnded
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.failure
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	return &gust.FunctionError{
		Outcome: gust.OutcomeProtocol,
		Type:    "Runtime.InvalidResponse",
		Message: fmt.Sprintf("the program did not answer as HTTP wants it: %v", err),
	}
}

// Fail tells that the program has ended: if it was not ready, e is its
// InitError, and else the error of every request that is under way and cannot
// be completed. What the program had sent can still be read.
func (a *App) Fail(e *gust.FunctionError) {
	a.stopPoll()
	<-a.polling
	a.mu.Lock()
	if a.failure == nil {
		a.failure = e
		if !a.isReady {
			a.initErr = e
			close(a.ready)
		}
		close(a.ended)
	}
	a.mu.Unlock()
	a.transport.CloseIdleConnections()
	a.links.close()
}

// Close ends every connection. Requests under way fail.
func (a *App) Close() {
	a.Fail(&gust.FunctionError{
		Outcome: gust.OutcomeSandbox,
		Type:    "Sandbox.Stopped",
		Message: "the environment was stopped before the request was done",
	})
	a.mu.Lock()
	conns := make([]*conn, 0, len(a.conns))
	for c := range a.conns {
		conns = append(conns, c)
	}
	a.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// connect makes a connection that Close can end.
func (a *App) connect(ctx context.Context) (net.Conn, error) {
	nc, err := a.dial(ctx)
	if err != nil {
		return nil, dialError{err}
	}
	c := &conn{Conn: nc, a: a}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure != nil {
		nc.Close()
		return nil, dialError{ErrEnded}
	}
	a.conns[c] = struct{}{}
	return c, nil
}

type conn struct {
	net.Conn
	a *App
}

func (c *conn) Close() error {
	c.a.mu.Lock()
	delete(c.a.conns, c)
	c.a.mu.Unlock()
	return c.Conn.Close()
}

// requestBody remembers that it was the body that failed, not the program.
type requestBody struct {
	body io.ReadCloser
	mu   sync.Mutex
	err  error
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

func (b *requestBody) Close() error { return b.body.Close() }

func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// responseBody explains why it breaks off.
type responseBody struct {
	body io.ReadCloser
	a    *App
	ctx  context.Context
	sent *requestBody
	err  error
}

func (b *responseBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		err = b.a.explain(b.ctx, b.sent, err)
		b.err = err
	}
	return n, err
}

func (b *responseBody) Close() error { return b.body.Close() }
