package scale

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func fn(name string, change ...func(*gust.Function)) *gust.Function {
	f := &gust.Function{Name: name, App: "app", Version: 1, Runtime: gust.RuntimeGo, Memory: 256 * gust.MB, Idle: 10 * time.Minute}
	for _, c := range change {
		c(f)
	}
	return f
}

func reserved(n int) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.Reserved = &n }
}
func provisioned(n int) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.Provisioned = n }
}
func per(n int) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.PerEnvironment = n }
}
func queue(size int, wait time.Duration) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.Queue = gust.Queue{Size: size, Wait: wait} }
}
func version(v uint64) func(*gust.Function) { return func(f *gust.Function) { f.Version = v } }

// world runs a Scaler and keeps what its actions did.
type world struct {
	t        testing.TB
	s        *Scaler
	now      time.Time
	limits   Limits
	fns      map[string]*gust.Function
	starting []*Env
	running  map[*Ticket]*Env
	warmed   map[*Ticket]*Env
	refused  map[*Ticket]error
	stopped  []*Env
	frozen   map[*Env]bool
	audits   int
}

func newWorld(t testing.TB, l Limits, fns ...*gust.Function) *world {
	if l.Concurrency == 0 {
		l.Concurrency = 1000
	}
	if l.Starts == 0 {
		l.Starts = 100
	}
	if l.Memory == 0 {
		l.Memory = 1 << 40
	}
	if l.Grace == 0 {
		l.Grace = time.Second
	}
	w := &world{t: t, s: New(l), now: t0, limits: l, running: map[*Ticket]*Env{}, warmed: map[*Ticket]*Env{}, refused: map[*Ticket]error{}, frozen: map[*Env]bool{}}
	w.declare(fns...)
	return w
}

func (w *world) declare(fns ...*gust.Function) {
	w.fns = map[string]*gust.Function{}
	for _, f := range fns {
		w.fns[f.Name] = f
	}
	w.do(w.s.Declare(w.now, w.fns))
}

func (w *world) do(actions []Action) {
	w.t.Helper()
	for _, a := range actions {
		switch a.Op {
		case Dispatch:
			if w.running[a.Ticket] != nil || w.refused[a.Ticket] != nil {
				w.t.Fatal("a ticket was decided twice")
			}
			if a.Thaw != w.frozen[a.Env] {
				w.t.Fatalf("thaw is %v for an environment that is frozen: %v", a.Thaw, w.frozen[a.Env])
			}
			delete(w.frozen, a.Env)
			w.running[a.Ticket] = a.Env
			if a.Env.Load > a.Env.Function.PerEnvironment() {
				w.t.Fatalf("%d at once in an environment", a.Env.Load)
			}
		case Warmed:
			if w.warmed[a.Ticket] != nil || w.refused[a.Ticket] != nil {
				w.t.Fatal("a warm-up was decided twice")
			}
			if a.Env.State == Starting {
				w.t.Fatal("warmed by what is not ready")
			}
			w.warmed[a.Ticket] = a.Env
		case Refuse:
			if w.running[a.Ticket] != nil || w.refused[a.Ticket] != nil {
				w.t.Fatal("a ticket was decided twice")
			}
			w.refused[a.Ticket] = a.Err
		case Start:
			w.starting = append(w.starting, a.Env)
			young := 0
			for _, e := range w.starting {
				if w.now.Before(e.Since.Add(startShare)) {
					young++
				}
			}
			if young > w.limits.Starts {
				w.t.Fatalf("%d starts at once", young)
			}
		case Stop:
			if a.Env.Load != 0 {
				w.t.Fatal("stopped an environment in use")
			}
			delete(w.frozen, a.Env)
			w.stopped = append(w.stopped, a.Env)
		case Freeze:
			w.frozen[a.Env] = true
		}
	}
}

func (w *world) arrive(name string) *Ticket {
	t := &Ticket{Function: name}
	w.do(w.s.Arrive(w.now, t))
	return t
}

