// Package build turns a function's source into its artifact. What the artifact
// holds, and how the source becomes it, depends on the runtime:
//
//   - go: a folder with a Go program (a module of its own, or a package of one)
//     is compiled to the executable bootstrap; nothing else of it is packed.
//   - provided: a folder with an executable bootstrap is packed, a .zip is taken
//     as it is.
//   - http: as provided when there is a bootstrap or the function has a
//     command, and else as go.
//   - node: the handler's module and all that it imports are bundled to one
//     file; packages that cannot be bundled are packed beside it.
//   - python: a folder is packed with its dependencies, all compiled.
//
// Where package.json, requirements.txt or pyproject.toml stands, and the
// function has an interpreter for it, dependencies are installed as its lockfile
// says: into a cache, never into the source. docs/BUILD.md tells of it. The same
// source, built by the same tools, makes the same artifact.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/manifest"
)

// Options configures building.
type Options struct {
	// CacheDir is where artifacts are put. It is made when it is not there.
	// What was not built again for a week may be removed from it.
	CacheDir string
	// GOARCH is the node's processor in Go's names; empty is this machine's.
	GOARCH string
	// GOOS is the node's system in Go's names; empty is linux. Others run
	// functions without isolation only.
	GOOS string
	// Progress, if set, is told what begins, in a few words. Calls do not
	// overlap.
	Progress func(string)
	// Debug names functions that are built for a debugger: with its tables,
	// without optimisations, and with the paths that the source has here.
	Debug []string
	// Python is the version that functions get that ask for no version,
	// "3.12"; empty is that of the python3 in PATH.
	Python string
	// Layers are the manifest's: a package that one brings is not missed.
	Layers map[string]manifest.Layer

	installs *installs // shared by the builds of one call
}

// Artifact is a built zip.
type Artifact struct {
	Path   string
	Digest gust.Digest
	Size   int64
	// Files is how many it holds, Unpacked their bytes, and Parts what they
	// are, the largest first.
	Files    int
	Unpacked int64
	Parts    []Part
	// Warnings are what whoever builds should know though it was built.
	Warnings []string
}

// Build builds a function from its source below the folder root. An error names
// the function, and has the compiler's own output if that failed.
func Build(ctx context.Context, root string, f *gust.Function, src manifest.Source, o Options) (*Artifact, error) {
	b, err := newBuilder(root, f, src, o)
	if err != nil {
		return nil, err
	}
	a, err := b.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", f.Name, err)
	}
	return a, nil
}

