package invoke

import (
	"slices"
	"testing"

	gust "github.com/gust-dev/gust"
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
		for _, late := range []string{"TABLE", "NODE_ENV", "TZ", "PATH", "AWS_PROFILE", "OTEL_SERVICE_NAME", "DEBUG", "LDAP_URL", "HOMEPAGE", "LANGS", "TMPDIR"} {
			if !boots(f(runtime, late, "x")) {
				t.Errorf("%s with %s cannot be bound late", runtime, late)
			}
		}
		for _, early := range []string{
			"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_DEBUG", "UV_THREADPOOL_SIZE", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONHASHSEED",
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

func TestBootEnviron(t *testing.T) {
	got := bootEnviron("/var/task")
	want := []string{
		"HOME=/tmp", "LANG=C.UTF-8", "LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin", "TZ=:UTC",
	}
	if !slices.Equal(got, want) {
		t.Errorf("interpreters are booted with %q, want %q", got, want)
	}
}
