package runtimes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Add makes a runtime of an interpreter and lets functions that are deployed
// from then on have it: "node@20", "python@3.11". From is a tarball, an unpacked
// one or an unpacked image on the node's machine, as an absolute path; empty
// means the interpreter that the system has. Functions that are pinned to another
// root of that name keep it.
//
// What is not as it should be is a gust.ErrInvalid or a gust.ErrTooLarge, a full
// disk a gust.ErrNoSpace; then nothing is left.
func (l *Roots) Add(ctx context.Context, name, from string) (Runtime, error) {
	kind, version, err := ParseName(name)
	switch {
	case name == nameBase:
		return Runtime{}, invalid("the runtime base is the node's own, and always there")
	case err != nil:
		return Runtime{}, err
	case version == "":
		return Runtime{}, invalid("%s says no version: want node@MAJOR such as node@20, or python@3.MINOR such as python@3.11", name)
	case !l.Isolated && from != "":
		return Runtime{}, invalid("without isolation (--sandbox none) functions run with the system's interpreters; nothing can be added")
	case from != "" && !filepath.IsAbs(from):
		return Runtime{}, invalid("%q is not absolute: want a path on the node's machine", from)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(gust.ErrClosing) })()
	if from == "" {
		return l.addSystem(ctx, kind, name)
	}
	done, err := l.turn(ctx)
	if err != nil {
		return Runtime{}, err
	}
	defer done()
	r, err := l.addFrom(ctx, kind, version, name, from)
	if err != nil {
		return Runtime{}, fmt.Errorf("add %s from %s: %w", name, from, explain(err))
	}
	return r, nil
}

// addSystem looks again at what the system has: it may have been installed
// since the node was started.
func (l *Roots) addSystem(ctx context.Context, kind, name string) (Runtime, error) {
	found := discover(ctx, kind, l.Path, l.Logger)
	if err := ctx.Err(); err != nil {
		return Runtime{}, context.Cause(ctx)
	}
	i := found[name]
	if i == nil {
		var have []string
		for _, other := range found {
			have = append(have, fmt.Sprintf("%s, which is %s", other.program, other.version))
		}
		slices.Sort(have)
		has := "no " + kind
		if len(have) > 0 {
			has = strings.Join(have, "; ")
		}
		return Runtime{}, invalid("the system has no %s (it has %s); give a tarball or a folder of one: gust runtime add %s --from PATH", name, has, name)
	}
	if !l.Isolated {
		t := newTask()
		t.interpreter = i
		if err := l.found(ctx, kind); err != nil {
			return Runtime{}, err
		}
		l.mu.Lock()
		l.system[name] = t
		l.mu.Unlock()
		r, _ := l.has(name)
		return r, nil
	}
	r, err := l.fromSystem(ctx, name, i)
	if err != nil {
		return Runtime{}, fmt.Errorf("add the system's %s: %w", name, err)
	}
	return r, nil
}

// addFrom is Add of what was given.
func (l *Roots) addFrom(ctx context.Context, kind, version, name, from string) (Runtime, error) {
	st, err := os.Stat(from)
	if err != nil {
		return Runtime{}, invalid("%v", errors.Unwrap(err))
	}
	t := tree{dir: l.host}
	if !st.IsDir() {
		dir, err := os.MkdirTemp(l.Dir, halfMade)
		if err != nil {
			return Runtime{}, err
		}
		defer os.RemoveAll(dir)
		file, err := openTarball(from)
		if err != nil {
			return Runtime{}, err
		}
		err = unpack(ctx, file, dir)
		if err = errors.Join(err, file.Close()); err != nil {
			return Runtime{}, err
		}
		if t.prefix, err = prefixIn(dir); err != nil {
			return Runtime{}, err
		}
	} else if usr, err := os.Stat(filepath.Join(from, "usr")); err == nil && usr.IsDir() {
		t.dir = from
	} else if t.prefix, err = prefixIn(from); err != nil {
		return Runtime{}, err
	}
	i, err := t.interpreter(kind, version)
	if err != nil {
		return Runtime{}, err
	}
	if t.prefix != "" && !strings.HasPrefix(i.program, local+"/") {
		return Runtime{}, invalid("it holds no %s", kind) // what was found is the host's
	}
	r, err := collect(ctx, t, i)
	if err != nil {
		return Runtime{}, err
	}
	return l.make(ctx, r, i, record{Runtime: Runtime{Name: name, Source: from}})
}

