package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realRoots are the roots of what this machine has, made once for all tests.
func realRoots(t *testing.T) []Listed {
	t.Helper()
	needRoot(t)
	l := open(t, Options{Dir: t.TempDir(), Isolated: true})
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l.List()
}

// run runs a program in a root as functions do, as nobody.
func run(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	cmd := inside(context.Background(), dir, argv...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", argv[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestRealInterpreters: the interpreters of this machine run in their roots, with
// all that they need and nothing that was installed beside them.
func TestRealInterpreters(t *testing.T) {
	list := realRoots(t)
	for _, r := range list {
		if out := run(t, r.Path, "/bin/sh", "-c", "ls / | sort | tr '\\n' ' '; cat /etc/passwd | wc -l; TZ=Europe/Berlin date -d @0 +%H"); !strings.HasSuffix(out, "3\n01") {
			t.Errorf("%s: the shell says %q", r.Name, out)
		}
		kind, _, _ := strings.Cut(r.Name, "@")
		switch kind {
		case kindNode:
			script := `const {execFileSync} = require('child_process');
process.stdout.write([process.versions.node, execFileSync('node', ['-p', '1+1']).toString().trim(),
  new Date(0).toLocaleString('de-DE', {timeZone: 'Europe/Berlin'}), require('crypto').getHashes().includes('sha256'), require('tls').rootCertificates.length > 50].join())`
			if out, want := run(t, r.Path, r.Program, "-e", script), r.Version+",2,1.1.1970, 01:00:00,true,true"; out != want {
				t.Errorf("%s says %q, want %q", r.Name, out, want)
			}
			run(t, r.Path, r.Program, "--input-type=module", "-e", "import fs from 'fs'; await import('data:text/javascript,export default 1')")
		case kindPython:
			script := `import sys, ssl, sqlite3, ctypes, hashlib, json, asyncio, zoneinfo, subprocess, importlib.util
modules = [m for m in ("bz2", "lzma", "zlib", "uuid", "decimal", "xml.etree.ElementTree", "multiprocessing", "concurrent.futures", "http.client", "email", "logging.handlers", "unittest") if not __import__(m)]
compiled = all(m.__cached__.startswith(m.__file__.rsplit("/", 1)[0]) and __import__("os").path.exists(m.__cached__) for m in (json, asyncio, ssl))
absent = [m for m in ("pip", "setuptools", "tkinter", "idlelib", "test", "ensurepip") if importlib.util.find_spec(m)]
print("%d.%d.%d" % sys.version_info[:3], ssl.create_default_context().cert_store_stats()["x509_ca"] > 50, zoneinfo.ZoneInfo("Europe/Berlin"),
  subprocess.check_output(["python3", "-c", "print(1+1)"]).decode().strip(), modules, compiled, absent, sys.flags.optimize)`
			if out, want := run(t, r.Path, r.Program, "-c", script), r.Version+" True Europe/Berlin 2 [] True [] 0"; out != want {
				t.Errorf("%s says\n%q, want\n%q", r.Name, out, want)
			}
			// A module that is compiled at each import would make every cold start
			// slow: the root cannot be written to.
			out := run(t, r.Path, r.Program, "-v", "-c", "import json, asyncio, decimal, http.client, sys; sys.path.insert(0, '/var/runtime'); import gustclient.run")
			for line := range strings.SplitSeq(out, "\n") {
				if strings.HasPrefix(line, "# code object from") && !strings.Contains(line, ".pyc") {
					t.Errorf("%s compiles at import: %s", r.Name, line)
				}
			}
		}
	}
	// Nothing in a root belongs to the host alone, or can be written to.
	for _, r := range list {
		err := filepath.WalkDir(r.Path, func(p string, d os.DirEntry, err error) error {
			if err == nil && (d.Name() == "site-packages" || d.Name() == "dist-packages" || strings.Contains(d.Name(), ".env") || d.Name() == ".git") {
				t.Errorf("%s is in the root of %s", p, r.Name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestRealPythonFromAFolder: Python finds its library wherever it was built to
// be, and what a folder has no compiled form of is compiled.
func TestRealPythonFromAFolder(t *testing.T) {
	needRoot(t)
	found := discover(t.Context(), kindPython, os.Getenv("PATH")+":/usr/bin", quiet)
	for name, i := range found {
		prefix := filepath.Dir(filepath.Dir(i.program))
		if prefix == "/usr" || len(i.modules) == 0 {
			continue // it is the system's, which is no folder to give
		}
		from := filepath.Join(t.TempDir(), "python", "install")
		c := &collector{tree: tree{dir: "/"}, root: root{"/": folder()}}
		if err := i.collect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for p, e := range c.root {
			if rel, ok := strings.CutPrefix(p, prefix+"/"); ok && e.host != "" && !strings.HasSuffix(p, ".pyc") {
				data, err := os.ReadFile(e.host)
				if err != nil {
					t.Fatal(err)
				}
				plant(t, from, map[string]string{rel: string(data)})
			}
		}
		if err := os.Symlink(filepath.Base(i.program), filepath.Join(from, "bin/python3")); err != nil {
			t.Fatal(err)
		}
		l := open(t, Options{Dir: t.TempDir(), Isolated: true, Path: t.TempDir()})
		r, err := l.Add(t.Context(), name, filepath.Dir(from))
		if err != nil {
			t.Fatal(err)
		}
		if out := run(t, r.Path, r.Program, "-c", "import sys, json, os, sqlite3; print(sys.prefix, os.path.exists(json.__cached__))"); out != "/usr/local True" {
			t.Errorf("%s says %q", name, out)
		}
		// Compiling twice gives the same root.
		again := open(t, Options{Dir: t.TempDir(), Isolated: true, Path: t.TempDir()})
		if second, err := again.Add(t.Context(), name, filepath.Dir(from)); err != nil || second.Digest != r.Digest {
			t.Errorf("the second time it is %s, the first time it was %s, %v", second.Digest, r.Digest, err)
		}
		return
	}
	t.Skip("this machine has no python outside of /usr")
}
