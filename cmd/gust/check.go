package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/store"

	gust "github.com/gust-dev/gust"
)

func (c *command) check() *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		GroupID: "keep",
		Short:   "Verify everything in a data folder by its checksums",
		Long: `Verify everything that a data folder keeps, by its checksums: the store, the
blobs (artifacts), the logs. Nothing is changed. Each file that is damaged is
named, and the exit status is 1 if there is one. No node may run on the folder
meanwhile.`,
		Example: `  gust check
  gust check --data /srv/gust`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runCheck(cmd.Context(), c.config.Data) },
	}
}

func (c *command) runCheck(ctx context.Context, dir string) error {
	working := c.err.working()
	working.does("check", "checking "+dir)
	files, damaged := 0, 0
	err := store.Check(ctx, dir, func(file string, err error) {
		files++
		if err != nil {
			damaged++
			fmt.Fprintf(c.out, "%s: %v\n", file, err)
		}
	})
	working.stop()
	switch {
	case errors.Is(err, gust.ErrCorrupt) && damaged > 0:
		return fmt.Errorf("%s is damaged: %s in %s; restore a backup into a new folder: gust restore FILE --data DIR", dir, count(damaged, "problem"), count(files, "file"))
	case err != nil:
		return err
	}
	fmt.Fprintf(c.out, "%s is whole: %s\n", dir, count(files, "file"))
	return nil
}
