package rules

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Size bounds a number of bytes, whole megabytes.
type Size struct{ Min, Max, Default int64 }

// Duration bounds a span of time, whole milliseconds.
type Duration struct{ Min, Max, Default time.Duration }

// Count bounds a number.
type Count struct{ Min, Max, Default int }

// MaxConcurrency bounds the numbers of a concurrency setting, whatever the
// node's own limit is.
const MaxConcurrency = 100_000

// DefaultHTTPTimeout is the timeout of an http function that declares none. It
// is longer than gust.DefaultTimeout because it bounds a whole request, a
// stream or a WebSocket connection included.
const DefaultHTTPTimeout = time.Minute

// The bounds of the fields that have some.
var (
	Memory      = Size{Min: gust.MinMemory, Max: gust.MaxMemory, Default: gust.DefaultMemory}
	Ephemeral   = Size{Min: gust.MinEphemeral, Max: gust.MaxEphemeral, Default: gust.DefaultEphemeral}
	Timeout     = Duration{Min: gust.MinTimeout, Max: gust.MaxTimeout, Default: gust.DefaultTimeout}
	Idle        = Duration{Min: 0, Max: gust.MaxIdle, Default: gust.DefaultIdle}
	Reserved    = Count{Min: 0, Max: MaxConcurrency}
	Provisioned = Count{Min: 0, Max: MaxConcurrency}
	// PerEnvironment is what may be declared; the domain's 0 is "not declared".
	PerEnvironment = Count{Min: 1, Max: gust.MaxPerEnvironment, Default: 1}
	// ScheduledFor is what may be declared; the domain's 0 is "not declared".
	ScheduledFor = Duration{Min: time.Minute, Max: 31 * 24 * time.Hour}
	QueueSize    = Count{Min: 1, Max: gust.MaxQueueSize}
	QueueWait    = Duration{Min: time.Millisecond, Max: gust.MaxQueueWait, Default: time.Second}
)

// Check says what is wrong with n bytes, or returns "".
func (b Size) Check(n int64) string {
	switch {
	case n < b.Min:
		return fmt.Sprintf("%s is below the minimum of %s", FormatSize(n), FormatSize(b.Min))
	case n > b.Max:
		return fmt.Sprintf("%s is above the maximum of %s", FormatSize(n), FormatSize(b.Max))
	case n%gust.MB != 0:
		return fmt.Sprintf("%d bytes is not a whole number of megabytes: want a multiple of %d", n, gust.MB)
	}
	return ""
}

// Check says what is wrong with d, or returns "".
func (b Duration) Check(d time.Duration) string {
	switch {
	case d < b.Min:
		return fmt.Sprintf("%s is below the minimum of %s", FormatDuration(d), FormatDuration(b.Min))
	case d > b.Max:
		return fmt.Sprintf("%s is above the maximum of %s", FormatDuration(d), FormatDuration(b.Max))
	case d%time.Millisecond != 0:
		return fmt.Sprintf("%s is finer than a millisecond", d)
	}
	return ""
}

// Check says what is wrong with n, or returns "".
func (b Count) Check(n int) string {
	switch {
	case n < b.Min:
		return fmt.Sprintf("%d is below the minimum of %d", n, b.Min)
	case n > b.Max:
		return fmt.Sprintf("%d is above the maximum of %d", n, b.Max)
	}
	return ""
}

// The forms of sizes and durations as regular expressions, for the schema.
const (
	SizePattern     = `^[0-9]+(MB|GB)$`
	DurationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
)

var (
	sizeForm     = regexp.MustCompile(SizePattern)
	durationForm = regexp.MustCompile(DurationPattern)
)

// ParseSize reads "256MB" or "1GB": a whole number and a unit, binary as
// Lambda's are (1MB is 1,048,576 bytes). The error says what would be right.
func ParseSize(s string) (int64, error) {
	digits := s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
	if !sizeForm.MatchString(s) {
		unit := strings.ToLower(strings.TrimSpace(s[len(digits):]))
		switch {
		case digits == "":
		case unit == "":
			return 0, fmt.Errorf("%s has no unit: write %sMB or %sGB", Quote(digits), digits, digits)
		case unit == "m" || unit == "mb" || unit == "mib":
			return 0, fmt.Errorf("%s is no size, did you mean %sMB? (the units are MB and GB; 1GB is 1024MB)", Quote(s), digits)
		case unit == "g" || unit == "gb" || unit == "gib":
			return 0, fmt.Errorf("%s is no size, did you mean %sGB? (the units are MB and GB; 1GB is 1024MB)", Quote(s), digits)
		}
		return 0, fmt.Errorf("want a size such as 256MB or 1GB, got %s", Quote(s))
	}
	scale := int64(gust.MB)
	if strings.HasSuffix(s, "GB") {
		scale = gust.GB
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%s is more than any machine has", Quote(s))
	}
	return n * scale, nil
}

// FormatSize is ParseSize's inverse for whole megabytes.
func FormatSize(n int64) string {
	switch {
	case n != 0 && n%gust.GB == 0:
		return strconv.FormatInt(n/gust.GB, 10) + "GB"
	case n%gust.MB == 0:
		return strconv.FormatInt(n/gust.MB, 10) + "MB"
	default:
		return strconv.FormatInt(n, 10) + " bytes"
	}
}

// ParseDuration reads "10s", "1m30s" or "500ms". The error says what would be
// right.
func ParseDuration(s string) (time.Duration, error) {
	if durationForm.MatchString(s) {
		d, err := time.ParseDuration(s)
		if err != nil { // only a number too large matches and does not parse
			return 0, fmt.Errorf("%s is longer than 290 years", Quote(s))
		}
		return d, nil
	}
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return 0, fmt.Errorf("%s has no unit: write %ss", s, s)
	}
	return 0, fmt.Errorf("want a duration such as 10s, 1m30s or 500ms, got %s", Quote(s))
}

// FormatDuration writes 15m instead of 15m0s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
