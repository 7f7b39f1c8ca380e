package scale

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// Exactly one invocation of an environment is cold, also when it is given
// several at once.
func TestOneInvocationIsCold(t *testing.T) {
	w := newWorld(t, Limits{Starts: 1}, fn("f", per(3)))
	for range 3 {
		w.arrive("f")
	}
	cold, all := 0, 0
	for _, a := range w.s.Ready(w.now, w.starting[0]) {
		if a.Op == Dispatch {
			all++
			if a.Cold {
				cold++
			}
		}
	}
	if all != 3 || cold != 1 {
		t.Fatalf("%d of %d are cold", cold, all)
	}
}

// What becomes free one by one goes round among the functions that queue.
func TestQueuesTakeTurns(t *testing.T) {
	w := newWorld(t, Limits{Concurrency: 1}, fn("busy"), fn("a", queue(10, time.Minute)), fn("b", queue(10, time.Minute)))
	first := w.arrive("busy")
	w.ready()
	queued := map[*Ticket]bool{}
	for range 4 {
		queued[w.arrive("a")] = true
	}
	for range 4 {
		queued[w.arrive("b")] = true
	}
	var order string
	for next := first; next != nil; {
		w.finish(next)
		w.ready()
		next = nil
		for tk := range w.running {
			order += tk.Function
			next = tk
		}
	}
	if order != "abababab" {
		t.Fatal(order)
	}
}

// Who comes later does not overtake who waits in the function's queue.
func TestNobodyOvertakesTheQueue(t *testing.T) {
	w := newWorld(t, Limits{Memory: 50 * gust.MB}, fn("a"), fn("f", queue(10, time.Minute)))
	a, b := w.arrive("a"), w.arrive("a")
	w.ready()
	waits := w.arrive("f") // no memory
	w.s.Measured(w.running[a], 1*gust.MB)
	late := w.arrive("f")
	w.ready()
	if w.running[waits] == nil || w.refused[late] != nil {
		t.Fatal("the first in the queue waits on:", w.refused[waits], w.refused[late])
	}
	w.finish(a)
	w.finish(b)
}

func TestNoQueueIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", reserved(1), queue(10, time.Minute)))
	w.arrive("f")
	tk := &Ticket{Function: "f", NoQueue: true}
	w.do(w.s.Arrive(w.now, tk))
	if w.reason(tk) != gust.ThrottleFunction {
		t.Fatal(w.refused[tk])
	}
}

// An idle node is not woken: not for functions that were used, nor for
// environments that are frozen.
func TestIdleCostsNothing(t *testing.T) {
	var fns []*gust.Function
	for i := range 1000 {
		fns = append(fns, fn(fmt.Sprint("f", i)))
	}
	w := newWorld(t, Limits{}, fns...)
	for _, f := range fns {
		tk := w.arrive(f.Name)
		w.ready()
		w.finish(tk)
	}
	next, actions := w.s.Tick(w.now)
	w.do(actions)
	if want := w.now.Add(w.limits.Grace); !next.Equal(want) {
		t.Fatalf("called again %v later while environments run", next.Sub(w.now))
	}
	w.tick(time.Second)
	next, actions = w.s.Tick(w.now)
	w.do(actions)
	if want := t0.Add(fns[0].Idle); !next.Equal(want) {
		t.Fatalf("all are frozen and it wants to be called at %v, want %v", next, want)
	}
	w.tick(time.Hour)
	if len(w.stopped) != len(fns) {
		t.Fatal("not reclaimed")
	}
	next, actions = w.s.Tick(w.now)
	if want := w.now.Add(time.Hour); !next.Equal(want) || len(actions) > 0 {
		t.Fatalf("nothing is there and it wants to be called in %v", next.Sub(w.now))
	}
}

func TestNobodyIsGivenUpInVain(t *testing.T) {
	w := newWorld(t, Limits{Memory: 100 * gust.MB}, fn("busy"), fn("idle"), fn("large"))
	busy, idle := w.arrive("busy"), w.arrive("idle")
	w.ready()
	w.s.Measured(w.running[busy], 80*gust.MB)
	w.s.Measured(w.running[idle], 10*gust.MB)
	w.finish(idle)
	large := w.arrive("large") // 24 MB do not fit, with or without the idle one
	if w.reason(large) != gust.ThrottleMemory || len(w.stopped) != 0 {
		t.Fatalf("%v, %d stopped", w.refused[large], len(w.stopped))
	}
}

