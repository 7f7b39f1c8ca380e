package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

func (c *command) user() *cobra.Command {
	return family(&cobra.Command{
		Use:     "user COMMAND",
		GroupID: "access",
		Short:   "List, add, remove and show users",
		Long: `A user is a person or a machine with access keys of its own, and may do what its
policies and those of its groups allow: at the start, nothing.`,
	}, c.userLs(), c.userAdd(), c.rmHolder("User", "keys, second factors, memberships, policies", userNames), c.userShow(),
		c.revoke("user", userNames, (*api.Client).RevokeUser, `The user's keys stay, and can begin new
ones; turn them off by gust key off.`))
}

func (c *command) userLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List users with their groups and policies",
		Long: `List users with their groups and policies: those that are attached, and by their
names those of their own.`,
		Example: `  gust user ls
  gust user ls --json | jq -r '.[].arn'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				list, err := d.entries("User")
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(list)
				}
				rows := [][]string{{"USER", "GROUPS", "POLICIES", "CREATED"}}
				for _, e := range list {
					rows = append(rows, []string{e.Name, cmp.Or(strings.Join(e.Groups, ", "), "-"), e.rights(), ago(e.Created, time.Now())})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with the policies")
	return cmd
}

func (c *command) userAdd() *cobra.Command {
	var g grant
	var k keyFlags
	var groups, tags []string
	var withKey bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user, with rights and a first key",
		Long: `Add a user, and say what it may do: by groups, by managed policies, and by
rights of its own (--allow and --on). All of it is done, or nothing.

With --key it gets an access key. Its secret is shown now and never again. With
--env the key is printed as lines for a shell instead, which is then that user
for AWS clients and for gust.`,
		Example: `  gust user add ann --policy ReadOnlyAccess --group devs
  gust user add bot --allow lambda:InvokeFunction --on function:api --key
  eval "$(gust user add bot --policy ReadOnlyAccess --key --env)"`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := k.check(cmd); err != nil {
				return err
			}
			if err := g.check(c, cmd); err != nil {
				return err
			}
			if k.env && !withKey {
				return usageError{errors.New("--env prints a key: it goes with --key"), cmd.CommandPath()}
			}
			given, err := tagList(tags)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return c.withDirectory(cmd, func(d *directory) error {
				h := user(args[0])
				steps, err := g.steps(cmd, d, h)
				if err != nil {
					return err
				}
				in := h.with("Tags", given)
				if g.boundary != "" {
					if in["PermissionsBoundary"], err = d.policyARN(g.boundary); err != nil {
						return err
					}
				}
				for _, name := range groups {
					steps = append(steps, func() error { return d.iam("AddUserToGroup", h.with("GroupName", name)) })
				}
				var made *secretKey
				if withKey {
					steps = append(steps, func() (err error) {
						made, err = d.newKey(h.name)
						return err
					})
				}
				if err := d.make(h, in, steps...); err != nil {
					return err
				}
				switch {
				case made != nil:
					return c.printKey(d, made, k)
				case k.asJSON:
					return c.printJSON(map[string]string{"user": h.name})
				}
				fmt.Fprintf(c.out, "%s is added\n", h)
				return nil
			})
		},
	}
	g.flags(c, cmd)
	cmd.Flags().StringVar(&g.boundary, "boundary", "", "never more than the managed `POLICY` allows, whatever else it gets")
	cmd.Flags().StringSliceVar(&groups, "group", nil, "make it a member of this `GROUP`; can be repeated")
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "tag it `KEY=VALUE`; can be repeated")
	cmd.Flags().BoolVar(&withKey, "key", false, "make its first access key, too")
	k.flags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("group", c.completeFlag(groupNames))
	return cmd
}

func (c *command) userShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a user: groups, policies, and keys with their last use",
		Long: `Show a user: its groups, its policies (those of its own whole), its boundary and
tags, its keys with their last use, and its second factors.`,
		Example:           "  gust user show ann",
		Args:              one,
		ValidArgsFunction: c.completeNames(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				e, err := d.look(user(args[0]))
				if err != nil {
					return err
				}
				if e.Groups, err = d.groupsOf(e.Name); err != nil {
					return err
				}
				if e.Keys, err = d.usedKeys(e.Name); err != nil {
					return err
				}
				if e.Devices, err = d.devicesOf(e.Name); err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(e)
				}
				rows := [][]string{{"groups", cmp.Or(strings.Join(e.Groups, ", "), "-")}}
				for _, k := range e.Keys {
					rows = append(rows, []string{"key", k.ID + ", " + k.state() + ", " + k.lastUse(time.Now())})
				}
				for _, serial := range e.Devices {
					rows = append(rows, []string{"second factor", serial})
				}
				return c.printRights(e, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}
