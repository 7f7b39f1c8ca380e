// Package scale decides, and does nothing: which environment an invocation
// gets, whether it is refused, and which environments are started, frozen and
// stopped. It is a function of state, event and time. Every method takes what
// happened and when, changes the state, and returns what to do as Actions; the
// runner in package invoke carries them out and tells the outcome as further
// events. Nothing here reads a clock, locks, blocks or fails.
//
// Concurrency is counted in environments in use: an invocation of a function
// that serves N at once counts 1/N, rounded up over the function.
package scale

import (
	"time"

	gust "github.com/gust-dev/gust"
)

// Limits bound the node as a whole.
type Limits struct {
	// Concurrency is how many environments may be in use at once.
	Concurrency int
	// Starts is how many environments may be starting at once, so that a burst
	// does not starve what runs. Each counts for its first startShare.
	Starts int
	// Memory is what all environments together may use, in bytes.
	Memory int64
	// Grace is how long an unused environment is left running before it is
	// frozen.
	Grace time.Duration
}

// Env is one environment as the scaler sees it. The runner owns Data and reads
// the other fields only while it holds the lock that guards the Scaler.
type Env struct {
	Function *gust.Function // the version that runs in it
	Cause    gust.ColdCause
	State    State
	// Load is how many invocations run in it.
	Load int
	// Since is when State last changed or the last invocation ended.
	Since time.Time
	// Served is how many invocations were given to it.
	Served uint64
	// Memory is what it uses, or is expected to while it starts, in bytes.
	Memory int64
	// Data is the runner's own.
	Data any

	fn       *function
	holds    bool // counts in Scaler.starting
	free     bool // stands in fn.free
	retiring bool // gets no more work, stops when its load is 0
	measured bool // Memory was measured, not expected
}

// State is what an environment is doing.
type State int8

const (
	Starting State = iota
	Idle           // ready and unused
	Busy           // at least one invocation runs in it
	Frozen         // unused, and kept from running
	Stopping       // told to stop
)

func (s State) String() string {
	return [...]string{"starting", "idle", "busy", "frozen", "stopping"}[s]
}

// Ticket is one invocation on its way to an environment.
type Ticket struct {
	Function string
	Arrived  time.Time
	// Data is the runner's own.
	Data any

	admitted bool      // counts as concurrency; else it waits in the queue
	giveUp   time.Time // when a queued ticket is refused
	done     bool      // dispatched, refused or cancelled
}

// Op is what to do.
type Op int8

const (
	Dispatch Op = iota // give Ticket to Env; Thaw it first if Thaw is set
	Refuse             // tell Ticket why: Err
	Start              // start Env; answer with Ready or Failed
	Stop               // stop Env; it is forgotten already
	Freeze             // freeze Env
)

// Action is one thing to do. Actions are carried out in order.
type Action struct {
	Op     Op
	Env    *Env
	Ticket *Ticket
	Thaw   bool
	Err    error
}

// Scaler is the state. It is not safe for concurrent use.
type Scaler struct {
	limits   Limits
	current  map[string]*gust.Function // what Declare told last
	fns      map[string]*function
	setAside int         // concurrency that is reserved or provisioned
	shared   int         // concurrency in use beyond what is set aside
	starting int         // environments that count against limits.Starts
	holding  []*Env      // those, and some that do no more, the oldest first
	memory   int64       // of all environments
	wanting  []*function // functions that want a start, each once, in turn
	queued   []*function // functions with queued tickets, each once
	envs     map[*Env]struct{}
	actions  []Action
}

// defaultFootprint is what an environment is expected to use before any of its
// function was measured. A small Go program takes 5 to 10 MB, an interpreter 40.
const defaultFootprint = 24 * gust.MB

