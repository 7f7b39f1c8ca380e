package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access"
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
			if err := checkShell(cmd, shell); err != nil {
				return err
			}
			return c.withClient(func(client *api.Client) error {
				who, err := client.WhoAmI(cmd.Context())
				if err != nil {
					return err
				}
				vars, err := c.variables(client, client.Key, who.Region)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(variableObject(vars))
				}
				c.printVariables(vars, shell)
				return nil
			})
		},
	}
	shellFlag(cmd, &shell)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead")
	return cmd
}

// variables are those by which AWS clients work with the node as whose key it is.
func (c *command) variables(client *api.Client, key *access.Key, region string) ([][2]string, error) {
	vars := [][2]string{
		{"AWS_ENDPOINT_URL", client.Endpoint},
		{"AWS_ACCESS_KEY_ID", key.ID},
		{"AWS_SECRET_ACCESS_KEY", key.Secret},
		{"AWS_REGION", region},
		{"AWS_DEFAULT_REGION", region},
	}
	if key.Session != "" {
		vars = append(vars, [2]string{"AWS_SESSION_TOKEN", key.Session})
	}
	bundle, err := c.bundle()
	if err == nil && bundle != "" {
		vars = append(vars, [2]string{"AWS_CA_BUNDLE", bundle}, [2]string{"NODE_EXTRA_CA_CERTS", bundle})
	}
	return vars, err
}

// printVariables prints lines for a shell, which checkShell knows.
func (c *command) printVariables(vars [][2]string, shell string) {
	for _, v := range vars {
		fmt.Fprintln(c.out, printable(shells[shell](v[0], v[1])))
	}
}

func variableObject(vars [][2]string) map[string]string {
	object := make(map[string]string)
	for _, v := range vars {
		object[v[0]] = v[1]
	}
	return object
}

func shellFlag(cmd *cobra.Command, shell *string) {
	cmd.Flags().StringVar(shell, "shell", "sh", "shell to print for: sh (also bash, zsh) or fish")
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions([]string{"sh", "fish"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkShell(cmd *cobra.Command, shell string) error {
	if shells[shell] == nil {
		return usageError{fmt.Errorf("--shell %q is unknown; want sh or fish", shell), cmd.CommandPath()}
	}
	return nil
}

// bundle is the file that has the certificate of a node on this machine, if it
// made one.
func (c *command) bundle() (string, error) {
	address, ok, err := c.local()
	if !ok {
		return "", err
	}
	return address.Bundle, nil
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
