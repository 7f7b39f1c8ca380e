package invoke

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke/scale"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/sandbox"
	sandboxenv "github.com/gust-dev/gust/internal/sandbox/environment"
)

// How long a program has between SIGTERM and the end: one that serves HTTP may
// have connections to close, one on the Runtime API has nothing to do.
const (
	graceHTTP    = 2 * time.Second
	graceRuntime = 300 * time.Millisecond
)

// environment is a sandbox with what the invoker knows about it.
type environment struct {
	env     *scale.Env
	fn      *gust.Function
	id      string
	arn     string
	sandbox sandbox.Environment
	stream  *observe.Stream
	release []func() // of the folders of its code and its layers, and of its runtime
	late    bool     // it could have been bound to an interpreter that waited
	init    time.Duration
	timeout time.Duration // the function's, or held

	memory atomic.Int64 // the newest measured peak
	sent   atomic.Int64 // to its network, of what reports have told

	freezing sync.Mutex  // orders freeze, thaw and stop
	frozen   atomic.Bool // what it should be, by the scaler
	asleep   atomic.Bool // what it may be; changed under freezing
}

// start carries out scale.Start; cancel ends ctx.
func (iv *Invoker) start(ctx context.Context, cancel context.CancelCauseFunc, e *scale.Env) {
	defer cancel(nil)
	began := time.Now()
	x, err := iv.boot(ctx, e)
	if err != nil {
		fe := functionError(err)
		if ctx.Err() == nil { // else it is nobody's fault
			iv.Recorder.StartFailed(e.Function, fe)
		}
		iv.mu.Lock()
		iv.act(iv.scaler.Failed(time.Now(), e, fe))
		iv.mu.Unlock()
		iv.nudge() // the end of a back-off may be the next thing to do
		return
	}
	x.init = time.Since(began)
	iv.Recorder.Started(e.Function, e.Cause, x.pooling(), x.init)
	x.memory.Store(x.sandbox.Usage().PeakMemory)
	iv.mu.Lock()
	e.Data = x
	iv.scaler.Measured(e, x.memory.Load())
	iv.act(iv.scaler.Ready(time.Now(), e))
	late := iv.ctx.Err() != nil
	iv.mu.Unlock()
	if late { // after stopAll looked
		x.stop()
	}
	<-x.sandbox.Done()
	iv.mu.Lock()
	iv.act(iv.scaler.Died(time.Now(), e, x.ended("")))
	if e.Cause == gust.ColdPrewarmed && e.Served == 0 {
		iv.Recorder.Prewarmed(x.fn, false)
	}
	iv.mu.Unlock()
	iv.nudge()
	x.close()
}

// pooling is whether an interpreter waited for it.
func (x *environment) pooling() observe.Pooling {
	switch {
	case x.sandbox.Pooled():
		return observe.PoolHit
	case x.late:
		return observe.PoolMiss
	default:
		return observe.PoolNone
	}
}

// taskRoot is the path of the code as the program sees it.
func (iv *Invoker) taskRoot(code string) string {
	if iv.Backend.Name() == "none" {
		return code
	}
	return "/var/task"
}

// boot starts an environment and waits until it is ready. An on-demand one has
// 10 s; one that was not ready by then is started once more, with the
// function's timeout, as Lambda does it within the first invocation.
func (iv *Invoker) boot(ctx context.Context, e *scale.Env) (*environment, error) {
	limit := gust.InitTimeout
	if e.Cause == gust.ColdProvisioned {
		limit = gust.MaxProvisionedInit
	}
	x, err := iv.bootOnce(ctx, e, limit)
	if errors.Is(err, errInitTimeout) && e.Cause != gust.ColdProvisioned {
		x, err = iv.bootOnce(ctx, e, e.Function.Timeout)
	}
	return x, err
}

var errInitTimeout = errors.New("init took too long")

