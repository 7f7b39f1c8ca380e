package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/inside"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/gateway"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/invoke/scale"
	"github.com/gust-dev/gust/internal/logfile"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/store"
)

// Node is a running node.
type Node struct {
	config  Config
	hooks   Hooks
	build   api.Build
	logger  *slog.Logger
	started time.Time

	lock        *store.FolderLock
	key         *access.Key
	created     bool
	seal        [32]byte
	certificate *certificate // nil: the API is spoken without TLS
	store       *store.Store
	log         *logfile.Log
	recorder    *observe.Recorder
	audit       *audit.Log
	identity    *identity.Directory
	guard       *guard.Guard
	catalog     *catalog.Catalog
	code        *artifact.Cache
	runtimes    *runtimes.Roots
	backend     sandbox.Backend
	permits     func(gust.Network) error // says why the backend cannot give one
	invoker     *invoke.Invoker

	backendWarnings     []string
	users, apis         *http.Server
	inside              *inside.Server // answers within environments
	api                 http.Handler   // what apis and inside answer with
	serving             chan struct{}  // closed when api is there
	usersAddr, apisAddr string

	draining  atomic.Bool
	follow    context.Context // ends when the node begins to drain
	stopping  context.CancelFunc
	fatal     chan error
	wg        sync.WaitGroup
	following sync.WaitGroup // of what keeps node.json up to date
	undo      []func() error // what closes the parts, in the order they were opened
	closeOnce sync.Once
	closeErr  error
}

// Open starts a node: it is ready when Open returns. If a part does not start,
// those before it are closed again and nothing is left.
func Open(ctx context.Context, c Config, build api.Build, logger *slog.Logger) (*Node, error) {
	return OpenWith(ctx, c, build, logger, Hooks{})
}

// Hooks are what `gust dev` adds to its node. Neither a flag nor the API
// reaches them.
type Hooks struct {
	// Access is told of each request of a user once it is answered; see
	// [gateway.Options].
	Access func(gateway.Access)
	// Debug are functions that run under a debugger; see [invoke.Options].
	Debug map[string]*invoke.Debug
}

// OpenWith is Open with hooks.
func OpenWith(ctx context.Context, c Config, build api.Build, logger *slog.Logger, hooks Hooks) (_ *Node, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{config: c, hooks: hooks, build: build, logger: logger, started: time.Now(), fatal: make(chan error, 1), serving: make(chan struct{})}
	n.follow, n.stopping = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			n.stopping()
			err = errors.Join(err, n.unwind())
		}
	}()
	// Cheap things that often are wrong come first: the folder, its lock, the
	// ports.
	if err := n.openFolder(); err != nil {
		return nil, err
	}
	users, err := n.listen("--http", c.HTTP)
	if err != nil {
		return nil, err
	}
	apis, err := n.listen("--api", c.API)
	if err != nil {
		return nil, err
	}
	n.usersAddr, n.apisAddr = users.Addr().String(), apis.Addr().String()
	if n.key, n.created, err = access.OpenRootKey(c.Data); err != nil {
		return nil, err
	}
	if n.seal, _, err = access.OpenSealKey(c.Data); err != nil {
		return nil, err
	}
	if n.certificate, err = openCertificate(c, time.Now, logger); err != nil {
		return nil, err
	}
	// What is kept.
	if err := n.openState(ctx); err != nil {
		return nil, err
	}
	// What runs, and in what.
	if err := n.openRuntimes(); err != nil {
		return nil, err
	}
	if err := n.openBackend(); err != nil {
		return nil, err
	}
	grace := freezeGrace
	if len(hooks.Debug) > 0 { // a debugger cannot look into what is frozen
		grace = gust.MaxIdle
	}
	n.inside = n.newInside()
	n.invoker = invoke.New(invoke.Options{
		Catalog: n.catalog, Backend: n.backend, Code: n.code, Runtimes: n.runtimes, Recorder: n.recorder, Store: n.store,
		Place: n.place(),
		Limits: scale.Limits{
			Concurrency: c.Concurrency, Starts: startsAtOnce(), Memory: memoryBudget(c) - poolMemory(c), Grace: grace,
		},
		API:    n.inside.Open,
		Debug:  hooks.Debug,
		Logger: logger,
	})
	n.recorder.SetStates(n.invoker.States)
	n.recorder.SetNode(n.figures)
	// Who asks.
	if err := n.serve(users, apis); err != nil {
		return nil, err
	}
	if err := api.WriteAddress(c.Data, n.Address()); err != nil {
		return nil, err
	}
	n.onClose(func() error {
		n.following.Wait() // it may be writing the address anew
		return api.RemoveAddress(c.Data)
	})
	n.runtimes.Begin()
	return n, nil
}

