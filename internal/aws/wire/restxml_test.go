package wire

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/eventstream"
	"github.com/gust-dev/gust/internal/aws/eventstream/eventstreamtest"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// The yard is a service for tests: of parcels, in REST-XML as S3 has it.
type (
	parcelRequest struct {
		Yard   string            `aws:",label,required"`
		Key    string            `aws:",label,required"`
		Sender []string          `aws:"x-sender,header"`
		Sent   *time.Time        `aws:"x-sent,header"`
		Notes  map[string]string `aws:"x-note-,headers"`
		Parcel *parcel           `aws:",payload,root=Parcel,ns=urn:parcel"`
	}
	parcel struct {
		_        struct{}          `aws:",prefix=xsi,ns=urn:xsi"`
		Kind     *string           `aws:"xsi:type,attr"`
		Name     string            `aws:",required"`
		Weight   *float64          //
		Count    *int32            //
		Fragile  *bool             //
		Packed   *time.Time        //
		Label    []byte            //
		Tags     []string          `aws:",shape=tags"`
		Items    []item            `aws:"Item,flat"`
		Stamps   map[string]string `aws:",shape=stamps"`
		Extra    map[string]string `aws:"Extra,flat"`
		Inner    *parcel           //
		Services []string          `aws:",shape=services"`
	}
	item struct {
		ID *string `aws:"Id"`
	}
	parcelResponse struct {
		Tag    *string           `aws:"ETag,header"`
		Notes  map[string]string `aws:"x-note-,headers"`
		Parcel *parcel           `aws:",payload,root=Parcel,ns=urn:parcel"`
	}
	bytesRequest struct {
		Yard string    `aws:",label,required"`
		Key  string    `aws:",label,required"`
		Size *int64    `aws:"Content-Length,header"`
		Body io.Reader `aws:",payload"`
	}
	bytesResponse struct {
		Size *int64        `aws:"Content-Length,header"`
		Body io.ReadCloser `aws:",payload"`
	}
	listRequest struct {
		Yard  string `aws:",label,required"`
		Limit *int32 `aws:"limit,query,shape=limit"`
	}
	listResponse struct {
		_     struct{} `aws:"ParcelList"`
		Yard  *string
		Items []item `aws:",shape=items"`
	}
	followResponse struct {
		Events iter.Seq2[*parcelEvent, error] `aws:",payload"`
	}
	parcelEvent struct {
		Moved *movedEvent
		Said  *saidEvent
		Raw   *rawEvent
	}
	movedEvent struct {
		Where *string
		At    *time.Time `aws:"at,eventheader"`
		Hops  *int32     `aws:"hops,eventheader"`
	}
	saidEvent struct {
		Text *string `aws:",eventpayload"`
	}
	rawEvent struct {
		Bytes []byte `aws:",eventpayload"`
	}
)

