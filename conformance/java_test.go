package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestJava runs AWS's runtime client for Java, with a Java of its own, as a
// `provided` function: the example as it is, and a handler that is asked for all
// that one can do, in the place of the example's.
func TestJava(t *testing.T) {
	for _, tool := range []string{"mvn", "javac", "jlink"} {
		need(t, tool)
	}
	example, err := filepath.Abs("../examples/java")
	if err != nil {
		t.Fatal(err)
	}
	run(t, example, nil, "./build.sh")
	deploy(t, example, "java")

	t.Run("the example", func(t *testing.T) {
		for range 2 {
			res := ask(t, "GET", "/java/Ad%C3%A4", nil)
			body := string(readAll(t, res.Body))
			if res.StatusCode != 200 || body != "Hello, Adä!\n" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s, %q, %v", res.Status, body, res.Header)
			}
		}
		got := fails(t, "java", map[string]any{})
		if got.Type != "java.lang.IllegalArgumentException" || got.Message != "nobody to greet" || !strings.Contains(fmt.Sprint(got.Trace), "Hello.java") {
			t.Errorf("%+v", got)
		}
		out := call(t, "java", map[string]any{"pathParameters": map[string]string{"name": "Grace"}})
		if text := tail(t, out); !strings.Contains(text, "greeting Grace\n") {
			t.Errorf("the log is\n%s", text)
		}
	})

	dir := t.TempDir()
	copyTree(t, filepath.Join(example, "function"), filepath.Join(dir, "probe"), "hello.jar")
	run(t, ".", nil, "javac", "--release", "17", "-d", filepath.Join(dir, "classes"), "-cp", filepath.Join(dir, "probe", "lib", "*"), "testdata/java/Probe.java")
	run(t, ".", nil, "jar", "--create", "--file", filepath.Join(dir, "probe", "lib", "probe.jar"), "-C", filepath.Join(dir, "classes"), ".")
	bootstrap, err := os.ReadFile(filepath.Join(example, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "probe", "bootstrap"), []byte(strings.Replace(string(bootstrap), "example.Hello", "probe.Probe", 1)), 0o755)
	manifest(t, dir, `
app: java-probe
functions:
  java-probe: {runtime: provided, source: ./probe, timeout: 5s, memory: 384MB}
`)
	deploy(t, dir, "java-probe")

	t.Run("event and answer", func(t *testing.T) {
		for _, event := range []string{`{"a":[1,"ü",null,1.5]}`, `"text"`, `[]`, `12`} {
			got := invoke[map[string]json.RawMessage](t, "java-probe", json.RawMessage(event))
			if string(got["event"]) != event {
				t.Errorf("%s came as %s", event, got["event"])
			}
		}
	})

	t.Run("context", func(t *testing.T) {
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("java-probe"), Payload: []byte(`{"do":"context"}`),
			ClientContext: aws.String(encode(`{"client":{"app_title":"suite"}}`))})
		if err != nil {
			t.Fatal(err)
		}
		got := decode[struct {
			Request  string `json:"request_id"`
			LeftMS   int    `json:"left_ms"`
			ARN      string
			Function string
			Memory   int
			Client   string
			Trace    string
			Charset  string
			Heap     int64
		}](t, out.Payload)
		id, _ := requestID(out.ResultMetadata)
		if got.Request != id || got.ARN != "arn:aws:lambda:us-east-1:000000000000:function:java-probe" || got.Function != "java-probe" ||
			got.Memory != 384 || got.Client != "suite" || got.LeftMS <= 0 || got.LeftMS > 5000 || !strings.HasPrefix(got.Trace, "Root=1-") {
			t.Errorf("the context is %s", out.Payload)
		}
		if got.Charset != "UTF-8" {
			t.Errorf("text is %s, want UTF-8, as LANG says", got.Charset)
		}
		// The bootstrap bounds the heap by the function's memory, not the machine's.
		if got.Heap < 200<<20 || got.Heap > 256<<20 {
			t.Errorf("the heap may have %d bytes of 384 MB", got.Heap)
		}
	})

	t.Run("errors", func(t *testing.T) {
		for _, c := range []struct {
			event                map[string]any
			kind, message, trace string
		}{
			{map[string]any{"do": "error", "text": "not me"}, "probe.Probe$Refusal", "not me", "Probe.java"},
			{map[string]any{"do": "fill"}, "java.lang.OutOfMemoryError", "", ""},
			{map[string]any{"do": "exit", "n": 9}, "Runtime.ExitError", "exit status 9", ""},
			{map[string]any{"do": "sleep", "n": 60_000}, "Sandbox.Timedout", "Task timed out after 5.00 seconds", ""},
		} {
			got := fails(t, "java-probe", c.event)
			if got.Kind != "Unhandled" || got.Type != c.kind || !strings.Contains(got.Message, c.message) || !strings.Contains(fmt.Sprint(got.Trace), c.trace) {
				t.Errorf("%v gives %+v", c.event, got)
			}
		}
		invoke[any](t, "java-probe", 1) // and it goes on after all that
	})

	t.Run("log tail", func(t *testing.T) {
		text := tail(t, call(t, "java-probe", map[string]any{"do": "print"}))
		for _, want := range []string{"a line of java\n", "to standard error\n", "by the logger\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in the tail:\n%s", want, text)
			}
		}
	})
}
