package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// vendor is the vendor's runtime client for an interpreter, as it is installed,
// and how it is started.
type vendor struct {
	interpreter, handler, installed, needs, start string
}

var vendors = []vendor{
	{"node", "index.handler", "node", "node_modules/aws-lambda-ric/dist/rapid-client.node",
		"exec node /var/task/node_modules/aws-lambda-ric/bin/index.mjs index.handler"},
	{"python", "app.handler", "python", "awslambdaric", "exec python3 -m awslambdaric app.handler"},
}

// TestVendor runs the same handlers under the vendor's runtime clients and under
// Gust's own, on the same node: answers, errors and contexts have to be the same.
func TestVendor(t *testing.T) {
	if !shared.sandboxed() {
		t.Skip("without isolation code and clients lie elsewhere for each function, and their stacks say so")
	}
	for _, v := range vendors {
		t.Run(v.interpreter, func(t *testing.T) {
			client := cache(t, v.installed)
			if _, err := os.Stat(filepath.Join(client, v.needs)); err != nil {
				t.Skipf("the vendor's client for %s is missing; conformance/install.sh installs it where it builds (%v)", v.interpreter, err)
			}
			dir := t.TempDir()
			source := filepath.Join("testdata", "vendor", v.interpreter)
			copyTree(t, source, filepath.Join(dir, "ours"), "package.json")
			copyTree(t, source, filepath.Join(dir, "theirs"), "package.json")
			copyTree(t, client, filepath.Join(dir, "theirs"), "package.json", "package-lock.json", "installed.txt", "__pycache__", ".bin", "deps", "build")
			write(t, filepath.Join(dir, "theirs", "bootstrap"), []byte("#!/bin/sh\n"+v.start+"\n"), 0o755)
			ours, theirs := v.interpreter+"-ours", v.interpreter+"-theirs"
			manifest(t, dir, strings.NewReplacer("INTERPRETER", v.interpreter, "HANDLER", v.handler).Replace(`
app: vendor-INTERPRETER
functions:
  INTERPRETER-ours: {runtime: INTERPRETER, source: ./ours, handler: HANDLER, timeout: 10s, memory: 256MB}
  INTERPRETER-theirs: {runtime: provided, interpreter: INTERPRETER, source: ./theirs, timeout: 10s, memory: 256MB}
`))
			deploy(t, dir, "vendor-"+v.interpreter)
			events := []string{`{"do":"echo","value":{"a":[1,"ü€😀",null,1.5,true]}}`, `{"do":"echo","value":"text"}`, `{"do":"echo","value":null}`,
				`{"do":"nothing"}`, `{"do":"hello"}`, `{"do":"throws"}`, `{"do":"unknown"}`, `{"do":"exit","n":3}`, `{"do":"context"}`, `{}`, `[]`, `"text"`}
			more := map[string][]string{
				"node":   {"text", "circular", "bigint", "rejection", "uncaught", "callback", "fails", "fail", "reason", "waits", "never", "pending"},
				"python": {"chained", "silent", "unserialisable", "decimal"},
			}
			for _, do := range more[v.interpreter] {
				events = append(events, `{"do":"`+do+`"}`)
			}
			for _, event := range events {
				a, b := outcome(t, ours, event), outcome(t, theirs, event)
				if a != b {
					t.Errorf("%s\nours   %s\ntheirs %s", event, a, b)
				}
			}
		})
	}
}

// outcome is what came of an event, without what is of one client, function or
// invocation.
func outcome(t *testing.T, function, event string) string {
	t.Helper()
	out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(function), Payload: []byte(event),
		ClientContext: aws.String(encode(`{"client":{"app_title":"suite"},"custom":{"a":1}}`))})
	if err != nil {
		t.Fatalf("%s %s: %v", function, event, err)
	}
	d := json.NewDecoder(bytes.NewReader(out.Payload))
	d.UseNumber() // all digits count
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s %s: %v in %s", function, event, err, out.Payload)
	}
	text, err := json.Marshal(own(v))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := requestID(out.ResultMetadata)
	name, _, _ := strings.Cut(function, "-")
	return aws.ToString(out.FunctionError) + strings.NewReplacer(id, "ID", function, name).Replace(string(text))
}

// inner are lines of a stack that are the client's or the interpreter's.
var inner = regexp.MustCompile(`^    at .*(node:|/var/runtime/|aws-lambda-ric|<anonymous>)|awslambdaric|importlib|^\[cause\]|^    (-->|---) `)

// column is where on its line a frame is: a bundle's map rounds it.
var column = regexp.MustCompile(`(:[0-9]+):[0-9]+\)$`)

// own keeps of stacks the function's own lines. That of a rejection has none with
// the vendor's client; with Gust's it has those of the reason.
func own(v any) any {
	switch v := v.(type) {
	case string:
		return column.ReplaceAllString(strings.Replace(v, " Runtime.exports", " exports", 1), "$1)")
	case []any:
		out := []any{}
		for _, item := range v {
			if s, ok := item.(string); !ok || !inner.MatchString(s) {
				out = append(out, own(item))
			}
		}
		return out
	case map[string]any:
		for key, item := range v {
			v[key] = own(item)
		}
		if trace, ok := v["trace"].([]any); ok && v["errorType"] == "Runtime.UnhandledPromiseRejection" {
			v["trace"] = trace[:1]
		}
	}
	return v
}
