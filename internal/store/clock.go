package store

import (
	"sync"
	"time"
)

// The clock rule. What was accepted with a time must neither expire early nor
// all at once because somebody, or something, moved the wall clock.
//
//   - The believed time is a wall time plus what a steady clock has counted
//     since it was read.
//   - While the wall clock stays within clockTolerance of the believed time
//     the believed time follows it.
//   - When it is further away it has jumped. The believed time then goes on at
//     the steady clock's pace, and the wall clock is believed again when it has
//     kept its new distance for clockTrust.
//   - The believed time is kept in the store. A start whose wall clock is
//     before it, or more than clockGap past it, counts as a jump too.
//
// A suspended machine is no jump: the steady clock counts the suspension
// (CLOCK_BOOTTIME).
const (
	clockTolerance = 2 * time.Second
	clockTrust     = time.Minute
	clockGap       = time.Hour
)

type clock struct {
	wall   func() time.Time
	steady func() time.Duration

	mu     sync.Mutex
	base   time.Time     // believed time ...
	at     time.Duration // ... at this steady time
	jumped bool
	since  time.Duration // when the wall clock took its new distance
	away   time.Duration // wall - believed, when it did
}

// newClock starts to believe wall. steady nil takes wall's own monotonic
// reading and the kernel's boot time, whichever has advanced further.
func newClock(wall func() time.Time, steady func() time.Duration) *clock {
	if wall == nil {
		wall = time.Now
	}
	if steady == nil {
		start, boot := wall(), bootTime()
		own := boot != 0 && start != start.Round(0) // a real clock, not a test's
		steady = func() time.Duration {
			d := wall().Sub(start)
			if own {
				d = max(d, bootTime()-boot)
			}
			return d
		}
	}
	c := &clock{wall: wall, steady: steady}
	c.base, c.at = strip(wall()), steady()
	return c
}

// resume makes the clock go on from the time that an earlier run of the node
// believed last.
func (c *clock) resume(last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gap := c.base.Sub(last); gap < -clockTolerance || gap > clockGap {
		c.jumped, c.since, c.away = true, c.at, gap
		c.base = strip(last)
	}
}

// now is the believed time. Without a jump that was believed again it never
// goes back by more than clockTolerance.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := strip(c.wall()), c.steady()
	believed := c.base.Add(steady - c.at)
	away := wall.Sub(believed)
	switch {
	case away.Abs() <= clockTolerance:
		c.jumped = false
		c.base, c.at = wall, steady
		return wall
	case !c.jumped || (away-c.away).Abs() > clockTolerance:
		c.jumped, c.since, c.away = true, steady, away
	case steady-c.since >= clockTrust:
		c.jumped = false
		c.base, c.at = wall, steady
		return wall
	}
	return believed
}

// unsettled tells how long it takes at least until the wall clock may be
// believed again; 0 means that it is believed now.
func (c *clock) unsettled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.jumped {
		return 0
	}
	return max(clockTrust-(c.steady()-c.since), time.Millisecond)
}

// strip drops the monotonic reading, so that Sub and Add use the wall clock.
func strip(t time.Time) time.Time { return t.Round(0) }
