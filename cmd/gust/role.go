package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/api"

	gust "github.com/gust-dev/gust"
)

func (c *command) role() *cobra.Command {
	return family(&cobra.Command{
		Use:     "role COMMAND",
		GroupID: "access",
		Short:   "List, add, remove and show roles, assume them, and end their sessions",
		Long: `A role is assumed for a while, by whom its trust policy names, and then that is
what one may do, and nothing else. Functions have roles of their own, fn.NAME,
which are made of the manifest and changed by deploys alone.`,
	}, c.roleLs(), c.roleAdd(), c.rmHolder("Role", "policies", roleNames), c.roleShow(), c.roleAssume(),
		c.revoke("role", roleNames, (*api.Client).RevokeRole, `Who may assume the role can begin a new
one; to keep somebody out, take them out of its trust policy as well.
Of a function's own role (fn.NAME) the function's environments are replaced,
since programs hold on to the credentials that they have; what runs finishes.`))
}

func (c *command) roleLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List roles: who may assume them, their policies, their last use",
		Long: `List roles, functions' own (fn.NAME) among them: who may assume them, their
policies, and when they were last used.`,
		Example: "  gust role ls",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				list, err := d.entries("Role")
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(list)
				}
				rows := [][]string{{"ROLE", "TRUSTS", "POLICIES", "LAST USE"}}
				for _, e := range list {
					used := "never"
					if e.LastUsed != nil {
						used = ago(*e.LastUsed, time.Now())
					}
					rows = append(rows, []string{e.Name, cmp.Or(strings.Join(trusted(e.Trust, d.place.Account), ", "), "-"), e.rights(), used})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with the policies")
	return cmd
}

