package wire

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/aws/cbor"
)

// cborCodec is Smithy RPC v2 CBOR.
type cborCodec struct{}

func (cborCodec) decode(x *exchange, in reflect.Value, found *findings) error {
	if err := x.readBody(); err != nil {
		return err
	}
	var got seen
	if len(x.body) > 0 {
		if err := readCBOR(x.body, x.op.in, in, &got, found); err != nil {
			return err
		}
	}
	found.missing(x.op.in, &got, nil)
	return nil
}

// readCBOR reads a document into a struct's members that are in the body.
func readCBOR(doc []byte, s *structure, v reflect.Value, got *seen, found *findings) error {
	d := cborDecoder{r: cbor.NewReader(doc), found: found}
	if err := d.structure(s, v, got, nil); err != nil {
		return err
	}
	return d.wrong(nil, d.r.End())
}

type cborDecoder struct {
	r     *cbor.Reader
	found *findings
}

// wrong says where in the request a document has something wrong.
func (d *cborDecoder) wrong(at *path, err error) error {
	if err == nil {
		return nil
	}
	return &problem{kind: malformed, text: where(at) + err.Error(), cause: err}
}

func (d *cborDecoder) structure(s *structure, v reflect.Value, got *seen, at *path) error {
	if err := d.r.Map(); err != nil {
		return d.wrong(at, err)
	}
	members := 0
	for d.r.More() {
		key, err := d.r.Key()
		if err != nil {
			return d.wrong(at, err)
		}
		f := s.body[string(key)]
		if f == nil {
			return problemf(invalid, "the member %s is not known to Gust: leave it out", quoted((&path{up: at, name: string(key)}).String()))
		}
		here := &path{up: at, name: f.label}
		null, err := d.r.Null()
		if err != nil {
			return d.wrong(here, err)
		}
		if null {
			continue
		}
		if members++; s.union && members > 1 {
			return problemf(malformed, "%s is of a union, which has one member", quoted(here.String()))
		}
		if got.add(f) {
			return problemf(malformed, "the member %s is there twice", quoted(here.String()))
		}
		if err := d.value(&f.node, f.value(v), here); err != nil {
			return err
		}
	}
	return nil
}

// value reads what is not null.
func (d *cborDecoder) value(n *node, v reflect.Value, at *path) (err error) {
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
		return d.mapping(n, v, at)
	case kindString:
		var s string
		if s, err = d.r.Text(); err == nil {
			v.SetString(s)
		}
	case kindBool:
		var b bool
		if b, err = d.r.Bool(); err == nil {
			v.SetBool(b)
		}
	case kindInt:
		var i int64
		if i, err = d.r.Int(); err == nil {
			if v.OverflowInt(i) {
				return outOfRange(at, v)
			}
			v.SetInt(i)
		}
	case kindFloat:
		var f float64
		if f, err = d.r.Float(); err == nil {
			if v.OverflowFloat(f) {
				return outOfRange(at, v)
			}
			v.SetFloat(f)
		}
	case kindBlob:
		var b []byte
		if b, err = d.r.Bytes(); err == nil {
			v.SetBytes(append([]byte{}, b...)) // the document may be large
		}
	case kindTime:
		var t time.Time
		if t, err = d.r.Time(); err == nil {
			v.Set(reflect.ValueOf(t))
		}
	}
	return d.wrong(at, err)
}

func outOfRange(at *path, v reflect.Value) error {
	return problemf(malformed, "%s has to be a number of %d bits", quoted(at.String()), v.Type().Bits())
}

