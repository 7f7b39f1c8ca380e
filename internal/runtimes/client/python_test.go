package client_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

func TestPythonAnswers(t *testing.T) {
	p := start(t, python, "app.handler")
	for event, want := range map[string]string{
		`{"do":"echo","value":{"a":[1,"x",null,1.5,true]}}`: `{"a": [1, "x", null, 1.5, true]}`,
		`{"do":"nothing"}`: `null`,
		`{"do":"bytes"}`:   "\x00raw",
		`{"do":"decimal"}`: `{"price": 1.10, "many": [12345678901234567890.123, NaN]}`,
	} {
		p.answers(event, want)
	}
	got, fe := p.invoke(`{"do":"echo","value":"ü€😀"}`)
	var text string
	if fe != nil || json.Unmarshal([]byte(got), &text) != nil || text != "ü€😀" {
		t.Errorf("%s, %v", got, fe)
	}
}

func TestPythonErrors(t *testing.T) {
	p := start(t, python, "app.handler")
	for _, name := range []string{"throws", "chained", "unserialisable"} {
		_, fe := p.invoke(fmt.Sprintf(`{"do":%q}`, name))
		if fe == nil || fe.Outcome != gust.OutcomeError {
			t.Fatalf("%s: %v", name, fe)
		}
		p.golden("python-"+name, fe)
		if r := p.record(); r["level"] != "ERROR" || r["errorType"] != fe.Type || r["requestId"] != fmt.Sprintf("request-%d", p.seq) {
			t.Errorf("%s is logged as %v", name, r)
		}
	}
	p.answers(`{"do":"echo","value":1}`, `1`) // it goes on
}

// What is no Exception ends the process, and what it had printed is there.
func TestPythonEnds(t *testing.T) {
	p := start(t, python, "app.handler")
	_, fe := p.invoke(`{"do":"exit","status":9}`)
	if fe == nil || fe.Type != "Runtime.ExitError" || fe.Message != "exit status 9" {
		t.Errorf("%v", fe)
	}
	if line := p.line(); line != "leaving" {
		t.Errorf("%q", line)
	}
	p = start(t, python, "app.handler")
	if _, fe := p.invoke(`{"do":"interrupt"}`); fe == nil || fe.Type != "Runtime.ExitError" {
		t.Errorf("%v", fe)
	}
}

func TestPythonFailsToStart(t *testing.T) {
	for name, handler := range map[string]string{
		"no-file": "nothing.handler", "no-function": "app.nothing", "malformed": "app", "built-in": "time.handler",
		"syntax": "syntax.handler", "missing": "missing.handler", "starts": "starts.handler",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, python, handler)
			p.golden("python-init-"+name, p.failsToStart())
			p.ends(1)
			if r := p.record(); r["level"] != "ERROR" || r["requestId"] != "" {
				t.Errorf("it is logged as %v", r)
			}
		})
	}
	p := start(t, python, "leaves.handler")
	if fe := p.failsToStart(); fe.Type != "Runtime.ExitError" || fe.Message != "exit status 7" {
		t.Errorf("%v", fe)
	}
}

func TestPythonFindsHandlers(t *testing.T) {
	for _, handler := range []string{"folder/mod.handler", "folder.mod.handler"} {
		start(t, python, handler).answers(`{}`, `"folder.mod"`)
	}
}

