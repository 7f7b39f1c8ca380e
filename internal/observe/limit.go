package observe

import (
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// Limit bounds how much is logged.
type Limit struct {
	// Bytes and Lines are what may be logged in a second, over time.
	Bytes, Lines int64
	// Burst is how many seconds' worth may come at once.
	Burst time.Duration
}

// The limits that hold unless Options name others.
var (
	// DefaultEnvironmentLimit is for one environment: 1 MB/s after 10 MB.
	DefaultEnvironmentLimit = Limit{Bytes: 1 * gust.MB, Lines: 10_000, Burst: 10 * time.Second}
	// DefaultFunctionLimit is for all environments of a function.
	DefaultFunctionLimit = Limit{Bytes: 4 * gust.MB, Lines: 40_000, Burst: 10 * time.Second}
	// DefaultNodeLimit is for all functions together.
	DefaultNodeLimit = Limit{Bytes: 16 * gust.MB, Lines: 160_000, Burst: 10 * time.Second}
)

func (l Limit) or(def Limit) Limit {
	if l == (Limit{}) {
		return def
	}
	return Limit{Bytes: max(l.Bytes, 1), Lines: max(l.Lines, 1), Burst: max(l.Burst, 0)}
}

// cost is how long the limit takes to give way to a line of n bytes: as bytes or
// as a line, whichever is longer. So one figure keeps both rates.
func (l *Limit) cost(n int) time.Duration {
	return max(time.Duration(int64(n)*int64(time.Second)/l.Bytes), time.Second/time.Duration(l.Lines))
}

// bucket enforces a Limit without a lock: next is the time when all that was
// taken will have been given way to (the generic cell rate algorithm), in
// nanoseconds of whatever clock take is given.
type bucket struct{ next atomic.Int64 }

// take lets a line of n bytes pass, or not. It does only if room would be left
// over, of the burst.
func (b *bucket) take(l *Limit, n int, now int64, room time.Duration) bool {
	// A line that is over the burst by itself passes when the bucket is full.
	cost := min(l.cost(n), l.Burst)
	for {
		next := b.next.Load()
		// A clock that jumped back must not shut the bucket.
		start := min(max(next, now), now+int64(l.Burst))
		if start+int64(cost)+int64(min(room, l.Burst-cost)) > now+int64(l.Burst) {
			return false
		}
		if b.next.CompareAndSwap(next, start+int64(cost)) {
			return true
		}
	}
}

// give takes back a take.
func (b *bucket) give(l *Limit, n int) { b.next.Add(-int64(min(l.cost(n), l.Burst))) }
