package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

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
			req := &api.ApplyRequest{Take: take}
			if cmd.Flags().Changed("expect") {
				req.Expect = &expect
			}
			m, err := manifest.Load(folder(args)) // its problems can be told without a node
			if err != nil {
				return err
			}
			return c.withClient(func(client *api.Client) error {
				return c.runDeploy(cmd.Context(), client, folder(args), m, req, asJSON)
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

func (c *command) runDeploy(ctx context.Context, client *api.Client, dir string, m *manifest.Manifest, req *api.ApplyRequest, asJSON bool) error {
	working := c.err.working()
	defer working.stop()
	artifacts, err := buildApp(ctx, client, dir, m, working)
	if err != nil {
		return err
	}
	app := m.App
	req.App = app
	working.does("apply", "deploying "+app.Name)
	plan, err := client.Apply(ctx, req)
	var missing *api.Error
	if errors.As(err, &missing) && missing.Code == api.CodeArtifactMissing {
		if err := upload(ctx, client, artifacts, missing.Details, working); err != nil {
			return err
		}
		plan, err = client.Apply(ctx, req)
	}
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
		rows = append(rows, []string{"  " + r.Method, "http://" + api.Reachable(status.HTTP) + r.Path, "-> " + r.Function})
	}
	return c.out.columns(rows)
}

// buildApp builds every function of a manifest for the node's processor, and
// tells the app; artifacts are the results by digest.
func buildApp(ctx context.Context, client *api.Client, dir string, m *manifest.Manifest, working *progress) (map[gust.Digest]*build.Artifact, error) {
	of, err := client.Version(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := buildCache()
	if err != nil {
		return nil, err
	}
	_, arch, _ := strings.Cut(of.Platform, "/")
	built, err := build.All(ctx, dir, m.App, m.Sources, build.Options{
		CacheDir: cache,
		GOARCH:   arch,
		Progress: func(text string) { working.does("build", text) },
	})
	working.does("build", "")
	if err != nil {
		return nil, err
	}
	artifacts := make(map[gust.Digest]*build.Artifact)
	for name, a := range built {
		m.App.Functions[name].Artifact = a.Digest
		artifacts[a.Digest] = a
	}
	return artifacts, nil
}

// buildCache is the folder in which builds keep what the next one can use.
func buildCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for builds: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "gust"), nil
}

// upload sends the artifacts with these digests.
func upload(ctx context.Context, client *api.Client, artifacts map[gust.Digest]*build.Artifact, digests []string, working *progress) error {
	for _, digest := range digests {
		a := artifacts[gust.Digest(digest)]
		if a == nil {
			return fmt.Errorf("the node wants an artifact that nothing here is built to: %s", digest)
		}
		working.does("upload", fmt.Sprintf("sending %s (%s)", a.Digest.Short(), size(a.Size)))
		err := send(ctx, client, a)
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
