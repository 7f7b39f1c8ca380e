package node_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
)

// archive makes a zip of entries, each written by its own function.
func archive(t *testing.T, entries ...func(*zip.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		if err := e(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entry is a file of a zip.
func entry(name string, mode fs.FileMode, data []byte) func(*zip.Writer) error {
	return func(w *zip.Writer) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(data)
		}
		return err
	}
}

// liar is a file of a zip that inflates to real zeros and says it were claimed.
func liar(name string, real, claimed int) func(*zip.Writer) error {
	return func(w *zip.Writer) error {
		var b bytes.Buffer
		d, err := flate.NewWriter(&b, flate.BestSpeed)
		if err == nil {
			_, err = d.Write(make([]byte, real))
		}
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: uint64(b.Len()), UncompressedSize64: uint64(claimed)}
		h.SetMode(0o644)
		f, err := w.CreateRaw(h)
		if err == nil {
			_, err = f.Write(b.Bytes())
		}
		return err
	}
}

// What cannot be deployed is refused with a reason that names it, and nothing
// is deployed.
func TestRefusedDeploys(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	program, err := os.ReadFile(filepath.Join(filepath.Dir(h.bin), "actor"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := bytes.Clone(program)
	elsewhere[18], elsewhere[19] = 0xf3, 0 // EM_RISCV, which no node is built for
	good := entry("bootstrap", 0o755, program)

	files := map[string][]byte{
		"up.zip":       archive(t, good, entry("../../etc/cron.d/evil", 0o644, nil)),
		"absolute.zip": archive(t, good, entry("/etc/cron.d/evil", 0o644, nil)),
		"link.zip":     archive(t, good, entry("passwd", fs.ModeSymlink|0o777, []byte("/etc/passwd"))),
		"bomb.zip":     archive(t, good, liar("zeros", 1000, 2<<30)),
		"liar.zip":     archive(t, good, liar("zeros", 16<<20, 1000)),
		"twice.zip":    archive(t, good, good),
		"garbage.zip":  []byte("PK\x03\x04 is not all there is to a zip"),
		"data.zip":     archive(t, entry("bootstrap", 0o644, program)),
		"empty.zip":    archive(t, entry("readme", 0o644, nil)),
		"foreign.zip":  archive(t, entry("bootstrap", 0o755, elsewhere)),
		"text.zip":     archive(t, entry("bootstrap", 0o755, []byte("hello"))),
		"go/main.go":   []byte("package main\n\nfunc main() { undefined() }\n"),
		"go/go.mod":    []byte("module broken\n\ngo 1.24\n"),
	}
	for name, data := range files {
		path := filepath.Join(h.app, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one := func(runtime, source string) string {
		return fmt.Sprintf("app: bad\nfunctions:\n  fine: {runtime: provided, source: ./f}\n  f: {runtime: %s, source: %s}\n", runtime, source)
	}
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"a manifest of 10 MB":             {"app: bad\n#" + strings.Repeat("x", 10<<20), []string{"gust.yaml", "above the maximum of 1MB"}},
		"a manifest of nested lists":      {"app: " + strings.Repeat("[", 100000), []string{"gust.yaml"}},
		"a path that leads out":           {one("provided", "./up.zip"), []string{"../../etc/cron.d/evil"}},
		"an absolute path":                {one("provided", "./absolute.zip"), []string{"/etc/cron.d/evil"}},
		"a link":                          {one("provided", "./link.zip"), []string{"passwd", "link"}},
		"a bomb":                          {one("provided", "./bomb.zip"), []string{"zeros"}},
		"a bomb that lies about its size": {one("provided", "./liar.zip"), []string{"zeros"}},
		"a name that stands twice":        {one("provided", "./twice.zip"), []string{"bootstrap", "twice"}},
		"no zip":                          {one("provided", "./garbage.zip"), []string{"garbage.zip", "zip"}},
		"not executable":                  {one("provided", "./data.zip"), []string{"bootstrap", "executable"}},
		"no bootstrap":                    {one("provided", "./empty.zip"), []string{"bootstrap"}},
		"another processor":               {one("provided", "./foreign.zip"), []string{"bootstrap", "RISC"}},
		"no program":                      {one("provided", "./text.zip"), []string{"bootstrap"}},
		"a build that fails":              {one("go", "./go"), []string{"main.go:3", "undefined"}},
		"a source that is not there":      {one("provided", "./nowhere"), []string{"nowhere"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h.manifest(tt.manifest)
			out, status := h.gust("deploy", h.app)
			if status != 1 {
				t.Errorf("gust deploy ended with status %d", status)
			}
			for _, want := range tt.want {
				if !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if len(out) > 4000 || strings.Contains(out, "panic") || strings.Contains(out, "goroutine") {
				t.Errorf("that is no way to say it: %.4000s", out)
			}
			apps, revision, err := n.client.Apps(context.Background())
			if err != nil || len(apps) != 0 || revision != 0 {
				t.Errorf("after that there are %v at revision %d, %v", apps, revision, err)
			}
		})
	}

	// A client that does not look itself is refused too.
	for _, name := range []string{"up.zip", "link.zip", "liar.zip", "data.zip", "foreign.zip", "garbage.zip"} {
		t.Run("uploaded "+name, func(t *testing.T) {
			ctx := context.Background()
			digest, size, err := gust.DigestOf(bytes.NewReader(files[name]))
			if err != nil {
				t.Fatal(err)
			}
			err = n.client.PutArtifact(ctx, digest, bytes.NewReader(files[name]), size)
			if err == nil {
				_, err = n.client.Apply(ctx, &api.ApplyRequest{App: &gust.App{Name: "bad", Functions: map[string]*gust.Function{"f": {
					Name: "f", App: "bad", Runtime: gust.RuntimeProvided, Artifact: digest, Memory: gust.MinMemory, Timeout: gust.DefaultTimeout,
					Ephemeral: gust.MinEphemeral, CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkNone}, Idle: gust.DefaultIdle,
				}}}})
			}
			if err == nil {
				t.Error("it is deployed")
			} else {
				t.Log(err)
			}
		})
	}
	h.deploy("app: good\nfunctions:\n  f: {runtime: provided, source: ./f}\n")
	if r := n.invoke("f", "{}"); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("after all that a good one answers %d %s", r.status, r.body)
	}
	n.stop()
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// An artifact that was damaged on the disk is not run: the error names its
// file, others go on, and deploying it again heals it.
func TestDamagedArtifact(t *testing.T) {
	h := newHouse(t)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(h.bin), "actor"))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, append(data, "another program"...), 0o755); err != nil {
		t.Fatal(err)
	}
	h.source("g", other)
	manifest := `
app: damage
functions:
  f: {runtime: provided, source: ./f}
  g: {runtime: provided, source: ./g}
routes:
  GET /f: f
`
	n := h.start()
	h.deploy(manifest)
	functions, err := n.client.Functions(context.Background(), "damage")
	if err != nil || len(functions) != 2 {
		t.Fatal(functions, err)
	}
	digest := string(functions[0].Artifact) // f's, by name
	blob := filepath.Join(h.data, "blobs", digest[:2], digest)
	code := filepath.Join(h.data, "code", digest)
	ok := func(function string) {
		t.Helper()
		if r := n.invoke(function, "{}"); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
			t.Errorf("%s answers %d %s", function, r.status, r.body)
		}
	}
	ok("f")
	n.stop()

	// The blob, and nothing unpacked of it.
	flip(t, blob)
	if err := os.RemoveAll(code); err != nil {
		t.Fatal(err)
	}
	if out, status := h.gust("check"); status != 1 || !strings.Contains(out, blob) {
		t.Errorf("gust check ends with %d: %s", status, out)
	}
	n = h.start()
	if r := n.invoke("f", "{}"); r.status != http.StatusInternalServerError || !strings.Contains(r.body, blob) {
		t.Errorf("with a damaged artifact it answers %d %s", r.status, r.body)
	}
	if r := n.get("/f"); r.status != http.StatusBadGateway || strings.Contains(r.body, blob) {
		t.Errorf("with a damaged artifact users get %d %s", r.status, r.body)
	}
	ok("g")
	h.deploy(manifest)
	until(t, "its back-off is over", func() bool { return n.invoke("f", "{}").status == http.StatusOK })
	ok("f")
	n.stop()

	// What was unpacked of it: the next start finds out, and unpacks it again.
	flip(t, filepath.Join(code, "bootstrap"))
	n = h.start()
	ok("f")
	if got, err := os.ReadFile(filepath.Join(code, "bootstrap")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a damaged program was run (%v)", err)
	}
	n.stop()
	if out, status := h.gust("check"); status != 0 {
		t.Errorf("gust check ends with %d: %s", status, out)
	}
}
