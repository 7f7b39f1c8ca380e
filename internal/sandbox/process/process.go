//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/environment"
	"github.com/gust-dev/gust/internal/sandbox/network"
)

// Backend starts environments as processes. It is safe for use by many
// goroutines.
type Backend struct {
	run     string
	log     *slog.Logger
	keeper  *keeper
	image   *os.File // the sealed starter
	cgroups *cgroups
	uids    *uids
	scratch *scratch
	filter  []byte // of system calls, as the kernel reads it
	proc    procPaths
	lastCap int
	timens  bool
	lock    landlock
	cells   atomic.Uint64 // names cgroups

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	net    *network.Network // nil where there are no rights for it
	netErr error            // and why

	base   baseRoot
	roots  *roots
	spares *spares
	pools  *pools
	mu     sync.Mutex
	envs   map[*program]*environment.Environment
	alive  sync.WaitGroup // Starts under way, and programs that have not been released
	shut   bool
}

// baseRoot is the root of what asks for none, made in the background by New.
type baseRoot struct {
	ready chan struct{}
	path  string
	err   error
}

// errClosed ends the backend's context.
var errClosed = fmt.Errorf("the process sandbox is closed: %w", gust.ErrClosing)

// New checks that the kernel has what is needed, removes what a backend that
// was killed has left, and makes ready to start environments. The environments'
// root is built in the background; the first Start waits for it.
func New(o Options) (*Backend, error) { return open(o, "/") }

// open is New. cgroupRoot is where /proc/self and the cgroups are found, "/" but
// for tests.
func open(o Options, cgroupRoot string) (_ *Backend, err error) {
	if !filepath.IsAbs(o.RunDir) {
		return nil, fmt.Errorf("the process sandbox needs an absolute folder, got %q", o.RunDir)
	}
	b := &Backend{run: o.RunDir, log: o.Logger, envs: map[*program]*environment.Environment{}}
	if b.log == nil {
		b.log = slog.Default()
	}
	if o.NodeID == "" {
		sum := sha256.Sum256([]byte(o.RunDir))
		o.NodeID = hex.EncodeToString(sum[:6])
	}
	b.uids = newUIDs(o.NodeID)
	b.scratch = newScratch(o.RunDir)
	if err := os.MkdirAll(o.RunDir, 0o700); err != nil {
		return nil, err
	}
	if err := b.probe(); err != nil {
		return nil, missing(err)
	}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.filter, err = nativeFilter(); err != nil {
		return nil, err
	}
	name := "gust-" + o.NodeID
	cg, err := openCgroups(cgroupRoot, name)
	if err != nil {
		return nil, missing(err)
	}
	if err := recoverRun(o.RunDir, name, cg, b.log); err != nil {
		return nil, err
	}
	if err := cg.note(o.RunDir); err != nil {
		return nil, err
	}
	if err := cg.create(); err != nil {
		return nil, missing(fmt.Errorf("make a cgroup: %w", err))
	}
	b.cgroups = cg
	if err := protectNode(); errors.Is(err, os.ErrPermission) {
		b.log.Info("the kernel's memory killer may choose the node: protecting it needs CAP_SYS_RESOURCE, which containers seldom have")
	} else if err != nil {
		b.log.Warn("the node is not protected from the kernel's memory killer", "error", err)
	}
	b.net, b.netErr = network.Open(network.Options{
		NodeID: o.NodeID, Ports: o.Ports, Upstreams: o.Upstreams, Logger: b.log,
	})
	if b.netErr != nil {
		b.log.Warn("functions get no network", "error", b.netErr)
	}
	b.keeper = newKeeper()
	if b.image, err = sealedStarter(); err != nil {
		return nil, missing(err)
	}
	if err := b.probeNamespaces(); err != nil {
		return nil, missing(err)
	}
	v, err := b.scratch.newVolume(b.ctx, gust.DefaultEphemeral)
	if err != nil {
		return nil, missing(err)
	}
	b.roots = newRoots(b)
	b.spares = newSpares(b, o.Spares, v)
	b.pools = newPools(b, o.PoolMemory)
	b.base.ready = make(chan struct{})
	b.wg.Go(func() {
		defer close(b.base.ready)
		b.base.path, b.base.err = o.Root(b.ctx)
		switch {
		case b.base.err == nil:
			b.spares.expect(kind{root: b.base.path, network: b.net != nil})
		case b.ctx.Err() == nil:
			b.log.Error("the functions' root is not ready", "error", b.base.err)
		}
	})
	if o.Scratch > 0 {
		b.wg.Go(func() { b.watchScratch(o.Scratch) })
	}
	b.wg.Go(b.spares.run)
	b.wg.Go(b.pools.run)
	return b, nil
}

// Name implements sandbox.Backend.
func (b *Backend) Name() string { return "process" }

func (b *Backend) cellName() string { return strconv.FormatUint(b.cells.Add(1), 10) }

