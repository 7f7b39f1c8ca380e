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
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// A code is one step of a pattern: a byte that has to be there, or a wildcard.
type code uint16

const (
	anyRun code = 256 + iota // *: any characters, or none
	anyOne                   // ?: one character
	aVar                     // the value of pattern.vars, in their order
)

// pattern is a text of a policy that values of a request are compared with, made
// ready for it. Most are compared with two calls of the standard library; the
// others by one loop that goes back to the last * alone, so that a pattern of n
// characters and a value of m cost n times m steps at the very most.
type pattern struct {
	raw string
	// head is what stands before the first wildcard or variable, and rest what
	// follows; no rest is an exact text.
	head string
	rest []code
	vars []variable
	fold bool // upper and lower case are the same
}

type variable struct {
	key      string // lower case
	fallback string
	has      bool // a fallback
}

// isAny tells that everything matches.
func (p *pattern) isAny() bool { return p.head == "" && len(p.rest) == 1 && p.rest[0] == anyRun }

// isExact tells that one value matches.
func (p *pattern) isExact() bool { return len(p.rest) == 0 }

// matches compares a value with the pattern.
func (p *pattern) matches(value string, req *Request) verdict {
	switch {
	case len(p.rest) == 0:
		return verdictOf(len(p.head) == len(value) && p.begins(value))
	case !p.begins(value):
		return no
	case len(p.rest) == 1 && p.rest[0] == anyRun:
		return yes
	case len(p.vars) == 0:
		return verdictOf(wild(p.rest, value[len(p.head):], p.fold))
	}
	var room [256]code
	codes, known := p.expand(room[:0], req)
	if !known {
		return unknown
	}
	return verdictOf(wild(codes, value[len(p.head):], p.fold))
}

func (p *pattern) begins(value string) bool {
	if !p.fold {
		return strings.HasPrefix(value, p.head)
	}
	return len(value) >= len(p.head) && equalFold(value[:len(p.head)], p.head)
}

// expand puts the variables' values in their places. What a value holds stands
// for itself: a * in it is no wildcard.
func (p *pattern) expand(codes []code, req *Request) (_ []code, known bool) {
	v := 0
	for _, c := range p.rest {
		if c != aVar {
			codes = append(codes, c)
			continue
		}
		value, ok := p.vars[v].value(req)
		if !ok {
			return nil, false
		}
		for i := range len(value) {
			codes = append(codes, code(value[i]))
		}
		v++
	}
	return codes, true
}

// value is the variable's value; a key with several has none.
func (v *variable) value(req *Request) (string, bool) {
	if values := req.values(v.key); len(values) == 1 {
		return values[0], true
	}
	return v.fallback, v.has
}

// wild compares a value with codes.
func wild(codes []code, value string, fold bool) bool {
	c, i := 0, 0
	star, from := -1, 0
	for i < len(value) {
		if c < len(codes) {
			switch k := codes[c]; {
			case k == anyRun:
				star, from = c, i
				c++
				continue
			case k == anyOne:
				_, size := utf8.DecodeRuneInString(value[i:])
				c, i = c+1, i+size
				continue
			case k == code(value[i]) || fold && k < 256 && lower(byte(k)) == lower(value[i]):
				c, i = c+1, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(value[from:])
		from += size
		c, i = star+1, from
	}
	for c < len(codes) && codes[c] == anyRun {
		c++
	}
	return c == len(codes)
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
	codes := make([]code, 0, len(text))
	wildcards := 0
	for i := 0; i < len(text); {
		switch {
		case x.wildcards && (text[i] == '*' || text[i] == '?'):
			c := anyRun
			if text[i] == '?' {
				c = anyOne
			}
			wildcards++
			if c != anyRun || len(codes) == 0 || codes[len(codes)-1] != anyRun { // ** is *
				codes = append(codes, c)
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
				codes = append(codes, code(inner[0]))
				continue
			}
			v, wrong := parseVariable(inner)
			if wrong != "" {
				return p, wrong
			}
			p.vars = append(p.vars, v)
			codes = append(codes, aVar)
		default:
			codes = append(codes, code(text[i]))
			i++
		}
	}
	if wildcards > maxWildcards {
		return p, "there are more than " + strconv.Itoa(maxWildcards) + " wildcards in " + quote(text)
	}
	n := 0
	for n < len(codes) && codes[n] < 256 {
		n++
	}
	head := make([]byte, n)
	for i, c := range codes[:n] {
		head[i] = byte(c)
	}
	p.head = string(head)
	if strings.HasPrefix(text, p.head) {
		p.head = text[:n] // one text in memory, not two
	}
	if n < len(codes) {
		p.rest = append([]code(nil), codes[n:]...)
	}
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
