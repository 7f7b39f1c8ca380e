// Command demo shows Gust at work, in under a minute: a node on a fresh data
// folder, the app of examples/hello, calls cold and warm, a burst, functions
// that fail, logs and figures. It ends with status 0 if all of it went as it
// should, and else says what did not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	gust := flag.String("gust", "bin/gust", "the gust binary to show")
	app := flag.String("app", "examples/hello", "folder of the app to deploy")
	sandbox := flag.String("sandbox", "process", "what functions run in: process or none")
	flag.Parse()

	signal.Ignore(syscall.SIGPIPE) // who stops reading does not keep the node from being stopped
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("it took longer than 5 minutes"))
	defer cancel()

	start := time.Now()
	if err := run(ctx, *gust, *app, *sandbox); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("\nAll of it went as it should, in %.1f s. Next: README.md, \"A function of your own\".\n", time.Since(start).Seconds())
}

func run(ctx context.Context, binary, app, sandbox string) (err error) {
	title("A node, on a fresh data folder")
	n, err := startNode(ctx, binary, sandbox)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n\nThe node said:\n%s", err, n.log.String())
		}
		err = errors.Join(err, n.discard())
	}()
	s := &show{node: n, app: app, took: make(map[string]time.Duration)}
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"An app of two functions: one written with aws-lambda-go, one a plain HTTP server", s.deploy},
		{"From the command line, cold and warm", s.commandLine},
		{"The same again changes nothing; removed and deployed anew, everything is cold again", s.again},
		{"Over HTTP, cold and warm", s.overHTTP},
		{"A burst: 50 requests at once, one event at a time in an environment", s.burst},
		{"A crash, an exit, an error, a timeout: each ends its own request alone", s.failures},
		{"What is there now", s.list},
		{"The logs", s.logs},
		{"The figures", s.figures},
		{"Stop", s.stop},
	} {
		title(step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(step.title[:1])+step.title[1:], err)
		}
	}
	return nil
}

func title(text string) { fmt.Printf("\n== %s\n\n", text) }
