package rules_test

import (
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// interpreterOf is what a runtime asks for that has an interpreter always.
func interpreterOf(r gust.Runtime) string {
	if r == gust.RuntimeNode || r == gust.RuntimePython {
		return string(r)
	}
	return ""
}

func TestHandlers(t *testing.T) {
	const form = " is no handler: want the file and the function in it, such as index.handler or folder/index.handler"
	for _, test := range []struct {
		runtime gust.Runtime
		handler string
		want    string
	}{
		{gust.RuntimeNode, "index.handler", ""},
		{gust.RuntimeNode, "src/index.api.get", ""},
		{gust.RuntimePython, "app.handler", ""},
		{gust.RuntimePython, "src/app.handler", ""},
		{gust.RuntimePython, "src.app.handler", ""},
		{gust.RuntimeGo, "", ""},
		{gust.RuntimeGo, "main.handler", "only runtimes node and python have a handler; runtime go starts a program"},
		{gust.RuntimeNode, "", "the function has no handler: write the file and the function in it, such as index.handler"},
		{gust.RuntimePython, "", "the function has no handler: write the file and the function in it, such as app.handler"},
		{gust.RuntimeNode, "index", `"index"` + form},
		{gust.RuntimeNode, "index.", `"index."` + form},
		{gust.RuntimeNode, ".handler", `".handler"` + form},
		{gust.RuntimeNode, "../index.handler", `"../index.handler"` + form},
		{gust.RuntimeNode, "/index.handler", `"/index.handler"` + form},
		{gust.RuntimeNode, "in dex.handler", `"in dex.handler"` + form},
		{gust.RuntimeNode, "in\xffdex.handler", `"in\xffdex.handler"` + form},
		{gust.RuntimeNode, strings.Repeat("x", 122) + ".handler", "130 bytes are above the maximum of 128"},
	} {
		app := valid()
		f := app.Functions["f"]
		f.Runtime, f.Handler, f.Interpreter = test.runtime, test.handler, interpreterOf(test.runtime)
		want := test.want
		if want != "" {
			want = "functions.f.handler: " + want
		}
		if got := rules.Check(app).Error(); got != want {
			t.Errorf("%s %q:\n got %s\nwant %s", test.runtime, test.handler, got, want)
		}
	}
}

func TestOneAtATimeInPython(t *testing.T) {
	app := valid()
	f := app.Functions["f"]
	f.Runtime, f.Interpreter, f.Handler, f.Concurrency.PerEnvironment = gust.RuntimePython, "python", "app.handler", 2
	const want = "functions.f.concurrency.per_environment: runtime python runs one invocation at a time in an environment; leave it out, or serve HTTP with runtime http"
	if got := rules.Check(app).Error(); got != want {
		t.Errorf("got %s", got)
	}
	f.Concurrency.PerEnvironment = 1
	if got := rules.Check(app); got != nil {
		t.Error(got)
	}
	f.Runtime, f.Interpreter, f.Handler, f.Concurrency.PerEnvironment = gust.RuntimeNode, "node", "index.handler", 20
	if got := rules.Check(app); got != nil {
		t.Error(got)
	}
}

// Of the reserved names, those that choose are the function's.
func TestChosenVariables(t *testing.T) {
	for _, test := range []struct {
		runtime     gust.Runtime
		name, value string
		want        string
	}{
		{gust.RuntimeNode, "AWS_LAMBDA_LOG_FORMAT", "TEXT", ""},
		{gust.RuntimeGo, "AWS_LAMBDA_LOG_FORMAT", "JSON", ""},
		{gust.RuntimeNode, "AWS_LAMBDA_LOG_FORMAT", "XML", `want JSON or TEXT, got "XML"`},
		{gust.RuntimePython, "AWS_LAMBDA_LOG_LEVEL", "DEBUG", ""},
		{gust.RuntimePython, "AWS_LAMBDA_LOG_LEVEL", "LOUD", `want TRACE, DEBUG, INFO, WARN, ERROR or FATAL, got "LOUD"`},
		{gust.RuntimeNode, "AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper", ""},
		{gust.RuntimeNode, "AWS_LAMBDA_EXEC_WRAPPER", "wrapper", `want the wrapper's absolute path, such as /var/task/wrapper, got "wrapper"`},
		{gust.RuntimeGo, "AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper", "only runtimes node and python start a wrapper; runtime go starts a program of its own, which can be one"},
		{gust.RuntimeNode, "AWS_LAMBDA_RUNTIME_API", "x", "AWS_LAMBDA_RUNTIME_API is reserved, as are all names that begin with AWS_LAMBDA_; choose another name"},
	} {
		app := valid()
		f := app.Functions["f"]
		f.Runtime, f.Env, f.Interpreter = test.runtime, map[string]string{test.name: test.value}, interpreterOf(test.runtime)
		if f.Interpreter != "" {
			f.Handler = "app.handler"
		}
		want := test.want
		if want != "" {
			want = "functions.f.env." + test.name + ": " + want
		}
		if got := rules.Check(app).Error(); got != want {
			t.Errorf("%s=%s:\n got %s\nwant %s", test.name, test.value, got, want)
		}
	}
}
