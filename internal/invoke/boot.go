package invoke

import (
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
)

// Which functions an interpreter can become that was booted ahead, and telling
// the backend to boot some.

// early are the variables that a loader, a C library or an interpreter reads
// once, while it starts; those that end in a star begin so. A function that
// declares one, to another value than interpreters are booted with, is started
// plainly.
var early = []string{
	// The loader and the C library: what is loaded and preloaded, memory's
	// settings, character sets and languages.
	"LD_*", "GLIBC_*", "MALLOC_*", "GCONV_PATH", "LOCPATH", "LC_*", "LANG", "LANGUAGE",
	// Node.js: options and certificates, libuv's threads, V8, time zones' data.
	"NODE_*", "UV_*", "V8_*", "ICU_*",
	// Python: its paths and modes, and where a user's packages are.
	"PYTHON*", "HOME",
	// OpenSSL, which Node.js initialises as it starts.
	"OPENSSL_*", "SSL_CERT_*",
	// A program that starts the interpreter by itself.
	execWrapper,
}

// late are variables of these families that are read when they are needed, or
// that Gust's clients see to.
var late = []string{"NODE_ENV", "NODE_PATH", "NODE_TLS_REJECT_UNAUTHORIZED"}

func bindsEarly(name string) bool {
	return !slices.Contains(late, name) && slices.ContainsFunc(early, func(e string) bool {
		prefix, star := strings.CutSuffix(e, "*")
		return name == e || star && strings.HasPrefix(name, prefix)
	})
}

// boots reports whether an interpreter that was booted ahead can become an
// environment of f: one of Gust's own clients runs in it, and f declares nothing
// that is read before.
func boots(f *gust.Function) bool {
	if f.Runtime != gust.RuntimeNode && f.Runtime != gust.RuntimePython {
		return false
	}
	for name, value := range f.Env {
		if bindsEarly(name) && bootValues[name] != value {
			return false
		}
	}
	return true
}

// bootValues are what interpreters are booted with of what is read early.
var bootValues = map[string]string{"HOME": "/tmp", "LANG": "C.UTF-8"}

// ahead is a function's part of a Spec that is known before it is known which
// function it is; without Boot if that is nothing. task is the code as the
// program sees it.
func ahead(f *gust.Function, r runtimes.Runtime, task string) sandbox.Spec {
	spec := sandbox.Spec{
		Runtime: f.Runtime, Root: r.Path, Command: command(f, r, task), Memory: f.Memory, Ephemeral: f.Ephemeral, Network: f.Network,
	}
	if r.Digest == "" || !boots(f) {
		return spec
	}
	// Of what every function has, what may be looked at as a process starts.
	spec.Boot = spec.Command
	spec.BootEnv = slices.DeleteFunc(environ(&gust.Function{Runtime: gust.RuntimeProvided}, "", gust.Place{}, "", task, r), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return !slices.Contains([]string{"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TZ"}, name)
	})
	return spec
}

// preparer is a backend that boots interpreters ahead.
type preparer interface {
	// Prepare announces what will be started, in the place of what was
	// announced before.
	Prepare([]sandbox.Spec)
}

// prepare announces what the declared functions need, and again whenever others
// are declared.
func (iv *Invoker) prepare() {
	p, ok := iv.Backend.(preparer)
	if !ok {
		return
	}
	for {
		changed := iv.Catalog.Watch()
		p.Prepare(iv.aheads(iv.Catalog.Snapshot()))
		select {
		case <-changed:
		case <-iv.intake.Done():
			return
		}
	}
}

// aheads is what the functions of a snapshot have before they are known, each
// once.
func (iv *Invoker) aheads(snap *catalog.Snapshot) []sandbox.Spec {
	type kind struct {
		root              gust.Digest
		interpreter       string
		memory, ephemeral int64
		network           gust.NetworkMode
		boots             bool
	}
	first := map[kind]*gust.Function{}
	for _, f := range snap.Functions {
		k := kind{root: f.Root, interpreter: f.Interpreter, network: f.Network.Mode}
		if iv.Debug[f.Name] == nil && boots(f) {
			k.memory, k.ephemeral, k.boots = f.Memory, f.Ephemeral, true
		}
		first[k] = f
	}
	var specs []sandbox.Spec
	for k, f := range first {
		r, release, err := iv.Runtimes.Acquire(iv.intake, f)
		if err != nil {
			continue // its first start tells
		}
		spec := ahead(f, r, iv.taskRoot(""))
		if !k.boots {
			spec.Boot = nil
		}
		specs = append(specs, spec)
		release()
	}
	return specs
}
