package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// A suite of the published cases: what a request says, as it is sent, and what
// an answer says. Its shapes are as in the models.
type suite struct {
	Description string
	Metadata    struct{ TargetPrefix, APIVersion, JSONVersion string }
	Shapes      map[string]*caseShape
	Cases       []publishedCase
}

type caseShape struct {
	Type         string
	Members      map[string]*caseRef
	Member       *caseRef
	Key, Value   *caseRef
	Payload      string
	LocationName string
	Timestamp    string `json:"timestampFormat"`
	Namespace    any    `json:"xmlNamespace"`
	Union        bool
	Document     bool
	Required     []string
}

type caseRef struct {
	Shape, Location, LocationName string
	Flattened, XMLAttribute       bool
	JSONValue                     bool
	Namespace                     any `json:"xmlNamespace"`
}

type publishedCase struct {
	ID    string
	Given struct {
		Name string
		HTTP struct {
			Method, RequestURI string
			ResponseCode       int
		}
		Input, Output *caseRef
	}
	Params, Result map[string]any
	Error          any
	ErrorCode      any
	Serialized     struct {
		Method, URI, Body string
		Headers           map[string]string
	}
	Response struct {
		StatusCode int `json:"status_code"`
		Headers    map[string]string
		Body       string
	}
}

// maker makes Go types of a suite's shapes, and values of them.
type maker struct {
	*suite
	shapes map[string]Shape // what tags name
	open   map[string]bool  // the shapes that are being made
	rest   bool             // one member may be the body
}

// cannot is what a case has that no type of Gust can have.
type cannot string

func (m *maker) typ(name string) reflect.Type {
	s := m.Shapes[name]
	if m.open[name] {
		panic(cannot("shapes that have themselves in them, which reflect cannot make"))
	}
	m.open[name] = true
	defer delete(m.open, name)
	if s.Document {
		panic(cannot("documents"))
	}
	shape := Shape{Time: s.Timestamp}
	for _, part := range []struct {
		ref       *caseRef
		shape, as *string
	}{{s.Member, &shape.Member, &shape.MemberName}, {s.Key, &shape.Key, &shape.KeyName}, {s.Value, &shape.Value, &shape.ValueName}} {
		if part.ref != nil {
			*part.shape, *part.as = part.ref.Shape, part.ref.LocationName
		}
	}
	m.shapes[name] = shape
	switch s.Type {
	case "structure":
		return m.structure(name, s)
	case "list":
		return reflect.SliceOf(m.typ(s.Member.Shape))
	case "map":
		return reflect.MapOf(m.typ(s.Key.Shape), m.typ(s.Value.Shape))
	}
	return map[string]reflect.Type{"string": reflect.TypeFor[string](), "integer": reflect.TypeFor[int32](), "long": reflect.TypeFor[int64](), "boolean": reflect.TypeFor[bool](),
		"double": reflect.TypeFor[float64](), "float": reflect.TypeFor[float32](), "blob": bytesType, "timestamp": timeType}[s.Type]
}

func (m *maker) structure(shape string, s *caseShape) reflect.Type {
	options := []string{cmp.Or(s.LocationName, shape)}
	if s.Union {
		options = append(options, "union")
	}
	options = append(options, namespace(s.Namespace)...)
	fields := []reflect.StructField{{Name: "_", PkgPath: "wire", Type: reflect.TypeFor[struct{}](), Tag: tagOf(options)}}
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		ref := s.Members[name]
		if ref.JSONValue {
			panic(cannot("JSON in headers"))
		}
		t := m.typ(ref.Shape)
		if of := m.Shapes[ref.Shape].Type; of != "list" && of != "map" && of != "blob" {
			t = reflect.PointerTo(t)
		}
		options := []string{cmp.Or(ref.LocationName, name), "shape=" + ref.Shape}
		if m.Shapes[ref.Shape].Type == "structure" {
			options = options[:1]
		}
		if ref.Location != "" {
			options = append(options, map[string]string{"header": "header", "headers": "headers", "querystring": "query", "uri": "label", "statusCode": "status"}[ref.Location])
		}
		if m.rest && s.Payload == name && ref.LocationName != "" {
			options = append(options, "root="+ref.LocationName)
		}
		for option, on := range map[string]bool{"payload": m.rest && s.Payload == name, "flat": ref.Flattened, "attr": ref.XMLAttribute} {
			if on {
				options = append(options, option)
			}
		}
		fields = append(fields, reflect.StructField{Name: exported(name), Type: t, Tag: tagOf(append(options, namespace(ref.Namespace)...))})
	}
	return reflect.StructOf(fields)
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