// function is the state of one function that has been used or declares
// something to keep.
type function struct {
	decl     *gust.Function // the current version; nil once it is removed
	waiting  fifo           // admitted, without an environment
	queue    fifo           // over a limit, not admitted
	free     []*Env         // ready, with room; the most recently used last
	running  int            // admitted tickets, waiting or dispatched
	slots    int            // concurrency those count
	envs     int            // of the current version, not retiring
	starting int            // of those, starting
	wants    bool           // stands in Scaler.wanting
	inQueue  bool           // stands in Scaler.queued

	next      gust.ColdCause // why the next environment will be cold
	footprint int64          // measured bytes of one environment, 0 unknown

	failures int       // starts that failed in a row
	until    time.Time // no start before
	failure  error     // the last start's error
}

// New makes an empty scaler.
func New(l Limits) *Scaler {
	return &Scaler{limits: l, fns: make(map[string]*function), envs: make(map[*Env]struct{})}
}

// take returns the actions collected so far. The slice is valid until the next
// event.
func (s *Scaler) take() []Action {
	a := s.actions
	s.actions = s.actions[:0]
	return a
}

func (s *Scaler) do(a Action) { s.actions = append(s.actions, a) }

// Declare makes the given functions the current ones: environments of other
// versions stop once they are unused, provisioned ones start.
func (s *Scaler) Declare(now time.Time, current map[string]*gust.Function) []Action {
	s.current = current
	s.setAside = 0
	for _, f := range current {
		s.setAside += setAside(f)
		if f.Concurrency.Provisioned > 0 {
			s.function(f)
		}
	}
	for name, fn := range s.fns {
		f := current[name]
		if fn.decl != f {
			s.replace(name, fn, f)
		}
		s.want(fn)
	}
	s.start(now)
	s.drainQueues(now)
	return s.take()
}

// replace makes f the current version of fn; nil removes it.
func (s *Scaler) replace(name string, fn *function, f *gust.Function) {
	old := fn.decl
	s.release(fn)
	fn.decl = f
	if f != nil && old != nil && old.Version == f.Version {
		s.admitAgain(fn)
		return // the same version, read again
	}
	fn.failures, fn.until, fn.failure = 0, time.Time{}, nil
	for e := range s.envs {
		if e.fn == fn {
			s.retire(e)
		}
	}
	fn.free, fn.envs, fn.starting, fn.footprint = nil, 0, 0, 0
	if fn.next != gust.ColdFirst {
		fn.next = gust.ColdDeploy
	}
	s.admitAgain(fn)
	if f != nil {
		return
	}
	for t := fn.waiting.pop(); t != nil; t = fn.waiting.pop() {
		s.unadmit(fn)
		s.refuse(t, gust.ErrNotFound)
	}
	for t := fn.queue.pop(); t != nil; t = fn.queue.pop() {
		s.refuse(t, gust.ErrNotFound)
	}
	if fn.running == 0 {
		delete(s.fns, name)
	}
}

// function is the state of f, made on first use.
func (s *Scaler) function(f *gust.Function) *function {
	fn := s.fns[f.Name]
	if fn == nil {
		fn = &function{decl: f, next: gust.ColdFirst}
		s.fns[f.Name] = fn
	}
	return fn
}

// Arrive brings an invocation of t.Function. Its fate is among the actions, or
// among a later event's.
func (s *Scaler) Arrive(now time.Time, t *Ticket) []Action {
	t.Arrived = now
	f := s.current[t.Function]
	if f == nil {
		s.refuse(t, gust.ErrNotFound)
		return s.take()
	}
	fn := s.function(f)
	if err := s.admit(now, fn); err != nil {
		s.overLimit(now, fn, t, err)
	} else {
		t.admitted = true
		s.place(now, fn, t)
	}
	return s.take()
}

// place gives an admitted ticket its environment, or lets it wait for one.
func (s *Scaler) place(now time.Time, fn *function, t *Ticket) {
	if e := fn.top(); e != nil {
		s.dispatch(now, fn, e, t)
		return
	}
	fn.waiting.push(t)
	s.want(fn)
	s.start(now)
}

