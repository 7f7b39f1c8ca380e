package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/api"
)

func (c *command) policy() *cobra.Command {
	return family(&cobra.Command{
		Use:     "policy COMMAND",
		GroupID: "access",
		Short:   "Explain decisions, check policy documents, and manage policies",
		Long: `Policies are IAM documents, decided on as AWS documents it (docs/POLICIES.md).
Managed ones have a name and are attached to users, groups and roles.`,
	}, c.policyExplain(), c.policyCheck(), c.policyLs(), c.policyShow(), c.policyPut(), c.policyRm(),
		c.policyAttach("attach", "Attach a managed policy to a user, a group or a role", "Attach", "is attached to"),
		c.policyAttach("detach", "Detach a managed policy", "Detach", "is detached from"))
}

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
	fmt.Fprintf(c.out, "%s %s %s on %s: %s\n", e.Principal, c.out.paint(colour, verb), e.Action, e.Resource, because(e))
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
			rows = append(rows, []string{string(s.Effect), s.Statement, strconv.Itoa(s.Line), s.Policy, printable(matches)})
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
	kind := map[policy.Layer]string{policy.LayerIdentity: "identity-based policy", policy.LayerResource: "resource-based policy",
		policy.LayerBoundary: "permissions boundary", policy.LayerSession: "session policy"}[e.Layer]
	switch {
	case e.Statement == "" && e.Allowed:
		return "root may do everything"
	case e.Statement == "":
		return "no " + kind + " allows it"
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

// checked is what `gust policy check --json` prints of a file.
type checked struct {
	File     string           `json:"file"`
	Findings []policy.Finding `json:"findings"`
}

func (c *command) policyCheck() *cobra.Command {
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Look policy documents over for mistakes, without a node",
		Long: `Look policy documents over, without a node: what is refused, typos in actions,
statements that do nothing or are shadowed by others, and stars that allow more
than is meant. - is standard input.

Each finding is a line: file, line, column, how bad it is, what it is, and what
to do. The exit status is 1 if there is an error, with --strict a warning, too.`,
		Example: `  gust policy check policy.json
  gust policy check --strict policies/*.json`,
		Args: atLeast,
		RunE: func(cmd *cobra.Command, args []string) error {
			files := []checked{}
			found := make(map[policy.Severity]int)
			for _, name := range args {
				data, err := c.read(name)
				if err != nil {
					return err
				}
				f := checked{File: name, Findings: policy.Lint(data)}
				if f.Findings == nil {
					f.Findings = []policy.Finding{}
				}
				for _, one := range f.Findings {
					found[one.Severity]++
				}
				files = append(files, f)
			}
			if asJSON {
				if err := c.printJSON(files); err != nil {
					return err
				}
			} else {
				c.printFindings(files)
			}
			errs, warnings := found[policy.SeverityError], found[policy.SeverityWarning]
			switch {
			case errs > 0 || strict && warnings > 0:
				return fmt.Errorf("%s and %s", count(errs, "error"), count(warnings, "warning"))
			case !asJSON && len(found) == 0:
				fmt.Fprintf(c.out, "nothing is wrong with %s\n", count(len(files), "policy document"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail on warnings, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	return cmd
}

func (c *command) printFindings(files []checked) {
	colours := map[policy.Severity]colour{policy.SeverityError: red, policy.SeverityWarning: yellow, policy.SeverityNote: dim}
	for _, f := range files {
		for _, one := range f.Findings {
			fmt.Fprintf(c.out, "%s:%d:%d: %s: %s; %s\n", f.File, one.Line, one.Column, c.out.paint(colours[one.Severity], string(one.Severity)), printable(one.Text), printable(one.Do))
		}
	}
}

// read reads a policy document from a file, or "-".
func (c *command) read(name string) ([]byte, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, policy.MaxDocument+1)) // what is longer is refused by that
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

// listedPolicy is a managed policy, as --json prints it.
type listedPolicy struct {
	Name        string    `json:"name"`
	ARN         string    `json:"arn"`
	Description string    `json:"description,omitempty"`
	Version     string    `json:"version"`
	Attached    int       `json:"attached"`
	Changed     time.Time `json:"changed"`
}

func (c *command) policyLs() *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List managed policies",
		Long:    "List managed policies: your own, and with --aws those of AWS's that Gust has.",
		Example: "  gust policy ls --aws",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				list, err := d.policies(all)
				if err != nil {
					return err
				}
				if asJSON {
					all := make([]listedPolicy, len(list))
					for i, p := range list {
						all[i] = listedPolicy{p.PolicyName, p.Arn, p.Description, p.DefaultVersionId, p.AttachmentCount, p.UpdateDate.Time}
					}
					return c.printJSON(all)
				}
				rows := [][]string{{"POLICY", "ATTACHED", "VERSION", "CHANGED", "DESCRIPTION"}}
				for _, p := range list {
					rows = append(rows, []string{p.PolicyName, strconv.Itoa(p.AttachmentCount), p.DefaultVersionId, ago(p.UpdateDate.Time, time.Now()), printable(cmp.Or(p.Description, "-"))})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "aws", false, "list AWS's, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
	return cmd
}

func (c *command) policyShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show POLICY",
		Short:             "Print the document of a managed policy",
		Example:           "  gust policy show ReadOnlyAccess",
		Args:              one,
		ValidArgsFunction: c.completeNames(policyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				doc, err := d.policyDocument(args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%s\n", doc)
				return nil
			})
		},
	}
}

// policyDocument is the version of a managed policy that counts.
func (d *directory) policyDocument(name string) (json.RawMessage, error) {
	arn, err := d.policyARN(name)
	if err != nil {
		return nil, err
	}
	var p struct{ Policy managed }
	if err := d.AWS(d.ctx, "iam", "GetPolicy", api.Params{"PolicyArn": arn}, &p); err != nil {
		return nil, err
	}
	var v struct{ PolicyVersion struct{ Document string } }
	err = d.AWS(d.ctx, "iam", "GetPolicyVersion", api.Params{"PolicyArn": arn, "VersionId": p.Policy.DefaultVersionId}, &v)
	return document(v.PolicyVersion.Document), err
}

func (c *command) policyPut() *cobra.Command {
	var description string
	cmd := &cobra.Command{
		Use:   "put NAME FILE",
		Short: "Make a managed policy of a document, or a new version of it",
		Long: `Make a managed policy of the document in FILE (- is standard input); if there is
one of that name, a new version of it, which counts at once. AWS keeps five
versions, and so does Gust: the oldest that does not count makes room.`,
		Example: "  gust policy put invoke-api policy.json",
		Args:    atLeast,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := c.read(args[1])
			if err != nil {
				return err
			}
			return c.withDirectory(cmd, func(d *directory) error {
				in := api.Params{"PolicyName": args[0], "PolicyDocument": string(data)}
				if description != "" {
					in["Description"] = description
				}
				err := d.iam("CreatePolicy", in)
				if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != "EntityAlreadyExistsException" {
					if err == nil {
						fmt.Fprintf(c.out, "policy %s is made\n", args[0])
					}
					return err
				}
				if description != "" {
					return fmt.Errorf("policy %s is there already, and AWS changes no descriptions: leave out --description", args[0])
				}
				version, err := d.newVersion("arn:aws:iam::"+d.place.Account+":policy/"+args[0], string(data))
				if err == nil {
					fmt.Fprintf(c.out, "policy %s is at version %s\n", args[0], version)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "what a new policy is for")
	return cmd
}

type policyVersion struct {
	VersionId        string
	IsDefaultVersion bool
	CreateDate       api.Epoch
}

// maxVersions is AWS's quota.
const maxVersions = 5

func (d *directory) newVersion(arn, document string) (string, error) {
	list, err := d.versions(arn)
	if err != nil {
		return "", err
	}
	if len(list) >= maxVersions {
		oldest := list[0]
		for _, v := range list {
			if oldest.IsDefaultVersion || !v.IsDefaultVersion && v.CreateDate.Before(oldest.CreateDate.Time) {
				oldest = v
			}
		}
		if err := d.iam("DeletePolicyVersion", api.Params{"PolicyArn": arn, "VersionId": oldest.VersionId}); err != nil {
			return "", err
		}
	}
	var got struct{ PolicyVersion policyVersion }
	err = d.AWS(d.ctx, "iam", "CreatePolicyVersion", api.Params{"PolicyArn": arn, "PolicyDocument": document, "SetAsDefault": true}, &got)
	return got.PolicyVersion.VersionId, err
}

func (d *directory) versions(arn string) ([]policyVersion, error) {
	return api.List[policyVersion](d.ctx, d.Client, "ListPolicyVersions", "Versions", api.Params{"PolicyArn": arn})
}

func (c *command) policyRm() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm POLICY",
		Short: "Remove a managed policy",
		Long: `Remove a managed policy. It is refused while it is attached to somebody; with
--force it is detached first. Whom it bounds keeps it from being removed.`,
		Example:           "  gust policy rm invoke-api --force",
		Args:              one,
		ValidArgsFunction: c.completeNames(policyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				arn, err := d.policyARN(args[0])
				if err != nil {
					return err
				}
				if err := d.removePolicy(arn, force); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "policy %s is removed\n", args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "detach it from everybody first")
	return cmd
}

func (d *directory) removePolicy(arn string, force bool) error {
	if force {
		for member, h := range map[string]func(string) holder{"PolicyUsers": user, "PolicyGroups": group, "PolicyRoles": role} {
			list, err := api.List[detail](d.ctx, d.Client, "ListEntitiesForPolicy", member, api.Params{"PolicyArn": arn, "PolicyUsageFilter": "PermissionsPolicy"})
			if err != nil {
				return err
			}
			for _, name := range names(list) {
				h := h(name)
				if err := d.iam("Detach"+h.kind+"Policy", h.with("PolicyArn", arn)); err != nil {
					return err
				}
			}
		}
	}
	if err := d.unused(arn); err != nil {
		return err
	}
	versions, err := d.versions(arn)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if !v.IsDefaultVersion {
			if err := d.iam("DeletePolicyVersion", api.Params{"PolicyArn": arn, "VersionId": v.VersionId}); err != nil {
				return err
			}
		}
	}
	return d.iam("DeletePolicy", api.Params{"PolicyArn": arn})
}

// unused refuses to remove a policy that somebody has: its old versions would be
// gone before IAM refuses it.
func (d *directory) unused(arn string) error {
	var p struct {
		Policy struct{ AttachmentCount, PermissionsBoundaryUsageCount int }
	}
	if err := d.AWS(d.ctx, "iam", "GetPolicy", api.Params{"PolicyArn": arn}, &p); err != nil {
		return err
	}
	switch {
	case p.Policy.AttachmentCount > 0:
		return fmt.Errorf("%s is attached to %d; --force detaches it", arn, p.Policy.AttachmentCount)
	case p.Policy.PermissionsBoundaryUsageCount > 0:
		return fmt.Errorf("%s is the boundary of %d; give them another one first", arn, p.Policy.PermissionsBoundaryUsageCount)
	}
	return nil
}

func (c *command) policyAttach(verb, short, operation, said string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " POLICY WHO",
		Short:             short,
		Long:              short + ".\n\nWHO is user:NAME, group:NAME or role:NAME.",
		Example:           "  gust policy " + verb + " ReadOnlyAccess user:ann",
		Args:              atLeast,
		ValidArgsFunction: c.completeEach(policyNames, principals),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := parseHolder(args[1])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return c.withDirectory(cmd, func(d *directory) error {
				arn, err := d.policyARN(args[0])
				if err != nil {
					return err
				}
				if err := d.iam(operation+h.kind+"Policy", h.with("PolicyArn", arn)); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "policy %s %s %s\n", args[0], said, h)
				return nil
			})
		},
	}
}
