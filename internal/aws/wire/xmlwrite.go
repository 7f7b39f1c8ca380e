package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// xmlWriter writes values as XML elements.
type xmlWriter struct{ buf []byte }

// maxPooled bounds the buffers that are kept for the next answer.
const maxPooled = 64 << 10

var xmlPool = sync.Pool{New: func() any { return &xmlWriter{} }}

func newXML() *xmlWriter { return xmlPool.Get().(*xmlWriter) }

// free gives the writer's buffer back; nothing may hold it.
func (w *xmlWriter) free() {
	if cap(w.buf) <= maxPooled {
		w.buf = w.buf[:0]
		xmlPool.Put(w)
	}
}

// text writes an element that has a text.
func (w *xmlWriter) text(name, value string) {
	w.open(name)
	w.escape(value)
	w.close(name)
}

func (w *xmlWriter) open(name string) { w.buf = append(append(append(w.buf, '<'), name...), '>') }

// close ends an element, whose name may be followed by attributes.
func (w *xmlWriter) close(name string) {
	name, _, _ = strings.Cut(name, " ")
	w.buf = append(append(append(w.buf, "</"...), name...), '>')
}

func (w *xmlWriter) escape(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' {
			b := bytes.NewBuffer(w.buf)
			xml.EscapeText(b, []byte(s)) //nolint:errcheck // a buffer takes all
			w.buf = b.Bytes()
			return
		}
	}
	w.buf = append(w.buf, s...)
}

// value writes an element: of a flat list or map, one for each of its members.
func (w *xmlWriter) value(n *node, name string, v reflect.Value) {
	switch {
	case n.flat && n.kind == kindList:
		for i := range v.Len() {
			w.value(n.elem, name, v.Index(i))
		}
		return
	case n.flat && n.kind == kindMap:
		w.entries(n, name, v)
		return
	}
	attributes := ""
	if n.kind == kindStruct {
		attributes = n.fields.attributes(v)
	}
	w.open(name + attributes)
	w.content(n, v)
	w.close(name)
}

// attributes are the members of a struct that are attributes in its XML, after
// the declaration of the prefix that they have.
func (s *structure) attributes(v reflect.Value) string {
	if !s.hasAttributes && s.prefix == "" {
		return ""
	}
	w := &xmlWriter{}
	if s.prefix != "" {
		w.buf = append(w.buf, declare(s.prefix, s.space)...)
	}
	for _, f := range s.fields {
		given, ok := f.given(v)
		if !f.attr || !ok {
			continue
		}
		w.buf = append(append(append(w.buf, ' '), f.name...), '=', '"')
		w.content(&f.node, given)
		w.buf = append(w.buf, '"')
	}
	return string(w.buf)
}

// content writes what is between an element's tags.
func (w *xmlWriter) content(n *node, v reflect.Value) {
	switch n.kind {
	case kindString:
		w.escape(v.String())
	case kindBool:
		w.buf = strconv.AppendBool(w.buf, v.Bool())
	case kindInt:
		w.buf = strconv.AppendInt(w.buf, v.Int(), 10)
	case kindFloat:
		w.buf = appendFloat(w.buf, v.Float(), n.typ.Bits())
	case kindBlob:
		w.buf = base64.StdEncoding.AppendEncode(w.buf, v.Bytes())
	case kindTime:
		w.buf = appendTime(w.buf, cmp.Or(n.time, isoTime), v.Interface().(time.Time))
	case kindList:
		for i := range v.Len() {
			w.value(n.elem, n.memberName, v.Index(i))
		}
	case kindMap:
		w.entries(n, "entry", v)
	case kindStruct:
		w.members(n.fields, v)
	}
}

// entries writes a map, sorted by its keys.
func (w *xmlWriter) entries(n *node, name string, v reflect.Value) {
	keys := make(map[string]reflect.Value, v.Len())
	for _, k := range v.MapKeys() {
		keys[k.String()] = k
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w.open(name)
		w.text(n.keyName, k)
		w.value(n.elem, n.valueName, v.MapIndex(keys[k]))
		w.close(name)
	}
}

// members writes the members of a struct that are in the body.
func (w *xmlWriter) members(s *structure, v reflect.Value) {
	for _, f := range s.fields {
		if f.location != inBody || f.attr {
			continue
		}
		given, ok := f.given(v)
		if !ok {
			continue
		}
		name := f.name
		if f.flat && f.kind == kindList && f.memberName != "member" {
			name = f.memberName
		}
		w.value(&f.node, name+declare(f.prefix, f.space), given)
	}
}

// declare is the attribute that declares a namespace, after a blank; "" is of
// none.
func declare(prefix, space string) string {
	switch {
	case space == "":
		return ""
	case prefix == "":
		return ` xmlns="` + space + `"`
	}
	return " xmlns:" + prefix + `="` + space + `"`
}
