package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// hand is a wall clock and a steady clock for many goroutines.
type hand struct{ wall, steady atomic.Int64 }

func newHand() *hand {
	h := &hand{}
	h.wall.Store(noon.UnixNano())
	return h
}

func (h *hand) options(o Options) Options {
	o.Now = func() time.Time { return time.Unix(0, h.wall.Load()) }
	o.Steady = func() time.Duration { return time.Duration(h.steady.Load()) }
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	return o
}

func (h *hand) pass(d time.Duration) { h.wall.Add(int64(d)); h.steady.Add(int64(d)) }

func setTimer(t testing.TB, s *Store, p Partition, tm Timer) {
	t.Helper()
	if err := s.Update(context.Background(), p, func(tx *Tx) error { return tx.SetTimer(tm) }); err != nil {
		t.Fatal(err)
	}
}

// nudge makes the runner of a kind look at the clock, as time passing would.
func nudge(s *Store, kind string) {
	s.timers.mu.RLock()
	defer s.timers.mu.RUnlock()
	if r := s.timers.runners[kind]; r != nil {
		select {
		case r.woken <- struct{}{}:
		default:
		}
	}
}

type runningTimers struct {
	fired chan string
	stop  func() error
}

// run fires a kind's timers: each is deleted, and its partition, id and payload
// are sent.
func run(t testing.TB, s *Store, kind string) runningTimers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := runningTimers{fired: make(chan string, 1000)}
	ended := make(chan error, 1)
	go func() {
		ended <- s.RunTimers(ctx, kind, func(ctx context.Context, p Partition, tm Timer) error {
			if now := s.Now(); now.Before(tm.At) {
				t.Errorf("timer %s fired at %v, before %v", tm.ID, now, tm.At)
			}
			err := s.Update(ctx, p, func(tx *Tx) error { return tx.DeleteTimer(tm.ID) })
			if err == nil {
				r.fired <- fmt.Sprintf("%s/%s=%s", p, tm.ID, tm.Payload)
			}
			return err
		})
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { r.stop() })
	return r
}

func (r runningTimers) want(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, <-r.fired)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
	select {
	case more := <-r.fired:
		t.Errorf("and %v", more)
	default:
	}
}

func TestTimersFireWhenDue(t *testing.T) {
	h := newHand()
	s := open(t, h.options(Options{}))
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	setTimer(t, s, "p", Timer{ID: "early", At: at(-time.Hour), Kind: "k", Payload: []byte("1")})
	setTimer(t, s, "p", Timer{ID: "now", At: at(0), Kind: "k"})
	setTimer(t, s, "q", Timer{ID: "early", At: at(-time.Hour), Kind: "other"})
	setTimer(t, s, "q", Timer{ID: "soon", At: at(10 * time.Second), Kind: "k"})
	setTimer(t, s, "q", Timer{ID: "moved", At: at(10 * time.Second), Kind: "k"})
	setTimer(t, s, "q", Timer{ID: "gone", At: at(10 * time.Second), Kind: "k"})
	setTimer(t, s, "q", Timer{ID: "moved", At: at(20 * time.Second), Kind: "k"})
	if err := s.Update(context.Background(), "q", func(tx *Tx) error {
		return errors.Join(tx.DeleteTimer("gone"), tx.DeleteTimer("never was"))
	}); err != nil {
		t.Fatal(err)
	}
	r := run(t, s, "k")
	r.want(t, "p/early=1", "p/now=")
	h.pass(10 * time.Second)
	nudge(s, "k")
	r.want(t, "q/soon=")
	h.pass(10 * time.Second)
	nudge(s, "k")
	r.want(t, "q/moved=")
	// One that is set while it sleeps, and is due, wakes it by itself.
	setTimer(t, s, "new", Timer{ID: "set", At: at(0), Kind: "k"})
	r.want(t, "new/set=")
	if err := s.RunTimers(context.Background(), "k", nil); !errors.Is(err, gust.ErrConflict) {
		t.Errorf("a second runner of the kind: %v", err)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestTimersSleepUntilTheNextOne(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()}) // real clocks
	setTimer(t, s, "p", Timer{ID: "a", At: time.Now().Add(30 * time.Millisecond), Kind: "k"})
	run(t, s, "k").want(t, "p/a=")
}

