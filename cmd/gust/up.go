package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/node"
)

func (c *command) up() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "up",
		GroupID: "run",
		Short:   "Run a node",
		Long: `Run a node until SIGINT or SIGTERM. It says where it listens and where its
credentials are, and answers from then on.

A node that is asked to stop takes no more requests, lets those that run finish
(--drain), and ends. Asked again, it ends at once; nothing that was acknowledged
is lost by that.

Where the kernel refuses isolation (no root, no namespaces, macOS) the node does
not start; --sandbox none runs functions without any.`,
		Example: `  gust up
  gust up --data /srv/gust --http :80 --memory 8GB
  gust up --data "$(mktemp -d)" --http 127.0.0.1:0 --api 127.0.0.1:0`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.config.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return c.runUp(cmd.Context())
		},
	}
	for _, s := range c.config.Settings() {
		if s.Flag == "data" || s.Flag == "api" {
			continue // every subcommand's
		}
		addSetting(cmd.Flags(), s)
		if len(s.Choices) > 0 {
			// It fails only for a flag that is not there.
			_ = cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	return cmd
}

// gcPercent is how much the heap may grow before it is collected, in percent of
// what is live; the Go default is 100. GOGC wins.
const gcPercent = 400

func (c *command) runUp(ctx context.Context) error {
	start := time.Now()
	// A node outlives whoever read what it prints: a broken pipe is an error of
	// the write, and not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.config.LogLevel)); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: level}))

	// A node's live heap is a few megabytes, and its garbage that of each
	// request: collecting at every doubling took a tenth of its time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	working := c.err.working()
	working.does("open", "opening "+c.config.Data)
	n, err := node.Open(ctx, c.config, api.BuildOf(version, commit), logger)
	working.stop()
	if err != nil {
		return fmt.Errorf("the node did not start: %w", err)
	}
	c.announce(n, time.Since(start))

	var fatal error
	select {
	case <-ctx.Done():
		fmt.Fprintf(c.err, "stopping: what runs may finish within %s; ask again to end at once\n", c.config.Drain)
	case fatal = <-n.Fatal():
		fatal = fmt.Errorf("the node cannot go on: %w", fatal)
	}
	working = c.err.working()
	working.does("drain", "waiting for what runs")
	err = n.Close(context.WithoutCancel(ctx))
	working.stop()
	if err := errors.Join(fatal, err); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "stopped")
	return nil
}

// announce says what somebody needs to know to use the node.
func (c *command) announce(n *node.Node, took time.Duration) {
	if n.Sandbox() == "none" {
		c.warnNone()
	}
	key := filepath.Join(c.config.Data, access.RootKeyFile)
	if n.KeyCreated() {
		key += " (new)"
	}
	flag := ""
	if c.config.Data != node.Default().Data {
		flag = " --data " + shellWord(c.config.Data)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is ready after %d ms\n\n", c.out.paint(bold, "gust "+version), took.Milliseconds())
	fmt.Fprintf(&b, "  HTTP     http://%s   users' traffic\n", n.HTTPAddr())
	if fingerprint := n.Address().Fingerprint; fingerprint == "" {
		fmt.Fprintf(&b, "  API      http://%s   for gust and AWS clients\n", n.APIAddr())
	} else {
		fmt.Fprintf(&b, "  API      https://%s   for gust and AWS clients\n", n.APIAddr())
		fmt.Fprintf(&b, "  TLS      fingerprint %s\n", fingerprint)
	}
	fmt.Fprintf(&b, "  data     %s\n", c.config.Data)
	fmt.Fprintf(&b, "  key      %s; for AWS clients: eval \"$(gust env%s)\"\n", key, flag)
	found := "what the system has: gust runtime ls" + flag
	if names := n.Runtimes(); len(names) > 0 {
		found = strings.Join(names, ", ")
	}
	fmt.Fprintf(&b, "  runtimes %s\n", found)
	fmt.Fprintf(&b, "  sandbox  %s\n\n", n.Sandbox())
	_, _ = io.WriteString(c.out, b.String()) // at once: whoever waits for it finds all of it; a node runs on without a reader
}

// warnNone says what --sandbox none means.
func (c *command) warnNone() {
	fmt.Fprintln(c.err, c.err.paint(red, "WARNING: functions run WITHOUT ISOLATION (--sandbox none): each can read and change all that this user can."))
}
