package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestRust runs programs that are written with lambda_runtime, as `provided`
// functions: buffered, streaming, and many events at once.
func TestRust(t *testing.T) {
	cargo := need(t, "cargo")
	target := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-unknown-linux-gnu"
	out := cache(t, "rust")
	// Static, so that the program needs no library of the machine.
	run(t, "testdata/rust", []string{"CARGO_TARGET_DIR=" + out, "RUSTFLAGS=-C target-feature=+crt-static"},
		cargo, "build", "--locked", "--release", "--quiet", "--target", target)
	dir := t.TempDir()
	for _, name := range []string{"buffered", "streaming", "concurrent"} {
		program, err := os.ReadFile(filepath.Join(out, target, "release", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "bootstrap"), program, 0o755)
	}
	manifest(t, dir, `
app: rust
functions:
  rust-buffered: {runtime: provided, source: ./buffered, timeout: 5s}
  rust-streaming: {runtime: provided, source: ./streaming, timeout: 10s}
  rust-concurrent: {runtime: provided, source: ./concurrent, timeout: 10s, concurrency: {per_environment: 6}}
routes:
  GET /rust: rust-streaming
`)
	deploy(t, dir, "rust")

	t.Run("event and answer", func(t *testing.T) {
		got := invoke[map[string]any](t, "rust-buffered", map[string]any{"a": []any{1, "ü", nil}})
		if fmt.Sprint(got["event"]) != "map[a:[1 ü <nil>]]" {
			t.Errorf("it came back as %v", got)
		}
	})

	t.Run("context", func(t *testing.T) {
		out := call(t, "rust-buffered", map[string]string{"do": "context"})
		got := decode[map[string]any](t, out.Payload)
		id, _ := requestID(out.ResultMetadata)
		if got["request_id"] != id || got["arn"] != "arn:aws:lambda:us-east-1:000000000000:function:rust-buffered" ||
			got["function"] != "rust-buffered" || got["memory"] != 128.0 || got["deadline_ms"].(float64) < 1e12 ||
			!strings.HasPrefix(fmt.Sprint(got["trace"]), "Root=1-") {
			t.Errorf("the context is %s", out.Payload)
		}
	})

	t.Run("errors", func(t *testing.T) {
		got := fails(t, "rust-buffered", map[string]string{"do": "error"})
		if got.Kind != "Unhandled" || got.Message != "no answer" {
			t.Errorf("%+v", got)
		}
		got = fails(t, "rust-buffered", map[string]string{"do": "panic"})
		if !strings.Contains(got.Message, "for good") {
			t.Errorf("%+v", got)
		}
		got = fails(t, "rust-buffered", map[string]string{"do": "exit"})
		if got.Type != "Runtime.ExitError" || !strings.Contains(got.Message, "exit status 7") {
			t.Errorf("%+v", got)
		}
	})

	t.Run("log tail", func(t *testing.T) {
		if text := tail(t, call(t, "rust-buffered", map[string]string{"do": "print"})); !strings.Contains(text, "a line of rust\n") {
			t.Errorf("the tail is %q", text)
		}
	})

	// lambda_runtime begins every stream with the status and headers of an HTTP
	// response and 8 zero bytes, whoever asks; Lambda passes them on as well.
	prelude := regexp.MustCompile(`^\{"statusCode":200,[^\x00]*\}\x00{8}`)

	t.Run("a streamed answer", func(t *testing.T) {
		body, complete := streamed(t, "rust-streaming", map[string]int{"n": 5000})
		if got := prelude.ReplaceAllString(string(body), ""); got != pieces(5000) || len(got) == len(body) || complete.ErrorCode != nil {
			t.Errorf("%d bytes came, %v", len(body), aws.ToString(complete.ErrorCode))
		}
	})

	t.Run("a streamed answer, buffered", func(t *testing.T) {
		out := call(t, "rust-streaming", map[string]int{"n": 50})
		if got := prelude.ReplaceAllString(string(out.Payload), ""); got != pieces(50) || out.FunctionError != nil {
			t.Errorf("%q, %v", out.Payload, out.FunctionError)
		}
	})

	t.Run("a streamed answer over HTTP", func(t *testing.T) {
		res := ask(t, "GET", "/rust", nil)
		if got := readAll(t, res.Body); string(got) != pieces(3) || res.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s, %q, %v", res.Status, got, res.Header)
		}
	})

	t.Run("a streamed answer that breaks off", func(t *testing.T) {
		// This version writes the words of the trailers into the body.
		body, _ := streamed(t, "rust-streaming", map[string]any{"n": 5, "break": true})
		if !strings.Contains(string(body), "Lambda-Runtime-Function-Error-Type: Runtime.StreamError") {
			t.Errorf("%q", body)
		}
	})

	t.Run("many at once in one environment", func(t *testing.T) {
		first := invoke[map[string]any](t, "rust-concurrent", map[string]any{})
		if first["max"] != "6" {
			t.Errorf("AWS_LAMBDA_MAX_CONCURRENCY is %v", first["max"])
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if got := invoke[map[string]any](t, "rust-concurrent", map[string]any{"wait": true}); got["pid"] != first["pid"] {
					t.Errorf("it ran in process %v, want %v", got["pid"], first["pid"])
				}
			})
		}
		wg.Wait()
	})
}
