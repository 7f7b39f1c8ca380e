package wire

import (
	"testing"
	"time"
)

// TestTimes: only times of the years that every protocol can write are read, in
// UTC and to the millisecond.
func TestTimes(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		format, text string
		want         time.Time
	}{
		{isoTime, "9999-12-31T23:59:59Z", last},
		{isoTime, "9999-12-31T22:59:59-01:00", last},
		{isoTime, "9999-12-31T23:59:59-01:00", time.Time{}},
		{isoTime, "0001-01-01T00:00:00.001Z", time.Time{}.Add(time.Millisecond)},
		{isoTime, "0001-01-01T00:00:00+01:00", time.Time{}},
		{isoTime, "0000-12-31T23:59:59Z", time.Time{}},
		{httpTime, "Fri, 31 Dec 9999 23:59:59 GMT", last},
		{httpTime, "Fri, 31 Dec 0000 23:59:59 GMT", time.Time{}},
		{unixTime, "253402300799", last},
		{unixTime, "253402300799.9994", last.Add(999 * time.Millisecond)},
		{unixTime, "253402300799.9996", time.Time{}},
		{unixTime, "-62135596799", time.Time{}.Add(time.Second)},
		{unixTime, "-62135596801", time.Time{}},
		{unixTime, "1e300", time.Time{}},
		{unixTime, "NaN", time.Time{}},
	} {
		got, ok := parseTime(c.format, c.text)
		if ok != !c.want.IsZero() || ok && !got.Equal(c.want) {
			t.Errorf("%s %s is %v, %v", c.format, c.text, got, ok)
		}
	}
}
