package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/invoke"

	gust "github.com/gust-dev/gust"
)

// listing is everything that `gust ls --json` prints.
type listing struct {
	Status       *api.Status          `json:"status"`
	Apps         []api.App            `json:"apps"`
	Functions    []*gust.Function     `json:"functions"`
	Environments []invoke.Environment `json:"environments"`
}

func (c *command) ls() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		GroupID: "app",
		Short:   "List apps, functions, and environments with their state",
		Long: `List apps, functions, and the environments that are there now with their state:
starting, idle, busy, or frozen (idle and using no processor time). Of a
function with many the first ten are shown; --json has them all.

With --json it is one object of "status", "apps", "functions" and
"environments", each as Gust's API has it (docs/API.md).`,
		Example: `  gust ls
  gust ls --json | jq -r '.functions[].name'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(func(client *api.Client) error {
				l, err := list(cmd.Context(), client)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(l)
				}
				return c.printList(l, time.Now())
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of it as JSON")
	return cmd
}

func list(ctx context.Context, client *api.Client) (l listing, err error) {
	if l.Status, err = client.Status(ctx); err != nil {
		return l, err
	}
	if l.Apps, _, err = client.Apps(ctx); err != nil {
		return l, err
	}
	if l.Functions, err = client.Functions(ctx, ""); err != nil {
		return l, err
	}
	l.Environments, err = client.Environments(ctx, "", "")
	return l, err
}

func (c *command) printList(l listing, now time.Time) error {
	for _, w := range l.Status.Warnings {
		fmt.Fprintln(c.out, c.out.paint(red, "WARNING: "+printable(w)))
	}
	if len(l.Status.Warnings) > 0 {
		fmt.Fprintln(c.out)
	}
	if len(l.Apps) == 0 {
		fmt.Fprintln(c.out, "no apps; deploy one with: gust deploy DIR")
		return nil
	}
	rows := [][]string{{"APP", "FUNCTIONS", "ROUTES"}}
	for _, a := range l.Apps {
		rows = append(rows, []string{a.Name, strconv.Itoa(len(a.Functions)), strconv.Itoa(len(a.Routes))})
	}
	if err := c.out.table(rows); err != nil {
		return err
	}

	states := make(map[string]map[string]int) // function, state
	for _, e := range l.Environments {
		if states[e.Function] == nil {
			states[e.Function] = make(map[string]int)
		}
		states[e.Function][string(e.State)]++
	}
	fmt.Fprintln(c.out)
	rows = [][]string{{"FUNCTION", "APP", "RUNTIME", "ROOT", "VERSION", "MEMORY", "TIMEOUT", "ENVIRONMENTS", "DEPLOYED"}}
	for _, f := range l.Functions {
		rows = append(rows, []string{f.Name, f.App, runsIn(f), cmp.Or(f.Root.Short(), "-"), strconv.FormatUint(f.Version, 10),
			size(f.Memory), f.Timeout.String(), sumStates(states[f.Name]), ago(f.Modified, now)})
	}
	if err := c.out.table(rows); err != nil {
		return err
	}
	if len(l.Environments) == 0 {
		return nil
	}

	slices.SortFunc(l.Environments, func(a, b invoke.Environment) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	fmt.Fprintln(c.out)
	rows = [][]string{{"ENVIRONMENT", "FUNCTION", "VERSION", "STATE", "RUNNING", "MEMORY", "SINCE"}}
	of := make(map[string]int) // function
	for _, e := range l.Environments {
		if of[e.Function]++; of[e.Function] > maxListed {
			continue
		}
		rows = append(rows, []string{short(e.ID), e.Function, strconv.FormatUint(e.Version, 10), string(e.State),
			strconv.Itoa(e.Running), size(e.Memory), ago(e.Since, now)})
	}
	for _, function := range slices.Sorted(maps.Keys(of)) {
		if more := of[function] - maxListed; more > 0 {
			rows = append(rows, []string{fmt.Sprintf("... %d more", more), function})
		}
	}
	return c.out.table(rows)
}

// runsIn is a function's runtime, and its interpreter where that says more.
func runsIn(f *gust.Function) string {
	switch {
	case f.Interpreter == "":
		return string(f.Runtime)
	case strings.HasPrefix(f.Interpreter, string(f.Runtime)):
		return f.Interpreter
	}
	return string(f.Runtime) + " in " + f.Interpreter
}

// maxListed is how many environments of a function people are shown; --json has
// them all.
const maxListed = 10

// sumStates says "2 busy, 1 idle".
func sumStates(count map[string]int) string {
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

// size is for people: whole in its unit, or with one digit after the point.
func size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", gust.GB}, {"MB", gust.MB}, {"KB", gust.KB}} {
		switch {
		case n < u.size:
		case n%u.size == 0:
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		default:
			return fmt.Sprintf("%.1f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// ago says how long before now t was, in one unit.
func ago(t, now time.Time) string {
	d := max(0, now.Sub(t))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// short is enough of an id to tell it from others.
func short(id string) string { return id[:min(12, len(id))] }
