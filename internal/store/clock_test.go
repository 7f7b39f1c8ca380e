package store

import (
	"testing"
	"time"
)

// hands is a wall clock and a steady clock that a test moves.
type hands struct {
	at     time.Time
	steady time.Duration
}

func (h *hands) pass(d time.Duration) { h.at, h.steady = h.at.Add(d), h.steady+d }
func (h *hands) clock() *clock {
	return newClock(func() time.Time { return h.at }, func() time.Duration { return h.steady })
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestClockRule(t *testing.T) {
	type move struct {
		pass, jump time.Duration
		want       time.Duration // believed, since noon
	}
	for name, moves := range map[string][]move{
		"steady":          {{time.Hour, 0, time.Hour}, {time.Second, 0, time.Hour + time.Second}},
		"small step":      {{time.Minute, time.Second, time.Minute + time.Second}, {time.Minute, -time.Second, 2 * time.Minute}},
		"forwards":        {{time.Second, time.Hour, time.Second}, {30 * time.Second, 0, 31 * time.Second}, {29 * time.Second, 0, time.Minute}, {time.Second, 0, time.Hour + 61*time.Second}},
		"backwards":       {{time.Second, -time.Hour, time.Second}, {59 * time.Second, 0, time.Minute}, {time.Second, 0, -time.Hour + 61*time.Second}},
		"there and back":  {{time.Second, time.Hour, time.Second}, {40 * time.Second, -time.Hour, 41 * time.Second}, {time.Minute, 0, 101 * time.Second}},
		"again and again": {{time.Second, time.Hour, time.Second}, {50 * time.Second, time.Hour, 51 * time.Second}, {50 * time.Second, time.Hour, 101 * time.Second}, {59 * time.Second, 0, 160 * time.Second}, {time.Second, 0, 3*time.Hour + 161*time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{at: noon}
			c := h.clock()
			for i, m := range moves {
				h.pass(m.pass)
				h.at = h.at.Add(m.jump)
				if got := c.now().Sub(noon); got != m.want {
					t.Errorf("move %d: believed %v, want %v", i, got, m.want)
				}
			}
		})
	}
}

func TestClockOverARestart(t *testing.T) {
	for name, tc := range map[string]struct {
		last, wall  time.Duration // since noon
		first, then time.Duration // believed at once and after the trust has passed
	}{
		"a moment later":       {0, time.Second, time.Second, time.Second + clockTrust},
		"a little before":      {time.Second, 0, 0, clockTrust},
		"after the night":      {0, 12 * time.Hour, 0, 12*time.Hour + clockTrust},
		"the clock was reset":  {0, -1e6 * time.Hour, 0, -1e6*time.Hour + clockTrust},
		"within the hour":      {0, 59 * time.Minute, 59 * time.Minute, 59*time.Minute + clockTrust},
		"years in the future?": {0, 5e4 * time.Hour, 0, 5e4*time.Hour + clockTrust},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{at: noon.Add(tc.wall)}
			c := h.clock()
			c.resume(noon.Add(tc.last))
			if got := c.now().Sub(noon); got != tc.first {
				t.Errorf("at once: %v, want %v", got, tc.first)
			}
			h.pass(clockTrust)
			if got := c.now().Sub(noon); got != tc.then {
				t.Errorf("then: %v, want %v", got, tc.then)
			}
			if c.unsettled() != 0 {
				t.Error("it is never believed")
			}
		})
	}
}

func TestTheRealClockDoesNotJump(t *testing.T) {
	c := newClock(nil, nil)
	if d := time.Since(c.now()).Abs(); d > clockTolerance || c.unsettled() != 0 {
		t.Errorf("it is %v away", d)
	}
}
