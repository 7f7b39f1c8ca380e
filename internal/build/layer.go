package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/manifest"
)

// Layers builds the layers of a manifest, or everything that failed.
func Layers(ctx context.Context, root string, layers map[string]manifest.Layer, o Options) (map[string]*Artifact, error) {
	built := make(map[string]*Artifact, len(layers))
	var errs []error
	for _, name := range sortedKeys(layers) {
		a, err := buildLayer(ctx, root, name, layers[name], o)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		built[name] = a
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return built, nil
}

func buildLayer(ctx context.Context, root, name string, l manifest.Layer, o Options) (*Artifact, error) {
	if o.Progress != nil {
		progress := o.Progress
		o.Progress = func(text string) { progress("layer " + name + ": " + text) }
	}
	b, err := newBuilder(root, &gust.Function{Name: name, Interpreter: l.Interpreter}, l.Source, o)
	if err != nil {
		return nil, err
	}
	b.layer = true
	a, err := b.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", name, err)
	}
	return a, nil
}

// layerFolder packs the folder of a layer, with its dependencies where the
// interpreters look for them in /opt.
func (b *builder) layerFolder(ctx context.Context) (*Artifact, error) {
	family, _, _ := strings.Cut(b.function.Interpreter, "@")
	if family == "python" {
		return b.pythonFolder(ctx, "", "python", "/opt")
	}
	if family == "node" {
		return b.nodeFolder(ctx, "nodejs")
	}
	return b.folder(ctx)
}

// nodeFolder packs the source folder as it is, with its dependencies in the
// folder node_modules of prefix.
func (b *builder) nodeFolder(ctx context.Context, prefix string) (*Artifact, error) {
	m, err := b.nodeModules(ctx)
	if err != nil {
		return nil, err
	}
	installed := m != nil && m.dir != ""
	source, err := b.whole(func(name string) bool {
		// What is installed here is for this machine, and with what is for
		// development.
		return installed && name == "node_modules" || path.Base(name) == ".DS_Store"
	})
	if err != nil {
		return nil, err
	}
	var trees []artifact.Tree
	if installed {
		if trees, err = m.trees(m.all(), prefix); err != nil {
			return nil, err
		}
	}
	b.Progress("packing " + b.name)
	return b.keep(func(w io.Writer) error { return artifact.PackTrees(ctx, w, append(trees, source)...) })
}

// nodeFunction builds a function of runtime node from a folder.
func (b *builder) nodeFunction(ctx context.Context) (*Artifact, error) {
	module := artifact.Module(gust.RuntimeNode, b.function.Handler)
	if module == "" || path.IsAbs(module) || !b.build.Bundle {
		return b.nodeFolder(ctx, "")
	}
	return b.bundled(ctx, path.Clean(module), "")
}

// bundledCommand bundles the module that an http function's command starts:
// server.js of [node, server.js], which may be compiled from server.ts.
func (b *builder) bundledCommand(ctx context.Context) (*Artifact, error) {
	for _, word := range b.function.Command {
		switch ending := filepath.Ext(word); ending {
		case ".js", ".mjs", ".cjs":
			return b.bundled(ctx, strings.TrimSuffix(path.Clean(word), ending), ending)
		}
	}
	return nil, fmt.Errorf("the command %q names no .js, .mjs or .cjs file that could be bundled: write one as [node, server.js], or leave build.bundle out: %w", b.function.Command, gust.ErrInvalid)
}
