package scale

import (
	"time"

	gust "github.com/gust-dev/gust"
)

// early says that e was started ahead of its first use, which is still to come.
func (e *Env) early() bool { return e.Cause == gust.ColdPrewarmed && e.Served == 0 }

// used ends a pause of fn: it is invoked, and nothing of it runs yet.
func (s *Scaler) used(now time.Time, fn *function) {
	if fn.pauses == nil || fn.rested.IsZero() {
		return
	}
	fn.pauses.observe(now.Sub(fn.rested))
	s.forgetPause(fn)
	if fn.envs > 1 {
		s.sweepBy(now.Add(unload)) // those that the prediction kept are unused like others
	}
}

// rests begins a pause of fn: the last of its invocations has ended.
func (s *Scaler) rests(now time.Time, fn *function) {
	if fn.pauses == nil {
		return
	}
	s.forgetPause(fn)
	fn.rested, fn.pauses.dirty = now, true
	s.predict(fn)
}

// predict notes when fn, which rests, is expected to be used.
func (s *Scaler) predict(fn *function) {
	w := fn.pauses.window
	if w.keep == 0 {
		return
	}
	fn.kept = fn.rested.Add(w.keep)
	if w.ahead > 0 {
		fn.ahead = fn.rested.Add(w.ahead)
		s.alarm(fn)
	}
}

// forgetPause lets nothing be expected of fn.
func (s *Scaler) forgetPause(fn *function) {
	fn.rested, fn.kept = time.Time{}, time.Time{}
	if !fn.ahead.IsZero() {
		fn.ahead = time.Time{}
		s.alarm(fn)
	}
}

// foresee is due at fn.ahead: fn is expected to be used soon, and is to have an
// environment by then.
func (s *Scaler) foresee(now time.Time, fn *function) {
	fn.ahead = time.Time{}
	s.alarm(fn)
	if fn.envs == 0 && now.Before(fn.kept) && !fn.soon {
		fn.soon = true
		s.soon = append(s.soon, fn)
	}
}

// startAhead starts what is expected to be used soon. It never stands in the way
// of what is wanted now: it takes half of the starts at most, no memory that is
// in use, and is not tried again.
func (s *Scaler) startAhead(now time.Time) {
	for len(s.soon) > 0 && len(s.wanting) == 0 && s.starting < (s.limits.Starts+1)/2 {
		fn := s.soon[0]
		s.soon[0], s.soon = nil, s.soon[1:]
		fn.soon = false
		if fn.decl != nil && fn.envs == 0 && now.Before(fn.kept) && !now.Before(fn.until) && s.memory+s.expected(fn) <= s.limits.Memory {
			s.startOne(now, fn, gust.ColdPrewarmed)
		}
	}
}

// expires is when an unused environment has been unused for too long.
func (fn *function) expires(e *Env) time.Time {
	idle := e.Since.Add(fn.decl.Idle)
	switch {
	case fn.kept.IsZero(): // nothing is known, or others of fn are in use
		return idle
	case e.Cause == gust.ColdWarmUp && e.Served == 0: // somebody knows better
		return idle
	case !fn.ahead.IsZero(): // another one will be started in time
		return fn.rested.Add(unload)
	case fn.envs == 1:
		return fn.kept
	default: // the prediction is of the next use, and that needs one
		return earlier(idle, fn.kept)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Learned calls f with what is known of the pauses of each function for which
// that changed since it was asked before. The bytes are valid during the call.
func (s *Scaler) Learned(f func(function string, data []byte)) {
	var b []byte
	for name, fn := range s.fns {
		if fn.pauses != nil && fn.pauses.dirty {
			fn.pauses.dirty = false
			b = fn.pauses.encode(b[:0], fn.rested)
			f(name, b)
		}
	}
}

// Learn takes back what Learned gave, after a restart. It reports false for what
// cannot be read, or is of no use: a function that is not declared, or not to be
// predicted.
func (s *Scaler) Learn(now time.Time, function string, data []byte) bool {
	f := s.current[function]
	if f == nil || f.Concurrency.Prewarm != gust.PrewarmAuto {
		return false
	}
	pauses, rested, err := decodeHistogram(data)
	if err != nil {
		return false
	}
	fn := s.function(now, f)
	if fn.pauses.dirty { // it was used since
		return true
	}
	fn.pauses = pauses
	if !rested.IsZero() && !rested.After(now) && fn.running == 0 {
		fn.rested = rested
		s.predict(fn)
	}
	return true
}
