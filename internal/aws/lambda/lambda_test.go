package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
)

type declared struct{ snapshot *catalog.Snapshot }

func (d declared) Snapshot() *catalog.Snapshot { return d.snapshot }

// shop declares two functions of app shop: hello, at version 7, and web of the
// http runtime.
func shop() declared {
	reserved := 5
	return declared{&catalog.Snapshot{Functions: map[string]*gust.Function{
		"hello": {Name: "hello", App: "shop", Version: 7, Modified: time.Date(2026, 11, 21, 9, 0, 0, 5e6, time.UTC), Description: "greets",
			Runtime: gust.RuntimeGo, Artifact: gust.Digest(strings.Repeat("0a", 32)), Memory: 256 * gust.MB, Ephemeral: 512 * gust.MB,
			Timeout: 3 * time.Second, Env: map[string]string{"A": "1"}, Concurrency: gust.Concurrency{Reserved: &reserved}},
		"thumbs": {Name: "thumbs", App: "shop", Version: 1, Runtime: gust.RuntimeNode, Handler: "src/index.handler", Memory: 128 * gust.MB,
			Ephemeral: 512 * gust.MB, Timeout: time.Second},
		"web": {Name: "web", App: "shop", Version: 1, Runtime: gust.RuntimeHTTP, Memory: 128 * gust.MB, Ephemeral: 512 * gust.MB, Timeout: time.Second},
	}, Routes: []gust.Route{{App: "shop", Method: "GET", Path: "/web/{path...}", Function: "web"}}}}
}

// invoker remembers what it was asked for, and answers.
type invoker struct {
	got   *invoke.Request
	async bool
	resp  *invoke.Response
	err   error
}

func (i *invoker) Invoke(_ context.Context, r *invoke.Request) (*invoke.Response, error) {
	i.got = r
	return i.resp, i.err
}

func (i *invoker) InvokeAsync(_ context.Context, r *invoke.Request) (string, error) {
	i.got, i.async = r, true
	return r.RequestID, i.err
}

func answer(payload string) *invoker {
	return &invoker{resp: &invoke.Response{Version: 7, Result: &gust.Result{Payload: []byte(payload)}, LogTail: []byte("START\nEND\n")}}
}

// request is a request to the API; headers are names and values in turn.
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", wiretest.Bearer)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

var place = gust.Place{Account: "123456789012", Region: "eu-central-1"}

// doors are those of the tests that run: opening one takes its time.
var doors sync.Map

