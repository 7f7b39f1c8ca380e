package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/deploy"
	"github.com/gust-dev/gust/internal/manifest"
	"github.com/gust-dev/gust/internal/node"
	"github.com/gust-dev/gust/internal/scratch"
	"github.com/gust-dev/gust/internal/watch"
)

func (c *command) dev() *cobra.Command {
	var debug []string
	var debugBreak bool
	cmd := &cobra.Command{
		Use:     "dev [DIR]",
		GroupID: "dev",
		Short:   "Run an app here, and again whenever a file is saved",
		Long: `Start a node on a data folder that goes with it, deploy the app that
DIR/gust.yaml declares (DIR is . by default), and deploy again what changes when
a file is saved. What cannot be built is told, and the last version that could
keeps serving. Requests, what functions log, how their invocations go and which
of them were cold is shown as it happens.

The node listens where gust up would, or on free ports where those are taken.
AWS clients find it with: eval "$(gust env --data FOLDER)", as it says.

With --debug a function runs under a debugger: node --inspect, debugpy or delve,
on a port of this machine that is told. It has one environment, and no time
limits. --debug-break has it wait at its start until a debugger has come.

Ctrl-C, or q and Enter, ends it.`,
		Example: `  gust dev
  gust dev examples/hello --http 127.0.0.1:3000
  gust dev --debug greet
  gust dev --debug greet:9230 --debug-break`,
		Args: optional,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.noNodeOfYours(cmd, "data"); err != nil {
				return err
			}
			wanted, err := parseDebug(debug)
			if err == nil && debugBreak && len(wanted) == 0 {
				err = errors.New("--debug-break goes with --debug")
			}
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			if !c.apiGiven {
				c.config.API = scratch.Door(c.config.API)
			}
			if !cmd.Flag("http").Changed {
				c.config.HTTP = scratch.Door(c.config.HTTP)
			}
			d := &dev{command: c, dir: folder(args), debug: wanted, debugBreak: debugBreak, cool: func() {}}
			return d.run(cmd.Context())
		},
	}
	for _, s := range c.config.Settings() {
		if s.Flag == "http" {
			addSetting(cmd.Flags(), s)
		}
	}
	c.addSandbox(cmd)
	cmd.Flags().StringArrayVar(&debug, "debug", nil, "run `FN[:PORT]` under a debugger, which listens on PORT; can be repeated")
	cmd.Flags().BoolVar(&debugBreak, "debug-break", false, "let what is debugged wait at its start until a debugger has come")
	return cmd
}

// dev is a running gust dev.
type dev struct {
	*command
	dir        string
	debug      []debugWish
	debugBreak bool

	node     *scratch.Node
	live     *live
	app      *deploy.App // nil while the manifest cannot be read
	deployed bool        // something is
	broken   bool        // what there is now could not be
	cool     func()      // ends warm
	failed   []string    // to be built again, whatever changes
}

func (d *dev) run(ctx context.Context) (err error) {
	watcher, err := watch.New(d.dir) // before the first build, so that nothing is missed
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	app, broken := deploy.New(nil, d.dir)
	if errors.Is(broken, fs.ErrNotExist) || broken != nil && len(d.debug) > 0 {
		return broken
	}
	hooks := node.Hooks{}
	if len(d.debug) > 0 {
		if hooks.Debug, err = d.debuggers(app.Manifest.App); err != nil {
			return err
		}
	}
	if d.config.Data, err = devFolder(d.dir); err != nil {
		return err
	}
	d.live = newLive(d.out)
	defer d.live.close()
	hooks.Access = d.live.request
	if d.node, err = d.scratchNode(ctx, hooks); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.node.Close(context.WithoutCancel(ctx))) }()
	d.announce(watcher)

	ctx, quit := context.WithCancelCause(ctx)
	defer quit(nil)
	d.listenForQuit(quit)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan error, 1)
	go func() { followed <- d.live.follow(following, d.node.Client) }()
	defer func() {
		stop()
		err = errors.Join(err, <-followed)
	}()

	d.deploy(ctx, app, broken, nil)
	defer func() { d.cool() }()
	for {
		select {
		case changed := <-watcher.Changes():
			if slices.Contains(changed, manifest.FileName) || slices.Contains(changed, ".") || d.app == nil {
				app, broken := deploy.New(nil, d.dir)
				d.deploy(ctx, app, broken, nil)
			} else if names := affected(d.app.Manifest, changed); len(names) > 0 {
				d.deploy(ctx, d.app, nil, append(names, d.failed...))
			}
		case fatal := <-d.node.Fatal():
			return fmt.Errorf("the node cannot go on: %w", fatal)
		case <-ctx.Done():
			d.live.say("stopping")
			return nil
		}
	}
}

