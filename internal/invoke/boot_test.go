package invoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/runtimes"
)

// What is read while a process starts keeps a function from being bound late;
// all else does not.
func TestBoots(t *testing.T) {
	f := func(runtime gust.Runtime, variables ...string) *gust.Function {
		return fn("f", func(f *gust.Function) {
			f.Runtime, f.Env = runtime, map[string]string{}
			for i := 0; i < len(variables); i += 2 {
				f.Env[variables[i]] = variables[i+1]
			}
		})
	}
	for _, runtime := range []gust.Runtime{gust.RuntimeNode, gust.RuntimePython} {
		if !boots(f(runtime)) {
			t.Errorf("%s without variables cannot be bound late", runtime)
		}
		for _, late := range []string{"TABLE", "NODE_ENV", "TZ", "PATH", "AWS_PROFILE", "OTEL_SERVICE_NAME", "DEBUG", "LDAP_URL", "HOMEPAGE", "LANGS", "TMPDIR", "NODE_PATH"} {
			if !boots(f(runtime, late, "x")) {
				t.Errorf("%s with %s cannot be bound late", runtime, late)
			}
		}
		for _, early := range []string{
			"NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "NODE_DEBUG", "UV_THREADPOOL_SIZE", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONHASHSEED",
			"LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "OPENSSL_CONF", "SSL_CERT_FILE", "LC_ALL", "LANG", "HOME",
			"AWS_LAMBDA_EXEC_WRAPPER",
		} {
			if boots(f(runtime, "TABLE", "x", early, "x")) {
				t.Errorf("%s with %s is bound late", runtime, early)
			}
		}
		if !boots(f(runtime, "LANG", "C.UTF-8", "HOME", "/tmp")) {
			t.Errorf("%s with what it has anyhow cannot be bound late", runtime)
		}
	}
	for _, runtime := range []gust.Runtime{gust.RuntimeGo, gust.RuntimeProvided, gust.RuntimeHTTP} {
		if boots(f(runtime)) {
			t.Errorf("%s has no interpreter to boot ahead", runtime)
		}
	}
}

// What is the same for all functions is what interpreters are booted with, and
// each kind is announced once.
func TestAhead(t *testing.T) {
	r := runtimes.Runtime{Name: "node@20", Digest: "d", Path: "/roots/d", Program: "/usr/bin/node", Client: "/var/runtime"}
	f := fn("f", func(f *gust.Function) {
		f.Runtime, f.Env = gust.RuntimeNode, map[string]string{"PATH": "/own", "SECRET": "x"}
	})
	got := ahead(f, r, "/var/task")
	want := []string{
		"HOME=/tmp", "LANG=C.UTF-8", "LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin", "TZ=:UTC",
	}
	if !slices.Equal(got.BootEnv, want) || !slices.Equal(got.Boot, got.Command) || got.Boot[0] != "/usr/bin/node" {
		t.Errorf("it is booted by %q with %q, want %q with %q", got.Boot, got.BootEnv, got.Command, want)
	}
	for name, value := range bootValues {
		if !slices.Contains(want, name+"="+value) {
			t.Errorf("interpreters are not booted with %s=%s", name, value)
		}
	}
	f.Env["NODE_OPTIONS"] = "--inspect"
	if got := ahead(f, r, "/var/task"); got.Boot != nil || got.Command == nil {
		t.Errorf("with NODE_OPTIONS it boots %q", got.Boot)
	}
	delete(f.Env, "NODE_OPTIONS")
	if got := ahead(f, runtimes.Runtime{Program: "/usr/bin/node"}, "/code"); got.Boot != nil {
		t.Errorf("without a root it boots %q", got.Boot)
	}
}

// shelf is a Library of one runtime.
type shelf struct{ runtimes.Library }

func (shelf) Acquire(_ context.Context, f *gust.Function) (runtimes.Runtime, func(), error) {
	if f.Interpreter == "" {
		return runtimes.Runtime{}, nil, gust.ErrInvalid
	}
	return runtimes.Runtime{Name: f.Interpreter, Digest: f.Root, Path: "/roots/" + string(f.Root), Program: "/usr/bin/node", Client: "/var/runtime"}, func() {}, nil
}

// Each kind of interpreter that functions have use for is announced once, and
// each root of the others.
func TestPrepare(t *testing.T) {
	node := func(root gust.Digest, memory int64) func(*gust.Function) {
		return func(f *gust.Function) {
			f.Runtime, f.Interpreter, f.Root, f.Memory = gust.RuntimeNode, "node@20", root, memory
		}
	}
	functions := map[string]*gust.Function{}
	for name, f := range map[string]*gust.Function{
		"one":   fn("one", node("a", 128*gust.MB)),
		"same":  fn("same", node("a", 128*gust.MB)),
		"large": fn("large", node("a", 512*gust.MB)),
		"older": fn("older", node("b", 128*gust.MB)),
		"early": fn("early", node("c", 128*gust.MB), func(f *gust.Function) { f.Env = map[string]string{"NODE_OPTIONS": "x"} }),
		"debug": fn("debug", node("d", 128*gust.MB)),
		"none":  fn("none"),
	} {
		functions[name] = f
	}
	iv := &Invoker{Options: Options{Runtimes: shelf{}, Backend: &fakeBackend{}, Debug: map[string]*Debug{"debug": {}}}, intake: t.Context()}
	var got []string
	for _, spec := range iv.aheads(&catalog.Snapshot{Functions: functions}) {
		got = append(got, strings.Join(append([]string{spec.Root}, spec.Boot...), " "))
	}
	slices.Sort(got)
	var want []string
	for _, k := range []struct {
		root   string
		memory int64
	}{{"a", 128 * gust.MB}, {"a", 512 * gust.MB}, {"b", 128 * gust.MB}} {
		want = append(want, fmt.Sprintf("/roots/%s /usr/bin/node %s /var/runtime/bootstrap.cjs", k.root, strings.Join(nodeFlags(k.memory), " ")))
	}
	want = append(want, "/roots/c", "/roots/d")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("announced is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