func (w *world) warm(name string) *Ticket {
	t := &Ticket{Function: name}
	w.do(w.s.Warm(w.now, t))
	return t
}

// ready lets everything that is starting, and what that starts, be ready.
func (w *world) ready() (n int) {
	for len(w.starting) > 0 {
		e := w.starting[0]
		w.starting = w.starting[1:]
		w.do(w.s.Ready(w.now, e))
		n++
	}
	return n
}

func (w *world) fail(err error) {
	e := w.starting[0]
	w.starting = w.starting[1:]
	w.do(w.s.Failed(w.now, e, err))
}

func (w *world) finish(t *Ticket) {
	e := w.running[t]
	delete(w.running, t)
	w.do(w.s.Finish(w.now, e, true))
}

func (w *world) tick(d time.Duration) {
	w.now = w.now.Add(d)
	_, a := w.s.Tick(w.now)
	w.do(a)
}

func (w *world) reason(t *Ticket) gust.ThrottleReason {
	var th *gust.ThrottledError
	if errors.As(w.refused[t], &th) {
		return th.Reason
	}
	return ""
}

func TestFirstInvocationStartsAnEnvironmentAndTheNextReusesIt(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"))
	a := w.arrive("f")
	if len(w.starting) != 1 || w.starting[0].Cause != gust.ColdFirst {
		t.Fatalf("starting %v", w.starting)
	}
	w.ready()
	e := w.running[a]
	w.finish(a)
	b := w.arrive("f")
	if w.running[b] != e || len(w.starting) != 0 {
		t.Fatal("the warm environment was not used")
	}
}

func TestMostRecentlyUsedFirst(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"))
	a, b := w.arrive("f"), w.arrive("f")
	w.ready()
	ea, eb := w.running[a], w.running[b]
	if ea.Cause != gust.ColdFirst || eb.Cause != gust.ColdScaleOut {
		t.Fatal(ea.Cause, eb.Cause)
	}
	w.finish(b)
	w.finish(a)
	for range 3 {
		c := w.arrive("f")
		if w.running[c] != ea {
			t.Fatal("not the most recently used")
		}
		w.finish(c)
	}
}