func tagOf(options []string) reflect.StructTag {
	return reflect.StructTag(fmt.Sprintf("aws:%q", strings.Join(options, ",")))
}

func namespace(ns any) []string {
	switch ns := ns.(type) {
	case string:
		return []string{"ns=" + ns}
	case map[string]any:
		options := []string{"ns=" + fmt.Sprint(ns["uri"])}
		if p, ok := ns["prefix"].(string); ok {
			options = append(options, "prefix="+p)
		}
		return options
	}
	return nil
}

// set makes a value of what a case says of it.
func (m *maker) set(v reflect.Value, name string, from any) {
	s := m.Shapes[name]
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch s.Type {
	case "structure":
		for member, given := range from.(map[string]any) {
			if given != nil {
				m.set(v.FieldByName(exported(member)), s.Members[member].Shape, given)
			}
		}
	case "list":
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for _, given := range from.([]any) {
			if given == nil {
				panic(cannot("null in a list"))
			}
			item := reflect.New(v.Type().Elem()).Elem()
			m.set(item, s.Member.Shape, given)
			v.Set(reflect.Append(v, item))
		}
	case "map":
		v.Set(reflect.MakeMap(v.Type()))
		for key, given := range from.(map[string]any) {
			if given == nil {
				panic(cannot("null in a map"))
			}
			item := reflect.New(v.Type().Elem()).Elem()
			m.set(item, s.Value.Shape, given)
			v.SetMapIndex(reflect.ValueOf(key), item)
		}
	case "blob":
		v.SetBytes([]byte(from.(string)))
	case "timestamp":
		t, _ := timeOf(from.(float64))
		v.Set(reflect.ValueOf(t))
	case "string":
		v.SetString(from.(string))
	case "boolean":
		v.SetBool(from.(bool))
	case "integer", "long":
		v.SetInt(int64(from.(float64)))
	default:
		f, ok := from.(float64)
		if word, isWord := from.(string); isWord {
			f, ok = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[word]
		}
		if !ok {
			panic(fmt.Sprint(from))
		}
		v.SetFloat(f)
	}
}

// told is a value as a text, for comparing: NaN is NaN, and what is empty in a
// header is not there.
func told(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return told(v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.Format(time.RFC3339Nano)
		}
		var b strings.Builder
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "_" {
				continue
			}
			if text := told(v.Field(i)); text != "" {
				fmt.Fprintf(&b, "%s: %s, ", v.Type().Field(i).Name, text)
			}
		}
		return "{" + b.String() + "}"
	case reflect.Slice:
		if v.IsNil() {
			return ""
		}
		if b, ok := v.Interface().([]byte); ok {
			return fmt.Sprintf("%q", b)
		}
		var items []string
		for i := range v.Len() {
			items = append(items, told(v.Index(i)))
		}
		return fmt.Sprint(items)
	case reflect.Map:
		if v.IsNil() {
			return ""
		}
		items := map[string]string{}
		for it := v.MapRange(); it.Next(); {
			items[it.Key().String()] = told(it.Value())
		}
		return fmt.Sprint(items)
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

