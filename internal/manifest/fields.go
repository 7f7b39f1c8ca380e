package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/cron"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// field is one key of an object. The tables of fields below are the only place
// that knows the manifest's keys: the parser, Schema and Reference walk them.
type field struct {
	key      string
	doc      string // a sentence or two for the schema and the reference
	required bool
	// only are the runtimes that have this field; empty is all of them.
	only  []gust.Runtime
	value value
}

// manifestFields is the whole file.
var manifestFields = &object{
	what: "a mapping with the keys app, functions, layers and routes",
	fields: []field{
		{key: "app", required: true,
			doc: "The app's name. All that the manifest declares is deployed, planned and removed under it.",
			value: text{what: "the app's name", pattern: rules.AppNamePattern,
				set: func(d *declaration, s string) { d.manifest.App.Name = s }}},
		{key: "functions",
			doc:   "The app's functions. A name is 1 to 64 of a-z, A-Z, 0-9, - and _, and unique over all apps of a node.",
			value: functions{each: functionFields}},
		{key: "layers",
			doc: "Code and data that functions share: a function that lists a layer finds its files in /opt. " +
				"A layer is kept once, however many list it.",
			value: layers{each: layerFields}},
		{key: "routes",
			doc: "Which function answers which HTTP request: a method (or ANY) and a path lead to a function's name. " +
				"{name} stands for one segment of the path, {name...} at the end for the rest. " +
				"Where several routes match, at each segment from the left text goes before {name}, that before {name...}, and a method before ANY.",
			value: routes{later: laterRouteKeys}},
	},
	later: laterKeys,
	end: func(p *parser, at spot, d *declaration) {
		if d.manifest.App.Name == "" { // reported as missing or wrong
			p.broken["app"] = true
		}
		p.checkLayers(d.manifest)
	},
}

