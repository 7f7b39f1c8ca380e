package conformance

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestGo runs programs that are written with aws-lambda-go.
func TestGo(t *testing.T) {
	deploy(t, "testdata/golang", "golang")

	t.Run("event and answer", func(t *testing.T) {
		for _, event := range []string{`{"a":[1,"ü",null,1e3]}`, `"text"`, `[]`, `12`, `null`, `{"deep":{"deep":{"deep":{}}}}`} {
			got := invoke[map[string]json.RawMessage](t, "go-handler", json.RawMessage(event))
			if string(got["event"]) != event {
				t.Errorf("%s came as %s", event, got["event"])
			}
		}
	})

	t.Run("an answer of nothing", func(t *testing.T) {
		if out := call(t, "go-handler", map[string]string{"do": "nothing"}); string(out.Payload) != "null" {
			t.Errorf("the answer is %q", out.Payload)
		}
	})

	t.Run("context", func(t *testing.T) {
		clientContext := `{"client":{"installation_id":"i","app_title":"suite","app_version_code":"1","app_package_name":"p"},"custom":{"k":"v"},"env":{"e":"f"}}`
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"),
			Payload: []byte(`{"do":"context"}`), ClientContext: aws.String(encode(clientContext))})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			RequestID string `json:"request_id"`
			ARN       string
			Client    struct {
				Client struct {
					AppTitle string `json:"app_title"`
				} `json:"Client"`
				Custom map[string]string `json:"custom"`
				Env    map[string]string `json:"env"`
			}
			Deadline   bool
			LeftMS     int64 `json:"left_ms"`
			Trace      string
			TraceValue string `json:"trace_value"`
			Function   string
			Version    string
			Memory     int
		}
		if err := json.Unmarshal(out.Payload, &got); err != nil {
			t.Fatalf("%s: %v", out.Payload, err)
		}
		if id, _ := requestID(out.ResultMetadata); got.RequestID != id || !uuid.MatchString(id) {
			t.Errorf("the request id is %q in the function and %q outside", got.RequestID, id)
		}
		if got.ARN != "arn:aws:lambda:us-east-1:000000000000:function:go-handler" {
			t.Errorf("the ARN is %q", got.ARN)
		}
		if got.Client.Client.AppTitle != "suite" || got.Client.Custom["k"] != "v" || got.Client.Env["e"] != "f" {
			t.Errorf("the client context is %s", out.Payload)
		}
		if !got.Deadline || got.LeftMS <= 0 || got.LeftMS > 3000 {
			t.Errorf("%d ms are left of a timeout of 3 s", got.LeftMS)
		}
		if !strings.HasPrefix(got.TraceValue, "Root=1-") || got.Trace != got.TraceValue {
			t.Errorf("the trace is %q and %q", got.Trace, got.TraceValue)
		}
		if got.Function != "go-handler" || got.Version == "" || got.Memory != 128 {
			t.Errorf("it is told to be %s", out.Payload)
		}
	})

	t.Run("environment variables", func(t *testing.T) {
		env := map[string]string{}
		for _, v := range invoke[[]string](t, "go-handler", map[string]string{"do": "environ"}) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		for name, want := range map[string]string{
			"GREETING": "hello", "AWS_LAMBDA_FUNCTION_NAME": "go-handler", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
			"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "LAMBDA_TASK_ROOT": "/var/task",
			"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "TZ": ":UTC",
		} {
			if shared.sandboxed() || name != "LAMBDA_TASK_ROOT" {
				if got := env[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		}
		for _, name := range []string{"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "PATH"} {
			if env[name] == "" {
				t.Errorf("%s is missing", name)
			}
		}
		for name := range env {
			if strings.HasPrefix(name, "GUST_") || name == "HOME" && env[name] == "/root" {
				t.Errorf("%s=%s is the node's", name, env[name])
			}
		}
	})

	t.Run("errors", func(t *testing.T) {
		for _, c := range []struct {
			event        map[string]any
			kind, name   string
			message      string
			stackIsThere bool
		}{
			{map[string]any{"do": "error", "text": "no answer"}, "Unhandled", "errorString", "no answer", false},
			{map[string]any{"do": "refuse", "text": "not me"}, "Unhandled", "refusal", "not me", false},
			{map[string]any{"do": "panic", "text": "for good"}, "Unhandled", "string", "for good", true},
			{map[string]any{"do": "exit", "n": 0}, "Unhandled", "Runtime.ExitError", "Runtime exited without providing a reason", false},
			{map[string]any{"do": "exit", "n": 42}, "Unhandled", "Runtime.ExitError", "Runtime exited with error: exit status 42", false},
			{map[string]any{"do": "sleep", "n": 60_000}, "Unhandled", "Sandbox.Timedout", "Task timed out after 3.00 seconds", false},
			{map[string]any{"do": "large", "n": 6<<20 + 1}, "Unhandled", "Function.ResponseSizeTooLarge", "exceeded maximum allowed payload size", false},
		} {
			got := fails(t, "go-handler", c.event)
			if got.Kind != c.kind || got.Type != c.name || !strings.Contains(got.Message, c.message) || c.stackIsThere != (got.Trace != nil) {
				t.Errorf("%v gives %+v", c.event, got)
			}
		}
		// And after all that it goes on.
		invoke[any](t, "go-handler", 1)
	})

	t.Run("the largest answer", func(t *testing.T) {
		if got := invoke[string](t, "go-handler", map[string]any{"do": "large", "n": 6 << 20}); len(got) != 6<<20-2 {
			t.Errorf("%d bytes came", len(got))
		}
	})

	t.Run("log tail", func(t *testing.T) {
		out := call(t, "go-handler", map[string]any{"do": "print", "n": 5, "text": "a line"})
		text := tail(t, out)
		id, _ := requestID(out.ResultMetadata)
		for _, want := range []string{"START RequestId: " + id, "a line 0\n", "a line 4\n", "END RequestId: " + id, "REPORT RequestId: " + id} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in the tail:\n%s", want, text)
			}
		}
	})

	t.Run("a streamed answer", func(t *testing.T) {
		body, complete := streamed(t, "go-stream", map[string]any{"n": 10_000})
		if want := pieces(10_000); string(body) != want || complete.ErrorCode != nil {
			t.Errorf("%d bytes of %d came, %v", len(body), len(want), aws.ToString(complete.ErrorCode))
		}
	})

	t.Run("a streamed answer that breaks off", func(t *testing.T) {
		body, complete := streamed(t, "go-stream", map[string]any{"n": 10, "break": true})
		if string(body) != pieces(10) || aws.ToString(complete.ErrorCode) != "errorString" || !strings.Contains(aws.ToString(complete.ErrorDetails), "broken off") {
			t.Errorf("%q, %v, %v", body, aws.ToString(complete.ErrorCode), aws.ToString(complete.ErrorDetails))
		}
	})

	t.Run("a streamed answer, buffered", func(t *testing.T) {
		if out := call(t, "go-stream", map[string]any{"n": 100}); string(out.Payload) != pieces(100) || out.FunctionError != nil {
			t.Errorf("%q, %v", out.Payload, out.FunctionError)
		}
	})

	t.Run("a buffered answer, streamed", func(t *testing.T) {
		body, complete := streamed(t, "go-handler", map[string]any{"a": 1})
		if string(body) != `{"event":{"a":1}}` || complete.ErrorCode != nil {
			t.Errorf("%q, %v", body, aws.ToString(complete.ErrorCode))
		}
	})

	t.Run("an error, streamed", func(t *testing.T) {
		_, complete := streamed(t, "go-handler", map[string]any{"do": "error", "text": "no answer"})
		if aws.ToString(complete.ErrorCode) == "" || !strings.Contains(aws.ToString(complete.ErrorDetails), "no answer") {
			t.Errorf("%v, %v", aws.ToString(complete.ErrorCode), aws.ToString(complete.ErrorDetails))
		}
	})

	t.Run("many at once in one environment", func(t *testing.T) {
		const n = 8
		// One environment first: so many at once from zero may start more.
		first := invoke[map[string]any](t, "go-concurrent", map[string]any{})
		if first["max"] != "8" {
			t.Errorf("AWS_LAMBDA_MAX_CONCURRENCY is %v", first["max"])
		}
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if got := invoke[map[string]any](t, "go-concurrent", map[string]any{"wait": n}); got["pid"] != first["pid"] {
					t.Errorf("it ran in process %v, want %v", got["pid"], first["pid"])
				}
			})
		}
		wg.Wait()
	})
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// pieces is what the streaming programs say.
func pieces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "piece %d\n", i)
	}
	return b.String()
}