func TestPythonContext(t *testing.T) {
	p := start(t, python, "app.handler")
	text, fe := p.invokeAs(gust.Invocation{
		Payload: []byte(`{"do":"context"}`), ARN: "arn:aws:lambda:us-east-1:000000000000:function:fn", TraceID: "Root=1-2-3;Sampled=1",
		ClientContext: `{"client":{"app_title":"süß"},"custom":{"a":1}}`, CognitoIdentity: `{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}`,
	})
	if fe != nil {
		t.Fatal(fe)
	}
	var got struct {
		Repr, Trace, Title, CWD string
		Left                    float64
		Custom                  map[string]int
		Identity, Path          []string
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := "LambdaContext([aws_request_id=request-1,log_group_name=/aws/lambda/fn,log_stream_name=a/stream,function_name=fn,memory_limit_in_mb=128," +
		"function_version=3,invoked_function_arn=arn:aws:lambda:us-east-1:000000000000:function:fn,client_context=ClientContext([custom={'a': 1},env=None," +
		"client=Client([installation_id=None,app_title=süß,app_version_name=None,app_version_code=None,app_package_name=None])])," +
		"identity=CognitoIdentity([cognito_identity_id=i,cognito_identity_pool_id=p]),tenant_id=None])"
	if got.Repr != want {
		t.Errorf("got  %s\nwant %s", got.Repr, want)
	}
	if got.Left <= 0 || got.Left > float64(patience.Milliseconds()) || got.Trace != "Root=1-2-3;Sampled=1" || got.Title != "süß" ||
		got.Custom["a"] != 1 || !slices.Equal(got.Identity, []string{"i", "p"}) || got.CWD != p.task {
		t.Errorf("%+v", got)
	}
	// The code goes before layers, and those before what the interpreter has;
	// the client's folder is on no path.
	if len(got.Path) < 4 || got.Path[0] != p.task || !strings.HasPrefix(got.Path[1], "/opt/python/lib/python3.") || got.Path[2] != "/opt/python" ||
		slices.Contains(got.Path, p.client) {
		t.Errorf("%v", got.Path)
	}
	if _, fe := p.invokeAs(gust.Invocation{Payload: []byte(`{"do":"nothing"}`), ClientContext: "{"}); fe == nil ||
		fe.Type != "Runtime.LambdaContextUnmarshalError" {
		t.Errorf("%v", fe)
	}
}

func TestPythonLogging(t *testing.T) {
	p := start(t, python, "app.handler")
	p.answers(`{"do":"log"}`, `null`)
	for _, want := range []string{"printed", "no end"} {
		if line := p.line(); line != want {
			t.Errorf("%q, want %q", line, want)
		}
	}
	p.logs(
		`{"level":"WARNING","message":"a message","logger":"app","requestId":"request-1","order":7}`,
		`{"level":"ERROR","message":"two\nlines","logger":"app","requestId":"request-1"}`,
		`{"level":"WARNING","message":{"an":"object"},"logger":"root","requestId":"request-1"}`)
	r := p.record()
	if r["level"] != "ERROR" || r["errorType"] != "Refusal" || r["errorMessage"] != "twice" || r["stackTrace"] == nil ||
		!strings.HasPrefix(fmt.Sprint(r["location"]), p.task+"/app.py:do_log:") {
		t.Errorf("%v", r)
	}
	if line := p.line(); line != "from the context" {
		t.Errorf("%q", line)
	}

	p = start(t, python, "app.handler", "AWS_LAMBDA_LOG_FORMAT=TEXT", "AWS_LAMBDA_LOG_LEVEL=INFO")
	p.answers(`{"do":"log"}`, `null`)
	p.line()
	p.line()
	for _, want := range []string{"not shown", "a message", "two\rlines", "{'an': 'object'}"} {
		line := strings.Split(p.line(), "\t")
		if len(line) != 4 || line[0][0] != '[' || line[2] != "request-1" || line[3] != want {
			t.Errorf("%q, want %q", line, want)
		}
	}
	if line := p.line(); !strings.Contains(line, "\tit failed\rTraceback (most recent call last):\r  File ") || !strings.HasSuffix(line, "Refusal: twice") {
		t.Errorf("%q", line)
	}
	p.line()
	_, fe := p.invoke(`{"do":"throws"}`)
	if line := p.line(); fe == nil || !strings.HasPrefix(line, "[ERROR] Refusal: not me\rTraceback (most recent call last):\r\u00a0\u00a0File ") {
		t.Errorf("%q", line)
	}
}
