package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/coder/websocket"
)

// exchangeHTTP is a request to an app, and what has to come back.
type exchangeHTTP struct {
	method, target, body string
	kind                 string // of the body
	status               int
	want                 string            // in the answer; as a whole with = before it
	header               map[string]string // of the answer
}

// talk has a conversation over the gateway.
func talk(t *testing.T, exchanges []exchangeHTTP) {
	t.Helper()
	for _, e := range exchanges {
		res := ask(t, e.method, e.target, strings.NewReader(e.body), "Content-Type", e.kind, "User-Agent", "suite")
		body := string(readAll(t, res.Body))
		whole, exact := strings.CutPrefix(e.want, "=")
		if res.StatusCode != e.status || exact && body != whole || !exact && !strings.Contains(body, e.want) {
			t.Errorf("%s %s: %s, %.2000q, want %d, %q", e.method, e.target, res.Status, body, e.status, e.want)
		}
		for name, want := range e.header {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", e.method, e.target, name, got, want)
			}
		}
	}
}

// printed are the lines of an invocation's log that are JSON objects.
func printed(t *testing.T, text string) []map[string]any {
	t.Helper()
	var docs []map[string]any
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "{") {
			docs = append(docs, decode[map[string]any](t, []byte(line)))
		}
	}
	return docs
}

// has reports whether one of the documents has all these members.
func has(docs []map[string]any, want map[string]any) bool {
	for _, doc := range docs {
		same := true
		for k, v := range want {
			same = same && doc[k] == v
		}
		if same {
			return true
		}
	}
	return false
}

// logged waits until a function's log has a text.
func logged(t *testing.T, function, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waitForLog(t, ctx, function, text)
}

