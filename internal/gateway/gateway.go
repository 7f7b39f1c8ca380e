// Package gateway turns users' HTTP requests into invocations: it finds the
// route, and then either makes Lambda's HTTP event (payload format version 2.0)
// of the request and an HTTP response of the answer, or passes the request on
// to a function that serves HTTP itself.
//
// A request's body is read to its end before an environment is asked for, so
// that a slow client holds none. docs/GATEWAY.md has all rules and limits.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
)

// requestIDHeader carries the request's id in every response, in canonical
// form.
const requestIDHeader = "X-Amzn-Requestid"

// Catalog tells what is declared: *catalog.Catalog.
type Catalog interface{ Snapshot() *catalog.Snapshot }

// Invoker runs functions: *invoke.Invoker.
type Invoker interface {
	Invoke(context.Context, *invoke.Request) (*invoke.Response, error)
	ServeHTTP(http.ResponseWriter, *http.Request, *invoke.Request) error
}

// Options are what a gateway works with.
type Options struct {
	Catalog Catalog
	Invoker Invoker
	// Place is in the events; its zero value is gust.DefaultPlace.
	Place gust.Place
	// BodyMemory bounds the bytes of all request bodies and events above
	// 64 KB that are held at once; 0 is 256 MB.
	BodyMemory int64
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Access, if set, is told of each request once it is answered, by the
	// goroutine that answered it.
	Access func(Access)
	// Logger gets answers that are no responses, and the node's own failures;
	// nil is slog.Default.
	Logger *slog.Logger
}

type gateway struct {
	Options

	table     atomic.Pointer[table]
	compiling sync.Mutex
	scratches scratches
	memory    budget
	log       *sampledLog
}

// New returns the handler of users' traffic. It may be called by many at once.
// When an answer breaks off in its middle it panics with http.ErrAbortHandler,
// as net/http wants it.
func New(o Options) http.Handler {
	if o.Place == (gust.Place{}) {
		o.Place = gust.DefaultPlace
	}
	if o.BodyMemory == 0 {
		o.BodyMemory = 256 * gust.MB
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	g := &gateway{Options: o, log: &sampledLog{logger: o.Logger}}
	g.memory.limit = o.BodyMemory
	if o.Access != nil {
		return http.HandlerFunc(g.watched)
	}
	return g
}

// routes is the table of the newest snapshot. The first request after a change
// compiles it, others wait meanwhile: a deploy that has been acknowledged is
// seen by every request after it.
func (g *gateway) routes() *table {
	snap := g.Catalog.Snapshot()
	if t := g.table.Load(); t != nil && t.snapshot == snap {
		return t
	}
	g.compiling.Lock()
	defer g.compiling.Unlock()
	t := g.table.Load()
	if t == nil || t.snapshot != snap && t.snapshot.Revision <= snap.Revision {
		t = compile(snap, g.Place)
		g.table.Store(t)
	}
	return t
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{r: r, path: rawPath(r), requestID: newRequestID(), now: g.Now()}
	w.Header()[requestIDHeader] = []string{c.requestID}
	s := g.scratches.get()
	defer g.scratches.put(s)

	if err := g.route(&c, s); err != nil {
		g.refuse(w, &c, err)
		return
	}
	var parent string
	c.traceID, parent = observe.TraceFrom(r.Header)
	var err error
	if c.target.function.Runtime == gust.RuntimeHTTP {
		err = g.pass(w, &c, parent)
	} else {
		err = g.invoke(w, &c, s)
	}
	if err != nil {
		g.refuse(w, &c, err)
	}
}

// route finds the target and its parameters.
func (g *gateway) route(c *call, s *scratch) error {
	var err error
	if s.segs, err = splitPath(s.segs, c.path); err != nil {
		return &refusal{status: http.StatusBadRequest, message: err.Error()}
	}
	t := g.routes()
	if c.target, c.params = t.root.match(s.segs, c.r.Method, s.params); c.target != nil {
		return nil
	}
	if allow := t.allow(s.segs); allow != "" {
		return &refusal{status: http.StatusMethodNotAllowed, message: "Method Not Allowed", allow: allow}
	}
	return &refusal{status: http.StatusNotFound, message: "Not Found"}
}

// pass hands the request to a function that serves HTTP itself, with its trace
// in both forms.
func (g *gateway) pass(w http.ResponseWriter, c *call, traceparent string) error {
	c.r.Header["Traceparent"] = []string{traceparent}
	if c.r.ContentLength != 0 {
		// Else net/http would read the body to its end before the answer, and
		// a function could not stream both ways.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return g.Invoker.ServeHTTP(w, c.r, &invoke.Request{
		Function: c.target.function.Name, Source: "http", RequestID: c.requestID, TraceID: c.traceID,
	})
}

// invoke runs a function on the request's event and writes its answer. An error
// means that nothing has been written.
func (g *gateway) invoke(w http.ResponseWriter, c *call, s *scratch) error {
	hold := hold{budget: &g.memory, function: c.target.function.Name}
	defer hold.release()
	body, err := readBody(w, c, s, &hold)
	if err != nil {
		return err
	}
	c.body = body
	size := c.size()
	if err := hold.set(hold.bytes + int64(size)); err != nil {
		return err
	}
	// The event is not taken from a pool: what runs the function may still
	// hold it when the answer is there.
	event := c.appendEvent(make([]byte, 0, size), s)
	if len(event) > gust.MaxSyncPayload {
		return tooLarge(int64(len(event)))
	}
	c.body = nil
	if cap(s.body) > maxPooled {
		s.body = nil
	}
	hold.set(int64(cap(event))) //nolint:errcheck // it is less than before
	resp, err := g.Invoker.Invoke(c.r.Context(), &invoke.Request{
		Function: c.target.function.Name, Payload: event, Source: "http", RequestID: c.requestID, TraceID: c.traceID,
	})
	switch {
	case err != nil:
		return err
	case resp.Error != nil:
		return resp.Error
	case resp.Result == nil:
		return errors.New("the invocation ended without a result")
	case resp.Result.Stream != nil || isIntegration(resp.Result.ContentType):
		return g.stream(w, c, resp.Result, s)
	}
	answer, err := parseReply(resp.Result.Payload, s)
	if err != nil {
		return &malformedError{err}
	}
	answer.write(w, c.r.Method)
	return nil
}
