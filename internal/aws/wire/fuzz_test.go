package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// wellFormed tells whether an answer is a document of its media type.
func wellFormed(w *httptest.ResponseRecorder) bool {
	switch w.Header().Get("Content-Type") {
	case "application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1":
		return json.Valid(w.Body.Bytes())
	case "text/xml", "application/xml":
		for d := xml.NewDecoder(w.Body); ; {
			if _, err := d.Token(); err == io.EOF {
				return true
			} else if err != nil {
				return false
			}
		}
	}
	return true
}

// FuzzDoor: whatever is sent has an answer in its protocol's form, which is never
// the node's failure.
func FuzzDoor(f *testing.F) {
	f.Add("POST", "/", "Shop_2026.Put", jsonBody, "", []byte(`{"Name":"n"}`))
	f.Add("POST", "/", "", form, "", []byte("Action=Put&Version=2026-01-01&Name=n"))
	f.Add("GET", "/?Action=Put&X-Amz-Credential=a%2Fb%2Fc%2Fshop%2Faws4_request", "", "", "", []byte(nil))
	f.Add("PUT", "/depot/b/p?limit=1", "", "", "", []byte("x"))
	f.Add("POST", "/service/Shop_2026/operation/Put", "", "application/cbor", "rpc-v2-cbor", []byte("\xa0"))
	h, _ := handler(f)
	f.Fuzz(func(t *testing.T, method, target, amzTarget, contentType, smithy string, body []byte) {
		r, err := http.NewRequest(method, target, bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", wiretest.Bearer)
		for name, value := range map[string]string{"X-Amz-Target": amzTarget, "Content-Type": contentType, "Smithy-Protocol": smithy} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || !wellFormed(w) {
			t.Fatalf("%s %s: %d %v %q", method, target, w.Code, w.Header(), w.Body)
		}
	})
}

// bare decodes with one codec into a thing and writes what came of it, with no
// door around.
func bare(f testing.TB, p Protocol) (decode func([]byte) (*putRequest, error), encode func(*putRequest) []byte) {
	s, err := prepare(shop())
	if err != nil {
		f.Fatal(err)
	}
	op := s.operations["Put"]
	fresh := func(body []byte) (*exchange, *httptest.ResponseRecorder) {
		w := httptest.NewRecorder()
		x := &exchange{w: w, r: httptest.NewRequest("POST", "/", nil), body: body, service: s, op: op}
		x.speak(p)
		return x, w
	}
	decode = func(body []byte) (*putRequest, error) {
		x, _ := fresh(body)
		if p == Query {
			x.r.URL.RawQuery = ""
			if err := x.readForm(); err != nil {
				return nil, err
			}
		}
		in := &putRequest{}
		var found findings
		if err := x.codec.decode(x, reflect.ValueOf(in).Elem(), &found); err != nil {
			return nil, err
		}
		return in, found.error()
	}
	encode = func(in *putRequest) []byte {
		x, w := fresh(nil)
		if err := x.codec.encode(x, reflect.ValueOf(&putResponse{in.Thing}).Elem()); err != nil {
			f.Fatal(err)
		}
		return w.Body.Bytes()
	}
	return decode, encode
}

// FuzzJSON: what is read comes back when it is written and read again, and what
// encoding/json does not take is not taken.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"Name":"n","Thing":{"Name":"a","Kind":"big","Count":3,"Price":1.5,"Big":true,"Made":1767225600.250,"Data":"AAH/","Tags":[{"Key":"k","Value":"\u00e4\ud83d\ude00"}],"Parts":[],"Attrs":{"x":"1"},"Numbers":[1,-2]}}`))
	f.Add([]byte(`{"Name":"","Thing":{"Name":"","Price":"NaN"}}`))
	decode, encode := bare(f, JSON10)
	f.Fuzz(func(t *testing.T, doc []byte) {
		in, err := decode(doc)
		if err != nil {
			return
		}
		if len(bytes.TrimSpace(doc)) > 0 && !json.Valid(doc) {
			t.Fatalf("%q is no JSON", doc)
		}
		first := encode(in)
		if !json.Valid(first) {
			t.Fatalf("%q became %q", doc, first)
		}
		again, err := decode(append(bytes.TrimSuffix(bytes.Clone(first), []byte("}")), sep(first)+`"Name":"n"}`...))
		if err != nil || !bytes.Equal(encode(again), first) {
			t.Fatalf("%q became %q, then %v", doc, first, err)
		}
	})
}

// sep is what stands before a further member.
func sep(doc []byte) string {
	if len(doc) == 2 {
		return ""
	}
	return ","
}

// FuzzQuery: parameters are read or refused, and what is read is written as XML.
func FuzzQuery(f *testing.F) {
	f.Add([]byte("Name=n&Thing.Name=a&Thing.Kind=big&Thing.Made=2026-01-01T00%3A00%3A00.25Z&Thing.Data=AAH%2F&Thing.Tags.member.1.Key=k&Thing.Tags.member.1.Value=v" +
		"&Thing.Parts.member.1.Name=b&Thing.Attrs.entry.1.key=x&Thing.Attrs.entry.1.value=1&Thing.Numbers.1=1&Thing.Numbers.2=-2"))
	f.Add([]byte("Name=n&Thing.Tags.member.1000000000.Key=k"))
	decode, encode := bare(f, Query)
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decode(body)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "text/xml")
		w.Body.Write(encode(in))
		text := w.Body.String()
		if !wellFormed(w) {
			t.Fatalf("%q became %q", body, text)
		}
	})
}

const (
	smallJSON  = `{"Name":"n","Thing":{"Name":"worker","Kind":"big","Count":3,"Tags":[{"Key":"team","Value":"blue"}]}}`
	smallQuery = "Action=Put&Version=2026-01-01&Name=n&Thing.Name=worker&Thing.Kind=big&Thing.Count=3&Thing.Tags.member.1.Key=team&Thing.Tags.member.1.Value=blue"
)

// BenchmarkCodecs reads one small request and writes its answer.
func BenchmarkCodecs(b *testing.B) {
	for _, c := range []struct {
		name string
		p    Protocol
		body string
	}{{"json", JSON10, smallJSON}, {"query", Query, smallQuery[len("Action=Put&Version=2026-01-01&"):]}} {
		s, err := prepare(shop())
		if err != nil {
			b.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/", nil)
		run := func(b *testing.B, body []byte) {
			x := &exchange{w: discard{}, r: r, body: body, service: s, op: s.operations["Put"]}
			x.speak(c.p)
			if c.p == Query {
				if err := x.readForm(); err != nil {
					b.Fatal(err)
				}
			}
			in := x.op.Run.alloc()
			v := reflect.ValueOf(in).Elem()
			var found findings
			if err := x.codec.decode(x, v, &found); err != nil {
				b.Fatal(err)
			}
			found.validate(&node{kind: kindStruct, fields: x.op.in}, v, nil)
			if err := found.error(); err != nil {
				b.Fatal(err)
			}
			out, err := x.op.Run.run(context.Background(), in)
			if err == nil {
				err = x.codec.encode(x, reflect.ValueOf(out).Elem())
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(b, []byte(c.body))
			}
		})
	}
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var in struct {
				Name  string
				Thing *struct {
					Name  string
					Kind  *string `json:",omitempty"`
					Count *int32  `json:",omitempty"`
					Tags  []tag   `json:",omitempty"`
				}
			}
			if err := json.Unmarshal([]byte(smallJSON), &in); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(in.Thing); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// discard takes an answer.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
