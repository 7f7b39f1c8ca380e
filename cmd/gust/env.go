package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) env() *cobra.Command {
	var shell string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "env",
		GroupID: "run",
		Short:   "Print the variables that AWS clients need for this node",
		Long: `Print lines for a shell that make AWS clients (CLI, SDKs) work with this node:
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and
AWS_DEFAULT_REGION, which is what the AWS CLI and boto3 read instead; of a
session AWS_SESSION_TOKEN, too. Where the node shows a certificate that it made
itself, AWS_CA_BUNDLE and NODE_EXTRA_CA_CERTS (for JavaScript) have them trust
it. They hold a key, of the data folder's node the root key, or what GUST_KEY
says: keep them to yourself.`,
		Example: `  eval "$(gust env)"
  gust env --shell fish | source`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, ok := shells[shell]
			if !ok {
				return usageError{fmt.Errorf("--shell %q is unknown; want sh or fish", shell), cmd.CommandPath()}
			}
			return c.withClient(func(client *api.Client) error {
				who, err := client.WhoAmI(cmd.Context())
				if err != nil {
					return err
				}
				vars := [][2]string{
					{"AWS_ENDPOINT_URL", client.Endpoint},
					{"AWS_ACCESS_KEY_ID", client.Key.ID},
					{"AWS_SECRET_ACCESS_KEY", client.Key.Secret},
					{"AWS_REGION", who.Region},
					{"AWS_DEFAULT_REGION", who.Region},
				}
				if client.Key.Session != "" {
					vars = append(vars, [2]string{"AWS_SESSION_TOKEN", client.Key.Session})
				}
				if bundle, err := c.bundle(); err != nil {
					return err
				} else if bundle != "" {
					vars = append(vars, [2]string{"AWS_CA_BUNDLE", bundle}, [2]string{"NODE_EXTRA_CA_CERTS", bundle})
				}
				if asJSON {
					object := make(map[string]string)
					for _, v := range vars {
						object[v[0]] = v[1]
					}
					return c.printJSON(object)
				}
				for _, v := range vars {
					fmt.Fprintln(c.out, line(v[0], v[1]))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&shell, "shell", "sh", "shell to print for: sh (also bash, zsh) or fish")
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions([]string{"sh", "fish"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead")
	return cmd
}

// bundle is the file that has the certificate of a node on this machine, if it
// made one.
func (c *command) bundle() (string, error) {
	if !c.here() {
		return "", nil
	}
	address, err := api.ReadAddress(c.config.Data)
	return address.Bundle, err
}

// shells say how a variable is set and exported.
var shells = map[string]func(name, value string) string{
	"sh": func(name, value string) string {
		return "export " + name + "=" + quoteForSh(value)
	},
	"fish": func(name, value string) string {
		return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(value) + "'"
	},
}

func quoteForSh(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
