package wire

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonDecoder reads a document straight into values, by their plan. It takes
// JSON as RFC 8259 has it, with no member twice, in UTF-8, and no deeper than
// MaxDepth.
type jsonDecoder struct {
	data  []byte
	at    int
	depth int
	found *findings
}

// fail is an error at the place where the reading is.
func (d *jsonDecoder) fail(format string, args ...any) error {
	return problemf(malformed, "the request's JSON is wrong at byte %d: %s", d.at+1, fmt.Sprintf(format, args...))
}

// object decodes a whole document into a struct's members that are in the body.
func (d *jsonDecoder) object(s *structure, v reflect.Value, got *seen) error {
	d.space()
	if d.at == len(d.data) { // as SDKs send it where there is nothing to say
		return nil
	}
	if err := d.structure(s, v, got, nil); err != nil {
		return err
	}
	return d.end()
}

func (d *jsonDecoder) end() error {
	if d.space(); d.at < len(d.data) {
		return d.fail("something follows the document")
	}
	return nil
}

func (d *jsonDecoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

// next is the next character of weight; 0 is the end.
func (d *jsonDecoder) next() byte {
	d.space()
	if d.at < len(d.data) {
		return d.data[d.at]
	}
	return 0
}

func (d *jsonDecoder) expect(c byte) error {
	if d.next() != c {
		return d.fail("want %q, not %s", c, d.here())
	}
	d.at++
	return nil
}

// here says what is at the place, for an error.
func (d *jsonDecoder) here() string {
	if d.at >= len(d.data) {
		return "the end"
	}
	r, _ := utf8.DecodeRune(d.data[d.at:])
	return strconv.QuoteRune(r)
}

// down goes into an object or list.
func (d *jsonDecoder) down(open byte) error {
	if err := d.expect(open); err != nil {
		return err
	}
	if d.depth++; d.depth > MaxDepth {
		return d.fail("it is nested deeper than %d", MaxDepth)
	}
	return nil
}

// more tells whether another member follows, after a comma unless it is the
// first.
func (d *jsonDecoder) more(first bool, end byte) (bool, error) {
	c := d.next()
	if c == end {
		d.at++
		d.depth--
		return false, nil
	}
	if first {
		return true, nil
	}
	if err := d.expect(','); err != nil {
		return false, err
	}
	if d.next() == end {
		return false, d.fail("a comma before %q", end)
	}
	return true, nil
}

// null reads a null, if there is one.
func (d *jsonDecoder) null() bool {
	if d.next() == 'n' && strings.HasPrefix(string(d.data[d.at:min(len(d.data), d.at+4)]), "null") {
		d.at += 4
		return true
	}
	return false
}

func (d *jsonDecoder) structure(s *structure, v reflect.Value, got *seen, at *path) error {
	if err := d.down('{'); err != nil {
		return err
	}
	members := 0
	for first := true; ; first = false {
		if more, err := d.more(first, '}'); err != nil {
			return err
		} else if !more {
			break
		}
		name, err := d.name()
		if err != nil {
			return err
		}
		f := s.body[string(name)]
		if f == nil {
			if string(name) == "__type" { // some SDKs send the name of the type
				if _, err := d.string(); err != nil {
					return err
				}
				continue
			}
			return problemf(invalid, "the member %s is not known to Gust: leave it out", quoted((&path{up: at, name: string(name)}).String()))
		}
		if got.add(f) {
			return d.fail("the member %s is there twice", quoted(f.name))
		}
		if d.null() {
			got[f.index/64] &^= 1 << (f.index % 64)
			continue
		}
		members++
		if s.union && members > 1 {
			return d.fail("%s is of a union, which has one member", quoted(f.name))
		}
		if err := d.value(&f.node, f.value(v), &path{up: at, name: f.label}); err != nil {
			return err
		}
	}
	return nil
}

// name reads a member's name and the colon. It is good until the next.
func (d *jsonDecoder) name() ([]byte, error) {
	name, err := d.stringBytes()
	if err != nil {
		return nil, err
	}
	return name, d.expect(':')
}

func (d *jsonDecoder) value(n *node, v reflect.Value, at *path) error {
	switch n.kind {
	case kindStruct:
		var got seen
		if err := d.structure(n.fields, v, &got, at); err != nil {
			return err
		}
		d.found.missing(n.fields, &got, at)
		return nil
	case kindList:
		return d.list(n, v, at)
	case kindMap:
		return d.entries(n, v, at)
	}
	wrong := func(want string) error {
		return d.fail("%s has to be %s, not %s", quoted(at.String()), want, d.here())
	}
	switch c := d.next(); n.kind {
	case kindString:
		if c != '"' {
			return wrong("a string")
		}
		s, err := d.string()
		if err != nil {
			return err
		}
		v.SetString(s)
	case kindBlob:
		if c != '"' {
			return wrong("a string in base64")
		}
		b, err := d.stringBytes()
		if err != nil {
			return err
		}
		out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
		count, err := base64.StdEncoding.Decode(out, b)
		if err != nil {
			return d.fail("%s has to be in base64", quoted(at.String()))
		}
		v.SetBytes(out[:count])
	case kindBool:
		if rest := string(d.data[d.at:min(len(d.data), d.at+5)]); strings.HasPrefix(rest, "true") {
			d.at += 4
			v.SetBool(true)
		} else if rest == "false" {
			d.at += 5
			v.SetBool(false)
		} else {
			return wrong("true or false")
		}
	case kindInt:
		if c != '-' && (c < '0' || c > '9') {
			return wrong("a whole number")
		}
		number, err := d.number()
		if err != nil {
			return err
		}
		i, err := strconv.ParseInt(number, 10, n.typ.Bits())
		if err != nil {
			return d.fail("%s has to be a whole number of %d bits, not %s", quoted(at.String()), n.typ.Bits(), clip(number))
		}
		v.SetInt(i)
	case kindFloat:
		f, err := d.float(n.typ.Bits(), wrong)
		if err != nil {
			return err
		}
		v.SetFloat(f)
	case kindTime:
		return d.time(n, v, at, wrong)
	default:
		return d.fail("%s cannot be in a document", quoted(at.String()))
	}
	return nil
}

// float reads a number, or the word of one that JSON does not have.
func (d *jsonDecoder) float(bits int, wrong func(string) error) (float64, error) {
	c := d.next()
	if c == '"' {
		s, err := d.string()
		if err != nil {
			return 0, err
		}
		if s != "NaN" && s != "Infinity" && s != "-Infinity" {
			return 0, wrong("a number")
		}
		return parseFloat(s, 64)
	}
	if c != '-' && (c < '0' || c > '9') {
		return 0, wrong("a number")
	}
	number, err := d.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(number, bits)
	if err != nil {
		return 0, d.fail("the number %s is out of range", clip(number))
	}
	return f, nil
}

func (d *jsonDecoder) time(n *node, v reflect.Value, at *path, wrong func(string) error) error {
	format := cmp.Or(n.time, unixTime)
	var t time.Time
	ok := false
	if format == unixTime {
		f, err := d.float(64, wrong)
		if err != nil {
			return err
		}
		if !math.IsNaN(f) {
			t, ok = timeOf(f)
		}
	} else {
		if d.next() != '"' {
			return wrong("a time as " + timeExample[format])
		}
		s, err := d.string()
		if err != nil {
			return err
		}
		t, ok = parseTime(format, s)
	}
	if !ok {
		return d.fail("%s has to be a time as %s", quoted(at.String()), timeExample[format])
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

func (d *jsonDecoder) list(n *node, v reflect.Value, at *path) error {
	if err := d.down('['); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(n.typ, 0, 0))
	for first := true; ; first = false {
		if more, err := d.more(first, ']'); err != nil {
			return err
		} else if !more {
			break
		}
		i := v.Len()
		if err := d.found.room(i, n.elem, at); err != nil {
			return err
		}
		here := &path{up: at, index: i + 1}
		if d.null() {
			return d.fail("%s is null", quoted(here.String()))
		}
		if i == v.Cap() {
			v.Grow(max(4, i))
		}
		v.SetLen(i + 1)
		if err := d.value(n.elem, v.Index(i), here); err != nil {
			return err
		}
	}
	return nil
}

func (d *jsonDecoder) entries(n *node, v reflect.Value, at *path) error {
	if err := d.down('{'); err != nil {
		return err
	}
	out := reflect.MakeMap(n.typ)
	for first := true; ; first = false {
		if more, err := d.more(first, '}'); err != nil {
			return err
		} else if !more {
			break
		}
		name, err := d.name()
		if err != nil {
			return err
		}
		key := string(name)
		if err := d.found.room(out.Len(), n.elem, at); err != nil {
			return err
		}
		k := reflect.ValueOf(key).Convert(n.key.typ)
		if out.MapIndex(k).IsValid() {
			return d.fail("the key %s is there twice", quoted(key))
		}
		here := &path{up: at, name: key}
		if d.null() {
			return d.fail("%s is null", quoted(here.String()))
		}
		elem := reflect.New(n.elem.typ).Elem()
		if err := d.value(n.elem, elem, here); err != nil {
			return err
		}
		out.SetMapIndex(k, elem)
	}
	v.Set(out)
	return nil
}

// number reads a number's text.
func (d *jsonDecoder) number() (string, error) {
	start := d.at
	digits := func() bool {
		from := d.at
		for d.at < len(d.data) && d.data[d.at] >= '0' && d.data[d.at] <= '9' {
			d.at++
		}
		return d.at > from
	}
	is := func(chars string) bool {
		if d.at < len(d.data) && strings.IndexByte(chars, d.data[d.at]) >= 0 {
			d.at++
			return true
		}
		return false
	}
	is("-")
	zero := d.at < len(d.data) && d.data[d.at] == '0'
	from := d.at
	if !digits() || zero && d.at-from > 1 {
		return "", d.fail("a number of this form is none")
	}
	if is(".") && !digits() {
		return "", d.fail("a number of this form is none")
	}
	if is("eE") {
		is("+-")
		if !digits() {
			return "", d.fail("a number of this form is none")
		}
	}
	return string(d.data[start:d.at]), nil
}

func (d *jsonDecoder) string() (string, error) {
	b, err := d.stringBytes()
	return string(b), err
}

// stringBytes reads a string. What it returns is part of the document, unless
// there are escapes in it.
func (d *jsonDecoder) stringBytes() ([]byte, error) {
	if err := d.expect('"'); err != nil {
		return nil, err
	}
	start, ascii := d.at, true
	for d.at < len(d.data) {
		switch c := d.data[d.at]; {
		case c == '"':
			s := d.data[start:d.at]
			if !ascii && !utf8.Valid(s) {
				return nil, d.fail("the string is not UTF-8")
			}
			d.at++
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return nil, d.fail("a control character in a string")
		default:
			ascii = ascii && c < utf8.RuneSelf
			d.at++
		}
	}
	return nil, d.fail("the string does not end")
}

// escaped reads the rest of a string that has escapes, from the first on.
func (d *jsonDecoder) escaped(start int) ([]byte, error) {
	out := append([]byte(nil), d.data[start:d.at]...)
	for d.at < len(d.data) {
		c := d.data[d.at]
		d.at++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return nil, d.fail("the string is not UTF-8")
			}
			return out, nil
		case c < ' ':
			return nil, d.fail("a control character in a string")
		case c != '\\':
			out = append(out, c)
			continue
		}
		if d.at == len(d.data) {
			break
		}
		c = d.data[d.at]
		d.at++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return nil, d.fail("the escape \\%c is none", c)
		}
		r, err := d.hex()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) {
			if d.at+1 >= len(d.data) || d.data[d.at] != '\\' || d.data[d.at+1] != 'u' {
				return nil, d.fail("half of a surrogate pair")
			}
			d.at += 2
			low, err := d.hex()
			if err != nil {
				return nil, err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, d.fail("half of a surrogate pair")
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return nil, d.fail("the string does not end")
}

func (d *jsonDecoder) hex() (rune, error) {
	if d.at+4 > len(d.data) {
		return 0, d.fail("the string does not end")
	}
	var r rune
	for _, c := range d.data[d.at : d.at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, d.fail("\\u wants four hexadecimal digits")
		}
	}
	d.at += 4
	return r, nil
}
