// Package none is the backend without a sandbox: it runs a function's program
// as a plain process of the node's own user, for machines where isolation
// cannot be had (macOS, Linux without root) and for those who typed --sandbox
// none. Everything else of the seam holds: protocol, deadlines, freezing,
// output, how ends are told apart, that nothing is left behind.
//
// It protects nobody. The program sees the node's files, processes and
// network, and can reach the data folder. What it does not enforce either,
// and a node says so in every status:
//
//   - memory: the limit is only told to the program; running out of it is the
//     machine's affair, so no invocation ends in OutcomeMemory;
//   - the size of /tmp: TMPDIR names a folder of the environment's own, on the
//     disk that holds it, without a quota;
//   - CPU shares and quotas, the number of processes, the network;
//   - that the code folder is read-only;
//   - descendants that leave the process group: they outlive the environment.
//
// Usage is that of the first process alone, without its descendants. While it
// runs only Linux tells; elsewhere usage is zero until the end.
//
// What node and python functions run on is the system's interpreter. Layers are
// refused: /opt is the host's.
//
// The listener for the node's API is on the host's loopback, and the token a file
// of the node's user: whoever is that user, other functions among them, can use
// both.
//
// An http program gets a port that was free a moment before: somebody else on
// the machine can take it first, and the program then fails to start.
//
// On Windows a job object is in the process group's place. Nothing can be frozen
// there: idle environments run on, with the little that they do. And a program
// is asked to end by Ctrl-Break, which reaches it only if the node has a console.
package none

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/environment"
)

// Options configure a Backend.
type Options struct {
	// Dir is where environments have their temporary folders; empty means
	// the system's.
	Dir string
	// Logger gets what is wrong with the node. Nil means slog.Default().
	Logger *slog.Logger
}

// Backend starts plain processes.
type Backend struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	closed bool
	envs   map[*environment.Environment]struct{}
	all    sync.WaitGroup
}

var _ sandbox.Backend = (*Backend)(nil)

// New returns a backend whose folder exists.
func New(opts Options) (*Backend, error) {
	if opts.Dir == "" {
		opts.Dir = os.TempDir()
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for environments: %w", err)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder for environments: %w", err)
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Backend{dir: dir, log: opts.Logger, envs: make(map[*environment.Environment]struct{})}, nil
}

// Name implements sandbox.Backend.
func (b *Backend) Name() string { return "none" }

// Start implements sandbox.Backend. A program that cannot be executed is a
// *gust.FunctionError of the type Runtime.InvalidEntrypoint.
func (b *Backend) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Environment, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := check(spec); err != nil {
		return nil, fmt.Errorf("starting an environment of %s: %w", spec.Function, err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, fmt.Errorf("starting an environment of %s: %w", spec.Function, gust.ErrClosing)
	}
	b.all.Add(1)
	b.mu.Unlock()
	env, err := b.start(spec)
	if err != nil {
		b.all.Done()
		return nil, fmt.Errorf("starting an environment of %s: %w", spec.Function, err)
	}
	b.mu.Lock()
	closed := b.closed
	b.envs[env] = struct{}{}
	b.mu.Unlock()
	go func() {
		defer b.all.Done()
		if closed {
			env.Stop(0)
		}
		<-env.Done()
		b.mu.Lock()
		delete(b.envs, env)
		b.mu.Unlock()
	}()
	return env, nil
}

func check(spec sandbox.Spec) error {
	switch {
	case spec.ID == "" || strings.ContainsRune(spec.ID, filepath.Separator):
		return fmt.Errorf("%w: the id is %q, want 32 hexadecimal characters", gust.ErrInvalid, spec.ID)
	case len(spec.Command) == 0:
		return fmt.Errorf("%w: there is no command", gust.ErrInvalid)
	case !filepath.IsAbs(spec.Code):
		return fmt.Errorf("%w: the code folder %q is not absolute", gust.ErrInvalid, spec.Code)
	case len(spec.Layers) > 0:
		return fmt.Errorf("%w: its layers belong at /opt, which is the host's own without a sandbox: put their files into the function's source, or run the node with a sandbox", gust.ErrInvalid)
	case spec.Output == nil:
		return fmt.Errorf("%w: nothing takes the output", gust.ErrInvalid)
	}
	return nil
}

