package gust

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Runtime says how the node talks to a function's program.
type Runtime string

const (
	// RuntimeGo is a Go program built by Gust that speaks the Lambda Runtime
	// API (aws-lambda-go).
	RuntimeGo Runtime = "go"
	// RuntimeProvided is an executable named bootstrap that speaks the Lambda
	// Runtime API.
	RuntimeProvided Runtime = "provided"
	// RuntimeHTTP is a program that serves HTTP on $PORT (Cloud Run's
	// container contract).
	RuntimeHTTP Runtime = "http"
	// RuntimeNode is a Node.js module with a handler, run by Gust's own client
	// of the Lambda Runtime API.
	RuntimeNode Runtime = "node"
	// RuntimePython is a Python module with a handler, run likewise.
	RuntimePython Runtime = "python"
)

// Runtimes lists every runtime that this version carries out.
var Runtimes = []Runtime{RuntimeGo, RuntimeNode, RuntimePython, RuntimeProvided, RuntimeHTTP}

// App is what one manifest declares. It is deployed, planned and removed as a
// whole.
type App struct {
	Name      string               `json:"name"`
	Functions map[string]*Function `json:"functions,omitempty"`
	Routes    []Route              `json:"routes,omitempty"`
}

// FunctionNames returns the names of the app's functions in order.
func (a *App) FunctionNames() []string { return slices.Sorted(maps.Keys(a.Functions)) }

// Function is one declared function. Once the catalog has given it a Version
// it is never changed again; readers share it without copying.
type Function struct {
	// Name is unique in an account and region, over all apps.
	Name string `json:"name"`
	// App is the app that owns the name.
	App string `json:"app"`
	// Version counts the changes of this function from 1, and is 0 until the
	// catalog has accepted it. It never goes back, not even when the function
	// is removed and declared anew.
	Version uint64 `json:"version,omitempty"`
	// Modified is when the catalog accepted this version.
	Modified time.Time `json:"modified,omitzero"`

	Description string  `json:"description,omitempty"`
	Runtime     Runtime `json:"runtime"`
	// Interpreter is what the function's root holds, as it was asked for:
	// "node@20", "python@3.11", or "node" for the newest that the node has.
	// Runtimes node and python have one always, http and provided may; empty is
	// the minimal root.
	Interpreter string `json:"interpreter,omitempty"`
	// Root is the runtime root that this version is pinned to. The catalog
	// gives it when it accepts the version; empty on nodes without isolation.
	Root Digest `json:"root,omitempty"`
	// Handler is what runtimes node and python call: "index.handler".
	Handler string `json:"handler,omitempty"`
	// Artifact names the built code, a zip.
	Artifact Digest `json:"artifact"`
	// Layers are artifacts whose files stand in /opt, of the same name the
	// last one's; at most MaxLayers.
	Layers []Layer `json:"layers,omitempty"`
	// Command is what an http function runs, argv in its code folder; empty
	// means ["./bootstrap"]. Other runtimes have none.
	Command []string `json:"command,omitempty"`
	// Ready is the path that answers 2xx or 3xx when an http function is
	// ready; empty means that accepting a TCP connection is enough.
	Ready string `json:"ready,omitempty"`

	// Memory is the limit in bytes, 128 MB to 10,240 MB in steps of 1 MB.
	Memory int64 `json:"memory"`
	// Timeout bounds one invocation, 1 s to 15 min.
	Timeout time.Duration `json:"timeout"`
	// Ephemeral is the size of /tmp in bytes, 512 MB to 10,240 MB.
	Ephemeral int64 `json:"ephemeral_storage"`
	// Env is added to the environment variables; reserved names are refused.
	Env map[string]string `json:"env,omitempty"`
	// CPU is how cores are shared out; see CPUMode.
	CPU CPUMode `json:"cpu"`
	// Network is what the function may reach.
	Network Network `json:"network"`
	// Idle is how long an unused environment is kept, 0 to 24 h.
	Idle        time.Duration `json:"idle"`
	Concurrency Concurrency   `json:"concurrency,omitzero"`
	// Policy is what the function's own role may do; without any it may do
	// nothing.
	Policy []Grant `json:"policy,omitempty"`

	// TakenFrom are the apps that the name was taken over from since it was last
	// free, the latest MaxTakenFrom of them. The catalog gives and keeps it, and nobody
	// is shown it: apps are not for everybody to see.
	TakenFrom []string `json:"-"`
}

// MaxTakenFrom is how many apps' waiting events a name can come with: more than
// anybody takes it from in the hours that events wait.
const MaxTakenFrom = 64

// AnswersFor reports whether what was sent to the function f.Name of an app is f's:
// it is that app's, or has been taken over from it.
func (f *Function) AnswersFor(app string) bool {
	return f.App == app || slices.Contains(f.TakenFrom, app)
}

// Layer is code or data that functions share.
type Layer struct {
	// Name is unique among the layers of an app, and of a function.
	Name string `json:"name"`
	// Artifact names its files, a zip.
	Artifact Digest `json:"artifact"`
}

// CPUMode says how an environment's CPU time is bounded.
type CPUMode string

const (
	// CPUShared gives shares in proportion to memory, which matter only while
	// others want the cores too.
	CPUShared CPUMode = "shared"
	// CPUStrict caps at Lambda's quota: 1,769 MB of memory is one core.
	CPUStrict CPUMode = "strict"
)

