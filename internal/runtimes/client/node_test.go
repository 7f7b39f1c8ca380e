package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	gust "github.com/gust-dev/gust"
)

func TestNodeAnswers(t *testing.T) {
	p := start(t, node, "index.handler")
	for event, want := range map[string]string{
		`{"do":"echo","value":{"a":[1,"ü€😀",null,1.5]}}`: `{"a":[1,"ü€😀",null,1.5]}`,
		`{"do":"echo","value":"text"}`:                   `"text"`,
		`{"do":"echo"}`:                                  `null`,
		`{"do":"nothing"}`:                               `null`,
	} {
		p.answers(event, want)
	}
}

// Events and answers of 6 MB, in characters of one, two, three and four bytes.
func TestLargePayloads(t *testing.T) {
	for _, test := range []struct {
		language
		handler string
		per     int // what a length counts: Node's are UTF-16
	}{{node, "index.handler", 5}, {python, "app.handler", 4}} {
		t.Run(test.program, func(t *testing.T) {
			p := start(t, test.language, test.handler)
			text := strings.Repeat("aü€😀", (gust.MaxSyncPayload-100)/10)
			p.answers(fmt.Sprintf(`{"do":"size","text":"%s"}`, text), fmt.Sprint(len(text)/10*test.per))
			n := (gust.MaxSyncPayload - 100) / 6 // Python escapes: \u00fc\u20ac is 12 bytes
			if test.program == "python3" {
				n = (gust.MaxSyncPayload - 100) / 12
			}
			got, fe := p.invoke(fmt.Sprintf(`{"do":"big","n":%d}`, n))
			var answer string
			if fe != nil || json.Unmarshal([]byte(got), &answer) != nil || answer != strings.Repeat("ü€", n) {
				t.Errorf("%v, %d bytes", fe, len(got))
			}
			// One that is too large is the node's to refuse, and no end.
			if _, fe := p.invoke(fmt.Sprintf(`{"do":"big","n":%d}`, 2*gust.MaxSyncPayload/5)); fe == nil || fe.Outcome != gust.OutcomeSize {
				t.Errorf("%v", fe)
			}
			p.answers(`{"do":"echo","value":1}`, `1`)
		})
	}
}

func TestNodeErrors(t *testing.T) {
	p := start(t, node, "index.handler")
	for _, name := range []string{"throws", "string", "circular", "bigint", "hostile"} {
		_, fe := p.invoke(fmt.Sprintf(`{"do":%q}`, name))
		if fe == nil || fe.Outcome != gust.OutcomeError {
			t.Fatalf("%s: %v", name, fe)
		}
		p.golden("node-"+name, fe)
		if r := p.record(); r["level"] != "ERROR" || r["requestId"] != fmt.Sprintf("request-%d", p.seq) {
			t.Errorf("%s is logged as %v", name, r)
		}
	}
	p.answers(`{"do":"echo","value":1}`, `1`) // it goes on
}

// Errors that end the process are its last answer.
func TestNodeEnds(t *testing.T) {
	for name, status := range map[string]int{"rejection": 128, "uncaught": 129} {
		t.Run(name, func(t *testing.T) {
			p := start(t, node, "index.handler")
			_, fe := p.invoke(fmt.Sprintf(`{"do":%q}`, name))
			if fe == nil {
				t.Fatal("it succeeded")
			}
			p.golden("node-"+name, fe)
			p.ends(status)
			if r := p.record(); r["level"] != "ERROR" {
				t.Errorf("it is logged as %v", r)
			}
		})
	}
	t.Run("exit", func(t *testing.T) {
		p := start(t, node, "index.handler")
		_, fe := p.invoke(`{"do":"exit","status":9}`)
		if fe == nil || fe.Type != "Runtime.ExitError" || fe.Message != "exit status 9" {
			t.Errorf("%v", fe)
		}
	})
}

func TestNodeFailsToStart(t *testing.T) {
	for _, test := range []struct {
		name, handler string
		status        int
	}{
		{"no-file", "nothing.handler", 129},
		{"no-function", "index.nothing", 129},
		{"no-nested-function", "index.nested.nothing", 129},
		{"text", "index.text", 129},
		{"malformed", "index", 129},
		{"outside", "../index.handler", 129},
		{"syntax", "syntax.handler", 129},
		{"missing", "missing.handler", 129},
		{"absent", "absent.handler", 129},
		{"starts", "starts.handler", 129},
		{"rejects", "rejects.handler", 128},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, test.handler)
			p.golden("node-init-"+test.name, p.failsToStart())
			p.ends(test.status)
			if r := p.record(); r["level"] != "ERROR" || r["requestId"] != nil {
				t.Errorf("it is logged as %v", r)
			}
		})
	}
}

