package api

import (
	"testing"
	"time"
)

// A time or how long ago it was gives a time, and anything else an error.
func FuzzParseSince(f *testing.F) {
	for _, s := range []string{"", "5m", "-5m", "1h2m3s", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+02:00", "yesterday", "9999999h"} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseSince(s, now)
		if err != nil {
			return
		}
		if ago, failed := time.ParseDuration(s); failed == nil && !at.Equal(now.Add(-ago)) {
			t.Errorf("%q ago is %v", s, at)
		}
		if again, err := ParseSince(at.Format(time.RFC3339Nano), now); at.Year() >= 0 && at.Year() <= 9999 && (err != nil || !again.Equal(at)) {
			t.Errorf("%q is %v, and that is %v, %v", s, at, again, err)
		}
	})
}
