package conformance

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestPython runs awslambdaric, AWS's runtime client for Python, as a `provided`
// function. The artifact brings its Python along: the interpreter, its library,
// and every shared library that they need.
func TestPython(t *testing.T) {
	dir := t.TempDir()
	task := filepath.Join(dir, "python")
	bundlePython(t, task)
	compileC(t, "testdata/python/bootstrap.c", filepath.Join(task, "bootstrap"))
	manifest(t, dir, `
app: python
functions:
  python: {runtime: provided, source: ./python, timeout: 10s, memory: 256MB}
`)
	deploy(t, dir, "python")

	t.Run("event and answer", func(t *testing.T) {
		for _, event := range []string{`{"a":[1,"ü",null,1.5]}`, `"text"`, `[]`, `12`} {
			got := invoke[map[string]json.RawMessage](t, "python", json.RawMessage(event))
			var sent, came any
			json.Unmarshal([]byte(event), &sent)
			json.Unmarshal(got["event"], &came)
			if fmt.Sprint(sent) != fmt.Sprint(came) {
				t.Errorf("%s came as %s", event, got["event"])
			}
		}
	})

	t.Run("context", func(t *testing.T) {
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("python"), Payload: []byte(`{"do":"context"}`),
			ClientContext: aws.String(encode(`{"client":{"app_title":"suite"}}`))})
		if err != nil {
			t.Fatal(err)
		}
		got := decode[map[string]any](t, out.Payload)
		id, _ := requestID(out.ResultMetadata)
		if got["request_id"] != id || got["arn"] != "arn:aws:lambda:us-east-1:000000000000:function:python" || got["function"] != "python" ||
			got["memory"] != "256" || got["client"] != "suite" || got["left_ms"].(float64) <= 0 || !strings.HasPrefix(fmt.Sprint(got["trace"]), "Root=1-") {
			t.Errorf("the context is %s", out.Payload)
		}
	})

	t.Run("errors", func(t *testing.T) {
		got := fails(t, "python", map[string]any{"do": "error", "text": "not me"})
		if got.Kind != "Unhandled" || got.Type != "Refusal" || got.Message != "not me" || got.Trace == nil {
			t.Errorf("%+v", got)
		}
		if got := fails(t, "python", map[string]any{"do": "exception"}); got.Type != "KeyError" {
			t.Errorf("%+v", got)
		}
		if got := fails(t, "python", map[string]any{"do": "unserialisable"}); got.Type != "Runtime.MarshalError" {
			t.Errorf("%+v", got)
		}
		if got := fails(t, "python", map[string]any{"do": "exit", "n": 9}); got.Type != "Runtime.ExitError" || !strings.Contains(got.Message, "exit status 9") {
			t.Errorf("%+v", got)
		}
	})

	t.Run("log tail", func(t *testing.T) {
		text := tail(t, call(t, "python", map[string]any{"do": "print", "n": 3}))
		for _, want := range []string{"a line of python 0\n", "a line of python 2\n", "to standard error\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in the tail:\n%s", want, text)
			}
		}
	})
}

// bundlePython makes a folder with a Python in it that runs anywhere.
func bundlePython(t *testing.T, task string) {
	t.Helper()
	client := cache(t, "python")
	if _, err := os.Stat(filepath.Join(client, "awslambdaric")); err != nil {
		t.Skipf("awslambdaric is missing; conformance/install.sh installs it (%v)", err)
	}
	python := need(t, "../.cache/conformance/clients/bin/python")
	about := strings.Fields(string(run(t, ".", nil, python, "-c", `
import os, sys, sysconfig
print(os.path.realpath(sys.executable), os.path.realpath(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})), sys.version_info.major, sys.version_info.minor)`)))
	if len(about) != 4 {
		t.Fatalf("python says %q", about)
	}
	interpreter, library := about[0], about[1]
	copyFile(t, interpreter, filepath.Join(task, "python", "bin", "python3"))
	copyTree(t, library, filepath.Join(task, "python", "lib", "python"+about[2]+"."+about[3]),
		"test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "site-packages", "dist-packages", "__pycache__", "config-*", "_tkinter*", "_test*")
	copyTree(t, client, task, "bin", "__pycache__", "installed.txt")
	source, err := os.ReadFile("testdata/python/app.py")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(task, "app.py"), source, 0o644)

	// Every shared library of what is there now, and the linker that loads them.
	programs := []string{interpreter}
	filepath.WalkDir(task, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), ".so") {
			programs = append(programs, path)
		}
		return err
	})
	// "libz.so.1 => /lib/libz.so.1 (0x...)", or "/lib64/ld-linux-x86-64.so.2 (0x...)".
	line := regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$`)
	libraries := map[string]string{}
	for _, program := range programs {
		out, err := exec.Command("ldd", program).CombinedOutput()
		if err != nil {
			t.Fatalf("ldd %s: %v\n%s", program, err, out)
		}
		for _, m := range line.FindAllStringSubmatch(string(out), -1) {
			name := filepath.Base(m[1])
			if strings.HasPrefix(name, "ld-linux") {
				name = "ld.so"
			}
			if !strings.HasPrefix(m[1], task) {
				libraries[name] = m[1]
			}
		}
	}
	if libraries["ld.so"] == "" {
		t.Skipf("%s is static, or for another C library", interpreter)
	}
	for name, path := range libraries {
		copyFile(t, path, filepath.Join(task, "lib", name))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, data, 0o755)
}

// copyTree copies files, without those whose name matches a pattern.
func copyTree(t *testing.T, from, to string, without ...string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		skip := slices.ContainsFunc(without, func(pattern string) bool {
			ok, _ := filepath.Match(pattern, d.Name())
			return ok
		})
		rel, relErr := filepath.Rel(from, path)
		switch {
		case relErr != nil:
			return relErr
		case skip && d.IsDir():
			return fs.SkipDir
		case skip || d.IsDir():
			return nil
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return nil // a link that leads nowhere
		}
		copyFile(t, path, filepath.Join(to, rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
