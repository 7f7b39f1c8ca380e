package runtimes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// Options are a Roots' settings.
type Options struct {
	// Dir is where roots are kept, a folder of its own, and on a node without
	// isolation the runtime clients. Absolute.
	Dir string
	// Isolated says that functions run in roots. Without it they run with the
	// interpreters that the system has, and there is nothing to add or remove.
	Isolated bool
	// Pinned lists the functions that are pinned to each root; nil means none.
	Pinned func() map[gust.Digest][]string
	// Free is how much the disk has, and how much of it is not for roots; nil
	// takes whatever there is.
	Free func() (free, reserve int64)
	// Path lists the folders where the system's interpreters are looked for;
	// empty is $PATH and /usr/bin.
	Path string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger gets what is wrong. Nil means slog.Default().
	Logger *slog.Logger

	host string // where the system is; "/" but for tests
}

// lookAfter is when a node that was asked for no interpreter looks for the
// system's by itself: a start has better things to do.
const lookAfter = 2 * time.Second

// Roots is the Library of a node: it keeps roots in a folder, and knows the
// system's interpreters. It is safe for use by many goroutines.
type Roots struct {
	Options
	ctx     context.Context
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup
	look    map[string]*task // find the interpreters of a kind, each a task in system
	clients string           // the folder of the clients, without isolation
	making  chan struct{}    // holds one token: roots are made one after the other

	removing sync.Mutex // one removal at a time
	mu       sync.Mutex
	closed   bool
	kept     map[gust.Digest]*kept
	system   map[string]*task // makes roots of what the system has, by name; complete when look is done
}

// kept is one root.
type kept struct {
	record
	users   int
	gone    bool  // is being removed
	checked *task // nil before it is first asked for
}

// task is something that is done once, in the background, when it is first
// asked for.
type task struct {
	begin       sync.Once
	done        chan struct{}
	err         error // valid when done
	interpreter *interpreter
}

func newTask() *task { return &task{done: make(chan struct{})} }

// finished is a task that needs not be done.
func finished() *task {
	t := newTask()
	t.begin.Do(func() { close(t.done) })
	return t
}

// Open reads what is kept. What is to be made or checked is done in the
// background, when it is first asked for or when Begin is called.
func Open(o Options) (*Roots, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Path == "" {
		o.Path = os.Getenv("PATH") + string(filepath.ListSeparator) + "/usr/bin"
	}
	if o.Pinned == nil {
		o.Pinned = func() map[gust.Digest][]string { return nil }
	}
	o.host = cmp.Or(o.host, "/")
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("runtimes need an absolute folder, got %q", o.Dir)
	}
	l := &Roots{Options: o, look: map[string]*task{kindNode: newTask(), kindPython: newTask()}, making: make(chan struct{}, 1),
		kept: make(map[gust.Digest]*kept), system: map[string]*task{nameBase: newTask()}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the runtimes: %w", err)
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	if !o.Isolated {
		if err := l.openClients(); err != nil {
			return nil, err
		}
	} else if err := l.openRoots(); err != nil {
		return nil, err
	}
	return l, nil
}

// Begin does in the background what nobody has asked for yet: it makes the base,
// checks the roots that functions are pinned to, and a little later adds what the
// system has. A node calls it when it is ready, so that its start does not wait.
func (l *Roots) Begin() {
	l.wg.Go(func() {
		_ = l.added(l.ctx, nameBase) // each task says what went wrong
		for d := range l.Pinned() {
			l.mu.Lock()
			k := l.kept[d]
			l.mu.Unlock()
			if k != nil {
				_ = l.check(l.ctx, k) // the function's start says it too
			}
		}
		later := time.NewTimer(lookAfter)
		defer later.Stop()
		select {
		case <-later.C:
			_ = l.Settle(l.ctx)
		case <-l.ctx.Done():
		}
	})
}

// openRoots reads the records, and removes what an earlier run left.
func (l *Roots) openRoots() error {
	if err := noRoots(); err != nil {
		return err
	}
	litter, err := leftovers(l.Dir)
	if err != nil {
		return fmt.Errorf("read the folder of the runtimes: %w", err)
	}
	records, err := readRecords(l.Dir)
	if err != nil {
		return fmt.Errorf("read the records of the runtimes: %w", err)
	}
	for _, r := range records {
		l.kept[r.Digest] = &kept{record: r}
	}
	l.making <- struct{}{} // nothing is made before the litter is gone: it may have the same name
	l.wg.Go(func() {
		for _, name := range litter {
			if err := os.RemoveAll(name); err != nil {
				l.Logger.Warn("what an earlier run left could not be removed", "error", err)
			}
		}
		<-l.making
	})
	return nil
}

// run begins a task if nobody has.
func (l *Roots) run(t *task, do func() error) {
	t.begin.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed {
			t.err = gust.ErrClosing
			close(t.done)
			return
		}
		l.wg.Go(func() {
			defer close(t.done)
			t.err = do()
		})
	})
}

func (t *task) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// wait waits for a task that has begun.
func (t *task) wait(ctx context.Context) error {
	if t.isDone() {
		return t.err
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends what is being made, and waits for it.
func (l *Roots) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel(gust.ErrClosing)
	l.wg.Wait()
	return nil
}

// Settle waits until the node has what the system has; what could not be added
// has been logged.
func (l *Roots) Settle(ctx context.Context) error {
	for kind := range l.look {
		if err := l.found(ctx, kind); err != nil {
			return err
		}
	}
	l.mu.Lock()
	names := slices.Sorted(maps.Keys(l.system))
	l.mu.Unlock()
	for _, name := range names {
		_ = l.added(ctx, name)
	}
	return context.Cause(ctx)
}

// found waits until it is known what the system has of a kind.
func (l *Roots) found(ctx context.Context, kind string) error {
	t := l.look[kind]
	l.run(t, func() error {
		for name, i := range discover(l.ctx, kind, l.Path, l.Logger) {
			t := newTask()
			t.interpreter = i
			l.mu.Lock()
			l.system[name] = t
			l.mu.Unlock()
		}
		return context.Cause(l.ctx)
	})
	return t.wait(ctx)
}

// added waits until what the system has of that name, if anything, is a root.
// One that could not be made is tried again.
func (l *Roots) added(ctx context.Context, name string) error {
	l.mu.Lock()
	t := l.system[name]
	if t != nil && t.isDone() && t.err != nil {
		t = &task{done: make(chan struct{}), interpreter: t.interpreter}
		l.system[name] = t
	}
	l.mu.Unlock()
	if t == nil || !l.Isolated {
		return nil
	}
	l.run(t, func() error {
		if r, ok := l.has(name); ok && r.Source != sourceSystem {
			return nil // somebody wants another one
		}
		_, err := l.fromSystem(l.ctx, name, t.interpreter)
		if err != nil && l.ctx.Err() == nil {
			l.Logger.Warn("what the system has could not be added as a runtime", "runtime", name, "error", err)
		}
		return err
	})
	return t.wait(ctx)
}