// trusted are those whom a trust policy lets in, in short; account is the node's.
// Conditions may narrow it, and what it denies may take from it.
func trusted(trust json.RawMessage, account string) (all []string) {
	var doc struct{ Statement json.RawMessage }
	type statement struct {
		Effect                  string
		Principal, NotPrincipal any
	}
	var list []statement
	err := json.Unmarshal(trust, &doc)
	if one := (statement{}); err == nil && json.Unmarshal(doc.Statement, &one) == nil {
		list = []statement{one}
	} else if err == nil {
		err = json.Unmarshal(doc.Statement, &list)
	}
	if err != nil { // it was read when it was put there
		return []string{"see `gust role show`"}
	}
	for _, s := range list {
		who := shortPrincipals(s.Principal, account)
		if s.NotPrincipal != nil {
			who = []string{"all but " + strings.Join(shortPrincipals(s.NotPrincipal, account), " and ")}
		}
		for _, w := range who {
			if s.Effect == "Allow" && !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// shortPrincipals are those whom a Principal names: "*", or lists by kind.
func shortPrincipals(principal any, account string) (all []string) {
	byKind, ok := principal.(map[string]any)
	if !ok {
		byKind = map[string]any{"": principal}
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		list, ok := byKind[kind].([]any)
		if !ok {
			list = []any{byKind[kind]}
		}
		for _, p := range list {
			all = append(all, shortPrincipal(fmt.Sprint(p), account))
		}
	}
	return all
}

// shortPrincipal is one of them: "user/ann", "account 123456789012", "everybody",
// and of users and roles of another account the whole ARN.
func shortPrincipal(p, account string) string {
	parts := strings.SplitN(p, ":", 6)
	switch {
	case p == "*":
		return "everybody"
	case len(p) == 12 && strings.Trim(p, "0123456789") == "":
		return "account " + p
	case len(parts) == 6 && parts[5] == "root":
		return "account " + parts[4]
	case len(parts) == 6 && parts[4] != account:
		return p
	}
	return shortARN(p)
}

func (c *command) roleAdd() *cobra.Command {
	var g grant
	var trust, subjects, tags []string
	var description string
	var longest time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a role, with who may assume it and what it may do",
		Long: `Add a role: who may assume it (--trust), and what it may do, by managed policies
and by rights of its own (--allow and --on). All of it is done, or nothing.

  --trust user:NAME       a user
  --trust role:NAME       who has assumed another role
  --trust function:NAME   a function, by its own role
  --trust account         everybody in the account whom a policy allows it
  --trust service:NAME    a service, such as lambda (NAME.amazonaws.com)
  --trust oidc:HOST/PATH  a provider of web identities, such as that of a CI
                          system, with --subject; make it first, by
                          aws iam create-open-id-connect-provider`,
		Example: `  gust role add deployer --trust user:ann --policy PowerUserAccess
  gust role add ci --trust oidc:token.actions.githubusercontent.com \
    --subject 'repo:acme/shop:*' --allow gust:DeployApp --on app:shop`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.check(c, cmd); err != nil {
				return err
			}
			if err := checkLasts(cmd, "max-session", longest, identity.MinMaxSession); err != nil {
				return err
			}
			given, err := tagList(tags)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return c.withDirectory(cmd, func(d *directory) error {
				h := role(args[0])
				doc, err := trustDocument(d.place, trust, subjects)
				if err != nil {
					return usageError{err, cmd.CommandPath()}
				}
				steps, err := g.steps(cmd, d, h)
				if err != nil {
					return err
				}
				in := h.with("AssumeRolePolicyDocument", doc, "Tags", given)
				if description != "" {
					in["Description"] = description
				}
				if longest != 0 {
					in["MaxSessionDuration"] = int(longest.Seconds())
				}
				if g.boundary != "" {
					if in["PermissionsBoundary"], err = d.policyARN(g.boundary); err != nil {
						return err
					}
				}
				if err := d.make(h, in, steps...); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%s is added\n", h)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&trust, "trust", nil, "`WHO` may assume it; can be repeated")
	cmd.Flags().StringSliceVar(&subjects, "subject", nil, "whom of an oidc provider: a `SUBJECT` (\"sub\") with * for any text; can be repeated")
	cmd.Flags().DurationVar(&longest, "max-session", 0, "how long a session may last, 1h to 12h; 1h if not said")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	g.flags(c, cmd)
	cmd.Flags().StringVar(&g.boundary, "boundary", "", "never more than the managed `POLICY` allows, whatever else it gets")
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "tag it `KEY=VALUE`; can be repeated")
	return cmd
}

type trustStatement struct {
	Effect    string
	Principal map[string][]string
	Action    string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// trustDocument makes a trust policy of --trust and --subject.
func trustDocument(place gust.Place, trust, subjects []string) (string, error) {
	if len(trust) == 0 {
		return "", errors.New("--trust is missing: who may assume the role")
	}
	principals := make(map[string][]string)
	statements := []trustStatement{}
	providers := 0
	for _, t := range trust {
		kind, name, _ := strings.Cut(t, ":")
		switch {
		case t == "account":
			principals["AWS"] = append(principals["AWS"], "arn:aws:iam::"+place.Account+":root")
		case name == "":
			return "", badTrust(t)
		case kind == "user", kind == "role":
			principals["AWS"] = append(principals["AWS"], "arn:aws:iam::"+place.Account+":"+kind+"/"+name)
		case kind == "function":
			principals["AWS"] = append(principals["AWS"], place.FunctionRoleARN(name))
		case kind == "service":
			principals["Service"] = append(principals["Service"], strings.TrimSuffix(name, ".amazonaws.com")+".amazonaws.com")
		case kind == "oidc":
			if len(subjects) == 0 {
				return "", fmt.Errorf("--trust %s lets everybody in for whom it vouches: say whom with --subject, or all of them with --subject '*'", t)
			}
			name = strings.TrimSuffix(strings.TrimPrefix(name, "https://"), "/")
			statements = append(statements, trustStatement{Effect: "Allow", Action: "sts:AssumeRoleWithWebIdentity",
				Principal: map[string][]string{"Federated": {"arn:aws:iam::" + place.Account + ":oidc-provider/" + name}},
				Condition: map[string]map[string][]string{"StringLike": {name + ":sub": subjects}}})
			providers++
		case strings.HasPrefix(t, "arn:"):
			principals["AWS"] = append(principals["AWS"], t)
		default:
			return "", badTrust(t)
		}
	}
	if providers == 0 && len(subjects) > 0 {
		return "", errors.New("--subject is about a provider of web identities, and --trust names none (oidc:HOST/PATH)")
	}
	if len(principals) > 0 {
		statements = slices.Insert(statements, 0, trustStatement{Effect: "Allow", Action: "sts:AssumeRole", Principal: principals})
	}
	doc, err := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": statements}, "", "  ")
	return string(doc), err
}

func badTrust(t string) error {
	return fmt.Errorf("--trust %q is nobody; want user:NAME, role:NAME, function:NAME, account, service:NAME, oidc:HOST/PATH, or an ARN", t)
}

func (c *command) roleShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a role: who may assume it, its policies, its last use",
		Example:           "  gust role show deployer",
		Args:              one,
		ValidArgsFunction: c.completeNames(roleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				e, err := d.look(role(args[0]))
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(e)
				}
				rows := [][]string{{"sessions", "at most " + (time.Duration(e.MaxSession) * time.Second).String()}, {"last use", "never"}}
				if e.LastUsed != nil {
					rows[1][1] = ago(*e.LastUsed, time.Now())
				}
				if err := c.printRights(e, rows); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "\nwho may assume it:\n%s\n", printableJSON(string(e.Trust)))
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func (c *command) roleAssume() *cobra.Command {
	var name, shell string
	var lasts time.Duration
	var policies []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "assume ROLE [-- COMMAND...]",
		Short: "Begin a session of a role, for a shell or for one command",
		Long: `Begin a session of a role. Without COMMAND it prints lines for a shell, which
has the session then, for AWS clients (AWS_*) and for gust (GUST_KEY). With
COMMAND it runs that in the session, and ends with its status.

A role with a path is named by that, too (PATH/NAME), or by its ARN.`,
		Example: `  eval "$(gust role assume deployer)"
  gust role assume deployer -- aws sts get-caller-identity
  gust role assume auditor --for 15m --policy ReadOnlyAccess -- gust ls`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash < 0 && len(args) > 1 {
				return usageError{fmt.Errorf("it takes one ROLE, and was given %q besides; a command goes behind --", args[1]), cmd.CommandPath()}
			} else if len(args) == 0 || dash == 0 {
				return usageError{errors.New("ROLE is missing"), cmd.CommandPath()}
			} else if dash > 1 {
				return usageError{fmt.Errorf("it takes one ROLE, and was given %q besides", args[1]), cmd.CommandPath()}
			}
			return nil
		},
		ValidArgsFunction: c.completeNames(roleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkShell(cmd, shell); err != nil {
				return err
			}
			if err := checkLasts(cmd, "for", lasts, identity.MinSession); err != nil {
				return err
			}
			if asJSON && len(args) > 1 {
				return usageError{errors.New("--json is for a session that is printed, and here a command has it"), cmd.CommandPath()}
			}
			var vars [][2]string
			err := c.withDirectory(cmd, func(d *directory) error {
				key, err := d.assume(args[0], name, lasts, policies)
				if err != nil {
					return err
				}
				vars, err = c.variables(d.Client, key, d.place.Region)
				vars = append(vars, [2]string{"GUST_KEY", key.Token()})
				return err
			})
			switch {
			case err != nil:
				return err
			case len(args) > 1:
				return c.runWith(cmd.Context(), vars, args[1:])
			case asJSON:
				return c.printJSON(variableObject(vars))
			}
			c.printVariables(vars, shell)
			return nil
		},
	}
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long the session lasts, 15m to what the role allows; 1h if not said")
	cmd.Flags().StringVar(&name, "session", "", "the session's `NAME`, which the audit log has; yours if not said")
	cmd.Flags().StringSliceVar(&policies, "policy", nil, "no more than this managed `POLICY` allows, either; can be repeated")
	_ = cmd.RegisterFlagCompletionFunc("policy", c.completeFlag(policyNames))
	shellFlag(cmd, &shell)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the variables as one JSON object instead")
	return cmd
}

// checkLasts refuses how long a session is to last, if it is said and none may: the
// node would speak of a parameter of its own.
func checkLasts(cmd *cobra.Command, flag string, d, shortest time.Duration) error {
	if d == 0 || d >= shortest && d <= identity.MaxSession && d%time.Second == 0 {
		return nil
	}
	return usageError{fmt.Errorf("--%s %v is no time that a session may last; want whole seconds, from %v to %v", flag, d, shortest, identity.MaxSession), cmd.CommandPath()}
}

// assume begins a session of a role.
func (d *directory) assume(name, session string, lasts time.Duration, policies []string) (*access.Key, error) {
	if !strings.HasPrefix(name, "arn:") {
		name = "arn:aws:iam::" + d.place.Account + ":role/" + name
	}
	in := api.Params{"RoleArn": name, "RoleSessionName": cmp.Or(session, nameIn(d.me.ARN))}
	if lasts != 0 {
		in["DurationSeconds"] = int(lasts.Seconds())
	}
	var narrow []map[string]string
	for _, p := range policies {
		arn, err := d.policyARN(p)
		if err != nil {
			return nil, err
		}
		narrow = append(narrow, map[string]string{"arn": arn})
	}
	if narrow != nil {
		in["PolicyArns"] = narrow
	}
	var got struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string }
	}
	if err := d.AWS(d.ctx, "sts", "AssumeRole", in, &got); err != nil {
		return nil, err
	}
	k := got.Credentials
	return &access.Key{ID: k.AccessKeyId, Secret: k.SecretAccessKey, Session: k.SessionToken}, nil
}

// nameIn is the last name of an ARN: "ann" of .../user/ann, "root" of ...:root.
func nameIn(arn string) string { return arn[strings.LastIndexAny(arn, ":/")+1:] }

// runWith runs a command with variables of its own, and ends as it does.
func (c *command) runWith(ctx context.Context, vars [][2]string, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out.Writer, c.err.Writer
	cmd.Env = os.Environ()
	for _, v := range vars {
		cmd.Env = append(cmd.Env, v[0]+"="+v[1])
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if code := exit.ExitCode(); code >= 0 {
			return status(code)
		}
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return err
}
