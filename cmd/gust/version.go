package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary is",
		RunE: func(*cobra.Command, []string) error {
			b := api.BuildOf(version, commit)
			if asJSON {
				return c.printJSON(b)
			}
			fmt.Fprintln(c.out, describeBuild(b))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func describeBuild(b api.Build) string {
	text := "gust " + b.Version
	if b.Commit != "" {
		text += " (" + b.Commit + ")"
	}
	return text + " " + b.Go + " " + b.Platform
}
