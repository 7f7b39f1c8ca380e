package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/store"
)

func (c *command) backup() *cobra.Command {
	return &cobra.Command{
		Use:     "backup FILE|-",
		GroupID: "keep",
		Short:   "Copy everything durable out of a running node",
		Long: `Copy everything durable (what is deployed, and the artifacts) out of a running
node, as it is at one moment, into one tar FILE, or to standard output (-). Logs
and keys are not in it: root.key, seal.key and tls stay in the data folder. Who
restores it to go on with what was sealed (users' secret keys) needs a copy of
seal.key, kept apart. A FILE that is there already is not replaced; one that is
there afterwards is whole.`,
		Example: `  gust backup gust-$(date +%F).tar
  gust backup - | ssh elsewhere 'cat > gust.tar'`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(func(client *api.Client) error {
				return c.runBackup(cmd.Context(), client, args[0])
			})
		},
	}
}

func (c *command) runBackup(ctx context.Context, client *api.Client, file string) error {
	working := c.err.working()
	defer working.stop()
	working.does("backup", "copying")
	if file == "-" {
		if c.out.screen {
			return errors.New("a backup is not for a screen; give a file, or send it on: gust backup - | COMMAND")
		}
		_, err := client.Backup(ctx, c.out)
		return err
	}
	n, err := writeWhole(file, func(w io.Writer) (int64, error) { return client.Backup(ctx, w) })
	working.does("backup", "")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is a backup of %s (%s)\n", file, client.Endpoint, size(n))
	return nil
}

// writeWhole makes a file that was not there, readable by its owner alone, and
// synced before it has its name.
func writeWhole(file string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if _, err := os.Lstat(file); err == nil {
		return 0, fmt.Errorf("%s is there already, and is not replaced; choose another name", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // by then it has its own name, or is worth nothing
	n, err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return n, err
	}
	if err := os.Link(f.Name(), file); err != nil { // unlike a rename it replaces nothing
		return n, fmt.Errorf("naming the backup: %w", err)
	}
	return n, syncFolder(filepath.Dir(file))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (c *command) restore() *cobra.Command {
	return &cobra.Command{
		Use:     "restore FILE|-",
		GroupID: "keep",
		Short:   "Make a new data folder from a backup",
		Long: `Make a new data folder (--data, which has to be given) from a backup FILE, or
from standard input (-). The folder must not be there yet, or be empty. A node
started on it has its own new root key (root.key). Put a copy of the old
seal.key there before the first start: without it, users' access keys are
refused, which the log names, and so are sessions that were begun before.`,
		Example: `  gust restore gust-2026-01-31.tar --data /srv/gust-restored
  gust up --data /srv/gust-restored`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("data") {
				return usageError{errors.New("say into which new folder: --data DIR"), cmd.CommandPath()}
			}
			return c.runRestore(cmd.Context(), args[0], c.config.Data)
		},
	}
}

func (c *command) runRestore(ctx context.Context, file, dir string) error {
	from := c.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("reading the backup: %w", err)
		}
		defer f.Close()
		from = f
	}
	working := c.err.working()
	working.does("restore", "restoring into "+dir)
	err := store.Restore(ctx, from, dir)
	working.stop()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the backup ends too early, it is not whole; nothing was restored: %w", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is restored; start it with: gust up --data %s\n", dir, shellWord(dir))
	fmt.Fprintln(c.out, "keys are in no backup: the first start makes a new root.key, and refuses users' access keys unless the old seal.key is put there before")
	return nil
}