// functionFields is one function.
var functionFields = &object{
	what: "a mapping with the keys of a function",
	fields: []field{
		{key: "runtime", required: true,
			doc: "How the function's program is spoken to. node and python: a module with a handler; node@20, python@3.12 ask for a version, " +
				"without one it is the newest that the node has. go: built by gust, speaks the Lambda Runtime API (aws-lambda-go). " +
				"provided: an executable named bootstrap that speaks the Lambda Runtime API. http: any program that serves HTTP on $PORT.",
			value: runtimeWord{of: gust.Runtimes, set: func(d *declaration, runtime gust.Runtime, interpreter string) {
				d.function.Runtime = runtime
				if interpreter != "" {
					d.function.Interpreter = interpreter
				}
			}}},
		{key: "source", required: true,
			doc: "The code: a folder or a .zip file, relative to the manifest. go wants a folder with a Go program, node and python one with the handler's module; " +
				"provided and http want an executable named bootstrap in it (http: or a command, or a Go program).",
			value: text{what: "the path of a folder or a .zip file", pattern: `^[^/~\\]`, check: checkSourcePath,
				set: func(d *declaration, s string) { d.source.Path = s }}},
		{key: "handler", only: handled,
			doc: "What is called, as on Lambda: the module's path in the source without its ending, a dot, and the function's name, such as index.handler or src/app.handler. Required.",
			value: text{what: "a module and a function such as index.handler",
				set: func(d *declaration, s string) { d.function.Handler = s }}},
		{key: "interpreter", only: []gust.Runtime{gust.RuntimeHTTP, gust.RuntimeProvided},
			doc: "The interpreter that the program finds: node@20, python@3.12, or node or python for the newest that the node has. " +
				"Dependencies of the source folder are installed for it. Without it there is a shell and no more.",
			value: runtimeWord{of: handled, set: func(d *declaration, _ gust.Runtime, interpreter string) { d.function.Interpreter = interpreter }}},
		{key: "layers",
			doc: fmt.Sprintf("Layers of this manifest whose files stand in /opt, at most %d. Of files of one name the last layer's is there.", gust.MaxLayers),
			value: list{what: "a list of layers such as [shared]", item: rules.AppNamePattern, most: gust.MaxLayers,
				set: func(d *declaration, words []string) {
					for _, w := range words {
						d.function.Layers = append(d.function.Layers, gust.Layer{Name: w})
					}
				}}},
		{key: "build",
			doc:   "How the source becomes what is deployed, where the runtime's way does not fit.",
			value: buildFields},
		{key: "command", only: []gust.Runtime{gust.RuntimeHTTP},
			doc: "What to run, program and arguments, in the function's folder; with an interpreter it can begin with its name: [node, server.js]. The default is the executable named bootstrap.",
			value: list{what: "a list of words such as [./server, --verbose]", most: rules.MaxCommandWords,
				set: func(d *declaration, words []string) { d.function.Command = words }}},
		{key: "ready", only: []gust.Runtime{gust.RuntimeHTTP},
			doc: "When the program is ready: tcp as soon as it accepts a connection (the default), or the path of a request that it answers with 2xx or 3xx.",
			value: text{what: "tcp or a path such as /ready", pattern: `^(tcp$|/)`, check: checkReadyWord,
				set: func(d *declaration, s string) { d.function.Ready = strings.TrimPrefix(s, "tcp") }}},
		{key: "memory",
			doc:   "The memory limit of one environment; its share of the processors is in proportion to it. Sizes are binary: 1GB is 1024MB.",
			value: size{bounds: rules.Memory, set: func(d *declaration, n int64) { d.function.Memory = n }}},
		{key: "timeout",
			doc: "How long one invocation may take.",
			value: duration{bounds: rules.Timeout, note: rules.FormatDuration(rules.DefaultHTTPTimeout) + " for runtime http",
				set: func(d *declaration, t time.Duration) { d.function.Timeout = t }}},
		{key: "ephemeral_storage",
			doc:   "The size of /tmp in one environment.",
			value: size{bounds: rules.Ephemeral, set: func(d *declaration, n int64) { d.function.Ephemeral = n }}},
		{key: "env",
			doc: fmt.Sprintf("Environment variables, at most %d bytes of names and values. Names that the node sets itself are refused. "+
				"$${ stands for a literal ${.", gust.MaxEnvBytes),
			value: environment{}},
		{key: "concurrency",
			doc:   "How the function scales.",
			value: concurrencyFields},
		{key: "cpu",
			doc: "How processor time is bounded. shared: shares in proportion to memory, which matter only while others want the processors too. " +
				"strict: Lambda's quota, 1769MB are one processor.",
			value: choice{of: names([]gust.CPUMode{gust.CPUShared, gust.CPUStrict}), def: string(gust.CPUShared),
				set: func(d *declaration, s string) { d.function.CPU = gust.CPUMode(s) }}},
		{key: "network",
			doc: fmt.Sprintf("What the program can reach. internet: every public address. none: nothing but the node that runs it. "+
				"A list: NAME:PORT, ADDRESS:PORT or PREFIX:PORT, at most %d, and nothing else. See docs/NETWORK.md.", gust.MaxDestinations),
			value: network{}},
		{key: "policy",
			doc: fmt.Sprintf("What the function's own role may do, at most %d entries: a function without any may do nothing. See docs/POLICIES.md.", gust.MaxGrants),
			value: grants{objects{each: grantFields, what: "a list of entries such as {allow: lambda:InvokeFunction, on: function:worker}", max: gust.MaxGrants,
				add: func(d *declaration) { d.function.Policy = append(d.function.Policy, gust.Grant{}) }}}},
		{key: "idle",
			doc:   "How long an environment that has nothing to do is kept.",
			value: duration{bounds: rules.Idle, set: func(d *declaration, t time.Duration) { d.function.Idle = t }}},
		{key: "description",
			doc: "A sentence for people.",
			value: text{what: "text", max: gust.MaxDescription, check: rules.CheckDescription,
				set: func(d *declaration, s string) { d.function.Description = s }}},
	},
	later: laterFunctionKeys,
	end: func(p *parser, at spot, d *declaration) {
		f, source := d.function, p.spots[rules.Join(at.path, "source")]
		isZip := strings.EqualFold(filepath.Ext(d.source.Path), ".zip")
		if f.Runtime == gust.RuntimeGo && isZip {
			p.report(source, "runtime go builds a folder; a .zip is for the other runtimes")
		}
		p.checkHandler(at, f)
		p.checkBuild(rules.Join(at.path, "build"), f, d, isZip)
	},
}

// handled are the runtimes that call a handler; they are named as their
// interpreters are.
var handled = []gust.Runtime{gust.RuntimeNode, gust.RuntimePython}

