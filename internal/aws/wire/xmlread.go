package wire

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/gust-dev/gust/internal/aws/xmldoc"
)

// decodeXML reads a document into a struct's members that are in the body. Its
// outermost element has to be root, if that is not "".
func decodeXML(doc []byte, root string, s *structure, v reflect.Value, got *seen, at *path, found *findings) error {
	d := xmlDecoder{r: xmldoc.NewReader(bytes.NewReader(doc)), found: found}
	e, err := d.r.Root()
	if err != nil {
		return d.wrong(at, err)
	}
	if root != "" && e.Name != root {
		return problemf(malformed, "the document is <%s>, and <%s> is asked for", clip(e.Name), root)
	}
	if err := d.structure(e, s, v, got, at); err != nil {
		return err
	}
	return d.wrong(at, d.r.End())
}

type xmlDecoder struct {
	r     *xmldoc.Reader
	found *findings
}

// wrong says where in the request a document has something wrong.
func (d *xmlDecoder) wrong(at *path, err error) error {
	if err == nil {
		return nil
	}
	return &problem{kind: malformed, text: where(at) + err.Error(), cause: err}
}

// structure reads the element e, which has begun, to its end.
func (d *xmlDecoder) structure(e *xmldoc.Element, s *structure, v reflect.Value, got *seen, at *path) error {
	for _, a := range e.Attributes {
		f := s.attribute(a.Name)
		if f == nil {
			return problemf(invalid, "%sthe attribute %s of <%s> is not known to Gust: leave it out", where(at), quoted(a.Name), clip(e.Name))
		}
		got.add(f) // none is there twice
		if err := setText(&f.node, f.value(v), a.Value, (&path{up: at, name: f.label}).String(), isoTime); err != nil {
			return err
		}
	}
	for {
		child, err := d.r.Next()
		if err != nil {
			return d.wrong(at, err)
		}
		if child == nil {
			return nil
		}
		f := s.body[child.Name]
		if f == nil {
			f = s.flat[child.Name]
		}
		if f == nil || f.attr {
			return problemf(invalid, "%s<%s> is not known to Gust: leave it out", where(at), clip(child.Name))
		}
		here := &path{up: at, name: f.label}
		again := got.add(f)
		switch {
		case f.flat && f.kind == kindList:
			list := f.slot(v, again)
			here.index = list.Len() + 1
			err = d.item(&f.node, child, list, &path{up: here.up, name: f.label})
		case f.flat && f.kind == kindMap:
			err = d.entry(&f.node, child, f.slot(v, again), here)
		case again:
			return problemf(malformed, "%s<%s> is there twice", where(at), clip(child.Name))
		default:
			err = d.value(&f.node, child, f.value(v), here)
		}
		if err != nil {
			return err
		}
	}
}

// attribute finds a member that is an attribute: "xsi:type" by "type".
func (s *structure) attribute(name string) *field {
	if !s.hasAttributes {
		return nil
	}
	for _, f := range s.fields {
		if f.attr && f.name[strings.IndexByte(f.name, ':')+1:] == name {
			return f
		}
	}
	return nil
}

// slot is the place of a member that comes in several elements.
func (f *field) slot(v reflect.Value, again bool) reflect.Value {
	if again {
		return v.Field(f.index)
	}
	return f.value(v)
}

// value reads the element e, which has begun, to its end.
func (d *xmlDecoder) value(n *node, e *xmldoc.Element, v reflect.Value, at *path) error {
	if n.kind == kindStruct {
		var got seen
		if err := d.structure(e, n.fields, v, &got, at); err != nil {
			return err
		}
		d.found.missing(n.fields, &got, at)
		return nil
	}
	if len(e.Attributes) > 0 {
		return problemf(invalid, "%sthe attribute %s of <%s> is not known to Gust: leave it out", where(at), quoted(e.Attributes[0].Name), clip(e.Name))
	}
	switch n.kind {
	case kindList:
		v.Set(reflect.MakeSlice(n.typ, 0, 0))
		return d.each(n.memberName, at, func(child *xmldoc.Element) error { return d.item(n, child, v, at) })
	case kindMap:
		v.Set(reflect.MakeMap(n.typ))
		return d.each("entry", at, func(child *xmldoc.Element) error { return d.entry(n, child, v, at) })
	}
	text, err := d.r.Text()
	if err != nil {
		return d.wrong(at, err)
	}
	if n.kind != kindString {
		text = strings.TrimSpace(text)
	}
	return setText(n, v, text, at.String(), isoTime)
}

// each reads the elements within one that holds nothing but those of a name.
func (d *xmlDecoder) each(name string, at *path, read func(*xmldoc.Element) error) error {
	for {
		child, err := d.r.Next()
		if err != nil || child == nil {
			return d.wrong(at, err)
		}
		if child.Name != name {
			return problemf(invalid, "%s<%s> is not known to Gust: what is there is <%s>", where(at), clip(child.Name), name)
		}
		if err := read(child); err != nil {
			return err
		}
	}
}

// item reads one more of a list.
func (d *xmlDecoder) item(n *node, e *xmldoc.Element, list reflect.Value, at *path) error {
	i := list.Len()
	if err := d.found.room(i, n.elem, at); err != nil {
		return err
	}
	list.Grow(1)
	list.SetLen(i + 1)
	return d.value(n.elem, e, list.Index(i), &path{up: at, index: i + 1})
}

// entry reads one more of a map: a key, and a value.
func (d *xmlDecoder) entry(n *node, e *xmldoc.Element, m reflect.Value, at *path) error {
	if m.IsNil() {
		m.Set(reflect.MakeMap(n.typ))
	}
	if err := d.found.room(m.Len(), n.elem, at); err != nil {
		return err
	}
	key, value := reflect.New(n.key.typ).Elem(), reflect.New(n.elem.typ).Elem()
	parts := map[string]bool{}
	for {
		child, err := d.r.Next()
		if err != nil {
			return d.wrong(at, err)
		}
		if child == nil {
			break
		}
		of, into := n.key, key
		switch {
		case parts[child.Name] || child.Name != n.keyName && child.Name != n.valueName:
			return problemf(malformed, "%s<%s> is neither <%s> nor <%s> of an entry", where(at), clip(child.Name), n.keyName, n.valueName)
		case child.Name == n.valueName:
			of, into = n.elem, value
		}
		parts[child.Name] = true
		if err := d.value(of, child, into, &path{up: at, name: child.Name}); err != nil {
			return err
		}
	}
	switch {
	case len(parts) != 2:
		return problemf(malformed, "%san entry has not both a <%s> and a <%s>", where(at), n.keyName, n.valueName)
	case m.MapIndex(key).IsValid():
		return problemf(malformed, "%sthe <%s> %s is there twice", where(at), n.keyName, quoted(key.String()))
	}
	m.SetMapIndex(key, value)
	return nil
}

// where begins an error's text with the place that it is about.
func where(at *path) string {
	if at == nil {
		return ""
	}
	return quoted(at.String()) + ": "
}