func TestWaitingInvocationTakesWhateverIsFreeFirst(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"))
	a := w.arrive("f")
	w.ready()
	b := w.arrive("f") // starts a second one
	w.finish(a)
	if w.running[b] == nil {
		t.Fatal("b still waits though an environment is free")
	}
	w.ready()
	if got := w.s.Totals(); got.Running != 1 || got.Waiting != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestReservedCapsAndGuarantees(t *testing.T) {
	w := newWorld(t, Limits{Concurrency: 10}, fn("r", reserved(2)), fn("off", reserved(0)), fn("f"))
	w.arrive("r")
	w.arrive("r")
	if c := w.arrive("r"); w.reason(c) != gust.ThrottleFunction {
		t.Fatal("over its reserved concurrency:", w.refused[c])
	}
	if c := w.arrive("off"); w.reason(c) != gust.ThrottleFunction {
		t.Fatal("a function with reserved 0 ran")
	}
	for range 8 {
		if c := w.arrive("f"); w.refused[c] != nil {
			t.Fatal(w.refused[c])
		}
	}
	if c := w.arrive("f"); w.reason(c) != gust.ThrottleNode {
		t.Fatal("f ate what r reserved:", w.refused[c])
	}
}

func TestConcurrencyCountsEnvironmentsWorth(t *testing.T) {
	w := newWorld(t, Limits{Concurrency: 2}, fn("h", per(10)))
	for range 20 {
		if c := w.arrive("h"); w.refused[c] != nil {
			t.Fatal(w.refused[c])
		}
	}
	if n := w.ready(); n != 2 {
		t.Fatalf("%d environments for 20 invocations, 10 at once in each", n)
	}
	if c := w.arrive("h"); w.reason(c) != gust.ThrottleNode {
		t.Fatal(w.refused[c])
	}
}

func TestQueueWaitsInOrderAndGivesUp(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", reserved(1), queue(2, time.Second)))
	a := w.arrive("f")
	w.ready()
	b, c, d := w.arrive("f"), w.arrive("f"), w.arrive("f")
	if w.reason(d) != gust.ThrottleQueue {
		t.Fatal("the queue has no bound:", w.refused[d])
	}
	w.finish(a)
	if w.running[b] == nil || w.running[c] != nil {
		t.Fatal("not in order")
	}
	w.tick(time.Second)
	if w.reason(c) != gust.ThrottleQueue {
		t.Fatal("c waits for ever")
	}
}

func TestCancelledInvocationsAreForgotten(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", reserved(1), queue(2, time.Second)))
	a, b := w.arrive("f"), w.arrive("f")
	for _, c := range []*Ticket{b, a} {
		ok, actions := w.s.Cancel(w.now, c)
		w.do(actions)
		if !ok {
			t.Fatal("not cancelled")
		}
	}
	w.ready()
	if got := w.s.Totals(); got.Running+got.Waiting+got.Queued+got.Concurrency != 0 {
		t.Fatalf("%+v", got)
	}
	c := w.arrive("f")
	if ok, _ := w.s.Cancel(w.now, c); ok || w.running[c] == nil {
		t.Fatal("a dispatched invocation was cancelled")
	}
}

func TestIdleEnvironmentsFreezeThenStopButNotProvisioned(t *testing.T) {
	w := newWorld(t, Limits{Grace: time.Second}, fn("f"), fn("p", provisioned(1)))
	if w.ready() != 1 {
		t.Fatal("provisioned ones start at deploy")
	}
	a := w.arrive("f")
	w.ready()
	w.finish(a)
	w.tick(time.Second)
	if len(w.frozen) != 2 {
		t.Fatalf("%d frozen", len(w.frozen))
	}
	b := w.arrive("f") // world checks that it is thawed
	w.finish(b)
	w.tick(time.Second)
	w.tick(10 * time.Minute)
	if len(w.stopped) != 1 || w.stopped[0].Function.Name != "f" {
		t.Fatalf("stopped %d", len(w.stopped))
	}
	c := w.arrive("f")
	w.ready()
	if w.running[c].Cause != gust.ColdIdle {
		t.Fatal(w.running[c].Cause)
	}
}

func TestProvisionedAreReplacedWhenTheyDie(t *testing.T) {
	w := newWorld(t, Limits{}, fn("p", provisioned(1)))
	e := w.starting[0]
	w.ready()
	w.do(w.s.Died(w.now, e, errors.New("it ended")))
	if len(w.starting) != 1 {
		t.Fatal("not replaced")
	}
}

func TestDeployLetsWhatRunsFinishOnTheOldVersion(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f"), fn("g"))
	a, idle := w.arrive("f"), w.arrive("f")
	w.ready()
	w.finish(idle)
	old := w.running[a]
	g := w.arrive("g")
	w.ready()
	same := w.fns["g"]
	w.declare(fn("f", version(2)), same)
	if len(w.stopped) != 1 {
		t.Fatal("the idle environment of the old version stays")
	}
	b := w.arrive("f")
	w.ready()
	if e := w.running[b]; e.Function.Version != 2 || e.Cause != gust.ColdDeploy {
		t.Fatal(e.Function.Version, e.Cause)
	}
	w.finish(a)
	if len(w.stopped) != 2 || w.stopped[1] != old {
		t.Fatal("the old environment stays after its last invocation")
	}
	if w.running[g] == nil || w.running[g].retiring {
		t.Fatal("g was touched")
	}
}

func TestReplacedEnvironmentsLetWhatRunsFinish(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", per(2), provisioned(2)), fn("g"), fn("new"))
	w.ready()
	w.ready()
	a, b := w.arrive("f"), w.arrive("g")
	w.ready()
	old, other := w.running[a], w.running[b]
	w.do(w.s.Replace(w.now, "f", gust.ColdRevoked))
	w.do(w.s.Replace(w.now, "new", gust.ColdRevoked))
	w.do(w.s.Replace(w.now, "nobody", gust.ColdRevoked))
	if len(w.stopped) != 1 || len(w.starting) != 2 || other.retiring {
		t.Fatalf("%d are stopped and %d start: want the one that is unused, and as many as are provisioned; another function's: %v", len(w.stopped), len(w.starting), other.retiring)
	}
	c := w.arrive("f")
	w.ready()
	if w.running[c] == old || w.running[c] == nil {
		t.Fatal("what came after ran in an environment from before")
	}
	w.finish(a)
	if len(w.stopped) != 2 || w.stopped[1] != old {
		t.Fatal("the environment stays after its last invocation")
	}
	d := w.arrive("new")
	w.ready()
	w.ready()
	if e := w.running[d]; e.Cause != gust.ColdFirst {
		t.Fatalf("what had no environment starts for %s", e.Cause)
	}
	w.finish(b)
	w.do(w.s.Replace(w.now, "g", gust.ColdRevoked))
	// One that is asked for as another starts gets the one that takes its place.
	e := w.arrive("g")
	w.do(w.s.Replace(w.now, "g", gust.ColdRevoked))
	w.fail(errors.New("it was replaced while it started"))
	w.ready()
	if x := w.running[e]; x == nil || x.Cause != gust.ColdRevoked {
		t.Fatalf("it got %+v, %v", x, w.refused[e])
	}
	w.audit()
}

func TestRemovedFunctionsAreRefusedAndForgotten(t *testing.T) {
	w := newWorld(t, Limits{Starts: 1}, fn("f"), fn("g"))
	w.arrive("g")
	a := w.arrive("f") // waits for a start
	w.declare()
	if !errors.Is(w.refused[a], gust.ErrNotFound) {
		t.Fatal(w.refused[a])
	}
	w.ready()
	if c := w.arrive("f"); !errors.Is(w.refused[c], gust.ErrNotFound) {
		t.Fatal("it lives")
	}
	if got := w.s.Totals(); got != (Totals{}) || len(w.s.fns) != 0 || len(w.s.envs) != 0 {
		t.Fatalf("%+v, %d functions, %d environments", got, len(w.s.fns), len(w.s.envs))
	}
}

func TestFailedStartsBackOffWithTheirOwnError(t *testing.T) {
	boom := &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "boom"}
	w := newWorld(t, Limits{}, fn("bad"), fn("good"))
	for range 2 {
		a := w.arrive("bad")
		w.fail(boom)
		if !errors.Is(w.refused[a], boom) {
			t.Fatal(w.refused[a])
		}
	}
	b := w.arrive("bad")
	var back *BackoffError
	if !errors.As(w.refused[b], &back) || !errors.Is(w.refused[b], boom) || len(w.starting) != 0 {
		t.Fatal("not backed off:", w.refused[b])
	}
	if c := w.arrive("good"); w.refused[c] != nil {
		t.Fatal("a neighbour pays")
	}
	w.ready()
	w.tick(backoff(2))
	c := w.arrive("bad")
	w.ready()
	if w.running[c] == nil {
		t.Fatal("not tried again")
	}
	if backoff(3) != 2*backoff(2) || backoff(1000) != 30*time.Second {
		t.Fatal("backoff")
	}
}

