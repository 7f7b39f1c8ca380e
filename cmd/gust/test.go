package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/deploy"
	"github.com/gust-dev/gust/internal/node"
	"github.com/gust-dev/gust/internal/scratch"
)

func (c *command) test() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:     "test [DIR] [-- COMMAND...]",
		GroupID: "dev",
		Short:   "Run an app's tests against a node of their own",
		Long: `Start a node on free ports and a new data folder, deploy the app that
DIR/gust.yaml declares (DIR is . by default), and run the app's tests in DIR.
Then the node and its folder go again. The exit status is that of the tests.

The tests are COMMAND, or else the first of these that DIR has:
  package.json with a "test" script      npm test
  go.mod                                 go test ./...
  pyproject.toml, requirements.txt,      python3 -m pytest, or without pytest
  pytest.ini or test_*.py                python3 -m unittest discover

Their environment says where the node is:
  GUST_TEST_URL       the app's routes, such as http://127.0.0.1:40123
  AWS_ENDPOINT_URL    the AWS APIs, with AWS_ACCESS_KEY_ID,
                      AWS_SECRET_ACCESS_KEY and AWS_REGION
  GUST_DATA           the node's data folder: gust invoke and gust logs work

What functions printed is shown when the tests fail, or as it comes with -v.`,
		Example: `  gust test
  gust test examples/hello -- go test -run Hello ./...
  gust test -- sh -c 'curl -f "$GUST_TEST_URL/hello/Ada"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				if at == len(args) {
					return usageError{errors.New("no command stands after --"), cmd.CommandPath()}
				}
				args = args[:at]
			}
			return optional(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.noNodeOfYours(cmd, "data", "api"); err != nil {
				return err
			}
			c.config.Data, c.config.HTTP, c.config.API, c.config.Drain = "", scratch.Free, scratch.Free, testDrain
			var command []string
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				args, command = args[:at], args[at:]
			}
			return c.runTest(cmd.Context(), folder(args), command, verbose)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show what functions print and how invocations go, as it comes")
	c.addSandbox(cmd)
	return cmd
}

// testDrain is how long what still runs after the tests may go on.
const testDrain = 2 * time.Second

// addSandbox adds the setting of a node that scratch nodes have too.
func (c *command) addSandbox(cmd *cobra.Command) {
	for _, s := range c.config.Settings() {
		if s.Flag == "sandbox" {
			addSetting(cmd.Flags(), s)
			_ = cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// noNodeOfYours refuses flags that a command with a node of its own has no use
// for. Their variables are for other commands, and mean nothing here.
func (c *command) noNodeOfYours(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if slices.Contains(c.typed, name) {
			return usageError{fmt.Errorf("--%s has no meaning here: the node is one of its own, on a data folder that goes with it", name), cmd.CommandPath()}
		}
	}
	return nil
}

// scratchNode starts a node for the app in dir; a start that took long is told.
func (c *command) scratchNode(ctx context.Context, hooks node.Hooks) (*scratch.Node, error) {
	logger := slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	working := c.err.working()
	defer working.stop()
	working.does("open", "starting a node")
	n, err := scratch.Start(ctx, c.config, api.BuildOf(version, commit), logger, hooks)
	if err == nil && n.Sandbox() == "none" {
		c.warnNone()
	}
	return n, err
}

// runTest is gust test: the error is the status of the tests, if they fail.
func (c *command) runTest(ctx context.Context, dir string, command []string, verbose bool) (err error) {
	app, err := deploy.New(nil, dir)
	if err != nil {
		return err
	}
	if command == nil {
		if command, err = testCommand(dir); err != nil {
			return err
		}
	}
	n, err := c.scratchNode(ctx, node.Hooks{})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := n.Close(context.WithoutCancel(ctx)); cerr != nil {
			c.complain("%v", cerr)
		}
	}()
	app.Client = n.Client
	working := c.err.working()
	app.Progress = working.does
	if err = app.Build(ctx); err == nil {
		_, err = app.Apply(ctx, api.ApplyRequest{})
	}
	working.stop()
	if err != nil {
		return err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var shown uint64 // the last record that was
	followed := make(chan error, 1)
	if verbose {
		go func() { followed <- c.printLogs(following, n.Client, api.LogQuery{Follow: true}, &shown) }()
	}
	fmt.Fprintln(c.err, c.err.paint(bold, "$ "+shellLine(command)))
	code, err := runTests(ctx, dir, command, n)
	stop()
	if verbose {
		err = errors.Join(err, <-followed)
	}
	if err != nil {
		return err
	}
	if verbose || code != 0 { // what is left, or all
		if err := c.printLogs(context.WithoutCancel(ctx), n.Client, api.LogQuery{Limit: shownLogs}, &shown); err != nil {
			return err
		}
	}
	if code != 0 {
		return status(code)
	}
	return nil
}

// shownLogs is how many records are shown of tests that failed: the newest.
const shownLogs = 1000

// printLogs prints records that come after the last one shown to standard
// error. That ctx ends is no error.
func (c *command) printLogs(ctx context.Context, client *api.Client, q api.LogQuery, shown *uint64) error {
	last := *shown
	for r, err := range client.Logs(ctx, q) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Seq <= last {
			continue
		}
		if err := c.printRecord(c.err, r); err != nil {
			return err
		}
		*shown = r.Seq
	}
	return nil
}

// runTests runs a command in dir with the node's addresses, and returns its
// exit status: 128 and the signal's number of one that a signal ended.
func runTests(ctx context.Context, dir string, command []string, n *scratch.Node) (int, error) {
	name, err := exec.LookPath(command[0])
	if err != nil {
		return 0, fmt.Errorf("running the tests: %w", err)
	}
	cmd := exec.CommandContext(ctx, name, command[1:]...)
	cmd.Dir = dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = testEnviron(os.Environ(), n)
	// On a terminal Ctrl-C has reached the tests already. They end by
	// themselves, so that they can tidy up, or after a while by force.
	cmd.Cancel = func() error {
		var stopped interrupted
		if errors.As(context.Cause(ctx), &stopped) && !(stopped.signal == os.Interrupt && term.IsTerminal(int(os.Stdin.Fd()))) {
			return cmd.Process.Signal(stopped.signal)
		}
		return nil
	}
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("running the tests: %w", err)
	}
	return exitStatus(cmd.ProcessState), nil
}

// testEnviron is env with where the node is, and without what would lead AWS
// clients and the gust command elsewhere.
func testEnviron(env []string, n *scratch.Node) []string {
	elsewhere := []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "GUST_API", "GUST_HTTP", "GUST_KEY"}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(elsewhere, name)
	})
	return append(append(env, n.Environ()...), "GUST_TEST_URL="+n.URL(), "GUST_DATA="+n.Dir)
}

// testCommand finds how a project's own tests are run.
func testCommand(dir string) ([]string, error) {
	has := func(patterns ...string) bool {
		for _, p := range patterns {
			if found, err := filepath.Glob(filepath.Join(dir, p)); err == nil && len(found) > 0 {
				return true
			}
		}
		return false
	}
	switch {
	case hasTestScript(filepath.Join(dir, "package.json")):
		return []string{"npm", "test"}, nil
	case has("go.mod"):
		return []string{"go", "test", "./..."}, nil
	case has("pyproject.toml", "requirements.txt", "pytest.ini", "test_*.py", "tests/test_*.py"):
		python := "python3"
		if venv, err := filepath.Abs(filepath.Join(dir, ".venv", "bin", "python")); err == nil && has(".venv/bin/python") {
			python = venv
		}
		if exec.Command(python, "-c", "import pytest").Run() == nil {
			return []string{python, "-m", "pytest"}, nil
		}
		return []string{python, "-m", "unittest", "discover"}, nil
	}
	return nil, fmt.Errorf("%s has no tests that gust knows how to run (a \"test\" script in package.json, go.mod, pyproject.toml, requirements.txt, pytest.ini or test_*.py); give the command after --", dir)
}

// hasTestScript reports whether a package.json says how tests are run; what npm
// writes there itself does not count.
func hasTestScript(file string) bool {
	var p struct {
		Scripts struct{ Test string }
	}
	data, err := os.ReadFile(file)
	return err == nil && json.Unmarshal(data, &p) == nil && p.Scripts.Test != "" && !strings.Contains(p.Scripts.Test, "no test specified")
}

// shellLine is a command as one would type it.
func shellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}
