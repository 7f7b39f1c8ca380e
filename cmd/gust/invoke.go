package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"

	gust "github.com/gust-dev/gust"
)

func (c *command) invoke() *cobra.Command {
	var event, path string
	var tail bool
	cmd := &cobra.Command{
		Use:     "invoke NAME",
		GroupID: "app",
		Short:   "Run a function on an event and print its answer",
		Long: `Run a function on an event, JSON of at most 6 MB, and print what it answers to
standard output. If the function fails, its error goes to standard error and the
exit status is 1.

The event comes from -d: as it is, from a file (@FILE), or from standard input
(-). Without -d it is {}.

A function of the http runtime takes no events but HTTP requests. Give the path
to ask it for (--path), which one of its routes has to match: by GET, or by POST
of what -d says.`,
		Example: `  gust invoke hello -d '{"name": "Ada"}'
  gust invoke hello -d @event.json --tail
  echo '{}' | gust invoke hello -d -
  gust invoke web --path /web/`,
		Args:              one,
		ValidArgsFunction: c.completeNames(functionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if path != "" {
				if tail {
					return usageError{errors.New("--tail cannot be with --path; see gust logs"), cmd.CommandPath()}
				}
				return c.withClient(func(client *api.Client) error {
					return c.runRequest(cmd.Context(), client, args[0], path, event, cmd.Flags().Changed("event"))
				})
			}
			payload, err := c.event(event)
			if err != nil {
				return err
			}
			if !json.Valid(payload) {
				return fmt.Errorf("the event is not JSON: %q; a string needs its quotes: -d '\"text\"'", start(payload))
			}
			return c.withClient(func(client *api.Client) error {
				return c.runInvoke(cmd.Context(), client, args[0], payload, tail)
			})
		},
	}
	cmd.Flags().StringVarP(&event, "event", "d", "{}", "the event: JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&path, "path", "", "for an http function: the path to ask it for")
	cmd.Flags().BoolVar(&tail, "tail", false, "print the last 4 KB that the invocation logged, to standard error")
	return cmd
}

// event reads what -d means.
func (c *command) event(arg string) ([]byte, error) {
	var from io.Reader = strings.NewReader(arg)
	if arg == "-" {
		from = c.in
	} else if name, ok := strings.CutPrefix(arg, "@"); ok {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("reading the event: %w", err)
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, gust.MaxSyncPayload+1))
	if err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	if len(data) > gust.MaxSyncPayload {
		return nil, fmt.Errorf("the event is over %d MB, the limit of a synchronous invocation", gust.MaxSyncPayload/gust.MB)
	}
	return data, nil
}

// start is enough of data to know it again.
func start(data []byte) string {
	if len(data) > 40 {
		return string(data[:40]) + "..."
	}
	return string(data)
}

func (c *command) runInvoke(ctx context.Context, client *api.Client, name string, event []byte, tail bool) error {
	working := c.err.working()
	working.does("invoke", "running "+name)
	inv, err := client.Invoke(ctx, name, event, tail)
	working.stop()
	if err != nil {
		return err
	}
	if len(inv.LogTail) > 0 {
		for line := range strings.Lines(string(inv.LogTail)) {
			fmt.Fprintln(c.err, printable(strings.TrimSuffix(line, "\n")))
		}
	}
	if inv.Failed {
		return fmt.Errorf("%s failed: %s (request %s)", name, failure(inv.Payload), inv.RequestID)
	}
	return c.out.answer(bytes.NewReader(endLine(inv.Payload)))
}

// runRequest sends an HTTP request to a function by its routes, as a user
// would, and streams the answer.
func (c *command) runRequest(ctx context.Context, client *api.Client, name, path, body string, post bool) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("--path %q does not begin with /", path)
	}
	var payload []byte
	method := http.MethodGet
	if post {
		method = http.MethodPost
		var err error
		if payload, err = c.event(body); err != nil {
			return err
		}
	}
	working := c.err.working()
	working.does("invoke", "asking "+name)
	resp, err := client.Request(ctx, name, method, path, payload)
	working.stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := c.out.answer(resp.Body); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s to %s %s", name, resp.Status, method, path)
	}
	return nil
}

// failure is the text of Lambda's error document.
func failure(payload []byte) string {
	var doc struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &doc) != nil || doc.Type == "" && doc.Message == "" {
		return strings.TrimSpace(string(payload))
	}
	return (&gust.FunctionError{Type: doc.Type, Message: doc.Message}).Error()
}

func endLine(text []byte) []byte {
	if len(text) == 0 || bytes.HasSuffix(text, []byte("\n")) {
		return text
	}
	return append(text, '\n')
}
