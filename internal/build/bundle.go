package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// sourceEndings are what a module's file can end in, in the order in which they
// are looked for: what is compiled from comes before what it was compiled to.
var sourceEndings = []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}

// Packages that are CommonJS ask for what an ES module does not have: a bundle
// that is one begins with require, and has the others where they are asked for.
const esmBanner = `import { createRequire as __gustCreateRequire } from "node:module"; const require = __gustCreateRequire(import.meta.url);`

const esmShims = `import { fileURLToPath as __toPath } from "node:url";
import { dirname as __dir } from "node:path";
export const __filename = /* @__PURE__ */ __toPath(import.meta.url);
export const __dirname = /* @__PURE__ */ __dir(/* @__PURE__ */ __toPath(import.meta.url));
`

// bundler makes one file of a module and what it imports.
type bundler struct {
	*builder
	modules *modules // nil is a folder without a package.json
	entry   string   // the module's file
	esm     bool
	out     string // a folder for the bundle and what it takes to make it
	// links is a folder that resolves local packages to where they are.
	links string
	// external are the installed packages that are packed beside the bundle.
	// esbuild resolves on many goroutines; mu guards them.
	mu       sync.Mutex
	external map[string]bool
}

// bundle makes the files of a bundle of the module (its path in the source,
// without an ending) in the folder out. The name of the bundle is the module's,
// with ending, or if that is "" with that of its kind.
func (b *builder) bundle(ctx context.Context, m *modules, module, ending, out string) ([]artifact.Tree, error) {
	n := &bundler{builder: b, modules: m, external: make(map[string]bool), out: out, links: filepath.Join(out, "links")}
	var err error
	if n.entry, n.esm, err = b.entryPoint(module); err != nil {
		return nil, err
	}
	switch {
	case ending != "":
	case n.esm:
		ending = ".mjs"
	default:
		ending = ".cjs"
	}
	if err := n.link(); err != nil {
		return nil, err
	}
	b.Progress("bundling " + b.name)
	options := n.options(filepath.Join(b.source, filepath.FromSlash(module)) + ending)
	if n.esm {
		shims := filepath.Join(out, "shims.mjs")
		if err := os.WriteFile(shims, []byte(esmShims), 0o644); err != nil {
			return nil, err
		}
		options.Banner = map[string]string{"js": esmBanner}
		options.Inject = []string{shims}
	}
	built, failed := api.Context(options)
	if failed != nil {
		return nil, n.failed(failed.Errors)
	}
	defer built.Dispose()
	stop := context.AfterFunc(ctx, built.Cancel)
	result := built.Rebuild()
	stop()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(result.Errors) > 0 {
		return nil, n.failed(result.Errors)
	}
	for i, w := range result.Warnings {
		if i < 10 {
			b.warn(n.message(w))
		}
	}
	files := filepath.Join(out, "files")
	for _, f := range result.OutputFiles {
		rel, err := filepath.Rel(b.source, f.Path)
		if err != nil {
			return nil, err
		}
		data := n.portable(f.Contents, filepath.Dir(f.Path))
		path := filepath.Join(files, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			return nil, err
		}
	}
	trees := []artifact.Tree{{Dir: files}}
	if include := b.build.Include; len(include) > 0 {
		tree, err := b.included(include)
		if err != nil {
			return nil, err
		}
		trees = append([]artifact.Tree{tree}, trees...)
	}
	if m != nil && len(n.external) > 0 {
		packages, err := m.trees(m.closure(sortedKeys(n.external)), "")
		if err != nil {
			return nil, err
		}
		trees = append(trees, packages...)
	}
	n.inputs(result.Metafile)
	return trees, nil
}

// entryPoint finds a module's file, and whether it is an ES module.
func (b *builder) entryPoint(module string) (file string, esm bool, err error) {
	for _, ending := range sourceEndings {
		file := filepath.Join(b.source, filepath.FromSlash(module)+ending)
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch ending {
		case ".mts", ".mjs":
			return file, true, nil
		case ".cts", ".cjs":
			return file, false, nil
		}
		for dir := range b.upward(filepath.Dir(file)) {
			if pkg, _, err := readPackageJSON(filepath.Join(dir, "package.json")); err == nil {
				return file, pkg.Type == "module", nil
			} else if !errors.Is(err, os.ErrNotExist) {
				return "", false, err
			}
		}
		return file, false, nil
	}
	return "", false, fmt.Errorf("there is no %s.ts, .js, .mjs or .cjs in %s, which %s names: %w", module, b.name, b.calls(), gust.ErrInvalid)
}

// calls says what names the module that a function begins with.
func (b *builder) calls() string {
	if b.function.Handler != "" {
		return fmt.Sprintf("the handler %q", b.function.Handler)
	}
	return "the function's command"
}

