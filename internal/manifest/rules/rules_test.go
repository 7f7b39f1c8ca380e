package rules_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

func valid() *gust.App {
	return &gust.App{
		Name: "a",
		Functions: map[string]*gust.Function{"f": {
			Name: "f", App: "a", Runtime: gust.RuntimeGo, Memory: 128 * gust.MB, Timeout: time.Second,
			Ephemeral: 512 * gust.MB, CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkNone}, Idle: time.Minute,
		}},
		Routes: []gust.Route{{App: "a", Method: "GET", Path: "/", Function: "f"}},
	}
}

// What a manifest cannot get wrong, but the API can.
func TestCheck(t *testing.T) {
	tests := []struct {
		change func(*gust.App, *gust.Function)
		want   string
	}{
		{func(a *gust.App, f *gust.Function) {}, ""},
		{func(a *gust.App, f *gust.Function) { a.Name = "" }, `app: the app has no name: write app: NAME`},
		{func(a *gust.App, f *gust.Function) { a.Functions["f"] = nil }, `functions.f: the function is null: describe it, or leave it out`},
		{func(a *gust.App, f *gust.Function) { f.Name = "g" }, `functions.f.name: the function calls itself "g", its key "f"; they have to agree`},
		{func(a *gust.App, f *gust.Function) { f.App = "b" }, `functions.f.app: the function says that it belongs to app "b", but stands in app "a"`},
		{func(a *gust.App, f *gust.Function) { a.Routes[0].App = "b" }, `routes["GET /"]: the route says that it belongs to app "b", but stands in app "a"`},
		{func(a *gust.App, f *gust.Function) { f.Runtime = "" }, `functions.f.runtime: want go, node, python, provided or http, got ""`},
		{func(a *gust.App, f *gust.Function) { f.CPU = "" }, `functions.f.cpu: want shared or strict, got ""`},
		{func(a *gust.App, f *gust.Function) { f.Network.Mode = "x" }, `functions.f.network: want internet or none, got "x"`},
		{func(a *gust.App, f *gust.Function) { f.Memory = 0 }, `functions.f.memory: 0MB is below the minimum of 128MB`},
		{func(a *gust.App, f *gust.Function) { f.Memory++ }, `functions.f.memory: 134217729 bytes is not a whole number of megabytes: want a multiple of 1048576`},
		{func(a *gust.App, f *gust.Function) { f.Timeout = -1 }, `functions.f.timeout: -1ns is below the minimum of 1s`},
		{func(a *gust.App, f *gust.Function) { f.Ephemeral = gust.MB }, `functions.f.ephemeral_storage: 1MB is below the minimum of 512MB`},
		{func(a *gust.App, f *gust.Function) { f.Description = "\xff" }, `functions.f.description: the description is not valid UTF-8 text`},
		{func(a *gust.App, f *gust.Function) { f.Env = map[string]string{"": "x"} }, `functions.f.env[""]: "" is no name of an environment variable: want 1 to 256 of a-z, A-Z, 0-9 and _, the first not a digit`},
		{func(a *gust.App, f *gust.Function) { f.Env = map[string]string{"A": "\xff"} }, `functions.f.env.A: the value is not valid UTF-8`},
		{func(a *gust.App, f *gust.Function) { f.Concurrency.PerEnvironment = -1 }, `functions.f.concurrency.per_environment: -1 is below the minimum of 1`},
		{func(a *gust.App, f *gust.Function) { f.Concurrency.Queue.Size = 1 }, `functions.f.concurrency.queue.wait: 0s is below the minimum of 1ms`},
		{func(a *gust.App, f *gust.Function) { f.Concurrency.Queue.Wait = 1e9 }, `functions.f.concurrency.queue.size: 0 is below the minimum of 1`},
		{func(a *gust.App, f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{""} }, `functions.f.command[0]: the program's name is empty: want a file in the function's folder such as ./server`},
		{func(a *gust.App, f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"a", "\x00"} }, `functions.f.command[1]: the word holds a zero byte or is not valid UTF-8`},
		{func(a *gust.App, f *gust.Function) {
			f.Runtime, f.Command = gust.RuntimeHTTP, slices.Repeat([]string{"a"}, 257)
		}, `functions.f.command: 257 words are above the maximum of 256`},
		{func(a *gust.App, f *gust.Function) {
			f.Runtime, f.Command = gust.RuntimeHTTP, []string{"a", strings.Repeat("x", 40000)}
		}, `functions.f.command: 40003 bytes are above the maximum of 32768`},
		{func(a *gust.App, f *gust.Function) { a.Routes[0].Method = "" }, `routes[" /"]: "" is no method: want ANY or one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`},
		{func(a *gust.App, f *gust.Function) { a.Routes[0].Path = "" }, `routes["GET "]: the path "" has to begin with a slash`},
		{func(a *gust.App, f *gust.Function) { a.Routes[0].Path = "/a\n" }, `routes["GET /a\n"]: "a\n" holds '\n', which a route's path cannot`},
		{func(a *gust.App, f *gust.Function) { a.Routes[0].Path = "/{}" }, `routes["GET /{}"]: "{}" is neither text nor a parameter: want {name} for a whole segment, or {name...} at the end`},
	}
	for _, test := range tests {
		app := valid()
		test.change(app, app.Functions["f"])
		got := rules.Check(app)
		if got.Error() != test.want {
			t.Errorf("\n got %v\nwant %s", got, test.want)
		}
		if len(got) > 0 && !errors.Is(got, gust.ErrInvalid) {
			t.Errorf("%v is not gust.ErrInvalid", got)
		}
	}
}

