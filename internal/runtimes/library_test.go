package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// TestTheSystemsInterpreter: a node has what its system has, and functions are
// pinned to it whatever happens to the system.
func TestTheSystemsInterpreter(t *testing.T) {
	s, dir := newSystem(t, "20.1.0"), t.TempDir()
	pinned := map[gust.Digest][]string{}
	o := s.options(dir)
	o.Pinned = func() map[gust.Digest][]string { return pinned }
	l := open(t, o)
	first := resolve(t, l, "node@20")
	if first.Version != "20.1.0" || first.Program != s.bin+"/node" || first.Client != "/var/runtime" || first.Source != "system" ||
		first.Size == 0 || first.Added.IsZero() || first.Path != filepath.Join(dir, string(first.Digest)) {
		t.Errorf("it is %+v", first)
	}
	if r := resolve(t, l, "node"); r != first {
		t.Errorf("node is %+v, want %+v", r, first)
	}
	if base := resolve(t, l, ""); base.Name != "base" || base.Program != "" || base.Digest == first.Digest {
		t.Errorf("the base is %+v", base)
	}
	for _, p := range []string{"var/runtime/bootstrap.cjs", "usr/local/bin/node", "usr/bin/sh", "usr/share/zoneinfo/Europe/Berlin"} {
		if _, err := os.Lstat(filepath.Join(first.Path, p)); err != nil {
			t.Error(err)
		}
	}
	before, err := os.Stat(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()

	// Nothing changed: the same root, which is not made again.
	l = open(t, o)
	if again := resolve(t, l, "node@20"); again != first {
		t.Errorf("it is %+v, was %+v", again, first)
	}
	if after, err := os.Stat(first.Path); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was made again, %v", err)
	}
	l.Close()

	// The host is upgraded. What is pinned stays and is used, what is deployed
	// now gets the new one.
	pinned[first.Digest] = []string{"api"}
	s.install("20.2.0")
	l = open(t, o)
	second := resolve(t, l, "node@20")
	if second.Digest == first.Digest || second.Version != "20.2.0" {
		t.Errorf("after the upgrade it is %+v", second)
	}
	if r, err := acquire(l, first.Digest, "node@20"); err != nil || r.Version != "20.1.0" {
		t.Errorf("the pinned one is %+v, %v", r, err)
	}
	var list []string
	for _, r := range l.List() {
		list = append(list, strings.TrimSpace(r.Name+" "+r.Version)+map[bool]string{true: " current"}[r.Current]+strings.Join(append([]string{""}, r.Functions...), " "))
	}
	if want := []string{"base current", "node@20 20.2.0 current", "node@20 20.1.0 api"}; !slices.Equal(list, want) {
		t.Errorf("the list is %q, want %q", list, want)
	}
	wantError(t, l.Remove("node@20"), gust.ErrConflict, "functions are pinned to node@20: api; remove them first")
	if err := l.Sweep(); err != nil || !l.Has(first.Digest) {
		t.Errorf("what a function is pinned to was swept, %v", err)
	}
	// While one runs in it, it stays, and no longer.
	_, release, err := l.Acquire(t.Context(), &gust.Function{Name: "api", Root: first.Digest, Interpreter: "node@20"})
	if err != nil {
		t.Fatal(err)
	}
	clear(pinned)
	if err := l.Sweep(); err != nil || !l.Has(first.Digest) {
		t.Errorf("what a function runs in was swept, %v", err)
	}
	wantError(t, l.Remove("node@20"), gust.ErrConflict, "something still runs in node@20")
	release()
	release()
	if err := l.Sweep(); err != nil || l.Has(first.Digest) || !l.Has(second.Digest) {
		t.Errorf("the old one was not swept, %v", err)
	}
	if _, err := os.Stat(first.Path); err == nil {
		t.Error("the old root is still there")
	}

	// A downgrade makes the old one anew, current though it is the same.
	s.install("20.1.0")
	if r, err := l.Add(t.Context(), "node@20", ""); err != nil || r.Digest != first.Digest {
		t.Errorf("after the downgrade it is %+v, %v", r, err)
	}
	if r := resolve(t, l, "node@20"); r.Digest != first.Digest {
		t.Errorf("node@20 is %s still", r.Version)
	}
	if err := l.Remove("node@20"); err != nil {
		t.Error(err)
	}
	if _, err := l.Resolve("node@20"); err == nil {
		t.Error("it was removed, and is there")
	}
	wantError(t, l.Remove("node@20"), gust.ErrNotFound, "the node has base")
	l.Close()
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 2 {
		t.Errorf("there are %v, %v; want the base and its record", names, err)
	}
}

