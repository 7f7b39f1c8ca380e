package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke"
)

// door is a gateway behind a real server.
func door(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	if o.Catalog == nil {
		o.Catalog = declare("* /{path...}", "* /web/{path...}", "GET /only")
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(New(o), o.Logger)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func do(t *testing.T, method, url string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// fails is an invoker whose functions end so.
func fails(err error) invokerFuncs {
	return invokerFuncs{
		invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) {
			if fe := (*gust.FunctionError)(nil); errors.As(err, &fe) {
				return &invoke.Response{Error: fe}, nil
			}
			return nil, err
		},
		serve: func(http.ResponseWriter, *http.Request, *invoke.Request) error { return err },
	}
}

// TestRefusals: what goes wrong has the same answer for both kinds of function.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		err     error
		status  int
		body    string
		headers map[string]string
		logged  bool
	}{
		{err: &gust.ThrottledError{Function: "api", Reason: gust.ThrottleFunction, Detail: "5 at once"},
			status: 429, body: `{"message":"Too Many Requests","reason":"function"}`, headers: map[string]string{"Retry-After": "1"}},
		{err: fmt.Errorf("admit: %w", &gust.ThrottledError{Reason: gust.ThrottleMemory, RetryAfter: 1500 * time.Millisecond}),
			status: 429, body: `{"message":"Too Many Requests","reason":"memory"}`, headers: map[string]string{"Retry-After": "2"}},
		{err: &gust.FunctionError{Outcome: gust.OutcomeTimeout, Message: "secret"}, status: 504, body: `{"message":"Endpoint request timed out"}`},
		{err: &gust.FunctionError{Outcome: gust.OutcomeError, Message: "secret"}, status: 502, body: `{"message":"Internal Server Error"}`},
		{err: &gust.FunctionError{Outcome: gust.OutcomeInit, Message: "secret"}, status: 502, body: `{"message":"Internal Server Error"}`},
		{err: &gust.FunctionError{Outcome: gust.OutcomeSize}, status: 502, body: `{"message":"Internal Server Error"}`},
		{err: &gust.FunctionError{Outcome: gust.OutcomeSandbox, Message: "no cgroup"}, status: 502, body: `{"message":"Internal Server Error"}`, logged: true},
		{err: fmt.Errorf("function x: %w", gust.ErrNotFound), status: 404, body: `{"message":"Not Found"}`},
		{err: fmt.Errorf("%w: over 6 MB", gust.ErrTooLarge), status: 413, body: `{"message":"too large: over 6 MB"}`},
		{err: gust.ErrClosing, status: 503, body: `{"message":"Service Unavailable"}`, headers: map[string]string{"Retry-After": "1"}},
		{err: context.Canceled, status: 499, body: `{"message":"Client Closed Request"}`},
		{err: errors.New("secret"), status: 500, body: `{"message":"Internal Server Error"}`, logged: true},
	} {
		for _, path := range []string{"/api", "/web/x"} {
			var log bytes.Buffer
			s := door(t, Options{Invoker: fails(c.err), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			resp := do(t, "GET", s.URL+path, nil)
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || string(body) != c.body || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v on %s: %d %s %v", c.err, path, resp.StatusCode, body, err)
			}
			for name, want := range c.headers {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%v: %s is %q", c.err, name, got)
				}
			}
			id := resp.Header.Get("x-amzn-RequestId")
			if len(id) != 36 {
				t.Errorf("%v: request id %q", c.err, id)
			}
			s.Close() // waits for the handler
			if (log.Len() > 0) != c.logged || c.logged && !strings.Contains(log.String(), id) {
				t.Errorf("%v: log %q", c.err, log.String())
			}
		}
	}
}

func TestOwnAnswers(t *testing.T) {
	s := door(t, Options{Invoker: answers(`{}`), Catalog: declare("GET /only", "POST /only")})
	for _, c := range []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{"GET", "/none", 404, `{"message":"Not Found"}`, ""},
		{"DELETE", "/only", 405, `{"message":"Method Not Allowed"}`, "GET, HEAD, POST"},
		{"GET", "/only/../only", 400, `{"message":"the path \"/only/../only\" has a dot segment: send it resolved"}`, ""},
		{"GET", "//only", 400, `{"message":"the path \"//only\" has an empty segment: \"//\" is not allowed"}`, ""},
	} {
		req, err := http.NewRequest(c.method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = "//" + req.URL.Host + c.path // as it stands
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || string(body) != c.body || resp.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %s, allow %q", c.method, c.path, resp.StatusCode, body, resp.Header.Get("Allow"))
		}
	}
}

