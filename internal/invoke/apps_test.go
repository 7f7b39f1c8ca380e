package invoke

import (
	"context"
	"errors"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/store"
)

// handOver has apps have f one after the other, each by taking it over if it says
// so ("take other"), or after all that there is has been removed.
func handOver(ctx context.Context, c *catalog.Catalog, artifact gust.Digest, apps []string) error {
	for _, app := range apps {
		app, take := strings.CutPrefix(app, "take ")
		o := catalog.ApplyOptions{Take: []string{"function:f"}}
		if !take {
			o.Take = nil
			for name := range c.Snapshot().Apps {
				if _, err := c.Remove(ctx, name); err != nil {
					return err
				}
			}
		}
		f := fn("f", func(f *gust.Function) { f.App, f.Artifact = app, artifact })
		if _, err := c.Apply(ctx, &gust.App{Name: app, Functions: map[string]*gust.Function{"f": f}}, o); err != nil {
			return err
		}
	}
	return nil
}

// An event is for the function of its app: another app's that has got the name
// does not get it, unless it has taken the function over.
func TestAsynchronousEventsStayWithTheirApp(t *testing.T) {
	for _, tt := range []struct {
		apps []string
		runs bool
	}{
		{[]string{"app"}, true}, {[]string{"other"}, false},
		{[]string{"take other"}, true}, {[]string{"take other", "take third"}, true}, {[]string{"take other", "take app"}, true},
		{[]string{"take other", "third"}, false}, {[]string{"take other", "other"}, false}, {[]string{"other", "take third"}, false},
	} {
		app, runs := tt.apps, tt.runs
		dir := t.TempDir()
		b, kept := leftRunning(t, dir, "secret")

		s, err := store.Open(store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		c, err := catalog.Open(t.Context(), s, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := handOver(t.Context(), c, b.digest, app); err != nil {
			t.Fatal(err)
		}
		nobodys := "5f3b1d9e-0000-4000-8000-000000000001"
		err = s.Update(t.Context(), asyncPartition+"f", func(tx *store.Tx) error {
			return errors.Join(tx.Set([]byte(asyncEvent+nobodys), []byte("{}")), tx.Set([]byte(asyncPayload+nobodys), []byte("old")),
				tx.SetTimer(store.Timer{ID: nobodys, At: tx.Now(), Kind: asyncTimer}))
		})
		if err := errors.Join(err, c.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}

		got := make(chan string, 10)
		b = newBed(t, dir, map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
			got <- inv.RequestID
			return echo(e, inv)
		}})
		b.wait("log an asynchronous event is given up")
		if runs {
			if id := <-got; id != kept {
				t.Errorf("it runs %s", id)
			}
		} else {
			b.wait("log an asynchronous event is given up")
		}
		own, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "f"})
		if err != nil {
			t.Fatal(err)
		}
		if id := <-got; id != own {
			t.Errorf("%q: app %s gets the event %s", app, b.catalog.Snapshot().Functions["f"].App, id)
		}
		b.close()
		if s, err = store.Open(store.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{kept, nobodys} {
			err := s.View(asyncPartition+"f", func(s *store.Snapshot) error {
				_, err := s.Get([]byte(asyncPayload + id))
				return err
			})
			if !errors.Is(err, gust.ErrNotFound) {
				t.Errorf("%q: the event %s is kept: %v", app, id, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Nor does what waited for an environment when the name changed hands.
func TestInvocationsStayWithTheirApp(t *testing.T) {
	t.Run("removed", func(t *testing.T) { testHandOver(t, false, "other") })
	t.Run("taken over", func(t *testing.T) { testHandOver(t, true, "take other") })
	t.Run("taken over and removed", func(t *testing.T) { testHandOver(t, false, "take other", "third") })
}

func testHandOver(t *testing.T, runs bool, apps ...string) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		if !runs {
			t.Error("the other app gets it")
		}
		return echo(e, inv)
	}})
	release := make(chan struct{})
	b.backend.boot["f"] = func(*fakeEnv) *gust.FunctionError { <-release; return nil }
	b.deploy(fn("f"))
	ended := make(chan error, 1)
	go func() {
		_, err := b.iv.Invoke(t.Context(), &Request{Function: "f"})
		ended <- err
	}()
	b.wait("start f")

	// Both at once, as it looks to the invoker.
	b.iv.mu.Lock()
	err := handOver(t.Context(), b.catalog, b.digest, apps)
	b.iv.declare(b.catalog.Snapshot())
	b.iv.mu.Unlock()
	close(release)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; runs && err != nil || !runs && !errors.Is(err, gust.ErrNotFound) {
		t.Error(err)
	}
	if n := b.iv.Totals().Running; n != 0 {
		t.Error("running", n)
	}
}
