package scale

import (
	"time"
)

// envList is a list of environments that nobody uses, unused for longest first.
type envList struct {
	first, last *Env
	len         int
}

func (l *envList) push(e *Env) {
	l.len++
	e.list, e.prev, e.next = l, l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

// leave takes e out of the list it stands in, if it does.
func (e *Env) leave() {
	l := e.list
	if l == nil {
		return
	}
	l.len--
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.list, e.prev, e.next = nil, nil, nil
}

// rest lets e wait for work.
func (s *Scaler) rest(e *Env) {
	e.State = Idle
	s.idle.push(e)
	s.sweepBy(e.fn.expires(e))
}

// sweepBy lets unused environments be looked through at t, if not sooner.
func (s *Scaler) sweepBy(t time.Time) {
	if s.sweep.IsZero() || t.Before(s.sweep) {
		s.sweep = t
	}
}

// sweepUnused stops environments that were unused for too long, and freezes
// those that were for a moment. It looks through all of them only when one of
// them may have been: s.sweep is never later than that.
func (s *Scaler) sweepUnused(now time.Time, at func(time.Time)) {
	if !s.sweep.IsZero() && !now.Before(s.sweep) {
		s.sweep = time.Time{}
		s.stopExpired(now)
	}
	if !s.sweep.IsZero() {
		at(s.sweep)
	}
	for e := s.idle.first; e != nil; e = s.idle.first {
		freeze := e.Since.Add(s.limits.Grace)
		if now.Before(freeze) {
			at(freeze)
			return
		}
		s.freeze(e)
	}
}

func (s *Scaler) stopExpired(now time.Time) {
	for _, list := range []*envList{&s.early, &s.frozen, &s.idle} {
		for e := list.first; e != nil; {
			this := e
			e = e.next
			fn := this.fn
			if fn.envs <= fn.provisioned {
				continue
			}
			if expires := fn.expires(this); now.Before(expires) {
				s.sweepBy(expires)
			} else {
				s.reclaim(this)
			}
		}
	}
}

func (s *Scaler) freeze(e *Env) {
	e.leave()
	e.State = Frozen
	if e.early() {
		s.early.push(e)
	} else {
		s.frozen.push(e)
	}
	s.do(Action{Op: Freeze, Env: e})
}

// relieve stops the longest unused environments while memory is over budget.
func (s *Scaler) relieve() {
	oldest, _ := s.unused(s.memory - s.limits.Memory)
	for _, e := range oldest {
		s.reclaim(e)
	}
}

// unused finds environments that nobody uses and that are not provisioned: those
// that were started ahead in vain, then those unused for longest, until they make
// up the given bytes. It returns how many bytes they make up.
func (s *Scaler) unused(bytes int64) (envs []*Env, sum int64) {
	var spared map[*function]int // of functions with provisioned ones: how many may go
	for _, list := range []*envList{&s.early, &s.frozen, &s.idle} {
		for e := list.first; e != nil && sum < bytes; e = e.next {
			fn := e.fn
			if p := fn.provisioned; p > 0 {
				if spared == nil {
					spared = map[*function]int{}
				}
				if _, ok := spared[fn]; !ok {
					spared[fn] = fn.envs - p
				}
				if spared[fn]--; spared[fn] < 0 {
					continue
				}
			}
			envs = append(envs, e)
			sum += e.Memory
		}
	}
	return envs, sum
}