func TestProvisionedThatCannotStartIsTriedAgainByTime(t *testing.T) {
	w := newWorld(t, Limits{}, fn("p", provisioned(1)))
	w.fail(errors.New("one"))
	w.fail(errors.New("two"))
	if len(w.starting) != 0 {
		t.Fatal("no back-off")
	}
	next, _ := w.s.Tick(w.now)
	w.tick(next.Sub(w.now))
	if len(w.starting) != 1 {
		t.Fatal("not tried again")
	}
}

func TestStartsAreLimitedAndShared(t *testing.T) {
	w := newWorld(t, Limits{Starts: 2}, fn("many"), fn("few"))
	for range 10 {
		w.arrive("many")
	}
	w.arrive("few")
	var order []string
	for len(w.starting) > 0 {
		e := w.starting[0]
		w.starting = w.starting[1:]
		order = append(order, e.Function.Name)
		w.do(w.s.Ready(w.now, e))
	}
	if len(order) != 11 || order[2] != "many" && order[3] != "few" && order[2] != "few" {
		t.Fatal(order)
	}
}

// Programs that hang before they are ready do not keep others from starting.
func TestHangingStartsLeaveTheirPlaces(t *testing.T) {
	w := newWorld(t, Limits{Starts: 2}, fn("hangs"), fn("other"))
	for range 10 {
		w.arrive("hangs")
	}
	w.arrive("other")
	if len(w.starting) != 2 {
		t.Fatalf("%d starts at once, want 2", len(w.starting))
	}
	next, actions := w.s.Tick(w.now)
	w.do(actions)
	if want := w.now.Add(startShare); next.After(want) {
		t.Errorf("it wants to be called at %v, and places are free at %v", next, want)
	}
	w.tick(startShare)
	if len(w.starting) != 4 {
		t.Fatalf("%d have started after %v, want 4", len(w.starting), startShare)
	}
	for _, e := range w.starting {
		if e.Function.Name == "other" {
			return
		}
	}
	t.Error("the other function had no turn")
}

