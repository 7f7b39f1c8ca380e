package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/api"
)

// holder is who has policies: a user, a group or a role, by the kind that IAM's
// operations are named for.
type holder struct{ kind, name string }

func user(name string) holder  { return holder{"User", name} }
func group(name string) holder { return holder{"Group", name} }
func role(name string) holder  { return holder{"Role", name} }

func (h holder) String() string { return strings.ToLower(h.kind) + " " + h.name }

// with are the parameters of an operation on the holder.
func (h holder) with(pairs ...any) api.Params {
	p := api.Params{h.kind + "Name": h.name}
	for i := 0; i+1 < len(pairs); i += 2 {
		p[pairs[i].(string)] = pairs[i+1]
	}
	return p
}

// make makes a user, a group or a role, and gives it what it is to have: all of
// it, or it is removed again, also when an interrupt comes in between.
func (d *directory) make(h holder, in api.Params, steps ...func() error) error {
	held, release := d.uninterrupted() // else nobody knew whether it was made
	err := held.iam("Create"+h.kind, in)
	release()
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := s(); err != nil {
			held, release := d.uninterrupted()
			defer release()
			if undo := held.remove(h, true); undo != nil {
				return fmt.Errorf("%s is made, and does not have all that it was to have: %w; nor could it be removed again: %w", h, err, undo)
			}
			return err
		}
	}
	return nil
}

// maxUninterrupted is how long what an interrupt must not cut short may take. A
// second interrupt ends the command in any case.
const maxUninterrupted = 30 * time.Second

// uninterrupted is the directory for what has to be done to its end.
func (d *directory) uninterrupted() (*directory, context.CancelFunc) {
	held := *d
	var release context.CancelFunc
	held.ctx, release = context.WithTimeout(context.WithoutCancel(d.ctx), maxUninterrupted)
	return &held, release
}

// remove removes one; with force all that it has goes first.
func (d *directory) remove(h holder, force bool) error {
	if force {
		if err := d.strip(h); err != nil {
			return err
		}
	}
	err := d.iam("Delete"+h.kind, h.with())
	if e := (*api.Error)(nil); errors.As(err, &e) && e.Code == "DeleteConflictException" {
		return fmt.Errorf("%s is not removed: %w; --force removes what it has, too", h, err)
	}
	return err
}

// strip takes everything from a user, a group or a role that keeps it from being
// removed.
func (d *directory) strip(h holder) error {
	attached, err := api.List[attachedDetail](d.ctx, d.Client, "ListAttached"+h.kind+"Policies", "AttachedPolicies", h.with())
	if err != nil {
		return err
	}
	inline, err := api.List[string](d.ctx, d.Client, "List"+h.kind+"Policies", "PolicyNames", h.with())
	if err != nil {
		return err
	}
	var steps []func() error
	step := func(operation string, in api.Params) {
		steps = append(steps, func() error { return d.iam(operation, in) })
	}
	switch h.kind {
	case "User": // the keys first: nobody goes on meanwhile
		keys, err := d.keys(h.name)
		if err != nil {
			return err
		}
		groups, err := d.groupsOf(h.name)
		if err != nil {
			return err
		}
		devices, err := d.devicesOf(h.name)
		if err != nil {
			return err
		}
		for _, k := range keys {
			step("DeleteAccessKey", h.with("AccessKeyId", k.ID))
		}
		for _, serial := range devices {
			step("DeactivateMFADevice", h.with("SerialNumber", serial))
			step("DeleteVirtualMFADevice", api.Params{"SerialNumber": serial})
		}
		for _, g := range groups {
			step("RemoveUserFromGroup", h.with("GroupName", g))
		}
	case "Group":
		users, err := d.usersOf(h.name)
		if err != nil {
			return err
		}
		for _, u := range users {
			step("RemoveUserFromGroup", h.with("UserName", u))
		}
	}
	for _, a := range attached {
		step("Detach"+h.kind+"Policy", h.with("PolicyArn", a.PolicyArn))
	}
	for _, name := range inline {
		step("Delete"+h.kind+"Policy", h.with("PolicyName", name))
	}
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

// rmHolder is `gust user rm`, `gust group rm` and `gust role rm`.
func (c *command) rmHolder(kind, has string, complete func(*cobra.Command, *api.Client) ([]string, error)) *cobra.Command {
	var force bool
	name := strings.ToLower(kind)
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a " + name,
		Long: `Remove a ` + name + `. It is refused while it has something; with --force that goes
first: ` + has + `.`,
		Example:           "  gust " + name + " rm NAME --force",
		Args:              one,
		ValidArgsFunction: c.completeNames(complete),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				h := holder{kind, args[0]}
				if err := d.remove(h, force); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%s is removed\n", h)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove what it has, too")
	return cmd
}

// revoke is `gust role revoke` and `gust user revoke`.
func (c *command) revoke(kind string, names func(*cobra.Command, *api.Client) ([]string, error), revoke func(*api.Client, context.Context, string) error, after string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "End all sessions of a " + kind + " at once",
		Long: `End all sessions of a ` + kind + ` that have begun by now: the next request of each is
refused. ` + after,
		Example:           "  gust " + kind + " revoke NAME",
		Args:              one,
		ValidArgsFunction: c.completeNames(names),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(func(client *api.Client) error {
				if err := revoke(client, cmd.Context(), args[0]); err != nil {
					return err
				}
				also := ""
				if kind == "role" && strings.HasPrefix(strings.ToLower(args[0]), "fn.") {
					also = ", and the function's environments are replaced"
				}
				fmt.Fprintf(c.out, "all sessions of %s %s are ended%s\n", kind, args[0], also)
				return nil
			})
		},
	}
}
