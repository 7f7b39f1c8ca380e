// Package deploy takes an app from its folder to a node: it builds what the
// manifest declares, sends what the node does not have, and applies all of it
// or nothing. It is what `gust deploy`, `gust dev`, `gust test` and package
// gusttest have in common.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/manifest"
)

// App is an app in a folder, on its way to a node. It is for one goroutine.
type App struct {
	Client   *api.Client
	Dir      string
	Manifest *manifest.Manifest
	// Progress, if set, is told what is being done about a key ("build",
	// "upload", "apply"), and with an empty text that it is over.
	Progress func(key, text string)
	// Debug names functions that are built for a debugger.
	Debug []string

	// Built are the artifacts of functions, and Layers those of layers, by
	// name.
	Built, Layers map[string]*build.Artifact

	os, arch string // the node's
	python   string // the newest that it has, if that was needed
}

// New loads the manifest in dir; its problems can be told without a node. The
// client may be set later.
func New(client *api.Client, dir string) (*App, error) {
	m, err := manifest.Load(dir)
	if err != nil {
		return nil, err
	}
	return &App{Client: client, Dir: dir, Manifest: m, Progress: func(string, string) {},
		Built: make(map[string]*build.Artifact), Layers: make(map[string]*build.Artifact)}, nil
}

// Build builds the functions with these names and their layers, and those that
// never were, or without names all, for the node's processor, and tells the
// manifest's app their artifacts. The others keep what the last Build made of
// them. An error is everything that failed; nothing has changed then.
func (a *App) Build(ctx context.Context, names ...string) error {
	if a.arch == "" {
		of, err := a.Client.Version(ctx)
		if err != nil {
			return err
		}
		a.os, a.arch, _ = strings.Cut(of.Platform, "/")
	}
	cache, err := Cache()
	if err != nil {
		return err
	}
	app := *a.Manifest.App
	if len(names) > 0 {
		app.Functions = maps.Clone(app.Functions)
		maps.DeleteFunc(app.Functions, func(name string, _ *gust.Function) bool { return !slices.Contains(names, name) && a.Built[name] != nil })
	}
	used := make(map[string]manifest.Layer)
	for _, f := range app.Functions {
		if err := a.newest(ctx, f.Interpreter); err != nil {
			return err
		}
		for _, l := range f.Layers {
			used[l.Name] = a.Manifest.Layers[l.Name]
		}
	}
	options := build.Options{
		CacheDir: cache,
		GOOS:     a.os,
		GOARCH:   a.arch,
		Progress: func(text string) { a.Progress("build", text) },
		Debug:    a.Debug,
		Layers:   a.Manifest.Layers,
		Python:   a.python,
	}
	defer a.Progress("build", "")
	layers, err := build.Layers(ctx, a.Dir, used, options)
	built, err2 := build.All(ctx, a.Dir, &app, a.Manifest.Sources, options)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	maps.Copy(a.Layers, layers)
	maps.Copy(a.Built, built)
	for name, f := range a.Manifest.App.Functions {
		if b := a.Built[name]; b != nil {
			f.Artifact = b.Digest
		}
		for i, l := range f.Layers {
			if b := a.Layers[l.Name]; b != nil {
				f.Layers[i].Artifact = b.Digest
			}
		}
	}
	return nil
}

// newest asks the node which Python it gives to functions that name no version:
// packages are installed for one.
func (a *App) newest(ctx context.Context, interpreter string) error {
	if interpreter != string(gust.RuntimePython) || a.python != "" {
		return nil
	}
	list, err := a.Client.Runtimes(ctx)
	if err != nil {
		return err
	}
	newest := -1
	for _, r := range list {
		minor, err := strconv.Atoi(strings.TrimPrefix(r.Name, "python@3."))
		if err == nil && r.Current && minor > newest {
			newest, a.python = minor, "3."+strconv.Itoa(minor)
		}
	}
	return nil
}

// Apply makes the node's app as the manifest's is, all or nothing, and says
// what that changed. Req.App is set here.
func (a *App) Apply(ctx context.Context, req api.ApplyRequest) (*catalog.Plan, error) {
	req.App = a.Manifest.App
	a.Progress("apply", "deploying "+req.App.Name)
	defer a.Progress("apply", "")
	plan, err := a.Client.Apply(ctx, &req)
	var missing *api.Error
	if errors.As(err, &missing) && missing.Code == api.CodeArtifactMissing {
		if err := a.upload(ctx, missing.Details); err != nil {
			return nil, err
		}
		plan, err = a.Client.Apply(ctx, &req)
	}
	return plan, err
}

// Cache is the folder in which builds keep what the next one can use.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for builds: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "gust"), nil
}

// upload sends the artifacts with these digests.
func (a *App) upload(ctx context.Context, digests []string) error {
	of := make(map[string]*build.Artifact)
	for _, artifacts := range []map[string]*build.Artifact{a.Built, a.Layers} {
		for _, b := range artifacts {
			of[string(b.Digest)] = b
		}
	}
	defer a.Progress("upload", "")
	for _, digest := range digests {
		b := of[digest]
		if b == nil {
			return fmt.Errorf("the node wants an artifact that nothing here is built to: %s", digest)
		}
		a.Progress("upload", fmt.Sprintf("sending %s (%.1f MB)", b.Digest.Short(), float64(b.Size)/gust.MB))
		if err := a.send(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) send(ctx context.Context, b *build.Artifact) error {
	f, err := os.Open(b.Path)
	if err != nil {
		return fmt.Errorf("sending an artifact: %w", err)
	}
	defer f.Close()
	return a.Client.PutArtifact(ctx, b.Digest, f, b.Size)
}
