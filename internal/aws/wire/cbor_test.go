package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"math"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/aws/cbor"
)

func askCBOR(h *Handler, operation string, body []byte, headers ...string) *httptest.ResponseRecorder {
	return serve(h, request("POST", "/service/Shop_2026/operation/"+operation, string(body), append([]string{"Smithy-Protocol", "rpc-v2-cbor", "Content-Type", "application/cbor"}, headers...)...))
}

// thingPlan is the plan of a thing, and of what has one.
func thingPlan(t testing.TB) (in, out *structure) {
	t.Helper()
	p := newPlanner(&shopModel)
	in, err := p.structure(reflect.TypeFor[putRequest]())
	if err == nil {
		out, err = p.structure(reflect.TypeFor[putResponse]())
	}
	if err != nil {
		t.Fatal(err)
	}
	p.settle()
	return in, out
}

func wholeThing() *thing {
	kind, count, price, big, made := "big", int32(-3), 1.5, true, time.UnixMilli(1767225600250).UTC()
	return &thing{Name: "a", Kind: &kind, Count: &count, Price: &price, Big: &big, Made: &made, Data: []byte{0, 255}, Tags: []tag{{"k", "v\u00e4\n<"}},
		Parts: []thing{{Name: "b"}, {Name: "c", Parts: []thing{}}}, Attrs: map[string]string{"x": "1", "y": "2"}, Numbers: []int64{1, math.MinInt64}}
}

func TestCBOR(t *testing.T) {
	h, door := handler(t)
	in, out := thingPlan(t)
	sent := wholeThing()
	*sent.Count = 3
	body := appendCBOR(nil, in, reflect.ValueOf(putRequest{Thing: sent, Name: "n"}))
	w := askCBOR(h, "Put", body)
	var got putResponse
	if err := readCBOR(w.Body.Bytes(), out, reflect.ValueOf(&got).Elem(), &seen{}, &findings{}); err != nil || !reflect.DeepEqual(got.Thing, sent) {
		t.Errorf("%+v, %v", got.Thing, err)
	}
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/cbor" || w.Header().Get("Smithy-Protocol") != "rpc-v2-cbor" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := door.Needs(); len(got) != 1 || got[0] != "shop:Put arn:aws:shop:::thing/n" {
		t.Error(got)
	}
	// An operation without input may come without a body, and with an empty map.
	for _, body := range []string{"", "\xa0", "\xbf\xff"} {
		if w := askCBOR(h, "Login", []byte(body)); w.Code != 200 || w.Body.String() != "\xbf\xff" {
			t.Errorf("%x: %d %x", body, w.Code, w.Body)
		}
	}
}