func TestHead(t *testing.T) {
	s := door(t, Options{Invoker: answers(`{"statusCode":200,"body":"hello"}`)})
	resp := do(t, "HEAD", s.URL+"/only", nil)
	if resp.StatusCode != 200 || resp.ContentLength != 5 {
		t.Error(resp.StatusCode, resp.ContentLength)
	}
}

// TestMalformed: an answer that is no response is 502, and the log says why, but
// not for each of many.
func TestMalformed(t *testing.T) {
	var log bytes.Buffer
	now := someTime
	s := door(t, Options{Invoker: answers(`{"statusCode":1}`), Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }})
	for range 3 {
		if resp := do(t, "GET", s.URL+"/", nil); resp.StatusCode != 502 {
			t.Error(resp.StatusCode)
		}
	}
	now = now.Add(time.Second)
	do(t, "GET", s.URL+"/", nil)
	s.Close()
	if strings.Count(log.String(), "statusCode is 1") != 2 || !strings.Contains(log.String(), "left_out=2") || !strings.Contains(log.String(), "function=api app=shop") {
		t.Error(log.String())
	}
}

// TestRequest is what the invoker gets.
func TestRequest(t *testing.T) {
	var got invoke.Request
	iv := answers(`{}`)
	inner := iv.invoke
	iv.invoke = func(ctx context.Context, r *invoke.Request) (*invoke.Response, error) {
		got = *r
		return inner(ctx, r)
	}
	s := door(t, Options{Invoker: iv})
	resp := do(t, "PUT", s.URL+"/a?b=c", strings.NewReader("hello"))
	if got.Function != "api" || got.Source != "http" || got.RequestID != resp.Header.Get("x-amzn-RequestId") || got.TraceID == "" {
		t.Errorf("%+v", got)
	}
	var event struct {
		Body           string
		RawPath        string
		RequestContext struct{ RequestID string }
		Headers        map[string]string
	}
	if err := json.Unmarshal(got.Payload, &event); err != nil {
		t.Fatal(err)
	}
	if event.Body != "aGVsbG8=" || event.RawPath != "/a" || event.RequestContext.RequestID != got.RequestID || event.Headers["x-amzn-trace-id"] != got.TraceID {
		t.Errorf("%s", got.Payload)
	}
}

// TestHTTPFunctions get the request as it is, at once, and write what they want.
func TestHTTPFunctions(t *testing.T) {
	iv := invokerFuncs{serve: func(w http.ResponseWriter, r *http.Request, q *invoke.Request) error {
		body := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return err
		}
		w.Header().Set("X-Path", r.URL.EscapedPath()+" "+q.Function+" "+q.Source)
		w.WriteHeader(http.StatusTeapot)
		w.Write(body)
		return nil
	}}
	s := door(t, Options{Invoker: iv})
	pr, pw := io.Pipe()
	defer pw.Close()
	go pw.Write([]byte("hello")) // and no end
	resp := do(t, "POST", s.URL+"/web/a%2Fb/c", pr)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusTeapot || string(body) != "hello" || resp.Header.Get("X-Path") != "/web/a%2Fb/c web http" {
		t.Error(resp.StatusCode, string(body), resp.Header)
	}
	if resp.Header.Get("x-amzn-RequestId") == "" {
		t.Error("no request id")
	}
}

// TestSlowBodyHoldsNoEnvironment: the function is asked for when the whole body
// is there.
func TestSlowBodyHoldsNoEnvironment(t *testing.T) {
	invoked := make(chan int, 1)
	iv := invokerFuncs{invoke: func(_ context.Context, r *invoke.Request) (*invoke.Response, error) {
		invoked <- len(r.Payload)
		return answers(`{}`).invoke(nil, nil) //nolint:staticcheck // it looks at neither
	}}
	s := door(t, Options{Invoker: iv})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	in.ReadString('\n')
	fmt.Fprint(conn, "abc")
	select {
	case <-invoked:
		t.Fatal("the function was invoked before the body was there")
	default:
	}
	fmt.Fprint(conn, "def")
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatal(line, err)
	}
	<-invoked
}

// endless is a body without end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return len(p), nil
}

