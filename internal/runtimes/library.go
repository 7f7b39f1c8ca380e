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
	"strings"
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
	// Logger gets what is wrong. Nil discards.
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
		o.Logger = slog.New(slog.DiscardHandler)
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
		if k := l.current(name); k != nil && k.Source != sourceSystem {
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

// current is the newest root of that name, which functions get that are deployed
// now; nil without one.
func (l *Roots) current(name string) *kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.currentLocked(name)
}

func (l *Roots) currentLocked(name string) (newest *kept) {
	for _, k := range l.kept {
		if k.Name == name && !k.gone && (newest == nil || k.Added.After(newest.Added)) {
			newest = k
		}
	}
	return newest
}

// Resolve implements Library.
func (l *Roots) Resolve(interpreter string) (Runtime, error) {
	r, release, err := l.Hold(l.ctx, interpreter)
	if err == nil {
		release()
	}
	return r, err
}

// Hold is Resolve that keeps the root from being removed until release is called:
// a deploy does so until what it pins is written. It waits, no longer than ctx,
// for what is still being made.
func (l *Roots) Hold(ctx context.Context, interpreter string) (Runtime, func(), error) {
	for {
		r, err := l.resolve(ctx, interpreter)
		if err != nil || !l.Isolated {
			return r, func() {}, err
		}
		l.mu.Lock()
		k := l.kept[r.Digest]
		if k == nil || k.gone {
			l.mu.Unlock()
			continue // it has been removed meanwhile
		}
		release := l.hold(k)
		l.mu.Unlock()
		return r, release, nil
	}
}

// hold counts a user. The caller holds mu.
func (l *Roots) hold(k *kept) (release func()) {
	k.users++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		k.users--
	})
}

func (l *Roots) resolve(ctx context.Context, interpreter string) (Runtime, error) {
	if interpreter == "" {
		if !l.Isolated {
			return Runtime{Name: nameBase, Client: l.clients, Source: sourceSystem}, nil
		}
		if err := l.added(ctx, nameBase); err != nil {
			return Runtime{}, fmt.Errorf("the root of functions without an interpreter could not be made: %w", err)
		}
		if r, ok := l.has(nameBase); ok {
			return r, nil
		}
		return Runtime{}, gust.ErrClosing // nothing else takes it away
	}
	kind, version, err := ParseName(interpreter)
	if err != nil {
		return Runtime{}, err
	}
	if err := l.found(ctx, kind); err != nil {
		return Runtime{}, err
	}
	names := []string{interpreter}
	if version == "" {
		names = slices.DeleteFunc(l.Names(), func(n string) bool { return !strings.HasPrefix(n, kind+"@") })
		slices.Reverse(names) // the newest first
	}
	var failed error
	for _, name := range names {
		if err := l.added(ctx, name); err != nil {
			failed = fmt.Errorf("the system's %s could not be added: %w", name, err)
		}
		if r, ok := l.has(name); ok {
			return r, nil
		}
	}
	if failed != nil {
		return Runtime{}, failed
	}
	return Runtime{}, l.lacks(interpreter)
}

// has returns the runtime of exactly that name.
func (l *Roots) has(name string) (Runtime, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.Isolated {
		if t := l.system[name]; t != nil && t.interpreter != nil {
			return Runtime{Name: name, Version: t.interpreter.version, Program: t.interpreter.program, Client: l.clients, Source: sourceSystem}, true
		}
	} else if k := l.currentLocked(name); k != nil {
		return k.Runtime, true
	}
	return Runtime{}, false
}

// Names are those of all interpreters that are there now or being added, in order
// of their versions.
func (l *Roots) Names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.namesLocked()
}

func (l *Roots) namesLocked() []string {
	set := map[string]bool{}
	for name, t := range l.system {
		if name != nameBase && (!l.Isolated || !t.isDone()) { // by then it is kept, failed, or was removed
			set[name] = true
		}
	}
	for _, k := range l.kept {
		if k.Name != nameBase && !k.gone {
			set[k.Name] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), compareNames)
}

