package main

import (
	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/manifest"
)

func (c *command) schema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		GroupID: "app",
		Short:   "Print the JSON Schema of gust.yaml, for editors",
		Long: `Print the JSON Schema of gust.yaml. An editor that has it completes and checks
manifests; with the YAML language server, write as the first line:

  # yaml-language-server: $schema=./gust.schema.json`,
		Example: "  gust schema > gust.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := c.out.Write(endLine(manifest.Schema()))
			return err
		},
	}
}
