package gateway

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested, as in encoding/json.
const maxDepth = 10000

// scanner walks over one JSON text without building anything from it, and
// accepts exactly what RFC 8259 does. What it hands out are slices of the text.
type scanner struct {
	data []byte
	pos  int
}

// str is a JSON string as it stands in the text, without its quotes.
type str struct {
	raw     []byte
	escaped bool // raw holds at least one backslash
}

// append appends what the string means. An unpaired surrogate becomes U+FFFD;
// bytes that are not UTF-8 stay as they are.
func (s str) append(dst []byte) []byte {
	if !s.escaped {
		return append(dst, s.raw...)
	}
	raw := s.raw
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw[i+2:])
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if rest := raw[i+6:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(rest[2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			i += 4
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

func (s str) String() string {
	if !s.escaped {
		return string(s.raw)
	}
	return string(s.append(make([]byte, 0, len(s.raw))))
}

// is reports whether the string means name.
func (s str) is(name string) bool {
	if !s.escaped {
		return string(s.raw) == name
	}
	return s.String() == name
}

// hex4 is the value of four hexadecimal digits that have been checked.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(unhex(c))
	}
	return r
}

// unhex is the value of a hexadecimal digit, or above 15.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

func (s *scanner) fail(want string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("it ends at byte %d, where %s should be", s.pos, want)
	}
	return fmt.Errorf("byte %d is %q, where %s should be", s.pos, s.data[s.pos], want)
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end fails unless only white space is left.
func (s *scanner) end() error {
	if s.peek(); s.pos < len(s.data) {
		return s.fail("the end")
	}
	return nil
}

// object calls member for each member, with the scanner at its value, which
// member has to read.
func (s *scanner) object(member func(name str) error) error {
	if s.peek() != '{' {
		return s.fail("an object")
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		s.peek()
		name, err := s.string()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.fail("a colon")
		}
		s.pos++
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("a comma or a closing brace")
		}
	}
}

// array calls element for each element, with the scanner at it, which element
// has to read.
func (s *scanner) array(element func() error) error {
	if s.peek() != '[' {
		return s.fail("an array")
	}
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.fail("a comma or a closing bracket")
		}
	}
}

// value skips one value of any kind and returns it as it stands.
func (s *scanner) value() ([]byte, error) {
	s.peek()
	start := s.pos
	err := s.skip(0)
	return s.data[start:s.pos], err
}

func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(func(str) error { return s.skip(depth + 1) })
	case '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case '"':
		_, err := s.string()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) error {
	if rest := s.data[s.pos:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		return s.fail(w)
	}
	s.pos += len(w)
	return nil
}

// null skips a null, if one is next, and reports whether it was.
func (s *scanner) null() bool {
	return s.peek() == 'n' && s.word("null") == nil
}

func (s *scanner) bool() (bool, error) {
	if s.peek() == 't' {
		return true, s.word("true")
	}
	if s.peek() == 'f' {
		return false, s.word("false")
	}
	return false, s.fail("true or false")
}

var errNotClosed = errors.New("a string is not closed")

// string reads the string that is next.
func (s *scanner) string() (str, error) {
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		return str{}, s.fail("a string")
	}
	s.pos++
	start, escaped := s.pos, false
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return str{s.data[start : s.pos-1], escaped}, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return str{}, err
			}
		case c < 0x20:
			return str{}, s.fail("a character that may stand in a string")
		default:
			s.pos++
		}
	}
	return str{}, errNotClosed
}

// escape checks and skips a backslash and what belongs to it.
func (s *scanner) escape() error {
	s.pos++
	if s.pos >= len(s.data) {
		return errNotClosed
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if s.pos >= len(s.data) {
				return errNotClosed
			}
			if unhex(s.data[s.pos]) > 15 {
				return s.fail("a hexadecimal digit")
			}
			s.pos++
		}
		return nil
	}
	return s.fail("an escape")
}

func (s *scanner) number() error {
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if err := s.digits("a value"); err != nil {
		return err
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if err := s.digits("a digit"); err != nil {
			return err
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		return s.digits("a digit")
	}
	return nil
}

// digits skips one digit or more.
func (s *scanner) digits(want string) error {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.fail(want)
	}
	return nil
}