// layerFields is one layer.
var layerFields = &object{
	what: "a mapping such as {source: ./shared, runtime: node@20}",
	fields: []field{
		{key: "source", required: true,
			doc: "The files: a folder or a .zip file, relative to the manifest, as they shall stand in /opt. " +
				"As on Lambda, node finds packages in nodejs/node_modules, python modules in python, and programs are looked for in bin.",
			value: text{what: "the path of a folder or a .zip file", pattern: `^[^/~\\]`, check: checkSourcePath,
				set: func(d *declaration, s string) { d.source.Path = s }}},
		{key: "runtime",
			doc: "What the dependencies of a folder are installed for: node or node@20 (package.json, into nodejs/node_modules), " +
				"python or python@3.12 (requirements.txt or pyproject.toml, into python). Without it nothing is installed.",
			value: runtimeWord{of: handled, set: func(d *declaration, _ gust.Runtime, interpreter string) { d.layer.Interpreter = interpreter }}},
		{key: "exclude",
			doc:   excludeDoc,
			value: list{what: buildList, set: func(d *declaration, words []string) { d.source.Build.Exclude = words }}},
	},
	end: func(p *parser, at spot, d *declaration) {
		if d.layer.Interpreter != "" && strings.EqualFold(filepath.Ext(d.source.Path), ".zip") {
			p.report(p.spots[rules.Join(at.path, "runtime")], "a .zip is taken as it is, with the dependencies that are in it: leave the runtime out")
		}
	},
}

const (
	buildList  = "a list of paths such as [templates, docs/*.md]"
	excludeDoc = "Files and folders of the source that are left out, besides .git, as paths; * and ? stand for parts of one name."
)

// buildFields is how a function is built.
var buildFields = &object{
	what: "a mapping such as {bundle: false, exclude: [test]}",
	fields: []field{
		{key: "bundle",
			doc:   "One file is made of the handler (http: of the module that the command names) and all that it imports, TypeScript included.",
			value: truth{note: "true for runtime node, else false", set: func(d *declaration, b bool) { d.bundle = &b }}},
		{key: "minify",
			doc:   "The bundle is shortened; names of functions and classes stay what they are.",
			value: truth{note: "false", set: func(d *declaration, b bool) { d.source.Build.Minify = b }}},
		{key: "sourcemap",
			doc:   "A source map stands beside the bundle, so that stacks tell files and lines of the source.",
			value: truth{note: "true", set: func(d *declaration, b bool) { d.source.Build.SourceMap = b }}},
		{key: "external",
			doc:   "Packages that are not bundled, by name or as PREFIX*. Those that package.json lists are packed beside the bundle as they are, the others have to be in a layer.",
			value: list{what: "a list of packages such as [sharp, \"@aws-sdk/*\"]", set: func(d *declaration, words []string) { d.source.Build.External = words }}},
		{key: "include",
			doc:   "Files and folders of the source that are packed beside the bundle, as paths; * and ? stand for parts of one name.",
			value: list{what: buildList, set: func(d *declaration, words []string) { d.source.Build.Include = words }}},
		{key: "exclude",
			doc:   excludeDoc + " Not for a bundle, which has only what is imported.",
			value: list{what: buildList, set: func(d *declaration, words []string) { d.source.Build.Exclude = words }}},
	},
}

