package scale

import (
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// want notes that fn needs another environment, if it does.
func (s *Scaler) want(fn *function) {
	if !fn.wants && fn.needs() > 0 {
		fn.wants = true
		s.wanting = append(s.wanting, fn)
	}
}

// needs is how many starts would serve what waits, what is provisioned and
// warm-ups, beyond those under way.
func (fn *function) needs() int {
	if fn.decl == nil {
		return 0
	}
	waiting := slots(fn.decl, fn.waiting.len()) - fn.starting
	keep := fn.provisioned
	if len(fn.warmers) > 0 {
		keep = max(keep, 1)
	}
	return max(waiting, keep-fn.envs, 0)
}

// start starts what is wanted, one a function in turn, while starts are left.
// What may not start now is wanted again at the next event or tick.
func (s *Scaler) start(now time.Time) {
	s.expireStarts(now)
	for len(s.wanting) > 0 && s.starting < s.limits.Starts {
		fn := s.wanting[0]
		s.wanting = slices.Delete(s.wanting, 0, 1)
		fn.wants = false
		if fn.needs() == 0 {
			continue
		}
		if err := s.mayStart(now, fn); err != nil {
			s.cannotStart(fn, err)
			if !fn.blocked && fn.needs() > 0 {
				fn.blocked = true
				s.blocked = append(s.blocked, fn)
			}
			continue
		}
		s.startOne(now, fn, fn.cause())
		s.want(fn)
	}
	s.startAhead(now)
}

// cause is why another environment of fn is started.
func (fn *function) cause() gust.ColdCause {
	switch {
	case fn.waiting.len() == 0 && fn.envs < fn.provisioned:
		return gust.ColdProvisioned
	case fn.waiting.len() == 0:
		return gust.ColdWarmUp
	case fn.next == "":
		return gust.ColdScaleOut
	}
	return fn.next
}

// cannotStart refuses what waits for a start that cannot be, unless an
// environment that is there will take it.
func (s *Scaler) cannotStart(fn *function, err error) {
	if fn.envs > 0 {
		return
	}
	for t := fn.waiting.pop(); t != nil; t = fn.waiting.pop() {
		s.unadmit(fn)
		s.refuse(t, err)
	}
	s.refuseWarmers(fn, err)
}

func (s *Scaler) startOne(now time.Time, fn *function, cause gust.ColdCause) {
	fn.next = ""
	e := &Env{Function: fn.decl, Cause: cause, State: Starting, Since: now, Memory: s.expected(fn), fn: fn}
	s.envs[e] = struct{}{}
	s.memory += e.Memory
	e.holds = true
	s.starting++
	s.holding = append(s.holding, e)
	fn.starting++
	fn.envs++
	if fn.provisioned > 0 {
		s.sweepBy(now) // one that was is not any more
	}
	s.do(Action{Op: Start, Env: e})
}

// startShare is how long a start counts against Limits.Starts: what it costs
// others it costs in its first moments, and then it mostly waits. Were it
// counted to its end, a few programs that hang before they are ready would keep
// every other function from starting.
const startShare = 250 * time.Millisecond

// expireStarts lets go of the places that starts have had for startShare.
func (s *Scaler) expireStarts(now time.Time) {
	for len(s.holding) > 0 {
		e := s.holding[0]
		if e.holds && now.Before(e.Since.Add(startShare)) {
			return
		}
		s.letGo(e)
		// A provisioned environment may take long to be ready. Who waits for
		// one has waited enough, and gets another.
		if fn := e.fn; e.State == Starting && e.Cause == gust.ColdProvisioned && !e.retiring && !e.slow {
			e.slow = true
			fn.starting--
			s.want(fn)
		}
		s.holding[0] = nil
		s.holding = s.holding[1:]
	}
}

// letGo ends that a start counts against Limits.Starts.
func (s *Scaler) letGo(e *Env) {
	if e.holds {
		e.holds = false
		s.starting--
	}
}

// started takes e out of the count of those that start.
func (s *Scaler) started(fn *function, e *Env) {
	s.letGo(e)
	if !e.retiring && !e.slow {
		fn.starting--
	}
}

// retire lets e get no more work, when all of its version go.
func (s *Scaler) retire(e *Env) {
	if e.retiring {
		return
	}
	e.retiring, e.free = true, false
	switch {
	case e.State == Starting:
		s.do(Action{Op: Abort, Env: e})
	case e.Load == 0:
		s.stop(e)
	}
}

// retireOne takes e out of the current environments of fn.
func (s *Scaler) retireOne(fn *function, e *Env) {
	if e.retiring {
		return
	}
	fn.unfree(e)
	fn.envs--
	e.retiring = true
}

// stop ends a retiring environment without load.
func (s *Scaler) stop(e *Env) {
	e.leave()
	s.memory -= e.Memory
	delete(s.envs, e)
	e.State = Stopping
	s.do(Action{Op: Stop, Env: e})
}

// drop forgets an environment that is gone by itself.
func (s *Scaler) drop(e *Env) {
	if _, ok := s.envs[e]; !ok {
		return
	}
	s.retireOne(e.fn, e)
	e.leave()
	s.memory -= e.Memory
	delete(s.envs, e)
}

// forget gives up the state of a removed function once nothing of it runs.
func (s *Scaler) forget(fn *function) {
	if fn.decl == nil && fn.running == 0 && s.fns[fn.name] == fn {
		delete(s.fns, fn.name)
	}
}

// failed notes a start that came to nothing.
func (s *Scaler) failed(now time.Time, fn *function, err error) {
	fn.failures++
	fn.failure = err
	fn.until = now.Add(backoff(fn.failures))
	fn.next = gust.ColdCrash
}

// top is the most recently used environment with room.
func (fn *function) top() *Env {
	if n := len(fn.free); n > 0 {
		return fn.free[n-1]
	}
	return nil
}

func (fn *function) push(e *Env) {
	if !e.free {
		e.free = true
		fn.free = append(fn.free, e)
	}
}

func (fn *function) unfree(e *Env) {
	if !e.free {
		return
	}
	e.free = false
	// It stands at the end on the hot path.
	for i := len(fn.free) - 1; i >= 0; i-- {
		if fn.free[i] == e {
			fn.free = slices.Delete(fn.free, i, i+1)
			return
		}
	}
}
