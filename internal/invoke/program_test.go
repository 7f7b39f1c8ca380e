package invoke

import (
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

var (
	node20   = runtimes.Runtime{Name: "node@20", Program: "/usr/bin/node", Client: "/var/runtime"}
	python11 = runtimes.Runtime{Name: "python@3.11", Program: "/usr/local/lib/python/bin/python3.11", Client: "/var/runtime"}
)

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		what   string
		r      runtimes.Runtime
		change func(*gust.Function)
		want   string
	}{
		{"a program", runtimes.Runtime{Name: "base"}, func(f *gust.Function) {}, "./bootstrap"},
		{"a server", runtimes.Runtime{}, func(f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"./server", "-v"} }, "./server -v"},
		{"node, 128 MB", node20, func(f *gust.Function) { f.Runtime, f.Memory = gust.RuntimeNode, 128*gust.MB },
			"/usr/bin/node --max-old-space-size=88 /var/runtime/bootstrap.cjs"},
		{"node, 1 GB", node20, func(f *gust.Function) { f.Runtime, f.Memory = gust.RuntimeNode, gust.GB },
			"/usr/bin/node --max-old-space-size=850 /var/runtime/bootstrap.cjs"},
		{"python", python11, func(f *gust.Function) { f.Runtime = gust.RuntimePython }, "/usr/local/lib/python/bin/python3.11 /var/runtime/bootstrap.py"},
		{"a wrapper", python11, func(f *gust.Function) {
			f.Runtime, f.Env = gust.RuntimePython, map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel"}
		}, "/opt/otel /usr/local/lib/python/bin/python3.11 /var/runtime/bootstrap.py"},
		{"a wrapper in the code", python11, func(f *gust.Function) {
			f.Runtime, f.Env = gust.RuntimePython, map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}
		}, "/code/wrap /usr/local/lib/python/bin/python3.11 /var/runtime/bootstrap.py"},
		{"a server by its interpreter", node20, func(f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"node", "server.js"} },
			"/usr/bin/node server.js"},
		{"python3", python11, func(f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"python3", "-m", "server"} },
			"/usr/local/lib/python/bin/python3.11 -m server"},
		{"another python", python11, func(f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"python3.12", "x.py"} }, "python3.12 x.py"},
		{"a file of that name", node20, func(f *gust.Function) { f.Runtime, f.Command = gust.RuntimeHTTP, []string{"./node"} }, "./node"},
	} {
		if got := strings.Join(command(fn("f", test.change), test.r, "/code"), " "); got != test.want {
			t.Errorf("%s: got %s, want %s", test.what, got, test.want)
		}
	}
}

// What Lambda's managed runtimes set beside what all programs have.
func TestEnvironOfManagedRuntimes(t *testing.T) {
	for _, test := range []struct {
		runtime gust.Runtime
		r       runtimes.Runtime
		want    []string
	}{
		{gust.RuntimeNode, node20, []string{
			"AWS_EXECUTION_ENV=AWS_Lambda_nodejs20.x", "_HANDLER=a.b", "AWS_LAMBDA_LOG_FORMAT=JSON", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
			"NODE_PATH=/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/task",
		}},
		{gust.RuntimePython, python11, []string{
			"AWS_EXECUTION_ENV=AWS_Lambda_python3.11", "_HANDLER=a.b", "AWS_LAMBDA_LOG_FORMAT=JSON",
			"PATH=/usr/local/lib/python/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
		}},
	} {
		got := environ(fn("f", func(f *gust.Function) { f.Runtime, f.Handler = test.runtime, "a.b" }), "id", gust.DefaultPlace, gust.ColdFirst, "/var/task", test.r)
		for _, want := range test.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %s is missing in %v", test.runtime, want, got)
			}
		}
	}
	got := environ(fn("f", func(f *gust.Function) {
		f.Runtime, f.Env = gust.RuntimeNode, map[string]string{"AWS_LAMBDA_LOG_FORMAT": "TEXT", "NODE_PATH": "/mine"}
	}), "id", gust.DefaultPlace, gust.ColdFirst, "/var/task", node20)
	if !slices.Contains(got, "AWS_LAMBDA_LOG_FORMAT=TEXT") || !slices.Contains(got, "NODE_PATH=/mine") {
		t.Errorf("what was declared does not win: %v", got)
	}
}