// errQuit is the cause of an end by q.
var errQuit = errors.New("asked to end")

// listenForQuit ends gust dev at a q on a terminal. What reads the terminal ends
// with the process: a read from one cannot be called off.
func (d *dev) listenForQuit(quit context.CancelCauseFunc) {
	f, ok := d.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	go func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.TrimSpace(lines.Text()) == "q" {
				quit(errQuit)
				return
			}
		}
	}()
}

// devFolder is the data folder of gust dev for the app in dir: always the same
// one, so that what a killed gust dev left is taken up by the next.
func devFolder(dir string) (string, error) {
	cache, err := deploy.Cache()
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(cache, "dev", hex.EncodeToString(sum[:8])), nil
}

func (d *dev) announce(watcher *watch.Watcher) {
	d.live.print(fmt.Sprintf("%s\n\n  HTTP     %s\n  API      %s   for AWS clients: eval \"$(gust env --data %s)\"\n  sandbox  %s\n",
		d.out.paint(bold, "gust dev "+d.dir), d.node.URL(), d.node.Client.Endpoint, shellWord(d.node.Dir), sandboxWords(d.node.Sandbox())))
	for _, w := range d.debug {
		d.live.print(fmt.Sprintf("  debug    %s at %s\n", w.function, w.address))
	}
	d.live.print("\n")
	if why := watcher.Polling(); why != nil {
		d.live.say("%s", d.out.paint(yellow, fmt.Sprintf("the system has no watches left (%v): files are looked at every 300 ms; see fs.inotify.max_user_watches", why)))
	}
}

// sandboxWords is a sandbox's name, and of none what it means.
func sandboxWords(name string) string {
	if name == "none" {
		return "none: no isolation"
	}
	return name
}

// deploy builds the functions with these names, or all, and deploys the app.
// Whatever goes wrong is told, and what was deployed before stays.
func (d *dev) deploy(ctx context.Context, app *deploy.App, broken error, names []string) {
	start := time.Now()
	err := broken
	var built time.Duration
	var plan *catalog.Plan
	if err == nil && app != d.app {
		err = d.adopt(ctx, app)
	}
	if err == nil {
		slow := time.AfterFunc(patience, func() { d.live.say("building ...") })
		err = app.Build(ctx, names...)
		slow.Stop()
		built = time.Since(start)
	}
	if err == nil {
		err = d.canDebug(app)
	}
	if err == nil {
		plan, err = app.Apply(ctx, api.ApplyRequest{})
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.report(err)
		d.broken, d.failed = true, names
		if d.deployed {
			d.live.say("%s", d.out.paint(yellow, "not deployed: what was deployed before goes on"))
		}
		if d.app = app; app == nil || app.Client == nil {
			d.app = nil // the manifest is to be read again
		}
		return
	}
	d.warm(ctx, plan)
	first, mended := !d.deployed, d.broken
	d.app, d.deployed, d.broken, d.failed = app, true, false, nil
	if len(plan.Changes) == 0 {
		if mended {
			d.live.say("%s", d.out.paint(green, "as it is deployed again"))
		}
		return // else a change that changes nothing, such as a test's
	}
	d.live.say("%s in %d ms (built in %d ms): %s", d.out.paint(green, "deployed"), time.Since(start).Milliseconds(), built.Milliseconds(), changes(plan))
	if first {
		for _, r := range app.Manifest.App.Routes {
			d.live.say("%s %s%s -> %s", r.Method, d.node.URL(), r.Path, r.Function)
		}
	}
}

