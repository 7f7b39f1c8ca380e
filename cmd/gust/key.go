package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
)

// key is an access key without its secret.
type key struct {
	ID     string `json:"id"`
	User   string `json:"user"`
	Active bool   `json:"active"`
	// Unusable keys were sealed under another seal key than the node has.
	Unusable bool      `json:"unusable,omitempty"`
	Created  time.Time `json:"created"`
	// LastUsed is when it was last used, and for what.
	LastUsed    *time.Time `json:"last_used,omitempty"`
	LastService string     `json:"last_service,omitempty"`
}

func (k *key) state() string {
	switch {
	case k.Unusable:
		return "unusable"
	case k.Active:
		return "active"
	}
	return "off"
}

func (k *key) lastUse(now time.Time) string {
	if k.LastUsed == nil {
		return "never used"
	}
	return "used " + ago(*k.LastUsed, now)
}

// secretKey is a key that was just made.
type secretKey struct {
	User   string `json:"user"`
	ID     string `json:"id"`
	Secret string `json:"secret"`
	// Token is both, for GUST_KEY.
	Token string `json:"gust_key"`
}

// keys are a user's, without their last use.
func (d *directory) keys(user string) ([]key, error) {
	list, err := api.List[struct {
		UserName, AccessKeyId, Status string
		CreateDate                    api.Epoch
	}](d.ctx, d.Client, "ListAccessKeys", "AccessKeyMetadata", api.Params{"UserName": user})
	if err != nil {
		return nil, err
	}
	keys := []key{}
	for _, k := range list {
		keys = append(keys, key{ID: k.AccessKeyId, User: k.UserName, Active: k.Status == "Active", Unusable: k.Status == "Expired", Created: k.CreateDate.Time})
	}
	return keys, nil
}

// usedKeys are a user's keys with their last use.
func (d *directory) usedKeys(user string) ([]key, error) {
	keys, err := d.keys(user)
	for i := range keys {
		if err == nil {
			err = d.about(&keys[i])
		}
	}
	return keys, err
}

// about tells whose a key is, and when it was last used.
func (d *directory) about(k *key) error {
	var got struct {
		UserName          string
		AccessKeyLastUsed struct {
			LastUsedDate *api.Epoch
			ServiceName  string
		}
	}
	err := d.AWS(d.ctx, "iam", "GetAccessKeyLastUsed", api.Params{"AccessKeyId": k.ID}, &got)
	if used := got.AccessKeyLastUsed; used.LastUsedDate != nil {
		k.LastUsed, k.LastService = &used.LastUsedDate.Time, used.ServiceName
	}
	k.User = got.UserName
	return err
}

func (d *directory) newKey(user string) (*secretKey, error) {
	in := api.Params{}
	if user != "" {
		in["UserName"] = user
	}
	var got struct {
		AccessKey struct{ UserName, AccessKeyId, SecretAccessKey string }
	}
	if err := d.AWS(d.ctx, "iam", "CreateAccessKey", in, &got); err != nil {
		return nil, err
	}
	k := got.AccessKey
	return &secretKey{k.UserName, k.AccessKeyId, k.SecretAccessKey, (&access.Key{ID: k.AccessKeyId, Secret: k.SecretAccessKey}).Token()}, nil
}

// keyFlags say how a new key is printed.
type keyFlags struct {
	env, asJSON bool
	shell       string
}

func (k *keyFlags) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&k.env, "env", false, "print the key as variables for a shell, AWS_* and GUST_KEY")
	shellFlag(cmd, &k.shell)
	cmd.Flags().BoolVar(&k.asJSON, "json", false, "print what was made as JSON")
}

func (k *keyFlags) check(cmd *cobra.Command) error {
	if k.env && k.asJSON {
		return usageError{errors.New("--env and --json print the same thing in two ways: give one"), cmd.CommandPath()}
	}
	return checkShell(cmd, k.shell)
}

// printKey shows a new key, the only time that its secret is seen.
func (c *command) printKey(d *directory, k *secretKey, f keyFlags) error {
	switch {
	case f.asJSON:
		return c.printJSON(k)
	case f.env:
		vars, err := c.variables(d.Client, &access.Key{ID: k.ID, Secret: k.Secret}, d.place.Region)
		if err != nil {
			return err
		}
		c.printVariables(append(vars, [2]string{"GUST_KEY", k.Token}), f.shell)
		return nil
	}
	err := c.out.columns([][]string{{"user", k.User}, {"AWS_ACCESS_KEY_ID", k.ID}, {"AWS_SECRET_ACCESS_KEY", k.Secret}, {"GUST_KEY", k.Token}})
	fmt.Fprintln(c.err, "keep the secret: it is not shown again")
	return err
}