// start makes what a program needs, in order, and takes all of it back if one
// step fails.
func (b *Backend) start(spec sandbox.Spec) (_ *environment.Environment, err error) {
	var undo []func()
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()

	own := filepath.Join(b.dir, "gust-"+spec.ID)
	tmp := filepath.Join(own, "tmp")
	if err := os.Mkdir(own, 0o700); err != nil {
		return nil, fmt.Errorf("making its own folder: %w", err)
	}
	undo = append(undo, func() { os.RemoveAll(own) })
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("making its temporary folder: %w", err)
	}

	parts := environment.Parts{Spec: spec, Logger: b.log}
	var address string
	if spec.Runtime == gust.RuntimeHTTP {
		addr, err := freeAddress()
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		parts.Dial = func(ctx context.Context) (net.Conn, error) {
			d := net.Dialer{KeepAlive: -1}
			return d.DialContext(ctx, "tcp", addr.String())
		}
		address = "PORT=" + strconv.Itoa(addr.Port)
	} else {
		// Keep-alive probes are for peers that can vanish; this one cannot.
		lc := net.ListenConfig{KeepAlive: -1}
		ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listening for it: %w", err)
		}
		undo = append(undo, func() { ln.Close() })
		parts.Listener = ln
		address = "AWS_LAMBDA_RUNTIME_API=" + ln.Addr().String()
	}

	var api []string
	if spec.API != nil {
		token, file := environment.NewToken(), filepath.Join(own, "token")
		if err := os.WriteFile(file, token, 0o600); err != nil {
			return nil, fmt.Errorf("writing its token: %w", err)
		}
		if parts.API, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listening for what it asks of the API: %w", err)
		}
		undo = append(undo, func() { parts.API.Close() })
		parts.Token = sha256.Sum256(token)
		api = environment.Variables(spec, parts.API.Addr().String(), file)
	}

	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making its output pipe: %w", err)
	}
	undo = append(undo, func() { r.Close() })
	defer w.Close()

	program := spec.Command[0]
	if !filepath.IsAbs(program) {
		program = filepath.Join(spec.Code, program)
	}
	cmd := &exec.Cmd{
		Path:        program,
		Args:        spec.Command,
		Env:         append(variables(spec, address, tmp), api...),
		Dir:         spec.Code,
		Stdout:      w,
		Stderr:      w,
		SysProcAttr: attributes(),
	}
	if err := cmd.Start(); err != nil {
		return nil, environment.InvalidEntrypoint(err)
	}
	parts.Output = r
	if parts.Process, err = newProcess(cmd, own, b.log); err != nil {
		return nil, err
	}
	undo = nil // all of it is the environment's now
	return environment.New(parts)
}

// variables is the program's environment. What names places of a sandbox names
// the host's instead.
func variables(spec sandbox.Spec, address, tmp string) []string {
	env := make([]string, 0, len(spec.Env)+2)
	for _, v := range spec.Env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "TMPDIR":
		case "HOME":
			if v == "HOME=/tmp" { // anybody's: credentials' files are looked for there
				v = "HOME=" + tmp
			}
			env = append(env, v)
		case "LAMBDA_TASK_ROOT":
			env = append(env, "LAMBDA_TASK_ROOT="+spec.Code)
		default:
			env = append(env, v)
		}
	}
	return append(env, address, "TMPDIR="+tmp)
}

// freeAddress is an address on the loopback that nobody listened on just now.
func freeAddress() (*net.TCPAddr, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr, ok := ln.Addr().(*net.TCPAddr)
	if err := ln.Close(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("the listener has no TCP address")
	}
	return addr, nil
}

// Close implements sandbox.Backend.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	for env := range b.envs {
		b.all.Go(func() { env.Stop(0) })
	}
	b.mu.Unlock()
	b.all.Wait()
	return nil
}