func yard(follow func(yield func(*parcelEvent, error) bool)) *Service {
	m := &Model{Name: "s3", Title: "Yard", Version: "2026-01-01", Namespace: "urn:yard", Protocols: []Protocol{RESTXML}, S3: true,
		Bindings: []Binding{{Name: "PutParcel", Method: "PUT", Path: "/{Yard}/{Key+}?parcel", Status: 201}, {Name: "PutBytes", Method: "PUT", Path: "/{Yard}/{Key+}"},
			{Name: "PutPart", Method: "PUT", Path: "/{Yard}/{Key+}", Wants: []string{"?part"}}, {Name: "Copy", Method: "PUT", Path: "/{Yard}/{Key+}", Wants: []string{"x-from"}},
			{Name: "List", Method: "GET", Path: "/{Yard}"}, {Name: "Fail", Method: "GET", Path: "/{Yard}/{Key+}"}, {Name: "Follow", Method: "GET", Path: "/{Yard}?follow"},
			{Name: "Probe", Method: "HEAD", Path: "/{Yard}/{Key+}"}},
		Faults: map[string]Fault{"NoSuchParcel": {Status: 404, Detail: item{}}, "ParcelLost": {Code: "Lost", Status: 410}},
		Shapes: map[string]Shape{"tags": {MemberName: "Tag"}, "stamps": {KeyName: "Country", ValueName: "Price"}, "items": {MemberName: "Item", Flat: true}, "services": {Flat: true}, "limit": {Range: "1:10"}}}
	fail := func(_ context.Context, in *bytesRequest) (*struct{}, error) {
		switch in.Key {
		case "lost":
			return nil, &Error{Name: "ParcelLost", Message: "lost"}
		case "same":
			return nil, &Error{Name: "NotModified", Status: 304}
		}
		return nil, gust.ErrNotFound
	}
	return &Service{Model: m, Operations: append([]Operation{
		{Name: "PutParcel", Note: "whole", Run: Do(func(_ context.Context, in *parcelRequest) (*parcelResponse, error) {
			tag := in.Yard + " " + in.Key + " " + strings.Join(in.Sender, "|")
			if in.Sent != nil {
				tag += " " + in.Sent.Format(time.RFC3339)
			}
			return &parcelResponse{Tag: &tag, Notes: in.Notes, Parcel: in.Parcel}, nil
		}, nil)},
		{Name: "PutBytes", Note: "whole", Run: Do(func(_ context.Context, in *bytesRequest) (*bytesResponse, error) {
			return &bytesResponse{Size: in.Size, Body: io.NopCloser(in.Body)}, nil
		}, nil)},
		{Name: "List", Note: "whole", Run: Do(func(_ context.Context, in *listRequest) (*listResponse, error) {
			return &listResponse{Yard: &in.Yard, Items: []item{{&in.Yard}, {}}}, nil
		}, nil)},
		{Name: "Fail", Note: "whole", Run: Do(fail, nil)},
		{Name: "Probe", Note: "whole", Run: Do(fail, nil)},
		{Name: "Follow", Note: "whole", Run: Do(func(context.Context, *listRequest) (*followResponse, error) {
			return &followResponse{follow}, nil
		}, nil)},
	}, Refuse("use PutBytes", "PutPart", "Copy")...),
		Errors: func(err error) *Error {
			if errors.Is(err, gust.ErrNotFound) {
				id := "7"
				return &Error{Name: "NoSuchParcel", Message: "there is no <parcel>", Detail: &item{&id}}
			}
			return nil
		}}
}

