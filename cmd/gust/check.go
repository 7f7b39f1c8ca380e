package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/logfile"
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
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("checking the data folder: %w", err)
	}
	lock, err := store.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	working := c.err.working()
	working.does("check", "checking "+dir)
	files, damaged := 0, 0
	report := func(file string, err error) {
		files++
		if err != nil {
			damaged++
			fmt.Fprintf(c.out, "%s: %v\n", file, err)
		}
	}
	err = store.Check(ctx, dir, report)
	if logs := filepath.Join(dir, "logs"); err == nil || errors.Is(err, gust.ErrCorrupt) {
		if _, statErr := os.Stat(logs); !errors.Is(statErr, fs.ErrNotExist) {
			err = errors.Join(err, logfile.Check(ctx, logs, report))
		}
	}
	working.stop()
	switch {
	case damaged > 0:
		return fmt.Errorf("%d of %d files in %s are damaged; restore a backup into a new folder: gust restore FILE --data DIR", damaged, files, dir)
	case err != nil:
		return err
	}
	fmt.Fprintf(c.out, "%s is whole: %d files\n", dir, files)
	return nil
}
