package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// modules are a project's installed dependencies.
type modules struct {
	project *project
	arch    string // the node's processor, in Node.js' names
	// dir is the folder in the cache, in which everything stands as it does
	// below project.base; "" is that nothing was installed.
	dir string
	// installed are the packages in it by their folders, slash-separated:
	// "api/node_modules/sharp".
	installed map[string]installed
}

// installed is what survey found of a package.
type installed struct {
	Name string `json:"name"`
	// Native packages do not work when they are bundled: they have native
	// modules, or others have them for them.
	Native bool     `json:"native,omitempty"`
	Needs  []string `json:"needs,omitempty"`
}

const surveyFile = "packages.json"

// survey looks at what was installed in a folder of the cache, writes down what
// building needs to know of it, and removes what differs from one installation
// to the next.
func survey(dir string) error {
	found := make(map[string]installed)
	limited := make(map[string]bool) // to some system or processor
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		at, name := filepath.ToSlash(rel), d.Name()
		owner, built := packageOf(path.Dir(at)), strings.Contains(at, "/build/")
		switch {
		case path.Base(path.Dir(at)) == "node_modules" && strings.HasPrefix(name, "."):
			// .bin, .package-lock.json and the like
			if err := os.RemoveAll(file); err != nil {
				return err
			}
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type()&fs.ModeSymlink != 0 && packageOf(at) == at: // to a local package
			pkg, _, err := readPackageJSON(filepath.Join(file, "package.json"))
			if err != nil {
				return err
			}
			found[at] = installed{Name: nameIn(at), Needs: pkg.dependencies()}
		case d.IsDir() && (name == "obj.target" || name == ".deps") && built:
			if err := os.RemoveAll(file); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir() || owner == "":
		case built && (name == "Makefile" || name == "config.gypi" || strings.HasSuffix(name, ".mk")):
			return os.Remove(file) // node-gyp's, with the paths of this folder
		case strings.HasSuffix(name, ".node") || name == "binding.gyp":
			p := found[owner]
			p.Native = true
			found[owner] = p
		case name == "package.json" && path.Dir(at) == owner:
			pkg, _, err := readPackageJSON(file)
			if err != nil {
				return err
			}
			p := found[owner]
			p.Name, p.Needs = nameIn(owner), pkg.dependencies()
			found[owner] = p
			limited[owner] = len(pkg.OS) > 0 || len(pkg.CPU) > 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	m := &modules{dir: dir, installed: found}
	for at, p := range found {
		p.Native = p.Native || limited[at] || slices.ContainsFunc(p.Needs, func(name string) bool {
			need := m.find(at, name)
			return need != "" && limited[need]
		})
		found[at] = p
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, surveyFile), data, 0o644)
}

// packageOf is the folder of the package that a folder is in: of
// "a/node_modules/@b/c/d" "a/node_modules/@b/c". "" is none.
func packageOf(dir string) string {
	const folder = "node_modules/"
	i := strings.LastIndex("/"+dir+"/", "/"+folder)
	if i < 0 {
		return ""
	}
	rest := dir[min(len(dir), i+len(folder)):]
	name, rest, _ := strings.Cut(rest, "/")
	if strings.HasPrefix(name, "@") {
		second, _, _ := strings.Cut(rest, "/")
		if second == "" {
			return ""
		}
		name += "/" + second
	}
	if name == "" {
		return ""
	}
	return dir[:i+len(folder)] + name
}

// nameIn is the name of the package in a folder.
func nameIn(dir string) string {
	return dir[strings.LastIndex("/"+dir, "/node_modules/")+len("node_modules/"):]
}

// load reads what survey wrote.
func (m *modules) load() error {
	data, err := os.ReadFile(filepath.Join(m.dir, surveyFile))
	if err == nil {
		err = json.Unmarshal(data, &m.installed)
	}
	if err != nil {
		return fmt.Errorf("the cache of dependencies is damaged: remove %s: %w", m.dir, err)
	}
	return nil
}

// find is the folder of the package that code in the folder at gets by a name,
// as Node.js looks for it; "" is none.
func (m *modules) find(at, name string) string {
	for {
		if path.Base(at) != "node_modules" {
			folder := path.Join(at, "node_modules", name)
			if _, ok := m.installed[folder]; ok {
				return folder
			}
		}
		if at == "." || at == "" {
			return ""
		}
		at = path.Dir(at)
	}
}

// mirror is the folder below dir that stands for a folder of the project.
func (m *modules) mirror(dir string) string {
	rel, err := filepath.Rel(m.project.base, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		rel, _ = filepath.Rel(m.project.base, m.project.dir)
	}
	return filepath.ToSlash(rel)
}

// closure is the packages at these folders and all that they need.
func (m *modules) closure(folders []string) []string {
	all := make(map[string]bool)
	for todo := slices.Clone(folders); len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		if all[at] {
			continue
		}
		all[at] = true
		from := at
		if local := m.project.local[nameIn(at)]; local != "" {
			from = m.mirror(local)
		}
		for _, name := range m.installed[at].Needs {
			if need := m.find(from, name); need != "" {
				todo = append(todo, need)
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// trees are packages as they are packed into the folder node_modules below
// prefix.
func (m *modules) trees(folders []string, prefix string) ([]artifact.Tree, error) {
	var trees []artifact.Tree
	taken := make(map[string]string)
	for _, at := range folders {
		to := at[strings.Index("/"+at, "/node_modules/"):]
		if other, twice := taken[to]; twice {
			return nil, fmt.Errorf("%s is installed twice, for %s and for %s, and only one can stand beside the code: ask for one version: %w",
				nameIn(at), path.Dir(path.Dir(other)), path.Dir(path.Dir(at)), gust.ErrInvalid)
		}
		taken[to] = at
		dir := filepath.Join(m.dir, filepath.FromSlash(at))
		skip := m.unneeded
		if !m.installed[at].Native {
			skip = nil
		}
		if local := m.project.local[nameIn(at)]; local != "" {
			dir, skip = local, nil // the cache has a link to its package.json
		} else if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, errors.Join(err, fmt.Errorf("%s is a link in the cache of dependencies, of nothing that %s names: %w", at, m.project.dir, gust.ErrInvalid))
		}
		trees = append(trees, artifact.Tree{Dir: dir, At: path.Join(prefix, to), Skip: func(name string) bool {
			return name == "node_modules" || skip != nil && skip(name)
		}})
	}
	return trees, nil
}

// unneeded reports files of native packages that never run: what they are
// compiled from, and what is prebuilt for other processors and systems.
func (m *modules) unneeded(name string) bool {
	if slices.Contains([]string{".c", ".cc", ".cpp", ".h", ".hpp", ".o", ".a", ".gyp", ".gypi"}, path.Ext(name)) {
		return true
	}
	dir, platform := path.Split(name)
	if path.Base(dir) != "prebuilds" {
		return false
	}
	system, arch, _ := strings.Cut(platform, "-")
	return system != "linux" || !slices.Contains(strings.Split(arch, "+"), m.arch)
}

// all are all the packages that code in the project's folder can need, its
// local packages too.
func (m *modules) all() []string {
	at := m.mirror(m.project.dir)
	var folders []string
	for _, name := range m.project.packages[m.project.dir].dependencies() {
		if folder := m.find(at, name); folder != "" {
			folders = append(folders, folder)
		}
	}
	return m.closure(folders)
}
