package runtimes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	gust "github.com/gust-dev/gust"
)

// packed is a tarball of entries.
func packed(tb testing.TB, entries ...*tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := h.PAXRecords["content"]
		h.PAXRecords, h.Size = nil, int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, PAXRecords: map[string]string{"content": content}}
}

func symlink(name, target string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(tb testing.TB, data []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// TestAddFrom: the same interpreter from each form in which it can be had.
func TestAddFrom(t *testing.T) {
	s := newSystem(t, "20.1.0")
	node := fakeNode(t, "22.3.0")
	in := t.TempDir()
	tarball := packed(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "node-v22.3.0-linux-x64/", Mode: 0o755},
		file("node-v22.3.0-linux-x64/bin/node", node, 0o755),
		symlink("node-v22.3.0-linux-x64/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js"),
		file("node-v22.3.0-linux-x64/lib/node_modules/npm/bin/npm-cli.js", "npm", 0o755),
		file("node-v22.3.0-linux-x64/README.md", "read", 0o644))
	plant(t, in, map[string]string{
		"plain.tar": string(tarball), "node.tar.gz": string(gzipped(t, tarball)), "node.tgz": string(gzipped(t, tarball)), "node.tar.zst": string(zstandard(t, tarball)),
		"folder/node-v22.3.0-linux-x64/bin/node": node,
		"prefix/bin/node":                        node,
		"image/usr/bin/node":                     node,
		"image/usr/share/zoneinfo/UTC":           "TZif of the image",
		"image/etc/shadow":                       "secret",
	})
	l := open(t, s.options(t.TempDir()))
	var digest gust.Digest
	for _, from := range []string{"plain.tar", "node.tar.gz", "node.tgz", "node.tar.zst", "folder", "prefix"} {
		r, err := l.Add(t.Context(), "node@22", filepath.Join(in, from))
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if r.Version != "22.3.0" || r.Program != "/usr/local/bin/node" || r.Source != filepath.Join(in, from) || digest != "" && r.Digest != digest {
			t.Errorf("%s: it is %+v", from, r)
		}
		digest = r.Digest
		for p, want := range map[string]bool{"usr/local/bin/node": true, "usr/bin/sh": true, "var/runtime/bootstrap.cjs": true, "usr/local/bin/npm": false, "usr/local/lib/node_modules": false} {
			if _, err := os.Lstat(filepath.Join(r.Path, p)); (err == nil) != want {
				t.Errorf("%s: %s: %v", from, p, err)
			}
		}
	}
	if r := resolve(t, l, "node"); r.Digest != digest {
		t.Errorf("the newest is %+v", r)
	}
	image, err := l.Add(t.Context(), "node@22", filepath.Join(in, "image"))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := os.ReadFile(filepath.Join(image.Path, "usr/share/zoneinfo/UTC"))
	if err != nil || string(zone) != "TZif of the image" || image.Program != "/usr/bin/node" || image.Digest == digest {
		t.Errorf("of the image it is %+v with %q, %v", image, zone, err)
	}
	for _, p := range []string{"usr/bin/sh", "etc/shadow", "usr/share/zoneinfo/Europe"} {
		if _, err := os.Lstat(filepath.Join(image.Path, p)); err == nil {
			t.Errorf("%s is in the image's root", p)
		}
	}
	if r := resolve(t, l, "node@22"); r.Digest != image.Digest {
		t.Errorf("what was added last is not what functions get: %+v", r)
	}

	// What somebody added, the system does not put aside at the next start, but
	// when it is told to.
	if _, err := l.Add(t.Context(), "node@20", filepath.Join(in, "none")); err == nil {
		t.Error("it was added from nowhere")
	}
	s.install("22.9.0")
	l.Close()
	l = open(t, s.options(l.Dir))
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := resolve(t, l, "node@22"); r.Digest != image.Digest {
		t.Errorf("the system's took its place: %+v", r)
	}
	if r, err := l.Add(t.Context(), "node@22", ""); err != nil || r.Version != "22.9.0" || resolve(t, l, "node@22").Digest != r.Digest {
		t.Errorf("it was not put in its place: %+v, %v", r, err)
	}
}

// TestAddRefuses: what is wrong is said, and nothing is left of it.
func TestAddRefuses(t *testing.T) {
	s := newSystem(t, "")
	node := fakeNode(t, "22.3.0")
	in := t.TempDir()
	whole := gzipped(t, packed(t, file("x/bin/node", node, 0o755)))
	other := map[string]string{"amd64": "\xb7\x00", "arm64": "\x3e\x00"}[runtime.GOARCH]
	plant(t, in, map[string]string{
		"node.tar.xz":      "\xfd7zXZ\x00...",
		"text":             "no tarball",
		"empty.tar":        string(packed(t)),
		"cut.tar.gz":       string(whole[:len(whole)/2]),
		"nothing.tar":      string(packed(t, file("a/b", "c", 0o644))),
		"old.tar":          string(packed(t, file("x/bin/node", fakeNode(t, "18.0.0"), 0o755))),
		"broken.tar":       string(packed(t, file("x/bin/node", "#!/bin/sh\nexit 3\n", 0o755))),
		"unlinked.tar":     string(packed(t, file("x/bin/node", "\x7fELF", 0o755))),
		"foreign.tar":      string(packed(t, file("x/bin/node", node[:18]+other+node[20:], 0o755))),
		"out.tar":          string(packed(t, file("../../x", "c", 0o644))),
		"root.tar":         string(packed(t, file("/etc/x", "c", 0o644))),
		"device.tar":       string(packed(t, &tar.Header{Typeflag: tar.TypeChar, Name: "x/null", Devmajor: 1, Devminor: 3})),
		"fifo.tar":         string(packed(t, &tar.Header{Typeflag: tar.TypeFifo, Name: "x/p"})),
		"through.tar":      string(packed(t, symlink("x", "/tmp"), file("x/escaped", "c", 0o644))),
		"hard.tar":         string(packed(t, &tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/passwd"})),
		"twice.tar":        string(packed(t, file("x", "c", 0o644), file("x", "c", 0o644))),
		"empty/text":       "",
		"image/usr/bin/sh": "#!",
	})
	l := open(t, s.options(t.TempDir()))
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		"node.tar.xz":  "is compressed by xz or bzip2, which gust does not read; unpack it (mkdir DIR && tar -xf " + in + "/node.tar.xz -C DIR) and give the folder: --from DIR",
		"text":         "text is no tarball: want .tar, .tar.gz or .tar.zst, or a folder",
		"empty.tar":    "empty.tar is no tarball",
		"cut.tar.gz":   "the tarball ends too early",
		"nothing.tar":  "there is neither bin/node nor bin/python3 in it",
		"old.tar":      "/usr/local/bin/node is of version 18.0.0, which is node@18 and not node@22",
		"broken.tar":   "/usr/local/bin/node does not run: ",
		"unlinked.tar": "/usr/local/bin/node does not run: ",
		"foreign.tar":  "/usr/local/bin/node does not run: ",
		"out.tar":      `"../../x" is no path within a tarball`,
		"root.tar":     `"/etc/x" is no path within a tarball`,
		"device.tar":   `"x/null" of the tarball is neither a file, a folder nor a link`,
		"fifo.tar":     `"x/p" of the tarball is neither a file, a folder nor a link`,
		"through.tar":  `"x/escaped" of the tarball cannot be made`,
		"hard.tar":     `"x" of the tarball links to "../../etc/passwd", which is outside of it`,
		"twice.tar":    `"x" of the tarball cannot be made`,
		"empty":        "there is neither bin/node nor bin/python3 in it",
		"image":        "it has no node or nodejs in ",
	} {
		_, err := l.Add(t.Context(), "node@22", filepath.Join(in, from))
		wantError(t, err, gust.ErrInvalid, want)
		if err != nil && !strings.HasPrefix(err.Error(), "add node@22 from "+in+"/"+from+": ") {
			t.Errorf("%s: the error is %v", from, err)
		}
	}
	if _, err := os.Stat("/tmp/escaped"); err == nil {
		t.Error("a tarball wrote through a link")
	}
	names, err := filepath.Glob(filepath.Join(l.Dir, "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("there are %v, %v; want the base and its record", names, err)
	}
}

// TestKilledWhileAdding: whenever a node is killed, the next one has the runtime
// whole or not at all, and nothing of the attempt is left.
func TestKilledWhileAdding(t *testing.T) {
	s := newSystem(t, "20.1.0")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for after := time.Duration(0); after < 60*time.Millisecond; after += 6 * time.Millisecond {
		dir := t.TempDir()
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), victimEnv+"="+dir, "GUST_TEST_HOST="+s.host, "GUST_TEST_BIN="+s.bin)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it begins
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			killed++
		}
		timer.Stop()
		l := open(t, s.options(dir))
		for _, r := range l.List() {
			if _, err := acquire(l, r.Digest, r.Name); err != nil {
				t.Errorf("killed after %v: %v", after, err)
			}
		}
		if err := l.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		resolve(t, l, "node@20")
		l.Close()
		if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 4 {
			t.Errorf("killed after %v: there are %v, %v; want two roots with their records", after, names, err)
		}
	}
	if killed == 0 {
		t.Error("it was never killed")
	}
}

