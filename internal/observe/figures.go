package observe

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// The values of labels, in the order of the counters in figures. A value that
// is not among them counts as the last.
var (
	outcomes = [...]gust.Outcome{
		gust.OutcomeOK, gust.OutcomeError, gust.OutcomeTimeout, gust.OutcomeExit, gust.OutcomeCrash,
		gust.OutcomeMemory, gust.OutcomeInit, gust.OutcomeSize, gust.OutcomeProtocol, gust.OutcomeSandbox, "other",
	}
	throttles = [...]gust.ThrottleReason{
		gust.ThrottleFunction, gust.ThrottleNode, gust.ThrottleMemory, gust.ThrottleQueue, gust.ThrottleBackoff, "other",
	}
	causes = [...]gust.ColdCause{
		gust.ColdFirst, gust.ColdScaleOut, gust.ColdIdle, gust.ColdDeploy, gust.ColdRevoked, gust.ColdCrash, gust.ColdProvisioned, gust.ColdPrewarmed, gust.ColdWarmUp, "other",
	}
	poolings = [...]Pooling{PoolHit, PoolMiss, PoolNone}
)

// Pooling says whether an environment's interpreter had been booted ahead.
type Pooling string

const (
	PoolHit  Pooling = "hit"
	PoolMiss Pooling = "miss" // none waited
	PoolNone Pooling = "none" // the function cannot be bound late
)

// bounds of the histograms' buckets: from a warm start of a fast function to the
// longest timeout, about three to a power of ten.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second,
	300 * time.Second, 900 * time.Second,
}

// figures are what is counted of one function, over all its versions. They are
// made at its first use, and are all atomics: environments share no lock.
type figures struct {
	app, function string
	bucket        bucket // what its environments may log together

	outcomes      [len(outcomes)]atomic.Int64
	throttles     [len(throttles)]atomic.Int64
	causes        [len(causes)][len(poolings)]atomic.Int64
	startFailures [len(outcomes)]atomic.Int64
	running       atomic.Int64

	prewarmedUsed, prewarmedUnused atomic.Int64

	duration, init, queue histogram

	billed           atomic.Int64 // milliseconds
	megabyteMillis   atomic.Int64 // billed milliseconds times megabytes of memory size
	bytesOut         atomic.Int64
	logLines         atomic.Int64
	logBytes         atomic.Int64
	droppedLines     atomic.Int64
	droppedBytes     atomic.Int64
	errorTypes       sync.Map // of string to *atomic.Int64
	errorTypesKnown  atomic.Int64
	errorTypesMaking sync.Mutex
}

func index[T comparable](values []T, v T) int {
	if i := slices.Index(values, v); i >= 0 {
		return i
	}
	return len(values) - 1
}

// ended counts an invocation.
func (f *figures) ended(r *gust.Report) {
	f.outcomes[index(outcomes[:], r.Outcome)].Add(1)
	f.duration.observe(r.Duration)
	f.queue.observe(r.Queue)
	millis := int64((r.Billed + time.Millisecond - 1) / time.Millisecond)
	f.billed.Add(millis)
	f.megabyteMillis.Add(millis * (r.MemorySize / gust.MB))
	f.bytesOut.Add(r.BytesOut)
	if r.Outcome != gust.OutcomeOK {
		f.countError(r)
	}
}

const (
	// maxErrorTypes bounds the values of the label type for a function: they
	// are its own words. What comes after counts as otherErrors.
	maxErrorTypes   = 20
	maxErrorTypeLen = 64
	otherErrors     = "other"
)

func (f *figures) countError(r *gust.Report) {
	name := errorType(r)
	if n, ok := f.errorTypes.Load(name); ok {
		n.(*atomic.Int64).Add(1)
		return
	}
	f.errorTypesMaking.Lock()
	defer f.errorTypesMaking.Unlock()
	if f.errorTypesKnown.Load() >= maxErrorTypes {
		name = otherErrors
	}
	n, loaded := f.errorTypes.LoadOrStore(name, new(atomic.Int64))
	if !loaded && name != otherErrors {
		f.errorTypesKnown.Add(1)
	}
	n.(*atomic.Int64).Add(1)
}

// errorType is the error's type as a label's value: short, and of plain
// characters. An error without a type is named by its outcome.
func errorType(r *gust.Report) string {
	name := r.ErrorType
	if name == "" {
		name = string(r.Outcome)
	}
	name = name[:min(len(name), maxErrorTypeLen)]
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._:-$/*", c)
	}
	return strings.Map(func(c rune) rune {
		if plain(c) {
			return c
		}
		return '_'
	}, name)
}

// histogram counts durations by bucket. Its sum is in whole nanoseconds, so it
// is exact for 292 years of them.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Int64
	sum     atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	i, _ := slices.BinarySearch(bounds[:], d)
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// snapshot is the histogram as Prometheus wants it: cumulative, in seconds.
func (h *histogram) snapshot() (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, len(bounds))
	for i := range h.buckets {
		count += uint64(h.buckets[i].Load())
		if i < len(bounds) {
			cumulative[bounds[i].Seconds()] = count
		}
	}
	return count, time.Duration(h.sum.Load()).Seconds(), cumulative
}