// notHere are cases that are none of a server's, or that no service has that Gust
// could speak for, by what they have in common.
var notHere = []struct{ why, cases string }{
	{"a client has to bear it, and a server does not write it", `AwsJson1.DeserializeIgnoreType AwsJson10DeserializeAllowNulls AwsJson10HandlesUnexpectedJsonOutput handles_unexpected_json_output
		AwsJson11StructuresDontDeserializeNullValues RestJsonDoesntDeserializeNullStructureValues RestJsonDeserializesDenseSetMapAndSkipsNull RestJsonDeserializeIgnoreType
		AwsQueryDateTimeWith.*Offset RestJsonDateTimeWith.*Offset RestXmlDateTimeWith.*Offset AwsJson11DateTimeWith.*Offset IgnoreQueryParamsInResponse NestedXmlMapWithXmlNameDeserializes
		RpcV2CborDeserializesDenseSetMapAndSkipsNull RpcV2CborExtraFieldsInTheBodyShouldBeSkippedByClients RpcV2CborPayloadWithUnsetUnion QueryIgnoresWrappingXmlName
		QueryNoInputAndNoOutput QueryNoInputAndOutput QueryEmptyInputAndEmptyOutput`},
	{"a client leaves out what is empty, or fills it in", `HttpPrefixHeadersAreNotPresent RestJsonHttpPrefixHeadersAreNotPresent NullAndEmptyHeaders RestJsonNullAndEmptyHeaders QueryEmptyQueryMaps
		RestJsonOmitsEmptyListQueryValues QueryIdempotencyTokenAutoFill QueryProtocolIdempotencyTokenAutoFill RestJsonQueryIdempotencyTokenAutoFill RestXmlQueryPrecedence RestJsonQueryPrecedence
		RestJsonHttpWithEmptyStructurePayload RestJsonHttpWithHeadersButNoPayload`},
	{"an endpoint with a path of its own", "AwsJson1.HostWithPath QueryHostWithPath RestJsonHostWithPath"},
	{"the case does not have the body that it is about", "SDKApplied.* SDKAppend.*"},
	{"botocore's models name the members of flat lists and documents in another way", `QueryFlattenedListArgWithXmlName QueryXmlLists XmlLists RestXmlHttpPayloadWithUnion
		HttpPayloadWithXmlName HttpPayloadWithXmlNamespace.* XmlAttributesOnPayload`},
	{"a server's map of all parameters has those, too, that have a member", `AllQueryStringTypes RestXmlQueryStringEscaping RestXmlSupports.*FloatQueryValues RestXmlZeroAndFalseQueryValues
		Rest.*QueryParamsStringListMap`},
	{"no service has namespaces in the members of lists and maps", "XmlNamespaces QueryXmlNamespaces .*XmlMapWithXmlNamespace"},
	{"no service has all headers in one member", "HttpPrefixHeadersResponse"},
	{"it is about the request", "AwsJson11IntEnums"},
}

