package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/scaffold"
)

func (c *command) init() *cobra.Command {
	var runtime string
	choices := strings.Join(scaffold.Runtimes, ", ")
	cmd := &cobra.Command{
		Use:     "init [NAME] --runtime R",
		GroupID: "dev",
		Short:   "Begin an app: a function, a test, and the manifest",
		Long: `Make the folder NAME with an app of one function: its code, a test that passes,
and the manifest gust.yaml. Without NAME it is made in this folder. What is
there already is never written over.

R is ` + choices + `. node, typescript and python may be
followed by a version, such as node@22.`,
		Example: `  gust init greeter --runtime node
  gust init greeter --runtime python@3.12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("it takes one NAME, and was given %q besides", args[1]), cmd.CommandPath()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if runtime == "" {
				return usageError{errors.New("--runtime is missing; want " + choices), cmd.CommandPath()}
			}
			dir := folder(args)
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			files, err := scaffold.Write(dir, filepath.Base(abs), runtime)
			if errors.Is(err, gust.ErrInvalid) {
				return usageError{err, cmd.CommandPath()}
			}
			if err != nil {
				return err
			}
			for _, file := range files {
				fmt.Fprintln(c.out, c.out.paint(green, "+ ")+filepath.Join(dir, file))
			}
			where := ""
			if dir != "." {
				where = " " + shellWord(dir)
			}
			fmt.Fprintf(c.out, "\nRun it, and again whenever a file is saved:  gust dev%s\nTest it:                                     gust test%s\n", where, where)
			return nil
		},
	}
	cmd.Flags().StringVar(&runtime, "runtime", "", "what the function is written in: `R` is "+choices)
	_ = cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions(slices.Clone(scaffold.Runtimes), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