// warm starts what a deploy has changed: the next request need not wait for it,
// and that it does not come up is in the logs at once. It goes on until the next
// deploy.
func (d *dev) warm(ctx context.Context, plan *catalog.Plan) {
	d.cool()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	d.cool = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		warmed := 0
		for _, change := range plan.Changes {
			debugged := slices.ContainsFunc(d.debug, func(w debugWish) bool { return w.function == change.Name })
			if change.Kind != "function" || change.Op == catalog.Remove || debugged || warmed == maxMeasured {
				continue
			}
			warmed++
			up, err := d.node.Client.Warm(ctx, change.Name)
			if err != nil {
				continue // the function's logs tell
			}
			pool := ""
			if up.Pooled {
				pool = ", from the pool"
			}
			d.live.line(time.Now(), change.Name, "", d.out.paint(dim, fmt.Sprintf("STARTED version %d, init %s%s", up.Version, milliseconds(up.Init), pool)))
		}
	}()
}

// adopt makes an app that was loaded the one to deploy: alone, and with what is
// debugged in one environment.
func (d *dev) adopt(ctx context.Context, app *deploy.App) error {
	for _, w := range d.debug {
		f := app.Manifest.App.Functions[w.function]
		if f == nil {
			return fmt.Errorf("--debug %s: the app has no such function any more", w.function)
		}
		alone(f)
		app.Debug = append(app.Debug, w.function)
	}
	apps, _, err := d.node.Client.Apps(ctx)
	if err != nil {
		return err
	}
	for _, a := range apps { // it had another name before
		if a.Name != app.Manifest.App.Name {
			if _, err := d.node.Client.Remove(ctx, a.Name); err != nil {
				return err
			}
		}
	}
	app.Client = d.node.Client
	return nil
}

// canDebug refuses what has been built and brings no debugger.
func (d *dev) canDebug(app *deploy.App) error {
	for _, w := range d.debug {
		f := app.Manifest.App.Functions[w.function]
		if debuggerFor(f) != debugpy {
			continue
		}
		if err := d.hasDebugpy(f, app.Manifest.Sources[f.Name].Path, app.Built[f.Name].Path); err != nil {
			return err
		}
	}
	return nil
}

// changes says what a plan has changed: "~ greet, + GET /x".
func changes(plan *catalog.Plan) string {
	sign := map[catalog.Op]string{catalog.Add: "+", catalog.Modify: "~", catalog.Remove: "-"}
	var words []string
	for _, c := range plan.Changes {
		if c.Kind != "app" {
			words = append(words, sign[c.Op]+" "+c.Name)
		}
	}
	if len(words) > 8 {
		words = append(words[:7], fmt.Sprintf("and %d more", len(words)-7))
	}
	return strings.Join(words, ", ")
}

// affected are the functions that files have to do with: those in whose source
// folder they are, those that may import them from there, and all if they are in
// nobody's.
func affected(m *manifest.Manifest, changed []string) []string {
	names := make(map[string]bool)
	for _, file := range changed {
		var owner *gust.Function
		for name, src := range m.Sources {
			if below(file, src.Path) {
				names[name] = true
				owner = m.App.Functions[name]
			}
		}
		for name, f := range m.App.Functions {
			if owner == nil || imports(f, owner, m.Sources[owner.Name].Path, file) {
				names[name] = true
			}
		}
	}
	var list []string
	for _, name := range m.App.FunctionNames() {
		if names[name] {
			list = append(list, name)
		}
	}
	return list
}

// imports reports whether f's build may read a file of owner's source. A Go
// program's own folder is package main, which nobody can import.
func imports(f, owner *gust.Function, source, file string) bool {
	switch debuggerFor(f) {
	case nodeInspect:
		return debuggerFor(owner) == nodeInspect
	case delve:
		return path.Ext(file) == ".go" && path.Dir(file) != path.Clean(source)
	}
	return false
}

// below reports whether a file is the source, or in it.
func below(file, source string) bool {
	source = path.Clean(source)
	return source == "." || file == source || strings.HasPrefix(file, source+"/")
}