// TestWhatIsNotThere: every refusal says what to do.
func TestWhatIsNotThere(t *testing.T) {
	s, dir := newSystem(t, "20.1.0"), t.TempDir()
	l := open(t, s.options(dir))
	nope := gust.Digest(strings.Repeat("a", 64))
	for _, test := range []struct {
		do   func() error
		kind error
		want string
	}{
		{func() error { _, err := l.Resolve("node@22"); return err }, gust.ErrInvalid,
			"the node has no runtime node@22 (it has node@20); add it: gust runtime add node@22"},
		{func() error { _, err := l.Resolve("python"); return err }, gust.ErrInvalid,
			"the node has no runtime python@3.MINOR (it has node@20); add it: gust runtime add python@3.MINOR"},
		{func() error { _, err := l.Resolve("node@latest"); return err }, gust.ErrInvalid,
			`"node@latest" is no runtime: want node@MAJOR such as node@20, or python@3.MINOR such as python@3.11`},
		{func() error { _, err := l.Add(t.Context(), "node@22", ""); return err }, gust.ErrInvalid,
			"the system has no node@22 (it has " + s.bin + "/node, which is 20.1.0); give a tarball or a folder of one: gust runtime add node@22 --from PATH"},
		{func() error { _, err := l.Add(t.Context(), "python@3.12", ""); return err }, gust.ErrInvalid, "the system has no python@3.12 (it has no python)"},
		{func() error { _, err := l.Add(t.Context(), "node", ""); return err }, gust.ErrInvalid, "node says no version"},
		{func() error { _, err := l.Add(t.Context(), "base", ""); return err }, gust.ErrInvalid, "the runtime base is the node's own"},
		{func() error { _, err := l.Add(t.Context(), "node@20", "here"); return err }, gust.ErrInvalid, `"here" is not absolute`},
		{func() error { _, err := l.Add(t.Context(), "node@20", dir+"/none"); return err }, gust.ErrInvalid, "no such file"},
		{func() error { return l.Remove("base") }, gust.ErrInvalid, "cannot be removed"},
		{func() error { return l.Remove("ruby") }, gust.ErrInvalid, `"ruby" is no runtime`},
		{func() error { _, err := acquire(l, nope, "node@20"); return err }, gust.ErrNotFound,
			"function api is pinned to a root of node@20, aaaaaaaaaaaa, which this node does not have (backups hold no roots); deploy its app again"},
		{func() error { _, err := acquire(l, nope, "node@22"); return err }, gust.ErrNotFound, "gust runtime add node@22, and deploy its app again"},
		{func() error { _, err := acquire(l, nope, ""); return err }, gust.ErrNotFound, "pinned to the root without an interpreter, aaaaaaaaaaaa"},
	} {
		wantError(t, test.do(), test.kind, test.want)
	}
	if l.Has(nope) || !l.Has("") {
		t.Error("it has what it has not")
	}
}

