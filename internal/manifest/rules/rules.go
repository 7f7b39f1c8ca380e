// Package rules says what may be declared. It is the one validator of the
// domain: a manifest and an app that comes in by the API pass through the same
// Check. The bounds it enforces are values, so that the manifest's table of
// fields, its schema and its documentation show the same numbers.
package rules

import (
	"fmt"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Violation is one thing that is wrong with an app.
type Violation struct {
	// Path says where, in the manifest's words: "functions.api.memory".
	Path string
	// Text says what is wrong and what would be right.
	Text string
}

func (v Violation) String() string { return v.Path + ": " + v.Text }

// Violations is everything that is wrong, in the order of the manifest's keys.
// It is a gust.ErrInvalid.
type Violations []Violation

func (vs Violations) Error() string { return Lines(vs, "") }

// maxReported bounds an error's text; nobody reads more than that.
const maxReported = 100

// Lines is what is wrong, a line each, and how many more of it there are.
func Lines[T fmt.Stringer](wrong []T, what string) string {
	var b strings.Builder
	for i, w := range wrong {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == maxReported {
			fmt.Fprintf(&b, "and %d more%s", len(wrong)-i, what)
			break
		}
		b.WriteString(w.String())
	}
	return b.String()
}

// Is makes errors.Is(err, gust.ErrInvalid) true.
func (Violations) Is(target error) bool { return target == gust.ErrInvalid }

// Join extends a path by a key. A key that is not a plain word is quoted, and
// cut when it is long.
func Join(path, key string) string {
	if isPlain(key) {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	return path + "[" + Quote(key) + "]"
}

func isPlain(key string) bool {
	for i := range len(key) {
		if c := key[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return key != "" && len(key) <= gust.MaxNameLength
}

// Quote quotes text from outside for an error, cut at 80 bytes.
func Quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(strings.ToValidUTF8(s[:limit], "")) + "..."
	}
	return strconv.Quote(s)
}

// checker gathers violations.
type checker struct {
	found Violations
	// suggestions left: looking for a similar name is a walk through all
	// names, so a hostile app must not ask for many.
	suggestions int
	zones       map[string]string // time zones that were looked up, and what is wrong with them
}

func (c *checker) add(path, text string) {
	if text != "" {
		c.found = append(c.found, Violation{Path: path, Text: text})
	}
}