// lacks is the error about a runtime that is not there.
func (l *Roots) lacks(name string) error {
	have := "it has none with an interpreter"
	if names := l.Names(); len(names) > 0 {
		have = "it has " + strings.Join(names, ", ")
	}
	if _, version, _ := strings.Cut(name, "@"); version == "" {
		name += map[string]string{kindNode: "@MAJOR", kindPython: "@3.MINOR"}[name]
	}
	help := "add it: gust runtime add " + name
	if !l.Isolated {
		help = "without isolation (--sandbox none) functions run with the system's: install it in a folder of PATH, and start the node again"
	}
	return invalid("the node has no runtime %s (%s); %s", name, have, help)
}

// Acquire implements Library.
func (l *Roots) Acquire(ctx context.Context, f *gust.Function) (Runtime, func(), error) {
	if !l.Isolated || f.Root == "" {
		return l.acquireCurrent(ctx, f)
	}
	l.mu.Lock()
	k := l.kept[f.Root]
	if k == nil || k.gone {
		l.mu.Unlock()
		// It may be what is just being made, as after a restore.
		if _, err := l.resolve(ctx, f.Interpreter); ctx.Err() != nil || l.ctx.Err() != nil {
			return Runtime{}, nil, err
		}
		l.mu.Lock()
		if k = l.kept[f.Root]; k == nil || k.gone {
			l.mu.Unlock()
			return Runtime{}, nil, l.lacksRoot(f)
		}
	}
	release := l.hold(k)
	l.mu.Unlock()
	if err := l.check(ctx, k); err != nil {
		release()
		return Runtime{}, nil, err
	}
	return k.Runtime, release, nil
}

func (l *Roots) acquireCurrent(ctx context.Context, f *gust.Function) (Runtime, func(), error) {
	r, release, err := l.Hold(ctx, f.Interpreter)
	if err != nil || !l.Isolated {
		return r, release, err
	}
	l.mu.Lock()
	k := l.kept[r.Digest]
	l.mu.Unlock()
	if err := l.check(ctx, k); err != nil {
		release()
		return Runtime{}, nil, err
	}
	return r, release, nil
}

// Base finds the folder of the root without an interpreter, checked.
func (l *Roots) Base(ctx context.Context) (string, error) {
	r, release, err := l.acquireCurrent(ctx, &gust.Function{})
	if err != nil {
		return "", err
	}
	release() // it is current, and stays
	return r.Path, nil
}

// lacksRoot is the error about a function whose root is not there, as after a
// restore on another machine.
func (l *Roots) lacksRoot(f *gust.Function) error {
	name, add := "the root without an interpreter", ""
	if f.Interpreter != "" {
		name = "a root of " + f.Interpreter
		if _, ok := l.has(f.Interpreter); !ok && strings.Contains(f.Interpreter, "@") {
			add = "gust runtime add " + f.Interpreter + ", and "
		}
	}
	return fmt.Errorf("%w: function %s is pinned to %s, %s, which this node does not have (backups hold no roots); %sdeploy its app again to pin it to what there is",
		gust.ErrNotFound, f.Name, name, f.Root.Short(), add)
}

// Has reports whether functions can run in a root: it is there and not known to
// be damaged, or there are none.
func (l *Roots) Has(d gust.Digest) bool {
	if !l.Isolated || d == "" {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kept[d]
	return k != nil && !k.gone && !k.damaged()
}

// Listed is a runtime in a list.
type Listed struct {
	Runtime
	// Current says that functions that are deployed now get this one; of the
	// others of its name only those that run keep them.
	Current bool `json:"current"`
	// Functions are those that are pinned to it, by name.
	Functions []string `json:"functions"`
}

// List returns what there is now, by name, the newest of a name first.
func (l *Roots) List() []Listed {
	list := []Listed{}
	if !l.Isolated {
		for _, name := range l.Names() {
			r, _ := l.has(name)
			list = append(list, Listed{Runtime: r, Current: true, Functions: []string{}})
		}
		return list
	}
	pinned := l.Pinned()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.kept {
		if !k.gone {
			list = append(list, Listed{Runtime: k.Runtime, Current: l.currentLocked(k.Name) == k, Functions: append([]string{}, pinned[k.Digest]...)})
		}
	}
	slices.SortFunc(list, func(a, b Listed) int {
		return cmp.Or(compareNames(a.Name, b.Name), b.Added.Compare(a.Added), cmp.Compare(a.Digest, b.Digest))
	})
	return list
}
