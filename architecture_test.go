package gust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gust-dev/gust"

// floors is the house: a package may import what stands on a floor below its
// own, and what stands in the same group on its floor ("sandbox" and what is
// behind it).
var floors = [][]string{
	{""},
	{"internal/suggest"},
	{"internal/logfile", "internal/runtimes", "internal/cron", "internal/watch", "internal/access/policy"},
	{"internal/store", "internal/sandbox", "internal/manifest", "internal/artifact"},
	{"internal/observe", "internal/build", "internal/access", "internal/scaffold"},
	{"internal/catalog"},
	{"internal/invoke"},
	{"internal/gateway", "internal/aws", "internal/api"},
	{"internal/node", "internal/deploy"},
	{"internal/scratch"},
	{"gusttest"},
	{"cmd/gust", "bench", "demo", "examples"},
}

// dependencies are the modules that Gust is built with. A new one is a
// decision: docs/RATIONALE.md says why it is here.
var dependencies = []string{
	"github.com/aws/aws-lambda-go", // tests and examples only
	"github.com/boombuler/barcode", // the QR codes of MFA devices
	"github.com/cockroachdb/pebble/v2",
	"github.com/coder/websocket", // tests only
	"github.com/elastic/go-seccomp-bpf",
	"github.com/evanw/esbuild",
	"github.com/fsnotify/fsnotify",
	"github.com/go-jose/go-jose/v4",
	"github.com/google/nftables",
	"github.com/google/uuid",
	"github.com/klauspost/compress",
	"github.com/mdlayher/netlink", // of nftables, for the one flag that it leaves out
	"github.com/miekg/dns",
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model", // tests only
	"github.com/rogpeppe/go-internal",    // tests only
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"github.com/vishvananda/netlink",
	"go.yaml.in/yaml/v3",
	"golang.org/x/net",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/term",
}

type pkg struct {
	ImportPath string
	Name, Doc  string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// place finds the floor and the group of a package of this module.
func place(path string) (floor int, group string) {
	rel := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	for i, groups := range floors {
		for _, g := range groups {
			if rel == g || g != "" && strings.HasPrefix(rel, g+"/") {
				return i, g
			}
		}
	}
	return -1, ""
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		floor, group := place(p.ImportPath)
		if floor < 0 {
			t.Errorf("%s stands on no floor of the house; give it one in this test", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if imported != module && !strings.HasPrefix(imported, module+"/") {
				if first, _, _ := strings.Cut(imported, "/"); floor == 0 && strings.Contains(first, ".") {
					t.Errorf("the root package imports %s; it imports the standard library alone", imported)
				}
				if strings.HasPrefix(imported, "github.com/cockroachdb/pebble") && group != "internal/store" && group != "bench" {
					t.Errorf("%s imports %s; only internal/store may", p.ImportPath, imported)
				}
				continue
			}
			f, g := place(imported)
			if f > floor || f == floor && g != group {
				t.Errorf("%s (floor %d) imports %s (floor %d): the arrow runs back", p.ImportPath, floor, imported, f)
			}
			if g == "internal/node" && !slices.Contains([]string{"cmd/gust", "gusttest", "internal/scratch", g}, group) {
				t.Errorf("%s imports %s; only cmd/gust, gusttest and internal/scratch may", p.ImportPath, imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "enums", "misc"}, p.Name) {
			t.Errorf("package %s is named for nothing", p.ImportPath)
		}
	}
}

func TestDependenciesAreKnown(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal("go list -m:", err)
	}
	for _, m := range strings.Fields(string(out)) {
		if !slices.Contains(dependencies, m) {
			t.Errorf("%s is a new dependency; add it to this test with its reason in docs/RATIONALE.md", m)
		}
	}
}

// TestFilesAreSmallAndHaveNoInit: a file past about 800 lines is asked why, and
// nothing starts by being imported.
func TestFilesAreSmallAndHaveNoInit(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := strings.Count(string(src), "\n"); n > 800 && !bytes.HasPrefix(src, []byte("// Code generated ")) {
			t.Errorf("%s has %d lines", path, n)
		}
		if strings.Contains(string(src), "\nfunc init()") {
			t.Errorf("%s has an init function", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestErrorsAreDocumented: docs/ERRORS.md has every outcome, throttle reason
// and type of error that a caller can get.
func TestErrorsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`"((?:Runtime|Sandbox|Function|Extension)\.[A-Z][A-Za-z]+)"|\b(?:Outcome|ThrottleReason) += "([a-z_]+)"`)
	found := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "sandboxtest", "conformance", "bench"}, d.Name())) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range words.FindAllSubmatch(src, -1) {
			word := string(slices.Concat(m[1], m[2]))
			found++
			if !strings.Contains(string(page), "`"+word+"`") {
				t.Errorf("docs/ERRORS.md does not tell of %s, which stands in %s", word, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 30 {
		t.Errorf("only %d errors were found in the code: look at the pattern", found)
	}
}