// A function whose one environment is over the budget runs when it is alone,
// and not a second time.
func TestLargerThanTheBudget(t *testing.T) {
	w := newWorld(t, Limits{Memory: 128 * gust.MB}, fn("f"), fn("small"))
	small := w.arrive("small")
	w.ready()
	w.finish(small)
	for range 2 {
		a := w.arrive("f")
		w.ready()
		if w.running[a] == nil {
			t.Fatal(w.refused[a])
		}
		w.s.Measured(w.running[a], 200*gust.MB)
		if b := w.arrive("f"); w.reason(b) != gust.ThrottleMemory {
			t.Fatal(w.refused[b])
		}
		w.finish(a)
		w.tick(0)
		if w.s.Totals().Memory > 128*gust.MB {
			t.Fatal("it is kept over the budget")
		}
	}
}

// A program that ends as soon as it is ready is backed off like one that does
// not start.
func TestReadyAndGone(t *testing.T) {
	gone := errors.New("gone")
	w := newWorld(t, Limits{}, fn("p", provisioned(1)))
	for range 2 {
		e := w.starting[0]
		w.ready()
		w.do(w.s.Died(w.now, e, gone))
	}
	if len(w.starting) != 0 {
		t.Fatal("started again at once")
	}
	next, actions := w.s.Tick(w.now)
	w.do(actions)
	if want := w.now.Add(backoff(2)); !next.Equal(want) {
		t.Fatalf("wants to be called at %v, want %v", next, want)
	}
	w.tick(backoff(2))
	w.ready()
	a := w.arrive("p")
	w.finish(a)
	w.do(w.s.Died(w.now, w.s.fns["p"].free[0], gone))
	if len(w.starting) != 1 {
		t.Fatal("one that has served is replaced at once")
	}
}

// Nobody waits long for a provisioned environment whose init hangs.
func TestProvisionedThatHangs(t *testing.T) {
	w := newWorld(t, Limits{}, fn("p", provisioned(1)))
	w.arrive("p")
	if len(w.starting) != 1 {
		t.Fatal("an environment is coming")
	}
	w.tick(startShare)
	if len(w.starting) != 2 || w.starting[1].Cause == gust.ColdProvisioned {
		t.Fatal("it waits for one that hangs")
	}
}

// A failed start fails whom it was for, and not whom another start is for.
func TestAFailedStartFailsItsOwn(t *testing.T) {
	w := newWorld(t, Limits{}, fn("p", provisioned(1)))
	w.now = w.now.Add(startShare)
	a := w.arrive("p")
	w.tick(0)
	if len(w.starting) != 2 {
		t.Fatal(len(w.starting))
	}
	w.fail(errors.New("the provisioned one")) // another one starts in its place
	if w.refused[a] != nil {
		t.Fatal(w.refused[a])
	}
	w.ready()
	if w.running[a] == nil {
		t.Fatal("not run")
	}
}

// Starts of an old version are given up, so that the new one does not wait.
func TestDeployAbortsStarts(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"), fn("g"))
	w.arrive("f")
	w.arrive("g")
	var aborted []*Env
	actions := w.s.Declare(w.now, map[string]*gust.Function{"f": fn("f", version(2)), "g": w.fns["g"]})
	for _, a := range actions {
		if a.Op == Abort {
			aborted = append(aborted, a.Env)
		}
	}
	w.do(actions)
	if len(aborted) != 1 || aborted[0] != w.starting[0] {
		t.Fatal(aborted)
	}
	w.fail(errors.New("aborted"))
	w.ready()
	if len(w.refused) != 0 || len(w.running) != 2 {
		t.Fatal("it did not run on the new version:", w.refused)
	}
}

func BenchmarkTickIdle(b *testing.B) {
	var fns []*gust.Function
	for i := range 10000 {
		fns = append(fns, fn(fmt.Sprint("f", i)))
	}
	w := newWorld(b, Limits{Concurrency: 20000}, fns...)
	for _, f := range fns {
		tk := w.arrive(f.Name)
		w.ready()
		w.finish(tk)
	}
	w.tick(time.Hour)
	for b.Loop() {
		w.s.Tick(w.now)
	}
}