func (c *command) key() *cobra.Command {
	return family(&cobra.Command{
		Use:     "key COMMAND",
		GroupID: "access",
		Short:   "List, add and remove access keys, and turn them on and off",
		Long: `An access key is an id and a secret, by which the node knows a user. A user has
two at most, so that one can be replaced while the other is in use. What is done
to a key counts for the next request, and for sessions that were begun with it.

The root key is not among them: it is the file root.key in the data folder.`,
	}, c.keyLs(), c.keyAdd(),
		c.keyChange("rm", "Remove an access key for good", "DeleteAccessKey", "is removed", nil),
		c.keyChange("on", "Let an access key in again", "UpdateAccessKey", "is on", api.Params{"Status": "Active"}),
		c.keyChange("off", "Keep an access key out, until it is turned on again", "UpdateAccessKey", "is off", api.Params{"Status": "Inactive"}))
}

func (c *command) keyLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [USER]",
		Short: "List access keys with their last use",
		Long: `List the access keys of a user with their last use. Without USER it is your own
keys, or if you are no user, those of all users.

A key is active, off, or unusable: sealed under another seal key than the node
has, as after a restore without seal.key.`,
		Example: `  gust key ls
  gust key ls ann --json`,
		Args:              optional,
		ValidArgsFunction: c.completeNames(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				users := args
				if len(users) == 0 && d.me.Kind == access.KindUser {
					users = []string{nameIn(d.me.ARN)}
				} else if len(users) == 0 {
					var err error
					if users, err = userNames(cmd, d.Client); err != nil {
						return err
					}
				}
				all := []key{}
				for _, name := range users {
					keys, err := d.usedKeys(name)
					if err != nil {
						return err
					}
					all = append(all, keys...)
				}
				if asJSON {
					return c.printJSON(all)
				}
				rows := [][]string{{"KEY", "USER", "STATE", "CREATED", "LAST USE", "SERVICE"}}
				for _, k := range all {
					used, service := "never", "-"
					if k.LastUsed != nil {
						used, service = ago(*k.LastUsed, time.Now()), cmp.Or(k.LastService, "-")
					}
					rows = append(rows, []string{k.ID, k.User, k.state(), ago(k.Created, time.Now()), used, service})
				}
				return c.out.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
	return cmd
}

func (c *command) keyAdd() *cobra.Command {
	var k keyFlags
	cmd := &cobra.Command{
		Use:   "add [USER]",
		Short: "Make an access key for a user",
		Long: `Make an access key for a user; without USER for yourself. The secret is shown
now and never again. With --env the key is printed as lines for a shell instead.`,
		Example: `  gust key add ann
  eval "$(gust key add ann --env)"`,
		Args:              optional,
		ValidArgsFunction: c.completeNames(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := k.check(cmd); err != nil {
				return err
			}
			return c.withDirectory(cmd, func(d *directory) error {
				name := ""
				if len(args) == 1 {
					name = args[0]
				} else if d.me.Kind != access.KindUser {
					return usageError{fmt.Errorf("you are %s, which has no keys of this sort; say whose key it is to be: gust key add USER", d.me.ARN), cmd.CommandPath()}
				}
				made, err := d.newKey(name)
				if err != nil {
					return err
				}
				return c.printKey(d, made, k)
			})
		},
	}
	k.flags(cmd)
	return cmd
}

// keyChange is what is done to a key by its id.
func (c *command) keyChange(verb, short, operation, said string, in api.Params) *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use:               verb + " KEY_ID",
		Short:             short,
		Example:           "  gust key " + verb + " AKIAVZSBRQQDCRZB4TZC",
		Args:              one,
		ValidArgsFunction: c.completeNames(keyIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDirectory(cmd, func(d *directory) error {
				k := key{ID: args[0], User: owner}
				if k.User == "" {
					if err := d.about(&k); err != nil {
						return err
					}
				}
				p := user(k.User).with("AccessKeyId", k.ID)
				for k, v := range in {
					p[k] = v
				}
				if err := d.iam(operation, p); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "key %s of user %s %s\n", printable(k.ID), printable(k.User), said)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&owner, "user", "", "whose key it is; without it the node is asked")
	_ = cmd.RegisterFlagCompletionFunc("user", c.completeFlag(userNames))
	return cmd
}

func keyIDs(cmd *cobra.Command, client *api.Client) ([]string, error) {
	users, err := userNames(cmd, client)
	if err != nil {
		return nil, err
	}
	d := &directory{Client: client, ctx: cmd.Context()}
	var ids []string
	for _, name := range users {
		keys, err := d.keys(name)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
	}
	return ids, nil
}
