package runtimes

import (
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeHost is a host with a usr merge, links in a row, links that lead out or
// in circles, and things that do not belong into a root.
func fakeHost(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	plant(tb, dir, map[string]string{
		"usr/bin/dash":                       "#!interpreter\n",
		"usr/bin/cat":                        "#!cat",
		"usr/bin/mawk":                       "#!awk",
		"usr/share/zoneinfo/Europe/Berlin":   "TZif Berlin",
		"usr/share/zoneinfo/posix/UTC":       "twice",
		"usr/share/zoneinfo/right/UTC":       "thrice",
		"usr/lib/locale/C.utf8/LC_CTYPE":     "characters",
		"usr/lib/locale/de_DE.utf8/LC_CTYPE": "Zeichen",
		"usr/share/certificates.crt":         "certificates",
		"etc/shadow":                         "secret",
		"etc/passwd":                         "the host's users",
		"root/key":                           "secret",
		"usr/share/zoneinfo/leap-seconds/it": "x",
		"etc/alternatives/none":              "",
		"etc/ssl/certs/none":                 "",
	})
	for name, target := range map[string]string{
		"bin":                               "usr/bin",
		"usr/bin/sh":                        "dash",
		"usr/bin/awk":                       "/etc/alternatives/awk",
		"etc/alternatives/awk":              "/usr/bin/mawk", // of the tree, and not of the host of the test
		"usr/bin/sed":                       "sed",           // circle
		"usr/bin/tr":                        "../../../../../../../../../../usr/bin/cat",
		"usr/bin/id":                        "/root/key/../../usr/bin/cat", // through a file
		"usr/share/zoneinfo/UTC":            "Etc/UTC",                     // dangling
		"usr/share/zoneinfo/localtime":      "Europe/Berlin",
		"usr/share/zoneinfo/all":            ".",
		"etc/ssl/certs/ca-certificates.crt": "/usr/share/certificates.crt",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			tb.Fatal(err)
		}
	}
	for _, p := range []string{"usr/bin/dash", "usr/bin/cat", "usr/bin/mawk"} {
		if err := os.Chmod(filepath.Join(dir, p), 0o4755|fs.ModeSetuid); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestCollectBase(t *testing.T) {
	r, err := collect(t.Context(), tree{dir: fakeHost(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/":                                  "drwxr-xr-x",
		"/dev":                               "drwxr-xr-x",
		"/proc":                              "drwxr-xr-x",
		"/tmp":                               "drwxr-xr-x",
		"/opt":                               "drwxr-xr-x",
		"/var/task":                          "drwxr-xr-x",
		"/var/runtime":                       "drwxr-xr-x",
		"/var/empty":                         "drwxr-xr-x",
		"/var/nothing":                       "-rw-r--r--",
		"/bin":                               "Lrwxrwxrwx usr/bin",
		"/usr/bin/sh":                        "Lrwxrwxrwx dash",
		"/usr/bin/dash":                      "-rwxr-xr-x",
		"/usr/bin/cat":                       "-rwxr-xr-x",
		"/usr/bin/awk":                       "Lrwxrwxrwx /etc/alternatives/awk",
		"/etc/alternatives/awk":              "Lrwxrwxrwx /usr/bin/mawk",
		"/usr/bin/mawk":                      "-rwxr-xr-x",
		"/usr/bin/tr":                        "Lrwxrwxrwx ../../../../../../../../../../usr/bin/cat",
		"/etc/passwd":                        "-rw-r--r--",
		"/etc/ssl/certs/ca-certificates.crt": "Lrwxrwxrwx /usr/share/certificates.crt",
		"/usr/share/certificates.crt":        "-rw-r--r--",
		"/usr/share/zoneinfo/Europe/Berlin":  "-rw-r--r--",
		"/usr/share/zoneinfo/localtime":      "Lrwxrwxrwx Europe/Berlin",
		"/usr/lib/locale/C.utf8/LC_CTYPE":    "-rw-r--r--",
		"/usr/lib/locale/de_DE.utf8":         "",
		"/usr/share/zoneinfo/posix/UTC":      "",
		"/usr/share/zoneinfo/right/UTC":      "",
		"/usr/share/zoneinfo/UTC":            "",
		"/usr/share/zoneinfo/all":            "",
		"/usr/bin/sed":                       "",
		"/usr/bin/id":                        "",
		"/etc/shadow":                        "",
		"/root":                              "",
		"/sys":                               "",
	} {
		got := ""
		if e := r[p]; e != nil {
			got = strings.TrimSpace(e.mode.String() + " " + e.target)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", p, got, want)
		}
	}
	if text := r["/etc/passwd"].text; text == "" || strings.Contains(text, "host") {
		t.Errorf("the users are the host's: %q", text)
	}
}

// TestRootIsMadeAndRead: what is read of a root that was made is what was to be
// made, twice the same, and nothing of it can change unseen.
func TestRootIsMadeAndRead(t *testing.T) {
	host := fakeHost(t)
	write := func() (root, string) {
		t.Helper()
		r, err := collect(t.Context(), tree{dir: host}, nil)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := r.write(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		return r, dir
	}
	first, dir := write()
	second, _ := write()
	have, err := read(t.Context(), dir)
	if err != nil || have.digest() != first.digest() || second.digest() != first.digest() || first.fingerprint() != second.fingerprint() || have.size() != first.size() {
		t.Fatalf("the root is %s and %s, read it is %s, %v", first.digest(), second.digest(), have.digest(), err)
	}
	for name, damage := range map[string]func(dir string) error{
		"a changed file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("me::0:0"), 0o644)
		},
		"a missing file":    func(dir string) error { return os.Remove(filepath.Join(dir, "etc/group")) },
		"an added file":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "etc/more"), nil, 0o644) },
		"a setuid bit":      func(dir string) error { return os.Chmod(filepath.Join(dir, "etc/hosts"), 0o755|fs.ModeSetuid) },
		"a wide permission": func(dir string) error { return os.Chmod(filepath.Join(dir, "etc"), 0o777) },
		"another link":      func(dir string) error { return os.Symlink("/", filepath.Join(dir, "more")) },
	} {
		_, dir := write()
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		if r, err := read(t.Context(), dir); err != nil || r.digest() == first.digest() {
			t.Errorf("%s is not seen, %v", name, err)
		}
	}
	// A host that is upgraded has another fingerprint, and one that is upgraded
	// meanwhile makes no root.
	r, err := collect(t.Context(), tree{dir: host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, host, map[string]string{"usr/bin/cat": "#!dog"})
	if err := r.unchanged(); err == nil || !strings.Contains(err.Error(), "usr/bin/cat changes meanwhile") {
		t.Errorf("a file changed, and the error is %v", err)
	}
	if third, _ := write(); third.fingerprint() == first.fingerprint() || third.digest() == first.digest() {
		t.Error("a file of the same size changed, and the root is the same")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.write(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("it was made though nobody waits any more: %v", err)
	}
}

// TestRootIsComplete: every program and library in the roots of this machine
// finds what it is linked to there.
func TestRootIsComplete(t *testing.T) {
	interpreters := map[string]*interpreter{nameBase: nil}
	for _, kind := range []string{kindNode, kindPython} {
		maps.Copy(interpreters, discover(t.Context(), kind, os.Getenv("PATH")+":/usr/bin", quiet))
	}
	for name, i := range interpreters {
		r, err := collect(t.Context(), tree{dir: "/"}, i)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for p := range r {
			names = append(names, filepath.Base(p))
		}
		for p, e := range r {
			if e.mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
				t.Errorf("%s: %s is %s", name, p, e.mode)
			}
			if e.host == "" {
				continue
			}
			f, err := elf.Open(e.host)
			if err != nil {
				continue
			}
			libs, _ := f.ImportedLibraries()
			f.Close()
			for _, lib := range libs {
				if !slices.Contains(names, lib) {
					t.Errorf("%s: %s needs %s, which is not there", name, p, lib)
				}
			}
		}
	}
}
