package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestShell runs the shortest runtime there is, the one that docs/OTHER-RUNTIMES.md
// shows.
func TestShell(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "shell", "bootstrap"), shellRuntime(t), 0o755)
	manifest(t, dir, "app: shell\nfunctions:\n  shell: {runtime: provided, source: ./shell}\n")
	deploy(t, dir, "shell")
	for _, event := range []string{`{"a":[1,"ü\n"]}`, `"text"`} {
		if out := call(t, "shell", json.RawMessage(event)); string(out.Payload) != event {
			t.Errorf("%s came back as %s", event, out.Payload)
		}
	}
}

// shellRuntime is the runtime that docs/OTHER-RUNTIMES.md shows.
func shellRuntime(t *testing.T) []byte {
	t.Helper()
	need(t, "curl")
	page, err := os.ReadFile("../docs/OTHER-RUNTIMES.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)\n```sh\n(#!/bin/sh\n.*?)```\n").FindSubmatch(page)
	if script == nil {
		t.Fatal("the page shows no script")
	}
	return script[1]
}
