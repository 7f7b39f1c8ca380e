package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	gust "github.com/gust-dev/gust"
)

// packageJSON is the part of a package.json (npm's documentation,
// "package.json") that building needs.
type packageJSON struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Deps     map[string]string `json:"dependencies"`
	Optional map[string]string `json:"optionalDependencies"`
	Peer     map[string]string `json:"peerDependencies"`
	// Workspaces is a list of patterns, or an object with one.
	Workspaces json.RawMessage `json:"workspaces"`
	OS         json.RawMessage `json:"os"`
	CPU        json.RawMessage `json:"cpu"`
}

func readPackageJSON(file string) (*packageJSON, []byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	p := &packageJSON{}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), p); err != nil {
		return nil, nil, fmt.Errorf("%s is not a package.json: %w: %w", file, err, gust.ErrInvalid)
	}
	return p, data, nil
}

// dependencies are the names of all that has to be installed for p.
func (p *packageJSON) dependencies() []string {
	all := make(map[string]bool)
	for _, deps := range []map[string]string{p.Deps, p.Optional, p.Peer} {
		for name := range deps {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// project is a folder with a package.json, and what belongs to it.
type project struct {
	dir  string // the nearest folder with a package.json
	root string // the folder with the lockfile: dir, or that of its workspaces
	base string // holds root and all local packages
	lock string // the lockfile's name in root, or ""
	// packages are the folders with a package.json that are installed from:
	// root, dir, workspaces, and what is named by file:.
	packages map[string]*packageJSON
	// local are the folders of packages that are no downloads, by name, and
	// archives the files that are named by file:.
	local    map[string]string
	archives []string
}

// locks are the lockfiles that are known, the first that is there counts.
var locks = []string{"package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"}

// findProject finds the project that a source folder belongs to, in it or above
// it in the same repository. Nil is none.
func (b *builder) findProject() (*project, error) {
	p := &project{packages: make(map[string]*packageJSON), local: make(map[string]string)}
	var dirs []string
	for dir := range b.upward(b.source) {
		if exists(filepath.Join(dir, "package.json")) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, nil
	}
	p.dir, p.root = dirs[0], dirs[0]
	if err := p.read(p.dir); err != nil {
		return nil, err
	}
	p.lock = lockIn(p.dir)
	for _, dir := range dirs[1:] {
		if p.lock != "" {
			break
		}
		members, err := workspaces(dir)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(members, p.dir) {
			continue
		}
		p.root, p.lock = dir, lockIn(dir)
		for _, member := range append(members, dir) {
			if err := p.read(member); err != nil {
				return nil, err
			}
			if member != dir {
				p.local[p.packages[member].Name] = member
			}
		}
		break
	}
	if err := p.files(); err != nil {
		return nil, err
	}
	p.base = p.root
	for _, path := range slices.Concat(slices.Collect(maps.Keys(p.packages)), p.archives) {
		for !within(p.base, path) {
			p.base = filepath.Dir(p.base)
		}
	}
	return p, nil
}

// upward yields a folder and those above it, to that of the repository or of
// the manifest.
func (b *builder) upward(dir string) func(func(string) bool) {
	return func(yield func(string) bool) {
		top := dir
		for at := dir; ; at = filepath.Dir(at) {
			if exists(filepath.Join(at, ".git")) {
				top = at
				break
			}
			if at == filepath.Dir(at) {
				if within(b.root, dir) {
					top = b.root
				}
				break
			}
		}
		for at := dir; yield(at) && at != top; at = filepath.Dir(at) {
		}
	}
}

func (p *project) read(dir string) error {
	if p.packages[dir] != nil {
		return nil
	}
	pkg, _, err := readPackageJSON(filepath.Join(dir, "package.json"))
	if err == nil {
		p.packages[dir] = pkg
	}
	return err
}

// files finds the folders and archives that are named by file: and link:.
func (p *project) files() error {
	for todo := slices.Sorted(maps.Keys(p.packages)); len(todo) > 0; todo = todo[1:] {
		pkg := p.packages[todo[0]]
		for _, deps := range []map[string]string{pkg.Deps, pkg.Optional} {
			for _, name := range slices.Sorted(maps.Keys(deps)) {
				path, isFile := strings.CutPrefix(deps[name], "file:")
				if !isFile {
					if path, isFile = strings.CutPrefix(deps[name], "link:"); !isFile {
						continue
					}
				}
				path = filepath.Join(todo[0], filepath.FromSlash(path))
				info, err := os.Stat(path)
				switch {
				case err != nil:
					return fmt.Errorf("%s names %s as %s, which is not there: %w", filepath.Join(todo[0], "package.json"), name, deps[name], gust.ErrInvalid)
				case !info.IsDir():
					p.archives = append(p.archives, path)
				default:
					if p.packages[path] == nil {
						todo = append(todo, path)
					}
					if err := p.read(path); err != nil {
						return err
					}
					p.local[name] = path
				}
			}
		}
	}
	return nil
}

// workspaces are the members of the workspaces of a folder, as npm and yarn
// (package.json) or pnpm (pnpm-workspace.yaml) declare them.
func workspaces(dir string) ([]string, error) {
	pkg, _, err := readPackageJSON(filepath.Join(dir, "package.json"))
	if err != nil {
		return nil, err
	}
	var patterns []string
	var object struct {
		Packages []string `json:"packages" yaml:"packages"`
	}
	if json.Unmarshal(pkg.Workspaces, &patterns) != nil && json.Unmarshal(pkg.Workspaces, &object) == nil {
		patterns = object.Packages
	}
	if data, err := os.ReadFile(filepath.Join(dir, "pnpm-workspace.yaml")); err == nil && yaml.Unmarshal(data, &object) == nil {
		patterns = object.Packages
	}
	members := make(map[string]bool)
	for _, pattern := range patterns {
		without := strings.HasPrefix(pattern, "!")
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(strings.Replace(strings.TrimPrefix(pattern, "!"), "**", "*", 1)), "package.json"))
		if err != nil {
			return nil, fmt.Errorf("the workspaces of %s: %q: %w: %w", dir, pattern, err, gust.ErrInvalid)
		}
		for _, file := range found {
			members[filepath.Dir(file)] = !without
		}
	}
	maps.DeleteFunc(members, func(_ string, member bool) bool { return !member })
	return slices.Sorted(maps.Keys(members)), nil
}

func lockIn(dir string) string {
	for _, name := range locks {
		if exists(filepath.Join(dir, name)) {
			return name
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// within reports whether path is dir or below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// needs reports whether anything has to be installed for p.
func (p *project) needs() bool {
	for _, pkg := range p.packages {
		if len(pkg.dependencies()) > 0 {
			return true
		}
	}
	return false
}

// mirrored are the files that a project is installed from, by their paths below
// base: no scripts of the project's own, which would find no files to work on.
func (p *project) mirrored() (map[string][]byte, error) {
	files := make(map[string][]byte)
	put := func(path string) error {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if rel, rerr := filepath.Rel(p.base, path); err == nil && rerr == nil {
			files[rel] = data
		}
		return err
	}
	for dir := range p.packages {
		_, data, err := readPackageJSON(filepath.Join(dir, "package.json"))
		if err != nil {
			return nil, err
		}
		var doc map[string]any
		if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &doc); err != nil {
			return nil, err
		}
		delete(doc, "scripts")
		if data, err = json.Marshal(doc); err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(p.base, filepath.Join(dir, "package.json"))
		if err != nil {
			return nil, err
		}
		files[rel] = data
	}
	for _, name := range []string{p.lock, ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml"} {
		if name != "" {
			if err := put(filepath.Join(p.root, name)); err != nil {
				return nil, err
			}
		}
	}
	for _, path := range p.archives {
		if err := put(path); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// nodeModules installs the production dependencies of the project that the
// source belongs to, into the cache; nil is that there are none.
func (b *builder) nodeModules(ctx context.Context) (*modules, error) {
	p, err := b.findProject()
	if err != nil || p == nil {
		return nil, err
	}
	m := &modules{project: p, arch: nodeArch(b.GOARCH)}
	if !p.needs() {
		return m, nil
	}
	files, err := p.mirrored()
	if err != nil {
		return nil, err
	}
	where := b.name
	if rel, err := filepath.Rel(b.root, p.root); err == nil {
		where = rel
	}
	t, err := p.installer(b.GOARCH, where)
	if err != nil {
		return nil, err
	}
	if p.lock == "" {
		b.warn(fmt.Sprintf("%s has no lockfile, so that what is installed can be another thing tomorrow: run npm install --package-lock-only there, and keep package-lock.json", where))
	}
	k := newKey("node", runtime.GOOS, b.GOARCH, stamp("node"), filepath.Base(t.path), strings.Join(t.args, " "))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		k.add(name)
		k.Write(files[name])
	}
	root, err := filepath.Rel(p.base, p.root)
	if err != nil {
		return nil, err
	}
	m.dir, err = b.dependencies(ctx, k, func(dir string) error {
		b.Progress("installing dependencies of " + where)
		for name, data := range files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
				return err
			}
		}
		t.dir = filepath.Join(dir, root)
		if err := t.run(ctx); err != nil {
			return err
		}
		return survey(dir)
	})
	if err != nil {
		return nil, err
	}
	return m, m.load()
}

// installer is the command that installs a project's production dependencies by
// the package manager whose lockfile it has.
func (p *project) installer(goarch, where string) (tool, error) {
	t := tool{doing: "npm ci", in: where}
	member := p.packages[p.dir].Name
	manager := "npm"
	switch p.lock {
	case "", "package-lock.json", "npm-shrinkwrap.json":
		t.args = []string{"ci"}
		if p.lock == "" {
			t.doing, t.args = "npm install", []string{"install", "--no-package-lock"}
		}
		t.args = append(t.args, "--omit=dev", "--no-audit", "--no-fund", "--no-progress", "--no-update-notifier", "--loglevel=error")
		if p.root != p.dir {
			t.args = append(t.args, "--workspace="+member, "--include-workspace-root")
		}
		if runtime.GOOS != "linux" || runtime.GOARCH != goarch {
			t.args = append(t.args, "--os=linux", "--cpu="+nodeArch(goarch), "--libc=glibc")
		}
		t.hint = "gust ran it on a copy of package.json and its lockfile; npm's own log has more, and the registry and its credentials are those of .npmrc"
	case "pnpm-lock.yaml":
		manager, t.doing = "pnpm", "pnpm install"
		t.args = []string{"install", "--prod", "--frozen-lockfile", "--config.node-linker=hoisted", "--config.package-import-method=copy", "--reporter=append-only"}
		if p.root != p.dir {
			t.args = append(t.args, "--filter", member+"...")
		}
	case "yarn.lock":
		manager, t.doing = "yarn", "yarn install"
		lock, err := os.ReadFile(filepath.Join(p.root, p.lock))
		if err != nil {
			return t, err
		}
		if bytes.Contains(lock, []byte("\n__metadata:")) { // yarn 2 and later
			t.args = []string{"workspaces", "focus", "--production"}
			if p.root != p.dir {
				t.args = append(t.args, member)
			}
			t.env = []string{"YARN_NODE_LINKER=node-modules", "YARN_ENABLE_TELEMETRY=0"}
			break
		}
		t.args = []string{"install", "--production", "--frozen-lockfile", "--non-interactive", "--no-progress"}
	default:
		return t, fmt.Errorf("%s has %s, and gust does not install by bun: run npm install --package-lock-only there and keep package-lock.json instead: %w", where, p.lock, gust.ErrInvalid)
	}
	var err error
	purpose := fmt.Sprintf("the dependencies of %s are installed by %s", where, manager)
	if p.lock != "" {
		purpose += ", as " + p.lock + " wants"
	}
	t.path, err = find(manager, purpose, "install it, or name a .zip that has its node_modules as the source")
	return t, err
}

// stamp changes when a program in PATH is another one. Native modules are
// compiled for the node that installs them; asking it for its version would take
// longer than all else that an unchanged function needs.
func stamp(program string) string {
	path, err := find(program, "", "")
	if err != nil {
		return "none"
	}
	path = realPath(path)
	info, err := os.Stat(path)
	if err != nil {
		return path
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
}

// nodeArch is a processor in Node.js' names.
func nodeArch(goarch string) string {
	switch goarch {
	case "amd64":
		return "x64"
	case "386":
		return "ia32"
	}
	return goarch
}
