package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"

	gust "github.com/gust-dev/gust"
)

func (c *command) logs() *cobra.Command {
	var q api.LogQuery
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "logs [NAME]",
		GroupID: "app",
		Short:   "Print the logs of a function, or of all",
		Long: `Print what functions wrote and how their invocations went, oldest first: of the
function NAME, or of all. Without --since it is all that is kept.

With --json each line is one record: a line that a program wrote ("line"), the
"start", "end" and "report" of an invocation, lines that were "dropped" because
they were too many, and environments that did not come up ("init_error").`,
		Example: `  gust logs hello --since 5m
  gust logs -f -n 20
  gust logs --request 5b3cbf52-7f3c-4f6e-a5ed-2c1e6ba63a0b
  gust logs --json | jq 'select(.kind == "report") | .report'`,
		Args:              optional,
		ValidArgsFunction: c.completeNames(functionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				q.Function = args[0]
			}
			if q.Since != "" {
				if _, err := api.ParseSince(q.Since, time.Now()); err != nil {
					return usageError{fmt.Errorf("--since: %w", err), cmd.CommandPath()}
				}
			}
			if q.Limit < 0 || q.Limit > api.MaxLogRecords || q.Limit == 0 && cmd.Flags().Changed("limit") {
				return usageError{fmt.Errorf("--limit %d is outside 1 to %d", q.Limit, api.MaxLogRecords), cmd.CommandPath()}
			}
			return c.withClient(func(client *api.Client) error {
				return c.runLogs(cmd.Context(), client, q, asJSON)
			})
		},
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what comes, until interrupted")
	cmd.Flags().StringVar(&q.Since, "since", "", "only what is younger: how long ago (5m, 2h), or a time (2026-01-31T12:00:00Z)")
	cmd.Flags().IntVarP(&q.Limit, "limit", "n", 0, "only the newest so many `RECORDS` of what is there, at most 1000000")
	cmd.Flags().StringVar(&q.RequestID, "request", "", "only what belongs to the request with this `ID`")
	cmd.Flags().StringVar(&q.App, "app", "", "only functions of this `APP`")
	_ = cmd.RegisterFlagCompletionFunc("app", c.completeFlag(appNames))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print records as JSON, one on a line")
	cmd.Flags().Lookup("limit").DefValue = "0" // none, which help does not show
	return cmd
}

func (c *command) runLogs(ctx context.Context, client *api.Client, q api.LogQuery, asJSON bool) error {
	return printRecords(ctx, c, "the logs", client.Logs(ctx, q), q.Follow, asJSON, func(r *observe.Record) error { return c.printRecord(c.out, r) })
}

// printRecords prints what comes of a log, a line of JSON or what show writes for
// each, until there is no more or somebody who follows interrupts it.
func printRecords[T any](ctx context.Context, c *command, log string, records iter.Seq2[T, error], follow, asJSON bool, show func(T) error) error {
	lines := c.out.json()
	none := true
	for r, err := range records {
		if err != nil {
			var stopped interrupted
			if follow && errors.As(context.Cause(ctx), &stopped) {
				return nil // which is how one stops to follow
			}
			return err
		}
		none = false
		if asJSON {
			err = lines.Encode(r)
		} else {
			err = show(r)
		}
		if err != nil {
			return fmt.Errorf("printing %s: %w", log, err)
		}
	}
	switch {
	case follow:
		fmt.Fprintln(c.err, "the node has stopped: there is no more to follow")
	case none && !asJSON:
		fmt.Fprintln(c.err, "nothing that fits is in "+log)
	}
	return nil
}

// printRecord prints one record on one line; of an end it prints nothing.
func (c *command) printRecord(out *terminal, r *observe.Record) error {
	if r.Kind == observe.KindEnd { // its report says more, and follows
		return nil
	}
	id := cmp.Or(r.RequestID, "-")
	_, err := fmt.Fprintf(out, "%s  %s  %-8s  %s\n", out.paint(dim, r.Time.Local().Format("2006-01-02 15:04:05.000")),
		out.paint(bold, printable(r.Function)), printable(id[:min(8, len(id))]), describeRecord(out, r))
	return err
}

// describeRecord is what people are told of a record.
func describeRecord(out *terminal, r *observe.Record) string {
	switch r.Kind {
	case observe.KindLine:
		return out.paint(levelColour(r.Level), printable(readable(r.Message)))
	case observe.KindStart:
		return out.paint(dim, fmt.Sprintf("START version %d", r.Version))
	case observe.KindReport:
		return describeReport(out, r.Report)
	case observe.KindDropped:
		return out.paint(yellow, fmt.Sprintf("DROPPED %d lines (%s) that came faster than they can be kept", r.Dropped.Lines, size(int64(r.Dropped.Bytes))))
	case observe.KindInitError:
		return out.paint(red, "DID NOT START "+printable(r.Message))
	}
	return printable(r.Message)
}

func describeReport(out *terminal, r *gust.Report) string {
	text := fmt.Sprintf("REPORT %s, %s, billed %s, memory %s of %s", r.Outcome, milliseconds(r.Duration), milliseconds(r.Billed), size(r.MemoryUsed), size(r.MemorySize))
	if r.Cold != "" {
		pool := ""
		if r.Pooled {
			pool = ", from the pool"
		}
		text += fmt.Sprintf(", cold (%s%s), init %s", r.Cold, pool, milliseconds(r.Init))
	}
	if r.BytesOut > 0 {
		text += ", sent " + size(r.BytesOut)
	}
	if r.Outcome == gust.OutcomeOK {
		return out.paint(dim, printable(text))
	}
	if reason := (&gust.FunctionError{Type: r.ErrorType, Message: r.ErrorMessage}).Error(); reason != "" {
		text += ": " + reason
	}
	return out.paint(red, printable(text))
}

func levelColour(level string) colour {
	switch strings.ToUpper(level) {
	case "ERROR", "FATAL", "CRITICAL", "PANIC":
		return red
	case "WARN", "WARNING":
		return yellow
	default:
		return plain
	}
}

// milliseconds is for people.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
