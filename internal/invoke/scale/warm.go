package scale

import (
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// Warm brings a wish that an environment of t.Function be ready, though nobody
// invokes it. One is started only if the current version has none; it counts in
// every limit, and is then an unused environment like others. The wish ends in
// Warmed, with the environment that was there or came up, or in Refuse: with the
// error of the start that it waited for, with the limit that forbids one, or
// while the function is backed off.
func (s *Scaler) Warm(now time.Time, t *Ticket) []Action {
	t.Arrived, t.warm = now, true
	f := s.current[t.Function]
	if f == nil {
		s.refuse(t, gust.ErrNotFound)
		return s.take()
	}
	if r := f.Concurrency.Reserved; r != nil && *r == 0 {
		s.refuse(t, turnedOff(f))
		return s.take()
	}
	fn := s.function(now, f)
	if fn.envs == 0 {
		if err := s.mayStart(now, fn); err != nil {
			s.refuse(t, err)
			return s.take()
		}
	}
	fn.warmers = append(fn.warmers, t)
	if e := s.ready(fn); e != nil {
		s.warmed(fn, e)
	}
	return s.settle(now, fn)
}

// ready is an environment of the current version of fn that has come up, or
// nil.
func (s *Scaler) ready(fn *function) *Env {
	if e := fn.top(); e != nil || fn.envs == 0 {
		return e
	}
	for e := range s.envs { // all of them are in use
		if e.fn == fn && e.State == Busy && !e.retiring {
			return e
		}
	}
	return nil
}

// warmed ends fn's warm-ups: e is ready.
func (s *Scaler) warmed(fn *function, e *Env) {
	for _, t := range fn.warmers {
		t.done = true
		s.do(Action{Op: Warmed, Env: e, Ticket: t})
	}
	fn.warmers = slices.Delete(fn.warmers, 0, len(fn.warmers))
}

func (s *Scaler) refuseWarmers(fn *function, err error) {
	for _, t := range fn.warmers {
		s.refuse(t, err)
	}
	fn.warmers = slices.Delete(fn.warmers, 0, len(fn.warmers))
}
