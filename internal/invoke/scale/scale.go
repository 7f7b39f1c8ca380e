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
	"slices"
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
	list     *envList // where it stands while it is unused
	prev     *Env
	next     *Env
	holds    bool // counts in Scaler.starting
	slow     bool // provisioned and long in starting: nobody waits for it
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
	// NoQueue: it is refused at a limit though its function has a queue.
	NoQueue bool
	// Data is the runner's own.
	Data any

	admitted bool      // counts as concurrency; else it waits in the queue
	warm     bool      // it is a warm-up, and stands in function.warmers
	giveUp   time.Time // when a queued ticket is refused
	done     bool      // dispatched, refused or cancelled
}

// Op is what to do.
type Op int8

const (
	Dispatch Op = iota // give Ticket to Env; Thaw it first if Thaw is set
	Warmed             // tell Ticket, a warm-up, that Env is ready
	Refuse             // tell Ticket why: Err
	Start              // start Env; answer with Ready or Failed
	Stop               // stop Env; it is forgotten already
	Freeze             // freeze Env
	Abort              // nobody wants Env, which is starting: it may fail now
)

// Action is one thing to do. Actions are carried out in order.
type Action struct {
	Op     Op
	Env    *Env
	Ticket *Ticket
	Thaw   bool
	Cold   bool // Ticket is the first that Env gets
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
	blocked  []*function // functions that want a start and may not, each once
	queued   []*function // functions with queued tickets, each once, in turn
	idle     envList     // unused environments that run
	frozen   envList     // those that are frozen, all unused for longer
	early    envList     // frozen ones that were started ahead and never used
	sweep    time.Time   // when the first of all those may be unused for too long
	alarms   alarms      // functions for which something is due by time
	soon     []*function // functions that are expected to be used, each once
	zones    map[string]*time.Location
	envs     map[*Env]struct{}
	actions  []Action
}

// defaultFootprint is what an environment is expected to use before any of its
// function was measured. A small Go program takes 5 to 10 MB, an interpreter 40.
const defaultFootprint = 24 * gust.MB

// function is the state of one function that has been used or declares
// something to keep.
type function struct {
	name     string
	decl     *gust.Function // the current version; nil once it is removed
	waiting  fifo           // admitted, without an environment
	queue    fifo           // over a limit, not admitted
	warmers  []*Ticket      // warm-ups, which wait for an environment to be ready
	free     []*Env         // ready, with room; the most recently used last
	running  int            // admitted tickets, waiting or dispatched
	slots    int            // concurrency those count
	envs     int            // of the current version, not retiring
	starting int            // of those, starting
	wants    bool           // stands in Scaler.wanting
	blocked  bool           // stands in Scaler.blocked
	inQueue  bool           // stands in Scaler.queued

	provisioned int       // environments that are to be there now
	schedule    []entry   // what changes that
	changes     time.Time // when it does next
	due         time.Time // when something is, of changes and ahead
	alarm       int       // 1 + its place in Scaler.alarms; 0: in none

	pauses *histogram // between its uses; nil if they do not matter
	rested time.Time  // since when nothing of it runs, and this pause counts
	kept   time.Time  // until when its next use is expected; zero: unknown
	ahead  time.Time  // when an environment is started for that
	soon   bool       // stands in Scaler.soon

	next      gust.ColdCause // why the next environment will be cold
	footprint int64          // measured bytes of one environment, 0 unknown

	failures int       // starts that came to nothing in a row
	until    time.Time // no start before
	failure  error     // the last start's error
}

// New makes an empty scaler.
func New(l Limits) *Scaler {
	return &Scaler{limits: l, fns: make(map[string]*function), envs: make(map[*Env]struct{}), zones: make(map[string]*time.Location)}
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
		s.setAside += f.SetAside()
		if f.Concurrency.MostProvisioned() > 0 {
			s.function(now, f)
		}
	}
	replaced := map[*function]bool{} // true: by another version, or nothing
	for name, fn := range s.fns {
		if f := current[name]; fn.decl != f {
			replaced[fn] = f == nil || fn.decl == nil || fn.decl.Version != f.Version
		}
	}
	for e := range s.envs {
		if replaced[e.fn] {
			s.retire(e)
		}
	}
	for fn := range replaced {
		s.replace(now, fn, current[fn.name])
	}
	for _, fn := range s.fns {
		s.want(fn)
	}
	s.start(now)
	s.drainQueues(now)
	return s.take()
}

// replace makes f the current version of fn; nil removes it. If it is another
// version, the environments are retiring already.
func (s *Scaler) replace(now time.Time, fn *function, f *gust.Function) {
	old := fn.decl
	s.release(fn)
	fn.decl = f
	s.configure(now, fn)
	if f != nil && old != nil && old.Version == f.Version {
		s.admitAgain(fn)
		return // the same version, read again
	}
	fn.failures, fn.until, fn.failure = 0, time.Time{}, nil
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
	s.refuseWarmers(fn, gust.ErrNotFound)
	s.forget(fn)
}