func (s *Scaler) dispatch(now time.Time, fn *function, e *Env, t *Ticket) {
	thaw := e.State == Frozen
	e.State = Busy
	e.Load++
	e.Served++
	e.Since = now
	if e.Load >= e.Function.PerEnvironment() {
		fn.unfree(e)
	}
	t.done = true
	s.do(Action{Op: Dispatch, Env: e, Ticket: t, Thaw: thaw})
}

// Finish ends an invocation in e. Reuse is false when the environment may not
// get another one (it was killed, or is to be replaced); when it has died,
// Died is told as well.
func (s *Scaler) Finish(now time.Time, e *Env, reuse bool) []Action {
	fn := e.fn
	e.Load--
	e.Since = now
	s.unadmit(fn)
	if !reuse && !e.retiring {
		fn.next = gust.ColdCrash
		s.retireOne(fn, e)
	}
	switch {
	case e.State == Stopping:
	case e.retiring:
		if e.Load == 0 {
			s.stop(e)
		}
	default:
		if t := fn.waiting.pop(); t != nil {
			s.dispatch(now, fn, e, t)
			break
		}
		if e.Load == 0 {
			e.State = Idle
		}
		fn.push(e)
	}
	return s.settle(now, fn)
}

// settle is the end of every event about fn: what now is wanted is started,
// and who queues gets what became free.
func (s *Scaler) settle(now time.Time, fn *function) []Action {
	s.want(fn)
	s.start(now)
	s.forget(fn)
	s.drainQueues(now)
	return s.take()
}

// Ready tells that an environment has started.
func (s *Scaler) Ready(now time.Time, e *Env) []Action {
	fn := e.fn
	s.started(fn, e)
	e.State, e.Since = Idle, now
	if e.retiring {
		s.stop(e)
	} else {
		fn.failures, fn.until, fn.failure = 0, time.Time{}, nil
		fn.push(e)
		for fn.waiting.len() > 0 && e.Load < e.Function.PerEnvironment() {
			s.dispatch(now, fn, e, fn.waiting.pop())
		}
	}
	return s.settle(now, fn)
}

// Failed tells that an environment did not start, and why. The invocations it
// was started for get the error; the function is backed off when it happens
// again.
func (s *Scaler) Failed(now time.Time, e *Env, err error) []Action {
	fn := e.fn
	s.started(fn, e)
	current := !e.retiring
	s.drop(e)
	if current {
		fn.failures++
		fn.failure = err
		fn.until = now.Add(backoff(fn.failures))
		fn.next = gust.ColdCrash
		for range e.Function.PerEnvironment() {
			t := fn.waiting.pop()
			if t == nil {
				break
			}
			s.unadmit(fn)
			s.refuse(t, err)
		}
		if now.Before(fn.until) && len(fn.free) == 0 && fn.starting == 0 && fn.envs == 0 {
			for t := fn.waiting.pop(); t != nil; t = fn.waiting.pop() {
				s.unadmit(fn)
				s.refuse(t, err)
			}
		}
	}
	return s.settle(now, fn)
}

// Died tells that a ready environment has ended by itself or was killed. Its
// invocations are told by Finish as ever.
func (s *Scaler) Died(now time.Time, e *Env) []Action {
	fn := e.fn
	if _, ok := s.envs[e]; ok {
		if !e.retiring {
			fn.next = gust.ColdCrash
		}
		s.drop(e)
		e.State = Stopping
	}
	return s.settle(now, fn)
}

// Cancel withdraws a ticket that nobody waits for any more. It reports false
// when the ticket has been dispatched or refused already.
func (s *Scaler) Cancel(now time.Time, t *Ticket) (bool, []Action) {
	if t.done {
		return false, nil
	}
	t.done = true
	if fn := s.fns[t.Function]; fn != nil {
		if t.admitted {
			fn.waiting.remove(t)
			s.unadmit(fn)
		} else {
			fn.queue.remove(t)
		}
		return true, s.settle(now, fn)
	}
	return true, s.take()
}

// Measured tells what an environment uses, in bytes.
func (s *Scaler) Measured(e *Env, bytes int64) {
	if _, ok := s.envs[e]; !ok {
		return
	}
	s.memory += bytes - e.Memory
	e.Memory, e.measured = bytes, true
	if fn := e.fn; bytes > fn.footprint && !e.retiring {
		fn.footprint = bytes
	}
}

