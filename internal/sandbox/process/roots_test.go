//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/sandbox"
)

// ready waits for the base root.
func ready(tb testing.TB, b *Backend) string {
	tb.Helper()
	<-b.base.ready
	if b.base.err != nil {
		tb.Fatal(b.base.err)
	}
	return b.base.path
}

// copyRoot is another root with a file /etc/marker.
func copyRoot(t testing.TB, from, to, marker string) {
	t.Helper()
	if out, err := exec.Command("cp", "-al", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy a root: %v: %s", err, out)
	}
	tree(t, to, map[string]string{"etc/marker": marker + "\n"})
}

// prints starts an environment whose program is a shell script that goes on as
// testdata/hello, and returns what the script printed.
func prints(t *testing.T, b *Backend, script string, changes ...func(*sandbox.Spec)) (sandbox.Environment, []string) {
	t.Helper()
	code := t.TempDir()
	program, err := os.ReadFile(filepath.Join(hello(t), "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	tree(t, code, map[string]string{"bootstrap": "#!/bin/sh\n" + script + "\nexec /var/task/hello\n", "hello": string(program)})
	for _, p := range []string{"", "bootstrap", "hello"} {
		if err := os.Chmod(filepath.Join(code, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var lines []string
	spec := helloSpec(code)
	spec.Env = append(spec.Env, "PATH=/usr/bin:/bin")
	spec.Output = func(line []byte) { mu.Lock(); lines = append(lines, string(line)); mu.Unlock() }
	for _, change := range changes {
		change(&spec)
	}
	e := start(t, b, spec)
	invoke(t, e)
	mu.Lock()
	defer mu.Unlock()
	return e, lines
}

func in(root string) func(*sandbox.Spec) { return func(s *sandbox.Spec) { s.Root = root } }

// TestRoots: each environment has the root it was asked to have, also when
// another one has taken its place on the disk.
func TestRoots(t *testing.T) {
	b := newBackend(t, options(t, 0))
	base := ready(t, b)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	copyRoot(t, base, one, "first")
	copyRoot(t, base, two, "second")
	const marker = "cat /etc/marker 2>/dev/null || echo none"
	var envs []sandbox.Environment
	see := func(root, want string) {
		t.Helper()
		e, got := prints(t, b, marker, in(root))
		if len(got) != 1 || got[0] != want {
			t.Errorf("in %q it prints %q, want %q", root, got, want)
		}
		envs = append(envs, e)
	}
	see(one, "first")
	see("", "none")
	see(two, "second")
	see(base, "none")
	if n := len(b.roots.current); n != 3 {
		t.Errorf("there are %d zygotes, want one for each of 3 roots", n)
	}

	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	spec := helloSpec(hello(t))
	spec.Root = two
	if _, err := b.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), two) {
		t.Errorf("a start in a root that was removed: %v", err)
	}
	copyRoot(t, base, two, "third")
	see(two, "third")
	invoke(t, envs[2])
	for _, e := range envs {
		e.Stop(0)
	}

	b.roots.tidy(time.Now().Add(rootIdle / 2))
	if n := len(b.roots.current); n != 3 {
		t.Errorf("%d zygotes are left before their time, want 3", n)
	}
	b.roots.tidy(time.Now().Add(rootIdle))
	if n := len(b.roots.current) + len(b.roots.retired); n != 0 {
		t.Errorf("%d zygotes are left, want none: nobody asked for long", n)
	}
	see(one, "first")
}

// TestSparesByKind: what was asked for lately is kept prepared, in all no more
// than is wanted, and none of a root that is another one by now.
func TestSparesByKind(t *testing.T) {
	b := newBackend(t, options(t, 2))
	base := ready(t, b)
	other := filepath.Join(t.TempDir(), "other")
	copyRoot(t, base, other, "x")
	have := func() map[string]int {
		b.spares.mu.Lock()
		defer b.spares.mu.Unlock()
		n := map[string]int{}
		for _, c := range b.spares.cells {
			n[c.kind.root]++
		}
		return n
	}
	becomes := func(what string, want map[string]int) {
		t.Helper()
		eventually(t, what, func() bool { return maps.Equal(have(), want) })
	}
	becomes("the base is expected", map[string]int{base: 2})
	prints(t, b, "", in(other))
	becomes("both were asked for", map[string]int{base: 1, other: 1})

	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	b.spares.dropStale()
	b.spares.nudge()
	becomes("one is gone", map[string]int{base: 2})
	copyRoot(t, base, other, "y")
	if _, got := prints(t, b, "cat /etc/marker", in(other)); !slices.Equal(got, []string{"y"}) {
		t.Errorf("in the new root it prints %q", got)
	}
}

func TestShare(t *testing.T) {
	kinds := func(names string) (ks []kind) {
		for _, n := range names {
			ks = append(ks, kind{root: string(n)})
		}
		return ks
	}
	for _, c := range []struct {
		recent string
		want   int
		share  map[string]int
	}{
		{"", 4, map[string]int{}},
		{"a", 0, map[string]int{}},
		{"a", 4, map[string]int{"a": 4}},
		{"ab", 4, map[string]int{"a": 2, "b": 2}},
		{"aaab", 4, map[string]int{"a": 3, "b": 1}},
		{"baaaaaaaaaaaaaaa", 4, map[string]int{"a": 2, "b": 2}},
		{"abcde", 4, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}},
		{"aabbccddee", 3, map[string]int{"a": 1, "b": 1, "c": 1}},
	} {
		got := map[string]int{}
		for k, n := range share(kinds(c.recent), c.want) {
			got[k.root] = n
		}
		if !maps.Equal(got, c.share) {
			t.Errorf("of %d after %q: %v, want %v", c.want, c.recent, got, c.share)
		}
	}
}

// TestLayers: their files are in /opt, merged, and nobody changes them.
func TestLayers(t *testing.T) {
	b := newBackend(t, options(t, 1))
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tree(t, dir, map[string]string{
		"one/both": "of one", "one/lib/one": "1", "two, with:odd\\name/both": "of two", "two, with:odd\\name/lib/two": "2", "three/three": "3",
	})
	layer := func(name string) string { return filepath.Join(dir, name) }
	one, two, three := layer("one"), layer("two, with:odd\\name"), layer("three")
	const script = `cd /opt; for f in both lib/one lib/two three; do echo "$f=$(cat $f 2>/dev/null)"; done
touch /opt/new 2>/dev/null || echo unchanged
awk '$5 == "/opt" { print $6 }' /proc/self/mountinfo | tr , '\n' | grep -xE 'ro|nosuid|nodev' | sort | tr '\n' ' '; echo
true`
	for name, c := range map[string]struct {
		layers []string
		want   []string
	}{
		"one":        {[]string{one}, []string{"both=of one", "lib/one=1", "lib/two=", "three="}},
		"two":        {[]string{one, two}, []string{"both=of two", "lib/one=1", "lib/two=2", "three="}},
		"three":      {[]string{two, one, three}, []string{"both=of one", "lib/one=1", "lib/two=2", "three=3"}},
		"one, twice": {[]string{one, two, one}, []string{"both=of one", "lib/one=1", "lib/two=2", "three="}},
	} {
		t.Run(name, func(t *testing.T) {
			e, got := prints(t, b, script, func(s *sandbox.Spec) { s.Layers = c.layers })
			invoke(t, e)
			if len(got) != 6 || !slices.Equal(got[:4], c.want) || got[4] != "unchanged" || strings.TrimSpace(got[5]) != "nodev nosuid ro" {
				t.Errorf("it prints %q, want %q, unchanged and nodev nosuid ro", got, c.want)
			}
		})
	}
	var most []string
	for i := range maxLayers {
		name := fmt.Sprint("many-", i)
		tree(t, dir, map[string]string{name + "/both": name})
		most = append(most, layer(name))
	}
	if _, got := prints(t, b, "cat /opt/both; echo", func(s *sandbox.Spec) { s.Layers = most }); !slices.Equal(got, []string{"many-9"}) {
		t.Errorf("of %d layers it sees %q, want the last one's", maxLayers, got)
	}
	for want, layers := range map[string][]string{
		"not absolute": {"relative"}, "at most 10": append(most, one), layer("nowhere"): {layer("nowhere")}, "the layer " + layer("nowhere"): {one, layer("nowhere")},
	} {
		spec := helloSpec(hello(t))
		spec.Layers = layers
		if _, err := b.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with layers %q the error is %v, want %q in it", layers, err, want)
		}
	}
	spec := helloSpec(hello(t))
	spec.Root = "relative"
	if _, err := b.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), `the root "relative"`) {
		t.Errorf("with a relative root: %v", err)
	}
}
