package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (c *command) group() *cobra.Command {
	return family(&cobra.Command{
		Use:     "group COMMAND",
		GroupID: "access",
		Short:   "List, add, remove and show groups, and who is in them",
		Long:    `A group gives its users policies. It is no principal: it does nothing itself.`,
	}, c.groupLs(), c.groupAdd(), c.rmHolder("Group", "members, policies", groupNames), c.groupShow(),
		c.membership("join", "Make users members of a group", "AddUserToGroup", "are in"),
		c.membership("leave", "End users' membership in a group", "RemoveUserFromGroup", "are no longer in"))
}

func (c *command) groupLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List groups with their users and policies",
		Example: "  gust group ls",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				list, err := d.entries("Group")
				if err != nil {
					return err
				}
				users, err := d.entries("User")
				if err != nil {
					return err
				}
				for i := range list {
					for _, u := range users {
						if slices.Contains(u.Groups, list[i].Name) {
							list[i].Users = append(list[i].Users, u.Name)
						}
					}
				}
				if asJSON {
					return c.printJSON(list)
				}
				rows := [][]string{{"GROUP", "USERS", "POLICIES"}}
				for _, e := range list {
					rows = append(rows, []string{e.Name, cmp.Or(strings.Join(e.Users, ", "), "-"), e.rights()})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with the policies")
	return cmd
}

func (c *command) groupAdd() *cobra.Command {
	var g grant
	var users []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a group, with rights and users",
		Long: `Add a group, and say what its users may do: by managed policies, and by rights
of its own (--allow and --on). All of it is done, or nothing.`,
		Example: `  gust group add devs --policy ReadOnlyAccess --user ann
  gust group add ops --allow gust:DeployApp,gust:PlanApp --on app:shop`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.check(c, cmd); err != nil {
				return err
			}
			return c.withDirectory(cmd, func(d *directory) error {
				h := group(args[0])
				steps, err := g.steps(cmd, d, h)
				if err != nil {
					return err
				}
				for _, name := range users {
					steps = append(steps, func() error { return d.iam("AddUserToGroup", h.with("UserName", name)) })
				}
				if err := d.make(h, h.with(), steps...); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%s is added\n", h)
				return nil
			})
		},
	}
	g.flags(c, cmd)
	cmd.Flags().StringSliceVar(&users, "user", nil, "make this `USER` a member; can be repeated")
	_ = cmd.RegisterFlagCompletionFunc("user", c.completeFlag(userNames))
	return cmd
}

func (c *command) groupShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a group: its users and policies",
		Example:           "  gust group show devs",
		Args:              one,
		ValidArgsFunction: c.completeNames(groupNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				e, err := d.look(group(args[0]))
				if err != nil {
					return err
				}
				if e.Users, err = d.usersOf(e.Name); err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(e)
				}
				return c.printRights(e, [][]string{{"users", cmp.Or(strings.Join(e.Users, ", "), "-")}})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

// membership is `gust group join` and `gust group leave`.
func (c *command) membership(verb, short, operation, said string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " GROUP USER...",
		Short:             short,
		Example:           "  gust group " + verb + " devs ann bob",
		Args:              atLeast,
		ValidArgsFunction: c.completeEach(groupNames, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				for _, name := range args[1:] {
					if err := d.iam(operation, group(args[0]).with("UserName", name)); err != nil {
						return err
					}
				}
				fmt.Fprintf(c.out, "%s %s group %s\n", strings.Join(args[1:], ", "), said, args[0])
				return nil
			})
		},
	}
}