// TestDamage: a root is read before it is used. One of the system is made
// again; one that cannot be made again is refused by name.
func TestDamage(t *testing.T) {
	s, dir := newSystem(t, "20.1.0"), t.TempDir()
	o := s.options(dir)
	l := open(t, o)
	r := resolve(t, l, "node@20")
	l.Close()
	damage := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.Path, "etc/passwd"), []byte("me::0:0"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	l = open(t, o)
	if _, err := acquire(l, r.Digest, "node@20"); err != nil {
		t.Error(err)
	}
	if have, err := read(t.Context(), r.Path); err != nil || have.digest() != r.Digest {
		t.Errorf("it was not made again, %v", err)
	}
	l.Close()

	damage()
	s.install("20.2.0")
	l = open(t, o)
	for range 2 {
		_, err := acquire(l, r.Digest, "node@20")
		wantError(t, err, gust.ErrCorrupt, "the root "+r.Digest.Short()+" of node@20 in "+r.Path+" is damaged: its files do not have the digest that names it; it could not be made again: the system's files are others by now")
	}
	if l.Has(r.Digest) {
		t.Error("deploying again would not help")
	}
	if now := resolve(t, l, "node@20"); now.Version != "20.2.0" {
		t.Errorf("what is deployed now gets %+v", now)
	}
	// The system that has it again heals it.
	s.install("20.1.0")
	if _, err := l.Add(t.Context(), "node@20", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(l, r.Digest, "node@20"); err != nil {
		t.Error(err)
	}
	l.Close()

	if err := os.WriteFile(filepath.Join(dir, string(r.Digest)+".json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(o)
	wantError(t, err, gust.ErrCorrupt, string(r.Digest)+".json is not the record of a runtime")
}

// TestPinnedRootsAreCheckedAhead: without being asked.
func TestPinnedRootsAreCheckedAhead(t *testing.T) {
	s, dir := newSystem(t, "20.1.0"), t.TempDir()
	o := s.options(dir)
	l := open(t, o)
	r := resolve(t, l, "node@20")
	l.Close()
	o.Pinned = func() map[gust.Digest][]string { return map[gust.Digest][]string{r.Digest: {"api"}} }
	l = open(t, o)
	l.Begin()
	for {
		l.mu.Lock()
		task := l.kept[r.Digest].checked
		l.mu.Unlock()
		if task != nil {
			if err := task.wait(t.Context()); err != nil {
				t.Error(err)
			}
			return
		}
	}
}

// TestWithoutIsolation: functions run with the system's interpreters, and find
// the clients in a folder.
func TestWithoutIsolation(t *testing.T) {
	s, dir := newSystem(t, "20.1.0"), t.TempDir()
	o := s.options(dir)
	o.Isolated = false
	for range 2 {
		l := open(t, o)
		r := resolve(t, l, "node")
		if r.Name != "node@20" || r.Version != "20.1.0" || r.Program != s.bin+"/node" || r.Digest != "" || r.Path != "" {
			t.Errorf("it is %+v", r)
		}
		if _, err := os.Stat(filepath.Join(r.Client, "bootstrap.cjs")); err != nil {
			t.Error(err)
		}
		// A function that was pinned while the node had isolation runs all the same.
		if r, err := acquire(l, gust.Digest(strings.Repeat("a", 64)), "node@20"); err != nil || r.Program == "" {
			t.Errorf("it runs in %+v, %v", r, err)
		}
		if r, err := acquire(l, "", ""); err != nil || r.Client == "" {
			t.Errorf("without an interpreter it runs in %+v, %v", r, err)
		}
		_, err := l.Resolve("node@22")
		wantError(t, err, gust.ErrInvalid, "the node has no runtime node@22 (it has node@20); without isolation (--sandbox none) functions run with the system's")
		_, err = l.Add(t.Context(), "node@20", "/x")
		wantError(t, err, gust.ErrInvalid, "nothing can be added")
		wantError(t, l.Remove("node@20"), gust.ErrInvalid, "nothing can be removed")
		if len(l.List()) != 1 {
			t.Errorf("the list is %+v", l.List())
		}
		l.Close()
	}
}

// TestCloseEndsWhatWaits: and nothing begins after it.
func TestCloseEndsWhatWaits(t *testing.T) {
	s := newSystem(t, "20.1.0")
	l := open(t, s.options(t.TempDir()))
	l.Close()
	if _, err := l.Resolve("node@20"); err == nil {
		t.Error("a closed node found it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l = open(t, s.options(t.TempDir()))
	if _, _, err := l.Hold(ctx, "node@20"); err == nil {
		t.Error("nobody waits, and it was found")
	}
}
