package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// python is the interpreter that installs and compiles.
type python struct {
	path string
	// version is what is built for, "3.12"; exact says that path is that
	// version on the node's platform, so that packages can be built from
	// their sources and modules be compiled.
	version string
	exact   bool
}

// findPython finds the Python that a function asks for, or another one that can
// install for it.
func (b *builder) findPython(ctx context.Context) (*python, error) {
	_, want, _ := strings.Cut(b.function.Interpreter, "@")
	if want == "" {
		want = b.Python
	}
	native := runtime.GOOS == "linux" && runtime.GOARCH == b.GOARCH
	candidates := []string{"python" + want, "python3", "python"}
	// To find it takes a few hundred milliseconds, so what was found for a
	// version is written down.
	k := newKey("pythons", want)
	for _, name := range candidates {
		k.add(stamp(name))
	}
	note := filepath.Join(b.CacheDir, "pythons", k.String())
	if path, err := os.ReadFile(note); err == nil && want != "" && exists(string(path)) {
		return &python{string(path), want, native}, nil
	}
	var other *python
	for _, name := range candidates {
		path, err := find(name, "", "")
		if err != nil {
			continue
		}
		out, err := tool{path: path, args: []string{"-I", "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2], sys.executable)"}, dir: b.source, doing: "asking " + name + " for its version", in: b.name}.output(ctx)
		version, executable, _ := strings.Cut(strings.TrimSpace(out), " ")
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil || !strings.HasPrefix(version, "3."):
		case want == "" || version == want:
			return &python{executable, version, native}, errors.Join(os.MkdirAll(filepath.Dir(note), 0o755), writeFile(note, executable))
		case other == nil:
			other = &python{executable, want, false}
		}
	}
	if other == nil {
		return nil, fmt.Errorf("the dependencies of %s are installed by pip, and no python3 in PATH has it: install python3 and its pip (apt-get install python3-pip, or python3 -m ensurepip): %w", b.name, gust.ErrInvalid)
	}
	return other, nil
}

// requirements are what pip is to install.
type requirements struct {
	// file is a requirements file that is there, or text one that is to be
	// written.
	file, text string
	// inputs are all files that they were read from.
	inputs []string
	dir    string // what paths in them are relative to
	where  string // dir as people call it
	from   string // the file's name, for people
}

