package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// FuzzRequirements: whatever a requirements.txt says, reading it ends, and reads
// nothing but files that are there.
func FuzzRequirements(f *testing.F) {
	for _, seed := range []string{"requests==2.32.3 \\\n  --hash=sha256:00\n", "-r requirements.txt\n-c c.txt", "-e .", "./a.whl # x", "--index-url=https://x/\na>1", "\\", "-r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b := &builder{source: dir, name: ".", function: &gust.Function{}}
		r := &requirements{file: file, dir: dir}
		if err := b.follow(r, file); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		for _, name := range r.inputs {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzPackageOf: the package of a path is a folder on it, in a node_modules.
func FuzzPackageOf(f *testing.F) {
	for _, seed := range []string{"a/node_modules/@b/c/d", "node_modules", "node_modules/@b", "node_modules/a/node_modules/b/c", "x", "", "/", "node_modules//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dir string) {
		pkg := packageOf(dir)
		if pkg == "" {
			return
		}
		if !strings.HasPrefix(dir+"/", pkg+"/") || !strings.HasSuffix("/"+pkg, "/node_modules/"+nameIn(pkg)) || nameIn(pkg) == "" {
			t.Errorf("%q is in the package %q, %q", dir, pkg, nameIn(pkg))
		}
		partOf(dir)
	})
}
