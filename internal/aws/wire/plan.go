package wire

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// kind is what a value is on the wire.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt   // int32, int64
	kindFloat // float32, float64
	kindBlob
	kindTime
	kindList
	kindMap
	kindStruct
	kindReader // a payload that is read or written as it comes
	kindEvents // an event stream: iter.Seq2[*Union, error]
)

// location is where a member is in a request or response.
type location uint8

const (
	inBody    location = iota
	inHeader           // one header
	inHeaders          // all headers with a prefix
	inQuery            // of the URL
	inLabel            // of the path
	inStatus           // of the response
	isPayload          // it is the body
)

// node is the plan of a value in its place: its type, and what the model says
// of it there. Nodes are made once and never changed.
type node struct {
	kind kind
	typ  reflect.Type
	// of a struct, and of the union of an event stream
	fields *structure
	// of a list and a map; key is a map's
	elem, key                      *node
	memberName, keyName, valueName string
	flat                           bool
	time                           string // format; "" is the protocol's
	check                          *check // nil allows all
	sensitive                      bool
	// sound tells that nothing in it has a check.
	sound bool
}

// structure is the plan of a struct.
type structure struct {
	shape string // its own name
	name  string // of its XML element, if the model gives one
	// prefix and space are its XML namespace, if it has one of its own.
	prefix, space string
	union         bool
	fields        []*field
	// body finds the members in the body by their names on the wire.
	body map[string]*field
	// flat are the flat lists by the names of their members, where they have
	// their own.
	flat map[string]*field
	// elsewhere are the members that are not in the body; payload is the one
	// that is the body.
	elsewhere []*field
	payload   *field
	required  []*field
	sound     bool
	// hasAttributes tells of members that are attributes in XML.
	hasAttributes bool
}

// field is the plan of a struct's member.
type field struct {
	node
	index    int
	name     string // on the wire
	label    string // in errors about constraints
	pointer  bool
	required bool
	location location
	// of XML
	attr          bool
	prefix, space string
	root          string // of the document, where it is the body
	header        string // its name as a header, canonical
}

// maxFields is how many members a struct may have: see seen.
const maxFields = 256

// seen notes which members of a struct a request has.
type seen [maxFields / 64]uint64

// add notes a member, and tells whether it was there before.
func (s *seen) add(f *field) (again bool) {
	word, bit := &s[f.index/64], uint64(1)<<(f.index%64)
	again = *word&bit != 0
	*word |= bit
	return again
}

func (s *seen) has(f *field) bool { return s[f.index/64]&(1<<(f.index%64)) != 0 }

// planner makes plans for a service's types.
type planner struct {
	shapes  map[string]Shape
	structs map[reflect.Type]*structure
	checks  map[string]*check
}

func newPlanner(m *Model) *planner {
	return &planner{shapes: m.Shapes, structs: map[reflect.Type]*structure{}, checks: map[string]*check{}}
}

var (
	timeType       = reflect.TypeFor[time.Time]()
	bytesType      = reflect.TypeFor[[]byte]()
	readerType     = reflect.TypeFor[io.Reader]()
	readCloserType = reflect.TypeFor[io.ReadCloser]()
)

// node plans a type at a place where the model names shape, or "".
func (p *planner) node(t reflect.Type, shape string) (*node, error) {
	n := &node{typ: t, memberName: "member", keyName: "key", valueName: "value"}
	s, known := p.shapes[shape]
	if shape != "" && !known {
		return nil, fmt.Errorf("the model has no shape %s", shape)
	}
	if shape != "" {
		var err error
		if n.check, err = p.check(shape, &s); err != nil {
			return nil, err
		}
		n.flat, n.time, n.sensitive = s.Flat, s.Time, s.Sensitive
		n.memberName, n.keyName, n.valueName = cmp.Or(s.MemberName, "member"), cmp.Or(s.KeyName, "key"), cmp.Or(s.ValueName, "value")
	}
	var err error
	switch {
	case t == timeType:
		n.kind = kindTime
	case t == bytesType:
		n.kind = kindBlob
	case t == readerType, t == readCloserType:
		n.kind = kindReader
	case t.Kind() == reflect.String:
		n.kind = kindString
	case t.Kind() == reflect.Bool:
		n.kind = kindBool
	case t.Kind() == reflect.Int32, t.Kind() == reflect.Int64:
		n.kind = kindInt
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		n.kind = kindFloat
	case t.Kind() == reflect.Slice:
		n.kind = kindList
		n.elem, err = p.node(t.Elem(), s.Member)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		n.kind = kindMap
		if n.key, err = p.node(t.Key(), s.Key); err == nil {
			n.elem, err = p.node(t.Elem(), s.Value)
		}
	case t.Kind() == reflect.Struct:
		n.kind = kindStruct
		n.fields, err = p.structure(t)
	case t.Kind() == reflect.Func && strings.HasPrefix(t.Name(), "Seq2["): // iter.Seq2[*T, error]
		n.kind = kindEvents
		n.fields, err = p.structure(t.In(0).In(0).Elem())
	default:
		err = fmt.Errorf("%v has no form on the wire", t)
	}
	return n, err
}

