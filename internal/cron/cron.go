// Package cron reads cron expressions and tells when they fall due, in a time
// zone, forwards and backwards. It is crontab(5)'s five fields: minute, hour,
// day of the month, month, day of the week.
//
// A time that a change of the clocks skips falls due at the change, and one that
// it repeats the first time: what is to be so from 02:30 on is so from the first
// moment at which the clock has come to 02:30.
package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a zone that was accepted on one machine is known on every one
)

// Schedule is an expression in its zone.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // bits
	// either says that day and weekday are both restricted: then one of them
	// is enough, as crontab(5) has it.
	either bool
	zone   *time.Location
}

// MaxLength bounds an expression, in bytes.
const MaxLength = 256

var fields = [...]struct {
	name     string
	min, max int
	names    string // three letters each, from min on
}{
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of the month", 1, 31, ""},
	{"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
	{"day of the week", 0, 7, "SUNMONTUEWEDTHUFRISAT"},
}

var errForm = errors.New("want five fields (minute, hour, day of the month, month, day of the week) such as 0 8 * * MON-FRI")

// Parse reads an expression such as "0 8 * * MON-FRI", of lists, ranges, steps
// and names. The error is one sentence that says what would be right.
func Parse(expression string, zone *time.Location) (*Schedule, error) {
	words := strings.Fields(expression)
	switch {
	case len(expression) > MaxLength:
		return nil, fmt.Errorf("%d bytes are above the maximum of %d", len(expression), MaxLength)
	case strings.ContainsAny(expression, "()@"):
		return nil, fmt.Errorf("%q is another form: %w", expression, errForm)
	case len(words) != len(fields):
		return nil, fmt.Errorf("%q has %d fields: %w", expression, len(words), errForm)
	}
	var sets [len(fields)]uint64
	var all [len(fields)]bool
	for i, word := range words {
		var err error
		if sets[i], err = parseField(i, word); err != nil {
			return nil, err
		}
		all[i] = word[0] == '*' || word[0] == '?'
	}
	s := &Schedule{minute: sets[0], hour: sets[1], day: sets[2], month: sets[3], weekday: sets[4], zone: zone}
	if s.weekday&(1<<7) != 0 { // Sunday is 0 and 7
		s.weekday = s.weekday&^(1<<7) | 1
	}
	s.either = !all[2] && !all[4]
	if first := bits.TrailingZeros64(s.day); !s.either && first > s.longest() {
		return nil, fmt.Errorf("%q falls on no day: none of its months has a day %d", expression, first)
	}
	return s, nil
}

// longest is the last day of the longest of its months.
func (s *Schedule) longest() int {
	switch {
	case s.month&0b1_0101_1010_1010 != 0:
		return 31
	case s.month&0b0_1010_0101_0000 != 0:
		return 30
	}
	return 29
}

// parseField reads a list of ranges.
func parseField(field int, word string) (set uint64, err error) {
	f := fields[field]
	wrong := func(what string) (uint64, error) {
		return 0, fmt.Errorf("the %s %q: %s", f.name, word, what)
	}
	for part := range strings.SplitSeq(word, ",") {
		span, step, stepped := strings.Cut(part, "/")
		from, to := f.min, f.max
		if span != "*" && (span != "?" || f.name[:3] != "day") {
			low, high, ranged := strings.Cut(span, "-")
			var okLow, okHigh bool
			from, okLow = number(field, low)
			switch to, okHigh = number(field, high); {
			case !okLow || ranged && !okHigh:
				want := fmt.Sprintf("want numbers from %d to %d", f.min, f.max)
				if f.names != "" {
					want += " or names such as " + f.names[3:6]
				}
				return wrong(want + ", as in 1,2 or 1-5 or */2")
			case !ranged && stepped:
				to = f.max
			case !ranged:
				to = from
			case to == 0 && from > 0 && f.names != "": // FRI-SUN
				to = 7
			}
			if from > to {
				return wrong("a range goes from the smaller to the larger; write two of them")
			}
		}
		by := 1
		if stepped {
			if by, err = strconv.Atoi(step); err != nil || by < 1 || by > f.max {
				return wrong(fmt.Sprintf("the step after / is a number from 1 to %d", f.max))
			}
		}
		for ; from <= to; from += by {
			set |= 1 << from
		}
	}
	return set, nil
}

func number(field int, s string) (int, bool) {
	f := fields[field]
	if len(s) == 3 && f.names != "" {
		for i := 0; i < len(f.names); i += 3 {
			if strings.EqualFold(s, f.names[i:i+3]) {
				return f.min + i/3, true
			}
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= f.min && n <= f.max && s[0] != '+' && s[0] != '-'
}

// Zone finds a time zone of the IANA database; "" is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New(`"Local" is another time zone on every machine: want one such as Europe/Berlin, or UTC`)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no time zone: want one such as Europe/Berlin, or UTC", name)
	}
	return zone, nil
}

// Next is the first time after t at which the schedule falls due.
func (s *Schedule) Next(t time.Time) time.Time {
	for c := s.civil(t); ; {
		c = s.following(c.Add(time.Minute))
		// In an hour that is repeated, what is next on the clock has been.
		if due := s.instant(c); due.After(t) {
			return due
		}
	}
}

// Last is the last time, not after t, at which the schedule fell due.
func (s *Schedule) Last(t time.Time) time.Time {
	// In an hour that is repeated, what is later on the clock has been.
	for c := s.civil(t).Add(3 * time.Hour); ; c = c.Add(-time.Minute) {
		c = s.preceding(c)
		if due := s.instant(c); !due.After(t) {
			return due
		}
	}
}

// civil is what the clock of the schedule's zone shows at t, to the minute, as a
// time in UTC, where every civil time is once.
func (s *Schedule) civil(t time.Time) time.Time {
	t = t.In(s.zone)
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC().Truncate(time.Minute)
}

// instant is the first moment at which the clock has come to c.
func (s *Schedule) instant(c time.Time) time.Time {
	t := time.Date(c.Year(), c.Month(), c.Day(), c.Hour(), c.Minute(), 0, 0, s.zone)
	begin, end := t.ZoneBounds()
	if shown := s.civil(t); shown.After(c) { // the change to t's offset skipped c
		return begin
	} else if shown.Before(c) { // the change after it did
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, before := begin.Add(-time.Second).Zone()
	if first := c.Add(-time.Duration(before) * time.Second); first.Before(begin) {
		return first.In(s.zone) // t is the repetition
	}
	return t
}

func (s *Schedule) fallsOn(c time.Time) bool {
	day, weekday := s.day>>c.Day()&1 == 1, s.weekday>>c.Weekday()&1 == 1
	if s.either {
		return day || weekday
	}
	return day && weekday
}

// following is the first civil time that matches, c or later.
func (s *Schedule) following(c time.Time) time.Time {
	for {
		y, m, d := c.Date()
		switch {
		case s.month>>m&1 == 0:
			c = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.fallsOn(c):
			c = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		case s.hour>>c.Hour()&1 == 0:
			c = c.Truncate(time.Hour).Add(time.Hour)
		case s.minute>>c.Minute()&1 == 0:
			c = c.Add(time.Minute)
		default:
			return c
		}
	}
}

// preceding is the last civil time that matches, c or earlier.
func (s *Schedule) preceding(c time.Time) time.Time {
	for {
		y, m, d := c.Date()
		switch {
		case s.month>>m&1 == 0:
			c = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Add(-time.Minute)
		case !s.fallsOn(c):
			c = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Add(-time.Minute)
		case s.hour>>c.Hour()&1 == 0:
			c = c.Truncate(time.Hour).Add(-time.Minute)
		case s.minute>>c.Minute()&1 == 0:
			c = c.Add(-time.Minute)
		default:
			return c
		}
	}
}
