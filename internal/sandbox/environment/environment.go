package environment

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/httpapp"
	"github.com/gust-dev/gust/internal/sandbox/output"
	"github.com/gust-dev/gust/internal/sandbox/runtimeapi"
)

// killWait bounds how long an invocation waits for the program it had killed:
// the kernel may hold a process that waits for a disk.
const killWait = time.Second

// Environment is a [sandbox.Environment] over a Process.
type Environment struct {
	spec    sandbox.Spec
	process Process
	pooled  bool
	log     *slog.Logger
	pipe    *output.Pipe
	session *runtimeapi.Session // nil for an http program
	app     *httpapp.App        // nil for others
	api     io.Closer           // what Spec.API returned; nil without one

	ended chan struct{} // the program has ended and everybody knows
	done  chan struct{}

	mu      sync.Mutex
	stopped bool // the node has asked it to end
	killed  bool // the node has killed it
	exit    sandbox.Exit
	endErr  *gust.FunctionError // what session or app was told
}

var _ sandbox.Environment = (*Environment)(nil)

// New takes over a program that was started. If it fails, which only a broken
// output pipe makes it do, the program has been killed and released.
func New(p Parts) (*Environment, error) {
	e := &Environment{
		spec:    p.Spec,
		process: p.Process,
		pooled:  p.Pooled,
		log:     p.Logger,
		ended:   make(chan struct{}),
		done:    make(chan struct{}),
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	pipe, err := output.New(p.Output, p.Spec.Output)
	if err != nil {
		p.Output.Close()
		for _, ln := range []net.Listener{p.Listener, p.API} {
			if ln != nil {
				ln.Close()
			}
		}
		p.Process.Kill()
		p.Process.Wait()
		p.Process.Release()
		return nil, err
	}
	e.pipe = pipe
	if p.Listener != nil {
		e.session = runtimeapi.New(p.Listener, runtimeapi.Options{
			Concurrency: p.Spec.Concurrency,
			Function:    p.Spec.Function,
		})
	} else {
		e.app = httpapp.New(p.Dial, httpapp.Options{
			ReadyPath:   p.Spec.Ready,
			Concurrency: p.Spec.Concurrency,
		})
	}
	if p.Spec.API != nil {
		e.api = p.Spec.API(p.API, p.Token)
	}
	go e.wait()
	return e, nil
}

// wait sees the program to its end.
func (e *Environment) wait() {
	defer close(e.done)
	defer e.process.Release()
	defer close(e.ended)
	exit := e.process.Wait()
	if e.api != nil {
		e.api.Close()
	}
	if err := e.pipe.Close(); err != nil {
		e.log.Error("a program's output was not read to its end", "environment", e.spec.ID, "error", err)
	}

	e.mu.Lock()
	// A program that had ended by itself before it was killed keeps its own
	// end: that is what whoever reads the error needs.
	ours := e.stopped || e.killed && exit.Outcome == gust.OutcomeCrash && exit.Status == int(syscall.SIGKILL)
	if ours && exit.Outcome != gust.OutcomeMemory {
		exit.Outcome = gust.OutcomeOK
	}
	e.exit = exit
	isReady := false
	select {
	case <-e.Ready():
		isReady = true
	default:
	}
	if isReady {
		e.endErr = Ended("", exit, e.spec.Memory)
	} else {
		e.endErr = NotStarted(exit, e.spec.Memory, e.pipe.Tail())
	}
	endErr := e.endErr
	e.mu.Unlock()

	if e.session != nil {
		if ours {
			e.session.Interrupt()
		}
		e.session.Fail(endErr)
	} else {
		e.app.Fail(endErr)
		if ours { // else what it had sent can still be read
			e.app.Close()
		}
	}
}

// Ready implements sandbox.Environment.
func (e *Environment) Ready() <-chan struct{} {
	if e.session != nil {
		return e.session.Ready()
	}
	return e.app.Ready()
}

// InitError implements sandbox.Environment. Its Output is the end of what the
// program has printed.
func (e *Environment) InitError() *gust.FunctionError {
	var err *gust.FunctionError
	if e.session != nil {
		err = e.session.InitError()
	} else {
		err = e.app.InitError()
	}
	if err == nil || err.Output != "" {
		return err
	}
	told := *err
	e.pipe.Drain()
	told.Output = string(e.pipe.Tail())
	return &told
}

// Invoke implements sandbox.Environment. When ctx ends while the program has
// the event, the environment is killed: its place is taken by an invocation
// that nobody bounds any more.
func (e *Environment) Invoke(ctx context.Context, inv *gust.Invocation) (*gust.Result, error) {
	if e.session == nil {
		return nil, ErrWrongRuntime
	}
	begin := time.Now()
	result, err := e.session.Invoke(ctx, inv)
	if err != nil {
		return nil, e.failed(ctx, inv.RequestID, inv.Deadline.Sub(begin), err)
	}
	if result.Stream != nil {
		result.Stream = e.newStream(inv, begin, result.Stream)
		return result, nil
	}
	e.pipe.Drain()
	return result, nil
}

// failed carries out what the end of an invocation asks for, and words it.
func (e *Environment) failed(ctx context.Context, requestID string, allowed time.Duration, err error) error {
	var fe *gust.FunctionError
	switch {
	case errors.Is(err, runtimeapi.ErrDeadline):
		e.kill()
		// What was declared was a little more than what was left of it here.
		return Timeout(requestID, allowed.Round(50*time.Millisecond))
	case errors.Is(err, runtimeapi.ErrAbandoned):
		e.kill()
		return context.Cause(ctx)
	case errors.Is(err, runtimeapi.ErrEnded), errors.Is(err, httpapp.ErrEnded):
		return sandbox.ErrGone
	case !errors.As(err, &fe):
		return err
	}
	if fe == e.rawInitError() {
		return e.InitError()
	}
	if fe.Outcome == gust.OutcomeProtocol && e.session != nil {
		// A connection that breaks off may be the first that is seen of the
		// program's own end, which says more.
		if e.kill() && e.Exit().Outcome != gust.OutcomeOK {
			return Ended(requestID, e.Exit(), e.spec.Memory)
		}
	}
	e.mu.Lock()
	ended := fe == e.endErr
	e.mu.Unlock()
	if ended {
		return Ended(requestID, e.Exit(), e.spec.Memory)
	}
	e.pipe.Drain()
	return fe
}

func (e *Environment) rawInitError() *gust.FunctionError {
	if e.session != nil {
		return e.session.InitError()
	}
	return e.app.InitError()
}

// putDown ends the program.
func (e *Environment) putDown() {
	e.mu.Lock()
	e.killed = true
	e.mu.Unlock()
	e.process.Kill()
	if e.session != nil {
		e.session.Interrupt()
	}
}

// kill ends the program and waits until it has, which it reports.
func (e *Environment) kill() bool {
	e.putDown()
	timer := time.NewTimer(killWait)
	defer timer.Stop()
	select {
	case <-e.ended:
		return true
	case <-timer.C:
		e.log.Warn("a killed program is still there", "environment", e.spec.ID, "after", killWait)
		return false
	}
}

// RoundTrip implements sandbox.Environment. A request whose context ends does
// not end the environment, which serves others.
func (e *Environment) RoundTrip(req *http.Request) (*http.Response, error) {
	if e.app == nil {
		return nil, ErrWrongRuntime
	}
	resp, err := e.app.RoundTrip(req)
	if err != nil {
		return nil, e.failed(req.Context(), "", 0, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &roundTripBody{resp.Body, e, req.Context()}
	}
	return resp, nil
}

// roundTripBody delivers the program's output before its end is seen.
type roundTripBody struct {
	io.ReadCloser
	e   *Environment
	ctx context.Context
}

func (b *roundTripBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.e.pipe.Drain()
	default:
		err = b.e.failed(b.ctx, "", 0, err)
	}
	return n, err
}

// Freeze implements sandbox.Environment.
func (e *Environment) Freeze() error { return e.process.Freeze() }

// Thaw implements sandbox.Environment.
func (e *Environment) Thaw() error { return e.process.Thaw() }

// SetInit implements sandbox.Environment.
func (e *Environment) SetInit(on bool) error { return e.process.SetInit(on) }

// Usage implements sandbox.Environment.
func (e *Environment) Usage() sandbox.Usage { return e.process.Usage() }

// BytesOut implements sandbox.Environment.
func (e *Environment) BytesOut() int64 { return e.process.BytesOut() }

// Pooled implements sandbox.Environment.
func (e *Environment) Pooled() bool { return e.pooled }

// PID is the program's process on the host, and Dial connects to a port of its
// loopback, both for debuggers.
func (e *Environment) PID() (int, error) { return e.process.PID() }

func (e *Environment) Dial(ctx context.Context, port int) (net.Conn, error) {
	return e.process.Dial(ctx, port)
}

// Stop implements sandbox.Environment.
func (e *Environment) Stop(grace time.Duration) {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	if grace > 0 {
		e.process.Terminate()
		if err := e.process.Thaw(); err != nil {
			e.log.Warn("an environment could not be thawed to stop", "environment", e.spec.ID, "error", err)
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-e.done:
			return
		case <-timer.C:
		}
	}
	e.process.Kill()
	<-e.done
}

// Done implements sandbox.Environment.
func (e *Environment) Done() <-chan struct{} { return e.done }

// Exit implements sandbox.Environment.
func (e *Environment) Exit() sandbox.Exit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.exit
}