// Remove removes every root of that name. It is a gust.ErrConflict while a
// function is pinned to one, or something runs in it. What the system has comes
// back at the node's next start.
func (l *Roots) Remove(name string) error {
	if name == nameBase {
		return invalid("the runtime base is the node's own, and cannot be removed")
	}
	if !l.Isolated {
		return invalid("without isolation (--sandbox none) functions run with the system's interpreters; nothing can be removed")
	}
	return l.discard(func(k *kept, _ []string) bool { return k.Name == name }, func(list []*kept, functions []string) error {
		if len(list) == 0 {
			if _, _, err := ParseName(name); err != nil {
				return err
			}
			return fmt.Errorf("runtime %s: %w; the node has %s", name, gust.ErrNotFound, strings.Join(append(l.namesLocked(), nameBase), ", "))
		}
		who := strings.Join(functions, ", ")
		if len(functions) > 20 {
			who = fmt.Sprintf("%s and %d more", strings.Join(functions[:20], ", "), len(functions)-20)
		}
		switch {
		case len(functions) > 0:
			return fmt.Errorf("%w: functions are pinned to %s: %s; remove them first, or deploy them with another runtime", gust.ErrConflict, name, who)
		case slices.ContainsFunc(list, func(k *kept) bool { return k.users > 0 }):
			return fmt.Errorf("%w: something still runs in %s, or is being deployed; try again when it has ended", gust.ErrConflict, name)
		}
		return nil
	})
}

// Sweep removes the roots that nothing is pinned to, nothing runs in, and
// functions that are deployed do not get any more, because there is a newer one
// of the name.
func (l *Roots) Sweep() error {
	if !l.Isolated {
		return nil
	}
	return l.discard(func(k *kept, functions []string) bool {
		return len(functions) == 0 && k.users == 0 && l.currentLocked(k.Name) != k
	}, func(_ []*kept, functions []string) error {
		if len(functions) > 0 {
			return fmt.Errorf("%w: %s", gust.ErrConflict, strings.Join(functions, ", "))
		}
		return nil
	})
}

// discard removes the roots that are chosen, each with the functions that are
// pinned to it, unless refuse says why not. It is asked twice, the second time
// when nobody can begin to use or to pin them any more.
func (l *Roots) discard(choose func(*kept, []string) bool, refuse func([]*kept, []string) error) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	var list []*kept
	ask := func(pinned map[gust.Digest][]string) error {
		var functions []string
		for _, k := range list {
			functions = append(functions, pinned[k.Digest]...)
		}
		slices.Sort(functions)
		return refuse(list, functions)
	}
	pinned := l.Pinned()
	l.mu.Lock()
	for d, k := range l.kept {
		if choose(k, pinned[d]) {
			list = append(list, k)
		}
	}
	err := ask(pinned)
	for _, k := range list {
		k.gone = err == nil
	}
	l.mu.Unlock()
	if err != nil || len(list) == 0 {
		return err
	}
	pinned = l.Pinned()
	l.mu.Lock()
	err = ask(pinned)
	for _, k := range list {
		if err == nil {
			err = os.Remove(k.file(l.Dir))
		}
		if k.gone = err == nil; k.gone {
			delete(l.kept, k.Digest)
		}
	}
	l.mu.Unlock()
	err = errors.Join(err, syncFolder(l.Dir))
	for _, k := range list {
		if k.gone {
			err = errors.Join(err, os.RemoveAll(k.Path))
		}
	}
	return err
}
