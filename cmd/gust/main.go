// Command gust is a serverless platform in one binary: `gust up` runs a node,
// the other subcommands work with one. docs/CLI.md is their reference.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gust-dev/gust/internal/manifest"
	"github.com/gust-dev/gust/internal/node"
)

// What this binary is; the Makefile's -ldflags say.
var (
	version = "0.1.0-dev"
	commit  = ""
)

// Exit statuses, as `gust help` promises them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitWouldChange = 2   // gust plan
	exitDenied      = 2   // gust policy explain
	exitUsage       = 64  // EX_USAGE of sysexits.h
	exitInterrupted = 130 // 128 + SIGINT, as shells say it
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// command is what the subcommands share.
type command struct {
	in       io.Reader
	out, err *terminal
	config   node.Config
	// apiGiven says that --api or GUST_API was given, dataGiven the same of
	// --data and GUST_DATA.
	apiGiven, dataGiven bool
	// fingerprint is that of the certificate of a node elsewhere.
	fingerprint string
	// typed are the flags that the command line has, not the environment.
	typed []string
}

// run carries out one command line and returns the exit status.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, interrupt := context.WithCancelCause(context.Background())
	defer interrupt(nil)
	c := &command{in: in, out: newTerminal(out), err: newTerminal(errOut), config: node.Default()}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() { // until run returns
		defer close(watched)
		for n := 0; ; n++ {
			select {
			case s := <-signals:
				if n > 0 { // asked twice: do not wait for anything
					os.Exit(128 + int(s.(syscall.Signal)))
				}
				interrupt(interrupted{s})
			case <-done:
				return
			}
		}
	}()
	err := root.ExecuteContext(ctx)
	signal.Stop(signals)
	close(done)
	<-watched
	return c.report(err)
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "stopped by " + i.signal.String() }

// status ends a command with an exit status and nothing more to say.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that cannot be carried out as it stands.
type usageError struct {
	error
	command string // "gust deploy"
}

func (u usageError) Unwrap() error { return u.error }

// report says what went wrong, a line each, and gives the exit status.
func (c *command) report(err error) int {
	var code status
	var usage usageError
	var problems manifest.Problems
	var stopped interrupted
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		hint := "; see"
		if strings.Contains(usage.Error(), "\n") {
			hint = "\nsee"
		}
		c.complain("%v%s `%s --help`", usage.error, hint, usage.command)
		return exitUsage
	case errors.As(err, &stopped):
		c.complain("%v", stopped)
		return exitInterrupted
	case errors.As(err, &problems):
		for _, p := range problems { // as editors and terminals know to jump to
			fmt.Fprintln(c.err, printable(p.String()))
		}
		c.complain("%s; nothing was deployed", count(len(problems), "problem"))
	default:
		c.complain("%v", err)
	}
	return exitFailed
}

// complain prints "gust: ..." on standard error; what has several lines keeps
// them, indented.
func (c *command) complain(format string, args ...any) {
	lines := strings.Split(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n")
	for i, line := range lines {
		lines[i] = printable(line) // some of it may be a function's, or a server's
	}
	fmt.Fprintf(c.err, "%s %s\n", c.err.paint(red, "gust:"), strings.Join(lines, "\n  "))
}

// count says "1 problem", "2 problems".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
