package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) policyExplain() *cobra.Command {
	var all, asJSON bool
	var given []string
	cmd := &cobra.Command{
		Use:   "explain PRINCIPAL ACTION RESOURCE",
		Short: "Say whether somebody may do something, and which statement decides",
		Long: `Say whether somebody may do something, decided as a request is, and show the
statement that decides: its policy, its Sid or number, and its line.

PRINCIPAL is user:NAME, role:NAME, function:NAME, root, or an ARN. RESOURCE is
function:NAME, app:NAME, user:NAME, group:NAME, role:NAME, policy:NAME, an ARN,
or "*". Conditions find in the request what --context gives, and what is known
of the principal; no address, and no TLS.

Exit status: 0 it is allowed, 2 it is denied, 1 it cannot be said.`,
		Example: `  gust policy explain user:ann lambda:InvokeFunction function:api
  gust policy explain function:api sqs:SendMessage '*' --all
  gust policy explain user:ann s3:GetObject arn:aws:s3:::b/k \
    --context aws:SourceIp=10.0.0.7`,
		Args: atLeast,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := make(map[string][]string)
			for _, g := range given {
				k, v, ok := strings.Cut(g, "=")
				if !ok || k == "" {
					return usageError{fmt.Errorf("--context %q is none; want KEY=VALUE", g), cmd.CommandPath()}
				}
				keys[k] = append(keys[k], v)
			}
			who, err := principal(args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return c.withDirectory(cmd, func(d *directory) error {
				resource, err := resourceARN(d.place, args[2])
				if err != nil {
					return usageError{err, cmd.CommandPath()}
				}
				e, err := d.Explain(cmd.Context(), &api.Question{Principal: who, Action: args[1], Resource: resource, Context: keys})
				if err != nil {
					return err
				}
				if asJSON {
					err = c.printJSON(e)
				} else {
					err = c.printExplanation(e, all)
				}
				if err == nil && !e.Allowed {
					return status(exitDenied)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show every statement that was looked at, and the first thing that did not match")
	cmd.Flags().StringArrayVar(&given, "context", nil, "a condition key of the request, `KEY=VALUE`; can be repeated, also for several values")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of it as JSON")
	cmd.ValidArgsFunction = c.completeEach(principals, noNames, resourceNames)
	return cmd
}

// principal is whom PRINCIPAL means, as the API has it.
func principal(s string) (string, error) {
	if s == "root" || strings.HasPrefix(s, "arn:") {
		return s, nil
	}
	if m := shortForm.FindStringSubmatch(s); m != nil {
		switch m[1] {
		case "user", "role":
			return m[1] + "/" + m[2], nil
		case "function":
			return "role/fn." + m[2], nil
		}
	}
	return "", fmt.Errorf("%q is no principal; want user:NAME, role:NAME, function:NAME, root, or an ARN", s)
}

func principals(cmd *cobra.Command, client *api.Client) ([]string, error) {
	all := []string{"root"}
	for _, k := range []struct {
		prefix string
		names  func(*cobra.Command, *api.Client) ([]string, error)
	}{{"user:", userNames}, {"role:", roleNames}, {"function:", functionNames}} {
		list, err := k.names(cmd, client)
		if err != nil {
			return nil, err
		}
		for _, name := range list {
			all = append(all, k.prefix+name)
		}
	}
	return all, nil
}

func noNames(*cobra.Command, *api.Client) ([]string, error) { return nil, nil }

func resourceNames(cmd *cobra.Command, client *api.Client) ([]string, error) {
	list, err := functionNames(cmd, client)
	for i := range list {
		list[i] = "function:" + list[i]
	}
	return list, err
}

func (c *command) printExplanation(e *api.Explanation, all bool) error {
	verb, colour := "may", green
	if !e.Allowed {
		verb, colour = "may not", red
	}
	fmt.Fprintf(c.out, "%s %s %s on %s: %s\n", printable(e.Principal), c.out.paint(colour, verb),
		printable(e.Action), printable(e.Resource), printable(because(e)))
	rows := [][]string{{"EFFECT", "STATEMENT", "LINE", "POLICY", "MATCHES"}}
	for _, s := range e.Statements {
		matches := cmp.Or(s.Why, "yes")
		switch {
		case s.Deciding:
			matches = "yes, and decides"
		case s.Matched && s.Why != "":
			matches = "yes; " + s.Why
		}
		if all || s.Deciding {
			rows = append(rows, []string{string(s.Effect), s.Statement, strconv.Itoa(s.Line), s.Policy, matches})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(c.out)
		return c.out.table(rows)
	}
	if len(e.Statements) > 0 {
		fmt.Fprintf(c.out, "%s looked at; --all shows why none decides\n", map[bool]string{true: "1 statement was", false: count(len(e.Statements), "statement") + " were"}[len(e.Statements) == 1])
	}
	return nil
}

// because is why it is so.
func because(e *api.Explanation) string {
	switch {
	case e.Statement == "" && e.Allowed:
		return "root may do everything"
	case e.Statement == "":
		return "no " + e.Layer.Words() + " allows it"
	}
	verb := "denies"
	if e.Allowed {
		verb = "allows"
	}
	line := ""
	for _, s := range e.Statements {
		if s.Deciding {
			line = ", line " + strconv.Itoa(s.Line)
		}
	}
	return fmt.Sprintf("statement %s %s it (%s%s)", e.Statement, verb, e.Policy, line)
}
