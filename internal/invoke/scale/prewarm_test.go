package scale

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func auto(f *gust.Function) { f.Concurrency.Prewarm = gust.PrewarmAuto }

// pause lets d pass, tick by tick as the scaler wants them.
func (w *world) pause(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); ; {
		next, actions := w.s.Tick(w.now)
		w.do(actions)
		w.ready()
		if !next.After(w.now) {
			w.t.Fatalf("wants to be called at %v, which is not after %v", next, w.now)
		}
		if next.After(end) {
			w.now = end
			return
		}
		w.now = next
	}
}

// use invokes f once, at the end of a pause, and says what it ran in.
func (w *world) use(name string, pause time.Duration) *Env {
	w.t.Helper()
	w.pause(pause)
	tk := w.arrive(name)
	w.ready()
	e := w.running[tk]
	if e == nil {
		w.t.Fatalf("not run: %v", w.refused[tk])
	}
	w.finish(tk)
	return e
}

func TestExpect(t *testing.T) {
	repeat := func(n int, pauses ...time.Duration) (all []time.Duration) {
		for range n {
			all = append(all, pauses...)
		}
		return all
	}
	spreadOver := func(n, times int) (all []time.Duration) {
		for i := range n * times {
			all = append(all, time.Duration(i%n)*time.Minute)
		}
		return all
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		what   string
		pauses []time.Duration
		want   window
	}{
		{"nothing is known", nil, window{}},
		{"too few", repeat(9, time.Hour), window{}},
		{"every hour", repeat(10, time.Hour), window{54 * time.Minute, 61 * time.Minute * 11 / 10}},
		{"every hour, a little early", repeat(10, time.Hour-time.Second), window{59 * time.Minute * 9 / 10, 66 * time.Minute}},
		{"all the time", repeat(300, time.Second), window{0, 66 * time.Second}},
		{"every two minutes: too soon to be worth a stop", repeat(20, 90*time.Second), window{0, 132 * time.Second}},
		{"a pause that is rare does not count", append(repeat(150, 10*time.Minute), 3*time.Hour), window{9 * time.Minute, 11 * time.Minute * 11 / 10}},
		{"less rare ones do", append(repeat(50, 10*time.Minute), 30*time.Minute, 30*time.Minute), window{9 * time.Minute, 31 * time.Minute * 11 / 10}},
		{"within an hour, evenly: kept", spreadOver(40, 3), window{54 * time.Second * 0, 40 * time.Minute * 11 / 10}},
		{"within three hours, evenly: nothing can be said", spreadOver(180, 1), window{}},
		{"from time to time in three hours: not worth it", append(repeat(30, time.Minute), repeat(30, 3*time.Hour)...), window{}},
		{"every day", repeat(3, day), window{day - 5*time.Minute, day + 5*time.Minute}},
		{"every day, but two", repeat(2, day), window{}},
		{"every day, more or less", []time.Duration{day, day + 20*time.Minute, day - 10*time.Minute}, window{day - 15*time.Minute, day + 25*time.Minute}},
		{"seldom, at any time", []time.Duration{day, day + 2*time.Hour, day - 3*time.Hour}, window{}},
		{"seldom, and then for a while", append(repeat(5, time.Second), repeat(6, day)...), window{day - 5*time.Minute, day + 5*time.Minute}},
		{"a clock that went back", repeat(20, -time.Hour), window{0, 66 * time.Second}},
	} {
		var h histogram
		for _, p := range c.pauses {
			h.observe(p)
		}
		if h.window != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, h.window, c.want)
		}
		back, _, err := decodeHistogram(h.encode(nil, time.Time{}))
		if err != nil || back.window != h.window || back.counts != h.counts || back.total != h.total || back.squares != h.squares || back.far != h.far {
			t.Errorf("%s: it is read back as %+v, %v", c.what, back, err)
		}
	}
}

// What a function does now outweighs what it did.
func TestPausesFade(t *testing.T) {
	var h histogram
	for range 1000 {
		h.observe(10 * time.Minute)
	}
	n := 0
	for ; h.window.ahead < 20*time.Minute; n++ {
		h.observe(30 * time.Minute)
		if n > 2000 {
			t.Fatalf("%+v", h.window)
		}
	}
	if n > 1000 {
		t.Errorf("it took %d pauses to follow", n)
	}
	if h.total+h.far >= most {
		t.Errorf("%d pauses weigh", h.total+h.far)
	}
}

