// Package build turns a function's source into its artifact. What the artifact
// holds, and how the source becomes it, depends on the runtime:
//
//   - go: a folder with a Go program (a module of its own, or a package of one)
//     is compiled to the executable bootstrap; nothing else of it is packed.
//   - provided: a folder with an executable bootstrap is packed, a .zip is taken
//     as it is.
//   - http: as provided when there is a bootstrap or the function has a
//     command, and else as go.
//
// The same source, compiled by the same toolchain, makes the same artifact.
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
	"time"

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
	// Progress, if set, is told what begins, in a few words. Calls do not
	// overlap.
	Progress func(string)
	// Debug names functions that are built for a debugger: with its tables,
	// without optimisations, and with the paths that the source has here.
	Debug []string
}

// Artifact is a built zip.
type Artifact struct {
	Path   string
	Digest gust.Digest
	Size   int64
}

// Build builds a function from its source below the folder root. An error names
// the function, and has the compiler's own output if that failed.
func Build(ctx context.Context, root string, f *gust.Function, src manifest.Source, o Options) (*Artifact, error) {
	if o.GOARCH == "" {
		o.GOARCH = runtime.GOARCH
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	b := &builder{Options: o, function: f, name: src.Path, source: filepath.Join(root, filepath.FromSlash(src.Path))}
	a, err := b.build(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("function %s: %w", f.Name, err)
	}
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
	var progress sync.Mutex
	// one builds what a key stands for at most once.
	one := make(map[string]func() result)
	keys := make(map[string]string)
	for _, name := range app.FunctionNames() {
		f, src := app.Functions[name], sources[name]
		// All that an artifact and what Inspect says of it depends on.
		key := fmt.Sprintf("%s %q %q %t", f.Runtime, filepath.Clean(src.Path), f.Command, slices.Contains(o.Debug, name))
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
	function *gust.Function
	name     string // the source as the manifest calls it
	source   string // and where it is
}

func (b *builder) build(ctx context.Context) (*Artifact, error) {
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
	switch b.function.Runtime {
	case gust.RuntimeGo:
		if isZip {
			return nil, fmt.Errorf("the source %s is a .zip file, and runtime go builds a folder: %w", b.name, gust.ErrInvalid)
		}
		return b.goProgram(ctx)
	case gust.RuntimeProvided:
		if isZip {
			return b.zip(ctx)
		}
		return b.folder(ctx)
	case gust.RuntimeHTTP:
		switch {
		case isZip:
			return b.zip(ctx)
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
	b.Progress("packing " + b.name)
	return b.keep(func(w io.Writer) error {
		return artifact.Pack(ctx, w, b.source, artifact.PackOptions{})
	})
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
	if err := artifact.DefaultInspector(b.GOARCH).Inspect(f, size, b.function); err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	a := &Artifact{Digest: gust.Digest(hex.EncodeToString(h.Sum(nil))), Size: size}
	a.Path = filepath.Join(b.dir(), string(a.Digest)+".zip")
	if err := os.Rename(f.Name(), a.Path); err != nil {
		return nil, err
	}
	return a, nil
}

const (
	pruneEvery = 24 * time.Hour
	pruneOlder = 7 * 24 * time.Hour
)

// prune removes, once a day, what nobody built for a week.
func (b *builder) prune() error {
	marker := filepath.Join(b.CacheDir, "pruned")
	if info, err := os.Stat(marker); err == nil && time.Since(info.ModTime()) < pruneEvery {
		return nil
	}
	if err := os.WriteFile(marker, nil, 0o644); err != nil {
		return err
	}
	now := time.Now()
	if err := os.Chtimes(marker, now, now); err != nil {
		return err
	}
	entries, err := os.ReadDir(b.dir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && now.Sub(info.ModTime()) > pruneOlder {
			err = os.RemoveAll(filepath.Join(b.dir(), e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another build prunes too
			return err
		}
	}
	return nil
}