// Tick lets time pass: unused environments are frozen and reclaimed, queued
// invocations give up, starts that were backed off are tried. It returns when
// it wants to be called again, at the latest.
func (s *Scaler) Tick(now time.Time) (next time.Time, _ []Action) {
	next = now.Add(time.Minute)
	at := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, fn := range s.fns {
		s.sweepIdle(now, fn, at)
		for t := fn.queue.peek(); t != nil && !now.Before(t.giveUp); t = fn.queue.peek() {
			fn.queue.pop()
			s.refuse(t, throttled(fn.decl, gust.ThrottleQueue, "waited %v in its queue", fn.decl.Concurrency.Queue.Wait))
		}
		if t := fn.queue.peek(); t != nil {
			at(t.giveUp)
		}
		if fn.failures > 0 && now.Before(fn.until) {
			at(fn.until)
		}
		s.want(fn)
	}
	s.relieve()
	s.start(now)
	if len(s.wanting) > 0 && len(s.holding) > 0 {
		at(s.holding[0].Since.Add(startShare))
	}
	s.drainQueues(now)
	return next, s.take()
}

// sweepIdle freezes and stops the unused environments of one function.
func (s *Scaler) sweepIdle(now time.Time, fn *function, at func(time.Time)) {
	for i := 0; i < len(fn.free); i++ {
		e := fn.free[i]
		if e.Load > 0 {
			continue
		}
		if fn.envs > fn.decl.Concurrency.Provisioned {
			if expires := e.Since.Add(fn.decl.Idle); now.Before(expires) {
				at(expires)
			} else {
				s.reclaim(fn, e)
				i--
				continue
			}
		}
		if e.State == Idle {
			if freeze := e.Since.Add(s.limits.Grace); now.Before(freeze) {
				at(freeze)
			} else {
				e.State = Frozen
				s.do(Action{Op: Freeze, Env: e})
			}
		}
	}
}

// relieve stops the longest unused environments while memory is over budget.
func (s *Scaler) relieve() {
	for s.memory > s.limits.Memory && s.reclaimOldest() {
	}
}

// reclaimOldest stops the environment that has been unused for longest, over
// all functions, but for provisioned ones.
func (s *Scaler) reclaimOldest() bool {
	var oldest *Env
	for _, fn := range s.fns {
		if fn.decl == nil || fn.envs <= fn.decl.Concurrency.Provisioned {
			continue
		}
		for _, e := range fn.free {
			if e.Load == 0 && (oldest == nil || e.Since.Before(oldest.Since)) {
				oldest = e
			}
		}
	}
	if oldest == nil {
		return false
	}
	s.reclaim(oldest.fn, oldest)
	return true
}

func (s *Scaler) reclaim(fn *function, e *Env) {
	s.retireOne(fn, e)
	if fn.envs == 0 {
		fn.next = gust.ColdIdle
	}
	s.stop(e)
}

// Each calls f for every environment that is not stopping.
func (s *Scaler) Each(f func(*Env)) {
	for e := range s.envs {
		f(e)
	}
}

// Running is how many invocations of the function are admitted, dispatched or
// waiting for an environment.
func (s *Scaler) Running(function string) int {
	if fn := s.fns[function]; fn != nil {
		return fn.running
	}
	return 0
}

// Totals are the node's figures.
type Totals struct {
	Concurrency int   // environments' worth in use
	Running     int   // invocations admitted
	Waiting     int   // of those, without an environment yet
	Queued      int   // over a limit, in a function's queue
	Memory      int64 // of all environments, bytes
}

// Totals sums the state up.
func (s *Scaler) Totals() Totals {
	t := Totals{Memory: s.memory}
	for _, fn := range s.fns {
		t.Concurrency += fn.slots
		t.Running += fn.running
		t.Waiting += fn.waiting.len()
		t.Queued += fn.queue.len()
	}
	return t
}