// victim is a node that adds a runtime and is killed meanwhile.
func victim(dir string) error {
	l, err := Open(Options{Dir: dir, Isolated: true, Path: os.Getenv("GUST_TEST_BIN"), host: os.Getenv("GUST_TEST_HOST")})
	if err != nil {
		return err
	}
	os.Stdout.WriteString(".")
	if _, err := l.Add(l.ctx, "node@20", ""); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// FuzzUnpack: whatever a tarball says, nothing is written outside of its folder.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, file("a/bin/node", "x", 0o755), symlink("a/b", "../.."), file("a/b/c", "x", 0o644)))
	f.Add(packed(f, &tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "y"}))
	f.Add(gzipped(f, packed(f, file("../x", "y", 0o644))))
	f.Add(zstandard(f, packed(f, file("x", "y", 0o644))))
	f.Fuzz(func(t *testing.T, data []byte) {
		around := t.TempDir()
		dir := filepath.Join(around, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		r, err := decompress(bytes.NewReader(data), "it")
		if err != nil {
			return
		}
		if err := unpack(t.Context(), io.LimitReader(r, gust.MB), dir); err == nil {
			_, _ = prefixIn(dir)
		}
		entries, err := os.ReadDir(around)
		if err != nil || len(entries) != 1 {
			t.Errorf("there is %v, %v beside the folder", entries, err)
		}
	})
}

// FuzzParseName: what is taken can be asked for in that form alone.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"node", "node@20", "python@3.11", "python@3.", "base", "node@020"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, version, err := ParseName(s)
		if err == nil && s != strings.TrimSuffix(kind+"@"+version, "@") {
			t.Errorf("%q is read as %q, %q", s, kind, version)
		}
	})
}
