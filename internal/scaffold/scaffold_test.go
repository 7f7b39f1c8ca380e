package scaffold

import (
	"errors"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest"
)

func TestEachBeginningIsWhole(t *testing.T) {
	for _, runtime := range append(slices.Clone(Runtimes), "node@22", "python@3.12", "typescript@20") {
		t.Run(runtime, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "my-app")
			files, err := Write(dir, "my-app", runtime)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"gust.yaml", "README.md", ".gitignore"} {
				if !slices.Contains(files, want) {
					t.Errorf("there is no %s among %q", want, files)
				}
			}
			if !slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "test") }) {
				t.Errorf("there is no test among %q", files)
			}
			for _, file := range files {
				text, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil || strings.Contains(string(text), "{{") {
					t.Errorf("%s: %v\n%s", file, err, text)
				}
				if filepath.Ext(file) != ".go" {
					continue
				}
				if formatted, err := format.Source(text); err != nil || string(formatted) != string(text) {
					t.Errorf("%s is not as gofmt has it: %v", file, err)
				}
			}
			m, err := manifest.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if f := m.App.Functions["my-app"]; m.App.Name != "my-app" || f == nil || len(m.App.Routes) != 1 {
				t.Errorf("the manifest declares %+v", m.App)
			} else if kind, version, _ := strings.Cut(runtime, "@"); version != "" && !strings.HasSuffix(f.Interpreter, "@"+version) {
				t.Errorf("%s %s has the interpreter %q", kind, version, f.Interpreter)
			}
		})
	}
}

func TestNothingIsWrittenOver(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, "app", "go"); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "README.md is there already; nothing was written") {
		t.Errorf("the error is %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v now (%v)", entries, err)
	}
}

func TestWhatCannotBegin(t *testing.T) {
	for _, c := range [][2]string{{"My App", "go"}, {"", "go"}, {"app", "cobol"}, {"app", ""}, {"app", "go@1.26"}, {"app", "node@"}, {"../app", "node"}} {
		dir := t.TempDir()
		if _, err := Write(dir, c[0], c[1]); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("%q: %v", c, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%q left %v (%v)", c, entries, err)
		}
	}
}
