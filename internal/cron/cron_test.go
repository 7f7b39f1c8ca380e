package cron

import (
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, expression, zone string) *Schedule {
	t.Helper()
	loc, err := Zone(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(expression, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestNextAndLast(t *testing.T) {
	for _, c := range []struct{ expression, zone, now, last, next string }{
		{"0 8 * * MON-FRI", "", "2026-11-27T08:00:00Z", "2026-11-27T08:00:00Z", "2026-11-30T08:00:00Z"},
		{"0 8 * * MON-FRI", "", "2026-11-27T07:59:59Z", "2026-11-26T08:00:00Z", "2026-11-27T08:00:00Z"},
		{"*/15 9-17 * * *", "", "2026-11-27T17:50:00Z", "2026-11-27T17:45:00Z", "2026-11-28T09:00:00Z"},
		{"5/20 0 1 jan,Jul ?", "", "2026-11-27T00:00:00Z", "2026-07-01T00:45:00Z", "2027-01-01T00:05:00Z"},
		{"0 0 29 2 *", "", "2026-11-27T00:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 2 *", "", "2097-01-01T00:00:00Z", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 13 * FRI", "", "2026-11-10T00:00:00Z", "2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z"}, // one of both
		{"0 0 15 * FRI", "", "2026-11-14T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-15T00:00:00Z"},
		{"0 0 * * 7", "", "2026-11-27T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 * * FRI-SUN", "", "2026-11-29T12:00:00Z", "2026-11-29T00:00:00Z", "2026-12-04T00:00:00Z"},
		{"0 8 * * *", "Europe/Berlin", "2026-11-27T07:00:00Z", "2026-11-27T07:00:00Z", "2026-11-28T07:00:00Z"},
		{"0 8 * * *", "Asia/Kathmandu", "2026-11-27T02:14:00Z", "2026-11-26T02:15:00Z", "2026-11-27T02:15:00Z"},

		// Berlin, 29 March 2026: 02:00 to 03:00 does not exist.
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"*/20 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		// Berlin, 25 October 2026: 02:00 to 03:00 is there twice.
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:40:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"*/30 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"},
		// Half an hour on Lord Howe Island, the other way round.
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:46:00Z", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T15:16:00Z", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
		// Samoa had no 30 December 2011.
		{"0 12 30 12 *", "Pacific/Apia", "2011-12-30T09:00:00Z", "2010-12-30T22:00:00Z", "2011-12-30T10:00:00Z"},
	} {
		s := parse(t, c.expression, c.zone)
		now := at(t, c.now)
		if got := s.Last(now).UTC().Format(time.RFC3339); got != c.last {
			t.Errorf("%s %s: Last(%s) = %s, want %s", c.expression, c.zone, c.now, got, c.last)
		}
		if got := s.Next(now).UTC().Format(time.RFC3339); got != c.next {
			t.Errorf("%s %s: Next(%s) = %s, want %s", c.expression, c.zone, c.now, got, c.next)
		}
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	for expression, want := range map[string]string{
		"":                              "has 0 fields",
		"0 8 * *":                       "has 4 fields",
		"0 8 ? * MON-FRI *":             "has 6 fields",
		"cron(0 8 ? * MON-FRI *)":       "another form",
		"rate(5 minutes)":               "another form",
		"@daily":                        "another form",
		"60 * * * *":                    `the minute "60": want numbers from 0 to 59`,
		"* 24 * * *":                    "from 0 to 23",
		"* * 0 * *":                     "from 1 to 31",
		"* * * 13 *":                    "from 1 to 12 or names such as FEB",
		"* * * * MO":                    "from 0 to 7 or names such as MON",
		"? * * * *":                     "want numbers",
		"* * L * *":                     "want numbers",
		"* * 15W * *":                   "want numbers",
		"* * * * FRI#2":                 "want numbers",
		"1, * * * *":                    "want numbers",
		"1- * * * *":                    "want numbers",
		"+1 * * * *":                    "want numbers",
		"*-5 * * * *":                   "want numbers",
		"5-1 * * * *":                   "from the smaller to the larger",
		"* * * * FRI-MON":               "from the smaller to the larger",
		"*/0 * * * *":                   "the step after / is a number from 1 to 59",
		"*/60 * * * *":                  "from 1 to 59",
		"*/ * * * *":                    "the step",
		"1/2/3 * * * *":                 "the step",
		"0 0 30 2 *":                    "none of its months has a day 30",
		"0 0 31 4,6,9,11 *":             "none of its months has a day 31",
		strings.Repeat("1,", 200) + "1": "above the maximum of 256",
	} {
		if _, err := Parse(expression, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", expression, err, want)
		}
	}
	for _, name := range []string{"Local", "Europe/Atlantis", "../etc/passwd", "CEST "} {
		if _, err := Zone(name); err == nil {
			t.Errorf("%q is taken for a zone", name)
		}
	}
}

// FuzzSchedule holds Next and Last against each other, and against the clock.
func FuzzSchedule(f *testing.F) {
	f.Add("0 8 * * MON-FRI", uint8(0), int64(1_800_000_000))
	f.Add("*/7 1-3 29 2,10 ?", uint8(1), int64(1_792_890_000))
	f.Add("45 1 1 1/3 SUN", uint8(2), int64(1_775_310_000))
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran"}
	f.Fuzz(func(t *testing.T, expression string, zone uint8, unix int64) {
		loc, err := Zone(zones[int(zone)%len(zones)])
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(expression, loc)
		if err != nil {
			return
		}
		now := time.Unix((unix%4_000_000_000+4_000_000_000)%4_000_000_000, 0)
		last, next := s.Last(now), s.Next(now)
		if last.After(now) || !next.After(now) {
			t.Fatalf("%q in %s at %v: last %v, next %v", expression, loc, now, last, next)
		}
		if again := s.Next(last); !again.Equal(next) {
			t.Fatalf("%q in %s: after %v comes %v, or %v", expression, loc, last, next, again)
		}
		if again := s.Last(next); !again.Equal(next) {
			t.Fatalf("%q in %s: %v is due, and the last was %v", expression, loc, next, again)
		}
		if again := s.Last(next.Add(-time.Second)); !again.Equal(last) {
			t.Fatalf("%q in %s: before %v came %v, or %v", expression, loc, next, last, again)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	s := parse(b, "0 8 * * MON-FRI", "Europe/Berlin")
	now := at(b, "2026-11-27T08:00:00Z")
	for b.Loop() {
		s.Next(now)
	}
}