func TestBodyLimits(t *testing.T) {
	s := door(t, Options{Invoker: answers(`{}`), BodyMemory: 40 * gust.MB})
	want := fmt.Sprintf(`is over the limit of 6 MB (%d bytes)"}`, gust.MaxSyncPayload)
	big := bytes.Repeat([]byte("x"), gust.MaxSyncPayload)
	for name, body := range map[string]io.Reader{
		"announced": bytes.NewReader(append(big, 'x')),
		"endless":   &endless{},
		"in base64": bytes.NewReader(big[:gust.MaxSyncPayload*3/4]),
	} {
		resp := do(t, "POST", s.URL+"/", body)
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 413 || !strings.HasSuffix(string(text), want) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	resp := do(t, "POST", s.URL+"/", bytes.NewReader(big[:gust.MaxSyncPayload*3/4-2000]))
	if resp.StatusCode != 200 {
		t.Error("at the limit:", resp.StatusCode)
	}
}

// TestBodyMemory: all requests together hold no more than they may.
func TestBodyMemory(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	iv := invokerFuncs{invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) {
		inside <- struct{}{}
		<-leave
		return answers(`{}`).invoke(nil, nil) //nolint:staticcheck // it looks at neither
	}}
	s := door(t, Options{Invoker: iv, BodyMemory: 4 * gust.MB})
	body := bytes.Repeat([]byte("x"), gust.MB)
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp := do(t, "POST", s.URL+"/", bytes.NewReader(body)); resp.StatusCode != 200 {
			t.Error(resp.StatusCode)
		}
	})
	<-inside
	resp := do(t, "POST", s.URL+"/", bytes.NewReader(append(body, body...)))
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 429 || string(text) != `{"message":"Too Many Requests","reason":"memory"}` {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	wg.Go(func() { // a small one goes through
		if resp := do(t, "POST", s.URL+"/", strings.NewReader("x")); resp.StatusCode != 200 {
			t.Error(resp.StatusCode)
		}
	})
	<-inside
	close(leave)
	wg.Wait()
	if g := s.Config.Handler.(*gateway); g.memory.used.Load() != 0 {
		t.Error("memory is still held:", g.memory.used.Load())
	}
}

// TestBrokenBody: a client that leaves in the middle of its body reaches no
// function.
func TestBrokenBody(t *testing.T) {
	s := door(t, Options{Invoker: invokerFuncs{invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) {
		t.Error("invoked")
		return nil, gust.ErrNotFound
	}}})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
	conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 || !resp.Close {
		t.Error(resp.StatusCode, resp.Close)
	}
}

// late is a body that does not come in time.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, fmt.Errorf("read: %w", os.ErrDeadlineExceeded) }

func TestLateBody(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", late{})
	New(Options{Catalog: declare("* /"), Invoker: answers(`{}`), Logger: quiet()}).ServeHTTP(w, r)
	if w.Code != 408 || w.Body.String() != `{"message":"the body of the request did not come within 1m0s"}` || w.Header().Get("Connection") != "close" {
		t.Error(w.Code, w.Body, w.Header())
	}
}

// TestTrace: the trace that comes in is passed on in both forms.
func TestTrace(t *testing.T) {
	const (
		parent = "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01"
		id     = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
	)
	var traces []string
	iv := answers(`{}`)
	iv.invoke = func(_ context.Context, r *invoke.Request) (*invoke.Response, error) {
		traces = append(traces, r.TraceID)
		return answers(`{}`).invoke(nil, nil) //nolint:staticcheck // it looks at neither
	}
	iv.serve = func(w http.ResponseWriter, r *http.Request, q *invoke.Request) error {
		traces = append(traces, q.TraceID, r.Header.Get("Traceparent"))
		return nil
	}
	h := New(Options{Catalog: declare("GET /api", "GET /web"), Invoker: iv, Logger: quiet()})
	for _, path := range []string{"/api", "/web"} {
		for name, value := range map[string]string{"Traceparent": parent, "X-Amzn-Trace-Id": id} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set(name, value)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if want := []string{id, id, id, parent, id, parent}; !slices.Equal(traces, want) {
		t.Errorf("%q", traces)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := door(t, Options{Invoker: answers(`{}`)})
	req, _ := http.NewRequest("GET", s.URL, nil)
	req.Header.Set("X-Big", strings.Repeat("x", maxHeaderBytes+8<<10))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.StatusCode)
	}
}
