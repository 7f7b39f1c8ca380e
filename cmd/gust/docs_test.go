package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gust-dev/gust/internal/node"
)

// TestReference keeps docs/CLI.md as the command tree says. UPDATE=1 writes it.
func TestReference(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	const file = "../../docs/CLI.md"
	want := reference()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/CLI.md is not what the command says; run: UPDATE=1 go test ./cmd/gust -run TestReference")
	}
}

func reference() string {
	root := newRoot(&command{config: node.Default()})
	var b strings.Builder
	fmt.Fprintf(&b, "# The gust command\n\n<!-- Generated from the command by `UPDATE=1 go test ./cmd/gust -run TestReference`. DO NOT EDIT. -->\n\n")
	fmt.Fprintf(&b, "```text\n%s\n```\n\n", root.Long)
	fmt.Fprintf(&b, "Flags of every command:\n\n%s\n", flagTable(root.PersistentFlags()))
	var list []*cobra.Command
	for _, cmd := range root.Commands() {
		list = append(append(list, cmd), cmd.Commands()...)
	}
	for _, cmd := range list {
		if cmd.Hidden {
			continue
		}
		fmt.Fprintf(&b, "## `%s`\n\n%s.\n\n", strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.Short)
		if cmd.Long != "" {
			fmt.Fprintf(&b, "```text\n%s\n```\n\n", cmd.Long)
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.TrimPrefix(strings.ReplaceAll(cmd.Example, "\n  ", "\n"), "  "))
		}
		if table := flagTable(cmd.LocalNonPersistentFlags()); table != "" {
			fmt.Fprintf(&b, "%s\n", table)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func flagTable(flags *pflag.FlagSet) string {
	var rows []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		arg, help := pflag.UnquoteUsage(f)
		name := "`--" + f.Name
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		if arg != "" {
			name += " " + arg
		}
		value := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" {
			value = "`" + f.DefValue + "`"
		}
		help = strings.TrimSuffix(help, " ["+node.Env(f.Name)+"]")
		rows = append(rows, fmt.Sprintf("| %s` | `%s` | %s | %s |\n", name, node.Env(f.Name), value, strings.ReplaceAll(help, "|", `\|`)))
	})
	if len(rows) == 0 {
		return ""
	}
	return "| flag | environment | default | |\n|---|---|---|---|\n" + strings.Join(rows, "")
}

// TestEveryCommandExplainsItself: help that reads well has all its parts.
func TestEveryCommandExplainsItself(t *testing.T) {
	root := newRoot(&command{config: node.Default()})
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its one line is %q; want one without a point at its end", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("%s: a line of help is over 80 characters: %s", cmd.CommandPath(), line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s says nothing of itself", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}
