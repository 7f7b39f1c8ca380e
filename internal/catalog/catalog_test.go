package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

func open(t *testing.T, dir string) (*Catalog, *store.Store) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Durability: store.DurabilityAlways})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

func app(name string, change ...func(*gust.App)) *gust.App {
	a := &gust.App{Name: name, Functions: map[string]*gust.Function{}}
	for _, c := range change {
		c(a)
	}
	return a
}

func function(name string, change ...func(*gust.Function)) func(*gust.App) {
	return func(a *gust.App) {
		f := &gust.Function{
			Name: name, App: a.Name, Runtime: gust.RuntimeGo, Artifact: gust.Digest(strings.Repeat("ab", 32)),
			Memory: gust.DefaultMemory, Timeout: gust.DefaultTimeout, Ephemeral: gust.DefaultEphemeral,
			CPU: gust.CPUShared, Network: gust.NetworkNone, Idle: gust.DefaultIdle,
		}
		for _, c := range change {
			c(f)
		}
		a.Functions[name] = f
	}
}

func route(key, to string) func(*gust.App) {
	return func(a *gust.App) {
		method, path, _ := strings.Cut(key, " ")
		a.Routes = append(a.Routes, gust.Route{App: a.Name, Method: method, Path: path, Function: to})
	}
}

func memory(mb int64) func(*gust.Function) {
	return func(f *gust.Function) { f.Memory = mb * gust.MB }
}

func reserve(n int) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.Reserved = &n }
}

func apply(t *testing.T, c *Catalog, a *gust.App, take ...string) *Plan {
	t.Helper()
	plan, err := c.Apply(t.Context(), a, ApplyOptions{Take: take})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func (p *Plan) text() string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s %s;", c.Op, c.Kind, c.Name)
	}
	return b.String()
}

func TestDeployAgainChangesNothing(t *testing.T) {
	c, _ := open(t, t.TempDir())
	a := app("shop", function("api"), route("GET /x", "api"))
	if got := apply(t, c, a).text(); got != "add app shop;add function api;add route GET /x;" {
		t.Fatal(got)
	}
	before := c.Snapshot()
	if p := apply(t, c, app("shop", function("api"), route("GET /x", "api"))); len(p.Changes) != 0 || p.Revision != 1 {
		t.Fatalf("%+v", p)
	}
	if c.Snapshot() != before {
		t.Fatal("a new snapshot for nothing")
	}
}

func TestChangedFunctionsGetAVersionAndOthersKeepTheirs(t *testing.T) {
	dir := t.TempDir()
	c, s := open(t, dir)
	apply(t, c, app("shop", function("a"), function("b")))
	b := c.Snapshot().Functions["b"]
	changed := c.Watch()
	p := apply(t, c, app("shop", function("a", memory(256)), function("b")))
	<-changed
	if len(p.Changes) != 1 || fmt.Sprint(p.Changes[0].Fields) != "[{memory 128MB 256MB}]" {
		t.Fatalf("%+v", p.Changes)
	}
	snap := c.Snapshot()
	if snap.Functions["a"].Version != 2 || snap.Functions["b"] != b {
		t.Fatal("versions", snap.Functions["a"].Version, snap.Functions["b"].Version)
	}
	// A name that was removed goes on from its last version.
	apply(t, c, app("shop", function("b")))
	apply(t, c, app("shop", function("a"), function("b")))
	if v := c.Snapshot().Functions["a"].Version; v != 3 {
		t.Fatal("version", v)
	}
	// All of it is there after a restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, dir)
	got := again.Snapshot()
	if got.Revision != 4 || !got.Functions["a"].Equal(c.Snapshot().Functions["a"]) || got.Functions["a"].Version != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatBelongsToAnotherAppIsRefusedUnlessTaken(t *testing.T) {
	c, _ := open(t, t.TempDir())
	apply(t, c, app("one", function("f"), route("GET /a/{id}", "f")))
	two := func() *gust.App { return app("two", function("f", memory(512)), route("GET /a/{name}", "f")) }
	_, err := c.Apply(t.Context(), two(), ApplyOptions{})
	if !errors.Is(err, gust.ErrConflict) || !strings.Contains(err.Error(), "function f belongs to app one") || !strings.Contains(err.Error(), "route GET /a/{name} belongs to app one") {
		t.Fatal(err)
	}
	_, err = c.Apply(t.Context(), app("two", function("f")), ApplyOptions{Take: []string{"function:f"}})
	if !errors.Is(err, gust.ErrConflict) || !strings.Contains(err.Error(), `take "route:GET /a/{id}" too`) {
		t.Fatal("a route would lead into another app:", err)
	}
	apply(t, c, two(), "function:f", "route:GET /a/{name}")
	snap := c.Snapshot()
	if f := snap.Functions["f"]; f.App != "two" || f.Version != 2 || len(snap.Apps["one"].Functions) != 0 || len(snap.Routes) != 1 {
		t.Fatalf("%+v", snap)
	}
	if _, err := c.Apply(t.Context(), two(), ApplyOptions{Take: []string{"function:g"}}); !errors.Is(err, gust.ErrInvalid) {
		t.Fatal("took what is not there:", err)
	}
}

func TestNothingHappensWhenAnythingIsWrong(t *testing.T) {
	c, _ := open(t, t.TempDir())
	apply(t, c, app("shop", function("a")))
	before := c.Snapshot()
	missing := errors.New("no such artifact")
	stale := uint64(7)
	for name, try := range map[string]func() error{
		"invalid": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a", memory(1)), function("b")), ApplyOptions{})
			return err
		},
		"artifact": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a"), function("b")), ApplyOptions{HasArtifact: func(gust.Digest) error { return missing }})
			return err
		},
		"stale": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("b")), ApplyOptions{Expect: &stale})
			return err
		},
		"reserved": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a", reserve(901))), ApplyOptions{})
			return err
		},
		"unknown app": func() error { _, err := c.Remove(t.Context(), "nobody"); return err },
		"cancelled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := c.Apply(ctx, app("shop", function("b")), ApplyOptions{})
			return err
		},
	} {
		if err := try(); err == nil || c.Snapshot() != before {
			t.Errorf("%s: %v, revision %d", name, err, c.Snapshot().Revision)
		}
	}
	apply(t, c, app("shop", function("a", reserve(900))))
}

func TestRemoveTakesAllOfAnApp(t *testing.T) {
	c, _ := open(t, t.TempDir())
	apply(t, c, app("one", function("a"), route("GET /a", "a")))
	apply(t, c, app("two", function("b"), route("GET /b", "b")))
	plan, err := c.Remove(t.Context(), "one")
	if err != nil || plan.text() != "remove function a;remove route GET /a;remove app one;" {
		t.Fatal(plan, err)
	}
	if snap := c.Snapshot(); len(snap.Apps) != 1 || len(snap.Functions) != 1 || len(snap.Routes) != 1 {
		t.Fatalf("%+v", snap)
	}
}
