package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
	"github.com/gust-dev/gust/internal/store/storetest"
)

// deploys are what a node goes through: additions, changes, removals, what moves
// from one app to another, and a deploy that changes nothing.
func deploys(artifact func(string) gust.Digest) []func(*Catalog, ApplyOptions) error {
	code := func(s string) func(*gust.Function) {
		return func(f *gust.Function) { f.Artifact = artifact(s) }
	}
	put := func(build func() *gust.App, take ...string) func(*Catalog, ApplyOptions) error {
		return func(c *Catalog, o ApplyOptions) error {
			o.Take = take
			_, err := c.Apply(context.Background(), build(), o)
			return err
		}
	}
	return []func(*Catalog, ApplyOptions) error{
		put(func() *gust.App { return app("one", function("a", code("a1")), route("GET /a", "a")) }),
		put(func() *gust.App {
			return app("one", function("a", code("a2")), function("b", code("b1")), route("GET /a", "b"), route("GET /b/{x}", "b"))
		}),
		put(func() *gust.App { return app("two", function("c", code("c1")), function("d", code("a2"))) }),
		put(func() *gust.App { return app("two", function("c", code("c1")), function("d", code("a2"))) }),
		put(func() *gust.App { return app("two", function("b", code("b2")), route("GET /b/{y}", "b")) }, "function:b", "route:GET /b/{y}", "route:GET /a"),
		func(c *Catalog, _ ApplyOptions) error { _, err := c.Remove(context.Background(), "one"); return err },
		put(func() *gust.App { return app("one", function("a", code("a3")), route("GET /a", "a")) }),
	}
}

func TestPowerCutAtEverySyncOfADeploy(t *testing.T) {
	var acked atomic.Int64
	disk := storetest.New(acked.Load)
	s := openOn(t, disk.FS())
	c, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	disk.Arm()
	states := []string{withoutTimes(t, c.Snapshot())}
	upload := func(text string) gust.Digest {
		d, _, err := s.Blobs().Put(t.Context(), strings.NewReader(text), 100)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	has := func(d gust.Digest) error {
		there, err := s.Blobs().Has(d)
		if err == nil && !there {
			err = gust.ErrNotFound
		}
		return err
	}
	steps := deploys(upload)
	for i, deploy := range steps {
		if err := deploy(c, ApplyOptions{HasArtifact: has}); err != nil {
			t.Fatalf("deploy %d: %v", i, err)
		}
		states = append(states, withoutTimes(t, c.Snapshot()))
		acked.Add(1)
	}
	cuts := disk.Disarm()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(cuts) < len(steps) {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for i, cut := range cuts {
		s := openOn(t, cut.FS)
		c, err := Open(t.Context(), s, Options{})
		if err != nil {
			t.Errorf("cut %d at the sync of %s: %v", i, cut.At, err)
			continue
		}
		// Every acknowledged deploy is there; the one under way is there
		// whole, or not at all.
		got := withoutTimes(t, c.Snapshot())
		if got != states[cut.Seen] && (int(cut.Seen)+1 == len(states) || got != states[cut.Seen+1]) {
			t.Errorf("cut %d at the sync of %s, after %d deploys: the catalog is %s", i, cut.At, cut.Seen, got)
		}
		consistent(t, c.Snapshot())
		for d := range c.Snapshot().Artifacts() {
			blob, err := s.Blobs().Open(d)
			if err != nil {
				t.Errorf("cut %d at the sync of %s: a function's artifact: %v", i, cut.At, err)
				continue
			}
			blob.Close()
		}
		// And it goes on from there.
		plan, err := c.Apply(t.Context(), app("later", function("z")), ApplyOptions{})
		if err != nil || plan.Revision != c.Snapshot().Revision {
			t.Errorf("cut %d: it takes no more: %v", i, err)
		}
		s.Close()
	}
	t.Logf("%d cuts", len(cuts))
}

// withoutTimes is a snapshot as text, but for when its functions were accepted.
func withoutTimes(t *testing.T, s *Snapshot) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d", s.Revision)
	for _, name := range union(s.Apps, nil) {
		a := s.Apps[name]
		fmt.Fprintf(&b, "; app %s routes %v", name, a.Routes)
		for _, n := range a.FunctionNames() {
			f := a.Functions[n]
			fmt.Fprintf(&b, " function %s %d %s", n, f.Version, f.Artifact.Short())
		}
	}
	return b.String()
}

func openOn(t *testing.T, fs vfs.FS) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: "data", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestADiskThatFailsAcknowledgesNothing(t *testing.T) {
	broken := errors.New("the disk is broken")
	var failing atomic.Bool
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return broken
		}
		return nil
	})
	fatal := make(chan error, 1)
	s, err := store.Open(store.Options{Dir: "data", FS: errorfs.Wrap(vfs.NewMem(), hook), Logger: slog.New(slog.DiscardHandler), OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, c, app("a", function("f")))
	before, changed := c.Snapshot(), c.Watch()
	failing.Store(true)
	if _, err := c.Apply(t.Context(), app("a", function("f", memory(256))), ApplyOptions{}); err == nil {
		t.Error("it was acknowledged")
	}
	<-fatal
	if c.Snapshot() != before {
		t.Error("readers see what may not be there")
	}
	select {
	case <-changed:
		t.Error("watchers were woken")
	default:
	}
	if _, err := c.Apply(t.Context(), app("a", function("f", memory(512))), ApplyOptions{}); err == nil {
		t.Error("it goes on")
	}
}
