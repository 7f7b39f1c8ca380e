package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) runtime() *cobra.Command {
	return family(&cobra.Command{
		Use:     "runtime COMMAND",
		GroupID: "run",
		Short:   "List, add and remove what functions run in",
		Long: `A runtime is an interpreter with just what it needs: a folder that is named by
the digest of all that is in it. A version of a function is pinned to one when
it is deployed, so that an upgrade of the machine changes nothing that runs.

A node adds what its system has by itself, soon after its start.`,
	}, c.runtimeLs(), c.runtimeAdd(), c.runtimeRm())
}

func (c *command) runtimeLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the runtimes, and which functions are pinned to them",
		Long: `List the runtimes: name, the interpreter's version, digest, size, where it came
from, and the functions that are pinned to it. Of several of a name the first is
what functions get that are deployed now, the others stay for those that are
pinned to them. "base" has no interpreter: it is what programs of the runtimes
go and provided run in.`,
		Example: `  gust runtime ls
  gust runtime ls --json | jq -r '.[].name'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(func(client *api.Client) error {
				list, err := client.Runtimes(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(list)
				}
				rows := [][]string{{"RUNTIME", "VERSION", "DIGEST", "SIZE", "SOURCE", "FUNCTIONS"}}
				for _, r := range list {
					bytes := "-"
					if r.Size > 0 {
						bytes = size(r.Size)
					}
					functions := strings.Join(r.Functions, ", ")
					if n := len(r.Functions); n > maxListed {
						functions = fmt.Sprintf("%s and %d more", strings.Join(r.Functions[:maxListed], ", "), n-maxListed)
					}
					rows = append(rows, []string{r.Name, cmp.Or(r.Version, "-"), cmp.Or(r.Digest.Short(), "-"), bytes, r.Source, cmp.Or(functions, "-")})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of it as JSON")
	return cmd
}

func (c *command) runtimeAdd() *cobra.Command {
	var asJSON bool
	var from string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a runtime such as node@22 or python@3.12",
		Long: `Add a runtime: node@MAJOR or python@3.MINOR. Without --from it is the
interpreter that the node's system has now. --from takes, on the node's machine,

  a tarball     .tar, .tar.gz or .tar.zst as nodejs.org and
                python-build-standalone pack them,
  a folder      with such a tarball unpacked, or
  an image      a folder with an unpacked container image, from which the
                interpreter and all its libraries are taken.

Functions that are deployed from then on get it; those that are pinned to
another root of that name keep theirs until they are deployed changed.`,
		Example: `  gust runtime add node@20
  gust runtime add node@22 --from /srv/node-v22.11.0-linux-x64.tar.gz`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from != "" && !filepath.IsAbs(from) {
				if _, ok, err := c.local(); err == nil && !ok {
					return usageError{errors.New("--from is a path on the node's machine; want an absolute one"), cmd.CommandPath()}
				}
				abs, err := filepath.Abs(from)
				if err != nil {
					return err
				}
				from = abs
			}
			return c.withClient(func(client *api.Client) error {
				working := c.err.working()
				working.does("add", "adding "+args[0])
				r, err := client.AddRuntime(cmd.Context(), args[0], from)
				working.stop()
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(r)
				}
				fmt.Fprintf(c.out, "%s is version %s%s\n", printable(r.Name), printable(r.Version), map[bool]string{true: ", digest " + printable(r.Digest.Short())}[r.Digest != ""])
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`PATH` of a tarball, a folder or an unpacked image on the node's machine")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was added as JSON")
	return cmd
}

func (c *command) runtimeRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a runtime that no function is pinned to",
		Long: `Remove a runtime with all its roots. While a function is pinned to one it is
refused, and says which. What the system has comes back when the node is started
again.`,
		Example:           "  gust runtime rm node@18",
		Args:              one,
		ValidArgsFunction: c.completeNames(runtimeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(func(client *api.Client) error {
				if err := client.RemoveRuntime(cmd.Context(), args[0]); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%s is removed\n", args[0])
				return nil
			})
		},
	}
}

func runtimeNames(cmd *cobra.Command, client *api.Client) ([]string, error) {
	status, err := client.Status(cmd.Context())
	if err != nil {
		return nil, err
	}
	return status.Runtimes, nil
}
