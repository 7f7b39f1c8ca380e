package observe

import (
	"bytes"
	"time"
)

// jsonFields are what a line in JSON says of itself.
type jsonFields struct {
	level     string
	timestamp time.Time
	request   []byte // a part of the line
}

// maxJSONScan bounds how far into a line its fields are looked for. Loggers
// write them first, or last in lines that are short.
const maxJSONScan = 8 << 10

// parseJSONLine looks in the top level of a JSON object for Lambda's keys:
// "level", "timestamp" (or "time") and "requestId" (or "AWSRequestId"). It is no
// validator, and allocates nothing; from a line that turns out to be no JSON it
// takes nothing.
func parseJSONLine(line []byte) (f jsonFields) {
	s := scanner{line[:min(len(line), maxJSONScan)], len(line) > maxJSONScan}
	if !s.skip('{') {
		return jsonFields{}
	}
	for found := 0; found < 3; {
		s.space()
		if s.skip('}') {
			break
		}
		key, ok := s.string()
		if !ok || !s.skip(':') {
			return s.end(f)
		}
		s.space()
		switch {
		case string(key) == "level":
			var raw []byte
			if raw, ok = s.scalar(); ok {
				f.level = levelName(raw)
				found++
			}
		case string(key) == "timestamp" || string(key) == "time":
			var raw []byte
			if raw, ok = s.scalar(); ok && f.timestamp.IsZero() {
				f.timestamp = parseTimestamp(raw)
				found++
			}
		case string(key) == "requestId" || string(key) == "AWSRequestId":
			var raw []byte
			if raw, ok = s.scalar(); ok && plainID(raw) {
				f.request = raw
				found++
			}
		default:
			ok = s.value()
		}
		if !ok {
			return s.end(f)
		}
		s.space()
		if !s.skip(',') {
			if s.skip('}') {
				break
			}
			return s.end(f)
		}
	}
	return f
}

// scanner walks over JSON. cut says that the line goes on after data.
type scanner struct {
	data []byte
	cut  bool
}

// end is what a line is worth that does not go on as JSON does: what was found,
// if that is only because it was cut, else nothing.
func (s *scanner) end(f jsonFields) jsonFields {
	if s.cut && len(s.data) == 0 {
		return f
	}
	return jsonFields{}
}

func (s *scanner) space() {
	for len(s.data) > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == '\n' || s.data[0] == '\r') {
		s.data = s.data[1:]
	}
}

func (s *scanner) skip(c byte) bool {
	s.space()
	if len(s.data) == 0 || s.data[0] != c {
		return false
	}
	s.data = s.data[1:]
	return true
}

// string takes a string, and returns what is between its quotes as it stands.
func (s *scanner) string() ([]byte, bool) {
	if len(s.data) == 0 || s.data[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(s.data); i++ {
		switch s.data[i] {
		case '"':
			out := s.data[1:i]
			s.data = s.data[i+1:]
			return out, true
		case '\\':
			i++
		}
	}
	s.data = nil
	return nil, false
}

// scalar takes a value. It returns a string without its quotes, a number as it
// stands, and nothing for anything else.
func (s *scanner) scalar() ([]byte, bool) {
	if len(s.data) > 0 && s.data[0] == '"' {
		return s.string()
	}
	start := s.data
	if !s.value() {
		return nil, false
	}
	if c := start[0]; c != '-' && (c < '0' || c > '9') {
		return nil, true
	}
	return start[:len(start)-len(s.data)], true
}

// value takes a value of any kind.
func (s *scanner) value() bool {
	if len(s.data) == 0 {
		return false
	}
	switch s.data[0] {
	case '"':
		_, ok := s.string()
		return ok
	case '{', '[':
		for depth := 0; len(s.data) > 0; {
			switch s.data[0] {
			case '"':
				if _, ok := s.string(); !ok {
					return false
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			s.data = s.data[1:]
			if depth == 0 {
				return true
			}
		}
		return false
	default:
		n := bytes.IndexAny(s.data, ",}] \t\r\n")
		switch n {
		case 0:
			return false
		case -1:
			s.data = nil
			return false
		}
		s.data = s.data[n:]
		return true
	}
}

// levelName is a level in Lambda's words where it is one of them; what else a
// program calls a level is kept in capitals if it is short and plain.
func levelName(raw []byte) string {
	if len(raw) == 0 || len(raw) > 16 {
		return ""
	}
	var upper [16]byte
	for i, c := range raw {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '-' && c != '_' && c != '.' {
			return ""
		}
		upper[i] = c
	}
	switch name := upper[:len(raw)]; string(name) {
	case "TRACE", "10": // the numbers are pino's and bunyan's
		return "TRACE"
	case "DEBUG", "20":
		return "DEBUG"
	case "INFO", "30":
		return "INFO"
	case "WARN", "WARNING", "40":
		return "WARN"
	case "ERROR", "ERR", "50":
		return "ERROR"
	case "FATAL", "CRITICAL", "60":
		return "FATAL"
	default:
		return string(name)
	}
}

// parseTimestamp reads RFC 3339, or a number of seconds or milliseconds since
// 1970. What is neither, or is too far from now to be a time, is zero.
func parseTimestamp(raw []byte) time.Time {
	if len(raw) == 0 || len(raw) > 40 {
		return time.Time{}
	}
	var t time.Time
	if bytes.IndexByte(raw, 'T') > 0 {
		if err := t.UnmarshalText(raw); err != nil {
			return time.Time{}
		}
	} else {
		t = parseUnix(raw)
	}
	if y := t.Year(); y < 1971 || y > 2261 { // what nanoseconds in 64 bits hold
		return time.Time{}
	}
	return t.UTC()
}

func parseUnix(raw []byte) time.Time {
	whole, fraction, _ := bytes.Cut(raw, []byte("."))
	if len(whole) < 9 || len(whole) > 13 || len(fraction) > 9 {
		return time.Time{}
	}
	digits := func(b []byte) (n int64, ok bool) {
		for _, c := range b {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + int64(c-'0')
		}
		return n, true
	}
	n, ok := digits(whole)
	m, ok2 := digits(fraction)
	if !ok || !ok2 {
		return time.Time{}
	}
	if len(whole) > 11 { // seconds have 11 digits in the year 5138
		return time.UnixMilli(n)
	}
	for i := len(fraction); i < 9; i++ {
		m *= 10
	}
	return time.Unix(n, m)
}

// plainID tells whether a program's word for its request can be one.
func plainID(id []byte) bool {
	for _, c := range id {
		if c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 64
}