// What is used every 30 minutes has an environment when it is, and none
// between.
func TestStartedAheadOfATimer(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto))
	for range enough + 1 {
		if e := w.use("f", 30*time.Minute); e.Cause == gust.ColdPrewarmed {
			t.Fatal("started ahead before anything is known")
		}
	}
	stopped, rested := len(w.stopped), w.now
	w.pause(unload)
	if len(w.stopped) != stopped+1 {
		t.Fatal("it is not expected for long, and kept")
	}
	if next, _ := w.s.Tick(w.now); !next.Equal(rested.Add(27 * time.Minute)) {
		t.Fatalf("it is to be started %v after its last use", next.Sub(rested))
	}
	w.pause(27*time.Minute - unload - time.Second)
	w.tick(time.Second)
	if len(w.starting) != 1 || w.starting[0].Cause != gust.ColdPrewarmed {
		t.Fatal("not started ahead")
	}
	e := w.starting[0]
	w.ready()
	if !w.frozen[e] {
		t.Error("it uses the processor while it waits")
	}
	if got := w.use("f", 3*time.Minute); got != e {
		t.Fatal("what was started ahead is not used")
	}
	// Nobody comes: it is kept until the tail, and then nothing is expected.
	w.pause(34 * time.Minute)
	if len(w.s.envs) != 1 {
		t.Fatal("given up too soon")
	}
	w.pause(10 * time.Hour)
	if len(w.s.envs) != 0 || len(w.s.alarms) != 0 {
		t.Fatalf("%d environments, though nobody comes", len(w.s.envs))
	}
	if e := w.use("f", 0); e.Cause != gust.ColdIdle {
		t.Error(e.Cause)
	}
}

// What is used all the time is kept until it is clear that it is not.
func TestKeptUntilTheTail(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto), fn("g"))
	for i := range 30 {
		w.use("f", time.Duration(i%5)*time.Minute)
		w.use("g", 0)
	}
	if len(w.stopped) != 0 {
		t.Fatal("stopped in between")
	}
	w.pause(5*time.Minute + 30*time.Second)
	if len(w.stopped) != 1 || w.stopped[0].Function.Name != "f" {
		t.Fatalf("%d stopped", len(w.stopped))
	}
}

// Of several, one is kept as long as is predicted, and the others no longer than
// idle says.
func TestOthersAreKeptForIdle(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto, func(f *gust.Function) { f.Idle = time.Minute }))
	for i := range 30 {
		w.use("f", time.Duration(i%15)*time.Minute)
	}
	a, b := w.arrive("f"), w.arrive("f")
	w.ready()
	w.finish(a)
	w.finish(b)
	w.pause(time.Minute + unload)
	if len(w.s.envs) != 1 {
		t.Fatalf("%d environments", len(w.s.envs))
	}
	w.pause(10 * time.Minute)
	if len(w.s.envs) != 1 {
		t.Fatal("the last one is given up")
	}
}

// Who warms a function up expects a use that is not predicted.
func TestAWarmUpIsKeptWhateverIsPredicted(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto))
	for range enough + 1 {
		w.use("f", 30*time.Minute)
	}
	w.pause(2 * time.Minute)
	tk := w.warm("f")
	w.ready()
	w.pause(9 * time.Minute)
	if e := w.warmed[tk]; e == nil || e.State != Frozen {
		t.Fatalf("%+v", e)
	}
	w.pause(time.Minute)
	if len(w.s.envs) != 0 {
		t.Fatal("it is kept for longer than idle")
	}
}

// A deploy forgets nothing of what was learnt, and turning the prediction off
// all of it.
func TestWhatIsLearntStaysAcrossVersions(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto))
	for range enough + 1 {
		w.use("f", 30*time.Minute)
	}
	w.declare(fn("f", auto, version(2)))
	w.pause(27*time.Minute - time.Second)
	w.tick(time.Second)
	if len(w.starting) != 1 || w.starting[0].Function.Version != 2 {
		t.Fatal("not started ahead")
	}
	w.ready()
	w.declare(fn("f", version(3)))
	w.pause(40 * time.Minute)
	if len(w.s.envs) != 0 || len(w.s.alarms) != 0 {
		t.Fatal("it is still predicted")
	}
}

// What is started ahead delays nobody: it takes no memory that is in use, half
// of the starts at most, and is the first to go.
func TestStartedAheadComesLast(t *testing.T) {
	w := newWorld(t, Limits{Memory: 100 * gust.MB, Starts: 2}, fn("a", auto), fn("b", auto), fn("idle"), fn("busy"))
	for range enough + 1 {
		w.use("a", 30*time.Minute)
		w.use("b", 0)
	}
	w.pause(26 * time.Minute)
	idle, busy := w.arrive("idle"), w.arrive("busy")
	w.ready()
	w.s.Measured(w.running[idle], 10*gust.MB)
	w.s.Measured(w.running[busy], 30*gust.MB)
	w.finish(idle)
	w.tick(time.Minute) // both are due, 24 MB each
	if len(w.starting) != 1 {
		t.Fatalf("%d starts ahead at once", len(w.starting))
	}
	w.ready()
	if n := len(w.s.envs); n != 4 || w.s.early.len != 2 {
		t.Fatalf("%d environments, %d of them early", n, w.s.early.len)
	}
	w.s.Measured(w.running[busy], 70*gust.MB)
	w.tick(0)
	if w.s.early.len != 0 || len(w.s.envs) != 2 {
		t.Fatalf("what was used is given up before what was not: %d early of %d", w.s.early.len, len(w.s.envs))
	}
}

