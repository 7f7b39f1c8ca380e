package conformance

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// compileC builds a static program.
func compileC(t *testing.T, source, out string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is missing; conformance/install.sh installs it")
	}
	if err := exec.Command("mkdir", "-p", filepath.Dir(out)).Run(); err != nil {
		t.Fatal(err)
	}
	run(t, ".", nil, "gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", out, source)
}

// TestC runs a runtime that knows nothing but sockets: one connection, no
// library, and answers that come in every shape that HTTP allows.
func TestC(t *testing.T) {
	dir := t.TempDir()
	compileC(t, "testdata/c/loop.c", filepath.Join(dir, "loop", "bootstrap"))
	manifest(t, dir, `
app: c
functions:
  c-loop: {runtime: provided, source: ./loop, timeout: 3s}
`)
	deploy(t, dir, "c")

	t.Run("event and answer", func(t *testing.T) {
		for range 3 {
			got := call(t, "c-loop", json.RawMessage(`{"a": "ü"}`))
			if string(got.Payload) != `{"a":"ü"}` {
				t.Errorf("it came back as %s", got.Payload)
			}
		}
	})
	t.Run("a large event", func(t *testing.T) {
		want := strings.Repeat("c", 6<<20-100)
		if got := invoke[string](t, "c-loop", want); got != want {
			t.Errorf("%d bytes came back of %d", len(got), len(want))
		}
	})
	t.Run("an answer byte by byte", func(t *testing.T) {
		if got := invoke[string](t, "c-loop", map[string]string{"do": "slow"}); got != "slow" {
			t.Errorf("it answered %q", got)
		}
	})
	t.Run("error", func(t *testing.T) {
		if got := fails(t, "c-loop", map[string]string{"do": "error"}); got.Type != "C.Error" || got.Message != "from C" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("crash", func(t *testing.T) {
		got := fails(t, "c-loop", map[string]string{"do": "crash"})
		if got.Type != "Runtime.ExitError" || !strings.Contains(got.Message, "signal: segmentation fault") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a stream in chunks, with trailers", func(t *testing.T) {
		body, complete := streamed(t, "c-loop", map[string]string{"do": "stream"})
		if string(body) != "first and second" || aws.ToString(complete.ErrorCode) != "C.Late" ||
			!strings.Contains(aws.ToString(complete.ErrorDetails), "in the end") {
			t.Errorf("%q, %v, %v", body, aws.ToString(complete.ErrorCode), aws.ToString(complete.ErrorDetails))
		}
	})
}
