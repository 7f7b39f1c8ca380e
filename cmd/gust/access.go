package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"

	gust "github.com/gust-dev/gust"
)

// family makes a command that has nothing but subcommands.
func family(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return usageError{unknownCommand(cmd, args[0]), cmd.CommandPath()}
	}
	cmd.AddCommand(subs...)
	return cmd
}

// directory is IAM on a node, where the ARNs are made of place.
type directory struct {
	*api.Client
	ctx   context.Context
	me    *api.Identity
	place gust.Place
}

// withDirectory runs f with the node's directory.
func (c *command) withDirectory(cmd *cobra.Command, f func(*directory) error) error {
	return c.withClient(func(client *api.Client) error {
		d, err := newDirectory(cmd, client)
		if err != nil {
			return err
		}
		return f(d)
	})
}

func newDirectory(cmd *cobra.Command, client *api.Client) (*directory, error) {
	me, err := client.WhoAmI(cmd.Context())
	if err != nil {
		return nil, err
	}
	return &directory{client, cmd.Context(), me, gust.Place{Account: me.Account, Region: me.Region}}, nil
}

// iam asks IAM for an operation that has no answer.
func (d *directory) iam(operation string, in api.Params) error {
	return d.AWS(d.ctx, "iam", operation, in, nil)
}

// detail is a user, a group or a role as IAM tells of it.
type detail struct {
	UserName, GroupName, RoleName                   string
	UserPolicyList, GroupPolicyList, RolePolicyList []inlineDetail
	Arn                                             string
	CreateDate                                      api.Epoch
	Description, AssumeRolePolicyDocument           string
	MaxSessionDuration                              int
	GroupList                                       []string
	AttachedManagedPolicies                         []attachedDetail
	PermissionsBoundary                             *struct{ PermissionsBoundaryArn string }
	Tags                                            []struct{ Key, Value string }
	RoleLastUsed                                    *struct{ LastUsedDate *api.Epoch }
}

type inlineDetail struct{ PolicyName, PolicyDocument string }

type attachedDetail struct{ PolicyName, PolicyArn string }

// entry is a user, a group or a role, as --json prints it.
type entry struct {
	Name        string    `json:"name"`
	ARN         string    `json:"arn"`
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	// Policies are the ARNs of those that are attached, Inline its own.
	Policies []string                   `json:"policies"`
	Inline   map[string]json.RawMessage `json:"inline_policies,omitempty"`
	Boundary string                     `json:"boundary,omitempty"`
	Tags     map[string]string          `json:"tags,omitempty"`
	// Groups, Keys and Devices, by serial number, are a user's, Users a group's,
	// the others a role's.
	Groups     []string        `json:"groups,omitempty"`
	Users      []string        `json:"users,omitempty"`
	Keys       []key           `json:"keys,omitempty"`
	Devices    []string        `json:"mfa_devices,omitempty"`
	Trust      json.RawMessage `json:"trust,omitempty"`
	MaxSession int             `json:"max_session_seconds,omitempty"`
	LastUsed   *time.Time      `json:"last_used,omitempty"`
}

func (d *detail) entry() entry {
	e := entry{
		Name: cmp.Or(d.UserName, d.GroupName, d.RoleName), ARN: d.Arn, Created: d.CreateDate.Time, Description: d.Description,
		Policies: []string{}, Inline: map[string]json.RawMessage{}, Groups: d.GroupList,
		Trust: document(d.AssumeRolePolicyDocument), MaxSession: d.MaxSessionDuration, Tags: map[string]string{},
	}
	for _, a := range d.AttachedManagedPolicies {
		e.Policies = append(e.Policies, a.PolicyArn)
	}
	for _, p := range slices.Concat(d.UserPolicyList, d.GroupPolicyList, d.RolePolicyList) {
		e.Inline[p.PolicyName] = document(p.PolicyDocument)
	}
	if d.PermissionsBoundary != nil {
		e.Boundary = d.PermissionsBoundary.PermissionsBoundaryArn
	}
	for _, t := range d.Tags {
		e.Tags[t.Key] = t.Value
	}
	if d.RoleLastUsed != nil && d.RoleLastUsed.LastUsedDate != nil {
		e.LastUsed = &d.RoleLastUsed.LastUsedDate.Time
	}
	return e
}

// document is a policy as IAM gives it out.
func document(escaped string) json.RawMessage {
	text, err := url.PathUnescape(escaped)
	if err != nil || !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(strings.TrimSpace(text))
}

