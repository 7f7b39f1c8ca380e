package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/deploy"

	gust "github.com/gust-dev/gust"
)

func (c *command) deploy() *cobra.Command {
	var take []string
	var expect uint64
	var asJSON, noStart bool
	cmd := &cobra.Command{
		Use:     "deploy [DIR]",
		GroupID: "app",
		Short:   "Build an app and make the node run it",
		Long: `Build the app that DIR/gust.yaml declares (DIR is . by default), send what the
node does not have yet, and apply it: all of it, or nothing where anything is
wrong. What runs finishes on the old version. Deploying the same again changes
nothing and restarts nothing.

Of each function that was added or changed it says how large it is, what in it
is large, and how long its init takes: one environment is started for that
(unless --no-start says not to), and waited for, 12 seconds for all together. An
init that fails is shown with the end of what the program printed; the function
is deployed all the same.

With --json it is one object: "app", "revision", "changes", "functions" (of each
"name", "artifact", "size", "unpacked", "files", "parts", and "init" in
nanoseconds, "pooled", or "failed"), "layers" and "warnings".

A function or route that another app has is not touched, unless it is named
with --take.`,
		Example: `  gust deploy
  gust deploy examples/hello
  gust deploy --take function:hello --take "route:GET /hello/{name}"`,
		Args: optional,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := api.ApplyRequest{Take: take}
			if cmd.Flags().Changed("expect") {
				req.Expect = &expect
			}
			app, err := deploy.New(nil, folder(args)) // its problems can be told without a node
			if err != nil {
				return err
			}
			return c.withClient(func(client *api.Client) error {
				app.Client = client
				return c.runDeploy(cmd.Context(), app, req, !noStart, asJSON)
			})
		},
	}
	cmd.Flags().StringArrayVar(&take, "take", nil, "take over a name from another app: function:NAME or route:KEY; can be repeated")
	cmd.Flags().Uint64Var(&expect, "expect", 0, "apply only if the node's revision is this one, as gust plan shows it")
	cmd.Flags().BoolVar(&noStart, "no-start", false, "start no environment of what was added or changed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what changed, and the report, as JSON")
	return cmd
}

// folder is the app's folder that the arguments name.
func folder(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func (c *command) runDeploy(ctx context.Context, a *deploy.App, req api.ApplyRequest, start, asJSON bool) error {
	working := c.err.working()
	a.Progress = working.does
	err := a.Build(ctx)
	var plan *catalog.Plan
	if err == nil {
		plan, err = a.Apply(ctx, req)
	}
	var report *deployed
	if err == nil {
		report, err = reportOn(ctx, a, plan, start, working)
	}
	working.stop()
	if err != nil {
		return err
	}
	app := a.Manifest.App
	if asJSON {
		return c.printJSON(report)
	}
	if len(plan.Changes) == 0 {
		fmt.Fprintf(c.out, "%s is as it is declared: nothing to change (revision %d)\n", app.Name, plan.Revision)
		return nil
	}
	c.printChanges(plan, "added", "changed", "removed")
	fmt.Fprintf(c.out, "%s is deployed (revision %d)\n", app.Name, plan.Revision)
	if len(report.Functions) > 0 {
		fmt.Fprintln(c.out)
		c.printReport(report)
	}
	return c.printRoutes(ctx, a.Client, app)
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
