package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gust-dev/gust/internal/sandbox"
)

// Debug is how a function runs under a debugger. `gust dev --debug` asks for
// it, and nothing else can: neither a manifest nor the API.
//
// Such a function's environments are started plainly, whatever they could be
// taken from, and nothing bounds their init and their invocations but held: who
// looks at a breakpoint has time. Who connects to Listener reaches the newest
// environment's debugger, which is why editors need not know that a deploy has
// put another one in its place.
type Debug struct {
	// Listener is where debuggers come. The Invoker closes it.
	Listener net.Listener
	// Command, if set, changes what is run so that it listens for a debugger
	// on a port of the environment's own loopback.
	Command func(command, env []string, port int) ([]string, []string)
	// Attach, if set, runs a debugger beside the program with this process id,
	// whose code is in this folder, until ctx ends; it listens on a port of
	// the host's loopback.
	Attach func(ctx context.Context, pid int, code string, port int) error

	newest atomic.Pointer[func(context.Context) (net.Conn, error)]
}

// held is what a debugged function has instead of its timeout.
const held = 24 * time.Hour

// debugged is what a debugger needs of an environment; those of both backends
// have it.
type debugged interface {
	// PID is the program's process on the host.
	PID() (int, error)
	// Dial connects to a port of the program's own loopback.
	Dial(ctx context.Context, port int) (net.Conn, error)
}

// prepare changes a spec for the debugger, and returns on which port it will
// be.
func (d *Debug) prepare(spec *sandbox.Spec) (port int, err error) {
	if port, err = quietPort(); err != nil {
		return 0, fmt.Errorf("finding a port for the debugger: %w", err)
	}
	spec.Boot = nil
	if d.Command != nil {
		spec.Command, spec.Env = d.Command(spec.Command, spec.Env, port)
	}
	return port, nil
}

// quietPort is a port that is free on the host, and so in a namespace where
// nothing runs. It is below those that systems give out by themselves, or
// somebody could get it before the debugger does.
func quietPort() (port int, err error) {
	for range 64 {
		port = 16384 + rand.IntN(16384)
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, ln.Close()
		}
	}
	return 0, err
}

// debugStarted makes the environment the one that debuggers reach.
func (iv *Invoker) debugStarted(d *Debug, x *environment, spec sandbox.Spec, port int) error {
	env, ok := x.sandbox.(debugged)
	if !ok {
		return fmt.Errorf("the backend %s has no way for debuggers", iv.Backend.Name())
	}
	dial := func(ctx context.Context) (net.Conn, error) { return env.Dial(ctx, port) }
	if d.Attach != nil {
		pid, err := env.PID()
		if err != nil {
			return err
		}
		dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		}
		ctx, cancel := context.WithCancel(context.Background())
		iv.wg.Go(func() {
			<-x.sandbox.Done()
			cancel()
		})
		iv.wg.Go(func() {
			if err := d.Attach(ctx, pid, spec.Code, port); err != nil && ctx.Err() == nil {
				iv.Logger.Error("the debugger has ended", "function", x.fn.Name, "error", err)
			}
		})
	}
	d.newest.Store(&dial)
	return nil
}

// serveDebug passes debuggers on until the invoker closes.
func (iv *Invoker) serveDebug(d *Debug) {
	defer context.AfterFunc(iv.ctx, func() { d.Listener.Close() })()
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				iv.Logger.Error("debuggers are no longer let in", "error", err)
			}
			return
		}
		iv.wg.Go(func() {
			defer conn.Close()
			dial := d.newest.Load()
			if dial == nil { // nothing has started; editors try again
				return
			}
			to, err := (*dial)(iv.ctx)
			if err != nil {
				return // likewise
			}
			join(iv.ctx, conn, to)
		})
	}
}

// join copies both ways until one side ends, or ctx.
func join(ctx context.Context, a, b net.Conn) {
	both := func() {
		a.Close()
		b.Close()
	}
	defer context.AfterFunc(ctx, both)()
	var wg sync.WaitGroup
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			defer both()
			io.Copy(c[0], c[1]) //nolint:errcheck // an end is an end
		})
	}
	wg.Wait()
}