func TestMemoryBudgetCountsUseAndReclaimsIdleFirst(t *testing.T) {
	w := newWorld(t, Limits{Memory: 100 * gust.MB}, fn("a"), fn("b"), fn("p", provisioned(1)))
	w.ready()
	a1, a2 := w.arrive("a"), w.arrive("a")
	w.ready()
	w.s.Measured(w.running[a1], 30*gust.MB)
	w.s.Measured(w.running[a2], 30*gust.MB)
	idle := w.running[a2]
	w.finish(a2)
	b := w.arrive("b") // 24 + 30 + 30 + 24 > 100
	if len(w.stopped) != 1 || w.stopped[0] != idle || w.refused[b] != nil {
		t.Fatal("the idle environment was not given up:", w.refused[b])
	}
	w.ready()
	w.s.Measured(w.running[b], 40*gust.MB)
	c := w.arrive("b")
	if w.reason(c) != gust.ThrottleMemory {
		t.Fatal(w.refused[c])
	}
	w.s.Measured(w.running[a1], 300*gust.MB)
	w.finish(b)
	w.tick(0)
	if len(w.stopped) != 2 {
		t.Fatal("over budget, and an unused environment is kept")
	}
}

// TestInvariants drives random histories and checks after each event that the
// books balance, and at the end that nothing is left over.
func TestInvariants(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, seed, 400) })
	}
}