func newBuilder(root string, f *gust.Function, src manifest.Source, o Options) (*builder, error) {
	if o.GOARCH == "" {
		o.GOARCH = runtime.GOARCH
	}
	if o.GOOS == "" {
		o.GOOS = "linux"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.installs == nil {
		o.installs = &installs{}
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	b := &builder{Options: o, function: f, name: src.Path, build: src.Build, inside: make(map[string]map[string]int64)}
	b.root, b.source = realPath(root), realPath(filepath.Join(root, filepath.FromSlash(src.Path)))
	return b, nil
}

// realPath is a path without links, as tools tell it, or the path itself where
// there is nothing.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

func (b *builder) run(ctx context.Context) (*Artifact, error) {
	a, err := b.make(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.Warnings = b.warnings
	return a, nil
}

// All builds every function of an app, as many at once as there are cores, and
// sources that make the same artifact once. It returns the artifacts by
// function, or everything that failed.
func All(ctx context.Context, root string, app *gust.App, sources map[string]manifest.Source, o Options) (map[string]*Artifact, error) {
	type result struct {
		artifact *Artifact
		err      error
	}
	o.installs = &installs{}
	var progress sync.Mutex
	// one builds what a key stands for at most once.
	one := make(map[string]func() result)
	keys := make(map[string]string)
	for _, name := range app.FunctionNames() {
		f, src := app.Functions[name], sources[name]
		// All that an artifact and what Inspect says of it depends on.
		key := fmt.Sprintf("%s %q %q %q %q %+v %v %t", f.Runtime, filepath.Clean(src.Path), f.Command, f.Interpreter, f.Handler, src.Build, f.Layers,
			slices.Contains(o.Debug, name))
		keys[name] = key
		if one[key] != nil {
			continue
		}
		opts := o
		opts.Progress = func(text string) {
			if o.Progress != nil {
				progress.Lock()
				defer progress.Unlock()
				o.Progress(name + ": " + text)
			}
		}
		one[key] = sync.OnceValue(func() result {
			a, err := Build(ctx, root, f, src, opts)
			return result{a, err}
		})
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, build := range one {
		group.Go(func() error {
			build()
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	artifacts := make(map[string]*Artifact, len(keys))
	var errs []error
	for _, name := range app.FunctionNames() {
		r := one[keys[name]]()
		switch {
		case r.err == nil:
			artifacts[name] = r.artifact
		case !errors.Is(errors.Join(errs...), r.err):
			errs = append(errs, r.err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return artifacts, nil
}

// builder builds one function.
type builder struct {
	Options
	function *gust.Function // of a layer its name and its interpreter
	layer    bool
	root     string // the manifest's folder
	name     string // the source as the manifest calls it
	source   string // and where it is
	build    manifest.Build
	// inside says of files in the artifact what they are made of, by size.
	inside   map[string]map[string]int64
	warnings []string
}

func (b *builder) warn(text string) { b.warnings = append(b.warnings, text) }

func (b *builder) make(ctx context.Context) (*Artifact, error) {
	if err := os.MkdirAll(b.dir(), 0o755); err != nil {
		return nil, err
	}
	if err := b.prune(); err != nil {
		return nil, err
	}
	info, err := os.Stat(b.source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the source %s is not there: %w", b.name, gust.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	isZip := info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(b.source), ".zip")
	if !info.IsDir() && !isZip {
		return nil, fmt.Errorf("the source %s is neither a folder nor a .zip file: %w", b.name, gust.ErrInvalid)
	}
	interpreter, _, _ := strings.Cut(b.function.Interpreter, "@")
	switch {
	case isZip && b.function.Runtime != gust.RuntimeGo:
		return b.zip(ctx)
	case b.layer:
		return b.layerFolder(ctx)
	}
	switch b.function.Runtime {
	case gust.RuntimeNode:
		return b.nodeFunction(ctx)
	case gust.RuntimePython:
		return b.pythonFolder(ctx, "", "", "/var/task")
	case gust.RuntimeGo:
		if isZip {
			return nil, fmt.Errorf("the source %s is a .zip file, and runtime go builds a folder: %w", b.name, gust.ErrInvalid)
		}
		return b.goProgram(ctx)
	case gust.RuntimeProvided, gust.RuntimeHTTP:
		http := b.function.Runtime == gust.RuntimeHTTP
		switch {
		case interpreter == "python":
			return b.pythonFolder(ctx, "", "", "/var/task")
		case interpreter == "node" && http && b.build.Bundle:
			return b.bundledCommand(ctx)
		case interpreter == "node":
			return b.nodeFolder(ctx, "")
		case !http:
			return b.folder(ctx)
		case len(b.function.Command) > 0 || b.has("bootstrap"):
			return b.folder(ctx)
		case b.has("*.go"):
			return b.goProgram(ctx)
		}
		return nil, fmt.Errorf("the folder %s has neither an executable named bootstrap nor Go files, and the function has no command: %w", b.name, gust.ErrInvalid)
	}
	return nil, fmt.Errorf("runtime %q is not built yet in this version of gust: %w", b.function.Runtime, gust.ErrInvalid)
}

// has reports whether the source folder has a file that matches a pattern.
func (b *builder) has(pattern string) bool {
	files, err := fs.Glob(os.DirFS(b.source), pattern)
	return err == nil && len(files) > 0
}

// folder packs the source folder as it is.
func (b *builder) folder(ctx context.Context) (*Artifact, error) {
	source, err := b.whole(nil)
	if err != nil {
		return nil, err
	}
	b.Progress("packing " + b.name)
	return b.keep(func(w io.Writer) error { return artifact.PackTrees(ctx, w, source) })
}

// zip takes a zip as it is.
func (b *builder) zip(ctx context.Context) (*Artifact, error) {
	b.Progress("checking " + b.name)
	in, err := os.Open(b.source)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return b.keep(func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(in, gust.MaxArtifact+1))
		if err == nil && n > gust.MaxArtifact {
			err = fmt.Errorf("%s has more than the %d bytes that an artifact may have: %w", b.name, int64(gust.MaxArtifact), gust.ErrTooLarge)
		}
		return err
	})
}

func (b *builder) dir() string { return filepath.Join(b.CacheDir, "artifacts") }

// keep writes an artifact into the cache under its digest, after it was judged.
func (b *builder) keep(write func(io.Writer) error) (_ *Artifact, err error) {
	f, err := os.CreateTemp(b.dir(), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if rerr := os.Remove(f.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	h := sha256.New()
	if err := write(io.MultiWriter(f, h)); err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	inspector := artifact.DefaultInspector(b.GOARCH)
	inspector.GOOS = b.GOOS
	if b.layer {
		err = inspector.InspectLayer(f, size)
	} else {
		err = inspector.Inspect(f, size, b.function)
	}
	var contents []artifact.Content
	if err == nil {
		contents, err = artifact.Contents(f, size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	a := &Artifact{Digest: gust.Digest(hex.EncodeToString(h.Sum(nil))), Size: size}
	a.Path = filepath.Join(b.dir(), string(a.Digest)+".zip")
	a.measure(contents, b.inside)
	if err := os.Rename(f.Name(), a.Path); err != nil {
		return nil, err
	}
	return a, nil
}