// Replace ends all environments of a function, as another version of it would,
// and starts what takes their place; cause is why the next one will be cold.
func (s *Scaler) Replace(now time.Time, function string, cause gust.ColdCause) []Action {
	fn := s.fns[function]
	if fn == nil {
		return nil
	}
	for e := range s.envs {
		if e.fn == fn && !e.retiring {
			s.retire(e)
			fn.next = cause
		}
	}
	fn.free, fn.envs, fn.starting = nil, 0, 0
	return s.settle(now, fn)
}

// function is the state of f, made on first use.
func (s *Scaler) function(now time.Time, f *gust.Function) *function {
	fn := s.fns[f.Name]
	if fn == nil {
		fn = &function{name: f.Name, decl: f, next: gust.ColdFirst}
		s.fns[f.Name] = fn
		s.configure(now, fn)
	}
	return fn
}

// configure takes over what fn.decl says of times.
func (s *Scaler) configure(now time.Time, fn *function) {
	fn.schedule = nil
	if f := fn.decl; f != nil {
		fn.schedule = s.entries(f.Concurrency.Schedule)
	}
	s.provision(now, fn)
	switch auto := fn.decl != nil && fn.decl.Concurrency.Prewarm == gust.PrewarmAuto; {
	case !auto:
		s.forgetPause(fn)
		fn.pauses = nil
	case fn.pauses == nil:
		fn.pauses = &histogram{}
	}
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
	fn := s.function(now, f)
	if fn.queue.len() > 0 {
		s.drainQueues(now) // time may have made room for who came before
	}
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
	e.leave()
	e.State = Busy
	e.Load++
	e.Served++
	e.Since = now
	if e.Load >= e.Function.PerEnvironment() {
		fn.unfree(e)
	}
	t.done = true
	s.do(Action{Op: Dispatch, Env: e, Ticket: t, Thaw: thaw, Cold: e.Served == 1})
}

// Finish ends an invocation in e. Reuse is false when the environment may not
// get another one (it was killed, or is to be replaced); when it has died,
// Died is told as well.
func (s *Scaler) Finish(now time.Time, e *Env, reuse bool) []Action {
	fn := e.fn
	e.Load--
	e.Since = now
	s.unadmit(fn)
	if fn.running == 0 {
		s.rests(now, fn)
	}
	switch {
	case e.retiring:
	case reuse:
		fn.failures, fn.until, fn.failure = 0, time.Time{}, nil
	default:
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
			s.rest(e)
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
	e.Since = now
	if e.retiring {
		s.stop(e)
	} else {
		s.rest(e)
		fn.push(e)
		s.warmed(fn, e)
		for fn.waiting.len() > 0 && e.Load < e.Function.PerEnvironment() {
			s.dispatch(now, fn, e, fn.waiting.pop())
		}
		if e.early() {
			s.freeze(e) // nobody has left anything running in it
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
		s.failed(now, fn, err)
		s.refuseWarmers(fn, err)
		per := e.Function.PerEnvironment()
		for range min(per, fn.waiting.len()-fn.starting*per) { // others have their own
			t := fn.waiting.pop()
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

// Died tells that a ready environment has ended by itself or was killed, and
// how. Its invocations are told by Finish as ever. One that had not served any
// counts as one that did not start: else a program that ends as soon as it is
// ready would be started again and again.
func (s *Scaler) Died(now time.Time, e *Env, err error) []Action {
	fn := e.fn
	if _, ok := s.envs[e]; ok {
		switch {
		case e.retiring:
		case e.Served == 0:
			s.failed(now, fn, err)
		default:
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
		switch {
		case t.warm:
			fn.warmers = slices.DeleteFunc(fn.warmers, func(w *Ticket) bool { return w == t })
		case t.admitted:
			fn.waiting.remove(t)
			s.unadmit(fn)
		default:
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
// it wants to be called again, at the latest: after Limits.Grace while any
// environment runs, and else when there is something to do by time. What it
// costs grows with the environments and with what waits, not with the functions
// that have been used.
func (s *Scaler) Tick(now time.Time) (next time.Time, _ []Action) {
	next = now.Add(time.Hour)
	at := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	s.ring(now)
	s.sweepUnused(now, at)
	for _, fn := range s.queued {
		for t := fn.queue.peek(); t != nil && !now.Before(t.giveUp); t = fn.queue.peek() {
			fn.queue.pop()
			s.refuse(t, throttled(fn.decl, gust.ThrottleQueue, "waited %v in its queue", now.Sub(t.Arrived).Round(time.Millisecond)))
		}
	}
	for _, fn := range s.blocked {
		fn.blocked = false
		s.want(fn)
	}
	s.blocked = s.blocked[:0]
	s.relieve()
	s.start(now)
	s.drainQueues(now)
	if len(s.alarms) > 0 {
		at(s.alarms[0].due)
	}
	for _, fn := range s.queued {
		at(fn.queue.peek().giveUp)
	}
	for _, fn := range s.blocked {
		if now.Before(fn.until) {
			at(fn.until)
		} else {
			at(now.Add(s.limits.Grace)) // it waits for memory
		}
	}
	if len(s.wanting)+len(s.soon) > 0 && len(s.holding) > 0 {
		at(s.holding[0].Since.Add(startShare))
	}
	if s.frozen.len+s.early.len < len(s.envs) {
		at(now.Add(s.limits.Grace))
	}
	return next, s.take()
}

func (s *Scaler) reclaim(e *Env) {
	fn := e.fn
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
