package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// verdict is what came of a comparison.
type verdict int

const (
	no verdict = iota
	yes
	// unknown: the policy's side has a variable for which the request has no
	// single value.
	unknown
	// beyond: it would take more work than one comparison may. What cannot be
	// told makes nothing allowed, and keeps nothing from being denied.
	beyond
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// piece is a part of a pattern: a text that has to be there, or what stands for
// others.
type piece struct {
	kind wild
	text string
}

type wild uint8

const (
	literal wild = iota
	anyRun       // *: any characters, or none
	anyOne       // ?: one character
	aVar         // the value of pattern.vars, in their order
)

// pattern is a text of a policy that values of a request are compared with, made
// ready for it. Who asks may have written both, so what a comparison costs is
// bounded: it grows with the value's length alone, but for what stands between a
// * and a ? and has to be looked at from many places, which ends at maxTries.
type pattern struct {
	raw string
	// head is what stands before the first wildcard or variable, and rest what
	// follows; no rest is an exact text.
	head string
	rest []piece
	vars []variable
	fold bool // upper and lower case are the same
}

// maxTries bounds the pieces that one comparison looks at; those of more than 64
// bytes count for several. What has no ? is found without trying; thousands of
// tries are of texts such as *a?a?a?b* for a value of nothing but a.
const maxTries = 1 << 14

type variable struct {
	key      string // lower case
	fallback string
	has      bool // a fallback
}

// isAny tells that everything matches.
func (p *pattern) isAny() bool { return p.head == "" && len(p.rest) == 1 && p.rest[0].kind == anyRun }

// isExact tells that one value matches.
func (p *pattern) isExact() bool { return len(p.rest) == 0 }

// matches compares a value with the pattern.
func (p *pattern) matches(value string, req *Request) verdict {
	switch {
	case len(p.rest) == 0:
		return verdictOf(len(p.head) == len(value) && p.begins(value))
	case !p.begins(value):
		return no
	case len(p.rest) == 1 && p.rest[0].kind == anyRun:
		return yes
	case len(p.vars) == 0:
		return (&matcher{p.fold, maxTries}).whole(p.rest, value[len(p.head):])
	}
	var room [32]piece
	pieces, known := p.expand(room[:0], req)
	if !known {
		return unknown
	}
	return (&matcher{p.fold, maxTries}).whole(pieces, value[len(p.head):])
}

func (p *pattern) begins(value string) bool { return begins(value, p.head, p.fold) }

func begins(value, text string, fold bool) bool {
	if !fold {
		return strings.HasPrefix(value, text)
	}
	return len(value) >= len(text) && equalFold(value[:len(text)], text)
}

// expand puts the variables' values in their places. What a value holds stands
// for itself: a * in it is no wildcard.
func (p *pattern) expand(pieces []piece, req *Request) (_ []piece, known bool) {
	v := 0
	for _, c := range p.rest {
		if c.kind == aVar {
			value, ok := p.vars[v].value(req)
			if !ok {
				return nil, false
			}
			v++
			c = piece{literal, value}
		}
		if c.kind != literal || c.text != "" {
			pieces = append(pieces, c)
		}
	}
	return pieces, true
}

// value is the variable's value; a key with several has none.
func (v *variable) value(req *Request) (string, bool) {
	if values := req.values(v.key); len(values) == 1 {
		return values[0], true
	}
	return v.fallback, v.has
}

// matcher is one comparison.
type matcher struct {
	fold bool
	left int // of maxTries
}

// whole compares all of a value. What stands before the first * has to be at its
// beginning, and what stands after the last one at its end; each group of pieces
// between two is taken where it is first found, which leaves most for the others.
func (m *matcher) whole(pieces []piece, value string) verdict {
	star := nextStar(pieces)
	value, ok := m.begin(pieces[:star], value)
	if !ok || star == len(pieces) {
		return verdictOf(ok && value == "")
	}
	pieces = pieces[star+1:]
	last := len(pieces)
	for ; last > 0 && pieces[last-1].kind != anyRun; last-- {
		if value, ok = m.end(pieces[last-1], value); !ok {
			return no
		}
	}
	for pieces = pieces[:last]; len(pieces) > 0; pieces = pieces[star+1:] {
		star = nextStar(pieces)
		if value, ok = m.find(pieces[:star], value); m.left < 0 {
			return beyond
		} else if !ok {
			return no
		}
	}
	return yes
}

// nextStar is the place of the first *, or the number of pieces.
func nextStar(pieces []piece) int {
	for i := range pieces {
		if pieces[i].kind == anyRun {
			return i
		}
	}
	return len(pieces)
}

// begin takes pieces off the beginning of a value.
func (m *matcher) begin(pieces []piece, value string) (rest string, ok bool) {
	for i := range pieces {
		size := len(pieces[i].text)
		m.left -= 1 + size/64
		if pieces[i].kind == literal {
			ok = begins(value, pieces[i].text, m.fold)
		} else {
			_, size = utf8.DecodeRuneInString(value)
			ok = size > 0
		}
		if !ok {
			return "", false
		}
		value = value[size:]
	}
	return value, true
}

// end takes a piece off the end of a value.
func (m *matcher) end(p piece, value string) (rest string, ok bool) {
	at := len(value) - len(p.text)
	if p.kind == anyOne {
		_, size := utf8.DecodeLastRuneInString(value)
		at = len(value) - size
		return value[:at], size > 0
	}
	if at < 0 || !begins(value[at:], p.text, m.fold) {
		return "", false
	}
	return value[:at], true
}

// find takes off a value all up to the end of the first place where pieces are.
func (m *matcher) find(pieces []piece, value string) (rest string, ok bool) {
	for len(pieces) > 0 && pieces[0].kind == anyOne {
		if value, ok = m.begin(pieces[:1], value); !ok {
			return "", false
		}
		pieces = pieces[1:]
	}
	if len(pieces) == 0 {
		return value, true
	}
	text := pieces[0].text
	if len(pieces) > 1 { // it may be looked for often, and strings.Index makes a short one ready for nothing
		text = text[:min(len(text), 32)]
	}
	for ; m.left >= 0; value = value[1:] {
		at := seek(value, text, m.fold)
		if at < 0 {
			return "", false
		}
		value = value[at:]
		if rest, ok = m.begin(pieces, value); ok {
			return rest, true
		}
	}
	return "", false
}

// seek is where text is first in value, or -1. Without fold it is linear.
func seek(value, text string, fold bool) int {
	if !fold {
		return strings.Index(value, text)
	}
	for i := 0; i+len(text) <= len(value); i++ { // of actions, which are short
		if equalFold(value[i:i+len(text)], text) {
			return i
		}
	}
	return -1
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares texts of the same length; the case of ASCII letters does
// not count.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// syntax is what a text may hold beside itself.
type syntax struct {
	wildcards, variables, fold bool
}

// compile reads a text. What it returns as wrong, if anything, says why it is
// no pattern and what would be right.
func (x syntax) compile(text string) (_ pattern, wrong string) {
	p := pattern{raw: text, fold: x.fold}
	var buffer []byte // the literal that is being read
	flush := func() {
		if len(buffer) > 0 {
			p.rest, buffer = append(p.rest, piece{text: string(buffer)}), buffer[:0]
		}
	}
	wildcards := 0
	for i := 0; i < len(text); {
		switch {
		case x.wildcards && (text[i] == '*' || text[i] == '?'):
			c := piece{kind: anyRun}
			if text[i] == '?' {
				c.kind = anyOne
			}
			wildcards++
			flush()
			if n := len(p.rest); c.kind != anyRun || n == 0 || p.rest[n-1].kind != anyRun { // ** is *
				p.rest = append(p.rest, c)
			}
			i++
		case x.variables && strings.HasPrefix(text[i:], "${"):
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return p, "the variable in " + quote(text) + " is not closed: write ${key}, or ${$}{ for the text itself"
			}
			inner := text[i+2 : i+end]
			i += end + 1
			if inner == "*" || inner == "?" || inner == "$" {
				buffer = append(buffer, inner[0])
				continue
			}
			v, wrong := parseVariable(inner)
			if wrong != "" {
				return p, wrong
			}
			flush()
			p.vars = append(p.vars, v)
			p.rest = append(p.rest, piece{kind: aVar})
		default:
			buffer = append(buffer, text[i])
			i++
		}
	}
	flush()
	if wildcards > maxWildcards {
		return p, "there are more than " + strconv.Itoa(maxWildcards) + " wildcards in " + quote(text)
	}
	if len(p.rest) > 0 && p.rest[0].kind == literal {
		p.head, p.rest = p.rest[0].text, p.rest[1:]
	}
	if strings.HasPrefix(text, p.head) {
		p.head = text[:len(p.head)] // one text in memory, not two
	}
	p.rest = append([]piece(nil), p.rest...) // what it needs, and no more
	return p, ""
}

// parseVariable reads what stands between ${ and }.
func parseVariable(inner string) (v variable, wrong string) {
	key, fallback, has := strings.Cut(inner, ",")
	if has {
		f := strings.TrimSpace(fallback)
		if len(f) < 2 || f[0] != '\'' || f[len(f)-1] != '\'' {
			return v, "the default of the variable ${" + inner + "} is not in single quotes: write ${" + key + ", 'value'}"
		}
		v.fallback, v.has = f[1:len(f)-1], true
	}
	v.key = Lower(strings.TrimSpace(key))
	if wrong := checkKey(v.key); wrong != "" {
		return v, "the variable ${" + inner + "} names no key: " + wrong
	}
	return v, ""
}

// checkKey says what is wrong with a condition key, or returns "".
func checkKey(key string) string {
	service, name, ok := strings.Cut(key, ":")
	for i := range len(service) {
		if c := service[i]; !isAlnum(c) && c != '-' && c != '.' && c != '/' && c != '_' {
			ok = false
		}
	}
	switch {
	case !ok || service == "" || name == "" || strings.ContainsAny(key, "*?${}\""):
		return "want service:key such as aws:SourceIp or aws:PrincipalTag/team, got " + quote(key)
	case len(key) > maxKey:
		return "the key has " + strconv.Itoa(len(key)) + " bytes, above the maximum of " + strconv.Itoa(maxKey)
	}
	return ""
}
