package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// ask sends a request to the users' port.
func ask(t *testing.T, method, target string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+shared.HTTP+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return res
}

// TestGateway drives users' HTTP with an HTTP client: functions that take
// Lambda's HTTP event, functions that stream, and plain HTTP servers.
func TestGateway(t *testing.T) {
	deploy(t, "testdata/golang", "golang")

	t.Run("the event of a request", func(t *testing.T) {
		res := ask(t, "POST", "/handler/7%2F8/a/b%20c?x=1&x=2&y=%26", strings.NewReader(`{"a":1}`))
		if res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode != http.StatusNotFound {
			t.Errorf("a route for GET answers POST with %s", res.Status)
		}
		res.Body.Close()
		res = ask(t, "GET", "/handler/7%2F8/a/b%20c?x=1&x=2&y=%26", nil, "Cookie", "k=v; l=w", "X-Two", "a", "X-Two", "b", "User-Agent", "suite")
		got := decode[struct {
			Version, RouteKey, RawPath, RawQueryString string
			Cookies                                    []string
			Headers, QueryStringParameters             map[string]string
			PathParameters                             map[string]string
			RequestContext                             struct {
				HTTP struct{ Method, Path, SourceIP, UserAgent string }
			}
			IsBase64Encoded bool
		}](t, readAll(t, res.Body))
		for what, pair := range map[string][2]string{
			"version":      {got.Version, "2.0"},
			"route":        {got.RouteKey, "GET /handler/{id}/{rest+}"}, // as API Gateway spells it,
			"query":        {got.RawQueryString, "x=1&x=2&y=%26"},
			"parameter x":  {got.QueryStringParameters["x"], "1,2"},
			"parameter y":  {got.QueryStringParameters["y"], "&"},
			"path id":      {got.PathParameters["id"], "7/8"},
			"path rest":    {got.PathParameters["rest"], "a/b c"},
			"cookies":      {strings.Join(got.Cookies, "|"), "k=v|l=w"},
			"header":       {got.Headers["x-two"], "a,b"},
			"method":       {got.RequestContext.HTTP.Method, "GET"},
			"user agent":   {got.RequestContext.HTTP.UserAgent, "suite"},
			"client":       {got.RequestContext.HTTP.SourceIP, "127.0.0.1"},
			"content type": {res.Header.Get("Content-Type"), "application/json"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
			}
		}
	})

	t.Run("bodies", func(t *testing.T) {
		for _, c := range []struct {
			kind, body, want string
			base64           bool
		}{
			{"application/json", `{"a":1}`, `{"a":1}`, false},
			{"text/plain", "grüße", "grüße", false},
			{"application/octet-stream", "\x00\x01\xff", "AAH/", true},
		} {
			res := ask(t, "POST", "/handler", strings.NewReader(c.body), "Content-Type", c.kind)
			got := decode[struct {
				Body            string
				IsBase64Encoded bool
			}](t, readAll(t, res.Body))
			if got.Body != c.want || got.IsBase64Encoded != c.base64 {
				t.Errorf("%s %q came as %+v", c.kind, c.body, got)
			}
		}
	})

	t.Run("answers", func(t *testing.T) {
		res := ask(t, "GET", "/handler?as=text", nil)
		if body := readAll(t, res.Body); res.StatusCode != 200 || string(body) != `"only text"` && string(body) != "only text" {
			t.Errorf("%s, %s", res.Status, body)
		}
		res = ask(t, "GET", "/handler?as=binary", nil)
		if body := readAll(t, res.Body); !bytes.Equal(body, []byte{0, 1, 2, 3}) || res.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%q, %v", body, res.Header)
		}
		res = ask(t, "GET", "/handler?as=cookies", nil)
		res.Body.Close()
		if res.StatusCode != 201 || !slices.Equal(res.Header["Set-Cookie"], []string{"a=1; Path=/", "b=2"}) || res.Header.Get("X-Own") != "yes" {
			t.Errorf("%s, %v", res.Status, res.Header)
		}
		res = ask(t, "GET", "/handler?as=error", nil)
		if body := readAll(t, res.Body); res.StatusCode < 500 || bytes.Contains(body, []byte("no answer")) {
			t.Errorf("a function's error is told to its user: %s, %s", res.Status, body)
		}
	})

	t.Run("a trace goes through", func(t *testing.T) {
		trace := "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
		res := ask(t, "GET", "/handler", nil, "X-Amzn-Trace-Id", trace)
		got := decode[struct{ Headers map[string]string }](t, readAll(t, res.Body))
		if !strings.Contains(got.Headers["x-amzn-trace-id"], "1-5759e988-bd862e3fe1be46a994272793") {
			t.Errorf("the trace came as %q", got.Headers["x-amzn-trace-id"])
		}
	})

	t.Run("nowhere", func(t *testing.T) {
		res := ask(t, "GET", "/nowhere", nil)
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s", res.Status)
		}
	})

	t.Run("a function URL's handler", func(t *testing.T) {
		res := ask(t, "PUT", "/url/teapot?a=1", strings.NewReader("tea"))
		body := readAll(t, res.Body)
		if res.StatusCode != http.StatusTeapot || string(body) != "/url/teapot?a=1\ntea" || res.Header.Get("X-Method") != "PUT" ||
			!slices.Equal(res.Header["Set-Cookie"], []string{"tea=green"}) {
			t.Errorf("%s, %q, %v", res.Status, body, res.Header)
		}
		res = ask(t, "GET", "/url/pieces", nil)
		if body := readAll(t, res.Body); string(body) != pieces(1000) {
			t.Errorf("%d bytes came", len(body))
		}
	})

	t.Run("a streamed answer", func(t *testing.T) {
		res := ask(t, "GET", "/stream", nil)
		if body := readAll(t, res.Body); string(body) != pieces(3) {
			t.Errorf("%s, %q", res.Status, body)
		}
	})

	t.Run("an HTTP server", func(t *testing.T) {
		res := ask(t, "PATCH", "/web/echo?a=%20b", strings.NewReader("some body"))
		body := readAll(t, res.Body)
		if res.StatusCode != http.StatusAccepted || string(body) != "some body" || res.Header.Get("X-Method") != "PATCH" ||
			res.Header.Get("X-Target") != "/web/echo?a=%20b" || !slices.Equal(res.Header["Set-Cookie"], []string{"a=1", "b=2"}) ||
			!strings.Contains(res.Header.Get("X-Forwarded"), "127.0.0.1") {
			t.Errorf("%s, %q, %v", res.Status, body, res.Header)
		}
		large := strings.Repeat("w", 20<<20)
		res = ask(t, "POST", "/web/echo", strings.NewReader(large))
		if body := readAll(t, res.Body); string(body) != large {
			t.Errorf("of 20 MB %d bytes came back", len(body))
		}
	})

	t.Run("both sides stream", func(t *testing.T) {
		r, w := io.Pipe()
		res := ask(t, "POST", "/web/pieces", r)
		answers := bufio.NewReader(res.Body)
		defer res.Body.Close()
		for i := range 5 {
			fmt.Fprintf(w, "%d\n", i)
			if got, err := answers.ReadString('\n'); got != fmt.Sprintf("you said %d\n", i) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		w.Close()
		if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
			t.Errorf("%q, %v", rest, err)
		}
	})

	t.Run("WebSocket", func(t *testing.T) {
		conn, res, err := websocket.Dial(t.Context(), "ws://"+shared.HTTP+"/web/socket", &websocket.DialOptions{
			Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			t.Fatalf("%v, %+v", err, res)
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		if conn.Subprotocol() != "echo" {
			t.Errorf("the protocol is %q", conn.Subprotocol())
		}
		for _, m := range []struct {
			kind websocket.MessageType
			data []byte
		}{{websocket.MessageText, []byte("grüße")}, {websocket.MessageBinary, bytes.Repeat([]byte{0, 1, 2, 255}, 100_000)}, {websocket.MessageText, nil}} {
			if err := conn.Write(t.Context(), m.kind, m.data); err != nil {
				t.Fatal(err)
			}
			kind, data, err := conn.Read(t.Context())
			if err != nil || kind != m.kind || !bytes.Equal(data, m.data) {
				t.Fatalf("%v of %d bytes came back as %v of %d, %v", m.kind, len(m.data), kind, len(data), err)
			}
		}
		if err := conn.Ping(conn.CloseRead(t.Context())); err != nil {
			t.Errorf("ping: %v", err)
		}
	})

	t.Run("a WebSocket that the function closes", func(t *testing.T) {
		conn, _, err := websocket.Dial(t.Context(), "ws://"+shared.HTTP+"/web/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("bye")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != 4000 {
			t.Errorf("it was closed with %v", err)
		}
	})

	t.Run("a server that exits", func(t *testing.T) {
		res := ask(t, "GET", "/web/exit", nil)
		res.Body.Close()
		if res.StatusCode != 502 {
			t.Errorf("%s", res.Status)
		}
		res = ask(t, "GET", "/web/echo", nil)
		res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("after an exit: %s", res.Status)
		}
	})

	t.Run("health", func(t *testing.T) {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/status": 401, "/metrics": 401, "/debug/pprof/": 401, "/2015-03-31/functions": 403} {
			res, err := http.Get("http://" + shared.API + path)
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, res.Body)
			if res.StatusCode != want && !(want == 403 && res.StatusCode == 401) {
				t.Errorf("%s without a key: %s", path, res.Status)
			}
			if want > 400 && json.Valid(body) && strings.Contains(string(body), shared.data) {
				t.Errorf("%s tells about the node: %s", path, body)
			}
		}
	})
}
