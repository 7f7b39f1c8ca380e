package scale

import (
	"fmt"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// slots is the concurrency that n invocations of f count.
func slots(f *gust.Function, n int) int {
	per := f.PerEnvironment()
	return (n + per - 1) / per
}

// overflow is the part of fn's slots that what it set aside does not cover.
func overflow(fn *function) int {
	if fn.decl == nil {
		return fn.slots
	}
	return max(0, fn.slots-fn.decl.SetAside())
}

// overFunction and overNode say whether one more invocation of fn would be over
// a limit of concurrency: its own, or the node's.
func (s *Scaler) overFunction(fn *function) bool {
	r := fn.decl.Concurrency.Reserved
	return r != nil && slots(fn.decl, fn.running+1) > *r
}

func (s *Scaler) overNode(fn *function) bool {
	more := max(0, slots(fn.decl, fn.running+1)-fn.decl.SetAside()) - overflow(fn)
	return more > 0 && s.shared+more > s.limits.Concurrency-s.setAside
}

// admit counts one more invocation of fn, or says which limit refuses it.
func (s *Scaler) admit(now time.Time, fn *function) error {
	f := fn.decl
	if s.overFunction(fn) {
		r := *f.Concurrency.Reserved
		if r == 0 {
			return turnedOff(f)
		}
		return throttled(f, gust.ThrottleFunction, "%d of its reserved concurrency of %d are in use", fn.slots, r)
	}
	if s.overNode(fn) {
		return throttled(f, gust.ThrottleNode, "%d of the node's concurrency of %d are in use, %d of it are set aside for functions that reserve them",
			s.shared, s.limits.Concurrency, s.setAside)
	}
	if fn.top() == nil {
		if err := s.mayStart(now, fn); err != nil && fn.starting == 0 {
			return err
		}
	}
	if fn.running == 0 {
		s.used(now, fn)
	}
	s.count(fn, +1)
	return nil
}

// mayStart says whether an environment of fn could be started, were it wanted:
// the reason why not, else nil.
func (s *Scaler) mayStart(now time.Time, fn *function) error {
	if now.Before(fn.until) {
		return &BackoffError{Function: fn.decl.Name, Until: fn.until, Failures: fn.failures, Err: fn.failure}
	}
	need := s.expected(fn)
	over := s.memory + need - s.limits.Memory
	if over <= 0 {
		return nil
	}
	oldest, freed := s.unused(over)
	if freed < over { // then nobody's are given up in vain
		return throttled(fn.decl, gust.ThrottleMemory, "%d MB of the node's memory budget of %d MB are in use, and an environment takes %d MB",
			s.memory/gust.MB, s.limits.Memory/gust.MB, need/gust.MB)
	}
	for _, e := range oldest {
		s.reclaim(e)
	}
	return nil
}

// expected is what a new environment of fn will use: what was measured of its
// like, else a guess; never more than it may, and never more than the budget, so
// that one that is larger runs when it is alone.
func (s *Scaler) expected(fn *function) int64 {
	expect := int64(defaultFootprint)
	if fn.footprint > 0 {
		expect = fn.footprint
	}
	return min(expect, fn.decl.Memory, s.limits.Memory)
}

// overLimit puts a ticket that was not admitted into its function's queue, if
// it has one with room, or refuses it.
func (s *Scaler) overLimit(now time.Time, fn *function, t *Ticket, err error) {
	q := fn.decl.Concurrency.Queue
	if q.Size == 0 || t.NoQueue || isBackoff(err) {
		s.refuse(t, err)
		return
	}
	if fn.queue.len() >= q.Size {
		s.refuse(t, throttled(fn.decl, gust.ThrottleQueue, "its queue of %d is full (%v)", q.Size, err))
		return
	}
	t.giveUp = now.Add(q.Wait)
	fn.queue.push(t)
	if !fn.inQueue {
		fn.inQueue = true
		s.queued = append(s.queued, fn)
	}
}

// drainQueues admits queued tickets while there is room. Whose turn it was goes
// to the end, so that what becomes free one by one goes round.
func (s *Scaler) drainQueues(now time.Time) {
	for i := 0; i < len(s.queued); {
		fn := s.queued[i]
		admitted := fn.queue.len() > 0 && fn.decl != nil && !s.overFunction(fn) && !s.overNode(fn) && s.admit(now, fn) == nil
		if admitted {
			t := fn.queue.pop()
			t.admitted = true
			s.place(now, fn, t)
		}
		switch {
		case fn.queue.len() == 0:
			s.queued = slices.Delete(s.queued, i, i+1)
			fn.inQueue = false
		case admitted:
			s.queued = append(slices.Delete(s.queued, i, i+1), fn)
		default:
			i++
		}
	}
}

// count adds n admitted invocations to fn.
func (s *Scaler) count(fn *function, n int) {
	before := overflow(fn)
	fn.running += n
	if fn.decl != nil {
		fn.slots = slots(fn.decl, fn.running)
	}
	if fn.running == 0 {
		fn.slots = 0
	}
	s.shared += overflow(fn) - before
}

func (s *Scaler) unadmit(fn *function) { s.count(fn, -1) }

// release takes fn out of the shared count before its declaration changes, and
// admitAgain puts it back after.
func (s *Scaler) release(fn *function) { s.shared -= overflow(fn) }

func (s *Scaler) admitAgain(fn *function) {
	if fn.decl != nil {
		fn.slots = slots(fn.decl, fn.running)
	}
	s.shared += overflow(fn)
}

func (s *Scaler) refuse(t *Ticket, err error) {
	t.done = true
	s.do(Action{Op: Refuse, Ticket: t, Err: err})
}

func throttled(f *gust.Function, reason gust.ThrottleReason, format string, args ...any) error {
	return &gust.ThrottledError{Function: f.Name, Reason: reason, Detail: fmt.Sprintf(format, args...), RetryAfter: time.Second}
}

func turnedOff(f *gust.Function) error {
	return throttled(f, gust.ThrottleFunction, "its reserved concurrency is 0, which turns it off")
}

// BackoffError refuses an invocation of a function whose environments do not
// start. Err is why the last one did not.
type BackoffError struct {
	Function string
	Until    time.Time
	Failures int
	Err      error
}

func (e *BackoffError) Error() string {
	return fmt.Sprintf("function %s failed to start %d times in a row and is not tried again before %s: %v",
		e.Function, e.Failures, e.Until.UTC().Format(time.RFC3339Nano), e.Err)
}

func (e *BackoffError) Unwrap() error { return e.Err }

func isBackoff(err error) bool { _, ok := err.(*BackoffError); return ok }

// backoff is the pause after the n-th failed start in a row: none after the
// first, then 200 ms doubling up to 30 s.
func backoff(n int) time.Duration {
	if n < 2 {
		return 0
	}
	return min(200*time.Millisecond<<min(n-2, 20), 30*time.Second)
}