// TestNodeApps deploys programs of Node as they are found anywhere, their
// packages installed by the deploy from their lockfiles.
func TestNodeApps(t *testing.T) {
	need(t, "node")
	deploy(t, "testdata/node", "node-apps")

	t.Run("express", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/express", status: 200, want: "=Hello World!", header: map[string]string{"X-Powered-By": "Express", "Content-Type": "text/html; charset=utf-8"}},
			{method: "GET", target: "/express/users/a%2Fb?x=1&x=2", status: 200, want: `={"id":"a/b","query":{"x":["1","2"]},"agent":"suite"}`},
			{method: "POST", target: "/express/echo", kind: "application/json", body: `{"a":"ü"}`, status: 201, want: `={"a":"ü"}`, header: map[string]string{"X-Seen": "yes"}},
			{method: "POST", target: "/express/echo", kind: "application/json", body: `{`, status: 400, want: "SyntaxError"},
			{method: "GET", target: "/express/stream", status: 200, want: "=" + pieces(100)},
			{method: "GET", target: "/express/error", status: 500, want: "out of order"},
			{method: "GET", target: "/express/nowhere", status: 404, want: "Cannot GET /express/nowhere"},
		})
		logged(t, "express", "Example app listening on port")
		logged(t, "express", "Error: out of order")
	})

	t.Run("fastify", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/fastify", status: 200, want: `={"hello":"world"}`},
			{method: "POST", target: "/fastify/users", kind: "application/json", body: `{"name":"Ada","age":"36"}`, status: 201, want: `={"user":{"name":"Ada","age":36}}`, header: map[string]string{"X-Scope": "users"}},
			{method: "POST", target: "/fastify/users", kind: "application/json", body: `{}`, status: 400, want: "must have required property 'name'"},
			{method: "GET", target: "/fastify/nowhere", status: 404, want: "Route GET:/fastify/nowhere not found"},
		})
		logged(t, "fastify", `\"name\":\"Ada\",\"msg\":\"a user\"`)
	})

	t.Run("Hono", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/hono/users/7?q=a%26b", status: 200, want: `={"id":"7","query":"a&b"}`, header: map[string]string{"X-Powered-By": "Hono", "Content-Type": "application/json"}},
			{method: "GET", target: "/hono/stream", status: 200, want: "=" + pieces(100)},
			{method: "GET", target: "/hono/nowhere", status: 404, want: "404 Not Found"},
		})
	})

	t.Run("sharp", func(t *testing.T) {
		for format, kind := range map[string]string{"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"} {
			got := invoke[struct {
				StatusCode int
				Headers    map[string]string
				Body       []byte
			}](t, "sharp", map[string]any{"format": format})
			if got.Headers["Content-Type"] != kind || got.Headers["X-Size"] != "16x32" || http.DetectContentType(got.Body) != kind {
				t.Errorf("%s: %v, %s", format, got.Headers, http.DetectContentType(got.Body))
			}
		}
		res := ask(t, "GET", "/sharp", nil)
		if body := readAll(t, res.Body); res.StatusCode != 200 || http.DetectContentType(body) != "image/png" || res.Header.Get("X-Red") != "248" {
			t.Errorf("%s, %v, %d bytes", res.Status, res.Header, len(body))
		}
	})

	t.Run("the AWS SDK", func(t *testing.T) {
		if got := invoke[map[string]string](t, "sdk", map[string]string{"do": "region"}); got["answer"] != "us-east-1" {
			t.Errorf("the region is %v", got)
		}
		// It has credentials of its role, by which it asks for services that Gust
		// does not have.
		for _, do := range []string{"get", "list", "put"} {
			if got := invoke[map[string]string](t, "sdk", map[string]string{"do": do}); got["name"] == "" || got["name"] == "CredentialsProviderError" {
				t.Errorf("%s: %v", do, got)
			}
		}
	})

	t.Run("powertools by middy", func(t *testing.T) {
		out := call(t, "powertools-middy", map[string]string{"id": "7"})
		id, _ := requestID(out.ResultMetadata)
		got, text := decode[map[string]string](t, out.Payload), tail(t, out)
		if got["ordered"] != "7" || !strings.HasPrefix(got["trace"], "1-") {
			t.Errorf("it answered %s", out.Payload)
		}
		docs := printed(t, text)
		for _, want := range []map[string]any{
			{"level": "INFO", "message": "an order", "service": "airline", "team": "booking", "order": "7", "cold_start": true, "function_name": "powertools-middy",
				"function_arn": "arn:aws:lambda:us-east-1:000000000000:function:powertools-middy", "function_memory_size": "256", "function_request_id": id, "xray_trace_id": got["trace"]},
			{"ColdStart": 1.0, "service": "airline", "function_name": "powertools-middy", "stage": "test"},
			{"orders": 1.0, "kind": "test", "service": "airline"},
		} {
			if !has(docs, want) {
				t.Errorf("%v is missing in\n%s", want, text)
			}
		}
		if strings.Contains(text, "not shown") {
			t.Errorf("a line of DEBUG is shown at INFO:\n%s", text)
		}
		if text := tail(t, call(t, "powertools-middy", map[string]string{"id": "8"})); !has(printed(t, text), map[string]any{"order": "8", "cold_start": false}) {
			t.Errorf("warm:\n%s", text)
		}
		failed := fails(t, "powertools-middy", map[string]string{})
		if failed.Type != "TypeError" || failed.Message != "an order has an id" || !strings.Contains(trace(failed), "src/index.ts:") {
			t.Errorf("%+v", failed)
		}
	})

	t.Run("powertools by decorators", func(t *testing.T) {
		out := call(t, "powertools-decorators", map[string]string{"id": "correlated"})
		text := tail(t, out)
		if string(out.Payload) != `"decorated"` || out.FunctionError != nil {
			t.Errorf("%s, %v", out.Payload, aws.ToString(out.FunctionError))
		}
		docs := printed(t, text)
		if !has(docs, map[string]any{"level": "ERROR", "message": "it failed", "correlation_id": "correlated", "team": "booking"}) ||
			!has(docs, map[string]any{"decorated": 12.5, "service": "airline"}) {
			t.Errorf("it logged\n%s", text)
		}
	})

	t.Run("powertools by its router", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/powertools/users/5", status: 200, want: `={"id":"5"}`, header: map[string]string{"Content-Type": "application/json"}},
			{method: "GET", target: "/powertools/nobody", status: 404, want: `={"error":"nobody","statusCode":404}`},
		})
	})
}