func TestAJumpingClockFiresNothingEarly(t *testing.T) {
	for _, jump := range []time.Duration{1000 * time.Hour, -1000 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			h := newHand()
			s := open(t, h.options(Options{}))
			for i := range 200 {
				setTimer(t, s, "p", Timer{ID: fmt.Sprint("far", i), At: noon.Add(10 * time.Hour), Kind: "k"})
			}
			r := run(t, s, "k")
			h.wall.Add(int64(jump))
			for i := range 5 {
				// What is due by the steady clock fires in time meanwhile.
				id := fmt.Sprint("near", i)
				setTimer(t, s, "p", Timer{ID: id, At: noon.Add(time.Duration(i+1) * 10 * time.Second), Kind: "k"})
				h.pass(10 * time.Second)
				nudge(s, "k")
				r.want(t, "p/"+id+"=")
			}
			h.wall.Add(int64(-jump)) // the operator saw it
			h.pass(time.Hour)
			nudge(s, "k")
			setTimer(t, s, "p", Timer{ID: "last", At: noon, Kind: "k"})
			r.want(t, "p/last=")
		})
	}
}

func TestAFailingTimerIsRetriedAndHoldsUpNobody(t *testing.T) {
	h := newHand()
	s := open(t, h.options(Options{}))
	setTimer(t, s, "p", Timer{ID: "bad", At: noon, Kind: "k"})
	setTimer(t, s, "p", Timer{ID: "good", At: noon.Add(time.Second), Kind: "k"})
	setTimer(t, s, "p", Timer{ID: "left", At: noon, Kind: "k"})
	ctx, cancel := context.WithCancel(context.Background())
	fired := make(chan string)
	ended := make(chan error)
	go func() {
		ended <- s.RunTimers(ctx, "k", func(ctx context.Context, p Partition, tm Timer) error {
			select {
			case fired <- tm.ID:
			case <-ctx.Done():
				return ctx.Err()
			}
			switch tm.ID {
			case "bad":
				return errors.New("no")
			case "left":
				return nil // a bug: it is neither deleted nor moved
			}
			return s.Update(ctx, p, func(tx *Tx) error { return tx.DeleteTimer(tm.ID) })
		})
	}()
	seen := map[string]int{}
	for seen["bad"] < 3 || seen["left"] < 3 || seen["good"] < 1 {
		select {
		case id := <-fired:
			seen[id]++
		default:
			h.pass(time.Millisecond)
			nudge(s, "k")
			runtime.Gosched()
		}
	}
	if seen["good"] != 1 {
		t.Errorf("fired: %v", seen)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRetriesWaitLongerAndLonger(t *testing.T) {
	h := newHand()
	s := open(t, h.options(Options{}))
	r := &runner{store: s, kind: "k", running: map[entry]bool{}, waiting: map[entry]*retry{}}
	e := entry{1, "p", "a"}
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000} {
		want *= time.Millisecond
		r.running[e] = true
		r.finish(result{e, errors.New("no")})
		if got := r.ready(s.clock.steady() + want - 1); len(got) != 0 {
			t.Errorf("ready before %v", want)
		}
		h.pass(want)
		if got := r.ready(s.clock.steady()); len(got) != 1 {
			t.Errorf("not ready after %v", want)
		}
	}
	r.running[e] = true
	r.finish(result{e, nil})
	r.running[e] = true
	r.finish(result{e, errors.New("no")})
	h.pass(timerRetry)
	// The timer is gone meanwhile: nothing of it is kept.
	if r.forget(r.ready(s.clock.steady())); len(r.waiting)+len(r.retries)+len(r.running) != 0 {
		t.Error("a timer that is gone is still waited for")
	}
}

func TestManyTimersAreFiredOnceEach(t *testing.T) {
	h := newHand()
	s := open(t, h.options(Options{}))
	const n = 500
	for i := range n {
		setTimer(t, s, Partition(fmt.Sprint("p", i%7)), Timer{ID: fmt.Sprint(i), At: noon.Add(time.Duration(i) * time.Millisecond), Kind: "k"})
	}
	r := run(t, s, "k")
	h.pass(time.Hour)
	nudge(s, "k")
	seen := map[string]bool{}
	for range n {
		id := <-r.fired
		if seen[id] {
			t.Fatalf("%s fired twice", id)
		}
		seen[id] = true
	}
	r.stop()
	if left, err := s.Partitions(""); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestTimersEndWithTheStore(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	r := run(t, s, "k")
	setTimer(t, s, "p", Timer{ID: "a", At: time.Now(), Kind: "k"})
	r.want(t, "p/a=")
	s.Close()
	if err := r.stop(); !errors.Is(err, gust.ErrClosing) {
		t.Error(err)
	}
}
