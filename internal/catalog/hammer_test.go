package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// Many who deploy against the revision they saw: each change stands on the one
// before it, and none is lost.
func TestCompareAndSetUnderHammer(t *testing.T) {
	c, s := open(t, t.TempDir())
	const deployers, rounds = 6, 10
	apply(t, c, app("shop", function("f")))
	var conflicts atomic.Int64
	var wg sync.WaitGroup
	for range deployers {
		wg.Go(func() {
			for done := 0; done < rounds; {
				snap := c.Snapshot()
				// A counter that lives in a description: lost updates show.
				var n int
				fmt.Sscan(snap.Functions["f"].Description, &n)
				next := app("shop", function("f", func(f *gust.Function) { f.Description = fmt.Sprint(n + 1) }))
				_, err := c.Apply(context.Background(), next, ApplyOptions{Expect: &snap.Revision})
				switch {
				case err == nil:
					done++
				case errors.Is(err, gust.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	// Apps that come and go meanwhile, and a reader who misses nothing.
	wg.Go(func() {
		for i := range 20 {
			name := fmt.Sprint("app", i%3)
			if _, err := c.Apply(context.Background(), app(name, function(name), route("GET /"+name, name)), ApplyOptions{}); err != nil {
				t.Error(err)
			}
			if _, err := c.Remove(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
	})
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for last := uint64(0); ; {
			changed := c.Watch()
			snap := c.Snapshot()
			if snap.Revision < last {
				t.Errorf("revision %d after %d", snap.Revision, last)
			}
			last = snap.Revision
			consistent(t, snap)
			select {
			case <-changed:
			case <-stop:
				return
			}
		}
	})
	wg.Wait()
	close(stop)
	reader.Wait()
	f := c.Snapshot().Functions["f"]
	if want := deployers * rounds; f.Description != fmt.Sprint(want) || f.Version != uint64(want)+1 {
		t.Errorf("the counter is %s at version %d, want %d", f.Description, f.Version, want)
	}
	if want := uint64(1 + deployers*rounds + 40); c.Snapshot().Revision != want {
		t.Errorf("the revision is %d, want %d", c.Snapshot().Revision, want)
	}
	reopened(t, c, s)
	t.Logf("%d conflicts", conflicts.Load())
}

// many is a catalog of n functions in apps of a hundred, with a route each.
func many(t testing.TB, dir string, n int) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Durability: store.DurabilityInterval})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(context.Background(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 100 {
		a := app(fmt.Sprintf("app%d", i))
		for j := i; j < min(i+100, n); j++ {
			name := fmt.Sprintf("function-%d", j)
			function(name, func(f *gust.Function) {
				f.Artifact = gust.Digest(fmt.Sprintf("%064x", j))
				f.Env = map[string]string{"TABLE": "orders", "STAGE": "production"}
			})(a)
			route(fmt.Sprintf("GET /%s/{id}", name), name)(a)
		}
		if _, err := c.Apply(context.Background(), a, ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// The figures that the design asks for: ready in 200 ms, and what 10,000
// functions take of the memory.
func BenchmarkOpen10000(b *testing.B) {
	s := many(b, b.TempDir(), 10_000)
	defer s.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var c *Catalog
	for b.Loop() {
		var err error
		if c, err = Open(context.Background(), s, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-held")
	runtime.KeepAlive(c)
}

func BenchmarkApplyOneOf10000(b *testing.B) {
	s := many(b, b.TempDir(), 10_000)
	defer s.Close()
	c, err := Open(context.Background(), s, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := c.Apply(context.Background(), app("one", function("f", memory(int64(128+i%1000)))), ApplyOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// A change of one function in a large catalog writes that function alone.
func TestApplyWritesOnlyWhatChanges(t *testing.T) {
	s := many(t, t.TempDir(), 300)
	defer s.Close()
	records := func() map[string]string {
		all := make(map[string]string)
		err := s.View(partition, func(v *store.Snapshot) error {
			for key, value := range v.Scan(nil) {
				all[string(key)] = string(value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	c, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := records()
	a := *c.Snapshot().Apps["app100"]
	f := *a.Functions["function-150"]
	f.Memory = gust.GB
	a.Functions = map[string]*gust.Function{}
	for name, g := range c.Snapshot().Apps["app100"].Functions {
		a.Functions[name] = g
	}
	a.Functions["function-150"] = &f
	apply(t, c, &a)
	var changed []string
	for key, value := range records() {
		if before[key] != value {
			changed = append(changed, key)
		}
	}
	if got := len(changed); got != 3 {
		t.Errorf("%d records changed: %s", got, strings.Join(changed, ", "))
	}
}
