package build_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/manifest"
)

// tree makes a folder; contents that begin with #! are executable.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(body, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(body), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func function(runtime gust.Runtime, command ...string) *gust.Function {
	return &gust.Function{Name: "f", Runtime: runtime, Command: command}
}

// names lists what an artifact holds, and checks that it is what its digest
// says.
func names(t *testing.T, a *build.Artifact) []string {
	t.Helper()
	data, err := os.ReadFile(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	d, n, err := gust.DigestOf(bytes.NewReader(data))
	if err != nil || d != a.Digest || n != a.Size {
		t.Errorf("the file is %s of %d bytes, the artifact says %s of %d (%v)", d, n, a.Digest, a.Size, err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range z.File {
		list = append(list, f.Name)
	}
	return list
}

const (
	module = "module example.com/f\n\ngo 1.21\n"
	hello  = "package main\n\nfunc main() { println(\"hello\") }\n"
)

func TestBuild(t *testing.T) {
	zipped := string(mustZip(t, "#!/bin/sh\n"))
	files := map[string]string{
		"go.mod": module, "api/main.go": hello, "api/asset.txt": "x",
		"script/bootstrap": "#!/bin/sh\n", "script/lib/a": "x", "script/main.go": hello,
		"site/server": "#!/bin/sh\n", "site/main.go": hello,
		"a.zip": zipped,
	}
	tests := []struct {
		name   string
		f      *gust.Function
		source string
		want   []string
	}{
		{"a Go program, its other files left out", function(gust.RuntimeGo), "./api", []string{"bootstrap"}},
		{"a Go program that serves HTTP", function(gust.RuntimeHTTP), "api", []string{"bootstrap"}},
		{"a folder", function(gust.RuntimeProvided), "script", []string{"bootstrap", "lib/a", "main.go"}},
		{"a folder for http, its bootstrap before its Go files", function(gust.RuntimeHTTP), "script", []string{"bootstrap", "lib/a", "main.go"}},
		{"a folder with a command", function(gust.RuntimeHTTP, "./server"), "site", []string{"main.go", "server"}},
		{"a zip", function(gust.RuntimeProvided), "a.zip", []string{"bootstrap"}},
		{"a zip for http", function(gust.RuntimeHTTP), "a.zip", []string{"bootstrap"}},
	}
	cache := t.TempDir()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var digests []gust.Digest
			for range 2 { // two copies of the source, in two places
				var told []string
				a, err := build.Build(t.Context(), tree(t, files), test.f, manifest.Source{Path: test.source},
					build.Options{CacheDir: cache, Progress: func(s string) { told = append(told, s) }})
				if err != nil {
					t.Fatal(err)
				}
				if got := names(t, a); !slices.Equal(got, test.want) {
					t.Errorf("the artifact has %q, want %q", got, test.want)
				}
				if len(told) == 0 || !strings.Contains(told[0], test.source) {
					t.Errorf("progress: %q", told)
				}
				digests = append(digests, a.Digest)
			}
			if digests[0] != digests[1] {
				t.Error("the same source makes two artifacts")
			}
		})
	}
	left, err := os.ReadDir(filepath.Join(cache, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if !strings.HasSuffix(e.Name(), ".zip") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func mustZip(t *testing.T, bootstrap string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err == nil {
		_, err = f.Write([]byte(bootstrap))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBuildErrors(t *testing.T) {
	root := tree(t, map[string]string{
		"go.mod":         module,
		"broken/main.go": "package main\n\nfunc main() { x := 1; undefined() }\n",
		"lib/lib.go":     "package lib\n",
		"empty/a.txt":    "x",
		"plain.txt":      "x",
		"bad.zip":        "x",
		"text/bootstrap": "hello",
		"arm.zip":        "",
	})
	tests := []struct {
		name   string
		f      *gust.Function
		source string
		want   []string
	}{
		{"the compiler's own words", function(gust.RuntimeGo), "./broken", []string{"function f: go build in ./broken failed:\n", "./main.go:3:15: declared and not used: x", "./main.go:3:23: undefined: undefined"}},
		{"no program", function(gust.RuntimeGo), "lib", []string{"function f: lib is not package main: a function is a program"}},
		{"no Go files", function(gust.RuntimeGo), "empty", []string{"function f: go build in empty failed:\n", "no Go files in"}},
		{"go from a zip", function(gust.RuntimeGo), "bad.zip", []string{"function f: the source bad.zip is a .zip file, and runtime go builds a folder"}},
		{"not there", function(gust.RuntimeProvided), "nowhere", []string{"function f: the source nowhere is not there"}},
		{"another kind of file", function(gust.RuntimeProvided), "plain.txt", []string{"function f: the source plain.txt is neither a folder nor a .zip file"}},
		{"no bootstrap", function(gust.RuntimeProvided), "empty", []string{`function f: empty: the artifact has no file "bootstrap" at its root`}},
		{"no program in a bootstrap", function(gust.RuntimeProvided), "text", []string{`function f: text: "bootstrap" is not executable: run chmod +x bootstrap`}},
		{"nothing to serve", function(gust.RuntimeHTTP), "empty", []string{"function f: the folder empty has neither an executable named bootstrap nor Go files, and the function has no command"}},
		{"a command that is not there", function(gust.RuntimeHTTP, "./server"), "empty", []string{`function f: empty: the artifact has no file "server", which the function's command starts`}},
		{"not a zip", function(gust.RuntimeProvided), "bad.zip", []string{"function f: bad.zip: the artifact is no valid zip"}},
		{"an unknown runtime", function("java"), "empty", []string{`function f: runtime "java" is not built yet`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cache := t.TempDir()
			_, err := build.Build(t.Context(), root, test.f, manifest.Source{Path: test.source}, build.Options{CacheDir: cache})
			if !errors.Is(err, gust.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
			if left, _ := os.ReadDir(filepath.Join(cache, "artifacts")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestBuildWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := build.Build(t.Context(), tree(t, map[string]string{"main.go": hello}), function(gust.RuntimeGo), manifest.Source{Path: "."}, build.Options{CacheDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "building . needs the Go toolchain, and there is no go in PATH: get it from https://go.dev/dl") {
		t.Errorf("got %v", err)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	// A go that starts a compiler and waits for it. Both hold the pipe open.
	bin := tree(t, map[string]string{"go": "#!/bin/sh\nexec 3>\"$PIPE\"\necho started >&3\nsleep 100 &\nwait\n"})
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PIPE", pipe)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))

	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		r, err := os.Open(pipe)
		if err == nil {
			defer r.Close()
			_, err = io.ReadFull(r, make([]byte, len("started\n")))
			cancel(enough)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r) // until the last of them is gone
		}
		ended <- err
	}()
	source := tree(t, map[string]string{"main.go": hello})
	_, err := build.Build(ctx, source, function(gust.RuntimeGo), manifest.Source{Path: "."}, build.Options{CacheDir: t.TempDir()})
	if !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAll(t *testing.T) {
	root := tree(t, map[string]string{
		"go.mod": module, "api/main.go": hello, "script/bootstrap": "#!/bin/sh\n", "broken/main.go": "package main\nfunc main() { x }\n",
	})
	app := &gust.App{Name: "a", Functions: map[string]*gust.Function{}}
	sources := map[string]manifest.Source{}
	add := func(name string, runtime gust.Runtime, source string) {
		app.Functions[name] = &gust.Function{Name: name, Runtime: runtime}
		sources[name] = manifest.Source{Path: source}
	}
	add("one", gust.RuntimeGo, "api")
	add("two", gust.RuntimeGo, "./api")
	add("three", gust.RuntimeProvided, "script")
	var told []string
	opts := build.Options{CacheDir: t.TempDir(), Progress: func(s string) { told = append(told, s) }}
	artifacts, err := build.All(t.Context(), root, app, sources, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(artifacts)); !slices.Equal(got, []string{"one", "three", "two"}) || artifacts["one"].Digest != artifacts["two"].Digest || artifacts["three"] == nil {
		t.Errorf("got %v", artifacts)
	}
	slices.Sort(told)
	if want := []string{"one: compiling api", "one: packing api", "three: packing script"}; !slices.Equal(told, want) {
		t.Errorf("progress is %q, want %q", told, want)
	}

	add("four", gust.RuntimeGo, "broken")
	add("five", gust.RuntimeGo, "nowhere")
	_, err = build.All(t.Context(), root, app, sources, opts)
	if err == nil || !strings.Contains(err.Error(), "function four: go build in broken failed") || !strings.Contains(err.Error(), "function five: the source nowhere is not there") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := build.All(ctx, root, app, sources, opts); err != enough {
		t.Errorf("got %v", err)
	}
}

func TestOldArtifactsArePruned(t *testing.T) {
	cache := tree(t, map[string]string{"artifacts/old.zip": "x", "artifacts/new.zip": "x"})
	old := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Join(cache, "artifacts", "old.zip"), old, old); err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{"bootstrap": "#!/bin/sh\n"})
	for range 2 {
		if _, err := build.Build(t.Context(), root, function(gust.RuntimeProvided), manifest.Source{Path: "."}, build.Options{CacheDir: cache}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(cache, "artifacts", "old.zip")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old artifact: %v", err)
		}
		if _, err := os.Stat(filepath.Join(cache, "artifacts", "new.zip")); err != nil {
			t.Error(err)
		}
	}
}