func history(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 1))
	decl := func() []*gust.Function {
		fns := []*gust.Function{fn("a"), fn("b", per(3)), fn("c", reserved(3), queue(4, time.Second)), fn("d", provisioned(2)),
			fn("e", reserved(2), provisioned(1), per(2)), fn("g", queue(2, 100*time.Millisecond)),
			fn("h", auto), fn("i", auto, per(2), scheduled(0, gust.Scheduled{Cron: "*/3 * * * *", For: time.Minute, Provisioned: 1})),
			fn("j", scheduled(1, gust.Scheduled{Cron: "*/2 * * * *", Provisioned: 2}, gust.Scheduled{Cron: "1-59/2 * * * *"}))}
		r.Shuffle(len(fns), func(i, j int) { fns[i], fns[j] = fns[j], fns[i] })
		for _, f := range fns {
			f.Version = 1 + r.Uint64N(3)
			f.Idle = time.Duration(r.IntN(3)) * time.Second
		}
		return fns[:1+r.IntN(len(fns))]
	}
	w := newWorld(t, Limits{Concurrency: 12, Starts: 3, Memory: 400 * gust.MB}, decl()...)
	names := []string{"a", "b", "c", "d", "e", "g", "h", "i", "j", "nobody"}
	// What is learnt takes hours; it is given here.
	var pauses histogram
	for range 2 * enough {
		pauses.observe(time.Duration(2+r.IntN(3)) * time.Minute)
	}
	known := pauses.encode(nil, time.Time{})
	var live []*Ticket
	versions := map[string]uint64{}
	for range steps {
		switch r.IntN(15) {
		case 14:
			w.do(w.s.Replace(w.now, names[r.IntN(len(names))], gust.ColdRevoked))
		case 13:
			if r.IntN(3) == 0 {
				w.tick(time.Duration(r.IntN(240)) * time.Second)
			} else {
				w.s.Learn(w.now, []string{"h", "i"}[r.IntN(2)], known)
			}
		case 12:
			live = append(live, w.warm(names[r.IntN(len(names))]))
		case 0, 1, 2, 3:
			live = append(live, w.arrive(names[r.IntN(len(names))]))
		case 4, 5, 6:
			for tk := range w.running {
				if r.IntN(5) == 0 {
					e := w.running[tk]
					delete(w.running, tk)
					w.do(w.s.Finish(w.now, e, false))
					w.do(w.s.Died(w.now, e, errors.New("it ended")))
				} else {
					w.finish(tk)
				}
				break
			}
		case 7, 8:
			if len(w.starting) > 0 {
				if r.IntN(3) == 0 {
					w.fail(errors.New("no"))
				} else {
					e := w.starting[0]
					w.starting = w.starting[1:]
					w.do(w.s.Ready(w.now, e))
				}
			}
		case 9:
			w.tick(time.Duration(r.IntN(1500)) * time.Millisecond)
		case 10:
			if len(live) > 0 {
				_, a := w.s.Cancel(w.now, live[r.IntN(len(live))])
				w.do(a)
			}
		case 11:
			if r.IntN(8) == 0 {
				fns := decl()
				for _, f := range fns { // versions never go back
					f.Version = max(f.Version, versions[f.Name])
					versions[f.Name] = f.Version
				}
				w.declare(fns...)
			} else {
				w.s.Each(func(e *Env) { w.s.Measured(e, int64(r.IntN(60))*gust.MB) })
			}
		}
		w.audit()
	}
	// Let everything end.
	for range 10000 {
		w.ready()
		for tk := range w.running {
			w.finish(tk)
			break
		}
		if len(w.running) == 0 && len(w.starting) == 0 && w.s.Totals().Waiting == 0 {
			break
		}
		w.tick(time.Second)
	}
	w.audit()
	if got := w.s.Totals(); got.Running != 0 || got.Waiting != 0 || got.Concurrency != 0 {
		t.Fatalf("left over: %+v", got)
	}
	w.declare()
	w.ready()
	if len(w.s.envs) != 0 || w.s.memory != 0 || len(w.s.fns) != 0 || w.s.shared != 0 || w.s.starting != 0 {
		t.Fatalf("after removing everything: %d environments, %d bytes, %d functions, shared %d, starting %d",
			len(w.s.envs), w.s.memory, len(w.s.fns), w.s.shared, w.s.starting)
	}
}

