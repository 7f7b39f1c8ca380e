// Package invoke is the one path by which any function runs: it admits an
// invocation, finds or starts its environment, runs it there and reports it.
// What to do is decided by package scale; this package carries it out.
package invoke

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke/scale"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
	sandboxenv "github.com/gust-dev/gust/internal/sandbox/environment"
	"github.com/gust-dev/gust/internal/store"
)

// Options are what an Invoker works with. All of them are needed but API and
// Debug.
type Options struct {
	Catalog  *catalog.Catalog
	Backend  sandbox.Backend
	Code     *artifact.Cache
	Runtimes runtimes.Library
	Recorder *observe.Recorder
	Store    *store.Store
	Place    gust.Place
	Limits   scale.Limits
	// API is what gives an environment of a function its way to the node's API;
	// see [sandbox.Spec].
	API func(function, environment string, ln net.Listener, token [sha256.Size]byte) io.Closer
	// Debug are the functions that run under a debugger.
	Debug  map[string]*Debug
	Logger *slog.Logger
}

// Invoker runs functions.
type Invoker struct {
	Options

	mu       sync.Mutex // guards everything to the next blank line
	scaler   *scale.Scaler
	declared *catalog.Snapshot
	closing  bool
	running  int           // invocations between admission and report
	drained  chan struct{} // closed when closing and nothing runs

	tickets sync.Pool
	copies  copies
	silent  *log.Logger
	wake    chan struct{}   // the loop should look at the time again
	ctx     context.Context // ends when what runs is cut off
	cancel  context.CancelFunc
	intake  context.Context // ends when the node begins to drain
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// New starts an Invoker: provisioned environments start, and asynchronous
// events that are waiting run.
func New(o Options) *Invoker {
	iv := &Invoker{Options: o, scaler: scale.New(o.Limits), drained: make(chan struct{}), wake: make(chan struct{}, 1), silent: log.New(io.Discard, "", 0)}
	iv.tickets.New = func() any { return &ticket{granted: make(chan grant, 1)} }
	iv.ctx, iv.cancel = context.WithCancel(context.Background())
	iv.intake, iv.stop = context.WithCancel(iv.ctx)
	iv.mu.Lock()
	iv.declare(iv.Catalog.Snapshot())
	iv.recall()
	iv.mu.Unlock()
	iv.wg.Go(iv.loop)
	iv.wg.Go(iv.watch)
	iv.wg.Go(iv.consume)
	iv.wg.Go(iv.rememberAll)
	iv.wg.Go(iv.prepare)
	for _, d := range iv.Debug {
		iv.wg.Go(func() { iv.serveDebug(d) })
	}
	return iv
}

// Close refuses new invocations, waits for those that run until ctx ends, and
// stops every environment.
func (iv *Invoker) Close(ctx context.Context) error {
	iv.mu.Lock()
	if !iv.closing {
		iv.closing = true
		if iv.running == 0 {
			close(iv.drained)
		}
	}
	iv.mu.Unlock()
	iv.stop()
	var err error
	select {
	case <-iv.drained:
	case <-ctx.Done():
		iv.mu.Lock()
		err = fmt.Errorf("%d invocations were cut off: %w", iv.running, context.Cause(ctx))
		iv.mu.Unlock()
	}
	iv.cancel()
	iv.stopAll()
	iv.wg.Wait()
	iv.remember(context.WithoutCancel(ctx))
	return err
}

// ticket waits for an environment.
type ticket struct {
	scale.Ticket
	granted chan grant
}

type grant struct {
	env *environment
	// cold says that this is the environment's first invocation.
	cold bool
	err  error
}

// Invoke runs a function and waits for its answer. The error is one that kept
// it from running: gust.ErrNotFound, gust.ErrTooLarge, *gust.ThrottledError,
// gust.ErrClosing, gust.ErrInvalid for a function of the http runtime, or ctx's.
// What went wrong in the function is the response's Error. The function runs on
// when ctx ends after it has started.
func (iv *Invoker) Invoke(ctx context.Context, r *Request) (*Response, error) {
	if len(r.Payload) > gust.MaxSyncPayload {
		return nil, fmt.Errorf("%w: the event is %d bytes, a synchronous invocation takes at most %d (6 MB)", gust.ErrTooLarge, len(r.Payload), gust.MaxSyncPayload)
	}
	if r.RequestID == "" {
		r.RequestID = uuid.NewString()
	}
	for left := triesGone; ; {
		queued := time.Now()
		g, err := iv.acquire(ctx, r, false)
		if err != nil {
			var fe *gust.FunctionError
			if errors.As(err, &fe) {
				return &Response{RequestID: r.RequestID, Error: fe}, nil
			}
			return nil, err
		}
		if g.cold {
			left--
		}
		resp, err := iv.run(ctx, r, g, queued, left <= 0)
		if errors.Is(err, sandbox.ErrGone) {
			continue // it ended between its last invocation and this one, which it never saw
		}
		return resp, err
	}
}

// triesGone is how many new environments an invocation may meet that end before
// they are given it, until that is the invocation's error.
const triesGone = 3

// acquire admits an invocation and waits for its environment, one of the http
// runtime or one that takes events.
func (iv *Invoker) acquire(ctx context.Context, r *Request, http bool) (grant, error) {
	t := iv.tickets.Get().(*ticket)
	t.Ticket = scale.Ticket{Function: r.Function, Data: t, NoQueue: r.load != nil}
	iv.mu.Lock()
	f, err := iv.lookup(r, http)
	if err != nil {
		iv.mu.Unlock()
		iv.tickets.Put(t)
		return grant{}, err
	}
	iv.running++
	iv.act(iv.scaler.Arrive(time.Now(), &t.Ticket))
	iv.mu.Unlock()

	var g grant
	select {
	case g = <-t.granted:
	default:
		iv.nudge()
		select {
		case g = <-t.granted:
		case <-ctx.Done():
			g = iv.withdraw(t, context.Cause(ctx))
		case <-iv.ctx.Done():
			g = iv.withdraw(t, gust.ErrClosing)
		}
	}
	iv.tickets.Put(t)
	if g.err == nil { // deployed while it waited
		err := takes(g.env.fn, http)
		if !g.env.fn.AnswersFor(f.App) {
			err = passedOn(g.env.fn, f.App)
		}
		if err != nil {
			iv.finished(g.env, true)
			return grant{}, err
		}
	}
	if g.err != nil {
		iv.mu.Lock()
		iv.left()
		iv.mu.Unlock()
		var throttled *gust.ThrottledError
		var backoff *scale.BackoffError
		if errors.As(g.err, &throttled) {
			iv.Recorder.Throttled(f, throttled.Reason)
		} else if errors.As(g.err, &backoff) {
			iv.Recorder.Throttled(f, gust.ThrottleBackoff)
			g.err = backoffError(backoff)
		}
	}
	return g, g.err
}

// withdraw takes back a ticket that nobody waits for; if it was granted
// meanwhile, that stands.
func (iv *Invoker) withdraw(t *ticket, cause error) grant {
	iv.mu.Lock()
	ok, actions := iv.scaler.Cancel(time.Now(), &t.Ticket)
	iv.act(actions)
	iv.mu.Unlock()
	if ok {
		return grant{err: cause}
	}
	return <-t.granted
}

// takes says whether f takes HTTP requests, or else events.
func takes(f *gust.Function, http bool) error {
	switch {
	case http == (f.Runtime == gust.RuntimeHTTP):
		return nil
	case http:
		return fmt.Errorf("%w: function %s: %w", gust.ErrInvalid, f.Name, errEventsOnly)
	default:
		return fmt.Errorf("%w: function %s: %w", gust.ErrInvalid, f.Name, ErrHTTPOnly)
	}
}

// passedOn refuses what was for a function of app, whose name another app's has now
// that has not taken it over.
func passedOn(f *gust.Function, app string) error {
	return fmt.Errorf("function %q of app %q, whose name that of app %q has now: %w", f.Name, app, f.App, gust.ErrNotFound)
}

// lookup finds what is asked for, which has to be of the http runtime or else
// take events. The caller holds mu.
func (iv *Invoker) lookup(r *Request, http bool) (*gust.Function, error) {
	f, err := iv.find(r)
	if err != nil {
		return nil, err
	}
	return f, takes(f, http)
}

// find finds what is asked for in the newest snapshot, and declares that one if
// the scaler has not seen it: who deployed and then invokes gets the new
// version. The caller holds mu.
func (iv *Invoker) find(r *Request) (*gust.Function, error) {
	if iv.closing {
		return nil, gust.ErrClosing
	}
	snap := iv.Catalog.Snapshot()
	if snap != iv.declared {
		iv.declare(snap)
	}
	f := snap.Functions[r.Function]
	if f == nil {
		return nil, fmt.Errorf("function %q: %w", r.Function, gust.ErrNotFound)
	}
	if r.load != nil && !f.AnswersFor(r.app) {
		return nil, passedOn(f, r.app)
	}
	if q := r.Qualifier; q != "" && q != "$LATEST" && q != strconv.FormatUint(f.Version, 10) {
		return nil, fmt.Errorf("function %q has no version or alias %q, only $LATEST, which is version %d: %w", r.Function, q, f.Version, gust.ErrNotFound)
	}
	return f, nil
}

// backoffError is the function's own start error, with what the node does
// about it.
func backoffError(b *scale.BackoffError) error {
	var fe *gust.FunctionError
	if !errors.As(b.Err, &fe) {
		return b
	}
	again := *fe
	again.Message = fmt.Sprintf("%s (it failed to start %d times in a row and is not tried again for %v)",
		fe.Message, b.Failures, time.Until(b.Until).Round(time.Millisecond))
	return &again
}

// left ends what acquire began. The caller holds mu.
func (iv *Invoker) left() {
	iv.running--
	if iv.closing && iv.running == 0 {
		close(iv.drained)
	}
}

// call is an invocation under way. It is one piece of memory, because there is
// one for each of many thousand invocations a second.
type call struct {
	iv       *Invoker
	x        *environment
	tail     bool
	event    gust.Invocation
	report   gust.Report
	response Response
}

// run gives the event to the environment and reports what came of it.
// sandbox.ErrGone means that it was not given, unless last says that this is an
// error like others.
func (iv *Invoker) run(ctx context.Context, r *Request, g grant, queued time.Time, last bool) (*Response, error) {
	x := g.env
	if r.load != nil {
		payload, err := r.load()
		if err != nil {
			iv.finished(x, true)
			return nil, err
		}
		r.Payload = payload
	}
	err := x.awaken()
	if err != nil {
		iv.Logger.Warn("an environment could not be thawed and is given up", "function", x.fn.Name, "environment", x.id, "error", err)
		err = sandbox.ErrGone
	}
	start := time.Now()
	c := &call{
		iv: iv, x: x, tail: r.Tail, report: x.report(r, g, queued, start),
		event: gust.Invocation{
			RequestID: r.RequestID, Payload: r.Payload, Deadline: start.Add(x.timeout), ARN: x.arn,
			TraceID: r.TraceID, ClientContext: r.ClientContext, CognitoIdentity: r.CognitoIdentity,
		},
		response: Response{RequestID: r.RequestID, Version: x.fn.Version},
	}
	if r.Tail {
		x.stream.Capture()
	}
	x.stream.Begin(r.RequestID, r.TraceID, start)
	var result *gust.Result
	if err == nil {
		result, err = x.sandbox.Invoke(context.WithoutCancel(ctx), &c.event)
	}
	if errors.Is(err, sandbox.ErrGone) && last {
		x.stop() // where it could not be thawed
		err = x.ended(r.RequestID)
	}
	switch {
	case errors.Is(err, sandbox.ErrGone):
		x.stream.Abandon(r.RequestID)
		if r.Tail {
			x.stream.Captured()
		}
		iv.finished(x, false)
		return nil, err
	case err != nil:
		c.response.Error = functionError(err)
		c.end(c.response.Error)
	case result.Stream != nil:
		s := *result
		s.Stream = newStream(result.Stream, time.Until(c.event.Deadline),
			sandboxenv.Timeout(r.RequestID, x.timeout), func(err error) { c.end(functionError(err)) })
		c.response.Result = &s
	default:
		c.response.Result = result
		c.end(nil)
	}
	return &c.response, nil
}

// end reports the invocation and gives the environment back.
func (c *call) end(fe *gust.FunctionError) {
	c.report.Duration = time.Since(c.report.Start)
	c.x.finish(&c.report, fe)
	if c.tail {
		c.response.LogTail = c.x.stream.Captured()
	}
	c.iv.finished(c.x, reusable(fe))
}

// functionError makes a FunctionError of whatever ended an invocation.
func functionError(err error) *gust.FunctionError {
	if err == nil {
		return nil
	}
	var fe *gust.FunctionError
	if errors.As(err, &fe) {
		return fe
	}
	return &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.Error", Message: err.Error()}
}

// reusable says whether an environment can be used again after an invocation
// ended with fe.
func reusable(fe *gust.FunctionError) bool {
	return fe == nil || fe.Outcome == gust.OutcomeError || fe.Outcome == gust.OutcomeSize
}

// finished gives the environment back.
func (iv *Invoker) finished(x *environment, reuse bool) {
	iv.mu.Lock()
	iv.act(iv.scaler.Finish(time.Now(), x.env, reuse))
	iv.left()
	iv.mu.Unlock()
}