func (d *cborDecoder) list(n *node, v reflect.Value, at *path) error {
	if err := d.r.List(); err != nil {
		return d.wrong(at, err)
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; d.r.More(); i++ {
		here := &path{up: at, index: i + 1}
		if err := d.found.room(i, n.elem, at); err != nil {
			return err
		}
		v.Grow(1)
		v.SetLen(i + 1)
		if err := d.value(n.elem, v.Index(i), here); err != nil {
			return err
		}
	}
	return nil
}

func (d *cborDecoder) mapping(n *node, v reflect.Value, at *path) error {
	if err := d.r.Map(); err != nil {
		return d.wrong(at, err)
	}
	m := reflect.MakeMap(v.Type())
	v.Set(m)
	for d.r.More() {
		key, err := d.r.Key()
		if err != nil {
			return d.wrong(at, err)
		}
		here := &path{up: at, name: string(key)}
		k := reflect.ValueOf(string(key)).Convert(v.Type().Key())
		if m.MapIndex(k).IsValid() {
			return problemf(malformed, "the key %s is there twice", quoted(here.String()))
		}
		if err := d.found.room(m.Len(), n.elem, at); err != nil {
			return err
		}
		item := reflect.New(n.elem.typ).Elem()
		if err := d.value(n.elem, item, here); err != nil {
			return err
		}
		m.SetMapIndex(k, item)
	}
	return nil
}

func (c cborCodec) encode(x *exchange, out reflect.Value) error {
	x.w.Header()["Smithy-Protocol"] = []string{"rpc-v2-cbor"}
	body := c.document(x.op.out, out)
	if f := x.op.out.events(); f != nil {
		x.stream(c, f, out, body)
		return nil
	}
	x.write(http.StatusOK, cbor.ContentType, body)
	return nil
}

func (c cborCodec) fail(x *exchange, e *Error) {
	x.w.Header()["Smithy-Protocol"] = []string{"rpc-v2-cbor"}
	x.queryError(e)
	x.write(e.Status, cbor.ContentType, c.fault(x.service, e))
}

func (cborCodec) media() string { return cbor.ContentType }

func (cborCodec) document(s *structure, v reflect.Value) []byte { return appendCBOR(nil, s, v) }

func (cborCodec) fault(s *service, e *Error) []byte {
	b := cbor.AppendOpenMap(nil)
	b = cbor.AppendText(cbor.AppendText(b, "__type"), e.Name)
	b = cbor.AppendText(cbor.AppendText(b, e.member), e.Message)
	if plan, v, ok := s.detail(e); ok {
		b = appendCBORMembers(b, plan, v)
	}
	return cbor.AppendEnd(b)
}

// appendCBOR appends a struct. Its members that are not there are left out, so
// that how many it has is known at its end.
func appendCBOR(dst []byte, s *structure, v reflect.Value) []byte {
	return cbor.AppendEnd(appendCBORMembers(cbor.AppendOpenMap(dst), s, v))
}

func appendCBORMembers(dst []byte, s *structure, v reflect.Value) []byte {
	for _, f := range s.fields {
		if f.location != inBody {
			continue
		}
		if given, ok := f.given(v); ok {
			dst = appendCBORValue(cbor.AppendText(dst, f.name), &f.node, given)
		}
	}
	return dst
}

func appendCBORValue(dst []byte, n *node, v reflect.Value) []byte {
	switch n.kind {
	case kindStruct:
		return appendCBOR(dst, n.fields, v)
	case kindList:
		dst = cbor.AppendList(dst, v.Len())
		for i := range v.Len() {
			dst = appendCBORValue(dst, n.elem, v.Index(i))
		}
		return dst
	case kindMap:
		dst = cbor.AppendMap(dst, v.Len())
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			dst = appendCBORValue(cbor.AppendText(dst, k.String()), n.elem, v.MapIndex(k))
		}
		return dst
	case kindBool:
		return cbor.AppendBool(dst, v.Bool())
	case kindInt:
		return cbor.AppendInt(dst, v.Int())
	case kindFloat:
		if v.Kind() == reflect.Float32 {
			return cbor.AppendFloat32(dst, float32(v.Float()))
		}
		return cbor.AppendFloat(dst, v.Float())
	case kindBlob:
		return cbor.AppendBytes(dst, v.Bytes())
	case kindTime:
		return cbor.AppendTime(dst, v.Interface().(time.Time))
	}
	return cbor.AppendText(dst, v.String())
}
