package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) rm() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "rm APP",
		GroupID: "app",
		Short:   "Remove an app with all its functions and routes",
		Long: `Remove an app with all its functions and routes. What runs may finish. Its logs
stay until they are too old.`,
		Example:           "  gust rm hello",
		Args:              one,
		ValidArgsFunction: c.completeNames(appNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(func(client *api.Client) error {
				plan, err := client.Remove(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(plan)
				}
				c.printChanges(plan, "added", "changed", "removed")
				fmt.Fprintf(c.out, "%s is removed (revision %d)\n", args[0], plan.Revision)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was removed as JSON")
	return cmd
}
