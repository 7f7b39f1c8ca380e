package artifact_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// library is the head of a shared library for a processor, and what follows.
func library(machine uint16, rest ...string) string {
	return elf{class: 2, data: 1, kind: 3, machine: machine}.bytes() + strings.Join(rest, "")
}

// TestHandlers: the module that a handler names has to be there, as Lambda's
// clients read the name.
func TestHandlers(t *testing.T) {
	node := func(handler string, layers ...gust.Layer) *gust.Function {
		return &gust.Function{Runtime: gust.RuntimeNode, Handler: handler, Interpreter: "node@20", Layers: layers}
	}
	python := func(handler string) *gust.Function {
		return &gust.Function{Runtime: gust.RuntimePython, Handler: handler, Interpreter: "python@3.11"}
	}
	tests := []struct {
		f     *gust.Function
		files string
		want  string // "" is that it is taken
	}{
		{node("index.handler"), "index.js", ""},
		{node("index.handler"), "index.mjs", ""},
		{node("a/index.b.c"), "a/index.cjs", ""},
		{node("a.b/index.handler"), "a.b/index.js", ""},
		{node("index.handler"), "index", ""},
		{node("index.handler"), "index.ts", `the artifact has no file "index.js", "index.mjs" or "index.cjs", which the handler "index.handler" names`},
		{node("index.handler"), "src/index.js", `which the handler "index.handler" names, but "src/index.js": write its path into the handler, or name its folder as the source`},
		{node("index.handler", gust.Layer{Name: "x"}), "a.js", ""},
		{node("/opt/x/index.handler"), "a.js", ""},
		{node("handler"), "handler.js", `the handler "handler" names no module`},
		{python("app.handler"), "app.py", ""},
		{python("a.b.handler"), "a/b.py", ""},
		{python("a/b.handler"), "a/b/__init__.py", ""},
		{python("app.handler"), "app.cpython-311-x86_64-linux-gnu.so", ""},
		{python("app.handler"), "main.py", `the artifact has no file "app.py" or "app/__init__.py", which the handler "app.handler" names`},
		{&gust.Function{Runtime: gust.RuntimeHTTP, Interpreter: "python@3.11", Command: []string{"python3.11", "x.py"}}, "x.py", ""},
		{&gust.Function{Runtime: gust.RuntimeHTTP, Interpreter: "node", Command: []string{"node", "x.js"}}, "x.js", ""},
		{&gust.Function{Runtime: gust.RuntimeHTTP, Command: []string{"node", "x.js"}}, "x.js", `the artifact has no file "node", which the function's command starts`},
	}
	for _, test := range tests {
		err := inspect(forge(t, file{name: test.files, body: library(62)}), test.f)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !errors.Is(err, gust.ErrInvalid)) {
			t.Errorf("%s of %s: got %v\nwant %s", test.f.Handler, test.files, err, test.want)
		}
	}
}