func yardHandler(t testing.TB, s *Service) *Handler {
	t.Helper()
	h, err := New(Options{Services: []*Service{s}, Guard: wiretest.New(t).Guard, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func askYard(h *Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := request(method, target, body, headers...)
	r.Host = "s3.localhost"
	return serve(h, r)
}

const parcelDoc = `<Parcel xmlns="urn:parcel" xmlns:xsi="urn:xsi" xsi:type="box"><Name>a &lt;b&gt;&#xD;</Name><Weight>1.5</Weight><Count>-3</Count><Fragile>true</Fragile><Packed>2026-01-01T00:00:00.250Z</Packed>` +
	`<Label>AP8=</Label><Tags><Tag>x</Tag><Tag></Tag></Tags><Item><Id>1</Id></Item><Item></Item><Stamps><entry><Country>AT</Country><Price>1</Price></entry></Stamps>` +
	`<Extra><key>k</key><value>v</value></Extra><Extra><key>l</key><value>w</value></Extra><Inner xmlns:xsi="urn:xsi" xsi:type="bag"><Name>b</Name></Inner><Services>s</Services></Parcel>`

func TestRESTXML(t *testing.T) {
	h := yardHandler(t, yard(nil))
	w := askYard(h, "PUT", "/north/a/b%20c/?parcel", parcelDoc, "x-sender", `me, "you, there"`, "x-sent", "Thu, 01 Jan 2026 00:00:00 GMT", "X-Note-Colour", "blue")
	if w.Code != 201 || w.Body.String() != declaration+parcelDoc || w.Header().Get("Content-Type") != "application/xml" || !reflect.DeepEqual(map[string][]string(w.Header())["x-note-colour"], []string{"blue"}) ||
		w.Header().Get("ETag") != "north a/b c/ me|you, there 2026-01-01T00:00:00Z" || len(w.Header().Get("X-Amz-Request-Id")) != 36 {
		t.Errorf("%d %v\n got %s\nwant %s", w.Code, w.Header(), w.Body, declaration+parcelDoc)
	}
	// Other clients write the same in other ways.
	other := `<?xml version="1.0"?><!-- a parcel --><p:Parcel xmlns:p="urn:other">
		<p:Item/><p:Name><![CDATA[a]]></p:Name> <p:Item><p:Id> 1 </p:Id></p:Item><p:Count>
		7 </p:Count></p:Parcel>`
	want := declaration + `<Parcel xmlns="urn:parcel" xmlns:xsi="urn:xsi"><Name>a</Name><Count>7</Count><Item></Item><Item><Id> 1 </Id></Item></Parcel>`
	if w := askYard(h, "PUT", "/north/k?parcel=&x-id=PutParcel", other); w.Code != 201 || w.Body.String() != want {
		t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
	}
	if w := askYard(h, "PUT", "/north/k?parcel", ""); w.Code != 201 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want = declaration + `<ParcelList xmlns="urn:yard"><Yard>north</Yard><Item><Id>north</Id></Item><Item></Item></ParcelList>`
	if w := askYard(h, "GET", "/north/?limit=3", ""); w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := askYard(h, "PUT", "/north/k", "<no XML>"); w.Code != 200 || w.Body.String() != "<no XML>" || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for host, path := range map[string]string{"north.s3.localhost:1234": "/?limit=3", "north.localhost": "/", "north.s3.eu-west-1.example.com": "/", "s3.localhost": "/north", "127.0.0.1:80": "/north", "[::1]:80": "/north"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		r.Header.Set("Authorization", wiretest.Bearer)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 || !strings.Contains(w.Body.String(), "<Yard>north</Yard>") {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
}

func TestRESTXMLErrors(t *testing.T) {
	h := yardHandler(t, yard(nil))
	w := askYard(h, "GET", "/north/a%3C", "")
	id := w.Header().Get("X-Amz-Request-Id")
	if want := declaration + "<Error><Code>NoSuchParcel</Code><Message>there is no &lt;parcel&gt;</Message><Id>7</Id><Resource>/north/a&lt;</Resource><RequestId>" + id + "</RequestId><HostId>" + id + "</HostId></Error>"; w.Code != 404 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/xml" {
		t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
	}
	if w := askYard(h, "HEAD", "/north/a", ""); w.Code != 404 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := askYard(h, "GET", "/north/same", ""); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	plain := yard(nil)
	plain.Model.S3 = false
	w = askYard(yardHandler(t, plain), "GET", "/north/lost", "")
	if want := declaration + `<ErrorResponse xmlns="urn:yard"><Error><Type>Sender</Type><Code>Lost</Code><Message>lost</Message></Error><RequestId>` + w.Header().Get("X-Amz-Request-Id") + "</RequestId></ErrorResponse>"; w.Code != 410 || w.Body.String() != want {
		t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
	}
	for _, c := range []struct{ method, target, header, body, code, text string }{
		{"PUT", "/n/k?part=1", "", "", "NotImplemented", "PutPart is not carried out by Gust: use PutBytes"},
		{"PUT", "/n/k", "x-from", "", "NotImplemented", "Copy is not"},
		{"DELETE", "/n/k", "", "", "MethodNotAllowed", "no operation DELETE"},
		{"GET", "/n?limit=11", "", "", "InvalidArgument", "less than or equal to 10"},
		{"GET", "/n?limit=x", "", "", "MalformedXML", "whole number"},
		{"GET", "/n?other=x", "", "", "InvalidArgument", "other"},
		{"PUT", "/n/k?parcel", "", "<Parcel>", "MalformedXML", "unexpected EOF"},
		{"PUT", "/n/k?parcel", "", "<Other/>", "MalformedXML", "the document is &lt;Other&gt;, and &lt;Parcel&gt; is asked for"},
		{"PUT", "/n/k?parcel", "", "<Parcel/>", "InvalidArgument", "parcel.name&#39; failed to satisfy constraint: Member must not be null"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Nam/></Parcel>", "InvalidArgument", "&lt;Nam&gt; is not known to Gust: leave it out"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Inner><Nam/></Inner></Parcel>", "InvalidArgument", "parcel.inner&#34;: &lt;Nam&gt;"},
		{"PUT", "/n/k?parcel", "", `<Parcel x="1"/>`, "InvalidArgument", "the attribute &#34;x&#34; of &lt;Parcel&gt;"},
		{"PUT", "/n/k?parcel", "", `<Parcel><Name x="1"/></Parcel>`, "InvalidArgument", "the attribute &#34;x&#34; of &lt;Name&gt;"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Name/><Name/></Parcel>", "MalformedXML", "&lt;Name&gt; is there twice"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Count>1.5</Count></Parcel>", "MalformedXML", "whole number of 32 bits"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Tags><Tog/></Tags></Parcel>", "InvalidArgument", "what is there is &lt;Tag&gt;"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Stamps><entry><Country>AT</Country></entry></Stamps></Parcel>", "MalformedXML", "not both"},
		{"PUT", "/n/k?parcel", "", "<Parcel><Extra><key>a</key><value/></Extra><Extra><key>a</key><value/></Extra></Parcel>", "MalformedXML", "twice"},
		{"PUT", "/n/k?parcel", "", "<Parcel>" + strings.Repeat("<Inner>", MaxDepth) + "</Parcel>", "MalformedXML", "128 deep"},
		{"PUT", "/n/k?parcel", "", "<Parcel>" + strings.Repeat("<Item/>", MaxMembers+1) + "</Parcel>", "EntityTooLarge", "over 20000 members"},
		{"PUT", "/n/k?parcel", "", `<!DOCTYPE Parcel [<!ENTITY a "b">]><Parcel><Name>&a;</Name></Parcel>`, "MalformedXML", "declarations"},
		{"PUT", "/n/k?parcel", "x-sent", "", "MalformedXML", "x-sent"},
	} {
		w := askYard(h, c.method, c.target, c.body, cmp.Or(c.header, "x-none"), "x")
		if w.Code < 400 || w.Code >= 500 && c.code != "NotImplemented" || !strings.Contains(w.Body.String(), "<Error><Code>"+c.code+"</Code>") || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s %s %.200s: %d %.400s, want %s %s", c.method, c.target, c.body, w.Code, w.Body, c.code, c.text)
		}
	}
}

// messages reads a stream: of each the headers, but for those of its type, and
// the payload.
func messages(t *testing.T, r io.Reader) (got []string) {
	t.Helper()
	for stream := eventstreamtest.NewReader(r); ; {
		m, err := stream.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, h := range m.Headers {
			if at, ok := h.Value.(time.Time); ok {
				h.Value = at.Format(time.RFC3339)
			}
			line += strings.TrimPrefix(h.Name, ":") + "=" + strings.TrimSpace(strings.ReplaceAll(reflect.ValueOf(h.Value).String(), "<int32 Value>", "an int32")) + " "
		}
		got = append(got, line+string(m.Payload))
	}
}

func TestEvents(t *testing.T) {
	where, text, at, hops := "here <", "hello", time.UnixMilli(1767225600000).UTC(), int32(3)
	all := func(yield func(*parcelEvent, error) bool) {
		_ = yield(&parcelEvent{Moved: &movedEvent{Where: &where, At: &at, Hops: &hops}}, nil) && yield(&parcelEvent{Said: &saidEvent{Text: &text}}, nil) &&
			yield(&parcelEvent{Said: &saidEvent{}}, nil) && yield(&parcelEvent{Raw: &rawEvent{Bytes: []byte("raw")}}, nil)
	}
	want := []string{
		"message-type=event event-type=Moved at=2026-01-01T00:00:00Z hops=an int32 content-type=application/xml " + declaration + "<movedEvent><Where>here &lt;</Where></movedEvent>",
		"message-type=event event-type=Said content-type=text/plain hello", "message-type=event event-type=Said ",
		"message-type=event event-type=Raw content-type=application/octet-stream raw",
	}
	for name, c := range map[string]struct {
		end  error
		more []string
	}{
		"whole":          {nil, nil},
		"the service's":  {gust.ErrNotFound, []string{"message-type=exception exception-type=NoSuchParcel content-type=application/xml <Error><Code>NoSuchParcel</Code><Message>there is no &lt;parcel&gt;</Message><Id>7</Id></Error>"}},
		"the node's own": {errors.New("the disk is on fire"), []string{"message-type=error error-code=InternalError error-message=the request failed inside the node; its log has the reason, by the request's id "}},
	} {
		h := yardHandler(t, yard(func(yield func(*parcelEvent, error) bool) {
			all(yield)
			if c.end != nil {
				yield(nil, c.end)
			}
		}))
		w := askYard(h, "GET", "/north?follow", "")
		if w.Code != 200 || w.Header().Get("Content-Type") != eventstream.ContentType || !w.Flushed {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if got, want := messages(t, w.Body), append(want[:len(want):len(want)], c.more...); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	// What does not fit a message is told, and ends it.
	large := yardHandler(t, yard(func(yield func(*parcelEvent, error) bool) {
		if yield(&parcelEvent{Raw: &rawEvent{Bytes: make([]byte, eventstream.MaxPayload+1)}}, nil) {
			t.Error("more events were asked for")
		}
	}))
	if got := messages(t, askYard(large, "GET", "/north?follow", "").Body); len(got) != 1 || !strings.Contains(got[0], "error-code=InternalFailure") {
		t.Errorf("%q", got)
	}
}

// TestEventsComeAtOnce: each is there before the next is asked for, and who
// leaves ends them.
func TestEventsComeAtOnce(t *testing.T) {
	next, ended := make(chan string), make(chan struct{})
	server := httptest.NewServer(yardHandler(t, yard(func(yield func(*parcelEvent, error) bool) {
		defer close(ended)
		for text := range next {
			if !yield(&parcelEvent{Said: &saidEvent{Text: &text}}, nil) {
				return
			}
		}
	})))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/north?follow", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", wiretest.Bearer)
	w, err := server.Client().Do(r) // the headers are there before the first event
	if err != nil {
		t.Fatal(err)
	}
	stream := eventstreamtest.NewReader(w.Body)
	for _, text := range []string{"one", "two"} {
		next <- text
		if m, err := stream.Next(); err != nil || string(m.Payload) != text {
			t.Fatal(m, err)
		}
	}
	w.Body.Close() //nolint:errcheck // that is the test
	for {
		select {
		case next <- "nobody hears it":
			continue
		case <-ended:
		}
		return
	}
}

func FuzzXML(f *testing.F) {
	p := newPlanner(yard(nil).Model)
	s, err := p.structure(reflect.TypeFor[parcel]())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(parcelDoc))
	f.Add([]byte(`<Parcel><Item/><Extra><key>a</key><value/></Extra></Parcel>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var first, second parcel
		if decodeXML(doc, "", s, reflect.ValueOf(&first).Elem(), &seen{}, nil, &findings{}) != nil {
			return
		}
		again := documentXML("Parcel", "", s, reflect.ValueOf(first))
		if err := decodeXML(again, "Parcel", s, reflect.ValueOf(&second).Elem(), &seen{}, nil, &findings{}); err != nil {
			t.Fatalf("%s became %s: %v", doc, again, err)
		}
		if third := documentXML("Parcel", "", s, reflect.ValueOf(second)); !bytes.Equal(third, again) {
			t.Fatalf("%s became %s and then %s", doc, again, third)
		}
	})
}

func BenchmarkXML(b *testing.B) {
	p := newPlanner(yard(nil).Model)
	s, err := p.structure(reflect.TypeFor[parcel]())
	if err != nil {
		b.Fatal(err)
	}
	var v parcel
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(parcelDoc)))
		for b.Loop() {
			v = parcel{}
			if err := decodeXML([]byte(parcelDoc), "Parcel", s, reflect.ValueOf(&v).Elem(), &seen{}, nil, &findings{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(parcelDoc)))
		for b.Loop() {
			documentXML("Parcel", "", s, reflect.ValueOf(v))
		}
	})
}
