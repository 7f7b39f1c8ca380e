package runtimes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	gust "github.com/gust-dev/gust"
)

// sourceSystem is the source of what was taken of the system.
const sourceSystem = "system"

// turn waits until roots may be made, one after the other: each takes the disk
// for itself.
func (l *Roots) turn(ctx context.Context) (done func(), err error) {
	select {
	case l.making <- struct{}{}:
		return func() { <-l.making }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// collect lists what a root would be made of.
func collect(ctx context.Context, t tree, i *interpreter) (root, error) {
	c, err := collectBase(ctx, t)
	if err == nil && i != nil {
		err = i.collect(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("collect its files: %w", err)
	}
	return c.root, nil
}

// fromSystem adds the system's interpreter, or without one the base. If the
// system's files are those that a root was made of, they are not read again.
func (l *Roots) fromSystem(ctx context.Context, name string, i *interpreter) (Runtime, error) {
	done, err := l.turn(ctx)
	if err != nil {
		return Runtime{}, err
	}
	defer done()
	r, err := collect(ctx, tree{dir: l.host}, i)
	if err != nil {
		return Runtime{}, err
	}
	fingerprint := r.fingerprint()
	l.mu.Lock()
	for _, k := range l.kept {
		if k.Name == name && k.Source == sourceSystem && k.Fingerprint == fingerprint && !k.gone && !k.damaged() {
			err := l.keep(k, k.record)
			r := k.Runtime
			l.mu.Unlock()
			return r, err
		}
	}
	l.mu.Unlock()
	rec := record{Runtime: Runtime{Name: name, Source: sourceSystem}, Fingerprint: fingerprint}
	return l.make(ctx, r, i, rec)
}

// make writes a root and keeps it under rec's name. The caller has its turn.
func (l *Roots) make(ctx context.Context, r root, i *interpreter, rec record) (Runtime, error) {
	tmp, rec, err := l.write(ctx, r, i, rec)
	if err != nil {
		return Runtime{}, err
	}
	defer os.RemoveAll(tmp)
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kept[rec.Digest]
	switch {
	case k != nil && k.gone:
		return Runtime{}, fmt.Errorf("%w: the same root is being removed; try again", gust.ErrConflict)
	case k != nil && k.damaged():
		if err = l.swap(k, tmp); err == nil {
			k.checked = finished()
		}
	case k == nil:
		if err = os.RemoveAll(rec.Path); err == nil { // without a record it is worth nothing
			err = os.Rename(tmp, rec.Path)
		}
		k = &kept{checked: finished()} // it is what has just been written
	}
	if err == nil {
		err = l.keep(k, rec)
	}
	if err != nil {
		return Runtime{}, fmt.Errorf("keep the root: %w", explain(err))
	}
	return k.Runtime, nil
}

// keep makes k the current one of rec's name, with a durable record that says
// so. The caller holds mu.
func (l *Roots) keep(k *kept, rec record) error {
	if newest := l.currentLocked(rec.Name); newest == nil || newest != k || rec.Fingerprint != k.Fingerprint || rec.Source != k.Source {
		rec.Added = l.Now().UTC()
		if newest != nil && !rec.Added.After(newest.Added) { // whatever the clock says
			rec.Added = newest.Added.Add(time.Nanosecond)
		}
		if err := rec.save(l.Dir); err != nil {
			return err
		}
		k.record = rec
	}
	l.kept[rec.Digest] = k
	return nil
}

// swap puts tmp in the place of a damaged root, which nothing runs in.
func (l *Roots) swap(k *kept, tmp string) error {
	trash := tmp + "-damaged"
	if err := os.Rename(k.Path, trash); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer os.RemoveAll(trash)
	return errors.Join(os.Rename(tmp, k.Path), syncFolder(l.Dir))
}

// write makes the root in a new folder of its own, on the disk when write
// returns, and completes its record.
func (l *Roots) write(ctx context.Context, r root, i *interpreter, rec record) (dir string, _ record, err error) {
	if l.Free != nil {
		if free, reserve := l.Free(); free-reserve < r.size() {
			return "", rec, fmt.Errorf("%w: the root takes %d MB, and the disk has %d MB free, %d of them kept for the store",
				gust.ErrNoSpace, r.size()/gust.MB+1, free/gust.MB, reserve/gust.MB)
		}
	}
	tmp, err := os.MkdirTemp(l.Dir, halfMade)
	if err == nil {
		if rec, err = fill(ctx, tmp, r, i, rec); err == nil {
			rec.Path = filepath.Join(l.Dir, string(rec.Digest))
			return tmp, rec, nil
		}
		err = errors.Join(err, os.RemoveAll(tmp))
	}
	return "", rec, fmt.Errorf("make the root: %w", explain(err))
}

// fill is write without what is around it.
func fill(ctx context.Context, dir string, r root, i *interpreter, rec record) (record, error) {
	if err := r.write(ctx, dir); err != nil {
		return rec, err
	}
	if err := r.unchanged(); err != nil {
		return rec, err
	}
	if i != nil {
		more, err := i.try(ctx, r, dir)
		if err == nil {
			err = more.write(ctx, dir)
		}
		if err != nil {
			return rec, err
		}
		if name := nameOf(i.kind, i.version); name != rec.Name {
			return rec, invalid("%s is of version %s, which is %s and not %s", i.program, i.version, name, rec.Name)
		}
		maps.Copy(r, more)
		rec.Version, rec.Program = i.version, i.program
	}
	rec.Digest, rec.Size, rec.Client = r.digest(), r.size(), clientFolder
	return rec, syncTree(dir)
}

// damaged reports whether the check of the root has failed.
func (k *kept) damaged() bool {
	return k.checked != nil && k.checked.isDone() && errors.Is(k.checked.err, gust.ErrCorrupt)
}

// check reads a root once in a run, before it is first used, and holds it to its
// digest. A damaged one of the system is made again, if the system still is what
// it was made of.
func (l *Roots) check(ctx context.Context, k *kept) error {
	l.mu.Lock()
	if k.checked == nil {
		k.checked = newTask()
	}
	t, rec := k.checked, k.record
	l.mu.Unlock()
	l.run(t, func() error {
		r, err := read(l.ctx, rec.Path)
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		if err == nil && r.digest() == rec.Digest {
			return nil
		}
		what := fmt.Sprintf("the root %s of %s in %s is damaged", rec.Digest.Short(), rec.Name, rec.Path)
		if err == nil {
			err = errors.New("its files do not have the digest that names it")
		}
		again := l.heal(k, rec)
		if again == nil {
			l.Logger.Warn(what+" and has been made again", "error", err)
			return nil
		}
		err = fmt.Errorf("%w: %s: %w; it could not be made again: %w", gust.ErrCorrupt, what, err, again)
		l.Logger.Error("a runtime cannot be used", "error", err)
		return err
	})
	return t.wait(ctx)
}

// heal makes a damaged root again; was is its record.
func (l *Roots) heal(k *kept, was record) error {
	if was.Source != sourceSystem {
		return fmt.Errorf("it is not of the system: gust runtime add %s --from %s", was.Name, was.Source)
	}
	if kind, _, err := ParseName(was.Name); err == nil {
		if err := l.found(l.ctx, kind); err != nil {
			return err
		}
	}
	done, err := l.turn(l.ctx)
	if err != nil {
		return err
	}
	defer done()
	l.mu.Lock()
	t := l.system[was.Name]
	l.mu.Unlock()
	if t == nil {
		return fmt.Errorf("the system has no %s any more", was.Name)
	}
	i := t.interpreter
	r, err := collect(l.ctx, tree{dir: l.host}, i)
	if err != nil {
		return err
	}
	tmp, rec, err := l.write(l.ctx, r, i, record{Runtime: Runtime{Name: was.Name, Source: sourceSystem}})
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if rec.Digest != was.Digest {
		return errors.New("the system's files are others by now; deploy again what is pinned to it")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.swap(k, tmp)
}