func TestCBORErrors(t *testing.T) {
	h, _ := handler(t)
	name := func(s string) []byte { return cbor.AppendText(cbor.AppendText(cbor.AppendMap(nil, 1), "Name"), s) }
	w := askCBOR(h, "Fail", name("nothing"))
	r := cbor.NewReader(w.Body.Bytes())
	members := map[string]any{}
	for err := r.Map(); err == nil && r.More(); {
		key, _ := r.Key()
		if k, _ := r.Peek(); k == cbor.Int {
			members[string(key)], err = r.Int()
		} else {
			members[string(key)], err = r.Text()
		}
	}
	want := map[string]any{"__type": "NoSuchThingException", "message": "there is <nothing>", "Name": "x", "Count": int64(3)}
	if w.Code != 404 || !reflect.DeepEqual(members, want) || w.Header().Get("X-Amzn-Query-Error") != "NoSuchThing;Sender" || w.Header().Get("Smithy-Protocol") != "rpc-v2-cbor" {
		t.Errorf("%d %v %v", w.Code, members, w.Header())
	}
	for what, c := range map[string]struct{ operation, body, code string }{
		"'name' failed to satisfy constraint: Member must not be null":                      {"Put", "bfff", "ValidationException"},
		`"Price" is not known to Gust`:                                                      {"Put", "a165507269636500", "ValidationException"},
		`"thing.Prize" is not known to Gust`:                                                {"Put", "a1655468696e67a1655072697a6500", "ValidationException"},
		`\"thing.count\": invalid: the CBOR document has at byte 14 text, where an integer`: {"Put", "a1655468696e67a165436f756e746133", "SerializationException"},
		`"thing.count" has to be a number of 32 bits`:                                       {"Put", "a1655468696e67a165436f756e741a80000000", "SerializationException"},
		`"thing.tags.1.member": invalid`:                                                    {"Put", "a1655468696e67a1645461677381f6", "SerializationException"},
		`"name" is there twice`:                                                             {"Put", "a2644e616d656161644e616d656162", "SerializationException"},
		`"thing.attrs.a" is there twice`:                                                    {"Put", "a1655468696e67a1654174747273a2616161316161613 2", "SerializationException"},
		"more, after its end":                                                               {"Put", "a1644e616d65616100", "SerializationException"},
		"no operation \"Burn\"":                                                             {"Burn", "a0", "UnknownOperationException"},
		"Never is not carried out by Gust: use Put":                                         {"Never", "a0", "UnknownOperationException"},
	} {
		body, err := hex.DecodeString(strings.ReplaceAll(c.body, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		w := askCBOR(h, c.operation, body)
		what = strings.ReplaceAll(what, `\"`, `"`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), what) || !strings.Contains(w.Body.String(), c.code) {
			t.Errorf("%s %s: %d %q, want %s", c.operation, c.body, w.Code, w.Body, what)
		}
	}
	if w := serve(h, request("POST", "/service/Shop_2026/operation/Put", "", "Smithy-Protocol", "rpc-v2-cbor", "Authorization", "")); w.Code != 400 || !strings.Contains(w.Body.String(), "MissingAuthenticationTokenException") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := serve(h, request("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "", "Smithy-Protocol", "rpc-v2-cbor")); w.Code != 400 ||
		!strings.Contains(w.Body.String(), "Gust has no service GraniteServiceVersion20100801 in this version, and so no operation ListMetrics of it") {
		t.Error(w.Code, w.Body)
	}
	if w := serve(h, request("GET", "/service/Shop_2026", "", "Smithy-Protocol", "rpc-v2-cbor")); w.Code != 400 || !strings.Contains(w.Body.String(), "/service/SERVICE/operation/OPERATION") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestBodiesThatGrow: what takes much more than it came in is refused before it
// does, whatever the protocol.
func TestBodiesThatGrow(t *testing.T) {
	h, _ := handler(t)
	parts := func(open, member string, n int) string { return open + strings.Repeat(member, n) }
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 64<<20)) //nolint:errcheck // into memory
	z.Close()                     //nolint:errcheck // into memory
	for name, ask := range map[string]func() *httptest.ResponseRecorder{
		"a list in CBOR": func() *httptest.ResponseRecorder {
			return askCBOR(h, "Put", []byte(parts("\xa1\x65Thing\xa1\x65Parts\x9f", "\xa0", MaxMembers+1)))
		},
		"lists in lists, in CBOR": func() *httptest.ResponseRecorder {
			return askCBOR(h, "Put", []byte(parts("\xa1\x65Thing\xa1\x65Parts\x9f", parts("\xa1\x65Parts\x9f", "\xa0", 10000)+"\xff", 90)))
		},
		"lists in lists, in JSON": func() *httptest.ResponseRecorder {
			return askJSON(h, "Put", `{"Thing":{"Parts":[`+parts("", `{"Parts":[{}`+parts("", `,{}`, 10000)+"]},", 34)+"{}]}}")
		},
		"a body in gzip": func() *httptest.ResponseRecorder {
			return askCBOR(h, "Put", packed.Bytes(), "Content-Encoding", "gzip")
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := ask()
		runtime.ReadMemStats(&after)
		if w.Code != 413 || !strings.Contains(w.Body.String(), "over") || after.TotalAlloc-before.TotalAlloc > 256<<20 {
			t.Errorf("%s: %d %.300q, and %d MB were taken", name, w.Code, w.Body, (after.TotalAlloc-before.TotalAlloc)>>20)
		}
	}
	for encoding, body := range map[string]string{"gzip": "no gzip", "br": "x", "gzip, gzip": "x"} {
		if w := askCBOR(h, "Put", []byte(body), "Content-Encoding", encoding); w.Code != 400 || !strings.Contains(w.Body.String(), "gzip") {
			t.Errorf("%s: %d %q", encoding, w.Code, w.Body)
		}
	}
}

func FuzzCBOR(f *testing.F) {
	in, _ := thingPlan(f)
	f.Add(appendCBOR(nil, in, reflect.ValueOf(putRequest{Thing: wholeThing(), Name: "n"})))
	f.Add([]byte("\xa1\x65Thing\xa1\x65Parts\x81\xa0"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var first, second putRequest
		if readCBOR(doc, in, reflect.ValueOf(&first).Elem(), &seen{}, &findings{}) != nil {
			return
		}
		again := appendCBOR(nil, in, reflect.ValueOf(first))
		if err := readCBOR(again, in, reflect.ValueOf(&second).Elem(), &seen{}, &findings{}); err != nil {
			t.Fatalf("%x became %x: %v", doc, again, err)
		}
		if third := appendCBOR(nil, in, reflect.ValueOf(second)); !bytes.Equal(third, again) {
			t.Fatalf("%x became %x and then %x", doc, again, third)
		}
	})
}

func BenchmarkCBOR(b *testing.B) {
	in, _ := thingPlan(b)
	doc := appendCBOR(nil, in, reflect.ValueOf(putRequest{Thing: wholeThing(), Name: "n"}))
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var v putRequest
			if err := readCBOR(doc, in, reflect.ValueOf(&v).Elem(), &seen{}, &findings{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		v := reflect.ValueOf(putRequest{Thing: wholeThing(), Name: "n"})
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			appendCBOR(nil, in, v)
		}
	})
}
