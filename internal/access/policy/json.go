package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	// Path is where, such as "Statement[2].Condition": lists count from 0. It
	// is empty for the document as a whole.
	Path string
	// Line and Column count from 1, columns in characters. They are 0 for what
	// stands in no document.
	Line, Column int
	// Text says what is wrong and what would be right.
	Text string
}

func (p Problem) String() string {
	where := ""
	if p.Line > 0 {
		where = "line " + strconv.Itoa(p.Line) + ", column " + strconv.Itoa(p.Column) + ": "
	}
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Text
}

// Problems is everything that is wrong with a document, in its order. It is a
// gust.ErrInvalid.
type Problems []Problem

// Error is the first problem, and how many more there are.
func (ps Problems) Error() string {
	text := "the policy is not valid: " + ps[0].String()
	if n := len(ps) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Is makes errors.Is(err, gust.ErrInvalid) true.
func (Problems) Is(target error) bool { return target == gust.ErrInvalid }

// kindOf is what a JSON value is.
type kindOf int

const (
	isNull kindOf = iota
	isString
	isNumber
	isBool
	isList
	isObject
)

func (k kindOf) String() string {
	return [...]string{"null", "a string", "a number", "true or false", "a list", "an object"}[k]
}

// node is a JSON value, and where it stands.
type node struct {
	kind    kindOf
	path    string
	offset  int
	end     int
	text    string // of a string, a number ("1.50" as it is written) or a bool
	items   []*node
	members []member
}

type member struct {
	key    string
	offset int // of the key
	value  *node
}

// reader reads one document's JSON. The standard library's tokens say where each
// ends; a value begins at the next byte that is neither space nor punctuation.
type reader struct {
	source   []byte
	tokens   *json.Decoder
	problems Problems
}

// maxProblems bounds what is reported; nobody reads more than that.
const maxProblems = 20

func (r *reader) report(path string, offset int, format string, args ...any) {
	if len(r.problems) == maxProblems {
		return
	}
	line, column := r.at(offset)
	r.problems = append(r.problems, Problem{Path: path, Line: line, Column: column, Text: fmt.Sprintf(format, args...)})
}

// at is the line and the column of an offset.
func (r *reader) at(offset int) (line, column int) {
	before := r.source[:min(max(offset, 0), len(r.source))]
	begin := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[begin:]) + 1
}

// errRead says that a problem was reported that ends the reading.
var errRead = errors.New("not readable")

// read returns the whole document, or nil after it reported why not.
func (r *reader) read() *node {
	if len(r.source) > MaxDocument {
		r.report("", 0, "the document has %d bytes, above the maximum of %d", len(r.source), MaxDocument)
		return nil
	}
	if !utf8.Valid(r.source) {
		r.report("", 0, "the document is not UTF-8 text")
		return nil
	}
	if err := json.Unmarshal(r.source, new(json.RawMessage)); err != nil {
		r.syntax(err)
		return nil
	}
	r.tokens = json.NewDecoder(bytes.NewReader(r.source))
	r.tokens.UseNumber()
	n, err := r.value("", 1)
	if err != nil { // it was reported: the text is JSON
		return nil
	}
	return n
}

func (r *reader) syntax(err error) {
	var wrong *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(r.source)) == 0:
		r.report("", 0, "the document is empty: want an object with Version and Statement")
	case errors.As(err, &wrong) && !strings.HasPrefix(err.Error(), "unexpected end"):
		r.report("", int(wrong.Offset)-1, "not valid JSON: %s", err)
	default:
		r.report("", len(r.source), "not valid JSON: the document ends too early")
	}
}

// start is where the next value begins.
func (r *reader) start() int {
	i := int(r.tokens.InputOffset())
	for i < len(r.source) && strings.IndexByte(" \t\r\n,:", r.source[i]) >= 0 {
		i++
	}
	return i
}

// value reads the next value. Its error says that what is wrong was reported.
func (r *reader) value(path string, depth int) (*node, error) {
	n := &node{path: path, offset: r.start()}
	err := r.fill(n, depth)
	n.end = int(r.tokens.InputOffset())
	return n, err
}

func (r *reader) fill(n *node, depth int) error {
	if depth > maxDepth {
		r.report(n.path, n.offset, "objects and lists are nested more than %d deep", maxDepth)
		return errRead
	}
	token, err := r.tokens.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case string:
		n.kind, n.text = isString, v
	case json.Number:
		n.kind, n.text = isNumber, v.String()
	case bool:
		n.kind, n.text = isBool, strconv.FormatBool(v)
	case json.Delim:
		if v == '[' {
			return r.list(n, depth)
		}
		return r.object(n, depth)
	}
	if len(n.text) > maxString {
		r.report(n.path, n.offset, "the text has %d bytes, above the maximum of %d", len(n.text), maxString)
		return errRead
	}
	return nil
}

func (r *reader) list(n *node, depth int) error {
	n.kind = isList
	for r.tokens.More() {
		item, err := r.value(n.path+"["+strconv.Itoa(len(n.items))+"]", depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := r.tokens.Token()
	return err
}

func (r *reader) object(n *node, depth int) error {
	n.kind = isObject
	seen := make(map[string]bool)
	for r.tokens.More() {
		offset := r.start()
		token, err := r.tokens.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // the reader allows nothing else here
		at := join(n.path, key)
		if seen[key] {
			r.report(at, offset, "the key stands twice: keep one")
			return errRead
		}
		seen[key] = true
		v, err := r.value(at, depth+1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{key, offset, v})
	}
	_, err := r.tokens.Token()
	return err
}

// join extends a path by a key, as the manifest's paths are.
func join(path, key string) string {
	if !isName(key) {
		return path + "[" + quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// quote quotes text of a document for an error, cut at 80 bytes.
func quote(s string) string { return strconv.Quote(gust.Clip(s, 80)) }
