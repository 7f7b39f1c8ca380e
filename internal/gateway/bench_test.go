package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// nowhere is the cheapest of response writers.
type nowhere struct {
	h      http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.h }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(status int)      { w.status = status }

const helloAnswer = `{"statusCode":200,"headers":{"content-type":"application/json"},"multiValueHeaders":null,"body":"{\"message\":\"hello, world\"}","cookies":null}`

func benchRequest() *http.Request {
	r := httptest.NewRequest("GET", "/hello/world?a=1&b=2", nil)
	r.Header.Set("User-Agent", "bench/1.0")
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Accept-Encoding", "gzip")
	return r
}

// BenchmarkHandler is what the gateway itself costs: event and response,
// without net/http and without a function.
func BenchmarkHandler(b *testing.B) {
	h := New(Options{Catalog: declare("GET /hello/{name}"), Invoker: answers(helloAnswer), Logger: quiet()})
	r := benchRequest()
	w := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
	if w.status != 200 {
		b.Fatal(w.status)
	}
}

func BenchmarkEvent(b *testing.B) {
	cat := declare("GET /hello/{name}")
	t := compile(cat.Snapshot(), gustPlace)
	c := call{r: benchRequest(), target: t.root.literals["hello"].param.here[0], path: "/hello/world", params: []string{"world"},
		requestID: newRequestID(), traceID: "Root=1-67891233-abcdef012345678912345678", now: someTime}
	var s scratch
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = c.appendEvent(buf[:0], &s)
	}
}

func BenchmarkReply(b *testing.B) {
	var s scratch
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseReply([]byte(helloAnswer), &s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	keys := make([]string, 20000)
	for i := range keys {
		keys[i] = "GET /v" + string(rune('a'+i%26)) + "/things" + strings.Repeat("x", i/26%40) + "/{id}/part" + newRequestID()
	}
	cat := declare(keys...)
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			compile(cat.Snapshot(), gustPlace)
		}
	})
	t := compile(cat.Snapshot(), gustPlace)
	path := strings.Replace(strings.TrimPrefix(keys[12345], "GET "), "{id}", "42", 1)
	b.Run("lookup", func(b *testing.B) {
		var segs, params [8]string
		b.ReportAllocs()
		for b.Loop() {
			s, _ := splitPath(segs[:0], path)
			if tg, _ := t.root.match(s, "GET", params[:0]); tg == nil {
				b.Fatal("not found")
			}
		}
	})
}

// BenchmarkServer puts the gateway beside a plain handler, both behind
// net/http on a loopback connection.
func BenchmarkServer(b *testing.B) {
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"message":"hello, world"}`)
	})
	gw := New(Options{Catalog: declare("GET /hello/{name}"), Invoker: answers(helloAnswer), Logger: quiet()})
	for _, c := range []struct {
		name string
		h    http.Handler
	}{{"plain", plain}, {"gateway", gw}} {
		b.Run(c.name, func(b *testing.B) {
			s := httptest.NewUnstartedServer(nil)
			s.Config = NewServer(c.h, quiet())
			s.Start()
			defer s.Close()
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := s.Client().Get(s.URL + "/hello/world?a=1&b=2")
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}
