package gateway

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	gust "github.com/gust-dev/gust"
)

var (
	gustPlace = gust.Place{Account: "123456789012", Region: "eu-central-1"}
	someTime  = time.Date(2026, 11, 21, 9, 8, 7, 654_321_000, time.FixedZone("", 3600))
)

// received is a request as net/http gets it from these octets.
func received(t testing.TB, wire string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(wire, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.7:54321"
	return r
}

// eventOf is the event of a request to a route.
func eventOf(t testing.TB, key string, r *http.Request, body string) []byte {
	t.Helper()
	c := call{r: r, path: rawPath(r), body: []byte(body), requestID: "8a3f0c1e-0000-4000-8000-00000000002a", traceID: "Root=1-2-3", now: someTime}
	table := compile(declare(key).Snapshot(), gustPlace)
	segs, err := splitPath(nil, c.path)
	if err != nil {
		t.Fatal(err)
	}
	if c.target, c.params = table.root.match(segs, r.Method, nil); c.target == nil {
		t.Fatalf("%s does not lead to %s", c.path, key)
	}
	return c.appendEvent(nil, &scratch{})
}

// TestEvent is the whole event, member by member.
func TestEvent(t *testing.T) {
	r := received(t, `POST /orders/a%2Fb/items/1/2?x=1&y=%20two&x=3+4&=empty&flag&bad=%zz HTTP/1.1
Host: shop.example.com:8080
User-Agent: "test"
Cookie: a=1; b=2
Cookie: c=%3D
X-Many: one
X-Many: two, three
Content-Type: application/json; charset=utf-8
Content-Length: 8
X-Forwarded-For: 198.51.100.1
X-Forwarded-Proto: gopher
X-Amzn-Trace-Id: Root=of-the-client
Connection: X-Drop, close
X-Drop: 1
Keep-Alive: 5
Te: trailers
Expect: 100-continue

`)
	got := map[string]any{}
	if err := json.Unmarshal(eventOf(t, "POST /orders/{id}/items/{rest...}", r, `{"a":"é"}`), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	if err := json.Unmarshal([]byte(`{
		"version": "2.0",
		"routeKey": "POST /orders/{id}/items/{rest+}",
		"rawPath": "/orders/a%2Fb/items/1/2",
		"rawQueryString": "x=1&y=%20two&x=3+4&=empty&flag&bad=%zz",
		"cookies": ["a=1", "b=2", "c=%3D"],
		"headers": {
			"host": "shop.example.com:8080",
			"user-agent": "\"test\"",
			"x-many": "one,two, three",
			"content-type": "application/json; charset=utf-8",
			"content-length": "10",
			"x-forwarded-for": "198.51.100.1, 192.0.2.7",
			"x-forwarded-port": "80",
			"x-forwarded-proto": "http",
			"x-amzn-trace-id": "Root=1-2-3"
		},
		"queryStringParameters": {"x": "1,3 4", "y": " two", "": "empty", "flag": "", "bad": "%zz"},
		"pathParameters": {"id": "a/b", "rest": "1/2"},
		"requestContext": {
			"accountId": "123456789012",
			"apiId": "shop",
			"domainName": "shop.example.com",
			"domainPrefix": "shop",
			"http": {
				"method": "POST",
				"path": "/orders/a%2Fb/items/1/2",
				"protocol": "HTTP/1.1",
				"sourceIp": "192.0.2.7",
				"userAgent": "\"test\""
			},
			"requestId": "8a3f0c1e-0000-4000-8000-00000000002a",
			"routeKey": "POST /orders/{id}/items/{rest+}",
			"stage": "$default",
			"time": "21/Nov/2026:08:08:07 +0000",
			"timeEpoch": 1795248487654
		},
		"body": "{\"a\":\"é\"}",
		"isBase64Encoded": false
	}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", "  ")
		w, _ := json.MarshalIndent(want, "", "  ")
		t.Errorf("got %s\nwant %s", g, w)
	}
}

// TestSmallestEvent leaves out what a request does not have.
func TestSmallestEvent(t *testing.T) {
	r := received(t, "GET / HTTP/1.0\n\n")
	r.RemoteAddr = "[fe80::1]:1"
	event := eventOf(t, "* /", r, "")
	var got map[string]any
	if err := json.Unmarshal(event, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cookies", "queryStringParameters", "pathParameters", "body", "stageVariables"} {
		if _, ok := got[name]; ok {
			t.Errorf("it has %s: %s", name, event)
		}
	}
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	if e.RawQueryString != "" || e.RouteKey != "ANY /" || e.RequestContext.HTTP.SourceIP != "fe80::1" || e.RequestContext.HTTP.Protocol != "HTTP/1.0" {
		t.Errorf("%s", event)
	}
}

func TestBodies(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		text              bool
	}{
		{"text/plain", "a\x00\n", true},
		{"TEXT/HTML; charset=iso-8859-1", "é", true},
		{"text/plain", "caf\xe9", false}, // says text, but is not UTF-8
		{"application/json", "{}", true},
		{" Application/JSON ;x=y", "{}", true},
		{"application/xml", "<a/>", true},
		{"application/javascript", "1", true},
		{"application/problem+json", "{}", true},
		{"image/svg+xml", "<svg/>", false},
		{"application/atom+xml", "<a/>", true},
		{"application/x-www-form-urlencoded", "a=b", false}, // as API Gateway does
		{"application/octet-stream", "abc", false},
		{"multipart/form-data; boundary=x", "--x", false},
		{"", "abc", false},
		{"text/", "abc", false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", c.contentType)
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(eventOf(t, "POST /", r, c.body), &e); err != nil {
			t.Fatal(err)
		}
		want := c.body
		if !c.text {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if e.IsBase64Encoded == c.text || e.Body != want {
			t.Errorf("%s %q: base64 %v, body %q", c.contentType, c.body, e.IsBase64Encoded, e.Body)
		}
	}
}

// TestManyParameters: a long query string is linked as a short one is, and not
// in the square of its length.
func TestManyParameters(t *testing.T) {
	for _, n := range []int{1, linear, linear + 1, 20000} {
		var q strings.Builder
		want := map[string][]string{}
		for i := range n {
			name := string(rune('a' + i%7))
			q.WriteString("&" + name + "=" + string(rune('0'+i%10)))
			want[name] = append(want[name], string(rune('0'+i%10)))
		}
		var got struct {
			QueryStringParameters map[string]string
		}
		if err := json.Unmarshal([]byte("{"+string(appendQuery(nil, q.String(), &scratch{})[1:])+"}"), &got); err != nil {
			t.Fatal(err)
		}
		for name, values := range want {
			if got.QueryStringParameters[name] != strings.Join(values, ",") {
				t.Errorf("%d parameters: %s is wrong", n, name)
			}
		}
	}
}

func TestForwardedPort(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(appendPort(nil, r))
	}))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got [8]byte
	n, _ := resp.Body.Read(got[:])
	_, want, _ := net.SplitHostPort(s.Listener.Addr().String())
	if string(got[:n]) != want {
		t.Errorf("port %s, want %s", got[:n], want)
	}
}

// FuzzEvent holds the event against what encoding/json and net/url make of the
// same request.
func FuzzEvent(f *testing.F) {
	f.Add("/a/b?x=1&y=2", "X-A", "v", "a=1; b", "text/plain", []byte("hello"))
	f.Add("/%e9/\xff?%ff=%fe&%fe=1&\xff", "X-\u212a", "\xff\x80\"\\", "\xff;;", "application/json", []byte("\xff"))
	f.Add("/a//b?a;b=c&&=&=", "Connection", "x", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, target, name, value, cookie, contentType string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || !validName(name) {
			return
		}
		r := &http.Request{Method: "POST", URL: u, RequestURI: target, Host: value, Proto: "HTTP/1.1", RemoteAddr: value, Header: http.Header{}}
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Content-Type", contentType)
		r.Header.Add(name, value)
		c := call{r: r, path: rawPath(r), body: body, params: []string{value}, now: someTime}
		c.target = &target0
		got := c.appendEvent(nil, &scratch{})
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(got, &e); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if !utf8.Valid(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
		if !utf8.ValidString(target) || !utf8.ValidString(value) || !utf8.ValidString(cookie) {
			return // replaced in different ways
		}
		path, query, _ := strings.Cut(target, "?")
		if e.RawPath != path || e.RawQueryString != query || e.RequestContext.HTTP.Path != path || e.PathParameters["name"] != value {
			t.Errorf("%s: %s %s", target, e.RawPath, e.RawQueryString)
		}
		want := string(body)
		if e.IsBase64Encoded {
			want = base64.StdEncoding.EncodeToString(body)
		}
		if e.Body != want {
			t.Errorf("body %q is %q", body, e.Body)
		}
		if q, err := url.ParseQuery(query); err == nil {
			for k, vs := range q {
				joined := strings.Join(vs, ",")
				if utf8.ValidString(k+joined) && e.QueryStringParameters[k] != joined {
					t.Errorf("%s: parameter %q is %q, want %q", query, k, e.QueryStringParameters[k], joined)
				}
			}
		}
		canonical := http.CanonicalHeaderKey(name)
		if vs := r.Header[canonical]; !hopByHop(canonical) && !strings.HasPrefix(canonical, "X-Forwarded-") &&
			canonical != "Cookie" && canonical != "Host" && canonical != "Content-Length" && canonical != "Expect" && canonical != "X-Amzn-Trace-Id" {
			if got := e.Headers[strings.ToLower(canonical)]; got != strings.Join(vs, ",") {
				t.Errorf("header %s is %q, not %q", name, got, vs)
			}
		}
	})
}

var target0 = func() target {
	head, context := fixed(route("POST /{name}"), gustPlace)
	return target{route: route("POST /{name}"), names: []string{`"name":`}, head: head, context: context}
}()