const (
	// freezeGrace is how long an unused environment runs on: long enough for
	// what a handler left to do, and short beside a person's second look.
	freezeGrace = time.Second
	// sweepEvery is how often blobs that nothing names are looked for, and
	// sweepAge how old they must be: an upload comes before its deploy.
	sweepEvery = time.Hour
	sweepAge   = time.Hour
)

// startsAtOnce lets starts overlap where they wait, and leaves the cores to
// what runs.
func startsAtOnce() int { return 2 * runtime.NumCPU() }

func (n *Node) onClose(f func() error) { n.undo = append(n.undo, f) }

// unwind closes what is open, the newest first.
func (n *Node) unwind() error {
	var errs []error
	for i := len(n.undo) - 1; i >= 0; i-- {
		errs = append(errs, n.undo[i]())
	}
	n.undo = nil
	return errors.Join(errs...)
}

// openFolder makes the data folder and takes its lock. One that others can write
// to is refused: they could put another file in the place of any.
func (n *Node) openFolder() error {
	dir := n.config.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder (--data): %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the data folder (--data): %w", err)
	}
	// On Windows the folder's access list tells, and the mode is made up.
	if mode := info.Mode().Perm(); mode&0o022 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("the data folder %s (--data) has mode %04o, so that others than its owner can change what is in it: "+
			"run `chmod go-w %s`, or give a folder inside of it, which gust makes for its owner alone", dir, mode, dir)
	}
	lock, err := store.Lock(dir)
	if err != nil {
		return err
	}
	n.lock = lock
	n.onClose(lock.Close)
	return nil
}