var concurrencyFields = &object{
	what: "a mapping such as {reserved: 50, provisioned: 2}",
	fields: []field{
		{key: "reserved",
			doc: "Invocations at once that are kept for this function and that it cannot exceed. 0 turns it off. Without it the function shares what nobody reserved.",
			value: count{bounds: rules.Reserved, note: "shared with the other functions",
				set: func(d *declaration, n int) { d.function.Concurrency.Reserved = &n }}},
		{key: "provisioned",
			doc:   "Environments that are started at deploy and kept.",
			value: count{bounds: rules.Provisioned, note: "0", set: func(d *declaration, n int) { d.function.Concurrency.Provisioned = n }}},
		{key: "schedule",
			doc: fmt.Sprintf("How many are provisioned at which times: each entry says from when on how many, and perhaps for how long. "+
				"Of those that count, the one whose time came last does; provisioned is for when none does. At most %d entries.", gust.MaxSchedule),
			value: objects{each: scheduleFields, what: `a list of entries such as {cron: "0 8 * * MON-FRI", provisioned: 20}`, max: gust.MaxSchedule,
				add: func(d *declaration) {
					d.function.Concurrency.Schedule = append(d.function.Concurrency.Schedule, gust.Scheduled{})
				}}},
		{key: "prewarm",
			doc: "auto: the pauses between the function's uses are learnt; they decide for how long an unused environment is kept, and when one is " +
				"started ahead of the next use. idle counts for as long as they tell nothing. off: idle counts.",
			value: choice{of: []string{"off", string(gust.PrewarmAuto)}, def: "off",
				set: func(d *declaration, s string) {
					if d.function.Concurrency.Prewarm = gust.PrewarmOff; s != "off" {
						d.function.Concurrency.Prewarm = gust.Prewarm(s)
					}
				}}},
		{key: "per_environment",
			doc: "Invocations that one environment serves at once.",
			value: count{bounds: rules.PerEnvironment, note: fmt.Sprintf("1; %d for runtime http", gust.DefaultHTTPPerEnvironment),
				set: func(d *declaration, n int) { d.function.Concurrency.PerEnvironment = n }}},
		{key: "queue",
			doc:   "Lets invocations over the limit wait for a place instead of failing at once.",
			value: queueFields},
	},
	later: map[string]string{
		"max": "use reserved, which is also the most that the function gets",
	},
}

var scheduleFields = &object{
	what: `a mapping such as {cron: "0 8 * * MON-FRI", provisioned: 20}`,
	fields: []field{
		{key: "cron", required: true,
			doc: "When: minute, hour, day of the month, month and day of the week, as in crontab(5). A time that a change of the clocks skips is at the change, " +
				"one that it repeats is the first.",
			value: text{what: `a time such as "0 8 * * MON-FRI"`, max: cron.MaxLength,
				set: func(d *declaration, s string) { d.scheduled().Cron = s }}},
		{key: "timezone",
			doc: "The time zone of cron, of the IANA database: Europe/Berlin.",
			value: text{what: "a time zone such as Europe/Berlin", def: "UTC",
				set: func(d *declaration, s string) { d.scheduled().Timezone = s }}},
		{key: "for",
			doc: "How long the entry counts.",
			value: duration{bounds: rules.ScheduledFor, note: "until another entry's time",
				set: func(d *declaration, t time.Duration) { d.scheduled().For = t }}},
		{key: "provisioned", required: true,
			doc:   "How many environments are kept started then.",
			value: count{bounds: rules.Provisioned, set: func(d *declaration, n int) { d.scheduled().Provisioned = n }}},
	},
}

// scheduled is the entry of a schedule that is being read.
func (d *declaration) scheduled() *gust.Scheduled {
	list := d.function.Concurrency.Schedule
	return &list[len(list)-1]
}

// grantFields is one entry of a function's policy.
var grantFields = &object{
	what: "a mapping with allow or deny, and on",
	fields: []field{
		{key: "allow",
			doc: "What the function may do: actions as service:Action, such as lambda:InvokeFunction, in which the action may have * and ?. An entry has allow or deny.",
			value: words{what: "an action such as lambda:InvokeFunction, or a list of such",
				set: func(d *declaration, list []string) { d.grant().Actions = list }}},
		{key: "deny",
			doc: "What the function may not do, whatever else allows it.",
			value: words{what: "an action such as lambda:DeleteFunction, or a list of such",
				set: func(d *declaration, list []string) { d.grant().Actions = list }}},
		{key: "on", required: true,
			doc: `Which resources are meant: function:NAME for a function of this app, an ARN, in which * and ? stand for others, or "*" for all.`,
			value: words{what: `function:NAME, an ARN, "*", or a list of such`,
				set: func(d *declaration, list []string) { d.grant().Resources = list }}},
		{key: "when",
			doc:   "Conditions as IAM documents have them: operators, under each the keys, under each a value or a list of values. All have to hold.",
			value: conditions{}},
		{key: "sid",
			doc: "A name for the entry, which denials and explanations show: letters and digits.",
			value: text{what: "a name of letters and digits", pattern: "^[a-zA-Z0-9]{1,128}$",
				set: func(d *declaration, s string) { d.grant().Sid = s }}},
	},
	end: func(p *parser, at spot, d *declaration) {
		_, allow := p.spots[rules.Join(at.path, "allow")]
		_, deny := p.spots[rules.Join(at.path, "deny")]
		switch {
		case allow == deny:
			p.report(at, "an entry has allow or deny, one of them: what the function may do, or may not")
		case allow:
			d.grant().Effect = gust.Allow
		default:
			d.grant().Effect = gust.Deny
		}
	},
}

