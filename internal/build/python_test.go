package build_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/manifest"
)

// wheel is a package as pip installs one (PEP 427), with a program.
func wheel(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	info := name + "-1.0.dist-info/"
	all := with(files, map[string]string{
		info + "METADATA":         "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n",
		info + "WHEEL":            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "entry_points.txt": "[console_scripts]\n" + name + " = " + name + ":main\n",
		info + "RECORD":           "",
	})
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		f, err := w.Create(file)
		if err == nil {
			_, err = f.Write([]byte(all[file]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// here is the Python that the tests run, "3.11".
func here(t *testing.T) string {
	t.Helper()
	needs(t, "python3")
	out, err := exec.Command("python3", "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Skip("python3 has no pip")
	}
	return strings.TrimSpace(string(out))
}

func pythonFunction(version string) *gust.Function {
	return &gust.Function{Name: "f", Runtime: gust.RuntimePython, Interpreter: "python@" + version, Handler: "app.handler"}
}

func pythonApp(t *testing.T) map[string]string {
	return map[string]string{
		"fn/requirements.txt":      "# what it needs\n-r more.txt\n",
		"fn/more.txt":              "./wheels/one-1.0-py3-none-any.whl  # pinned by its name\n",
		"fn/app.py":                "import one, our.mod\ndef handler(event, context):\n    return one.say() + our.mod.say()\n",
		"fn/our/__init__.py":       "",
		"fn/our/mod.py":            "def say(): return 'ours'\n",
		"fn/template.py":           "this is {{ no }} Python\n",
		"fn/test/test_app.py":      "x",
		"fn/.venv/pyvenv.cfg":      "",
		"fn/.venv/lib/x.py":        "",
		"fn/env/pyvenv.cfg":        "",
		"fn/__pycache__/app.x.pyc": "stale",
		"fn/wheels/one-1.0-py3-none-any.whl": wheel(t, "one", map[string]string{
			"one/__init__.py": "SET = {'a', 'b', 'c'}\ndef say(x=frozenset(('x', 'y', 'z'))): return 'one and '\n",
		}),
	}
}

func TestPython(t *testing.T) {
	version := here(t)
	tag := "cpython-" + strings.ReplaceAll(version, ".", "")
	root := tree(t, pythonApp(t))
	src := source("./fn", manifest.Build{Exclude: []string{"test", "wheels", "*.txt"}})
	a, dir := must(t, root, pythonFunction(version), src, build.Options{})
	want := []string{
		"__pycache__/app." + tag + ".pyc", "app.py",
		"one-1.0.dist-info/METADATA", "one-1.0.dist-info/WHEEL", "one-1.0.dist-info/entry_points.txt",
		"one/__init__.py", "one/__pycache__/__init__." + tag + ".pyc",
		"our/__init__.py", "our/__pycache__/__init__." + tag + ".pyc", "our/__pycache__/mod." + tag + ".pyc", "our/mod.py",
		"template.py",
	}
	if got := names(t, a); !slices.Equal(got, want) {
		t.Errorf("the artifact has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// It runs by its compiled modules, which are taken without a look at their
	// sources, and which know where they will stand.
	const script = `
import sys; sys.dont_write_bytecode = True; sys.path.insert(0, ".")
import app, importlib.util, marshal
code = marshal.loads(open(app.__cached__, "rb").read()[16:])
print(app.handler(None, None), code.co_filename, int.from_bytes(open(app.__cached__, "rb").read()[4:8], "little"))`
	if got := run(t, dir, "python3", "-c", script); got != "one and ours /var/task/app.py 1" {
		t.Error(got)
	}
	left, err := filepath.Glob(filepath.Join(root, "fn", "*"))
	if err != nil || len(left) != 10 {
		t.Errorf("building left %q in the source: %v", left, err)
	}
	if len(a.Warnings) > 0 {
		t.Errorf("the warnings are %q", a.Warnings)
	}
}

func TestPythonIsReproducible(t *testing.T) {
	version := here(t)
	files := pythonApp(t)
	var digests []gust.Digest
	for range 2 {
		a, _ := must(t, tree(t, files), pythonFunction(version), source("fn", manifest.Build{}), build.Options{})
		digests = append(digests, a.Digest)
	}
	if digests[0] != digests[1] {
		t.Error("the same source makes two artifacts")
	}
}

func TestPythonProjects(t *testing.T) {
	version := here(t)
	one := wheel(t, "one", map[string]string{"one.py": ""})
	tests := []struct {
		name  string
		f     *gust.Function
		files map[string]string
		want  []string // of the sources
		warns string
	}{
		{"nothing to install", pythonFunction(version), map[string]string{"app.py": ""}, []string{"app.py"}, ""},
		{"a pyproject.toml", pythonFunction(version), map[string]string{"app.py": "", "one-1.0-py3-none-any.whl": one,
			"pyproject.toml": "[project]\nname = 'x'\ndependencies = ['one @ file://DIR/one-1.0-py3-none-any.whl']\n"}, []string{"app.py", "one.py"}, "pyproject.toml in . has no lockfile"},
		{"a pyproject.toml that needs nothing", pythonFunction(version), map[string]string{"app.py": "", "pyproject.toml": "[tool.x]\n"}, []string{"app.py"}, ""},
		{"a folder of Python", pythonFunction(version), map[string]string{"app.py": "", "wheels/one-1.0-py3-none-any.whl": one,
			"requirements.txt": "--no-index\n--find-links wheels\none\n"}, []string{"app.py", "one.py"}, "requirements.txt in . does not say which version of one"},
		{"for http", &gust.Function{Name: "f", Runtime: gust.RuntimeHTTP, Interpreter: "python@" + version, Command: []string{"python3", "-m", "one"}},
			map[string]string{"app.py": "", "one-1.0-py3-none-any.whl": one, "requirements.txt": "./one-1.0-py3-none-any.whl"}, []string{"app.py", "one.py"}, ""},
		{"for a Python that is not here", pythonFunction("3.99"), map[string]string{"app.py": "", "one-1.0-py3-none-any.whl": one, "requirements.txt": "./one-1.0-py3-none-any.whl"},
			[]string{"app.py", "one.py"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, test.files)
			if file := filepath.Join(root, "pyproject.toml"); test.files["pyproject.toml"] != "" {
				if err := os.WriteFile(file, []byte(strings.ReplaceAll(test.files["pyproject.toml"], "DIR", root)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			a, _ := must(t, root, test.f, source(".", manifest.Build{}), build.Options{})
			var got []string
			for _, name := range names(t, a) {
				if strings.HasSuffix(name, ".py") {
					got = append(got, name)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the artifact has %q", got)
			}
			if warned := strings.Join(a.Warnings, "\n"); !strings.HasPrefix(warned, test.warns) || (warned == "") != (test.warns == "") {
				t.Errorf("the warnings are %q", warned)
			}
		})
	}
}

// TestPythonRequirementsAboveTheSource: they may stand beside the manifest.
func TestPythonRequirementsAboveTheSource(t *testing.T) {
	version := here(t)
	root := tree(t, map[string]string{"src/app.py": "", "requirements.txt": "./lib/one-1.0-py3-none-any.whl",
		"lib/one-1.0-py3-none-any.whl": wheel(t, "one", map[string]string{"one.py": ""})})
	a, _ := must(t, root, pythonFunction(version), source("src", manifest.Build{}), build.Options{})
	if got := names(t, a); !slices.Contains(got, "one.py") || !slices.Contains(got, "app.py") {
		t.Errorf("the artifact has %q", got)
	}
}

func TestPythonLayer(t *testing.T) {
	version := here(t)
	root := tree(t, map[string]string{
		"shared/requirements.txt":         "./one-1.0-py3-none-any.whl",
		"shared/one-1.0-py3-none-any.whl": wheel(t, "one", map[string]string{"one.py": ""}),
		"shared/python/ours.py":           "",
	})
	built, err := build.Layers(t.Context(), root, map[string]manifest.Layer{"shared": {
		Source: manifest.Source{Path: "shared", Build: manifest.Build{Exclude: []string{"*.whl", "*.txt"}}}, Interpreter: "python@" + version,
	}}, build.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, built["shared"]) {
		if !strings.HasPrefix(name, "python/") {
			t.Errorf("%s is not where Python looks", name)
		}
	}
	if got := names(t, built["shared"]); !slices.Contains(got, "python/one.py") || !slices.Contains(got, "python/ours.py") {
		t.Errorf("the layer has %q", got)
	}
}

func TestPythonErrors(t *testing.T) {
	version := here(t)
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no module", map[string]string{"src/app.py": ""}, []string{`the artifact has no file "app.py" or "app/__init__.py", which the handler "app.handler" names, but "src/app.py"`}},
		{"what pip refuses", map[string]string{"app.py": "", "requirements.txt": "--no-index\nno-such-package==1\n"}, []string{
			"function f: pip install in . failed:\n", "No matching distribution found for no-such-package==1", "the index and its credentials are those of pip.conf"}},
		{"an editable installation", map[string]string{"app.py": "", "requirements.txt": "-e ../lib\n"}, []string{"-e ../lib in . is an editable installation, which has its files elsewhere: write it without -e"}},
		{"requirements that are not there", map[string]string{"app.py": "", "requirements.txt": "-r no.txt\n"}, []string{"no.txt: no such file"}},
		{"a lockfile without its tool", map[string]string{"app.py": "", "Pipfile.lock": "{}"}, []string{
			"Pipfile.lock in . is read by pipenv, and there is no pipenv in PATH: install it, or keep what pipenv requirements --hash prints as requirements.txt"}},
		{"poetry without a lockfile", map[string]string{"app.py": "", "pyproject.toml": "[tool.poetry.dependencies]\npython = '3'\none = '1'\n"}, []string{
			"pyproject.toml in . lists its dependencies in [tool.poetry], and there is no poetry.lock: run poetry lock, or list them in [project]"}},
		{"a pyproject.toml that is none", map[string]string{"app.py": "", "pyproject.toml": "["}, []string{"pyproject.toml: "}},
		{"a module in C of another Python", map[string]string{"app.py": "", "x.cpython-37-x86_64-linux-gnu.so": elf(62)}, []string{
			`"x.cpython-37-x86_64-linux-gnu.so" is built for Python 3.7, and the function asks for python@` + version}},
		{"a module in C of another processor", map[string]string{"app.py": "", "x.abi3.so": elf(183)}, []string{`"x.abi3.so" is built for arm64, but this node runs amd64`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := exec.LookPath("pipenv"); err == nil && test.files["Pipfile.lock"] != "" {
				t.Skip("pipenv is here")
			}
			_, err := build.Build(t.Context(), tree(t, test.files), pythonFunction(version), source(".", manifest.Build{}), build.Options{CacheDir: t.TempDir(), GOARCH: "amd64"})
			if !errors.Is(err, gust.ErrInvalid) {
				t.Errorf("%v is not gust.ErrInvalid", err)
			}
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
		})
	}
}
