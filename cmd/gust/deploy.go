package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/manifest"

	gust "github.com/gust-dev/gust"
)

func (c *command) deploy() *cobra.Command {
	var take []string
	var expect uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "deploy [DIR]",
		GroupID: "app",
		Short:   "Build an app and make the node run it",
		Long: `Build the app that DIR/gust.yaml declares (DIR is . by default), send what the
node does not have yet, and apply it: all of it, or nothing where anything is
wrong. What runs finishes on the old version. Deploying the same again changes
nothing and restarts nothing.

A function or route that another app has is not touched, unless it is named
with --take.`,
		Example: `  gust deploy
  gust deploy examples/hello
  gust deploy --take function:hello --take "route:GET /hello/{name}"`,
		Args: optional,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(func(client *api.Client) error {
				req := &api.ApplyRequest{Take: take}
				if cmd.Flags().Changed("expect") {
					req.Expect = &expect
				}
				return c.runDeploy(cmd.Context(), client, folder(args), req, asJSON)
			})
		},
	}
	cmd.Flags().StringArrayVar(&take, "take", nil, "take over a name from another app: function:NAME or route:KEY; can be repeated")
	cmd.Flags().Uint64Var(&expect, "expect", 0, "apply only if the node's revision is this one, as gust plan shows it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what changed as JSON")
	return cmd
}

// folder is the app's folder that the arguments name.
func folder(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func (c *command) runDeploy(ctx context.Context, client *api.Client, dir string, req *api.ApplyRequest, asJSON bool) error {
	working := c.err.working()
	defer working.stop()
	app, artifacts, err := buildApp(ctx, dir, working)
	if err != nil {
		return err
	}
	req.App = app
	if err := upload(ctx, client, artifacts, working); err != nil {
		return err
	}
	working.does("apply", "applying "+app.Name)
	plan, err := client.Apply(ctx, req)
	working.does("apply", "")
	if err != nil {
		return err
	}
	if asJSON {
		return c.printJSON(plan)
	}
	if len(plan.Changes) == 0 {
		fmt.Fprintf(c.out, "%s is as it is declared: nothing to change (revision %d)\n", app.Name, plan.Revision)
		return nil
	}
	c.printChanges(plan, "added", "changed", "removed")
	fmt.Fprintf(c.out, "%s is deployed (revision %d)\n", app.Name, plan.Revision)
	return c.printRoutes(ctx, client, app)
}

// printRoutes says where the app can be called.
func (c *command) printRoutes(ctx context.Context, client *api.Client, app *gust.App) error {
	if len(app.Routes) == 0 {
		return nil
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	var rows [][]string
	for i, r := range app.Routes {
		if i == 20 {
			rows = append(rows, []string{fmt.Sprintf("... and %d more", len(app.Routes)-i)})
			break
		}
		rows = append(rows, []string{"  " + r.Method, "http://" + status.HTTP + r.Path, "-> " + r.Function})
	}
	return c.out.columns(rows)
}

// buildApp reads a manifest and builds every function of it; artifacts are the
// results by digest. All builds that fail are reported.
func buildApp(ctx context.Context, dir string, working *progress) (*gust.App, map[gust.Digest]*build.Artifact, error) {
	m, err := manifest.Load(dir)
	if err != nil {
		return nil, nil, err
	}
	cache, err := buildCache()
	if err != nil {
		return nil, nil, err
	}
	names := m.App.FunctionNames()
	built := make([]*build.Artifact, len(names))
	errs := make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)/2)) // a build uses more than one core itself
	for i, name := range names {
		group.Go(func() error {
			working.does(name, "building "+name)
			defer working.does(name, "")
			built[i], errs[i] = build.Build(ctx, dir, m.App.Functions[name], m.Sources[name], build.Options{
				CacheDir: cache,
				Progress: func(text string) { working.does(name, name+": "+text) },
			})
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	artifacts := make(map[gust.Digest]*build.Artifact)
	for i, name := range names {
		m.App.Functions[name].Artifact = built[i].Digest
		artifacts[built[i].Digest] = built[i]
	}
	return m.App, artifacts, nil
}

// buildCache is the folder in which builds keep what the next one can use.
func buildCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for builds: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "gust"), nil
}

// upload sends the artifacts that the node does not have.
func upload(ctx context.Context, client *api.Client, artifacts map[gust.Digest]*build.Artifact, working *progress) error {
	for _, digest := range slices.Sorted(maps.Keys(artifacts)) {
		a := artifacts[digest]
		has, err := client.HasArtifact(ctx, digest)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		working.does("upload", fmt.Sprintf("sending %s (%s)", digest.Short(), size(a.Size)))
		err = send(ctx, client, a)
		working.does("upload", "")
		if err != nil {
			return err
		}
	}
	return nil
}

func send(ctx context.Context, client *api.Client, a *build.Artifact) error {
	f, err := os.Open(a.Path)
	if err != nil {
		return fmt.Errorf("sending an artifact: %w", err)
	}
	defer f.Close()
	return client.PutArtifact(ctx, a.Digest, f, a.Size)
}