// TestSDKNetworks: AWS's SDK in a function reaches an endpoint on this host where
// the function lists it, and nothing where it has no network.
func TestSDKNetworks(t *testing.T) {
	if !shared.sandboxed() {
		t.Skip("without isolation a function reaches what the node reaches")
	}
	need(t, "node")
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"):
			w.WriteHeader(http.StatusForbidden)
		case r.Method == "GET" && r.URL.Path == "/bucket/key":
			io.WriteString(w, "an object")
		case r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.ListTables":
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			io.WriteString(w, `{"TableNames":["orders"]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer endpoint.Close()
	dir := t.TempDir()
	copyTree(t, "testdata/node/sdk", filepath.Join(dir, "sdk"))
	env := fmt.Sprintf("{AWS_ENDPOINT_URL: %q, ACCESS_KEY: AKIAIOSFODNN7EXAMPLE, SECRET_KEY: secret}", endpoint.URL)
	manifest(t, dir, fmt.Sprintf(`
app: sdk-networks
functions:
  sdk-listed: {runtime: node, source: ./sdk, handler: index.handler, timeout: 10s, memory: 256MB, env: %s, network: [%q]}
  sdk-none: {runtime: node, source: ./sdk, handler: index.handler, timeout: 10s, memory: 256MB, env: %s, network: none}
`, env, endpoint.Listener.Addr(), env))
	deploy(t, dir, "sdk-networks")
	for do, want := range map[string]string{"get": `{"answer":"an object"}`, "list": `{"answer":["orders"]}`} {
		if got := call(t, "sdk-listed", map[string]string{"do": do}); string(got.Payload) != want {
			t.Errorf("%s with the endpoint listed: %s, want %s", do, got.Payload, want)
		}
		if got := invoke[map[string]string](t, "sdk-none", map[string]string{"do": do}); got["code"] != "ECONNREFUSED" && got["code"] != "ENETUNREACH" {
			t.Errorf("%s without a network: %v", do, got)
		}
	}
}

// TestPythonApps deploys programs of Python as they are found anywhere, their
// packages installed by the deploy from their requirements.
func TestPythonApps(t *testing.T) {
	deploy(t, "testdata/python", "python-apps")

	t.Run("FastAPI", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/fastapi", status: 200, want: `={"Hello":"World"}`},
			{method: "GET", target: "/fastapi/items/5?q=a%26b", status: 200, want: `={"item_id":5,"q":"a&b"}`},
			{method: "GET", target: "/fastapi/items/five", status: 422, want: "int_parsing"},
			{method: "PUT", target: "/fastapi/items/5", kind: "application/json", body: `{"name":"Foo","price":1.5}`, status: 200, want: `={"item_name":"Foo","item_id":5}`},
			{method: "PUT", target: "/fastapi/items/5", kind: "application/json", body: `{"name":"Foo"}`, status: 422, want: "Field required"},
			{method: "GET", target: "/fastapi/stream", status: 200, want: "=" + pieces(100)},
			{method: "GET", target: "/fastapi/openapi.json", status: 200, want: `"/fastapi/items/{item_id}"`},
		})
		socket, _, err := websocket.Dial(t.Context(), "ws://"+shared.HTTP+"/fastapi/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.CloseNow()
		for _, text := range []string{"a", "ü"} {
			if err := socket.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := socket.Read(t.Context()); err != nil || string(got) != "Message text was: "+text {
				t.Errorf("%q came back as %q, %v", text, got, err)
			}
		}
		logged(t, "fastapi", "Application startup complete")
		logged(t, "fastapi", `PUT /fastapi/items/5 HTTP/1.1`)
	})

	t.Run("Flask", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/flask", status: 200, want: "=<p>Hello, World!</p>", header: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
			{method: "GET", target: "/flask/hello/%3Cb%3E", status: 200, want: "=<p>Hello, &lt;b&gt;!</p>"},
			{method: "POST", target: "/flask/form", kind: "application/x-www-form-urlencoded", body: "a=1&b=%C3%BC", status: 201, want: `"b":"\u00fc"`},
			{method: "GET", target: "/flask/error", status: 500, want: "Internal Server Error"},
		})
		logged(t, "flask", "RuntimeError: out of order")
	})

	t.Run("Starlette behind Mangum", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "POST", target: "/mangum/7?a=1", kind: "text/plain", body: "ü", status: 200, want: `={"id":"7","query":{"a":"1"},"body":"ü"}`, header: map[string]string{"Content-Type": "application/json"}},
			{method: "PUT", target: "/mangum/7", status: 405, want: "Method Not Allowed"},
		})
	})

	t.Run("numpy", func(t *testing.T) {
		out := call(t, "numpy", map[string]any{"matrix": [][]int{{2, 0}, {0, 4}}})
		got := decode[struct {
			Inverse      [][]float64
			Eigenvalues  []float64
			Product, FFT float64
		}](t, out.Payload)
		if len(got.Inverse) != 2 || got.Inverse[0][0] != 0.5 || got.Inverse[1][1] != 0.25 || len(got.Eigenvalues) != 2 || got.Eigenvalues[1] != 4 ||
			got.Product != 5208302083375000 || got.FFT != 64 {
			t.Errorf("it answered %s", out.Payload)
		}
		if text := tail(t, out); !strings.Contains(text, "a matrix of (2, 2)") {
			t.Errorf("it logged\n%s", text)
		}
		if got := fails(t, "numpy", map[string]any{"matrix": [][]int{{0, 0}, {0, 0}}}); got.Type != "LinAlgError" || got.Message != "Singular matrix" || !strings.Contains(trace(got), "app.py") {
			t.Errorf("%+v", got)
		}
	})

	t.Run("powertools over HTTP", func(t *testing.T) {
		talk(t, []exchangeHTTP{
			{method: "GET", target: "/todos/7", status: 200, want: `={"title":"number 7","completed":false}`, header: map[string]string{"Content-Type": "application/json"}},
			{method: "GET", target: "/todos/101", status: 404, want: "no todo 101"},
			{method: "GET", target: "/todos/seven", status: 422, want: "int_parsing"},
			{method: "POST", target: "/todos", kind: "application/json", body: `{"title":"rest"}`, status: 200, want: `"added":"rest"`},
			{method: "POST", target: "/todos", kind: "application/json", body: `{}`, status: 422, want: "missing"},
		})
	})

	t.Run("powertools by its event", func(t *testing.T) {
		event := map[string]any{"version": "2.0", "rawPath": "/todos/9", "rawQueryString": "", "headers": map[string]string{}, "isBase64Encoded": false, "routeKey": "GET /todos/{id}",
			"requestContext": map[string]any{"requestId": "correlated", "stage": "$default", "http": map[string]string{"method": "GET", "path": "/todos/9"}}}
		out := call(t, "powertools-api", event)
		id, _ := requestID(out.ResultMetadata)
		text := tail(t, out)
		if got := decode[map[string]any](t, out.Payload); got["statusCode"] != 200.0 {
			t.Errorf("it answered %s", out.Payload)
		}
		if want := map[string]any{"level": "INFO", "message": "a todo", "todo": 9.0, "asked": true, "service": "airline", "correlation_id": "correlated",
			"function_name": "powertools-api", "function_request_id": id}; !has(printed(t, text), want) {
			t.Errorf("%v is missing in\n%s", want, text)
		}
		for _, want := range []string{`"Namespace":"Airline"`, `"todos":[1.0]`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is missing in\n%s", want, text)
			}
		}
		logged(t, "powertools-api", "ColdStart")
	})

	t.Run("powertools' validation and batches", func(t *testing.T) {
		if got := invoke[map[string]int](t, "powertools-validated", map[string]int{"id": 6}); got["id"] != 7 {
			t.Errorf("it answered %v", got)
		}
		if got := fails(t, "powertools-validated", map[string]string{"id": "six"}); got.Type != "SchemaValidationError" || !strings.Contains(got.Message, "must be integer") {
			t.Errorf("%+v", got)
		}
		messages := []map[string]any{}
		for id, body := range []string{"good", "bad", "good"} {
			messages = append(messages, map[string]any{"messageId": string(rune('a' + id)), "body": body, "eventSource": "aws:sqs"})
		}
		if out := call(t, "powertools-batch", map[string]any{"Records": messages}); !sameJSON(string(out.Payload), `{"batchItemFailures":[{"itemIdentifier":"b"}]}`) {
			t.Errorf("it answered %s", out.Payload)
		}
	})

	t.Run("awslambdaric's example", func(t *testing.T) {
		for _, function := range []string{"ric-provided", "ric-python"} {
			if got := invoke[string](t, function, map[string]any{}); got != "Hello World!" {
				t.Errorf("%s answered %q", function, got)
			}
		}
	})
}

// trace is an error's stack as a text.
func trace(f failure) string {
	text, err := json.Marshal(f.Trace)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