func TestCheckInterpreter(t *testing.T) {
	for _, test := range []struct{ runtime, interpreter, want string }{
		{"node", "node", ""},
		{"node", "node@20", ""},
		{"python", "python", ""},
		{"python", "python@3.11", ""},
		{"provided", "", ""},
		{"provided", "node@20", ""},
		{"http", "python@3.9", ""},
		{"go", "", ""},
		{"node", "", "runtime node needs an interpreter: want node for the newest that the node has, or one of a version such as node@20"},
		{"python", "", "runtime python needs an interpreter: want python for the newest that the node has, or one of a version such as python@3.11"},
		{"python", "node@20", "runtime python does not run in node@20: want python or one of a version such as python@3.11"},
		{"go", "node@20", "a program of runtime go needs no interpreter: leave it out"},
		{"http", "ruby", `"ruby" is no interpreter: want node, python, or one of a version such as node@20 or python@3.11`},
		{"http", "node@20.1", `"node@20.1" is no interpreter`},
		{"http", "node@", `"node@" is no interpreter`},
		{"http", "node@020", `"node@020" is no interpreter`},
		{"http", "python@3", `"python@3" is no interpreter`},
		{"http", "python@2.7", `"python@2.7" is no interpreter`},
		{"http", "base", `"base" is no interpreter`},
	} {
		app := valid()
		f := app.Functions["f"]
		f.Runtime, f.Interpreter, f.Handler = gust.Runtime(test.runtime), test.interpreter, "index.handler"
		got := ""
		for _, v := range rules.Check(app) {
			if v.Path == "functions.f.interpreter" {
				got = v.Text
			}
		}
		if !strings.HasPrefix(got, test.want) || got != "" && test.want == "" {
			t.Errorf("%s in %q: got %q, want %q", test.runtime, test.interpreter, got, test.want)
		}
	}
}

func TestCheckArtifacts(t *testing.T) {
	app := valid()
	if got, want := rules.CheckArtifacts(app).Error(), `functions.f.artifact: "" is not a digest: want 64 lower-case hexadecimal characters`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	app.Functions["f"].Artifact = gust.Digest(strings.Repeat("a", 64))
	app.Functions["f"].Layers = []gust.Layer{{Name: "shared", Artifact: "x"}}
	if got, want := rules.CheckArtifacts(app).Error(), `functions.f.layers[0].artifact: "x" is not a digest: want 64 lower-case hexadecimal characters`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	app.Functions["f"].Layers[0].Artifact = gust.Digest(strings.Repeat("b", 64))
	if got := rules.CheckArtifacts(app); got != nil {
		t.Error(got)
	}
}

func TestViolationsAreBounded(t *testing.T) {
	app := valid()
	for range 150 {
		app.Routes = append(app.Routes, app.Routes[0])
	}
	got := rules.Check(app)
	if len(got) != 150 || !strings.HasSuffix(got.Error(), "\nand 50 more") {
		t.Errorf("%d violations: %v", len(got), got)
	}
}

func TestSizesAndDurationsRoundTrip(t *testing.T) {
	for _, n := range []int64{0, gust.MB, 128 * gust.MB, gust.GB, 1025 * gust.MB} {
		if got, err := rules.ParseSize(rules.FormatSize(n)); err != nil || got != n {
			t.Errorf("%d is %s is %d, %v", n, rules.FormatSize(n), got, err)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s",
		time.Hour: "1h", time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s",
	} {
		s := rules.FormatDuration(d)
		if got, err := rules.ParseDuration(s); err != nil || got != d || s != want {
			t.Errorf("%v is %s is %v, %v", d, s, got, err)
		}
	}
	for _, s := range []string{"", "s", "MB", " ", "1 ", "-1MB", "+1s", "1MBs", "0x1MB", "1h1", "9999999999h"} {
		if n, err := rules.ParseSize(s); err == nil {
			t.Errorf("the size %q is %d", s, n)
		}
		if d, err := rules.ParseDuration(s); err == nil {
			t.Errorf("the duration %q is %v", s, d)
		}
	}
}

func TestShape(t *testing.T) {
	for path, want := range map[string]string{
		"/": "GET /", "/a": "GET /a", "/a/{b}/c": "GET /a/{}/c", "/{b...}": "GET /{...}", "/{b}/": "GET /{}/",
	} {
		if got := rules.Shape(gust.Route{Method: "GET", Path: path}); got != want {
			t.Errorf("%s has the shape %s, want %s", path, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"256MB", "1gib", "1m30.5s", "10", "GET /a/{b}/{c...}", "ANY /", "* //"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := rules.ParseSize(s); err == nil {
			if back, err := rules.ParseSize(rules.FormatSize(n)); err != nil || back != n {
				t.Errorf("%q is %d, which is written %s", s, n, rules.FormatSize(n))
			}
		}
		if d, err := rules.ParseDuration(s); err == nil && d%time.Millisecond == 0 {
			if back, err := rules.ParseDuration(rules.FormatDuration(d)); err != nil || back != d {
				t.Errorf("%q is %v, which is written %s", s, d, rules.FormatDuration(d))
			}
		}
		method, path, err := rules.ParseRoute(s)
		if err != nil || rules.CheckMethod(method) != "" || rules.CheckPath(path) != "" {
			return
		}
		// A route reads back from its key, and its shape has its segments.
		r := gust.Route{Method: method, Path: path}
		if m, p, err := rules.ParseRoute(r.Key()); err != nil || m != method || p != path {
			t.Errorf("%q has the key %q", s, r.Key())
		}
		if shape := rules.Shape(r); strings.Count(shape, "/") != strings.Count(path, "/") {
			t.Errorf("%q has the shape %q", s, shape)
		}
	})
}