// grant is the entry of a policy that is being read.
func (d *declaration) grant() *gust.Grant { return &d.function.Policy[len(d.function.Policy)-1] }

var queueFields = &object{
	what: "a mapping such as {size: 100, wait: 2s}",
	begin: func(d *declaration) {
		d.function.Concurrency.Queue.Wait = rules.QueueWait.Default
	},
	fields: []field{
		{key: "size", required: true,
			doc:   "How many invocations may wait.",
			value: count{bounds: rules.QueueSize, set: func(d *declaration, n int) { d.function.Concurrency.Queue.Size = n }}},
		{key: "wait",
			doc:   "How long one may wait.",
			value: duration{bounds: rules.QueueWait, set: func(d *declaration, t time.Duration) { d.function.Concurrency.Queue.Wait = t }}},
	},
}

// What Gust's design has and this version does not, with what to do meanwhile.
var (
	laterKeys = map[string]string{
		"queues":    "only functions and routes can be declared",
		"topics":    "only functions and routes can be declared",
		"events":    "only functions and routes can be declared",
		"buses":     "only functions and routes can be declared",
		"rules":     "only functions and routes can be declared",
		"schedules": "only functions and routes can be declared",
		"streams":   "only functions and routes can be declared",
		"buckets":   "only functions and routes can be declared",
		"tables":    "only functions and routes can be declared",
		"workflows": "only functions and routes can be declared",
		"secrets":   "only functions and routes can be declared; keep secrets out of the manifest",
		"users":     "users are made by the IAM API",
		"roles":     "roles are made by the IAM API; what a function may do stands in its policy",
		"policies":  "what a function may do stands in its policy",
		"alarms":    "watch the node's /metrics",
		"aliases":   "requests go to the newest version",
	}
	laterFunctionKeys = map[string]string{
		"role":      "a function has a role of its own; write in policy what it may do",
		"on":        "a function is invoked by routes and by the API",
		"secrets":   "keep secrets out of the manifest",
		"schedule":  "a function is invoked by routes and by the API",
		"alarms":    "watch the node's /metrics",
		"aliases":   "requests go to the newest version",
		"image":     "use a folder or a .zip as source",
		"retry":     "an asynchronous invocation is retried as Lambda does by default",
		"on_error":  "look at the function's logs",
		"auth":      "leave it out; routes are open to everybody who reaches the node",
		"limit":     "use concurrency: {reserved: N} to bound the function",
		"streaming": "leave it out; a program streams by how it answers",
	}
	laterRouteKeys = map[string]string{
		"to":    `write the short form, "GET /path: function"`,
		"auth":  "leave it out; routes are open to everybody who reaches the node",
		"limit": "leave it out, or use concurrency: {reserved: N} on the function",
		"body":  "leave it out; the function has to check what it gets",
		"cors":  "leave it out; the function has to answer with the headers",
	}
)

// checkReadyWord is the manifest's part of checking a readiness path; the
// domain has no word for tcp.
func checkReadyWord(s string) string {
	if s == "tcp" || strings.HasPrefix(s, "/") {
		return ""
	}
	return "want tcp or a path such as /ready, got " + rules.Quote(s)
}

// checkSource reports a source that is not there; owner is the path of the
// function or layer that has it.
func (p *parser) checkSource(dir, owner string, src Source) {
	at := p.spots[rules.Join(owner, "source")]
	if p.broken[at.path] {
		return
	}
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(src.Path)))
	isZip := strings.EqualFold(filepath.Ext(src.Path), ".zip")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.report(at, fmt.Sprintf("%s is not there", src.Path))
	case err != nil:
		p.report(at, err.Error())
	case info.IsDir() || isZip && info.Mode().IsRegular():
	default:
		p.report(at, fmt.Sprintf("%s is neither a folder nor a .zip file", src.Path))
	}
}

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