// Start implements sandbox.Backend.
func (b *Backend) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Environment, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return nil, errClosed
	}
	b.alive.Add(1)
	b.mu.Unlock()
	defer b.alive.Done()
	e, err := b.start(ctx, spec)
	if err != nil {
		var fe *gust.FunctionError
		if !errors.As(err, &fe) {
			err = fmt.Errorf("start an environment of function %s: %w", spec.Function, err)
		}
		return nil, err
	}
	return e, nil
}

func (b *Backend) start(ctx context.Context, spec sandbox.Spec) (sandbox.Environment, error) {
	if spec.Root == "" {
		select {
		case <-b.base.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-b.ctx.Done():
			return nil, context.Cause(b.ctx)
		}
		if b.base.err != nil {
			return nil, b.base.err
		}
		spec.Root = b.base.path
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := b.Permits(spec.Network); err != nil {
		return nil, err
	}
	if b.scratch.full.Load() {
		return nil, ErrScratch
	}
	b.spares.begin()
	var e *environment.Environment
	defer func() { b.starts(e) }()
	p, r, pooled, err := b.bindBooted(spec)
	if err == nil && p == nil {
		p, r, err = b.launch(ctx, spec)
	}
	if errors.Is(err, errStarterEnded) {
		// A spare can have been killed like any process, and be noticed only
		// now. A second time it has another reason.
		p, r, err = b.launch(ctx, spec)
	}
	if err != nil {
		return nil, err
	}
	parts := environment.Parts{Spec: spec, Process: p, Output: r, Pooled: pooled, Token: p.cell.token, Logger: b.log}
	if spec.API != nil {
		parts.API, p.cell.api = p.cell.api, nil // the environment's to close
	} else { // who connects would wait for nobody
		p.cell.api.Close()
		p.cell.api = nil
	}
	if spec.Runtime == gust.RuntimeHTTP {
		parts.Dial = p.dial
	} else {
		parts.Listener, p.cell.listener = p.cell.listener, nil // the environment's to close
	}
	b.alive.Add(1) // until it is forgotten, which it is if it does not come to be, too
	if e, err = environment.New(parts); err != nil {
		return nil, err
	}
	b.mu.Lock()
	if !p.forgotten {
		b.envs[p] = e
	}
	shut := b.shut
	b.mu.Unlock()
	if shut {
		e.Stop(0)
		return nil, errClosed
	}
	return e, nil
}

// startsFor is for how long at most what is prepared ahead waits for a program
// to be ready: what takes longer mostly waits for something itself.
const startsFor = 250 * time.Millisecond

// starts lets nothing be prepared ahead before e, if there is one, is ready:
// its program needs the processors more.
func (b *Backend) starts(e *environment.Environment) {
	if e == nil {
		b.spares.end()
		return
	}
	b.wg.Go(func() {
		defer b.spares.end()
		limit := time.NewTimer(startsFor)
		defer limit.Stop()
		select {
		case <-e.Ready():
		case <-e.Done():
		case <-limit.C:
		case <-b.ctx.Done():
		}
	})
}

// bindBooted gives spec an interpreter that waits, if there is one. Without one,
// or when it cannot be bound, there is no error: a plain start does it too.
func (b *Backend) bindBooted(spec sandbox.Spec) (p *program, output *os.File, ok bool, err error) {
	k, ok := bootKindOf(spec)
	doc := message(slices.Concat(spec.Env, knows(spec)))
	if !ok || doc == nil {
		return nil, nil, false, nil
	}
	w := b.pools.take(k)
	if w == nil {
		return nil, nil, false, nil
	}
	m, err := openMounts(spec, w.volume.mount)
	if err != nil { // the function's own fault
		w.close()
		return nil, nil, false, err
	}
	defer m.close()
	if p, err = w.bind(spec, doc, m); err != nil {
		b.log.Warn("an interpreter that waited could not be bound, and a function is started anew", "function", spec.Function, "error", err)
		w.close()
		return nil, nil, false, nil
	}
	return p, w.output, true, nil
}

// launch starts the program in a cell; output is the read end of its output.
func (b *Backend) launch(ctx context.Context, spec sandbox.Spec) (_ *program, output *os.File, err error) {
	c, v, err := b.materials(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err == nil {
		var p *program
		p, err = c.bind(spec, v, int(w.Fd()))
		w.Close()
		if err == nil {
			return p, r, nil
		}
		r.Close()
	}
	c.release()
	v.close()
	return nil, nil, err
}

// materials are a cell and a /tmp, prepared ahead or made now.
func (b *Backend) materials(ctx context.Context, spec sandbox.Spec) (*cell, *volume, error) {
	c, v := b.spares.take(spec)
	var wg sync.WaitGroup
	var verr, cerr error
	if v == nil {
		make := func() { v, verr = b.scratch.newVolume(ctx, spec.Ephemeral) }
		if c == nil {
			wg.Go(make) // beside the cell
		} else {
			make()
		}
	}
	if c == nil {
		c, cerr = b.newCell(kindOf(spec), spec.Memory, spec.Processes)
	}
	wg.Wait()
	if err := errors.Join(verr, cerr); err != nil {
		if v != nil {
			v.close()
		}
		if c != nil {
			c.release()
		}
		return nil, nil, err
	}
	return c, v, nil
}

// Permits says why a function's network cannot be given, or returns nil.
func (b *Backend) Permits(n gust.Network) error {
	switch {
	case !hasNetwork(n):
		return nil
	case b.netErr != nil:
		return fmt.Errorf("network %s: %w", n, b.netErr)
	}
	return b.net.Check(n)
}

// Warnings are what is not as it should be, for people.
func (b *Backend) Warnings() []string {
	if b.netErr != nil {
		return []string{b.netErr.Error()}
	}
	return b.net.Warnings()
}

// hasNetwork reports whether an environment has more than lo.
func hasNetwork(n gust.Network) bool { return n.Mode != "" && n.Mode != gust.NetworkNone }

// forget is called when all that a program had has been given back.
func (b *Backend) forget(p *program) {
	b.mu.Lock()
	p.forgotten = true
	delete(b.envs, p)
	b.mu.Unlock()
	b.alive.Done()
}

// knows are the environment variables that the backend alone knows.
func knows(spec sandbox.Spec) []string {
	known := runtimeVariable
	if spec.Runtime == gust.RuntimeHTTP {
		known = "PORT=" + strconv.Itoa(gust.HTTPPort)
	}
	return append(environment.Variables(spec, apiAddress, tokenFile), known)
}

const runtimeVariable = "AWS_LAMBDA_RUNTIME_API=" + runtimeAddress

// Close implements sandbox.Backend.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.shut = true
	envs := make([]*environment.Environment, 0, len(b.envs))
	for _, e := range b.envs {
		envs = append(envs, e)
	}
	b.mu.Unlock()
	if b.cancel != nil {
		b.cancel(errClosed)
	}
	var stops sync.WaitGroup
	for _, e := range envs {
		stops.Go(func() { e.Stop(0) })
	}
	stops.Wait()
	b.alive.Wait()
	b.wg.Wait()
	if b.spares != nil {
		b.spares.close()
		b.pools.close()
	}
	if b.roots != nil {
		b.roots.close()
	}
	if b.keeper != nil {
		b.keeper.close()
		b.keeper = nil
	}
	if b.image != nil {
		b.image.Close()
		b.image = nil
	}
	if b.net != nil {
		if err := b.net.Close(); err != nil {
			b.log.Error("something of the environments' networks is left", "error", err)
		}
		b.net = nil
	}
	if b.cgroups != nil {
		err := b.cgroups.remove()
		b.cgroups = nil
		if err == nil {
			err = os.Remove(filepath.Join(b.run, notesFile))
		}
		return err
	}
	return nil
}

// check refuses what cannot be carried out.
func check(spec sandbox.Spec) error {
	switch {
	case len(spec.Command) == 0 || spec.Command[0] == "":
		return fmt.Errorf("function %s has no command: %w", spec.Function, gust.ErrInvalid)
	case !filepath.IsAbs(spec.Code):
		return fmt.Errorf("the code folder %q of function %s is not absolute: %w", spec.Code, spec.Function, gust.ErrInvalid)
	case spec.Root != "" && !filepath.IsAbs(spec.Root):
		return fmt.Errorf("the root %q of function %s is not absolute: %w", spec.Root, spec.Function, gust.ErrInvalid)
	case len(spec.Layers) > maxLayers:
		return fmt.Errorf("function %s has %d layers, an environment takes at most %d: %w", spec.Function, len(spec.Layers), maxLayers, gust.ErrInvalid)
	case spec.Memory <= 0 || spec.Ephemeral <= 0 || spec.Processes <= 0:
		return fmt.Errorf("function %s needs limits above zero, got memory %d, /tmp %d, processes %d: %w",
			spec.Function, spec.Memory, spec.Ephemeral, spec.Processes, gust.ErrInvalid)
	case spec.Ephemeral%4096 != 0:
		return fmt.Errorf("the /tmp of function %s has %d bytes, which is no multiple of 4096: %w", spec.Function, spec.Ephemeral, gust.ErrInvalid)
	case spec.CPU != gust.CPUShared && spec.CPU != gust.CPUStrict:
		return fmt.Errorf("function %s asks for the CPU mode %q, which is neither %q nor %q: %w",
			spec.Function, spec.CPU, gust.CPUShared, gust.CPUStrict, gust.ErrInvalid)
	case spec.Output == nil:
		return fmt.Errorf("function %s has nobody to read its output: %w", spec.Function, gust.ErrInvalid)
	}
	for _, dir := range spec.Layers {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("the layer %q of function %s is not absolute: %w", dir, spec.Function, gust.ErrInvalid)
		}
	}
	for _, words := range [][]string{spec.Command, spec.Env} {
		for _, w := range words {
			if strings.ContainsRune(w, 0) {
				return fmt.Errorf("function %s has a zero byte in its command or its environment: %w", spec.Function, gust.ErrInvalid)
			}
		}
	}
	return nil
}
