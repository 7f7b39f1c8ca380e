package scale

import (
	"container/heap"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/cron"
)

// entry is one of a function's schedule, read.
type entry struct {
	*cron.Schedule
	lasts       time.Duration // 0: until another one falls due
	provisioned int
}

// figure is how many environments are provisioned at now, and until when it is
// so; a zero time is for ever. Of the entries that count, the one that fell due
// last says it, of several at the same time the last in the list; base is for
// when none does.
func figure(base int, entries []entry, now time.Time) (n int, until time.Time) {
	n = base
	var since time.Time
	sooner := func(t time.Time) {
		if until.IsZero() || t.Before(until) {
			until = t
		}
	}
	for _, e := range entries {
		sooner(e.Next(now))
		last := e.Last(now)
		if e.lasts > 0 {
			if !now.Before(last.Add(e.lasts)) {
				continue
			}
			sooner(last.Add(e.lasts))
		}
		if !last.Before(since) {
			n, since = e.provisioned, last
		}
	}
	return n, until
}

// entries reads a schedule. It has been validated: an entry that cannot be read
// (a time zone that was abolished since) never falls due.
func (s *Scaler) entries(schedule []gust.Scheduled) (list []entry) {
	for _, e := range schedule {
		zone, known := s.zones[e.Timezone]
		if !known {
			var err error
			if zone, err = cron.Zone(e.Timezone); err != nil {
				continue
			}
			s.zones[e.Timezone] = zone
		}
		if c, err := cron.Parse(e.Cron, zone); err == nil {
			list = append(list, entry{c, e.For, e.Provisioned})
		}
	}
	return list
}

// provision sets how many environments of fn are provisioned now.
func (s *Scaler) provision(now time.Time, fn *function) {
	fn.provisioned, fn.changes = 0, time.Time{}
	if fn.decl != nil {
		fn.provisioned, fn.changes = figure(fn.decl.Concurrency.Provisioned, fn.schedule, now)
	}
	s.alarm(fn)
}

// alarms is a heap of the functions for which something is due by time, the
// soonest first.
type alarms []*function

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].due.Before(a[j].due) }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].alarm, a[j].alarm = i+1, j+1
}
func (a *alarms) Push(x any) {
	fn := x.(*function)
	*a = append(*a, fn)
	fn.alarm = len(*a)
}
func (a *alarms) Pop() any {
	last := len(*a) - 1
	fn := (*a)[last]
	(*a)[last] = nil
	*a, fn.alarm = (*a)[:last], 0
	return fn
}

// alarm puts fn where it belongs among the alarms, after fn.changes or
// fn.ahead was set.
func (s *Scaler) alarm(fn *function) {
	fn.due = fn.changes
	if fn.due.IsZero() || !fn.ahead.IsZero() && fn.ahead.Before(fn.due) {
		fn.due = fn.ahead
	}
	switch {
	case fn.due.IsZero() && fn.alarm > 0:
		heap.Remove(&s.alarms, fn.alarm-1)
	case fn.due.IsZero():
	case fn.alarm > 0:
		heap.Fix(&s.alarms, fn.alarm-1)
	default:
		heap.Push(&s.alarms, fn)
	}
}

// ring does what is due.
func (s *Scaler) ring(now time.Time) {
	for len(s.alarms) > 0 && !now.Before(s.alarms[0].due) {
		fn := s.alarms[0]
		if !fn.changes.IsZero() && !now.Before(fn.changes) {
			s.provision(now, fn)
			s.want(fn)
			s.sweepBy(now) // there may be too many
		}
		if !fn.ahead.IsZero() && !now.Before(fn.ahead) {
			s.foresee(now, fn)
		}
	}
}
