package wire

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// parameter is one of a query's.
type parameter struct{ name, value string }

// readForm takes the parameters of a query, of the body or of the URL.
func (x *exchange) readForm() error {
	if err := x.readBody(); err != nil {
		return err
	}
	inURL, err := parseQuery(x.r.URL.RawQuery, url.PathUnescape, MaxParameters)
	if err != nil {
		return err
	}
	inBody, err := parseQuery(string(x.body), url.QueryUnescape, MaxParameters-len(inURL))
	if err != nil {
		return err
	}
	x.form = slices.Concat(inURL, inBody)
	slices.SortFunc(x.form, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(x.form); i++ {
		if x.form[i].name == x.form[i-1].name {
			return problemf(malformed, "the parameter %s is there twice", quoted(x.form[i].name))
		}
	}
	return nil
}

// queryCodec is the AWS query protocol: parameters in, XML out.
type queryCodec struct{}

func (queryCodec) decode(x *exchange, in reflect.Value, found *findings) error {
	d := queryDecoder{form: x.form, found: found}
	return d.structure(x.op.in, in, "", 0, nil)
}

// queryDecoder reads parameters. They are sorted by name: those of a value are
// next to each other.
type queryDecoder struct {
	form  []parameter
	found *findings
}

// group is the parameters of one value: form[:n], all with the same next part
// of the name, after prefix.
func (d *queryDecoder) group(prefix string) (part string, n int) {
	rest, ok := strings.CutPrefix(d.form[0].name, prefix)
	if !ok { // it ends before the dot
		return "", 1
	}
	part, _, _ = strings.Cut(rest, ".")
	whole := prefix + part
	for n < len(d.form) {
		rest, ok := strings.CutPrefix(d.form[n].name, whole)
		if !ok || rest != "" && rest[0] != '.' {
			break
		}
		n++
	}
	return part, n
}

// sub decodes the parameters of one value apart from the others.
func (d *queryDecoder) sub(n int, decode func(*queryDecoder) error) error {
	inner := queryDecoder{form: d.form[:n], found: d.found}
	d.form = d.form[n:]
	return decode(&inner)
}

func (d *queryDecoder) tooDeep(depth int) error {
	if depth > MaxDepth {
		return problemf(malformed, "the parameter %s is deeper than %d parts", quoted(d.form[0].name), MaxDepth)
	}
	return nil
}

func (d *queryDecoder) structure(s *structure, v reflect.Value, prefix string, depth int, at *path) error {
	if err := d.tooDeep(depth); err != nil {
		return err
	}
	var got seen
	for len(d.form) > 0 {
		part, n := d.group(prefix)
		f := s.inQuery(part)
		if f == nil {
			return problemf(invalid, "the parameter %s is not known to Gust: leave it out", quoted(prefix+part))
		}
		if got.add(f) { // a parameter between "A" and "A.x", as "A-"
			return problemf(malformed, "the parameter %s is there twice", quoted(prefix+part))
		}
		here := &path{up: at, name: f.label}
		if err := d.sub(n, func(in *queryDecoder) error { return in.value(&f.node, f.value(v), prefix+part, depth+1, here) }); err != nil {
			return err
		}
	}
	d.found.missing(s, &got, at)
	return nil
}

// inQuery finds a member by its name in a query. A flat list goes by the name of
// its members, if they have one.
func (s *structure) inQuery(name string) *field {
	f := s.body[name]
	if f != nil && f.kind == kindList && f.flat && f.memberName != "member" && f.memberName != name {
		f = nil
	}
	if f == nil {
		return s.flat[name]
	}
	return f
}

func (d *queryDecoder) value(n *node, v reflect.Value, name string, depth int, at *path) error {
	switch n.kind {
	case kindStruct:
		if d.form[0].name == name {
			return problemf(malformed, "the parameter %s has members: give them as %s.NAME", quoted(name), clip(name))
		}
		return d.structure(n.fields, v, name+".", depth, at)
	case kindList:
		if d.form[0].name == name { // "Tags=" is an empty list
			if d.form[0].value != "" || len(d.form) > 1 {
				return problemf(malformed, "the parameter %s is a list: give its members as %s", quoted(name), name+"."+n.memberName+".1")
			}
			v.Set(reflect.MakeSlice(n.typ, 0, 0))
			return nil
		}
		return d.list(n, v, name, depth, at)
	case kindMap:
		return d.entries(n, v, name, depth, at)
	case kindReader, kindEvents:
		return problemf(malformed, "the parameter %s cannot be in a query", quoted(name))
	}
	if len(d.form) > 1 || d.form[0].name != name {
		return problemf(malformed, "the parameter %s has no members", quoted(name))
	}
	return setText(n, v, d.form[0].value, name, isoTime)
}

// numbered calls each for the parameters name.1, name.2, ..., in this order.
// There may be no gap: an index costs no more than what is there.
func (d *queryDecoder) numbered(name string, count func(int), each func(i int, d *queryDecoder, name string) error) error {
	type span struct{ from, n int }
	form := d.form
	spans := map[int]span{}
	for at := 0; at < len(form); {
		inner := queryDecoder{form: form[at:]}
		part, n := inner.group(name + ".")
		i, err := strconv.Atoi(part)
		if err != nil || strconv.Itoa(i) != part || i < 1 {
			return problemf(malformed, "the parameter %s has an index that is not 1, 2, 3, ...", quoted(form[at].name))
		}
		spans[i] = span{at, n}
		at += n
	}
	if len(spans) > MaxMembers {
		return problemf(tooLarge, "the parameter %s has over %d members", quoted(name), MaxMembers)
	}
	for i := range spans {
		if i > len(spans) {
			return problemf(malformed, "the parameter %s has an index over the number of members that are there, %d", quoted(name+"."+strconv.Itoa(i)), len(spans))
		}
	}
	count(len(spans))
	for i := range len(spans) {
		s := spans[i+1]
		inner := &queryDecoder{form: form[s.from : s.from+s.n], found: d.found}
		if err := each(i, inner, name+"."+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

func (d *queryDecoder) list(n *node, v reflect.Value, name string, depth int, at *path) error {
	if !n.flat {
		var err error
		if name, err = d.inside(name, n.memberName); err != nil {
			return err
		}
	}
	return d.numbered(name, func(count int) { v.Set(reflect.MakeSlice(n.typ, count, count)) },
		func(i int, d *queryDecoder, name string) error {
			return d.value(n.elem, v.Index(i), name, depth+1, &path{up: at, index: i + 1})
		})
}

// inside is the name of what is in a list or map that is not flat.
func (d *queryDecoder) inside(name, part string) (string, error) {
	got, n := d.group(name + ".")
	if got != part || n != len(d.form) {
		return "", problemf(malformed, "the parameter %s is not one of %s", quoted(d.form[min(n, len(d.form)-1)].name), name+"."+part+".N")
	}
	return name + "." + part, nil
}

func (d *queryDecoder) entries(n *node, v reflect.Value, name string, depth int, at *path) error {
	if d.form[0].name == name {
		return problemf(malformed, "the parameter %s is a map: give its entries as %s", quoted(name), name+".entry.1.key")
	}
	if !n.flat {
		var err error
		if name, err = d.inside(name, "entry"); err != nil {
			return err
		}
	}
	return d.numbered(name, func(count int) { v.Set(reflect.MakeMapWithSize(n.typ, count)) },
		func(_ int, d *queryDecoder, name string) error {
			key, value := reflect.New(n.key.typ).Elem(), reflect.New(n.elem.typ).Elem()
			parts := map[string]bool{}
			for len(d.form) > 0 {
				part, count := d.group(name + ".")
				if d.form[0].name == name || part != n.keyName && part != n.valueName || parts[part] {
					return problemf(malformed, "the parameter %s is neither %s nor %s of an entry", quoted(d.form[0].name), n.keyName, n.valueName)
				}
				parts[part] = true
				of, into := n.key, key
				if part == n.valueName {
					of, into = n.elem, value
				}
				here := &path{up: at, name: part}
				if err := d.sub(count, func(in *queryDecoder) error { return in.value(of, into, name+"."+part, depth+1, here) }); err != nil {
					return err
				}
			}
			if len(parts) != 2 {
				return problemf(malformed, "the entry %s has not both a %s and a %s", quoted(name), n.keyName, n.valueName)
			}
			if v.MapIndex(key).IsValid() {
				return problemf(malformed, "the entry %s has a %s that is there twice", quoted(name), n.keyName)
			}
			v.SetMapIndex(key, value)
			return nil
		})
}

// setText sets a scalar by its text; what is named in errors.
func setText(n *node, v reflect.Value, text, what, usualTime string) error {
	wrong := func(want string) error {
		if n.sensitive {
			return problemf(malformed, "%s is not %s", what, want)
		}
		return problemf(malformed, "%s is %s, not %s", what, quoted(text), want)
	}
	switch n.kind {
	case kindString:
		v.SetString(text)
	case kindBool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
		default:
			return wrong("true or false")
		}
	case kindInt:
		i, err := strconv.ParseInt(text, 10, n.typ.Bits())
		if err != nil {
			return wrong(fmt.Sprintf("a whole number of %d bits", n.typ.Bits()))
		}
		v.SetInt(i)
	case kindFloat:
		f, err := parseFloat(text, n.typ.Bits())
		if err != nil {
			return wrong("a number")
		}
		v.SetFloat(f)
	case kindBlob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return wrong("base64")
		}
		v.SetBytes(b)
	case kindTime:
		format := cmp.Or(n.time, usualTime)
		t, ok := parseTime(format, text)
		if !ok {
			return wrong("a time as " + timeExample[format])
		}
		v.Set(reflect.ValueOf(t))
	default:
		return problemf(malformed, "%s cannot be given as text", what)
	}
	return nil
}

func (queryCodec) encode(x *exchange, out reflect.Value) error {
	w := newXML()
	defer w.free()
	w.buf = append(w.buf, '<')
	w.buf = append(append(w.buf, x.op.name...), "Response"...)
	w.buf = append(append(w.buf, declare("", x.service.Namespace)...), '>')
	// An output has its element, which SDKs look for, even if it has no members.
	if x.op.Run.out != reflect.TypeFor[struct{}]() {
		w.value(&node{kind: kindStruct, fields: x.op.out}, x.op.name+"Result", out)
	}
	w.buf = append(append(append(w.buf, "<ResponseMetadata><RequestId>"...), x.id...), "</RequestId></ResponseMetadata></"...)
	w.buf = append(append(w.buf, x.op.name...), "Response>"...)
	x.write(http.StatusOK, "text/xml", w.buf)
	return nil
}

func (queryCodec) fail(x *exchange, e *Error) {
	w := newXML()
	defer w.free()
	w.open("ErrorResponse" + declare("", x.service.Namespace))
	w.open("Error")
	w.text("Type", e.fault())
	w.text("Code", e.Code)
	w.text("Message", e.Message)
	if s, v, ok := x.service.detail(e); ok {
		w.members(s, v)
	}
	w.buf = append(append(append(w.buf, "</Error><RequestId>"...), x.id...), "</RequestId></ErrorResponse>"...)
	x.write(e.Status, "text/xml", w.buf)
}