// rights are the names of all policies of an entry.
func (e *entry) rights() string {
	var names []string
	for _, arn := range e.Policies {
		names = append(names, arn[strings.LastIndexByte(arn, '/')+1:])
	}
	return cmp.Or(strings.Join(append(names, slices.Sorted(maps.Keys(e.Inline))...), ", "), "-")
}

// devicesOf are the serial numbers of a user's MFA devices.
func (d *directory) devicesOf(name string) ([]string, error) {
	list, err := api.List[struct{ SerialNumber string }](d.ctx, d.Client, "ListMFADevices", "MFADevices", user(name).with())
	var serials []string
	for _, m := range list {
		serials = append(serials, m.SerialNumber)
	}
	return serials, err
}

// entries lists all of a kind with what they have, in one go.
func (d *directory) entries(kind string) ([]entry, error) {
	list, err := api.List[detail](d.ctx, d.Client, "GetAccountAuthorizationDetails", kind+"DetailList", api.Params{"Filter": []string{kind}})
	all := make([]entry, len(list))
	for i := range list {
		all[i] = list[i].entry()
	}
	return all, err
}

// look finds one with what it has.
func (d *directory) look(h holder) (*entry, error) {
	var got struct{ User, Group, Role detail }
	err := d.AWS(d.ctx, "iam", "Get"+h.kind, h.with(), &got)
	if err != nil {
		return nil, err
	}
	about := map[string]detail{"User": got.User, "Group": got.Group, "Role": got.Role}[h.kind]
	if about.AttachedManagedPolicies, err = api.List[attachedDetail](d.ctx, d.Client, "ListAttached"+h.kind+"Policies", "AttachedPolicies", h.with()); err != nil {
		return nil, err
	}
	inline, err := api.List[string](d.ctx, d.Client, "List"+h.kind+"Policies", "PolicyNames", h.with())
	if err != nil {
		return nil, err
	}
	for _, name := range inline {
		var p inlineDetail
		if err := d.AWS(d.ctx, "iam", "Get"+h.kind+"Policy", h.with("PolicyName", name), &p); err != nil {
			return nil, err
		}
		about.UserPolicyList = append(about.UserPolicyList, p)
	}
	e := about.entry()
	return &e, nil
}

func (d *directory) groupsOf(user string) ([]string, error) {
	list, err := api.List[detail](d.ctx, d.Client, "ListGroupsForUser", "Groups", api.Params{"UserName": user})
	return names(list), err
}

func (d *directory) usersOf(group string) ([]string, error) {
	list, err := api.List[detail](d.ctx, d.Client, "GetGroup", "Users", api.Params{"GroupName": group})
	return names(list), err
}

func names(list []detail) []string {
	all := []string{}
	for _, e := range list {
		all = append(all, cmp.Or(e.UserName, e.GroupName, e.RoleName))
	}
	return all
}

// printRights prints the part of an entry that all kinds have in common.
func (c *command) printRights(e *entry, rows [][]string) error {
	rows = append([][]string{{"arn", e.ARN}}, rows...)
	if e.Description != "" {
		rows = append(rows, []string{"description", e.Description})
	}
	if e.Boundary != "" {
		rows = append(rows, []string{"boundary", e.Boundary})
	}
	for _, k := range slices.Sorted(maps.Keys(e.Tags)) {
		rows = append(rows, []string{"tag", k + "=" + e.Tags[k]})
	}
	for _, arn := range e.Policies {
		rows = append(rows, []string{"policy", arn})
	}
	rows = append(rows, []string{"created", e.Created.Local().Format("2006-01-02 15:04:05")})
	if err := c.out.columns(rows); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(e.Inline)) {
		fmt.Fprintf(c.out, "\npolicy of its own, %s:\n%s\n", printable(name), printableJSON(string(e.Inline[name])))
	}
	return nil
}

// listed are names, for completion, that an operation of IAM lists.
func listed(operation, member string) func(*cobra.Command, *api.Client) ([]string, error) {
	return func(cmd *cobra.Command, client *api.Client) ([]string, error) {
		list, err := api.List[detail](cmd.Context(), client, operation, member, nil)
		return names(list), err
	}
}

var (
	userNames  = listed("ListUsers", "Users")
	groupNames = listed("ListGroups", "Groups")
	roleNames  = listed("ListRoles", "Roles")
)
