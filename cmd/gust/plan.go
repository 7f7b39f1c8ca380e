package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/deploy"
)

func (c *command) plan() *cobra.Command {
	var take []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "plan [DIR]",
		GroupID: "app",
		Short:   "Show what deploying an app would change",
		Long: `Build the app that DIR/gust.yaml declares (DIR is . by default) and show what
deploying it would add (+), change (~) and remove (-), the rights that functions
get and lose among it. Nothing is changed.

Exit status: 0 nothing would change, 2 something would, 1 it cannot be planned.`,
		Example: `  gust plan
  gust plan examples/hello --json`,
		Args: optional,
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := deploy.New(nil, folder(args))
			if err != nil {
				return err
			}
			return c.withClient(func(client *api.Client) error {
				app.Client = client
				return c.runPlan(cmd.Context(), app, take, asJSON)
			})
		},
	}
	cmd.Flags().StringArrayVar(&take, "take", nil, "plan to take over a name from another app: function:NAME or route:KEY; can be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return cmd
}

func (c *command) runPlan(ctx context.Context, a *deploy.App, take []string, asJSON bool) error {
	working := c.err.working()
	a.Progress = working.does
	err := a.Build(ctx)
	working.stop()
	if err != nil {
		return err
	}
	app := a.Manifest.App
	plan, err := a.Client.Plan(ctx, app, take)
	if err != nil {
		return err
	}
	switch {
	case asJSON:
		if err := c.printJSON(plan); err != nil {
			return err
		}
	case len(plan.Changes) == 0:
		fmt.Fprintf(c.out, "%s is as it is declared: nothing to change (revision %d)\n", app.Name, plan.Revision)
	default:
		c.printChanges(plan, "to add", "to change", "to remove")
		fmt.Fprintf(c.out, "%s would change (revision %d)\n", app.Name, plan.Revision)
	}
	if len(plan.Changes) > 0 {
		return status(exitWouldChange)
	}
	return nil
}

// printChanges prints a plan as a diff, and its sum in these words.
func (c *command) printChanges(plan *catalog.Plan, added, changed, removed string) {
	ops := []struct {
		op     catalog.Op
		sign   string
		colour colour
		words  string
	}{{catalog.Add, "+", green, added}, {catalog.Modify, "~", yellow, changed}, {catalog.Remove, "-", red, removed}}
	count := make(map[catalog.Op]int)
	for _, change := range plan.Changes {
		count[change.Op]++
		for _, o := range ops {
			if o.op == change.Op {
				fmt.Fprintln(c.out, c.out.paint(o.colour, o.sign+" "+printable(change.Kind+" "+change.Name)))
			}
		}
		if change.Op == catalog.Modify {
			for _, f := range change.Fields {
				fmt.Fprintf(c.out, "    %s: %s -> %s\n", printable(f.Name), printable(orNone(f.Old)), printable(orNone(f.New)))
			}
		}
		for _, r := range change.Rights {
			for _, o := range ops {
				if o.op == r.Op {
					fmt.Fprintln(c.out, "    "+c.out.paint(o.colour, o.sign+" "+printable(r.Text)))
				}
			}
		}
	}
	var sum []string
	for _, o := range ops {
		if count[o.op] > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", count[o.op], o.words))
		}
	}
	fmt.Fprintf(c.out, "\n%s\n", strings.Join(sum, ", "))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
