package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"

	"github.com/google/uuid"
)

// ErrHTTPOnly: the function answers HTTP requests, not events.
var ErrHTTPOnly = errors.New("its runtime is http: it answers HTTP requests through its routes, and has no events")

// ServeHTTP sends a user's HTTP request to a function of the http runtime and
// its answer back, both streamed, upgrades (WebSocket) included. It returns an
// error only when nothing has been written to w: what Invoke returns, or a
// *gust.FunctionError.
//
// The function's timeout bounds the whole exchange. A request that it cuts off
// does not end its environment, where others may run, but the environment gets
// no further ones.
func (iv *Invoker) ServeHTTP(w http.ResponseWriter, req *http.Request, r *Request) error {
	if r.RequestID == "" {
		r.RequestID = uuid.NewString()
	}
	for left := triesGone; ; {
		queued := time.Now()
		g, err := iv.acquire(req.Context(), r, true)
		if err != nil {
			return err
		}
		if g.cold {
			left--
		}
		err = iv.proxy(w, req, r, g, queued, left <= 0)
		// Only a request without a body can be sent again.
		if errors.Is(err, sandbox.ErrGone) && (req.Body == nil || req.Body == http.NoBody) {
			continue
		}
		return err
	}
}

// errRequestTimeout is the cause of a request that its function's timeout
// ended.
var errRequestTimeout = errors.New("request timed out")

// errEventsOnly: the function does not answer HTTP requests itself.
var errEventsOnly = errors.New("it takes events, and is not of the http runtime")

func (iv *Invoker) proxy(w http.ResponseWriter, req *http.Request, r *Request, g grant, queued time.Time, last bool) error {
	x := g.env
	if err := x.awaken(); err != nil {
		iv.Logger.Warn("an environment could not be thawed and is given up", "function", x.fn.Name, "environment", x.id, "error", err)
		iv.finished(x, false)
		if last {
			return functionError(err)
		}
		return sandbox.ErrGone
	}
	start := time.Now()
	report := x.report(r, g, queued, start)
	x.stream.Begin(r.RequestID, r.TraceID, start)
	ctx, cancel := context.WithTimeoutCause(req.Context(), x.timeout, errRequestTimeout)
	defer cancel()

	var failed error // nothing was written because of it
	proxy := httputil.ReverseProxy{
		Transport:  x.sandbox,
		BufferPool: &iv.copies,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "127.0.0.1"
			p.Out.Host = p.In.Host
			p.Out.URL.RawQuery = p.In.URL.RawQuery // the program's to judge
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			p.Out.Header.Set("X-Request-Id", r.RequestID)
			if r.TraceID != "" {
				p.Out.Header.Set("X-Amzn-Trace-Id", r.TraceID)
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("X-Amzn-Requestid") // the gateway has set its own
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
		ErrorLog:     iv.silent, // the report tells
	}
	// A client that does not take its answer ends with the function's time too.
	control := http.NewResponseController(w)
	control.SetWriteDeadline(start.Add(x.timeout + writeGrace)) //nolint:errcheck // then without
	broke := serve(&proxy, w, req.WithContext(ctx))
	control.SetWriteDeadline(time.Time{}) //nolint:errcheck // further requests may follow

	var fe *gust.FunctionError
	reuse := true
	switch cause := context.Cause(ctx); {
	case errors.Is(failed, sandbox.ErrGone) && last:
		fe = x.ended(r.RequestID)
		reuse = false
	case errors.Is(failed, sandbox.ErrGone):
		x.stream.Abandon(r.RequestID)
		iv.finished(x, false)
		return failed
	case cause == errRequestTimeout:
		fe = &gust.FunctionError{Outcome: gust.OutcomeTimeout, Type: "Sandbox.Timedout",
			Message: fmt.Sprintf("the request was not answered within the function's timeout of %v", x.timeout)}
		reuse = false
	case cause != nil: // the client went away: nobody's fault
	case failed != nil:
		fe = functionError(failed)
		if fe.Outcome == gust.OutcomeSandbox {
			fe = &gust.FunctionError{Outcome: gust.OutcomeProtocol, Type: "Runtime.HTTP", Message: failed.Error()}
		}
	case broke != nil:
		fe = &gust.FunctionError{Outcome: gust.OutcomeProtocol, Type: "Runtime.HTTP", Message: "the answer broke off"}
	}
	report.Duration = time.Since(start)
	x.finish(&report, fe)
	iv.finished(x, reuse)
	switch {
	case broke != nil:
		panic(broke) // http.ErrAbortHandler: the client must see that the answer is not whole
	case failed == nil:
		return nil
	case fe != nil:
		return fe
	default:
		return failed
	}
}

// writeGrace is how long after the function's timeout what it had answered may
// still be on its way to the client.
const writeGrace = time.Second

// copies are buffers for passing bodies on. Answers of unknown length are
// flushed as they come, by ReverseProxy's own rule; those with a length go out
// when a buffer is full or they end.
type copies struct{ sync.Pool }

const copySize = 32 * gust.KB

func (c *copies) Get() []byte {
	if b, ok := c.Pool.Get().(*[copySize]byte); ok {
		return b[:]
	}
	return make([]byte, copySize)
}

func (c *copies) Put(b []byte) { c.Pool.Put((*[copySize]byte)(b)) }

// serve runs the proxy and returns what it panicked with: http.ErrAbortHandler
// when it gave up in the middle of an answer.
func serve(p *httputil.ReverseProxy, w http.ResponseWriter, r *http.Request) (broke any) {
	defer func() { broke = recover() }()
	p.ServeHTTP(w, r)
	return nil
}
