package invoke

import (
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// What can be told to an interpreter that was booted ahead, and what cannot.

// early are the variables that a loader, a C library or an interpreter reads
// while it starts; those that end in a star begin so. A function that declares
// one, to another value than interpreters are booted with, is started plainly.
var early = []string{
	// The loader and the C library: what is loaded and preloaded, memory's
	// settings, character sets and languages.
	"LD_*", "GLIBC_TUNABLES", "MALLOC_*", "GCONV_PATH", "LOCPATH", "LC_*", "LANG", "LANGUAGE",
	// Node.js: options, certificates and paths of modules, libuv's threads.
	"NODE_*", "UV_*",
	// Python: its paths and modes, and where a user's packages are.
	"PYTHON*", "HOME",
	// OpenSSL, which Node.js initialises as it starts.
	"OPENSSL_*", "SSL_CERT_*",
	// A program that starts the interpreter by itself.
	"AWS_LAMBDA_EXEC_WRAPPER",
}

// notEarly are exceptions: names that only programs look at, and many set.
var notEarly = []string{"NODE_ENV"}

// boots reports whether an interpreter that was booted ahead can become an
// environment of f: it has one of Gust's own clients to run in, and declares
// nothing that is read before.
func boots(f *gust.Function) bool {
	if f.Runtime != gust.RuntimeNode && f.Runtime != gust.RuntimePython {
		return false
	}
	booted := bootEnviron("/var/task")
	for name, value := range f.Env {
		if isEarly(name) && !slices.Contains(booted, name+"="+value) {
			return false
		}
	}
	return true
}

func isEarly(name string) bool {
	return !slices.Contains(notEarly, name) && slices.ContainsFunc(early, func(e string) bool {
		prefix, star := strings.CutSuffix(e, "*")
		return name == e || star && strings.HasPrefix(name, prefix)
	})
}

// bootEnviron is what interpreters are booted with: of what every function has,
// what is the same for all and may be looked at as a process starts. The other
// variables take its place when it is known for which function.
func bootEnviron(root string) []string {
	every := environ(&gust.Function{Runtime: gust.RuntimeProvided}, "", gust.Place{}, "", root)
	return slices.DeleteFunc(every, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return !slices.Contains([]string{"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TZ"}, name)
	})
}