func TestNodeFindsHandlers(t *testing.T) {
	for handler, want := range map[string]string{
		"index.nested.deep.handler": `"nested"`,
		"esm/index.handler":         `["a module","waited","undefined"]`,
		"esm/common.handler":        `"function"`,
		"module.handler":            `"function"`,
		"pkg.handler":               `"a folder"`,
		"folder/deep/index.handler": `"folder/deep/index.cjs"`,
	} {
		t.Run(handler, func(t *testing.T) {
			t.Parallel()
			start(t, node, handler).answers(`{}`, want)
		})
	}
}

func TestNodeCallbacks(t *testing.T) {
	p := start(t, node, "index.calls")
	for event, want := range map[string]string{
		"callback": `{"ok":true}`,
		"never":    `null`, // nothing is left to do, and nobody has called back
		"succeed":  `"succeeded"`,
		"done":     `"done"`,
		"twice":    `1`,
		"open":     `"open"`, // a timer still runs, which is said not to matter
	} {
		if event != "open" {
			p.answers(fmt.Sprintf(`{"do":%q}`, event), want)
		}
	}
	p.answers(`{"do":"waits"}`, `"waited"`)
	if r := p.record(); r["message"] != "after" {
		t.Errorf("it was not waited for: %v", r)
	}
	for _, event := range []string{"fails", "fail", "circular"} {
		_, fe := p.invoke(fmt.Sprintf(`{"do":%q}`, event))
		if fe == nil {
			t.Fatalf("%s succeeded", event)
		}
		p.golden("node-callback-"+event, fe)
	}
	p.answers(`{"do":"open"}`, `"open"`)
	p.answers(`{"do":"succeed"}`, `"succeeded"`)

	start(t, node, "index.pending").answers(`{}`, `null`)
}

