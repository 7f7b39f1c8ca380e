package scale

import (
	"errors"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestAWarmUpStartsOneAndTheNextInvocationIsWarm(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"))
	a, b := w.warm("f"), w.warm("f")
	if len(w.starting) != 1 || w.starting[0].Cause != gust.ColdWarmUp {
		t.Fatalf("%d starting", len(w.starting))
	}
	e := w.starting[0]
	w.ready()
	if w.warmed[a] != e || w.warmed[b] != e {
		t.Fatal("not told")
	}
	c := w.arrive("f")
	if w.running[c] != e || len(w.starting) != 0 {
		t.Fatal("the invocation did not get it")
	}
	if d := w.warm("f"); w.warmed[d] != e || len(w.starting) != 0 {
		t.Fatal("one that is in use is ready too")
	}
	w.finish(c)
	w.tick(time.Second)
	if d := w.warm("f"); w.warmed[d] != e || !w.frozen[e] {
		t.Fatal("one that is frozen is ready, and stays frozen")
	}
	w.tick(10 * time.Minute)
	if len(w.stopped) != 1 {
		t.Fatal("it is kept for longer than others")
	}
}

// What is on its way already, for whatever reason, is what a warm-up waits for.
func TestAWarmUpStartsNothingBesideAStart(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"), fn("p", provisioned(1)))
	w.arrive("f")
	a, b := w.warm("f"), w.warm("p")
	if len(w.starting) != 2 {
		t.Fatalf("%d starting", len(w.starting))
	}
	w.ready()
	if w.warmed[a].Cause != gust.ColdFirst || w.warmed[b].Cause != gust.ColdProvisioned {
		t.Fatal(w.warmed[a].Cause, w.warmed[b].Cause)
	}
}

func TestWarmUpsAreRefusedForTheirReason(t *testing.T) {
	boom := errors.New("boom")
	w := newWorld(t, Limits{Memory: 30 * gust.MB}, fn("bad"), fn("off", reserved(0)), fn("f"))
	if a := w.warm("nobody"); !errors.Is(w.refused[a], gust.ErrNotFound) {
		t.Error(w.refused[a])
	}
	if a := w.warm("off"); w.reason(a) != gust.ThrottleFunction {
		t.Error(w.refused[a])
	}
	for range 2 {
		a := w.warm("bad")
		w.fail(boom)
		if !errors.Is(w.refused[a], boom) || len(w.starting) != 0 {
			t.Fatal(w.refused[a])
		}
	}
	var back *BackoffError
	if a := w.warm("bad"); !errors.As(w.refused[a], &back) || len(w.starting) != 0 {
		t.Error("tried while it is backed off:", w.refused[a])
	}
	w.arrive("f")
	w.ready()
	if a := w.warm("off"); len(w.starting) != 0 || w.refused[a] == nil {
		t.Error(w.refused[a])
	}
	w.tick(time.Minute)
	if a := w.warm("bad"); w.reason(a) != gust.ThrottleMemory {
		t.Error(w.refused[a])
	}
}

// A warm-up that waits while its function is deployed anew is about the new
// version, and ends when the function is removed.
func TestAWarmUpFollowsADeploy(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"), fn("g"))
	a, b := w.warm("f"), w.warm("g")
	w.declare(fn("f", version(2)))
	if !errors.Is(w.refused[b], gust.ErrNotFound) {
		t.Error(w.refused[b])
	}
	w.fail(errors.New("aborted"))
	w.ready()
	if e := w.warmed[a]; e == nil || e.Function.Version != 2 {
		t.Fatal(e, w.refused[a])
	}
}

func TestAWarmUpIsCancelled(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"))
	a := w.warm("f")
	ok, actions := w.s.Cancel(w.now, a)
	w.do(actions)
	w.ready()
	if !ok || w.warmed[a] != nil {
		t.Fatal("not cancelled")
	}
}
