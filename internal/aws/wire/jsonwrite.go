package wire

import (
	"cmp"
	"encoding/base64"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// jsonWriter writes values as JSON.
type jsonWriter struct{ buf []byte }

var jsonPool = sync.Pool{New: func() any { return &jsonWriter{} }}

func newJSON() *jsonWriter { return jsonPool.Get().(*jsonWriter) }

// free gives the writer's buffer back; nothing may hold it.
func (w *jsonWriter) free() {
	if cap(w.buf) <= maxPooled {
		w.buf = w.buf[:0]
		jsonPool.Put(w)
	}
}

// object writes the members of a struct that are in the body.
func (w *jsonWriter) object(s *structure, v reflect.Value) {
	w.buf = append(w.buf, '{')
	w.members(s, v)
	w.buf = append(w.buf, '}')
}

// members writes members, after a comma if there are some already.
func (w *jsonWriter) members(s *structure, v reflect.Value) {
	for _, f := range s.fields {
		if f.location != inBody {
			continue
		}
		if given, ok := f.given(v); ok {
			w.member(f.name)
			w.value(&f.node, given)
		}
	}
}

// member writes a member's name and the colon.
func (w *jsonWriter) member(name string) {
	if w.buf[len(w.buf)-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.string(name)
	w.buf = append(w.buf, ':')
}

func (w *jsonWriter) value(n *node, v reflect.Value) {
	switch n.kind {
	case kindString:
		w.string(v.String())
	case kindBool:
		w.buf = strconv.AppendBool(w.buf, v.Bool())
	case kindInt:
		w.buf = strconv.AppendInt(w.buf, v.Int(), 10)
	case kindFloat:
		f := v.Float()
		if odd := math.IsNaN(f) || math.IsInf(f, 0); odd {
			w.string(string(appendFloat(nil, f, 64)))
		} else {
			w.buf = appendFloat(w.buf, f, n.typ.Bits())
		}
	case kindBlob:
		w.buf = append(w.buf, '"')
		w.buf = base64.StdEncoding.AppendEncode(w.buf, v.Bytes())
		w.buf = append(w.buf, '"')
	case kindTime:
		t := v.Interface().(time.Time)
		if format := cmp.Or(n.time, unixTime); format == unixTime {
			w.buf = appendTime(w.buf, format, t)
		} else {
			w.buf = append(appendTime(append(w.buf, '"'), format, t), '"')
		}
	case kindList:
		w.buf = append(w.buf, '[')
		for i := range v.Len() {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			w.value(n.elem, v.Index(i))
		}
		w.buf = append(w.buf, ']')
	case kindMap:
		w.entries(n, v)
	case kindStruct:
		w.object(n.fields, v)
	}
}

// entries writes a map, sorted by its keys.
func (w *jsonWriter) entries(n *node, v reflect.Value) {
	keys := make(map[string]reflect.Value, v.Len())
	for _, k := range v.MapKeys() {
		keys[k.String()] = k
	}
	w.buf = append(w.buf, '{')
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w.member(k)
		w.value(n.elem, v.MapIndex(keys[k]))
	}
	w.buf = append(w.buf, '}')
}

const hexDigits = "0123456789abcdef"

func (w *jsonWriter) string(s string) {
	w.buf = append(w.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				w.buf = append(append(w.buf, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		w.buf = append(w.buf, s[from:i]...)
		switch c {
		case '"', '\\':
			w.buf = append(w.buf, '\\', c)
		case '\n':
			w.buf = append(w.buf, `\n`...)
		default:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	w.buf = append(append(w.buf, s[from:]...), '"')
}

// jsonCodec is AWS JSON, 1.0 and 1.1.
type jsonCodec struct{ contentType string }

func (jsonCodec) decode(x *exchange, in reflect.Value, found *findings) error {
	if err := x.readBody(); err != nil {
		return err
	}
	d := jsonDecoder{data: x.body, found: found}
	var got seen
	if err := d.object(x.op.in, in, &got); err != nil {
		return err
	}
	found.missing(x.op.in, &got, nil)
	return nil
}

func (c jsonCodec) encode(x *exchange, out reflect.Value) error {
	w := newJSON()
	defer w.free()
	w.object(x.op.out, out)
	if f := x.op.out.events(); f != nil {
		x.stream(c, f, out, w.buf)
		return nil
	}
	x.write(http.StatusOK, c.contentType, w.buf)
	return nil
}

func (c jsonCodec) fail(x *exchange, e *Error) {
	x.w.Header()["X-Amzn-Errortype"] = []string{e.Name}
	x.queryError(e)
	x.write(e.Status, c.contentType, c.fault(x.service, e))
}

// queryError tells the code that an error has, or has had, in the query
// protocol.
func (x *exchange) queryError(e *Error) {
	if x.service.QueryCompatible || x.service.speaks(Query) {
		x.w.Header()["X-Amzn-Query-Error"] = []string{e.Code + ";" + e.fault()}
	}
}

func (c jsonCodec) media() string { return c.contentType }

func (jsonCodec) document(s *structure, v reflect.Value) []byte {
	w := jsonWriter{}
	w.object(s, v)
	return w.buf
}

func (jsonCodec) fault(of *service, e *Error) []byte {
	w := jsonWriter{buf: []byte{'{'}}
	w.member("__type")
	w.string(e.Name)
	w.member(e.member)
	w.string(e.Message)
	if s, v, ok := of.detail(e); ok {
		w.members(s, v)
	}
	return append(w.buf, '}')
}