// structure plans a struct, once.
func (p *planner) structure(t reflect.Type) (*structure, error) {
	if s := p.structs[t]; s != nil {
		return s, nil
	}
	s := &structure{shape: t.Name(), body: map[string]*field{}}
	p.structs[t] = s // before its members, which may have it in turn
	if t.NumField() > maxFields {
		return nil, fmt.Errorf("%v has over %d members", t, maxFields)
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("aws"), ",")
		if sf.Name == "_" {
			s.name = name
			for option := range strings.SplitSeq(options, ",") {
				switch key, value, _ := strings.Cut(option, "="); key {
				case "union":
					s.union = true
				case "prefix":
					s.prefix = value
				case "ns":
					s.space = value
				}
			}
			continue
		}
		f, err := p.field(sf, name, options)
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, sf.Name, err)
		}
		f.index = i
		s.fields = append(s.fields, f)
		switch {
		case f.location == inBody:
			s.body[f.name] = f
		case f.location == isPayload:
			s.payload = f
		default:
			s.elsewhere = append(s.elsewhere, f)
		}
		s.hasAttributes = s.hasAttributes || f.attr
		if f.kind == kindList && f.flat && f.memberName != "member" {
			if s.flat == nil {
				s.flat = map[string]*field{}
			}
			s.flat[f.memberName] = f
		}
		if f.required {
			s.required = append(s.required, f)
		}
	}
	return s, nil
}

func (p *planner) field(sf reflect.StructField, name, options string) (*field, error) {
	f := &field{name: cmp.Or(name, sf.Name), label: strings.ToLower(sf.Name[:1]) + sf.Name[1:]}
	shape, flat, format := "", false, ""
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "":
		case "required":
			f.required = true
		case "shape":
			shape = value
		case "header", "eventheader":
			f.location = inHeader
		case "headers":
			f.location = inHeaders
		case "query":
			f.location = inQuery
		case "label":
			f.location = inLabel
		case "status":
			f.location = inStatus
		case "payload", "eventpayload":
			f.location = isPayload
		case "flat":
			flat = true
		case "attr":
			f.attr = true
		case "prefix":
			f.prefix = value
		case "ns":
			f.space = value
		case "root":
			f.root = value
		case "time":
			format = value
		default:
			return nil, fmt.Errorf("the tag has %s", strconv.Quote(option))
		}
	}
	f.header = http.CanonicalHeaderKey(f.name)
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		f.pointer, t = true, t.Elem()
	}
	n, err := p.node(t, shape)
	if err != nil {
		return nil, err
	}
	f.node = *n
	if f.kind == kindEvents {
		f.location = isPayload
	}
	f.flat = f.flat || flat
	f.time = cmp.Or(format, f.time)
	return f, nil
}

// value is the member's place in a struct, and what it points to is made if it
// is not there.
func (f *field) value(v reflect.Value) reflect.Value {
	v = v.Field(f.index)
	if f.pointer {
		v.Set(reflect.New(f.typ))
		return v.Elem()
	}
	return v
}

// given is the member's value for writing, and whether there is any.
func (f *field) given(v reflect.Value) (reflect.Value, bool) {
	v = v.Field(f.index)
	switch {
	case f.pointer:
		if v.IsNil() {
			return v, false
		}
		return v.Elem(), true
	case f.kind == kindList || f.kind == kindMap || f.kind == kindBlob:
		return v, f.required || !v.IsNil()
	case f.kind == kindReader || f.kind == kindEvents:
		return v, !v.IsNil()
	}
	return v, true
}

// settle finds what needs no validation, after all is planned. A struct may have
// itself in it: all are taken for sound until one is found that is not.
func (p *planner) settle() {
	for _, s := range p.structs {
		s.sound = true
	}
	for changed := true; changed; {
		changed = false
		for _, s := range p.structs {
			for _, f := range s.fields {
				if f.settle(); s.sound && !f.sound {
					s.sound, changed = false, true
				}
			}
		}
	}
}

func (n *node) settle() {
	n.sound = n.check == nil
	switch n.kind {
	case kindStruct:
		n.sound = n.sound && n.fields.sound
	case kindList, kindMap:
		n.elem.settle()
		n.sound = n.sound && n.elem.sound
		if n.key != nil {
			n.key.settle()
			n.sound = n.sound && n.key.sound
		}
	}
}
