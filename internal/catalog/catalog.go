// Package catalog keeps what is declared: which apps there are, their functions
// and routes. Changing it is planned as a diff and applied as one revision, all
// or nothing; readers share immutable snapshots behind one atomic pointer.
package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// partition holds all of the catalog. Under "function/" and "routes/" are the
// declarations, by function and by app; an app with neither stands under "app/"
// alone. Under "taken/" is from which apps a function was taken over. Under "version/" is the last version each name ever had, so that
// versions never go back.
const partition store.Partition = "catalog"

var keyRevision = []byte("revision")

func keyApp(name string) []byte      { return []byte("app/" + name) }
func keyFunction(name string) []byte { return []byte("function/" + name) }
func keyRoutes(app string) []byte    { return []byte("routes/" + app) }
func keyTaken(name string) []byte    { return []byte("taken/" + name) }
func keyVersion(name string) []byte  { return []byte("version/" + name) }

// Options are a Catalog's settings.
type Options struct {
	// Now is the clock for Function.Modified; nil is the store's.
	Now func() time.Time
	// NodeConcurrency is what all functions together may set aside a part of;
	// 0 is gust.DefaultNodeConcurrency.
	NodeConcurrency int
	// Permits says why the node cannot give a function its network, or returns
	// nil; nil permits all.
	Permits func(gust.Network) error
}

// Catalog is what is declared. It is safe for use by many goroutines.
type Catalog struct {
	store       *store.Store
	now         func() time.Time
	concurrency int
	permits     func(gust.Network) error

	writing  sync.Mutex // one change at a time
	snapshot atomic.Pointer[Snapshot]
	mu       sync.Mutex // guards changed
	changed  chan struct{}
}

// Snapshot is what was declared at one moment. It never changes, nor does
// anything that can be reached from it.
type Snapshot struct {
	// Revision counts changes from 0, which is an empty catalog.
	Revision  uint64
	Apps      map[string]*gust.App
	Functions map[string]*gust.Function
	// Routes are those of all apps, ordered by path and method.
	Routes []gust.Route

	artifacts map[gust.Digest]struct{}
}

// Artifacts yields each artifact that a function is declared with, its layers
// among them, once, in no order.
func (s *Snapshot) Artifacts() iter.Seq[gust.Digest] { return maps.Keys(s.artifacts) }

// HasArtifact reports whether a function is declared with the artifact, as its
// code or as a layer.
func (s *Snapshot) HasArtifact(d gust.Digest) bool {
	_, ok := s.artifacts[d]
	return ok
}

// Roots lists the functions that are pinned to each runtime root, by name.
func (s *Snapshot) Roots() map[gust.Digest][]string {
	roots := make(map[gust.Digest][]string)
	for _, name := range slices.Sorted(maps.Keys(s.Functions)) {
		if d := s.Functions[name].Root; d != "" {
			roots[d] = append(roots[d], name)
		}
	}
	return roots
}

// Open reads the catalog from the store.
func Open(ctx context.Context, s *store.Store, o Options) (*Catalog, error) {
	c := &Catalog{store: s, now: o.Now, concurrency: o.NodeConcurrency, changed: make(chan struct{})}
	if c.now == nil {
		c.now = s.Now
	}
	if c.permits = o.Permits; c.permits == nil {
		c.permits = func(gust.Network) error { return nil }
	}
	if c.concurrency == 0 {
		c.concurrency = gust.DefaultNodeConcurrency
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	snap, err := load(s)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	c.snapshot.Store(snap)
	return c, nil
}

// Close waits for the change that is under way.
func (c *Catalog) Close() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return nil
}

// Snapshot is what is declared now.
func (c *Catalog) Snapshot() *Snapshot { return c.snapshot.Load() }

// Watch returns a channel that is closed at the next change. Who takes the
// snapshot after calling Watch misses none.
func (c *Catalog) Watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *Catalog) publish(s *Snapshot) {
	c.snapshot.Store(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// load reads a snapshot.
func load(s *store.Store) (*Snapshot, error) {
	apps := make(map[string]*gust.App)
	var revision uint64
	err := s.View(partition, func(v *store.Snapshot) (err error) {
		if revision, err = readNumber(v.Get, keyRevision); err != nil {
			return err
		}
		for key := range v.Scan(keyApp("")) {
			name := string(key[len(keyApp("")):])
			apps[name] = &gust.App{Name: name, Functions: make(map[string]*gust.Function)}
		}
		for key, value := range v.Scan(keyFunction("")) {
			f := new(gust.Function)
			if err := decode(key, value, f); err != nil {
				return err
			}
			a := apps[f.App]
			if a == nil || !bytes.Equal(key, keyFunction(f.Name)) {
				return fmt.Errorf("%w: the record %s of the catalog is of function %q in app %q", gust.ErrCorrupt, key, f.Name, f.App)
			}
			f.App = a.Name // one string for all
			if f.TakenFrom, err = takenFrom(v.Get, f.Name); err != nil {
				return err
			}
			a.Functions[f.Name] = f
		}
		for key, value := range v.Scan(keyRoutes("")) {
			a := apps[string(key[len(keyRoutes("")):])]
			if a == nil {
				return fmt.Errorf("%w: the record %s of the catalog is of an app that is not there", gust.ErrCorrupt, key)
			}
			if err := decode(key, value, &a.Routes); err != nil {
				return err
			}
			for i := range a.Routes {
				a.Routes[i].App = a.Name
			}
		}
		return v.Err()
	})
	if err != nil {
		return nil, err
	}
	return newSnapshot(revision, apps), nil
}

func decode(key, value []byte, v any) error {
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("%w: the record %s of the catalog: %w", gust.ErrCorrupt, key, err)
	}
	return nil
}

// readNumber is 0 where there is none.
func readNumber(get func([]byte) ([]byte, error), key []byte) (uint64, error) {
	v, err := get(key)
	switch {
	case errors.Is(err, gust.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("%w: the record %s of the catalog has %d bytes, not 8", gust.ErrCorrupt, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// newSnapshot indexes apps, which it takes over.
func newSnapshot(revision uint64, apps map[string]*gust.App) *Snapshot {
	functions, routes := 0, 0
	for _, a := range apps {
		functions += len(a.Functions)
		routes += len(a.Routes)
	}
	s := &Snapshot{
		Revision:  revision,
		Apps:      apps,
		Functions: make(map[string]*gust.Function, functions),
		Routes:    make([]gust.Route, 0, routes),
		artifacts: make(map[gust.Digest]struct{}),
	}
	for _, a := range apps {
		for name, f := range a.Functions {
			s.Functions[name] = f
			for d := range f.Artifacts() {
				s.artifacts[d] = struct{}{}
			}
		}
		s.Routes = append(s.Routes, a.Routes...)
	}
	slices.SortFunc(s.Routes, compareRoutes)
	return s
}
