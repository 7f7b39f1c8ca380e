// Package manifest turns gust.yaml into a gust.App. Whatever is wrong is
// reported at once, each problem with its line, its column and what would be
// right; a key of Gust's design that this version does not carry out is refused
// by name. One table of fields (fields.go) is what the parser, the JSON schema
// and the reference are made of; what values are allowed is said by package
// rules, which also judges apps that do not come from a manifest.
//
// A manifest is one YAML document in UTF-8 of at most gust.MaxManifest bytes,
// without anchors, aliases, merge keys and tags: what it declares stands there
// as it is.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// FileName is what a manifest is called.
const FileName = "gust.yaml"

// Manifest is what a file declares.
type Manifest struct {
	// App is valid but for its functions' artifacts: those are still to be
	// built from Sources.
	App *gust.App
	// Sources says for each function what its artifact is built from.
	Sources map[string]Source
	// Layers are the layers that functions list, by name.
	Layers map[string]Layer
}

// LayerNames returns the names of the layers in order.
func (m *Manifest) LayerNames() []string { return slices.Sorted(maps.Keys(m.Layers)) }

// Source is where a function's code is, and how it becomes an artifact.
type Source struct {
	// Path is a folder or a .zip file, relative to the manifest's folder,
	// with forward slashes.
	Path string
	// Line is where the manifest says so.
	Line  int
	Build Build
}

// Build is what a manifest says about building beyond the runtime, with the
// runtime's defaults filled in.
type Build struct {
	// Bundle makes one file of the handler and what it imports.
	Bundle bool
	// Minify and SourceMap are a bundle's: it is shortened; a source map is
	// written beside it.
	Minify, SourceMap bool
	// External are packages that stay out of a bundle, or PREFIX*.
	External []string
	// Include are files and folders of the source that are packed beside a
	// bundle, Exclude those that are left out of what is packed whole: paths
	// in which * and ? stand for parts of one name.
	Include, Exclude []string
}

// Layer is where a layer's files are.
type Layer struct {
	Source
	// Interpreter is what the folder's dependencies are installed for:
	// "node@20", "python". Empty installs none.
	Interpreter string
}

// Parse reads a manifest. The file's name is only for problems. The error is a
// Problems.
func Parse(file string, data []byte) (*Manifest, error) {
	m, p := parse(file, data)
	if err := p.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

func parse(file string, data []byte) (*Manifest, *parser) {
	p := &parser{file: file, spots: make(map[string]spot), broken: make(map[string]bool)}
	m := &Manifest{
		App:     &gust.App{Functions: make(map[string]*gust.Function)},
		Sources: make(map[string]Source),
		Layers:  make(map[string]Layer),
	}
	root := p.document(data)
	if root == nil {
		return m, p
	}
	manifestFields.read(p, spot{line: root.Line, column: root.Column}, root, &declaration{manifest: m})
	for _, f := range m.App.Functions {
		f.App = m.App.Name
	}
	for i := range m.App.Routes {
		m.App.Routes[i].App = m.App.Name
	}
	p.check(m.App)
	return m, p
}

// Load reads the manifest in a folder, and looks whether the sources it names
// are there. The error is a Problems, or says why the file cannot be read.
func Load(dir string) (*Manifest, error) {
	file := filepath.Join(dir, FileName)
	data, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "it is what an app is declared in"
		if _, err := os.Stat(filepath.Join(dir, "gust.yml")); err == nil {
			hint = "rename gust.yml to " + FileName
		}
		return nil, fmt.Errorf("there is no %s in %s: %s: %w", FileName, dir, hint, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	m, p := parse(file, data)
	for _, name := range m.App.FunctionNames() {
		if src, ok := m.Sources[name]; ok {
			p.checkSource(dir, rules.Join("functions", name), src)
		}
	}
	for _, name := range m.LayerNames() {
		p.checkSource(dir, rules.Join("layers", name), m.Layers[name].Source)
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

// readFile reads no more of a manifest than may be there.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: %w", file, gust.ErrInvalid)
	}
	if info.Size() > gust.MaxManifest {
		return nil, Problems{{File: file, Text: tooLarge(info.Size())}}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, gust.MaxManifest+1))
}