// published runs each case of a folder ("input", "output") of each protocol.
func published(t *testing.T, kind string, run func(*testing.T, *wiretest.Door, Protocol, *maker, *publishedCase)) {
	root := os.Getenv("PUBLISHED_CASES")
	if root == "" {
		t.Skip("PUBLISHED_CASES names no folder with the cases that AWS publishes in botocore, tests/unit/protocols; make conformance fetches them")
	}
	door := wiretest.New(t)
	for file, protocol := range map[string]Protocol{"json": JSON11, "json_1_0": JSON10, "query": Query, "rest-json": RESTJSON, "rest-xml": RESTXML, "smithy-rpc-v2-cbor": CBOR} {
		doc, err := os.ReadFile(filepath.Join(root, kind, file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var suites []*suite
		if err := json.Unmarshal(doc, &suites); err != nil {
			t.Fatal(err)
		}
		ran := 0
		for _, s := range suites {
			for i := range s.Cases {
				c := &s.Cases[i]
				t.Run(file+"/"+cmp.Or(c.ID, s.Description), func(t *testing.T) {
					defer func() {
						if why, ok := recover().(cannot); ok {
							t.Skip(why)
						}
					}()
					for _, n := range notHere {
						for pattern := range strings.FieldsSeq(n.cases) {
							if regexp.MustCompile("^" + pattern + "$").MatchString(c.ID) {
								t.Skip(n.why)
							}
						}
					}
					if c.Error != nil || c.ErrorCode != nil {
						t.Skip("an error in one of the forms that clients have to understand")
					}
					ran++
					run(t, door, protocol, &maker{suite: s, shapes: map[string]Shape{}, open: map[string]bool{}, rest: protocol == RESTJSON || protocol == RESTXML}, c)
				})
			}
		}
		t.Logf("%s: %d cases", file, ran)
	}
}

// single is a handler with the one operation of a case.
func single(t *testing.T, door *wiretest.Door, p Protocol, m *maker, c *publishedCase, in, out reflect.Type, run func(in any) any) *Handler {
	t.Helper()
	h, err := New(Options{Guard: door.Guard, Services: []*Service{{
		Model: &Model{Name: "published", Title: "Published", Version: m.Metadata.APIVersion, Namespace: map[Protocol]string{Query: "https://example.com/"}[p], Target: cmp.Or(m.Metadata.TargetPrefix, "Published"), Protocols: []Protocol{p}, Shapes: m.shapes,
			Bindings: []Binding{{Name: c.Given.Name, Method: c.Given.HTTP.Method, Path: c.Given.HTTP.RequestURI, Status: c.Given.HTTP.ResponseCode}}},
		Operations: []Operation{{Name: c.Given.Name, Level: Data, Note: "whole", Run: Runner{in: in, out: out, alloc: func() any { return reflect.New(in).Interface() },
			run: func(_ context.Context, in any) (any, error) { return run(in), nil }}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (m *maker) of(ref *caseRef) reflect.Type {
	if ref == nil {
		return reflect.TypeFor[struct{}]()
	}
	return m.typ(ref.Shape)
}

// TestPublishedRequests: what clients send is understood.
func TestPublishedRequests(t *testing.T) {
	published(t, "input", func(t *testing.T, door *wiretest.Door, p Protocol, m *maker, c *publishedCase) {
		in := m.of(c.Given.Input)
		want := reflect.New(in)
		if c.Given.Input != nil {
			m.set(want.Elem(), c.Given.Input.Shape, map[string]any(c.Params))
		}
		var got any
		h := single(t, door, p, m, c, in, reflect.TypeFor[struct{}](), func(in any) any {
			got = in
			return &struct{}{}
		})
		body := []byte(c.Serialized.Body)
		if p == CBOR {
			body, _ = base64.StdEncoding.DecodeString(c.Serialized.Body)
		}
		r := httptest.NewRequest(c.Serialized.Method, cmp.Or(c.Serialized.URI, "/"), bytes.NewReader(body))
		r.Header.Set("Authorization", wiretest.Bearer)
		for name, value := range c.Serialized.Headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got == nil {
			t.Fatalf("%s\n%s\nis refused: %d %s", c.Serialized.URI, c.Serialized.Body, w.Code, w.Body)
		}
		if g, w := told(reflect.ValueOf(got)), told(want); g != w {
			t.Errorf("%s\n%s\nis %s\nwant %s", c.Serialized.URI, c.Serialized.Body, g, w)
		}
	})
}

// TestPublishedAnswers: what is answered says what clients look for in it.
func TestPublishedAnswers(t *testing.T) {
	published(t, "output", func(t *testing.T, door *wiretest.Door, p Protocol, m *maker, c *publishedCase) {
		out := m.of(c.Given.Output)
		result := reflect.New(out)
		if c.Given.Output != nil {
			m.set(result.Elem(), c.Given.Output.Shape, map[string]any(c.Result))
		}
		c.Given.HTTP.RequestURI = "/asked"
		h := single(t, door, p, m, c, reflect.TypeFor[struct{}](), out, func(any) any { return result.Interface() })
		r := httptest.NewRequest(cmp.Or(c.Given.HTTP.Method, "POST"), "/asked", http.NoBody)
		switch p {
		case Query:
			r = httptest.NewRequest("POST", "/", strings.NewReader("Action="+c.Given.Name+"&Version="+m.Metadata.APIVersion))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		case JSON10, JSON11:
			r = httptest.NewRequest("POST", "/", strings.NewReader("{}"))
			r.Header.Set("X-Amz-Target", cmp.Or(m.Metadata.TargetPrefix, "Published")+"."+c.Given.Name)
			r.Header.Set("Content-Type", "application/x-amz-json-"+m.Metadata.JSONVersion)
		case CBOR:
			r = httptest.NewRequest("POST", "/service/"+cmp.Or(m.Metadata.TargetPrefix, "Published")+"/operation/"+c.Given.Name, http.NoBody)
			r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		}
		r.Header.Set("Authorization", wiretest.Bearer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.Response.StatusCode {
			t.Errorf("the status is %d, want %d: %s", w.Code, c.Response.StatusCode, w.Body)
		}
		sent := make(http.Header) // metadata keep the case that they were given in
		for name, values := range w.Header() {
			sent[http.CanonicalHeaderKey(name)] = values
		}
		for name, want := range c.Response.Headers {
			if got := strings.Join(sent.Values(name), ", "); got != want && name != "Content-Type" && name != "Content-Length" {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		got, want := alike(t, p, m, out, w.Body.Bytes()), alike(t, p, m, out, []byte(c.Response.Body))
		if got != want {
			t.Errorf("the body is\n%s\nwant\n%s", got, want)
		}
	})
}

// alike is a body in a form that is the same for all bodies that say the same.
func alike(t *testing.T, p Protocol, m *maker, out reflect.Type, body []byte) string {
	text := strings.TrimSpace(string(body))
	switch {
	case text == "":
		return ""
	case p == CBOR:
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			body = b
		}
		plans := newPlanner(&Model{Shapes: m.shapes})
		s, err := plans.structure(out)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(out).Elem()
		if err := readCBOR(body, s, v, &seen{}, &findings{}); err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		return strings.TrimPrefix(told(v), "{}")
	case text[0] == '<':
		return sortedXML(t, text)
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return text
	}
	if doc, ok := v.(map[string]any); ok && len(doc) == 0 {
		return ""
	}
	return fmt.Sprint(v)
}

// sortedXML is a document without white space between elements, the elements in
// one another sorted, and without the ids of requests.
func sortedXML(t *testing.T, text string) string {
	d := xml.NewDecoder(strings.NewReader(text))
	type element struct {
		name     string
		children []string
		text     string
	}
	stack := []*element{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return stack[0].children[0]
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: "{" + token.Name.Space + "}" + token.Name.Local}
			var attributes []string
			for _, a := range token.Attr {
				if a.Name.Local != "xmlns" && a.Name.Space != "xmlns" {
					attributes = append(attributes, fmt.Sprintf(" %s=%q", a.Name.Local, a.Value))
				}
			}
			slices.Sort(attributes)
			e.name += strings.Join(attributes, "")
			stack = append(stack, e)
		case xml.CharData:
			top.text += string(token)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
			slices.Sort(top.children)
			inside := strings.Join(top.children, "")
			if len(top.children) == 0 && strings.TrimSpace(top.text) != "" {
				inside = top.text
			}
			if token.Name.Local == "RequestId" || token.Name.Local == "ResponseMetadata" {
				continue
			}
			parent := stack[len(stack)-1]
			parent.children = append(parent.children, "<"+top.name+">"+inside+"</>\n")
		}
	}
}