// exports are the tools that make requirements of their lockfiles.
var exports = []struct {
	lock, program string
	args          []string
}{
	{"uv.lock", "uv", []string{"export", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements-txt"}},
	{"poetry.lock", "poetry", []string{"export", "--format", "requirements.txt"}},
	{"pdm.lock", "pdm", []string{"export", "--prod", "--format", "requirements"}},
	{"Pipfile.lock", "pipenv", []string{"requirements", "--hash"}},
}

// requirementsOf finds what a folder of Python needs, which stands in it or
// above it, up to the manifest's folder; nil is nothing.
func (b *builder) requirementsOf(ctx context.Context, py func() (*python, error)) (*requirements, error) {
	for dir := b.source; ; dir = filepath.Dir(dir) {
		r := &requirements{dir: dir, where: b.name}
		if rel, err := filepath.Rel(b.root, dir); err == nil && dir != b.source {
			r.where = rel
		}
		found, err := b.readRequirements(ctx, r, py)
		if found && r.from != "" {
			return r, err
		}
		if found || err != nil || dir == b.root || !within(b.root, dir) {
			return nil, err
		}
	}
}

// readRequirements reads those of r's folder, if there are any.
func (b *builder) readRequirements(ctx context.Context, r *requirements, py func() (*python, error)) (found bool, err error) {
	at := func(name string) string { return filepath.Join(r.dir, name) }
	if exists(at("requirements.txt")) {
		r.file, r.from = at("requirements.txt"), "requirements.txt"
		return true, b.follow(r, r.file)
	}
	for _, e := range exports {
		if !exists(at(e.lock)) {
			continue
		}
		program, err := find(e.program, fmt.Sprintf("%s in %s is read by %s", e.lock, r.where, e.program),
			fmt.Sprintf("install it, or keep what %s %s prints as requirements.txt", e.program, strings.Join(e.args, " ")))
		if err != nil {
			return true, err
		}
		r.from = e.lock
		r.text, err = tool{path: program, args: e.args, dir: r.dir, doing: e.program + " " + e.args[0], in: r.where,
			hint: "keep what it is to print as requirements.txt, which is used before a lockfile"}.output(ctx)
		return true, err
	}
	if !exists(at("pyproject.toml")) {
		return false, nil
	}
	p, err := py()
	if err != nil {
		return true, err
	}
	out, err := tool{path: p.path, args: []string{"-I", "-c", readProject, at("pyproject.toml")}, doing: "reading pyproject.toml", in: r.where}.output(ctx)
	if err != nil {
		return true, err
	}
	var project struct {
		Dependencies []string
		Poetry       bool
	}
	if err := json.Unmarshal([]byte(out), &project); err != nil {
		return true, fmt.Errorf("reading pyproject.toml in %s: %w", r.where, err)
	}
	if project.Poetry {
		return true, fmt.Errorf("pyproject.toml in %s lists its dependencies in [tool.poetry], and there is no poetry.lock: run poetry lock, or list them in [project]: %w", r.where, gust.ErrInvalid)
	}
	if len(project.Dependencies) > 0 {
		slices.Sort(project.Dependencies)
		r.text, r.from = strings.Join(project.Dependencies, "\n")+"\n", "pyproject.toml"
		b.warn(fmt.Sprintf("pyproject.toml in %s has no lockfile, so that what is installed can be another thing tomorrow: run uv lock, or keep what pip freeze prints as requirements.txt", r.where))
	}
	return true, nil
}

// readProject prints the dependencies of a pyproject.toml (PEP 621). Before 3.11
// the reader of TOML is pip's.
const readProject = `
import json, sys
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
try:
    doc = tomllib.load(open(sys.argv[1], "rb"))
except tomllib.TOMLDecodeError as e:
    sys.exit("pyproject.toml: %s" % e)
deps = doc.get("project", {}).get("dependencies", [])
old = [d for d in doc.get("tool", {}).get("poetry", {}).get("dependencies", {}) if d != "python"]
print(json.dumps({"dependencies": deps, "poetry": bool(old) and "project" not in doc}))
`

// follow adds a requirements file to r's inputs, those that it includes, and the
// archives that it names (pip's "Requirements File Format").
func (b *builder) follow(r *requirements, file string) error {
	if slices.Contains(r.inputs, file) {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r.inputs = append(r.inputs, file)
	loose := ""
	for line := range strings.Lines(strings.ReplaceAll(string(data), "\\\n", " ")) {
		line, _, _ = strings.Cut(" "+strings.TrimSpace(line), " #")
		fields := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(fields) == 0 {
			continue
		}
		switch first := fields[0]; {
		case strings.HasPrefix(first, "#"):
		case (first == "-r" || first == "--requirement" || first == "-c" || first == "--constraint") && len(fields) > 1:
			if err := b.follow(r, filepath.Join(filepath.Dir(file), fields[1])); err != nil {
				return fmt.Errorf("%s: %w: %w", line, err, gust.ErrInvalid)
			}
		case first == "-e" || first == "--editable":
			return fmt.Errorf("%s in %s is an editable installation, which has its files elsewhere: write it without %s: %w", strings.TrimSpace(line), r.where, first, gust.ErrInvalid)
		case strings.HasPrefix(first, "-"):
		default:
			word := strings.Fields(line)[0]
			path := filepath.Join(r.dir, strings.TrimPrefix(word, "file:"))
			if info, err := os.Stat(path); err == nil && strings.ContainsAny(word, "/.") {
				err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
					if err == nil && d.Type().IsRegular() && !strings.Contains(name, ".egg-info") {
						r.inputs = append(r.inputs, name)
					}
					return err
				})
				if err != nil || info.Mode().IsRegular() {
					return err
				}
			} else if !strings.Contains(line, "==") && !strings.Contains(line, "@") && loose == "" {
				loose = word
			}
		}
	}
	if loose != "" {
		b.warn(fmt.Sprintf("%s in %s does not say which version of %s, so that what is installed can be another thing tomorrow: pin all with pip freeze or pip-compile", filepath.Base(file), r.where, loose))
	}
	return nil
}

// sitePackages installs what a folder of Python needs into the cache, as it will
// stand in the folder prefix of an environment; "" is that it needs nothing.
func (b *builder) sitePackages(ctx context.Context, prefix string) (string, error) {
	var py *python
	find := func() (_ *python, err error) {
		if py == nil {
			py, err = b.findPython(ctx)
		}
		return py, err
	}
	r, err := b.requirementsOf(ctx, find)
	if err != nil || r == nil {
		return "", err
	}
	if py, err = find(); err != nil {
		return "", err
	}
	args := []string{"-m", "pip", "install", "--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--quiet"}
	if !py.exact {
		args = append(args, "--only-binary=:all:", "--implementation=cp", "--python-version="+py.version)
		arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[b.GOARCH]
		for _, libc := range []string{"manylinux_2_28_", "manylinux_2_17_", "manylinux2014_"} {
			args = append(args, "--platform="+libc+arch)
		}
	}
	k := newKey("python", py.version, fmt.Sprint(py.exact), runtime.GOOS, b.GOARCH, prefix, r.text)
	for _, file := range r.inputs {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(r.dir, file)
		if err != nil {
			return "", err
		}
		k.add(rel)
		k.add(string(data))
	}
	return b.dependencies(ctx, k, func(dir string) error {
		b.Progress("installing what " + path.Join(r.where, r.from) + " lists")
		site := filepath.Join(dir, "site")
		file := r.file
		if file == "" {
			file = filepath.Join(dir, "requirements.txt")
			if err := os.WriteFile(file, []byte(r.text), 0o644); err != nil {
				return err
			}
		}
		t := tool{path: py.path, args: append(args, "--target", site, "--requirement", file), dir: r.dir, doing: "pip install", in: r.where,
			env: []string{"PYTHONNOUSERSITE=1", "PIP_ROOT_USER_ACTION=ignore", "PYTHONDONTWRITEBYTECODE=1"}}
		t.hint = "the index and its credentials are those of pip.conf and PIP_INDEX_URL"
		if !py.exact {
			t.hint = fmt.Sprintf("there is no python%s for linux/%s here, so only wheels can be installed, no packages from source; put python%s into PATH to build those", py.version, b.GOARCH, py.version)
		}
		if err := t.run(ctx); err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(site, 0o755), tidySite(site)); err != nil {
			return err
		}
		return b.compile(ctx, py, site, nil, site, prefix)
	})
}

