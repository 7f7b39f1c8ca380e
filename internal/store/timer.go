package store

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	gust "github.com/gust-dev/gust"
)

// Timer is a point in time at which a partition has something to do.
type Timer struct {
	// ID is unique in its partition, 1 to MaxKey bytes.
	ID string
	// At is when it is due. Nanoseconds are kept, the location is not.
	At time.Time
	// Kind is who handles it, 1 to MaxKind bytes without NUL.
	Kind string
	// Payload is up to MaxValue bytes.
	Payload []byte
}

func checkTimer(t Timer) error {
	if err := checkTimerID(t.ID); err != nil {
		return err
	}
	if err := checkName("timer kind", t.Kind, MaxKind); err != nil {
		return err
	}
	if len(t.Payload) > MaxValue {
		return fmt.Errorf("%w: the payload of timer %.60q has %d bytes, at most %d are allowed", gust.ErrTooLarge, t.ID, len(t.Payload), MaxValue)
	}
	return nil
}

func checkTimerID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: a timer has no ID", gust.ErrInvalid)
	}
	if len(id) > MaxKey {
		return fmt.Errorf("%w: the ID of timer %.60q... has %d bytes, at most %d are allowed", gust.ErrTooLarge, id, len(id), MaxKey)
	}
	return nil
}

const (
	// timersAtOnce bounds the fire calls of one RunTimers that run at a time.
	timersAtOnce = 64
	// A timer whose fire failed is tried again after this, doubling.
	timerRetry    = 100 * time.Millisecond
	timerRetryMax = time.Minute
	// clockLook bounds a sleep, so that a believed jump is noticed.
	clockLook = time.Minute
)

// due is a timer that a transition has set.
type due struct {
	kind string
	at   int64
}

// timers wakes the runners when an earlier timer is set.
type timers struct {
	mu      sync.RWMutex
	runners map[string]*runner
}

func (t *timers) set(set []due) {
	if len(set) == 0 {
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, d := range set {
		if r := t.runners[d.kind]; r != nil {
			r.noteSet(d.at)
		}
	}
}

func (t *timers) add(kind string, r *runner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runners[kind] != nil {
		return fmt.Errorf("%w: timers of kind %q are already being run", gust.ErrConflict, kind)
	}
	if t.runners == nil {
		t.runners = map[string]*runner{}
	}
	t.runners[kind] = r
	return nil
}

func (t *timers) remove(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.runners, kind)
}

// entry is one timer as the due index has it.
type entry struct {
	at        int64
	partition Partition
	id        string
}

// runner is the state of one RunTimers, owned by its goroutine.
type runner struct {
	store *Store
	kind  string
	woken chan struct{}
	done  chan result

	// floor is before every timer of the kind, so that a turn does not wade
	// through those that were deleted.
	floor int64
	mu    sync.Mutex
	set   int64 // the earliest timer that was set since the last turn began
	next  int64 // what the last turn found due next; none while one runs

	// running and waiting are the timers that are not to be fired: their fire
	// runs, or it failed a moment ago.
	running map[entry]bool
	waiting map[entry]*retry
	retries retryHeap
}

type result struct {
	entry entry
	err   error
}

type retry struct {
	entry entry
	at    time.Duration // steady
	delay time.Duration
}

// noteSet has the next turn look at a timer that was set, now if it is the first
// to be due.
func (r *runner) noteSet(at int64) {
	r.mu.Lock()
	r.set = min(r.set, at)
	wake := at < r.next
	r.mu.Unlock()
	if wake {
		select {
		case r.woken <- struct{}{}:
		default:
		}
	}
}

// begin makes sure that a timer which the turn does not see wakes the next one.
func (r *runner) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = min(r.floor, r.set)
	r.set, r.next = math.MaxInt64, math.MaxInt64
}

// end notes the first timer there is, and the first that is not due yet.
func (r *runner) end(first, next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor, r.next = first, next
}

// RunTimers calls fire for every timer of the kind when it is due, in order of
// their times, up to 64 at once, until ctx ends or the store closes; it returns
// the cause. One kind is run by one caller at a time.
//
// fire deletes or re-sets its timer in the Update that carries it out, so it
// may be called again for the same timer after a crash. When it fails, or leaves
// the timer as it was, it is called again after a delay that doubles from
// 100 ms to 1 min; other timers do not wait for it. A timer is never fired
// before Now has reached it, see the clock rule.
func (s *Store) RunTimers(ctx context.Context, kind string, fire func(context.Context, Partition, Timer) error) error {
	if err := checkName("timer kind", kind, MaxKind); err != nil {
		return err
	}
	r := &runner{
		store: s, kind: kind,
		woken:   make(chan struct{}, 1),
		done:    make(chan result, timersAtOnce),
		running: map[entry]bool{},
		waiting: map[entry]*retry{},
		floor:   math.MinInt64,
		set:     math.MaxInt64,
	}
	if err := s.timers.add(kind, r); err != nil {
		return err
	}
	defer s.timers.remove(kind)
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		for range len(r.running) {
			<-r.done
		}
	}()
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		sleep, err := r.turn(ctx, fire)
		if err != nil {
			return err
		}
		alarm.Reset(sleep)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.closing:
			return fmt.Errorf("timers of kind %q: %w", kind, gust.ErrClosing)
		case <-r.woken:
		case <-alarm.C:
		case res := <-r.done:
			r.finish(res)
			for more := true; more; {
				select {
				case res := <-r.done:
					r.finish(res)
				default:
					more = false
				}
			}
		}
	}
}