func (iv *Invoker) bootOnce(ctx context.Context, e *scale.Env, limit time.Duration) (_ *environment, err error) {
	f := e.Function
	x := &environment{env: e, fn: f, id: newID(), arn: iv.Place.FunctionARN(f.Name), timeout: f.Timeout}
	x.stream = iv.Recorder.Stream(f, x.id)
	defer func() {
		if err != nil {
			x.close()
		}
	}()
	var folders []string // of the code, then of the layers
	for d := range f.Artifacts() {
		folder, release, err := iv.Code.Acquire(ctx, d)
		if err != nil {
			return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.Code", Message: err.Error()}
		}
		folders = append(folders, folder)
		x.release = append(x.release, release)
	}
	r, release, err := iv.Runtimes.Acquire(ctx, f)
	if err != nil {
		return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.Runtime", Message: err.Error()}
	}
	x.release = append(x.release, release)
	code := folders[0]
	task := iv.taskRoot(code)
	spec := ahead(f, r, task)
	spec.ID, spec.Function, spec.Code, spec.Layers = x.id, f.Name, code, folders[1:]
	spec.Env = environ(f, x.id, iv.Place, e.Cause, task, r)
	spec.CPU, spec.Processes, spec.Concurrency, spec.Ready = f.CPU, gust.MaxProcesses, f.PerEnvironment(), f.Ready
	spec.Output = x.stream.Line
	if iv.API != nil {
		spec.API = func(ln net.Listener, token [sha256.Size]byte) io.Closer { return iv.API(f.Name, x.id, ln, token) }
	}
	debug, port := iv.Debug[f.Name], 0
	if debug != nil {
		x.timeout, limit = held, held
		if port, err = debug.prepare(&spec); err != nil {
			return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.StartFailed", Message: err.Error()}
		}
	}
	x.late = len(spec.Boot) > 0
	x.sandbox, err = iv.Backend.Start(ctx, spec)
	if err != nil {
		return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.StartFailed", Message: err.Error()}
	}
	if debug != nil {
		if err := iv.debugStarted(debug, x, spec, port); err != nil {
			x.sandbox.Stop(0)
			return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.StartFailed", Message: err.Error()}
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-x.sandbox.Ready():
		if fe := x.sandbox.InitError(); fe != nil {
			x.sandbox.Stop(0)
			return nil, fe
		}
	case <-timer.C:
		x.sandbox.Stop(0)
		return nil, fmt.Errorf("%w: %w", errInitTimeout, &gust.FunctionError{
			Outcome: gust.OutcomeInit, Type: "Sandbox.Timedout",
			Message: fmt.Sprintf("the program was not ready for its first invocation within %v", limit),
		})
	case <-ctx.Done():
		x.sandbox.Stop(0)
		if iv.ctx.Err() != nil {
			return nil, gust.ErrClosing
		}
		return nil, context.Cause(ctx)
	}
	if err := x.sandbox.SetInit(false); err != nil {
		x.sandbox.Stop(0)
		return nil, &gust.FunctionError{Outcome: gust.OutcomeSandbox, Type: "Sandbox.StartFailed", Message: err.Error()}
	}
	return x, nil
}

// close gives back what an ended environment had.
func (x *environment) close() {
	x.stream.Close()
	for _, release := range x.release {
		release()
	}
}

// stop ends the program. A freeze that is late comes before it or not at all:
// what is frozen could not end.
func (x *environment) stop() {
	x.frozen.Store(false)
	x.freezing.Lock()
	//lint:ignore SA2001 it waits for a freeze that is under way
	x.freezing.Unlock()
	grace := graceRuntime
	if x.fn.Runtime == gust.RuntimeHTTP {
		grace = graceHTTP
	}
	x.sandbox.Stop(grace)
}

// freeze carries out scale.Freeze, unless the environment was given work
// meanwhile.
func (iv *Invoker) freeze(x *environment) {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	// Who gives it work clears frozen and then looks at asleep; here it is the
	// other way round, so that one of both sees the other.
	x.asleep.Store(true)
	if !x.frozen.Load() {
		x.asleep.Store(false)
		return
	}
	if err := x.sandbox.Freeze(); err != nil {
		iv.Logger.Warn("an idle environment could not be frozen", "function", x.fn.Name, "environment", x.id, "error", err)
	}
}

// awaken lets the environment run again before it gets work. Everybody who has
// work calls it: with several invocations at once it is not known whose is first.
func (x *environment) awaken() error {
	if !x.asleep.Load() {
		return nil
	}
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if !x.asleep.Load() {
		return nil
	}
	if err := x.sandbox.Thaw(); err != nil {
		return err
	}
	x.asleep.Store(false)
	return nil
}

// ended is how its program ended, which it has.
func (x *environment) ended(requestID string) *gust.FunctionError {
	<-x.sandbox.Done()
	return sandboxenv.Ended(requestID, x.sandbox.Exit(), x.fn.Memory)
}

// report begins the report of an invocation.
func (x *environment) report(r *Request, g grant, queued, start time.Time) gust.Report {
	report := gust.Report{
		App: x.fn.App, Function: x.fn.Name, Version: x.fn.Version, Environment: x.id,
		RequestID: r.RequestID, TraceID: r.TraceID, Source: r.Source,
		Start: start, Queue: start.Sub(queued), MemorySize: x.fn.Memory,
	}
	if g.cold {
		report.Cold, report.Init, report.Pooled = x.env.Cause, x.init, x.sandbox.Pooled()
	}
	return report
}

// finish completes the report and hands it on.
func (x *environment) finish(report *gust.Report, fe *gust.FunctionError) {
	report.Billed = (report.Duration + report.Init + time.Millisecond - 1).Truncate(time.Millisecond)
	if report.Cold != "" {
		x.memory.Store(max(x.memory.Load(), x.sandbox.Usage().PeakMemory))
	}
	report.MemoryUsed = x.memory.Load()
	report.Outcome = gust.OutcomeOK
	if fe != nil {
		report.Outcome, report.ErrorType, report.ErrorMessage = fe.Outcome, fe.Type, fe.Message
		if fe.Outcome == gust.OutcomeMemory {
			report.MemoryUsed = report.MemorySize
		}
	}
	if m := x.fn.Network.Mode; m != "" && m != gust.NetworkNone {
		report.BytesOut = x.sentSince(x.sandbox.BytesOut())
	}
	x.stream.End(report)
}

// sentSince returns what of now no report has told yet. Of several that end at
// once, one tells it.
func (x *environment) sentSince(now int64) int64 {
	for {
		told := x.sent.Load()
		if now <= told {
			return 0
		}
		if x.sent.CompareAndSwap(told, now) {
			return now - told
		}
	}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// stopAll ends every environment at shutdown.
func (iv *Invoker) stopAll() {
	var all []*environment
	iv.mu.Lock()
	iv.scaler.Each(func(e *scale.Env) {
		if x, ok := e.Data.(*environment); ok {
			all = append(all, x)
		}
	})
	iv.mu.Unlock()
	var wg sync.WaitGroup
	for _, x := range all {
		wg.Go(x.stop)
	}
	wg.Wait()
}

// watch declares each new snapshot, so that deploys start what they provision
// and stop what they replace though nobody invokes.
func (iv *Invoker) watch() {
	last := iv.Catalog.Snapshot()
	for {
		changed := iv.Catalog.Watch()
		iv.mu.Lock()
		snap := iv.Catalog.Snapshot() // under the lock, so that nobody declares an older one
		if snap != iv.declared && !iv.closing {
			iv.declare(snap)
		}
		iv.mu.Unlock()
		for name := range last.Functions {
			if snap.Functions[name] == nil {
				iv.Recorder.Forget(name)
			}
		}
		last = snap
		select {
		case <-changed:
		case <-iv.ctx.Done():
			return
		}
	}
}

// measureEvery is how often running environments are asked for their memory.
const measureEvery = time.Second

// measure keeps the scaler's and the reports' idea of memory up to date. It
// returns the environments that it asked, those that are not frozen.
func (iv *Invoker) measure(awake []*environment) []*environment {
	iv.mu.Lock()
	iv.scaler.Each(func(e *scale.Env) {
		if x, ok := e.Data.(*environment); ok && e.State != scale.Frozen {
			awake = append(awake, x)
		}
	})
	iv.mu.Unlock()
	for _, x := range awake {
		u := x.sandbox.Usage()
		x.memory.Store(max(x.memory.Load(), u.PeakMemory))
		iv.mu.Lock()
		iv.scaler.Measured(x.env, u.Memory)
		iv.mu.Unlock()
	}
	return awake
}
