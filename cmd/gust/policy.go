package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/suggest"
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

// managed is a managed policy.
type managed struct {
	PolicyName, Arn, Description, DefaultVersionId string
	AttachmentCount                                int
	UpdateDate                                     api.Epoch
}

// policies lists the account's managed policies, and with all AWS's.
func (d *directory) policies(all bool) ([]managed, error) {
	scope := "Local"
	if all {
		scope = "All"
	}
	return api.List[managed](d.ctx, d.Client, "ListPolicies", "Policies", api.Params{"Scope": scope})
}

// policyARN finds a managed policy by its name, the account's before AWS's.
func (d *directory) policyARN(name string) (string, error) {
	if strings.HasPrefix(name, "arn:") {
		return name, nil
	}
	list, err := d.policies(true)
	if err != nil {
		return "", err
	}
	found := ""
	var known []string
	for _, p := range list {
		known = append(known, p.PolicyName)
		if p.PolicyName == name && (found == "" || !strings.HasPrefix(p.Arn, "arn:aws:iam::aws:")) {
			found = p.Arn
		}
	}
	if found == "" {
		return "", fmt.Errorf("there is no managed policy %q%s; `gust policy ls --aws` lists them", name, suggest.Word(name, slices.Values(known)))
	}
	return found, nil
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
					rows = append(rows, []string{p.PolicyName, strconv.Itoa(p.AttachmentCount), p.DefaultVersionId, ago(p.UpdateDate.Time, time.Now()), cmp.Or(p.Description, "-")})
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
				fmt.Fprintf(c.out, "%s\n", printableJSON(string(doc)))
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
				own, err := d.policies(false)
				if err != nil {
					return err
				}
				for _, p := range own { // it may have a path, and a name is there in one letter case
					if strings.EqualFold(p.PolicyName, args[0]) {
						version, err := d.newVersion(p.Arn, string(data))
						if err == nil {
							fmt.Fprintf(c.out, "policy %s is at version %s\n", printable(p.PolicyName), printable(version))
						}
						return err
					}
				}
				return fmt.Errorf("policy %s was there, and was removed just now", args[0])
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

// parseHolder reads user:NAME, group:NAME or role:NAME.
func parseHolder(s string) (holder, error) {
	if m := shortForm.FindStringSubmatch(s); m != nil {
		switch m[1] {
		case "user":
			return user(m[2]), nil
		case "group":
			return group(m[2]), nil
		case "role":
			return role(m[2]), nil
		}
	}
	return holder{}, fmt.Errorf("%q has no policies attached; want user:NAME, group:NAME or role:NAME", s)
}

func policyNames(cmd *cobra.Command, client *api.Client) ([]string, error) {
	d := &directory{Client: client, ctx: cmd.Context()}
	list, err := d.policies(true)
	var names []string
	for _, p := range list {
		names = append(names, p.PolicyName)
	}
	return names, err
}