func (n *bundler) options(outfile string) api.BuildOptions {
	o := api.BuildOptions{
		EntryPoints:   []string{n.entry},
		Outfile:       outfile,
		AbsWorkingDir: n.source,
		Bundle:        true,
		Metafile:      true,
		Platform:      api.PlatformNode,
		Format:        api.FormatCommonJS,
		Target:        api.ESNext,
		Engines:       []api.Engine{{Name: api.EngineNode, Version: n.nodeMajor()}},
		TreeShaking:   api.TreeShakingTrue,
		LegalComments: api.LegalCommentsNone,
		Charset:       api.CharsetUTF8,
		LogLevel:      api.LogLevelSilent,
		LogLimit:      20,
		Loader: map[string]api.Loader{
			".node": api.LoaderCopy, ".wasm": api.LoaderCopy,
			".html": api.LoaderText, ".sql": api.LoaderText, ".graphql": api.LoaderText, ".gql": api.LoaderText,
		},
		AssetNames: "[name]-[hash]",
		Plugins:    []api.Plugin{{Name: "gust", Setup: n.setup}},
	}
	if n.esm {
		o.Format = api.FormatESModule
	}
	if n.build.SourceMap {
		o.Sourcemap, o.SourcesContent = api.SourceMapLinked, api.SourcesContentExclude
	}
	if n.build.Minify {
		o.MinifyWhitespace, o.MinifyIdentifiers, o.MinifySyntax = true, true, true
		o.KeepNames = true // the names of errors' classes are seen by callers
	}
	return o
}

// defaultNode is what is compiled for when a function takes the newest node
// that there is: one that is older than any of them, so that the artifact is the
// same wherever it goes.
const defaultNode = "18"

func (n *bundler) nodeMajor() string {
	if _, version, ok := strings.Cut(n.function.Interpreter, "@"); ok {
		return version
	}
	return defaultNode
}

// link makes the folder that resolves local packages to their folders here.
func (n *bundler) link() error {
	if n.modules == nil {
		return nil
	}
	for name, dir := range n.modules.project.local {
		at := filepath.Join(n.links, "node_modules", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(dir, at); err != nil {
			return err
		}
	}
	return os.MkdirAll(n.links, 0o755)
}

// resolving marks what setup itself asks esbuild to resolve.
type resolving struct{}

// setup lets packages be found in the cache, where they are as the lockfile
// says, and not in a node_modules of the source, where they are as they happen
// to be.
func (n *bundler) setup(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: `^[^.#]`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		_, asked := args.PluginData.(resolving)
		if asked || args.Kind == api.ResolveEntryPoint || args.Namespace != "file" && args.Namespace != "" {
			return api.OnResolveResult{}, nil
		}
		switch {
		case strings.HasPrefix(args.Path, "/opt/"): // a layer's file
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		case strings.HasPrefix(args.Path, "/"), strings.Contains(args.Path, ":"): // node:fs, https://, data:
			return api.OnResolveResult{}, nil
		}
		name := packageName(args.Path)
		folder := n.installedFor(args.ResolveDir, name)
		if n.isExternal(name) || folder != "" && n.modules.installed[folder].Native {
			if folder != "" {
				n.mu.Lock()
				n.external[folder] = true
				n.mu.Unlock()
			}
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		}
		if n.isInstalled(args.ResolveDir) {
			return api.OnResolveResult{}, nil // all that it needs is in the cache
		}
		ask := func(dir string) *api.OnResolveResult {
			r := b.Resolve(args.Path, api.ResolveOptions{ResolveDir: dir, Importer: args.Importer, Kind: args.Kind, With: args.With, PluginData: resolving{}})
			if len(r.Errors) > 0 || r.Path == "" {
				return nil
			}
			out := &api.OnResolveResult{Path: r.Path, External: r.External, Namespace: r.Namespace, Suffix: r.Suffix}
			if !r.SideEffects {
				out.SideEffects = api.SideEffectsFalse
			}
			return out
		}
		if n.modules != nil && n.modules.project.local[name] != "" {
			if r := ask(n.links); r != nil {
				return *r, nil
			}
		} else if folder != "" {
			if r := ask(filepath.Join(n.modules.dir, filepath.FromSlash(path.Dir(folder)))); r != nil {
				return *r, nil
			}
		}
		r := ask(args.ResolveDir) // a path of tsconfig.json, or one of Node.js' own
		switch {
		case r != nil && !r.External && strings.Contains(r.Path, "/node_modules/"):
			return api.OnResolveResult{}, fmt.Errorf("the package %q is in a node_modules here, but no package.json lists it among its dependencies: run npm install %s", name, name)
		case r != nil:
			return *r, nil
		case n.layerHas(name):
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		case folder != "":
			return api.OnResolveResult{}, nil // esbuild says what of the package is not there
		case args.Kind == api.ResolveJSRequireCall || args.Kind == api.ResolveJSRequireResolve || args.Kind == api.ResolveJSDynamicImport:
			return api.OnResolveResult{}, nil // it may be in a try: esbuild knows
		}
		return api.OnResolveResult{}, fmt.Errorf("there is no package %q: list it in package.json (npm install %s), or in build.external if it is there when the function runs", name, name)
	})
}

