package catalog

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// ApplyOptions are how to apply.
type ApplyOptions struct {
	// Expect is the revision that the change was planned on; another one is a
	// gust.ErrConflict. Nil applies to whatever is there.
	Expect *uint64
	// Take, Sees, Allow, Root and HasRoot are as in PlanOptions.
	Take    []string
	Sees    func(app string) bool
	Allow   func(Reach) error
	Root    func(interpreter string) (gust.Digest, error)
	HasRoot func(gust.Digest) bool
	// HasArtifact is asked once for each artifact of a function that is added
	// or changed, and of its layers; its errors refuse the change.
	HasArtifact func(gust.Digest) error
}

// Apply makes app what is declared under its name: all of it, in one durable
// revision, or nothing. A function that differs in anything gets the next
// version of its name. An app that is declared already, and the same, changes
// nothing: no revision, no version.
//
// The versions, times and roots in app do not count, and app may be changed after the
// call. What is wrong with it is a gust.ErrInvalid, all of it at once; what
// belongs to another app and is not to be taken is a gust.ErrConflict.
func (c *Catalog) Apply(ctx context.Context, app *gust.App, o ApplyOptions) (*Plan, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	snap := c.Snapshot()
	if o.Expect != nil && *o.Expect != snap.Revision {
		return nil, fmt.Errorf("%w: the change was planned on revision %d, and the catalog is at %d; plan again", gust.ErrConflict, *o.Expect, snap.Revision)
	}
	d, err := c.diff(snap, app, PlanOptions{Take: o.Take, Sees: o.Sees, Allow: o.Allow, Root: o.Root, HasRoot: o.HasRoot})
	if err != nil {
		return nil, err
	}
	if len(d.plan.Changes) == 0 {
		return &d.plan, nil
	}
	if err := d.checkArtifacts(o.HasArtifact); err != nil {
		return nil, err
	}
	next := d.apps(snap)
	now := c.now().UTC()
	return c.commit(ctx, snap, next, &d.plan, func(tx *store.Tx) error {
		for _, f := range d.written {
			version, err := readNumber(tx.Get, keyVersion(f.Name))
			if err != nil {
				return err
			}
			f.Version, f.Modified = version+1, now
			if err := errors.Join(setNumber(tx, keyVersion(f.Name), f.Version), setJSON(tx, keyFunction(f.Name), f)); err != nil {
				return err
			}
			if was := snap.Functions[f.Name]; was != nil && was.App != f.App {
				if err := setJSON(tx, keyTaken(f.Name), f.TakenFrom); err != nil {
					return err
				}
			}
		}
		for _, name := range d.removed {
			if err := forget(tx, name); err != nil {
				return err
			}
		}
		for name := range d.rerouted() {
			if err := setJSON(tx, keyRoutes(name), next[name].Routes); err != nil {
				return err
			}
		}
		return tx.Set(keyApp(app.Name), nil)
	})
}

// checkArtifacts asks for the artifacts of what is written, and returns all
// that is wrong with them.
func (d *delta) checkArtifacts(has func(gust.Digest) error) error {
	if has == nil {
		return nil
	}
	var errs []error
	asked := make(map[gust.Digest]bool)
	for _, f := range d.written {
		for a := range f.Artifacts() {
			if asked[a] {
				continue
			}
			asked[a] = true
			if err := has(a); err != nil {
				errs = append(errs, fmt.Errorf("function %s: %w", f.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// rerouted are the apps whose routes change.
func (d *delta) rerouted() map[string]bool {
	apps := make(map[string]bool)
	for _, r := range d.taken {
		apps[r.App] = true
	}
	if d.reroute {
		apps[d.plan.App] = true
	}
	return apps
}

// apps are snap's apps after the change. The functions of snap are shared, the
// written ones still without their version.
func (d *delta) apps(snap *Snapshot) map[string]*gust.App {
	next := maps.Clone(snap.Apps)
	// own returns an app of next that may be changed.
	own := func(name string) *gust.App {
		a := next[name]
		switch was := snap.Apps[name]; {
		case a == nil:
			a = &gust.App{Name: name, Functions: make(map[string]*gust.Function)}
		case a == was:
			a = &gust.App{Name: name, Functions: maps.Clone(was.Functions), Routes: was.Routes}
		}
		next[name] = a
		return a
	}
	mine := own(d.plan.App)
	for _, f := range d.written {
		if was := snap.Functions[f.Name]; was != nil && was.App != f.App {
			delete(own(was.App).Functions, f.Name)
		}
		mine.Functions[f.Name] = f
	}
	for _, name := range d.removed {
		delete(mine.Functions, name)
	}
	if d.reroute {
		mine.Routes = d.routes
	}
	for name := range d.rerouted() {
		if other := own(name); other != mine {
			other.Routes = slices.DeleteFunc(slices.Clone(other.Routes), func(r gust.Route) bool { return slices.Contains(d.taken, r) })
		}
	}
	return next
}

// Remove takes an app away with all it declares. One that is not there is a
// gust.ErrNotFound.
func (c *Catalog) Remove(ctx context.Context, name string) (*Plan, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	snap := c.Snapshot()
	app := snap.Apps[name]
	if app == nil {
		return nil, fmt.Errorf("app %q: %w", name, gust.ErrNotFound)
	}
	plan := &Plan{App: name}
	plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "app", Name: name})
	for _, f := range app.FunctionNames() {
		plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "function", Name: f})
	}
	for _, r := range app.Routes {
		plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "route", Name: r.Key()})
	}
	next := maps.Clone(snap.Apps)
	delete(next, name)
	return c.commit(ctx, snap, next, plan, func(tx *store.Tx) error {
		for f := range app.Functions {
			if err := forget(tx, f); err != nil {
				return err
			}
		}
		return errors.Join(tx.Delete(keyRoutes(name)), tx.Delete(keyApp(name)))
	})
}

// commit writes one revision after snap's, and when it is durable publishes
// what is declared then.
func (c *Catalog) commit(ctx context.Context, snap *Snapshot, next map[string]*gust.App, plan *Plan, write func(*store.Tx) error) (*Plan, error) {
	err := c.store.Update(ctx, partition, func(tx *store.Tx) error {
		// The snapshot is what was acknowledged. A write whose fate is not
		// known, because its disk failed, must not be written over.
		stored, err := readNumber(tx.Get, keyRevision)
		if err != nil {
			return err
		}
		if stored != snap.Revision {
			return fmt.Errorf("%w: the catalog went from revision %d to %d meanwhile", gust.ErrConflict, snap.Revision, stored)
		}
		if err := write(tx); err != nil {
			return err
		}
		return setNumber(tx, keyRevision, snap.Revision+1)
	})
	if err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	plan.Revision = snap.Revision + 1
	c.publish(newSnapshot(plan.Revision, next))
	return plan, nil
}

func setNumber(tx *store.Tx, key []byte, n uint64) error {
	return tx.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

func setJSON(tx *store.Tx, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Set(key, data)
}
