package observe

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// However lines come, no more passes than the burst and the rates allow; and
// what comes slower than the rates all passes.
func TestLimitHoldsOverTime(t *testing.T) {
	limit := Limit{Bytes: 1000, Lines: 50, Burst: 2 * time.Second}
	random := rand.New(rand.NewPCG(1, 2))
	var b bucket
	var now time.Duration
	bytes, lines := int64(0), int64(0)
	for range 100_000 {
		now += time.Duration(random.IntN(int(5 * time.Millisecond)))
		if n := random.IntN(60); b.take(&limit, n, int64(now), 0) {
			bytes, lines = bytes+int64(n), lines+1
		}
		seconds := (now + limit.Burst).Seconds()
		if float64(bytes) > seconds*float64(limit.Bytes)+60 || float64(lines) > seconds*float64(limit.Lines)+1 {
			t.Fatalf("after %v %d bytes in %d lines have passed", now, bytes, lines)
		}
	}
	if least := int64(now.Seconds()) * 25; lines < least { // a line of 30 bytes costs 30 ms, some 20
		t.Errorf("only %d lines have passed in %v", lines, now)
	}
	now += limit.Burst
	for range 1000 {
		now += 40 * time.Millisecond
		if !b.take(&limit, 40, int64(now), 0) {
			t.Fatalf("at %v a line that is in time was dropped", now)
		}
	}
}

func TestBucketCountsBackAndKeepsRoom(t *testing.T) {
	limit := Limit{Bytes: 1 << 30, Lines: 1, Burst: 3 * time.Second}
	var b bucket
	take := func(now, room time.Duration) bool { return b.take(&limit, 1, int64(now), room) }
	for i := range 3 {
		if !take(0, 0) {
			t.Fatalf("line %d of the burst was dropped", i)
		}
	}
	if take(0, 0) {
		t.Error("a line over the burst passed")
	}
	b.give(&limit, 1)
	if !take(0, 0) {
		t.Error("a line that was given back cannot be taken")
	}
	if take(time.Second, time.Second) {
		t.Error("a line passed without the room that was asked for")
	}
	if !take(2*time.Second, time.Second) {
		t.Error("a line with enough room was dropped")
	}
}

// A line that is larger than the whole burst can pass, once all of it is free.
func TestALineLargerThanTheBurst(t *testing.T) {
	limit := Limit{Bytes: 10, Lines: 10, Burst: time.Second}
	var b bucket
	if !b.take(&limit, gust.MaxLogLine, 0, time.Second) {
		t.Error("it was dropped from a free bucket")
	}
	if b.take(&limit, 1, int64(time.Second)/20, 0) {
		t.Error("it left room")
	}
}

func TestBucketIsSharedWithoutLocks(t *testing.T) {
	limit := Limit{Bytes: 1 << 30, Lines: 1, Burst: 100 * time.Second}
	var b bucket
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if b.take(&limit, 1, 0, 0) {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 100 {
		t.Errorf("%d lines passed; want the burst of 100", n)
	}
}