func (n *Node) listen(flag, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another address, or port 0 for a free one", flag, addr, err)
	}
	n.onClose(func() error {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return ln, nil
}

func (n *Node) openState(ctx context.Context) (err error) {
	c := n.config
	n.store, err = store.Open(store.Options{
		Dir: c.Data, Lock: n.lock, Durability: store.Durability(c.Durability), Logger: n.logger, OnFatal: n.fail,
	})
	if err != nil {
		return err
	}
	n.onClose(n.store.Close)
	n.log, err = logfile.Open(logfile.Options{
		Dir: filepath.Join(c.Data, "logs"), MaxBytes: int64(c.LogSize), MaxAge: c.LogAge, Now: n.store.Now, Logger: n.logger,
	})
	if err != nil {
		return err
	}
	n.onClose(n.log.Close)
	n.recorder = observe.New(observe.Options{Log: n.log, Version: n.build.Version, Logger: n.logger})
	n.onClose(n.recorder.Close)
	n.catalog, err = catalog.Open(ctx, n.store, catalog.Options{
		NodeConcurrency: c.Concurrency,
		Permits:         func(to gust.Network) error { return n.permits(to) }, // the backend is opened later
	})
	if err != nil {
		return err
	}
	n.onClose(n.catalog.Close)
	if err := n.openDoor(ctx); err != nil {
		return err
	}
	if n.code, err = artifact.OpenCache(filepath.Join(c.Data, "code"), n.store.Blobs()); err != nil {
		return err
	}
	n.onClose(n.code.Close)
	return nil
}

// openDoor opens what decides who gets in: the audit log, which closes last of
// them and so has what the others do, and the directory.
func (n *Node) openDoor(ctx context.Context) (err error) {
	n.audit, err = audit.Open(ctx, n.store, audit.Options{MaxAge: n.config.AuditAge, MaxSize: int64(n.config.AuditSize), Logger: n.logger})
	if err != nil {
		return err
	}
	n.onClose(n.counting(n.audit.Close))
	n.identity, err = identity.Open(ctx, n.store, identity.Options{
		Place: n.place(), Root: n.key, Seal: n.seal, Logger: n.logger,
		Functions: func() map[string]*gust.Function { return n.catalog.Snapshot().Functions },
	})
	if err != nil {
		return err
	}
	n.onClose(n.counting(n.identity.Close))
	if err := n.identity.Sweep(ctx); err != nil { // of functions that were removed just before a crash
		return err
	}
	n.guard = guard.New(access.New(n.identity, access.Options{Region: n.config.Region}), n.identity, n.audit, n.logger)
	return nil
}

// counting closes what writes at its end what it has counted: on a full disk that
// is lost, and nothing else.
func (n *Node) counting(closing func() error) func() error {
	return func() error {
		err := closing()
		if errors.Is(err, gust.ErrNoSpace) {
			n.logger.Warn("what was counted since the last minute is lost", "error", err)
			return nil
		}
		return err
	}
}

func (n *Node) place() gust.Place {
	return gust.Place{Account: n.config.Account, Region: n.config.Region}
}

// fail is told what the node cannot go on after.
func (n *Node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

// Fatal yields an error when the node must end: nothing is acknowledged any
// more, and Close and a new start will tell what is there.
func (n *Node) Fatal() <-chan error { return n.fatal }

// HTTPAddr and APIAddr are where the node listens.
func (n *Node) HTTPAddr() string { return n.usersAddr }
func (n *Node) APIAddr() string  { return n.apisAddr }

// Address is where the node listens, as its data folder says.
func (n *Node) Address() api.Address {
	a := api.Address{API: n.apisAddr, HTTP: n.usersAddr, PID: os.Getpid()}
	if n.certificate != nil {
		a.Fingerprint = n.certificate.fingerprint()
		if n.certificate.own {
			a.Bundle = n.certificate.cert
		}
	}
	return a
}

// Key is the root key; KeyCreated tells that this start made it.
func (n *Node) Key() *access.Key { return n.key }
func (n *Node) KeyCreated() bool { return n.created }

// Runtimes are the interpreters that the node has by now; more may be found soon
// after a start.
func (n *Node) Runtimes() []string { return n.runtimes.Names() }

// Sandbox is the name of the backend that functions run in.
func (n *Node) Sandbox() string { return n.backend.Name() }

// Close drains the node and stops it: no new requests, those that run finish
// within Config.Drain or are cut off, which the error tells, then every part
// closes in the reverse of the order in which it was opened. Ctx cuts the
// draining short.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() {
		n.draining.Store(true)
		if d, ok := ctx.Deadline(); ok {
			n.config.Drain = min(n.config.Drain, time.Until(d))
		}
		n.stopping()
		n.closeErr = n.unwind()
	})
	return n.closeErr
}

// sweep removes blobs, unpacked code and runtimes that nothing names any more.
func (n *Node) sweep() {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-n.follow.Done():
			return
		}
		keep := func(d gust.Digest) bool { return n.catalog.Snapshot().HasArtifact(d) }
		if _, err := n.store.Blobs().Sweep(n.follow, keep, sweepAge); err != nil && n.follow.Err() == nil {
			n.logger.Warn("blobs could not be swept", "error", err)
		}
		if err := n.code.Sweep(keep); err != nil {
			n.logger.Warn("unpacked code could not be swept", "error", err)
		}
		if err := n.runtimes.Sweep(); err != nil && !errors.Is(err, gust.ErrConflict) {
			n.logger.Warn("old runtimes could not be swept", "error", err)
		}
		timer.Reset(sweepEvery)
	}
}
