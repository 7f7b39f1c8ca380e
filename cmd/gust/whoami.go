package main

import (
	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) whoami() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "whoami",
		GroupID: "access",
		Short:   "Say who the node takes you for",
		Long: `Say who the node takes you for: the ARN of the principal, what sort it is (root,
user or role), the account and the region, and which key it is known by. With
GUST_KEY you are whose key that is; without, the data folder's root.`,
		Example: `  gust whoami
  GUST_KEY=aws gust whoami --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(func(client *api.Client) error {
				who, err := client.WhoAmI(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(who)
				}
				rows := [][]string{{"arn", who.ARN}, {"kind", string(who.Kind)}, {"account", who.Account}, {"region", who.Region}, {"key", who.KeyID}}
				if !who.Expires.IsZero() {
					rows = append(rows, []string{"expires", who.Expires.Local().Format("2006-01-02 15:04:05")})
				}
				return c.out.columns(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}