// packageName is the package that an import names: "@a/b" of "@a/b/c".
func packageName(path string) string {
	name, rest, _ := strings.Cut(path, "/")
	if strings.HasPrefix(name, "@") {
		second, _, _ := strings.Cut(rest, "/")
		name += "/" + second
	}
	return name
}

// installedFor is the folder in the cache of the package that a file in dir gets
// by a name, or "".
func (n *bundler) installedFor(dir, name string) string {
	if n.modules == nil {
		return ""
	}
	if n.isInstalled(dir) {
		rel, _ := filepath.Rel(n.modules.dir, dir)
		return n.modules.find(filepath.ToSlash(rel), name)
	}
	return n.modules.find(n.modules.mirror(dir), name)
}

// isInstalled reports whether a folder is in the cache.
func (n *bundler) isInstalled(dir string) bool {
	return n.modules != nil && n.modules.dir != "" && within(n.modules.dir, dir)
}

func (n *bundler) isExternal(name string) bool {
	return slices.ContainsFunc(n.build.External, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == pattern
	})
}

// layerHas reports whether a layer of the function brings a package.
func (n *bundler) layerHas(name string) bool {
	for _, l := range n.function.Layers {
		src := n.Layers[l.Name]
		dir := filepath.Join(n.root, filepath.FromSlash(src.Path))
		if exists(filepath.Join(dir, "nodejs", "node_modules", filepath.FromSlash(name))) {
			return true
		}
		if pkg, _, err := readPackageJSON(filepath.Join(dir, "package.json")); err == nil && slices.Contains(pkg.dependencies(), name) {
			return true
		}
	}
	return false
}

// portable takes the paths of this machine out of what esbuild wrote for a file
// in dir: packages stand where they are below the project, wherever the cache is.
// Each of the folders has a name that is found nowhere else.
func (n *bundler) portable(data []byte, dir string) []byte {
	folders := []string{n.out}
	if n.modules != nil && n.modules.dir != "" {
		folders = append(folders, n.modules.dir)
	}
	for _, folder := range folders {
		// A map tells paths from where it stands, code from the source folder;
		// the first is the longer one.
		for _, from := range []string{dir, n.source} {
			if rel, err := filepath.Rel(from, folder); err == nil {
				data = bytes.ReplaceAll(data, []byte(filepath.ToSlash(rel)+"/"), nil)
			}
		}
	}
	return data
}

// failed makes one error of what esbuild says.
func (n *bundler) failed(messages []api.Message) error {
	var lines []string
	for _, m := range messages {
		lines = append(lines, n.message(m))
	}
	return &ToolError{Doing: "bundling " + n.name, Output: strings.Join(lines, "\n"), err: errors.New("esbuild refused it")}
}

func (n *bundler) message(m api.Message) string {
	text := m.Text
	if l := m.Location; l != nil {
		text = fmt.Sprintf("%s:%d:%d: %s", path.Join(n.name, l.File), l.Line, l.Column+1, text)
	}
	return text
}

// inputs says what the files of a bundle are made of.
func (n *bundler) inputs(metafile string) {
	var meta struct {
		Outputs map[string]struct {
			Inputs map[string]struct {
				BytesInOutput int64 `json:"bytesInOutput"`
			} `json:"inputs"`
		} `json:"outputs"`
	}
	if json.Unmarshal([]byte(metafile), &meta) != nil {
		return // then sizes are told by file alone
	}
	for file, out := range meta.Outputs {
		if len(out.Inputs) < 2 {
			continue
		}
		n.inside[file] = make(map[string]int64)
		for input, in := range out.Inputs {
			n.inside[file][partOf(input)] += in.BytesInOutput
		}
	}
}

// bundled builds a function whose code is one module.
func (b *builder) bundled(ctx context.Context, module, ending string) (_ *Artifact, err error) {
	m, err := b.nodeModules(ctx)
	if err != nil {
		return nil, err
	}
	out, err := os.MkdirTemp(b.dir(), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	if out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	trees, err := b.bundle(ctx, m, module, ending, out)
	if err != nil {
		return nil, err
	}
	return b.keep(func(w io.Writer) error { return artifact.PackTrees(ctx, w, trees...) })
}
