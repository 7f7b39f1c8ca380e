// Package gusttest runs an app in a Go test as it runs in production: a whole
// node in the test's process, on free ports and a data folder that goes with it,
// and on it what the app's gust.yaml declares, built from its sources.
//
//	func TestGreets(t *testing.T) {
//		app := gusttest.Start(t, gusttest.Options{Dir: ".."})
//		resp, err := http.Get(app.URL + "/greet/Ada")
//		...
//		answer, err := app.Invoke("greet", map[string]string{"name": "Ada"})
//		...
//	}
//
// Starting takes as long as the build, and some 50 ms; several apps can run at
// once. When the test fails, what the functions printed is in its log.
package gusttest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/deploy"
	"github.com/gust-dev/gust/internal/node"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/scratch"
)

// Options are what to start. The zero value is the app in the test's own folder.
type Options struct {
	// Dir is the folder with gust.yaml; empty is the working directory, which
	// for a test is its package's.
	Dir string
	// Env is added to the environment variables of every function, and wins
	// over what the manifest says.
	Env map[string]string
	// Sandbox is what functions run in: "process" (isolated; needs Linux and
	// root) or "none". Empty is process where it can be, and else none, which
	// the test's log says.
	Sandbox string
}

// App is a running app. Its methods may be used by many goroutines.
type App struct {
	// URL is where the routes are, such as http://127.0.0.1:40123.
	URL string
	// Endpoint is where AWS clients and the gust command find the node, with
	// the credentials and the region.
	Endpoint, AccessKeyID, SecretAccessKey, Region string

	t    testing.TB
	node *scratch.Node
}

// drain is how long what still runs at the end of a test may go on.
const drain = 2 * time.Second

// Start builds the app, starts a node and deploys it there. Whatever is wrong
// ends the test. The node stops when the test and its subtests are done.
func Start(t testing.TB, o Options) *App {
	t.Helper()
	ctx := t.Context()
	dir := o.Dir
	if dir == "" {
		dir = "."
	}
	c := node.Default()
	c.Data, c.HTTP, c.API, c.Drain = "", scratch.Free, scratch.Free, drain
	if c.Sandbox = o.Sandbox; o.Sandbox == "" {
		c.Sandbox = "process"
		if runtime.GOOS != "linux" || os.Getuid() != 0 {
			c.Sandbox = "none"
			t.Log("gusttest: functions run without isolation (Sandbox: none): the process sandbox needs Linux and root")
		}
	}
	app, err := deploy.New(nil, dir)
	if err != nil {
		t.Fatal("gusttest: ", err)
	}
	for _, f := range app.Manifest.App.Functions {
		f.Env = merged(f.Env, o.Env)
	}
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := scratch.Start(ctx, c, api.BuildOf("gusttest", ""), logger, node.Hooks{})
	if err != nil {
		t.Fatal("gusttest: ", err)
	}
	a := &App{
		URL: n.URL(), Endpoint: n.Client.Endpoint, AccessKeyID: n.Key().ID, SecretAccessKey: n.Key().Secret, Region: c.Region,
		t: t, node: n,
	}
	t.Cleanup(a.close)
	app.Client = n.Client
	if err := app.Build(ctx); err != nil {
		t.Fatal("gusttest: ", err)
	}
	if _, err := app.Apply(ctx, api.ApplyRequest{}); err != nil {
		t.Fatal("gusttest: ", err)
	}
	return a
}

func merged(env, more map[string]string) map[string]string {
	if len(more) == 0 {
		return env
	}
	all := maps.Clone(env)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, more)
	return all
}

// close stops the node, with a test's failure in mind.
func (a *App) close() {
	ctx := context.WithoutCancel(a.t.Context())
	if a.t.Failed() {
		for _, f := range a.functions(ctx) {
			for _, line := range a.logs(ctx, f) {
				a.t.Logf("%s: %s", f, line)
			}
		}
	}
	if err := a.node.Close(ctx); err != nil {
		a.t.Error("gusttest: ", err)
	}
}

func (a *App) functions(ctx context.Context) []string {
	list, err := a.node.Client.Functions(ctx, "")
	if err != nil {
		a.t.Error("gusttest: ", err)
	}
	var names []string
	for _, f := range list {
		names = append(names, f.Name)
	}
	return slices.Sorted(slices.Values(names))
}

// FunctionError is how a function failed: what Lambda's error document says.
type FunctionError struct {
	Type, Message string
	// Payload is the whole document, with the stack where there is one.
	Payload []byte
}

func (e *FunctionError) Error() string {
	return (&gust.FunctionError{Type: e.Type, Message: e.Message}).Error()
}

// Invoke runs a function on an event, as AWS clients do, and returns its answer.
// The event is sent as JSON; a []byte is taken for JSON that is there already.
// That the function failed is a *FunctionError. It does not end the test.
func (a *App) Invoke(function string, event any) ([]byte, error) {
	payload, ok := event.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(event); err != nil {
			return nil, fmt.Errorf("the event for %s: %w", function, err)
		}
	}
	inv, err := a.node.Client.Invoke(a.t.Context(), function, payload, false)
	if err != nil {
		return nil, err
	}
	if inv.Failed {
		failed := &FunctionError{Payload: inv.Payload}
		var doc struct{ ErrorType, ErrorMessage string }
		if err := json.Unmarshal(inv.Payload, &doc); err == nil {
			failed.Type, failed.Message = doc.ErrorType, doc.ErrorMessage
		}
		return nil, failed
	}
	return inv.Payload, nil
}

// Logs are the lines that a function has printed so far, all those of the
// invocations that are over included.
func (a *App) Logs(function string) []string { return a.logs(a.t.Context(), function) }

func (a *App) logs(ctx context.Context, function string) []string {
	a.t.Helper()
	var lines []string
	for r, err := range a.node.Client.Logs(ctx, api.LogQuery{Function: function}) {
		switch {
		case err != nil:
			a.t.Error("gusttest: ", err)
		case r.Kind == observe.KindLine || r.Kind == observe.KindInitError:
			lines = append(lines, r.Message)
		}
	}
	return lines
}

// Environ are the variables that AWS clients and the gust command need to work
// with the node, as NAME=value, for programs that the test starts.
func (a *App) Environ() []string {
	return append(a.node.Environ(), "GUST_DATA="+filepath.Clean(a.node.Dir))
}