func TestNothingIsGivenUpForWhatIsExpected(t *testing.T) {
	w := newWorld(t, Limits{Memory: 50 * gust.MB}, fn("a", auto), fn("idle"))
	for range enough + 1 {
		w.use("a", 30*time.Minute)
	}
	w.pause(26 * time.Minute)
	idle := w.use("idle", 0)
	w.s.Measured(idle, 40*gust.MB)
	w.pause(5 * time.Minute)
	if len(w.s.envs) != 1 || idle.State != Frozen {
		t.Fatalf("%d environments, and what was idle is %v", len(w.s.envs), idle.State)
	}
	if e := w.use("a", 0); e.Cause != gust.ColdIdle || idle.State != Stopping {
		t.Fatal("who waits gets the memory, and not", idle.State)
	}
}

func TestAFunctionThatDoesNotStartIsNotStartedAhead(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto))
	for range enough + 1 {
		w.use("f", 30*time.Minute)
	}
	w.pause(27*time.Minute - time.Second)
	w.tick(time.Second)
	w.fail(errors.New("no"))
	w.pause(3 * time.Hour)
	if len(w.starting) != 0 || len(w.s.envs) != 0 {
		t.Fatal("tried again though nobody waits")
	}
}

// What was learnt survives a restart, and so does what was expected; what is
// damaged is forgotten.
func TestLearn(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", auto), fn("g"))
	for range enough + 1 {
		w.use("f", 30*time.Minute)
	}
	w.use("g", 0)
	learned := map[string][]byte{}
	keep := func(function string, data []byte) { learned[function] = append([]byte(nil), data...) }
	w.s.Learned(keep)
	if len(learned) != 1 || len(learned["f"]) > 32 {
		t.Fatalf("%q", learned)
	}
	again := 0
	w.s.Learned(func(string, []byte) { again++ })
	if again != 0 {
		t.Fatal("what did not change is kept again")
	}
	restart := newWorld(t, Limits{}, fn("f", auto), fn("g"))
	restart.now = w.now.Add(time.Minute)
	for name, want := range map[string]bool{"f": true, "g": false, "nobody": false} {
		if got := restart.s.Learn(restart.now, name, learned["f"]); got != want {
			t.Errorf("%s is learnt: %v", name, got)
		}
	}
	restart.pause(26*time.Minute - time.Second)
	restart.tick(time.Second)
	if len(restart.starting) != 1 || restart.starting[0].Cause != gust.ColdPrewarmed {
		t.Fatal("a restart forgot")
	}
	fresh := newWorld(t, Limits{}, fn("f", auto))
	for i := range learned["f"] {
		fresh.s.Learn(fresh.now, "f", learned["f"][:i]) // whatever it is, it is no panic
	}
	if fresh.s.Learn(fresh.now, "f", append([]byte{encodingVersion + 1}, learned["f"][1:]...)) {
		t.Error("another version's is read")
	}
}

func FuzzDecodeHistogram(f *testing.F) {
	var h histogram
	for i := range 30 {
		h.observe(time.Duration(i) * 17 * time.Minute)
	}
	f.Add(h.encode(nil, t0))
	f.Add([]byte{encodingVersion, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, rested, err := decodeHistogram(data)
		if err != nil {
			return
		}
		back, again, err := decodeHistogram(h.encode(nil, rested))
		if err != nil || back.window != h.window || back.counts != h.counts || !again.Equal(rested) {
			t.Fatalf("%+v is read back as %+v, %v", h, back, err)
		}
		for range 3 {
			h.observe(time.Hour)
		}
		if h.total+h.far > most || h.window.keep < 0 || h.window.ahead < 0 {
			t.Fatalf("%+v", h)
		}
	})
}

// BenchmarkTickPredicted: functions whose next use is expected cost a tick
// nothing until it is.
func BenchmarkTickPredicted(b *testing.B) {
	for _, n := range []int{10, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var fns []*gust.Function
			for i := range n {
				fns = append(fns, fn(fmt.Sprint("f", i), auto))
			}
			w := newWorld(b, Limits{Concurrency: 20000}, fns...)
			var h histogram
			for range 20 {
				h.observe(time.Hour)
			}
			known := h.encode(nil, w.now)
			for _, f := range fns {
				w.s.Learn(w.now, f.Name, known)
			}
			if len(w.s.alarms) != n {
				b.Fatal(len(w.s.alarms))
			}
			for b.Loop() {
				w.s.Tick(w.now)
			}
		})
	}
}

// BenchmarkWarmPredicted is BenchmarkWarm of a function whose pauses count.
func BenchmarkWarmPredicted(b *testing.B) {
	w := newWorld(b, Limits{}, fn("f", auto))
	a := w.arrive("f")
	w.ready()
	w.finish(a)
	t := &Ticket{Function: "f"}
	now := t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		*t = Ticket{Function: "f"}
		e := w.s.Arrive(now, t)[0].Env
		w.s.Finish(now, e, true)
	}
}
