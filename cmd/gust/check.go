package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/store"

	gust "github.com/gust-dev/gust"
)

// verdict is everything that `gust check --json` prints.
type verdict struct {
	Data     string        `json:"data"`
	Files    int           `json:"files"`
	Problems []fileProblem `json:"problems"`
}

type fileProblem struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

func (c *command) check() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check",
		GroupID: "keep",
		Short:   "Verify everything in a data folder by its checksums",
		Long: `Verify everything that a data folder keeps, by its checksums: the store, the
blobs (artifacts), the logs. Nothing is changed. Each file that is damaged is
named, and the exit status is 1 if there is one. No node may run on the folder
meanwhile.

With --json it is one object: "data", "files" (how many were verified), and
"problems", each with its "file" and "error".`,
		Example: `  gust check
  gust check --data /srv/gust`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runCheck(cmd.Context(), c.config.Data, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is damaged as JSON")
	return cmd
}

func (c *command) runCheck(ctx context.Context, dir string, asJSON bool) error {
	working := c.err.working()
	working.does("check", "checking "+dir)
	v := verdict{Data: dir, Problems: []fileProblem{}}
	err := store.Check(ctx, dir, func(file string, err error) {
		v.Files++
		if err != nil {
			v.Problems = append(v.Problems, fileProblem{file, err.Error()})
		}
	})
	working.stop()
	damaged := errors.Is(err, gust.ErrCorrupt) && len(v.Problems) > 0
	if err != nil && !damaged {
		return err
	}
	if asJSON {
		if err := c.printJSON(v); err != nil {
			return err
		}
	} else {
		for _, p := range v.Problems {
			fmt.Fprintf(c.out, "%s: %s\n", p.File, p.Error)
		}
	}
	if damaged {
		return fmt.Errorf("%s is damaged: %s in %s; restore a backup into a new folder: gust restore FILE --data DIR", dir, count(len(v.Problems), "problem"), count(v.Files, "file"))
	}
	if !asJSON {
		fmt.Fprintf(c.out, "%s is whole: %s\n", dir, count(v.Files, "file"))
	}
	return nil
}
