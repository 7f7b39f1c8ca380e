package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/api"
)

func (c *command) audit() *cobra.Command {
	var q api.AuditQuery
	var result string
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:     "audit",
		GroupID: "access",
		Short:   "Print the audit log: who did what, and who was denied",
		Long: `Print the audit log, oldest first: who did what with what, when, from where, and
with which result, and everything that was denied. Without --since it is all
that is kept.

--principal is user:NAME, role:NAME (all of its sessions), function:NAME, root,
or an ARN; in ARNs and actions * stands for any text and ? for one character.`,
		Example: `  gust audit --since 1h
  gust audit -f --result denied
  gust audit --principal user:ann --action 'iam:*' --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{unknownCommand(cmd, args[0]), cmd.CommandPath()}
			}
			if q.Since != "" {
				if _, err := api.ParseSince(q.Since, time.Now()); err != nil {
					return usageError{fmt.Errorf("--since: %w", err), cmd.CommandPath()}
				}
			}
			if result != "" {
				var err error
				if q.Result, err = audit.ParseResult(result); err != nil {
					return usageError{fmt.Errorf("--result: %w", err), cmd.CommandPath()}
				}
			}
			return c.withClient(func(client *api.Client) error {
				if q.Principal != "" && !strings.HasPrefix(q.Principal, "arn:") && !strings.ContainsAny(q.Principal, "*?") {
					d, err := newDirectory(cmd, client)
					if err != nil {
						return err
					}
					if q.Principal, err = auditPrincipal(d, q.Principal); err != nil {
						return usageError{fmt.Errorf("--principal: %w", err), cmd.CommandPath()}
					}
				}
				return c.runAudit(cmd.Context(), client, q, follow, asJSON)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what comes, until interrupted")
	f.StringVar(&q.Since, "since", "", "only what is younger: how long ago (5m, 2h), or a time (2026-01-31T12:00:00Z)")
	f.StringVar(&q.Principal, "principal", "", "only what `WHO` did")
	f.StringVar(&q.Action, "action", "", "only this `ACTION`, such as iam:CreateUser or iam:*")
	f.StringVar(&result, "result", "", "only this `RESULT`: ok, error, denied, refused, cut_off or running")
	_ = cmd.RegisterFlagCompletionFunc("principal", c.completeFlag(principals))
	_ = cmd.RegisterFlagCompletionFunc("result", cobra.FixedCompletions([]string{"ok", "error", "denied", "refused", "cut_off", "running"}, cobra.ShellCompDirectiveNoFileComp))
	f.BoolVar(&asJSON, "json", false, "print records as JSON, one on a line")
	cmd.AddCommand(c.auditVerify())
	return cmd
}

// auditPrincipal is the pattern of whom a principal in short means in records.
func auditPrincipal(d *directory, s string) (string, error) {
	who, err := principal(s)
	if err != nil {
		return "", err
	}
	if name, ok := strings.CutPrefix(who, "role/"); ok {
		return "arn:aws:sts::" + d.place.Account + ":assumed-role/" + name + "/*", nil
	}
	return "arn:aws:iam::" + d.place.Account + ":" + who, nil
}

func (c *command) runAudit(ctx context.Context, client *api.Client, q api.AuditQuery, follow, asJSON bool) error {
	return printRecords(ctx, c, "the audit log", client.AuditRecords(ctx, q, follow), follow, asJSON, func(r *audit.Record) error {
		_, err := fmt.Fprintln(c.out, c.auditLine(r))
		return err
	})
}

func (c *command) auditLine(r *audit.Record) string {
	colours := map[audit.Result]colour{audit.OK: green, audit.Failed: yellow, audit.Denied: red, audit.Refused: red, audit.CutOff: yellow}
	parts := []string{c.out.paint(dim, r.Time.Local().Format("2006-01-02 15:04:05.000")), c.out.paint(colours[r.Result], fmt.Sprintf("%-7s", printable(string(cmp.Or(r.Result, "-")))))}
	add := func(format string, args ...any) { parts = append(parts, printable(fmt.Sprintf(format, args...))) }
	if r.Kind == audit.KindTrim {
		add("the oldest records were removed, through %s", r.Parameters["through"])
		return strings.Join(parts, "  ")
	}
	parts = append(parts, c.out.paint(bold, printable(cmp.Or(shortARN(r.Principal), "nobody"))))
	if r.Count > 0 {
		add("%s", count(int(r.Count), "call"))
	}
	if r.Action != "" {
		add("%s", r.Action)
	}
	var resources []string
	for _, arn := range r.Resources {
		resources = append(resources, shortARN(arn))
	}
	if len(resources) > 0 {
		add("%s", strings.Join(resources, ", "))
	}
	if r.Count == 0 { // a count's are of what it counts
		for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
			value := r.Parameters[name]
			if !slices.ContainsFunc(r.Resources, func(arn string) bool { return strings.HasSuffix(arn, value) }) { // that is said already
				add("%s=%s", name, value)
			}
		}
	}
	if r.Code != "" {
		add("(%s)", r.Code)
	}
	if r.Reason != "" {
		add("%s", r.Reason)
	}
	switch {
	case r.Environment != "":
		add("from environment %s", short(r.Environment))
	case r.Source != "":
		add("from %s", r.Source)
	}
	return strings.Join(parts, "  ")
}

// shortARN leaves out of an ARN what is the same in all: "user/ann",
// "function:api", "app/shop".
func shortARN(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return arn
	}
	return parts[5]
}

func (c *command) auditVerify() *cobra.Command {
	var head string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that the audit log is as it was written",
		Long: `Walk the whole audit log and verify that it is as it was written: each record
has the hash of the one before it. What was changed, removed, put in or moved is
named, and the exit status is 1 if there is something.

It prints the log's head. Keep that elsewhere, and give it to the next one as
--head: then a log that was written anew, hashes and all, shows as well.`,
		Example: `  gust audit verify
  gust audit verify --head "$(cat yesterday)" --json | jq -r .head > today`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(func(client *api.Client) error {
				working := c.err.working()
				working.does("verify", "verifying the audit log")
				s, err := client.VerifyAudit(cmd.Context(), head)
				working.stop()
				if err != nil {
					return err
				}
				if asJSON {
					err = c.printJSON(s)
				} else {
					for _, p := range s.Problems {
						fmt.Fprintf(c.out, "record %d: %s\n", p.Record, printable(p.Text))
					}
				}
				switch {
				case err != nil:
					return err
				case len(s.Problems) > 0:
					return fmt.Errorf("the audit log is not as it was written: %s in %s", count(len(s.Problems), "problem"), count(int(s.Records), "record"))
				case !asJSON:
					fmt.Fprintf(c.out, "the audit log is whole: %s\nhead %s\n", count(int(s.Records), "record"), printable(s.Head))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a `HEAD` that was kept, which has to be in the log still")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	return cmd
}
