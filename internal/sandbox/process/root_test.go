//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeHost is a host with a usr merge, links in a row, links that lead out or
// in circles, and things that do not belong into a root.
func fakeHost(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree(t, dir, map[string]string{
		"usr/bin/dash":                       "#!interpreter\n",
		"usr/bin/cat":                        "cat",
		"usr/bin/mawk":                       "awk",
		"usr/share/zoneinfo/Europe/Berlin":   "TZif Berlin",
		"usr/share/zoneinfo/posix/UTC":       "twice",
		"usr/share/zoneinfo/right/UTC":       "thrice",
		"etc/ssl/certs/ca-certificates.crt":  "certificates",
		"etc/shadow":                         "secret",
		"etc/passwd":                         "the host's users",
		"root/key":                           "secret",
		"usr/share/zoneinfo/leap-seconds/it": "x",
	})
	for link, target := range map[string]string{
		"bin":                          "usr/bin",
		"usr/bin/sh":                   "dash",
		"usr/bin/awk":                  "/etc/alternatives/awk",
		"usr/share/zoneinfo/UTC":       "Etc/UTC", // dangling
		"usr/share/zoneinfo/localtime": "Europe/Berlin",
		"usr/bin/sed":                  "sed", // circle
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc/alternatives"), 0o755); err != nil {
		t.Fatal(err)
	}
	// An absolute link is meant within the host; the test's host is a folder.
	if err := os.Symlink("../../usr/bin/mawk", filepath.Join(dir, "etc/alternatives/awk")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"usr/bin/dash", "usr/bin/cat", "usr/bin/mawk"} {
		if err := os.Chmod(filepath.Join(dir, p), 0o4755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCollectRoot(t *testing.T) {
	r, err := collectRoot(t.Context(), fakeHost(t))
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
		"/var/empty":                         "drwxr-xr-x",
		"/var/nothing":                       "-rw-r--r--",
		"/bin":                               "Lrwxrwxrwx usr/bin",
		"/usr/bin/sh":                        "Lrwxrwxrwx dash",
		"/usr/bin/dash":                      "-rwxr-xr-x",
		"/usr/bin/cat":                       "-rwxr-xr-x",
		"/etc/passwd":                        "-rw-r--r--",
		"/etc/ssl/certs/ca-certificates.crt": "-rw-r--r--",
		"/usr/share/zoneinfo/Europe/Berlin":  "-rw-r--r--",
		"/usr/share/zoneinfo/localtime":      "Lrwxrwxrwx Europe/Berlin",
		"/usr/share/zoneinfo/posix/UTC":      "",
		"/usr/share/zoneinfo/right/UTC":      "",
		"/usr/share/zoneinfo/UTC":            "",
		"/usr/bin/sed":                       "",
		"/etc/shadow":                        "",
		"/root":                              "",
		"/sys":                               "",
	} {
		e, ok := r[p]
		got := ""
		if ok {
			got = strings.TrimSpace(e.mode.String() + " " + e.target)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", p, got, want)
		}
	}
	if r["/etc/passwd"].text == "" || strings.Contains(r["/etc/passwd"].text, "host") {
		t.Errorf("the users are the host's: %+v", r["/etc/passwd"])
	}
}

func TestEnsureRoot(t *testing.T) {
	host, dir := fakeHost(t), filepath.Join(t.TempDir(), "roots")
	first, err := ensureRoot(t.Context(), host, dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(first, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	again := func() fs.FileInfo {
		t.Helper()
		second, err := ensureRoot(t.Context(), host, dir)
		if err != nil || second != first {
			t.Fatalf("it is %s, %v; was %s", second, err, first)
		}
		st, err := os.Stat(filepath.Join(second, "etc/passwd"))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if !os.SameFile(before, again()) {
		t.Error("it was built again though it was whole")
	}
	for name, damage := range map[string]func() error{
		"a changed file":    func() error { return os.WriteFile(filepath.Join(first, "etc/passwd"), []byte("me::0:0"), 0o644) },
		"a missing file":    func() error { return os.Remove(filepath.Join(first, "etc/group")) },
		"an added file":     func() error { return os.WriteFile(filepath.Join(first, "etc/more"), nil, 0o644) },
		"a setuid bit":      func() error { return os.Chmod(filepath.Join(first, "etc/hosts"), 0o4755|fs.ModeSetuid) },
		"a wide permission": func() error { return os.Chmod(filepath.Join(first, "etc"), 0o777) },
		"another link":      func() error { return os.Symlink("/", filepath.Join(first, "more")) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		again()
		if r, err := readRoot(first); err != nil || r.digest() != filepath.Base(first) {
			t.Errorf("%s: it was not built again, %v", name, err)
		}
	}
	// Of a host before its update, or half built.
	tree(t, dir, map[string]string{"old/etc/passwd": "x", "new-123/etc/passwd": "x"})
	again()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v; want one", entries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ensureRoot(ctx, host, filepath.Join(t.TempDir(), "roots")); err == nil {
		t.Error("it was built though nobody waits any more")
	}
}

// TestRootIsComplete: every program and library in this machine's root finds
// what it is linked to there.
func TestRootIsComplete(t *testing.T) {
	r, err := collectRoot(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for p := range r {
		names = append(names, filepath.Base(p))
	}
	for p, e := range r {
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
				t.Errorf("%s needs %s, which is not there", p, lib)
			}
		}
	}
	for p, e := range r {
		if e.mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
			t.Errorf("%s is %s", p, e.mode)
		}
	}
}
