package invoke

import (
	"maps"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

// The reserved names are the node's, every other is the function's to set, as on
// Lambda.
func TestEnviron(t *testing.T) {
	declared := map[string]string{
		"LD_LIBRARY_PATH": "/mine", "AWS_XRAY_CONTEXT_MISSING": "IGNORE_ERROR", "PATH": "/p", "LANG": "l", "TZ": "Europe/Rome",
		"GOMAXPROCS": "7", "GOMEMLIMIT": "1GiB", "HOME": "/h", "OWN": "x",
	}
	of := func(f *gust.Function) map[string]string {
		got := map[string]string{}
		for _, line := range environ(f, "id", gust.DefaultPlace, gust.ColdFirst, "/var/task", runtimes.Runtime{}) {
			name, value, _ := strings.Cut(line, "=")
			if _, twice := got[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			got[name] = value
		}
		return got
	}
	for _, runtime := range []gust.Runtime{gust.RuntimeProvided, gust.RuntimeHTTP} {
		f := fn("f", func(f *gust.Function) { f.Runtime, f.Env = runtime, declared })
		got := of(f)
		for name, value := range declared {
			if got[name] != value {
				t.Errorf("%s: %s is %q, and was declared as %q", runtime, name, got[name], value)
			}
		}
	}
	got := of(fn("f", func(f *gust.Function) { f.Version = 3; f.Concurrency.PerEnvironment = 4 }))
	want := []string{
		"AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
		"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_MAX_CONCURRENCY",
		"AWS_REGION", "AWS_XRAY_CONTEXT_MISSING", "GOMAXPROCS", "GOMEMLIMIT", "HOME", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "LANG",
		"LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PATH", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "TZ", "_HANDLER",
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("got  %v\nwant %v", names, want)
	}
	for name, value := range map[string]string{
		"AWS_LAMBDA_MAX_CONCURRENCY": "4", "AWS_LAMBDA_FUNCTION_VERSION": "3", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": "/var/task",
	} {
		if got[name] != value {
			t.Errorf("%s=%s, want %s", name, got[name], value)
		}
	}
}

// A proxy is not asked for what is on the environment's own loopback.
func TestProxiesAreNotAskedForTheAPI(t *testing.T) {
	for _, c := range []struct{ declared, want map[string]string }{
		{map[string]string{}, map[string]string{}},
		{map[string]string{"HTTPS_PROXY": "p"}, map[string]string{"HTTPS_PROXY": "p"}}, // the API is no https
		{map[string]string{"HTTP_PROXY": "p"}, map[string]string{"HTTP_PROXY": "p", "NO_PROXY": "127.0.0.1"}},
		{map[string]string{"http_proxy": "p", "no_proxy": "a,b"}, map[string]string{"http_proxy": "p", "no_proxy": "a,b,127.0.0.1"}},
		{map[string]string{"all_proxy": "p", "NO_PROXY": "", "no_proxy": "a"}, map[string]string{"all_proxy": "p", "NO_PROXY": "127.0.0.1", "no_proxy": "a,127.0.0.1"}},
		{map[string]string{"HTTP_PROXY": "p", "NO_PROXY": "*"}, map[string]string{"HTTP_PROXY": "p", "NO_PROXY": "*"}},
	} {
		f := fn("f", func(f *gust.Function) { f.Env = c.declared })
		got := map[string]string{}
		for _, line := range environ(f, "id", gust.DefaultPlace, gust.ColdFirst, "/var/task", runtimes.Runtime{}) {
			if name, value, _ := strings.Cut(line, "="); strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
				got[name] = value
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%v becomes %v, want %v", c.declared, got, c.want)
		}
	}
}
