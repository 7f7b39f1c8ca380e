package main

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke/scale"
)

// day: cold starts against memory that waits, under a fixed 10 minutes and under
// prewarm: auto, on a synthetic day. The scaler is the real one; what it starts
// is simulated, and so is the time. So it is the same in every run.
func day(*run) ([]row, error) {
	w := newWorkload(1)
	fixed, auto := w.live(gust.PrewarmOff), w.live(gust.PrewarmAuto)
	percent := func(f float64) string { return fmt.Sprintf("%.2f %%", 100*f) }
	var rows []row
	const what = "a simulated day of 1,000 functions, prewarm: auto against a fixed 10 minutes: "
	for _, c := range []struct {
		name        string
		auto, fixed float64
		show        func(float64) string
	}{
		{"cold starts of all invocations", auto.overall(), fixed.overall(), percent},
		{"cold starts of the median function", auto.quantile(0.5), fixed.quantile(0.5), percent},
		{"cold starts of the third-quartile function", auto.quantile(0.75), fixed.quantile(0.75), percent},
		{"memory of unused environments", auto.unused, fixed.unused, func(f float64) string { return fmt.Sprintf("%.0fk GB-s", f/1000) }},
	} {
		rows = append(rows, row{name: what + c.name, gust: c.show(c.auto), baseline: c.show(c.fixed), aim: "below 1"}.
			against(c.auto/c.fixed, c.auto < c.fixed))
	}
	return rows, nil
}

// The synthetic day. Popularity is Zipf's, of the exponent at which 45 % of the
// functions are used less than once an hour, as in the paper that the policy is
// from; so are the kinds of arrivals that are mixed.
const (
	dayFunctions = 1000
	dayExponent  = 1.4
	dayMost      = 2.0 // invocations a second of the most popular function
	dayStart     = 400 * time.Millisecond
	dayMemory    = 128 * gust.MB // of each environment
	dayLength    = 24 * time.Hour
)

// workload says when which function is invoked, and how long each takes.
type workload struct{ functions []*arrivals }

// arrivals are one function's: next says when the next is after the given time.
type arrivals struct {
	name  string
	takes time.Duration
	seed  uint64
	next  func(r *rand.Rand, after time.Duration) time.Duration
}

func newWorkload(seed uint64) *workload {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &workload{}
	for rank := range dayFunctions {
		rate := dayMost / math.Pow(float64(rank+1), dayExponent) // a second
		a := &arrivals{name: fmt.Sprint("f", rank), seed: seed<<32 | uint64(rank), takes: time.Duration(50+r.IntN(1950)) * time.Millisecond}
		switch kind := r.IntN(100); {
		case kind < 30:
			a.next = timer(r, rate)
		case kind < 55:
			a.next = poisson(func(time.Duration) float64 { return rate })
		case kind < 85:
			a.next = poisson(diurnal(r, rate))
		default:
			a.next = bursts(r, rate)
		}
		w.functions = append(w.functions, a)
	}
	return w
}

// timer invokes every 1, 5, 15 or 60 minutes, whichever is nearest to the rate,
// with the second or two that schedulers are off.
func timer(r *rand.Rand, rate float64) func(*rand.Rand, time.Duration) time.Duration {
	period := time.Hour
	for _, p := range []time.Duration{15 * time.Minute, 5 * time.Minute, time.Minute} {
		if math.Abs(math.Log(p.Seconds()*rate)) < math.Abs(math.Log(period.Seconds()*rate)) {
			period = p
		}
	}
	phase := time.Duration(r.Int64N(int64(period)))
	return func(r *rand.Rand, after time.Duration) time.Duration {
		n := (after - phase + period + period/2).Truncate(period)
		return n + phase + time.Duration(r.Int64N(int64(2*time.Second)))
	}
}

func exponential(r *rand.Rand, rate float64) time.Duration {
	return time.Duration(r.ExpFloat64() / rate * float64(time.Second))
}

// poisson invokes at a rate that may change by the hour of the day, by thinning.
func poisson(rate func(time.Duration) float64) func(*rand.Rand, time.Duration) time.Duration {
	most := 0.0
	for hour := range 24 {
		most = max(most, rate(time.Duration(hour)*time.Hour))
	}
	return func(r *rand.Rand, after time.Duration) time.Duration {
		for t := after; ; {
			t += exponential(r, most)
			if r.Float64()*most <= rate(t) {
				return t
			}
		}
	}
}

// diurnal is a rate that is highest at some hour of the working day, and a
// tenth of that at night.
func diurnal(r *rand.Rand, rate float64) func(time.Duration) float64 {
	peak := float64(9 + r.IntN(9))
	return func(t time.Duration) float64 {
		return rate * (1 + 0.82*math.Cos((t.Hours()-peak)/24*2*math.Pi))
	}
}

// bursts invokes about ten times in a row, seconds apart, and then pauses.
func bursts(r *rand.Rand, rate float64) func(*rand.Rand, time.Duration) time.Duration {
	return func(r *rand.Rand, after time.Duration) time.Duration {
		if r.IntN(10) > 0 {
			return after + exponential(r, max(rate, 0.2))
		}
		return after + exponential(r, rate/10)
	}
}

// outcome is what a day came to.
type outcome struct {
	invocations, cold map[string]int
	unused            float64 // gigabyte-seconds of environments that ran nothing
	ahead, vain       int     // environments started ahead, and of those never used
}

func (o *outcome) overall() float64 {
	all, cold := 0, 0
	for name, n := range o.invocations {
		all += n
		cold += o.cold[name]
	}
	return float64(cold) / float64(all)
}

