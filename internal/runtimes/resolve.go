package runtimes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	gust "github.com/gust-dev/gust"
)

// currentLocked is the newest root of that name, which functions get that are
// deployed now; nil without one. The caller holds mu.
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
	r, release := k.Runtime, l.hold(k)
	l.mu.Unlock()
	if err := l.check(ctx, k); err != nil {
		release()
		return Runtime{}, nil, err
	}
	return r, release, nil
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