// Concurrency bounds how a function scales.
type Concurrency struct {
	// Reserved both guarantees and caps the invocations at once; nil means the
	// function shares what nobody reserved. 0 turns the function off.
	Reserved *int `json:"reserved,omitempty"`
	// Provisioned environments are started at deploy and never reclaimed.
	Provisioned int `json:"provisioned,omitempty"`
	// Schedule changes Provisioned by time: of the entries that count, the one
	// that fell due last says how many there are, of several at the same time
	// the last in the list.
	Schedule []Scheduled `json:"schedule,omitempty"`
	// Prewarm says whether use is predicted.
	Prewarm Prewarm `json:"prewarm,omitempty"`
	// PerEnvironment is how many invocations one environment serves at once,
	// 1 to 1,000; 0 means the runtime's default (1; 80 for http).
	PerEnvironment int `json:"per_environment,omitempty"`
	// Queue lets invocations over the limit wait instead of failing at once.
	Queue Queue `json:"queue,omitzero"`
}

// Scheduled is how many environments are provisioned from a time on.
type Scheduled struct {
	// Cron is the time: minute, hour, day of the month, month, day of the week,
	// as in crontab(5).
	Cron string `json:"cron"`
	// Timezone is of the IANA database; empty is UTC.
	Timezone string `json:"timezone,omitempty"`
	// For is how long the entry counts; 0 is until another one falls due.
	For         time.Duration `json:"for,omitempty"`
	Provisioned int           `json:"provisioned"`
}

// Prewarm says whether the times at which a function is used decide for how
// long an unused environment of it is kept, and when one is started ahead.
type Prewarm string

const (
	// PrewarmOff keeps an environment for Function.Idle, and starts none ahead.
	PrewarmOff Prewarm = ""
	// PrewarmAuto learns the pauses between uses. Function.Idle is for as long
	// as they tell nothing.
	PrewarmAuto Prewarm = "auto"
)

// MostProvisioned is the largest number of provisioned environments at any time.
func (c *Concurrency) MostProvisioned() int {
	most := c.Provisioned
	for _, s := range c.Schedule {
		most = max(most, s.Provisioned)
	}
	return most
}

// SetAside is the concurrency that f keeps for itself, whether it uses it or not.
func (f *Function) SetAside() int {
	if f.Concurrency.Reserved != nil {
		return *f.Concurrency.Reserved
	}
	return f.Concurrency.MostProvisioned()
}

// Queue is a short bounded wait for a place. Its zero value is no queue.
type Queue struct {
	// Size is how many may wait, at most 10,000.
	Size int `json:"size"`
	// Wait is how long one may wait, at most 1 min.
	Wait time.Duration `json:"wait"`
}

// Artifacts yields the artifact of f's code and then those of its layers.
func (f *Function) Artifacts() iter.Seq[Digest] {
	return func(yield func(Digest) bool) {
		if !yield(f.Artifact) {
			return
		}
		for _, l := range f.Layers {
			if !yield(l.Artifact) {
				return
			}
		}
	}
}

// PerEnvironment is how many invocations one environment of f serves at once.
func (f *Function) PerEnvironment() int {
	switch {
	case f.Concurrency.PerEnvironment > 0:
		return f.Concurrency.PerEnvironment
	case f.Runtime == RuntimeHTTP:
		return DefaultHTTPPerEnvironment
	default:
		return 1
	}
}

// Equal reports whether f and g declare the same thing; who accepted them,
// when, and with which root, does not count.
func (f *Function) Equal(g *Function) bool {
	a, b := f.Concurrency.Reserved, g.Concurrency.Reserved
	return f.Name == g.Name && f.App == g.App && f.Description == g.Description &&
		f.Runtime == g.Runtime && f.Interpreter == g.Interpreter && f.Handler == g.Handler &&
		f.Artifact == g.Artifact && slices.Equal(f.Layers, g.Layers) &&
		slices.Equal(f.Command, g.Command) && f.Ready == g.Ready &&
		f.Memory == g.Memory && f.Timeout == g.Timeout && f.Ephemeral == g.Ephemeral &&
		maps.Equal(f.Env, g.Env) && f.CPU == g.CPU && f.Network.Equal(g.Network) && f.Idle == g.Idle &&
		(a == b || a != nil && b != nil && *a == *b) &&
		f.Concurrency.Provisioned == g.Concurrency.Provisioned &&
		slices.Equal(f.Concurrency.Schedule, g.Concurrency.Schedule) && f.Concurrency.Prewarm == g.Concurrency.Prewarm &&
		f.Concurrency.PerEnvironment == g.Concurrency.PerEnvironment &&
		f.Concurrency.Queue == g.Concurrency.Queue &&
		slices.EqualFunc(f.Policy, g.Policy, Grant.Equal)
}

// Route sends users' HTTP requests to a function.
type Route struct {
	// App owns the route.
	App string `json:"app"`
	// Method is an upper-case HTTP method, or "*" for any.
	Method string `json:"method"`
	// Path is absolute. A segment {name} matches one segment, a last segment
	// {name...} matches the rest.
	Path string `json:"path"`
	// Function is the name of the function that answers.
	Function string `json:"function"`
}

// Key is the route as a manifest writes it: "GET /orders/{id}".
func (r Route) Key() string { return r.Method + " " + r.Path }
