package catalog

import (
	"context"
	"encoding/binary"
	"encoding/json"
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
	// Take is as in PlanOptions.
	Take []string
	// HasArtifact is asked for each artifact that the change names; its error
	// refuses the change.
	HasArtifact func(gust.Digest) error
}

// Apply makes app what is declared under its name: all of it, in one durable
// revision, or nothing. An app that is declared already, and the same, changes
// nothing: no revision, no version.
func (c *Catalog) Apply(ctx context.Context, app *gust.App, o ApplyOptions) (*Plan, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	snap := c.Snapshot()
	if o.Expect != nil && *o.Expect != snap.Revision {
		return nil, fmt.Errorf("%w: the change was planned on revision %d, and the catalog is at %d; plan again", gust.ErrConflict, *o.Expect, snap.Revision)
	}
	d, err := c.diff(snap, app, o.Take)
	if err != nil {
		return nil, err
	}
	if len(d.plan.Changes) == 0 {
		return &d.plan, nil
	}
	if o.HasArtifact != nil {
		asked := map[gust.Digest]bool{}
		for _, f := range d.written {
			if asked[f.Artifact] {
				continue
			}
			asked[f.Artifact] = true
			if err := o.HasArtifact(f.Artifact); err != nil {
				return nil, fmt.Errorf("function %s: %w", f.Name, err)
			}
		}
	}
	next := maps.Clone(snap.Apps)
	for _, t := range d.takenFrom {
		other := *next[t.app]
		other.Routes = slices.DeleteFunc(slices.Clone(other.Routes), func(r gust.Route) bool { return r == t.route })
		next[t.app] = &other
	}
	for _, f := range d.written {
		if was := snap.Functions[f.Name]; was != nil && was.App != app.Name {
			other := *next[was.App]
			other.Functions = maps.Clone(other.Functions)
			delete(other.Functions, f.Name)
			next[was.App] = &other
		}
	}
	mine := &gust.App{Name: app.Name, Functions: map[string]*gust.Function{}, Routes: d.routes}
	for name := range app.Functions {
		mine.Functions[name] = snap.Functions[name] // those that change are set below
	}
	next[app.Name] = mine
	now := c.now().UTC()
	return c.commit(ctx, snap, &d.plan, func(tx *store.Tx) (map[string]*gust.App, error) {
		for _, f := range d.written {
			version, err := readNumber(tx.Get, keyVersion(f.Name))
			if err != nil {
				return nil, err
			}
			f.Version, f.Modified = version+1, now
			mine.Functions[f.Name] = f
			if err := setNumber(tx, keyVersion(f.Name), f.Version); err != nil {
				return nil, err
			}
			if err := setJSON(tx, keyFunction(f.Name), f); err != nil {
				return nil, err
			}
		}
		for _, name := range d.removed {
			if err := tx.Delete(keyFunction(name)); err != nil {
				return nil, err
			}
		}
		for _, t := range d.takenFrom {
			if err := setJSON(tx, keyRoutes(t.app), next[t.app].Routes); err != nil {
				return nil, err
			}
		}
		if d.reroute {
			if err := setJSON(tx, keyRoutes(app.Name), d.routes); err != nil {
				return nil, err
			}
		}
		return next, tx.Set(keyApp(app.Name), []byte{})
	})
}

// Remove takes an app away with all it declares.
func (c *Catalog) Remove(ctx context.Context, name string) (*Plan, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	snap := c.Snapshot()
	app := snap.Apps[name]
	if app == nil {
		return nil, fmt.Errorf("app %q: %w", name, gust.ErrNotFound)
	}
	plan := &Plan{App: name}
	for _, f := range app.FunctionNames() {
		plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "function", Name: f})
	}
	for _, r := range app.Routes {
		plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "route", Name: r.Key()})
	}
	plan.Changes = append(plan.Changes, Change{Op: Remove, Kind: "app", Name: name})
	next := maps.Clone(snap.Apps)
	delete(next, name)
	return c.commit(ctx, snap, plan, func(tx *store.Tx) (map[string]*gust.App, error) {
		for f := range app.Functions {
			if err := tx.Delete(keyFunction(f)); err != nil {
				return nil, err
			}
		}
		if err := tx.Delete(keyRoutes(name)); err != nil {
			return nil, err
		}
		return next, tx.Delete(keyApp(name))
	})
}

// commit writes one revision after snap's and publishes what write returns.
func (c *Catalog) commit(ctx context.Context, snap *Snapshot, plan *Plan, write func(*store.Tx) (map[string]*gust.App, error)) (*Plan, error) {
	var apps map[string]*gust.App
	err := c.store.Update(ctx, partition, func(tx *store.Tx) error {
		stored, err := readNumber(tx.Get, keyRevision)
		if err != nil {
			return err
		}
		if stored != snap.Revision {
			return fmt.Errorf("%w: the catalog went from revision %d to %d meanwhile", gust.ErrConflict, snap.Revision, stored)
		}
		if apps, err = write(tx); err != nil {
			return err
		}
		return setNumber(tx, keyRevision, snap.Revision+1)
	})
	if err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	plan.Revision = snap.Revision + 1
	c.publish(snapshotOf(plan.Revision, apps))
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