func TestNodeContext(t *testing.T) {
	p := start(t, node, "index.handler", "NODE_PATH=/opt/nodejs/node_modules")
	text, fe := p.invokeAs(gust.Invocation{
		Payload: []byte(`{"do":"context"}`), ARN: "arn:aws:lambda:us-east-1:000000000000:function:fn", TraceID: "Root=1-2-3;Sampled=1",
		ClientContext: `{"client":{"app_title":"süß"},"custom":{"a":1}}`, CognitoIdentity: `{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}`,
	})
	if fe != nil {
		t.Fatal(fe)
	}
	var got struct {
		Context map[string]any
		Left    float64
		Trace   string
		CWD     string
		Path    string `json:"node_path"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"callbackWaitsForEmptyEventLoop": true, "functionName": "fn", "functionVersion": "3", "memoryLimitInMB": "128",
		"logGroupName": "/aws/lambda/fn", "logStreamName": "a/stream", "awsRequestId": "request-1",
		"invokedFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:fn",
		"clientContext":      map[string]any{"client": map[string]any{"app_title": "süß"}, "custom": map[string]any{"a": 1.0}},
		"identity":           map[string]any{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"},
	}
	if fmt.Sprint(got.Context) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got.Context, want)
	}
	if got.Left <= 0 || got.Left > float64(patience.Milliseconds()) || got.Trace != "Root=1-2-3;Sampled=1" || got.CWD != p.task {
		t.Errorf("%+v", got)
	}
	if _, fe := p.invokeAs(gust.Invocation{Payload: []byte(`{"do":"nothing"}`), ClientContext: "{"}); fe == nil ||
		!strings.HasPrefix(fe.Message, "Cannot parse ClientContext as json: ") {
		t.Errorf("%v", fe)
	}
}

func TestNodeConsole(t *testing.T) {
	p := start(t, node, "index.handler")
	p.answers(`{"do":"log"}`, `null`)
	p.logs(
		`{"level":"INFO","requestId":"request-1","message":"a message { deep: [ 1 ] }"}`,
		`{"level":"DEBUG","requestId":"request-1","message":"two\nlines"}`,
		`{"level":"INFO","requestId":"request-1","message":{"an":"object"}}`)
	r := p.record()
	if m, _ := r["message"].(map[string]any); r["level"] != "WARN" || m["errorType"] != "Refusal" || m["errorMessage"] != "careful" ||
		m["stackTrace"] == nil || m["detail"] != 7.0 {
		t.Errorf("%v", r)
	}
	r = p.record()
	if s, _ := r["message"].(string); r["level"] != "ERROR" || !strings.HasPrefix(s, "it failed: Refusal: twice\n") ||
		r["errorType"] != "Refusal" || r["errorMessage"] != "twice" || r["stackTrace"] == nil {
		t.Errorf("%v", r)
	}
	p.logs(
		`{"level":"TRACE","requestId":"request-1","message":"a trace"}`,
		`{"level":"fatal","message":"own words"}`,
		`{"level":"INFO","requestId":"request-1","message":""}`)

	p = start(t, node, "index.handler", "AWS_LAMBDA_LOG_FORMAT=TEXT", "AWS_LAMBDA_LOG_LEVEL=INFO")
	p.answers(`{"do":"log"}`, `null`)
	for _, want := range []string{"\trequest-1\tINFO\ta message { deep: [ 1 ] }", "\trequest-1\tINFO\t{ an: 'object' }"} {
		if line := p.line(); len(line) != len("2006-01-02T15:04:05.000Z"+want) || !strings.HasSuffix(line, want) {
			t.Errorf("%q, want %q", line, want)
		}
	}
	if line := p.line(); !strings.Contains(line, "\tWARN\tRefusal: careful\r    at ") {
		t.Errorf("%q", line)
	}
	p.line()
	p.line()
	_, fe := p.invoke(`{"do":"throws"}`)
	p.line()
	if line := p.line(); fe == nil || !strings.Contains(line, `	request-2	ERROR	Invoke Error 	{"errorType":"Refusal","errorMessage":"not me","name":"Refusal","detail":7,"stack":["Refusal: not me"`) {
		t.Errorf("%q", line)
	}
}

func TestNodeStreams(t *testing.T) {
	p := start(t, node, "stream.handler")
	big := strings.Builder{}
	for i := range 40 {
		big.WriteString(strings.Repeat(string([]byte{byte(i)}), 65536))
	}
	const http = "application/vnd.awslambda.http-integration-response"
	for _, test := range []struct{ event, body, contentType string }{
		{`{"do":"text"}`, "one two three", "text/plain"},
		{`{"do":"empty"}`, "", "application/octet-stream"},
		{`{"do":"http"}`, `{"statusCode":201,"headers":{"X-A":"b"}}` + "\x00\x00\x00\x00\x00\x00\x00\x00body", http},
		{`{"do":"bare"}`, `{"statusCode":204}` + "\x00\x00\x00\x00\x00\x00\x00\x00", http},
		{`{"do":"object"}`, `{"a":1}`, "application/octet-stream"},
		{`{"do":"pipe","n":40}`, big.String(), "application/octet-stream"},
		{`{"do":"pressure","n":40}`, big.String(), "application/octet-stream"},
	} {
		body, contentType, err := p.stream(test.event)
		if err != nil || body != test.body || contentType != test.contentType {
			t.Errorf("%s: %.80q (%d bytes), %s, %v", test.event, body, len(body), contentType, err)
		}
	}
	p.logs(`{"level":"INFO","requestId":"request-7","message":"waited true"}`)

	// An error before the first word is an error like others, one later ends the
	// answer.
	if _, fe := p.invoke(`{"do":"early"}`); fe == nil {
		t.Error("early: no error")
	} else {
		p.golden("node-stream-early", fe)
	}
	for event, want := range map[string]string{"late": "half of it", "broken": "half", "open": "no end"} {
		body, _, err := p.stream(fmt.Sprintf(`{"do":%q}`, event))
		var fe *gust.FunctionError
		if !errors.As(err, &fe) || body != want {
			t.Errorf("%s: %q, %v", event, body, err)
			continue
		}
		p.golden("node-stream-"+event, fe)
	}
	// What goes wrong after the end is logged, and the answer stands.
	for event, want := range map[string]string{"after": "all", "returns": "x"} {
		if body, _, err := p.stream(fmt.Sprintf(`{"do":%q}`, event)); err != nil || body != want {
			t.Errorf("%s: %q, %v", event, body, err)
		}
	}
	body, _, err := p.stream(`{"do":"uncaught"}`)
	var fe *gust.FunctionError
	if !errors.As(err, &fe) || fe.Type != "TypeError" || body != "half" {
		t.Errorf("%q, %v", body, err)
	}
	p.ends(129)

	p = start(t, node, "stream.plain")
	if body, _, err := p.stream(`{}`); err != nil || body != "x" {
		t.Errorf("%q, %v", body, err)
	}
	if r := p.record(); r["level"] != "ERROR" {
		t.Errorf("a handler that is not async is not told of: %v", r)
	}
}

// Several invocations at once in one process: each has its own context and logs
// under its own id.
func TestNodeAtOnce(t *testing.T) {
	const n = 20
	p, cmd := prepare(t, node, "atonce.handler", n)
	cmd.Env = p.environ([]string{fmt.Sprintf("AWS_LAMBDA_MAX_CONCURRENCY=%d", n)})
	p.run(cmd)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id := fmt.Sprintf("at-once-%d", i)
			result, err := p.Invoke(t.Context(), &gust.Invocation{RequestID: id, Payload: fmt.Appendf(nil, `{"wait":%d}`, n), Deadline: deadline()})
			if err != nil || string(result.Payload) != fmt.Sprintf("%q", id) {
				t.Errorf("%v %v", result, err)
			}
		})
	}
	wg.Wait()
	for range n {
		if r := p.record(); r["message"] != r["requestId"] {
			t.Errorf("%v", r)
		}
	}
}