// TestLibraries: one of another system, processor or interpreter is refused by
// its name, unless its path says that it is one of several.
func TestLibraries(t *testing.T) {
	tests := []struct {
		interpreter, name, body string
		want                    string
	}{
		{"node@20", "a.node", library(62), ""},
		{"node@20", "node_modules/x/build/Release/x.node", library(183), `"node_modules/x/build/Release/x.node" is built for arm64, but this node runs amd64: install it for linux on amd64`},
		{"node@20", "a.node", "\xcf\xfa\xed\xfe" + strings.Repeat("x", 60), `"a.node" is a library for macOS, but this node runs linux`},
		{"node@20", "a.node", "MZ", `"a.node" is a library for Windows`},
		{"node@20", "a.node", library(62)[:30], `"a.node" is cut off: its ELF header is not whole`},
		{"node@20", "prebuilds/linux-arm64/a.node", library(183), ""},
		{"node@20", "x.darwin-arm64.node", "\xcf\xfa\xed\xfe", ""},
		{"node@20", "a.node", library(62, "_node_register_module_v115\x00"), ""},
		{"node@20", "a.node", library(62, strings.Repeat("x", 128*1024-70), "node_register_module_v127\x00"),
			`"a.node" is compiled for node@22 (ABI 127), and the function asks for node@20 (ABI 115): build with node 20 first in PATH`},
		{"node@20", "a.node", library(62, "node_register_module_v%d"), ""},
		{"node", "a.node", library(62, "node_register_module_v127\x00"), ""},
		{"python@3.11", "x.cpython-311-x86_64-linux-gnu.so", library(62), ""},
		{"python@3.11", "x.cpython-311-aarch64-linux-gnu.so", library(183), `is built for arm64`},
		{"python@3.11", "x.cpython-312-x86_64-linux-gnu.so", library(62), `is built for Python 3.12, and the function asks for python@3.11`},
		{"python", "x.cpython-312-x86_64-linux-gnu.so", library(62), ""},
		{"python@3.11", "x.so", "INPUT(libx.so.1)", ""},
		{"", "lib/x.so", library(183), `is built for arm64`},
	}
	for _, test := range tests {
		f := &gust.Function{Runtime: gust.RuntimeNode, Interpreter: test.interpreter, Handler: "index.handler"}
		err := inspect(forge(t, file{name: "index.js"}, file{name: test.name, body: test.body}), f)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !errors.Is(err, gust.ErrInvalid)) {
			t.Errorf("%s for %s: got %v\nwant %s", test.name, test.interpreter, err, test.want)
		}
	}
	// A module that is there for several versions is there for the right one.
	both := forge(t, file{name: "index.js"}, file{name: "x.cpython-310-x86_64-linux-gnu.so", body: library(62)}, file{name: "x.cpython-311-x86_64-linux-gnu.so", body: library(62)})
	if err := inspect(both, &gust.Function{Runtime: gust.RuntimeNode, Interpreter: "python@3.11", Handler: "index.handler"}); err != nil {
		t.Error(err)
	}
	// A layer has no program, and is looked into all the same.
	if err := amd64.InspectLayer(bytes.NewReader(both), int64(len(both))); err != nil {
		t.Error(err)
	}
	bad := forge(t, file{name: "python/x.so", body: library(183)})
	if err := amd64.InspectLayer(bytes.NewReader(bad), int64(len(bad))); err == nil || !strings.Contains(err.Error(), "built for arm64") {
		t.Errorf("a layer for another processor: %v", err)
	}
}

func TestContents(t *testing.T) {
	zip := forge(t, file{name: "a/", mode: 0o755 | 1<<31}, file{name: "a/b", body: "hello"}, file{name: "c"})
	got, err := artifact.Contents(bytes.NewReader(zip), int64(len(zip)))
	if err != nil || len(got) != 2 || got[0] != (artifact.Content{Name: "a/b", Size: 5}) || got[1] != (artifact.Content{Name: "c"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPackTrees: of files of one name the last tree's is packed, once.
func TestPackTrees(t *testing.T) {
	a, b := tree(t, map[string]string{"x": "a", "y": "a", "skipped/z": ""}), tree(t, map[string]string{"y": "bb", "skipped/z": ""})
	var out bytes.Buffer
	err := artifact.PackTrees(t.Context(), &out,
		artifact.Tree{Dir: a, At: "sub", Skip: func(name string) bool { return name == "skipped" }},
		artifact.Tree{Dir: b, At: "sub", Skip: func(name string) bool { return name == "skipped/z" }},
		artifact.Tree{Dir: b, Skip: func(name string) bool { return name != "y" }})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unpack(t, out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)
	if !strings.HasSuffix(got["sub/x"], " a") || !strings.HasSuffix(got["sub/y"], " bb") || !strings.HasSuffix(got["y"], " bb") || len(got) > 5 {
		t.Errorf("%q", got)
	}
}