// quantile is of the functions' shares of cold starts.
func (o *outcome) quantile(q float64) float64 {
	var shares []float64
	for name, n := range o.invocations {
		shares = append(shares, float64(o.cold[name])/float64(n))
	}
	slices.Sort(shares)
	return shares[int(q*float64(len(shares)-1))]
}

// live lets the workload happen to a scaler for two days, and says what came of
// the second: by then both policies have seen a day.
func (w *workload) live(prewarm gust.Prewarm) *outcome {
	l := &life{
		outcome: outcome{invocations: map[string]int{}, cold: map[string]int{}},
		began:   time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		envs:    map[*scale.Env]time.Time{},
		scaler:  scale.New(scale.Limits{Concurrency: 10 * dayFunctions, Starts: 64, Memory: 1 << 50, Grace: time.Second}),
	}
	l.now = l.began
	declared := map[string]*gust.Function{}
	for _, a := range w.functions {
		declared[a.name] = &gust.Function{Name: a.name, App: "day", Version: 1, Runtime: gust.RuntimeGo, Memory: dayMemory,
			Idle: gust.DefaultIdle, Concurrency: gust.Concurrency{Prewarm: prewarm}}
	}
	l.do(l.scaler.Declare(l.now, declared))
	for _, a := range w.functions {
		l.invoke(a, rand.New(rand.NewPCG(a.seed, 1)))
	}
	l.tickAt = l.began
	for end := l.began.Add(2 * dayLength); l.moments[0].at.Before(end); { // there is always a next invocation
		if l.tickAt.Before(l.moments[0].at) {
			l.now = l.tickAt
			next, actions := l.scaler.Tick(l.now)
			l.tickAt = next
			l.do(actions)
		} else {
			e := heap.Pop(&l.moments).(moment)
			l.now = e.at
			e.f()
		}
	}
	for e := range l.envs {
		l.end(e)
	}
	return &l.outcome
}

// life is a day under way.
type life struct {
	outcome
	scaler     *scale.Scaler
	began, now time.Time
	tickAt     time.Time
	moments    moments
	order      int
	envs       map[*scale.Env]time.Time // since when each is unused, or zero
}

// counts says whether it is the day that counts.
func (l *life) counts() bool { return l.now.Sub(l.began) >= dayLength }

func (l *life) after(d time.Duration, f func()) {
	l.order++
	heap.Push(&l.moments, moment{l.now.Add(d), l.order, f})
}

// soon lets the scaler look at the time, as the node's loop does when something
// begins.
func (l *life) soon() {
	if t := l.now.Add(100 * time.Millisecond); t.Before(l.tickAt) {
		l.tickAt = t
	}
}

// invoke brings the next invocation of a, and all after it.
func (l *life) invoke(a *arrivals, r *rand.Rand) {
	at := a.next(r, l.now.Sub(l.began))
	l.after(at-l.now.Sub(l.began), func() {
		t := &scale.Ticket{Function: a.name, Data: a}
		if l.counts() {
			l.invocations[a.name]++
		}
		if !l.do(l.scaler.Arrive(l.now, t)) {
			l.soon()
			if l.counts() {
				l.cold[a.name]++
			}
		}
		l.invoke(a, r)
	})
}

// do carries out what the scaler decides, and says whether an invocation was
// given an environment.
func (l *life) do(actions []scale.Action) (dispatched bool) {
	for _, a := range actions {
		e := a.Env
		switch a.Op {
		case scale.Start:
			l.envs[e] = time.Time{}
			l.soon()
			if e.Cause == gust.ColdPrewarmed {
				l.envs[e] = l.now
				if l.counts() {
					l.ahead++
				}
			}
			l.after(dayStart, func() {
				if e.Cause != gust.ColdPrewarmed {
					l.envs[e] = l.now
				}
				l.scaler.Measured(e, dayMemory)
				l.do(l.scaler.Ready(l.now, e))
			})
		case scale.Dispatch:
			dispatched = true
			if a.Thaw {
				l.soon()
			}
			l.idled(e)
			l.envs[e] = time.Time{}
			l.after(a.Ticket.Data.(*arrivals).takes, func() {
				l.envs[e] = l.now
				l.do(l.scaler.Finish(l.now, e, true))
			})
		case scale.Stop:
			l.end(e)
		case scale.Refuse:
			panic(a.Err) // nothing is short
		}
	}
	return dispatched
}

// idled counts for how long e was unused.
func (l *life) idled(e *scale.Env) {
	since := l.envs[e]
	if since.IsZero() || !l.counts() {
		return
	}
	if day := l.began.Add(dayLength); since.Before(day) {
		since = day
	}
	l.unused += l.now.Sub(since).Seconds() * dayMemory / gust.GB
}

func (l *life) end(e *scale.Env) {
	l.idled(e)
	delete(l.envs, e)
	if e.Cause == gust.ColdPrewarmed && e.Served == 0 && l.counts() {
		l.vain++
	}
}

// moment is something that happens at a time; those at the same time, in the
// order in which they came about.
type moment struct {
	at    time.Time
	order int
	f     func()
}

type moments []moment

func (e moments) Len() int { return len(e) }
func (e moments) Less(i, j int) bool {
	return cmp.Or(e[i].at.Compare(e[j].at), cmp.Compare(e[i].order, e[j].order)) < 0
}
func (e moments) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *moments) Push(x any)   { *e = append(*e, x.(moment)) }
func (e *moments) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