// audit recounts from scratch what the scaler keeps as counters.
func (w *world) audit() {
	w.t.Helper()
	w.audits++
	var memory int64
	var starting, holding, shared, aside, alarms int
	perFn := map[*function]int{}
	for e := range w.s.envs {
		memory += e.Memory
		if e.State == Starting {
			starting++
		}
		if e.holds {
			holding++
		}
		if e.holds && e.State != Starting {
			w.t.Fatalf("a place for a start is held: %+v", e)
		}
		if !e.retiring {
			perFn[e.fn]++
		}
		var list *envList
		switch e.State {
		case Idle:
			list = &w.s.idle
		case Frozen:
			if list = &w.s.frozen; e.early() {
				list = &w.s.early
			}
		}
		if list != nil && e.fn.envs > e.fn.provisioned {
			// All that may be unused for too long is looked at in time.
			if by := e.fn.expires(e); w.s.sweep.IsZero() || w.s.sweep.After(by) && w.s.sweep.After(w.now.Add(unload)) {
				w.t.Fatalf("%s: unused for too long at %v, and looked at %v", e.fn.name, by, w.s.sweep)
			}
		}
		if e.list != list || list != nil && (e.Load != 0 || e.retiring) {
			w.t.Fatalf("in the wrong list: %+v", e)
		}
	}
	for _, f := range w.fns {
		aside += f.SetAside()
	}
	for name, f := range w.s.fns {
		shared += overflow(f)
		running := 0
		for tk := range w.running {
			if tk.Function == name {
				running++
			}
		}
		if running+f.waiting.len() != f.running {
			w.t.Fatalf("%s: %d dispatched and %d waiting, but %d counted", name, running, f.waiting.len(), f.running)
		}
		if perFn[f] != f.envs {
			w.t.Fatalf("%s: %d environments, but %d counted", name, perFn[f], f.envs)
		}
		for _, e := range f.free {
			if e.retiring || !e.free || e.State == Starting || e.Load >= e.Function.PerEnvironment() {
				w.t.Fatalf("%s: not free: %+v", name, e)
			}
		}
		if r := f.decl; r != nil && r.Concurrency.Reserved != nil && f.slots > *r.Concurrency.Reserved && f.running > 0 && w.s.fns[name].decl.Version == 1 {
			w.t.Fatalf("%s: %d over its reserved concurrency", name, f.slots)
		}
		if due := f.changes; !f.changes.IsZero() || !f.ahead.IsZero() {
			if due.IsZero() || !f.ahead.IsZero() && f.ahead.Before(due) {
				due = f.ahead
			}
			if i := f.alarm - 1; i < 0 || w.s.alarms[i] != f || !f.due.Equal(due) || w.s.alarms[max(i-1, 0)/2].due.After(due) {
				w.t.Fatalf("%s: its alarm is not set", name)
			}
			alarms++
		}
		if n, until := f.provisioned, f.changes; w.audits%16 == 0 && f.decl != nil && (until.IsZero() || w.now.Before(until)) {
			if want, _ := figure(f.decl.Concurrency.Provisioned, f.schedule, w.now); n != want {
				w.t.Fatalf("%s: %d are provisioned, want %d", name, n, want)
			}
		}
		if f.running > 0 && !(f.rested.IsZero() && f.kept.IsZero() && f.ahead.IsZero()) {
			w.t.Fatalf("%s: it is expected to be used, and is", name)
		}
		if f.waiting.len() > 0 && len(f.free) > 0 {
			w.t.Fatalf("%s: waits while an environment is free", name)
		}
		if len(f.warmers) > 0 && w.s.ready(f) != nil {
			w.t.Fatalf("%s: a warm-up waits while an environment is ready", name)
		}
		if f.waiting.len()+len(f.warmers) > 0 && f.envs == 0 && !f.wants {
			w.t.Fatalf("%s: waits for nothing", name)
		}
	}
	if alarms != len(w.s.alarms) {
		w.t.Fatalf("%d alarms are set, and %d should be", len(w.s.alarms), alarms)
	}
	if memory != w.s.memory || holding != w.s.starting || shared != w.s.shared || aside != w.s.setAside || starting != len(w.starting) {
		w.t.Fatalf("memory %d/%d starting %d/%d, holding %d/%d shared %d/%d set aside %d/%d", memory, w.s.memory,
			starting, len(w.starting), holding, w.s.starting, shared, w.s.shared, aside, w.s.setAside)
	}
}

func BenchmarkWarm(b *testing.B) {
	w := newWorld(b, Limits{}, fn("f"))
	a := w.arrive("f")
	w.ready()
	w.finish(a)
	t := &Ticket{Function: "f"}
	b.ReportAllocs()
	for b.Loop() {
		*t = Ticket{Function: "f"}
		e := w.s.Arrive(t0, t)[0].Env
		w.s.Finish(t0, e, true)
	}
}