// turn starts what is due and returns how long nothing else will be.
func (r *runner) turn(ctx context.Context, fire func(context.Context, Partition, Timer) error) (time.Duration, error) {
	s := r.store
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	now, steady := s.clock.now().UnixNano(), s.clock.steady()
	sleep := clockLook
	if d := s.clock.unsettled(); d > 0 {
		sleep = min(sleep, d)
	}
	// A retry that is due stays in waiting, for its delay, unless its timer is
	// not there any more.
	defer r.forget(r.ready(steady))
	if len(r.retries) > 0 {
		sleep = min(sleep, r.retries[0].at-steady)
	}
	if len(r.running) >= timersAtOnce {
		return sleep, nil
	}
	r.begin()
	kind := appendDuePrefix(nil, r.kind)
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: binary.BigEndian.AppendUint64(bytes.Clone(kind), sortable(r.floor)),
		UpperBound: after(kind),
	})
	if err != nil {
		return 0, explain(err)
	}
	defer it.Close()
	first, next := int64(math.MaxInt64), int64(math.MaxInt64)
	for ok := it.First(); ok; ok = it.Next() {
		_, at, p, id, err := splitDue(it.Key())
		if err != nil {
			return 0, fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
		}
		first = min(first, at)
		if at > now {
			next = at
			if d := time.Duration(at - now); d > 0 { // it may overflow
				sleep = min(sleep, d)
			}
			break
		}
		e := entry{at, p, id}
		if r.running[e] {
			continue
		}
		if w := r.waiting[e]; w != nil && w.at > steady {
			continue
		}
		r.running[e] = true
		go func() { r.done <- result{e, r.fire(ctx, e, fire)} }()
		if len(r.running) >= timersAtOnce {
			break
		}
	}
	if err := it.Error(); err != nil {
		return 0, explain(err)
	}
	r.end(first, next)
	return max(sleep, time.Millisecond), nil
}

// ready takes the retries that are due from the heap.
func (r *runner) ready(steady time.Duration) (es []entry) {
	for len(r.retries) > 0 && r.retries[0].at <= steady {
		es = append(es, heap.Pop(&r.retries).(*retry).entry)
	}
	return es
}

func (r *runner) forget(es []entry) {
	for _, e := range es {
		if !r.running[e] {
			delete(r.waiting, e)
		}
	}
}

var errLeft = errors.New("it was fired, but neither deleted nor set anew")

// fire runs one timer that the due index names.
func (r *runner) fire(ctx context.Context, e entry, fire func(context.Context, Partition, Timer) error) error {
	t, err := r.load(e)
	if err != nil || t == nil {
		return err
	}
	if err := fire(ctx, e.partition, *t); err != nil {
		return err
	}
	if t, err = r.load(e); err == nil && t != nil {
		err = errLeft
	}
	return err
}

// load reads the timer of an entry; nil means that it has been moved or deleted
// since.
func (r *runner) load(e entry) (t *Timer, err error) {
	err = r.store.View(e.partition, func(v *Snapshot) error {
		found, err := v.Timer(e.id)
		if errors.Is(err, gust.ErrNotFound) {
			return nil
		}
		if err == nil && found.At.UnixNano() == e.at && found.Kind == r.kind {
			t = &found
		}
		return err
	})
	return t, err
}

func (r *runner) finish(res result) {
	delete(r.running, res.entry)
	w := r.waiting[res.entry]
	if res.err == nil || errors.Is(res.err, gust.ErrClosing) || errors.Is(res.err, context.Canceled) {
		delete(r.waiting, res.entry)
		return
	}
	if w == nil {
		w = &retry{entry: res.entry}
		r.waiting[res.entry] = w
	}
	w.delay = min(max(2*w.delay, timerRetry), timerRetryMax)
	w.at = r.store.clock.steady() + w.delay
	heap.Push(&r.retries, &retry{entry: w.entry, at: w.at})
	r.store.log.Warn("a timer failed and is tried again", "kind", r.kind, "partition", res.entry.partition,
		"timer", res.entry.id, "after", w.delay, "err", res.err)
}

// retryHeap has the next retry first.
type retryHeap []*retry

func (h retryHeap) Len() int           { return len(h) }
func (h retryHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h retryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *retryHeap) Push(x any)        { *h = append(*h, x.(*retry)) }
func (h *retryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
