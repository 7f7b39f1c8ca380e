package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gust-dev/gust/internal/api"
)

// helpWidth is how wide help is: what people read well, and what fits.
const helpWidth = 80

// help prints all that a command says of itself.
func (c *command) help(cmd *cobra.Command, _ []string) {
	out := c.out
	head := func(text string) string { return "\n" + out.paint(bold, text) + "\n" }
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintln(out, about)
	fmt.Fprint(out, head("Usage:"))
	fmt.Fprintf(out, "  %s\n", usageLine(cmd))
	if cmd.Example != "" {
		fmt.Fprint(out, head("Examples:"))
		fmt.Fprintln(out, cmd.Example)
	}
	rest := "More:"
	if cmd.HasParent() {
		rest = "Commands:"
	}
	for _, g := range append(cmd.Groups(), &cobra.Group{Title: rest}) {
		var list []string
		for _, sub := range cmd.Commands() {
			if sub.GroupID == g.ID && !sub.Hidden {
				list = append(list, fmt.Sprintf("  %-12s %s", sub.Name(), sub.Short))
			}
		}
		if len(list) > 0 {
			fmt.Fprint(out, head(g.Title))
			fmt.Fprintln(out, strings.Join(list, "\n"))
		}
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprint(out, head("Flags:"))
		fmt.Fprint(out, flags.FlagUsagesWrapped(helpWidth))
	}
	if flags := cmd.Root().PersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprint(out, head("Flags of every command:"))
		fmt.Fprint(out, flags.FlagUsagesWrapped(helpWidth))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n`%s COMMAND --help` says more about a command.\n", cmd.CommandPath())
	}
}

func usageLine(cmd *cobra.Command) string {
	if cmd.HasParent() {
		return cmd.Parent().CommandPath() + " " + cmd.Use + " [FLAGS]"
	}
	return cmd.Use + " COMMAND [FLAGS]"
}

// flagError words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		err = fmt.Errorf("--%s: %w", value.GetFlag().Name, cause(err))
	}
	return usageError{err, cmd.CommandPath()}
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("it takes no arguments, and was given %q", args[0]), cmd.CommandPath()}
	}
	return nil
}

// one wants exactly one argument, by the name that usage gives it.
func one(cmd *cobra.Command, args []string) error {
	_, name, _ := strings.Cut(cmd.Use, " ")
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s is missing", name), cmd.CommandPath()}
	}
	return optional(cmd, args)
}

// optional takes one argument or none.
func optional(cmd *cobra.Command, args []string) error {
	_, name, _ := strings.Cut(cmd.Use, " ")
	if len(args) > 1 {
		return usageError{fmt.Errorf("it takes one %s, and was given %q besides", strings.Trim(name, "[]"), args[1]), cmd.CommandPath()}
	}
	return nil
}

// atLeast wants an argument for each word of usage, and as many more as like if
// the last has dots behind it.
func atLeast(cmd *cobra.Command, args []string) error {
	words := strings.Fields(cmd.Use)[1:]
	if len(args) < len(words) {
		return usageError{fmt.Errorf("%s is missing", strings.TrimSuffix(words[len(args)], "...")), cmd.CommandPath()}
	}
	if len(args) > len(words) && !strings.HasSuffix(words[len(words)-1], "...") {
		return usageError{fmt.Errorf("it takes %s, and was given %q besides", strings.Join(words, " "), args[len(words)]), cmd.CommandPath()}
	}
	return nil
}

// completeEach completes each argument by its own names, the last one's for all
// that follow.
func (c *command) completeEach(names ...func(*cobra.Command, *api.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return c.nodeNames(cmd, names[min(len(args), len(names)-1)])
	}
}

// completeNames completes the first argument by what the node has.
func (c *command) completeNames(names func(*cobra.Command, *api.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.nodeNames(cmd, names)
	}
}

// completeFlag is completeNames for a flag's value, which may stand behind
// arguments.
func (c *command) completeFlag(names func(*cobra.Command, *api.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return c.nodeNames(cmd, names)
	}
}

// completes is how long who completes a name waits for it.
const completes = 2 * time.Second

func (c *command) nodeNames(cmd *cobra.Command, names func(*cobra.Command, *api.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if c.environment(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := c.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // without a node there are no names
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(cmd.Context(), completes)
	defer stop()
	cmd.SetContext(ctx)
	list, err := names(cmd, client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list = slices.DeleteFunc(list, func(name string) bool { return printable(name) != name })
	return list, cobra.ShellCompDirectiveNoFileComp
}

func functionNames(cmd *cobra.Command, client *api.Client) ([]string, error) {
	functions, err := client.Functions(cmd.Context(), "")
	var names []string
	for _, f := range functions {
		names = append(names, f.Name)
	}
	return names, err
}

func appNames(cmd *cobra.Command, client *api.Client) ([]string, error) {
	apps, _, err := client.Apps(cmd.Context())
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	return names, err
}