// handler is the door of the service for who may do everything.
func handler(t testing.TB, o Options) http.Handler {
	t.Helper()
	door, ok := doors.Load(t)
	if !ok {
		door = wiretest.New(t)
		doors.Store(t, door)
	}
	h, err := wire.New(wire.Options{Services: []*wire.Service{New(o)}, Guard: door.(*wiretest.Door).Guard, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// same tells whether two documents are.
func same(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

func serve(t *testing.T, iv Invoker, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler(t, Options{Catalog: shop(), Invoker: iv, Place: place}).ServeHTTP(w, r)
	if id := w.Header().Get("x-amzn-RequestId"); len(id) != 36 {
		t.Errorf("request id %q", id)
	}
	return w
}

const helloPath = "/2015-03-31/functions/hello/invocations"

func TestInvoke(t *testing.T) {
	iv := answer(`{"answer":42}`)
	w := serve(t, iv, request("POST", helloPath, ` {"a":1} `,
		"X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1",
		"X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte("{\"client\":\n{}}"))))
	if w.Code != 200 || w.Body.String() != `{"answer":42}` || w.Header().Get("X-Amz-Executed-Version") != "7" || w.Header().Get("Content-Type") != "application/json" {
		t.Error(w.Code, w.Body, w.Header())
	}
	if w.Header().Get("X-Amz-Function-Error") != "" || w.Header().Get("X-Amz-Log-Result") != "" {
		t.Error(w.Header())
	}
	want := invoke.Request{Function: "hello", Payload: []byte(` {"a":1} `), Source: "invoke", RequestID: w.Header().Get("x-amzn-RequestId"),
		TraceID: "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1", ClientContext: `{"client":{}}`}
	if fmt.Sprintf("%+v", *iv.got) != fmt.Sprintf("%+v", want) || iv.async {
		t.Errorf("got %+v", *iv.got)
	}
}

func TestInvokeTypes(t *testing.T) {
	iv := answer(`1`)
	w := serve(t, iv, request("POST", helloPath, "", "X-Amz-Invocation-Type", "Event", "X-Amz-Client-Context", "e30="))
	if w.Code != 202 || w.Body.Len() > 0 || !iv.async || string(iv.got.Payload) != "{}" || iv.got.Source != "async" || iv.got.ClientContext != "" {
		t.Errorf("%d %s %+v", w.Code, w.Body, iv.got)
	}
	iv = answer(`1`)
	if w := serve(t, iv, request("POST", helloPath, "{}", "X-Amz-Invocation-Type", "DryRun")); w.Code != 204 || iv.got != nil {
		t.Error(w.Code, iv.got)
	}
	iv = answer(`1`)
	w = serve(t, iv, request("POST", helloPath, "{}", "X-Amz-Invocation-Type", "RequestResponse", "X-Amz-Log-Type", "Tail"))
	if w.Code != 200 || !iv.got.Tail || w.Header().Get("X-Amz-Log-Result") != base64.StdEncoding.EncodeToString([]byte("START\nEND\n")) {
		t.Error(w.Code, w.Header())
	}
}

func TestNames(t *testing.T) {
	const arn = "arn:aws:lambda:eu-central-1:123456789012:function:"
	for label, want := range map[string]string{
		"hello":                         "",
		"hello:$LATEST":                 "$LATEST",
		"hello:7":                       "7",
		"123456789012:function:hello":   "",
		"123456789012:function:hello:7": "7",
		arn + "hello":                   "",
		arn + "hello:7":                 "7",
		"arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ahello": "",
		"hello?Qualifier=$LATEST": "$LATEST",
		"hello?Qualifier=7":       "7",
		"hello:7?Qualifier=7":     "7",

		"hello:8":                     "ResourceNotFoundException Function not found: " + arn + "hello:8",
		"hello?Qualifier=live":        "ResourceNotFoundException Function not found: " + arn + "hello:live",
		"hello?Qualifier=07":          "ResourceNotFoundException Function not found: " + arn + "hello:07",
		"none":                        "ResourceNotFoundException Function not found: " + arn + "none",
		"999999999999:function:hello": "ResourceNotFoundException Function not found: arn:aws:lambda:eu-central-1:999999999999:function:hello",
		"arn:aws:lambda:us-east-1:123456789012:function:hello": "ResourceNotFoundException Function not found: arn:aws:lambda:us-east-1:123456789012:function:hello",
		"hello:7?Qualifier=8":           "InvalidParameterValueException the qualifier 7 in the function's name is not the Qualifier 8",
		"hello?Qualifier=7&Qualifier=7": "InvalidParameterValueException Qualifier is there 2 times: it may be once",
		"hello?Qualifier=a.b":           `InvalidParameterValueException Qualifier "a.b" is wrong`,
		"hello?Qualifier=":              `InvalidParameterValueException Qualifier "" is wrong`,
		"he%20llo":                      `InvalidParameterValueException the function name "he llo" is wrong`,
		"hello:":                        `InvalidParameterValueException the function name "hello:" is wrong`,
		"a:b:c":                         `InvalidParameterValueException the function name "a:b:c" is wrong`,
		":function:hello":               `InvalidParameterValueException the function name ":function:hello" is wrong`,
		"arn:aws:s3:::bucket":           `InvalidParameterValueException the function name "arn:aws:s3:::bucket" is wrong`,
		"arn:aws:lambda:eu-central-1:123456789012:layer:hello": `InvalidParameterValueException the function name`,
		strings.Repeat("x", 65):                                `InvalidParameterValueException the function name`,
	} {
		label, query, _ := strings.Cut(label, "?")
		iv := answer(`1`)
		w := serve(t, iv, request("POST", "/2015-03-31/functions/"+label+"/invocations?"+query, "{}"))
		if code := w.Header().Get("x-amzn-ErrorType"); code != "" {
			var doc struct{ Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			if got := code + " " + doc.Message; !strings.HasPrefix(got, want) || want == "" {
				t.Errorf("%s?%s: %s, want %s", label, query, got, want)
			}
			continue
		}
		if iv.got == nil || iv.got.Function != "hello" || iv.got.Qualifier != want {
			t.Errorf("%s?%s: %d %+v", label, query, w.Code, iv.got)
		}
	}
}

// TestRefused: what is not in order comes to no function.
func TestRefused(t *testing.T) {
	big := strings.Repeat(" ", gust.MaxAsyncPayload) + "1"
	huge := strings.Repeat(" ", gust.MaxSyncPayload) + "1"
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		body   string
	}{
		{"no JSON", request("POST", helloPath, `{"a"`), 400,
			`{"Type":"User","message":"Could not parse request body into json: unexpected end of JSON input"}`},
		{"invocation type", request("POST", helloPath, "", "X-Amz-Invocation-Type", "Sync"), 400,
			`{"Type":"User","message":"X-Amz-Invocation-Type is \"Sync\": it may be one of [RequestResponse Event DryRun]"}`},
		{"log type", request("POST", helloPath, "", "X-Amz-Log-Type", "All"), 400,
			`{"Type":"User","message":"X-Amz-Log-Type is \"All\": it may be one of [None Tail]"}`},
		{"tenant", request("POST", helloPath, "", "X-Amz-Tenant-Id", "a"), 400,
			`{"Type":"User","message":"X-Amz-Tenant-Id is there, and tenants are not part of this version of Gust: leave it out"}`},
		{"durable", request("POST", helloPath, "", "X-Amz-Durable-Execution-Name", "a"), 400,
			`{"Type":"User","message":"X-Amz-Durable-Execution-Name is there, and durable executions are not part of this version of Gust: leave it out"}`},
		{"client context", request("POST", helloPath, "", "X-Amz-Client-Context", "{}"), 400,
			`{"Type":"User","message":"Client context must be a valid Base64-encoded JSON object."}`},
		{"client context that is no object", request("POST", helloPath, "", "X-Amz-Client-Context", "MQ=="), 400,
			`{"Type":"User","message":"Client context must be a valid Base64-encoded JSON object."}`},
		{"long client context", request("POST", helloPath, "", "X-Amz-Client-Context", strings.Repeat("e", 3584)), 400,
			`{"Type":"User","message":"X-Amz-Client-Context has 3584 bytes, over the limit of 3583"}`},
		{"synchronous size", request("POST", helloPath, huge), 413,
			`{"message":"the request's body has 6291457 bytes, over the limit of 6291456"}`},
		{"asynchronous size", request("POST", helloPath, big, "X-Amz-Invocation-Type", "Event"), 413,
			`{"Type":"User","message":"Request must be smaller than 1048576 bytes (1 MB) for this operation and invocation type"}`},
		{"streamed type", request("POST", "/2021-11-15/functions/hello/response-streaming-invocations", "", "X-Amz-Invocation-Type", "Event"), 400,
			`{"Type":"User","message":"X-Amz-Invocation-Type is \"Event\": it may be one of [RequestResponse DryRun]"}`},
		{"http function", request("POST", "/2015-03-31/functions/web/invocations", "{}"), 400,
			`{"Type":"User","message":"the function web has the runtime http, which answers HTTP requests and has no events: call it through one of its routes: GET /web/{path...}"}`},
	} {
		iv := answer("1")
		w := serve(t, iv, c.r)
		if w.Code != c.status || !same(w.Body.String(), c.body) || iv.got != nil {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	// A size that nobody announced.
	iv := answer("1")
	r := request("POST", helloPath, huge)
	r.ContentLength = -1
	if w := serve(t, iv, r); w.Code != 413 || iv.got != nil {
		t.Error("not announced:", w.Code)
	}
	if w := serve(t, iv, request("POST", helloPath, huge[1:])); w.Code != 200 {
		t.Error("at the limit:", w.Code, w.Body)
	}
}

// TestErrors is the table of the domain's errors.
func TestErrors(t *testing.T) {
	throttle := func(r gust.ThrottleReason) error {
		return fmt.Errorf("admit: %w", &gust.ThrottledError{Function: "hello", Reason: r, Detail: "5 of 5", RetryAfter: 2500 * time.Millisecond})
	}
	for _, c := range []struct {
		err    error
		status int
		code   string
		body   string
	}{
		{fmt.Errorf("function x: %w", gust.ErrNotFound), 404, "ResourceNotFoundException", `{"Message":"function x: not found","Type":"User"}`},
		{fmt.Errorf("%w: 7 MB", gust.ErrTooLarge), 413, "RequestTooLargeException", `{"Type":"User","message":"too large: 7 MB"}`},
		{gust.ErrInvalid, 400, "InvalidParameterValueException", `{"Type":"User","message":"invalid"}`},
		{gust.ErrConflict, 409, "ResourceConflictException", `{"Type":"User","message":"conflict"}`},
		{gust.ErrNoSpace, 503, "ServiceException", `{"Message":"no space left for the data folder","Type":"Service"}`},
		{gust.ErrClosing, 503, "ServiceException", `{"Message":"the node is shutting down","Type":"Service"}`},
		{gust.ErrCorrupt, 500, "ServiceException", `{"Message":"corrupt","Type":"Service"}`},
		{errors.New("odd"), 500, "ServiceException", `{"Message":"odd","Type":"Service"}`},
		{throttle(gust.ThrottleFunction), 429, "TooManyRequestsException", `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded: function hello is throttled by its function limit: 5 of 5"}`},
		{throttle(gust.ThrottleQueue), 429, "TooManyRequestsException", `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded: function hello is throttled by its queue limit: 5 of 5"}`},
		{throttle(gust.ThrottleNode), 429, "TooManyRequestsException", `{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded: function hello is throttled by its node limit: 5 of 5"}`},
		{throttle(gust.ThrottleMemory), 429, "TooManyRequestsException", `{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded: function hello is throttled by its memory limit: 5 of 5"}`},
		{throttle(gust.ThrottleBackoff), 429, "TooManyRequestsException", `{"Reason":"FunctionInvocationRateLimitExceeded","Type":"User","message":"Rate Exceeded: function hello is throttled by its backoff limit: 5 of 5"}`},
	} {
		for _, path := range []string{helloPath, "/2021-11-15/functions/hello/response-streaming-invocations"} {
			w := serve(t, &invoker{err: c.err}, request("POST", path, "{}"))
			if w.Code != c.status || w.Header().Get("x-amzn-ErrorType") != c.code || !same(w.Body.String(), c.body) {
				t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
			}
			if after := w.Header().Get("Retry-After"); (after == "3") != (c.status == 429) {
				t.Errorf("%v: Retry-After %q", c.err, after)
			}
		}
		w := serve(t, &invoker{err: c.err}, request("POST", helloPath, "{}", "X-Amz-Invocation-Type", "Event"))
		if w.Code != c.status {
			t.Errorf("asynchronous %v: %d", c.err, w.Code)
		}
	}
}

func TestFunctionErrors(t *testing.T) {
	for _, c := range []struct {
		fe     gust.FunctionError
		status int
		body   string
	}{
		{gust.FunctionError{Outcome: gust.OutcomeError, Type: "T", Message: "m", Payload: []byte(`{"errorType":"T","more":1}`)}, 200, `{"errorType":"T","more":1}`},
		{gust.FunctionError{Outcome: gust.OutcomeTimeout, Type: "Sandbox.Timedout", Message: "after 3s"}, 200, `{"errorType":"Sandbox.Timedout","errorMessage":"after 3s"}`},
		{gust.FunctionError{Outcome: gust.OutcomeSandbox, Message: "no cgroup"}, 500, `{"Message":"the function hello could not be run: no cgroup","Type":"Service"}`},
	} {
		w := serve(t, &invoker{resp: &invoke.Response{Version: 7, Error: &c.fe}}, request("POST", helloPath, "{}"))
		if w.Code != c.status || !same(w.Body.String(), c.body) || c.status == 200 && w.Header().Get("X-Amz-Function-Error") != "Unhandled" {
			t.Errorf("%v: %d %s %v", c.fe, w.Code, w.Body, w.Header())
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	for target, method := range map[string]string{
		"/": "GET", "/2015-03-31/functions/hello": "PATCH", "/2015-03-31/functions/a/b/invocations": "POST", "/x/%2F": "GET",
	} {
		w := serve(t, answer("1"), request(method, target, ""))
		if w.Code != 404 || w.Header().Get("x-amzn-ErrorType") != "UnknownOperationException" {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("hello", "7")
	f.Add("arn:aws:lambda:r:a:function:n:q", "")
	f.Fuzz(func(t *testing.T, s, q string) {
		n, err := parseName(s, &q)
		if err != nil {
			if e := (*wire.Error)(nil); !errors.As(err, &e) || e.Name != "InvalidParameterValueException" {
				t.Fatal(err)
			}
			return
		}
		if !validName(n.function) || !strings.Contains(s, n.function) || n.qualifier != q {
			t.Fatalf("%q %q: %+v", s, q, n)
		}
		again, err := parseName(n.arn(gust.DefaultPlace), nil)
		if err != nil || again.function != n.function || again.qualifier != n.qualifier {
			t.Fatalf("%q: %+v came back as %+v: %v", s, n, again, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/2015-03-31/functions/hello/invocations?Qualifier=7", []byte("{}"), "Event", "e30=")
	f.Add("GET", "/2015-03-31/functions?MaxItems=1", []byte(nil), "", "")
	h := handler(f, Options{Catalog: shop(), Invoker: answer("1")})
	f.Fuzz(func(t *testing.T, method, target string, body []byte, kind, clientContext string) {
		r, err := http.NewRequest(method, target, bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", wiretest.Bearer)
		r.Header.Set("X-Amz-Invocation-Type", kind)
		r.Header.Set("X-Amz-Client-Context", clientContext)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || w.Code >= 400 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}
