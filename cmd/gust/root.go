package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/node"

	gust "github.com/gust-dev/gust"
)

const longHelp = `Gust runs functions: isolated, scaled and kept, from one binary.

  gust up                    start a node here
  gust deploy DIR            deploy the app in DIR/gust.yaml
  gust invoke NAME -d '{}'   run a function on an event
  gust logs -f               see what happens

Every flag can be given in the environment too: --http is GUST_HTTP, --log-level
is GUST_LOG_LEVEL. The flag wins.

The subcommands that need a node find it by the data folder (--data), where a
running node says where it listens and what its root key is. To be somebody
else, give a key in GUST_KEY: ID.SECRET, of a session ID.SECRET.TOKEN, or aws to
take the one in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
To work with a node elsewhere, give --api (or GUST_API) as well, and where it
shows a certificate that it made itself, --fingerprint (or GUST_FINGERPRINT).
HOST:PORT is asked over TLS there; http://HOST:PORT shows the key to whoever is
on the way. The data folder's root key is for its own node: to show it to
another one, give --data with --api.

Exit status: 0 done, 1 failed, 2 the answer is no (gust plan: something would
change, gust policy explain: it is denied), 64 the command line is wrong, 130
interrupted.`

// newRoot builds the whole command tree.
func newRoot(c *command) *cobra.Command {
	root := &cobra.Command{
		Use:               "gust",
		Short:             "A serverless platform in one binary",
		Long:              longHelp,
		Args:              cobra.ArbitraryArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return c.environment(cmd) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usageError{unknownCommand(cmd, args[0]), cmd.CommandPath()}
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(c.help)
	root.AddGroup(
		&cobra.Group{ID: "dev", Title: "Develop an app:"},
		&cobra.Group{ID: "run", Title: "Run a node:"},
		&cobra.Group{ID: "app", Title: "Work with apps and functions:"},
		&cobra.Group{ID: "access", Title: "Say who may do what:"},
		&cobra.Group{ID: "keep", Title: "Look after a data folder:"},
	)
	for _, s := range c.config.Settings() {
		if s.Flag == "data" || s.Flag == "api" {
			addSetting(root.PersistentFlags(), s)
		}
	}
	root.PersistentFlags().StringVar(&c.fingerprint, "fingerprint", "", "fingerprint (`SHA256`) of the certificate of a node elsewhere, as its gust up prints it ["+node.Env("fingerprint")+"]")
	root.AddCommand(
		c.init(), c.dev(), c.test(),
		c.up(), c.env(), c.runtime(),
		c.deploy(), c.plan(), c.invoke(), c.logs(), c.ls(), c.rm(), c.schema(),
		c.whoami(), c.user(), c.group(), c.role(), c.key(), c.policy(), c.audit(),
		c.backup(), c.restore(), c.check(),
		c.version(), c.completion(),
	)
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{unknownCommand(root, args[0]), "gust"}
			}
			return about.Help()
		},
	})
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Args == nil && cmd.Name() != "help" {
			cmd.Args = none
		}
	}
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("there is no command %q: it may be meant as %s", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %q", name)
}

// addSetting makes a node's setting a flag.
func addSetting(flags *pflag.FlagSet, s node.Setting) {
	help := s.Help
	if !strings.Contains(help, s.Env) {
		help += " [" + s.Env + "]"
	}
	flags.Var(settingValue{s}, s.Flag, help)
	flags.Lookup(s.Flag).DefValue = s.Default
}

// settingValue shows help the default as it is documented, not as it is here
// (~ and not /home/ann).
type settingValue struct{ node.Setting }

func (s settingValue) Type() string { return s.Arg }

// environment gives flags that were not given the value of their GUST_*
// variable.
func (c *command) environment(cmd *cobra.Command) error {
	var errs []error
	c.typed = nil
	cmd.Flags().Visit(func(f *pflag.Flag) { c.typed = append(c.typed, f.Name) })
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := node.Env(f.Name)
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok || value == "" || f.Name == "help" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, cause(err)))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return usageError{err, cmd.CommandPath()}
	}
	given := func(flag string) bool { f := cmd.Flag(flag); return f != nil && f.Changed }
	c.apiGiven, c.dataGiven = given("api"), given("data")
	return nil
}

// cause is what a flag's value has to say, without pflag's words about it.
func cause(err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return value.Unwrap()
	}
	return err
}

// local is where the node on the data folder listens; ok is false where --api
// names another one. Port 0 names none: what is listened on stands in the folder.
func (c *command) local() (address api.Address, ok bool, err error) {
	address, err = api.ReadAddress(c.config.Data)
	if c.apiGiven && !strings.HasSuffix(c.config.API, ":0") {
		return address, err == nil && address.Named(c.config.API), nil
	}
	if errors.Is(err, gust.ErrNotFound) {
		return address, false, fmt.Errorf("no node runs on the data folder %s; %s", c.config.Data, c.howToStart())
	}
	if err != nil {
		return address, false, fmt.Errorf("finding the node: %w", err)
	}
	return address, true, nil
}

// client finds the node to work with, and the key to show it. The root key of a
// data folder is for its own node, and for another only by somebody's word.
func (c *command) client() (*api.Client, error) {
	address, ok, err := c.local()
	if err != nil {
		return nil, err
	}
	data := c.config.Data
	if !ok && !c.dataGiven {
		data = ""
	}
	key, err := api.FindKey(os.Getenv, data)
	if err != nil {
		return nil, err
	}
	var client *api.Client
	if ok && (c.fingerprint == "" || !c.apiGiven) { // a fingerprint is for the node that --api names
		client, err = address.Client(key)
	} else {
		client, err = api.NewClient(c.config.API, key, c.fingerprint)
	}
	if err != nil {
		return nil, err
	}
	client.UserAgent = "gust/" + version
	return client, nil
}

func (c *command) howToStart() string {
	if c.config.Data == node.Default().Data {
		return "start one with: gust up"
	}
	return "start one with: gust up --data " + shellWord(c.config.Data)
}

// shellWord writes s as a shell takes it for one word.
func shellWord(s string) string {
	if strings.ContainsAny(s, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return quoteForSh(s)
	}
	return s
}

// explain adds to a client's error what to do about it.
func (c *command) explain(err error) error {
	if errors.Is(err, api.ErrNoNode) {
		return fmt.Errorf("%w; %s", err, c.howToStart())
	}
	return err
}

// withClient runs f with a client, and explains its error.
func (c *command) withClient(f func(*api.Client) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return c.explain(f(client))
}

// printJSON prints v for programs.
func (c *command) printJSON(v any) error {
	e := c.out.json()
	e.SetIndent("", "  ")
	return e.Encode(v)
}