// tidySite removes what differs from one installation to the next, and programs
// that begin with the path of this machine's interpreter.
func tidySite(site string) error {
	return filepath.WalkDir(site, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, dir := d.Name(), filepath.Dir(file)
		switch {
		case d.IsDir() && name == "__pycache__":
			if err := os.RemoveAll(file); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir():
		case strings.HasSuffix(dir, ".dist-info") && slices.Contains([]string{"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}, name):
			return os.Remove(file)
		case dir == filepath.Join(site, "bin"):
			data, err := os.ReadFile(file)
			if err == nil && bytes.HasPrefix(data, []byte("#!/")) && bytes.Contains(data[:min(len(data), 200)], []byte("python")) {
				return os.Remove(file)
			}
			return err
		}
		return nil
	})
}

// compile writes the compiled form of modules below the folder from into the
// folder to, as Python finds it beside them when they stand in prefix. They are
// not checked against their sources (PEP 552): both are in one artifact, and
// Python could write no others. What cannot be compiled is left for whoever
// imports it. Names are all modules, nil stands for every one.
func (b *builder) compile(ctx context.Context, py *python, from string, names []string, to, prefix string) error {
	if !py.exact {
		return nil
	}
	if names == nil {
		err := filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
			if rel, rerr := filepath.Rel(from, file); err == nil && rerr == nil && d.Type().IsRegular() && strings.HasSuffix(rel, ".py") {
				names = append(names, rel)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	list, err := json.Marshal(names)
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(to), ".modules.json")
	if err := os.WriteFile(file, list, 0o644); err != nil {
		return err
	}
	// What is hashed by chance stands in another order each time.
	err = tool{path: py.path, args: []string{"-S", "-c", compileAll, file, from, to, prefix}, env: []string{"PYTHONHASHSEED=0"}, doing: "compiling modules", in: b.name}.run(ctx)
	return errors.Join(err, os.Remove(file))
}

const compileAll = `
import json, os, py_compile, sys
from importlib.util import cache_from_source
names, source, target, prefix = sys.argv[1:]
for name in json.load(open(names)):
    try:
        py_compile.compile(os.path.join(source, name), cfile=cache_from_source(os.path.join(target, name)), dfile=prefix + "/" + name,
                           doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except (py_compile.PyCompileError, SyntaxError, ValueError, UnicodeError, RecursionError):
        pass
`

// notPython are files of a Python project that never run.
func (b *builder) notPython(name string) bool {
	base := path.Base(name)
	if slices.Contains([]string{"__pycache__", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store"}, base) || strings.HasSuffix(base, ".pyc") {
		return true
	}
	return exists(filepath.Join(b.source, filepath.FromSlash(name), "pyvenv.cfg"))
}

// pythonFolder packs the source folder with its dependencies: the source into
// the artifact's folder code, what is installed into site.
func (b *builder) pythonFolder(ctx context.Context, code, site, root string) (_ *Artifact, err error) {
	installed, err := b.sitePackages(ctx, path.Join(root, site))
	if err != nil {
		return nil, err
	}
	source, err := b.whole(b.notPython)
	if err != nil {
		return nil, err
	}
	source.At = code
	out, err := os.MkdirTemp(b.dir(), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	compiled := filepath.Join(out, "compiled")
	if err := os.Mkdir(compiled, 0o755); err != nil {
		return nil, err
	}
	if err := b.compileSource(ctx, source, compiled, path.Join(root, code)); err != nil {
		return nil, err
	}
	var trees []artifact.Tree
	if installed != "" {
		trees = append(trees, artifact.Tree{Dir: filepath.Join(installed, "site"), At: site})
	}
	trees = append(trees, artifact.Tree{Dir: compiled, At: code}, source)
	b.Progress("packing " + b.name)
	return b.keep(func(w io.Writer) error { return artifact.PackTrees(ctx, w, trees...) })
}

// compileSource compiles the modules of the source itself, if the Python for it
// is here.
func (b *builder) compileSource(ctx context.Context, source artifact.Tree, to, prefix string) error {
	names := []string{}
	err := fs.WalkDir(os.DirFS(b.source), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case source.Skip(name) || name == ".git":
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular() && strings.HasSuffix(name, ".py"):
			names = append(names, name)
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	py, err := b.findPython(ctx)
	if errors.Is(err, gust.ErrInvalid) {
		return nil // it only starts a little slower
	}
	if err != nil {
		return err
	}
	return b.compile(ctx, py, b.source, names, to, prefix)
}
