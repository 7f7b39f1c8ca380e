package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access/policy"
)

// checked is what `gust policy check --json` prints of a file.
type checked struct {
	File     string           `json:"file"`
	Findings []policy.Finding `json:"findings"`
}

func (c *command) policyCheck() *cobra.Command {
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Look policy documents over for mistakes, without a node",
		Long: `Look policy documents over, without a node: what is refused, typos in actions,
statements that do nothing or are shadowed by others, and stars that allow more
than is meant. - is standard input.

Each finding is a line: file, line, column, how bad it is, what it is, and what
to do. The exit status is 1 if there is an error, with --strict a warning, too.`,
		Example: `  gust policy check policy.json
  gust policy check --strict policies/*.json`,
		Args: atLeast,
		RunE: func(cmd *cobra.Command, args []string) error {
			files := []checked{}
			found := make(map[policy.Severity]int)
			for _, name := range args {
				data, err := c.read(name)
				if err != nil {
					return err
				}
				f := checked{File: name, Findings: policy.Lint(data)}
				if f.Findings == nil {
					f.Findings = []policy.Finding{}
				}
				for _, one := range f.Findings {
					found[one.Severity]++
				}
				files = append(files, f)
			}
			if asJSON {
				if err := c.printJSON(files); err != nil {
					return err
				}
			} else {
				c.printFindings(files)
			}
			errs, warnings := found[policy.SeverityError], found[policy.SeverityWarning]
			switch {
			case errs > 0 || strict && warnings > 0:
				return fmt.Errorf("%s and %s", count(errs, "error"), count(warnings, "warning"))
			case !asJSON && len(found) == 0:
				fmt.Fprintf(c.out, "nothing is wrong with %s\n", count(len(files), "policy document"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail on warnings, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	return cmd
}

func (c *command) printFindings(files []checked) {
	colours := map[policy.Severity]colour{policy.SeverityError: red, policy.SeverityWarning: yellow, policy.SeverityNote: dim}
	for _, f := range files {
		for _, one := range f.Findings {
			fmt.Fprintf(c.out, "%s:%d:%d: %s: %s; %s\n", f.File, one.Line, one.Column, c.out.paint(colours[one.Severity], string(one.Severity)), printable(one.Text), printable(one.Do))
		}
	}
}

// read reads a policy document from a file, or "-".
func (c *command) read(name string) ([]byte, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, policy.MaxDocument+1)) // what is longer is refused by that
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
