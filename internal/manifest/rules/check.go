package rules

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/cron"
	"github.com/gust-dev/gust/internal/suggest"
)

// Limits that only matter here.
const (
	// MaxCommandWords and MaxCommandBytes bound an http function's command.
	MaxCommandWords = 256
	MaxCommandBytes = 32 * gust.KB
)

// The forms of names as regular expressions, for the schema.
const (
	AppNamePattern      = `^[a-z0-9][a-z0-9_-]{0,63}$`
	FunctionNamePattern = `^[a-zA-Z0-9_-]{1,64}$`
	EnvNamePattern      = `^[a-zA-Z_][a-zA-Z0-9_]{0,255}$`
	// OperatorPattern is the form of a condition's operator.
	OperatorPattern = `^(ForAllValues:|ForAnyValue:)?[A-Za-z]+$`
)

// Check returns everything that is wrong with an app, or nil. It does not look
// at versions and times, which the catalog gives, nor at artifacts, which a
// manifest does not have yet; see CheckArtifacts.
func Check(app *gust.App) Violations {
	c := &checker{suggestions: 20}
	c.add("app", CheckAppName(app.Name))
	if n := len(app.Functions); n > gust.MaxFunctions {
		c.add("functions", fmt.Sprintf("%d functions are above the maximum of %d in one app", n, gust.MaxFunctions))
	}
	for _, name := range app.FunctionNames() {
		c.function(Join("functions", name), app.Name, name, app.Functions[name])
		if f := app.Functions[name]; f != nil {
			c.policy(Join(Join("functions", name), "policy"), f.Policy, app)
		}
	}
	c.routes(app)
	return c.found
}

// CheckArtifacts returns a violation for each function, and each layer of one,
// without a digest.
func CheckArtifacts(app *gust.App) Violations {
	c := &checker{}
	for _, name := range app.FunctionNames() {
		if f := app.Functions[name]; f != nil {
			if _, err := gust.ParseDigest(string(f.Artifact)); err != nil {
				c.add(Join(Join("functions", name), "artifact"), err.Error())
			}
			for i, l := range f.Layers {
				if _, err := gust.ParseDigest(string(l.Artifact)); err != nil {
					c.add(fmt.Sprintf("%s[%d].artifact", Join(Join("functions", name), "layers"), i), err.Error())
				}
			}
		}
	}
	return c.found
}

// CheckAppName says what is wrong with an app's name, or returns "".
func CheckAppName(name string) string {
	if name == "" {
		return "the app has no name: write app: NAME"
	}
	ok := len(name) <= gust.MaxNameLength
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '-' || c == '_'))
	}
	if !ok {
		return fmt.Sprintf("%s is no app name: want 1 to %d of a-z, 0-9, - and _, the first a letter or a digit", Quote(name), gust.MaxNameLength)
	}
	return ""
}

// CheckLayerName says what is wrong with a layer's name, or returns "".
func CheckLayerName(name string) string {
	if CheckAppName(name) != "" {
		return fmt.Sprintf("%s is no layer name: want 1 to %d of a-z, 0-9, - and _, the first a letter or a digit", Quote(name), gust.MaxNameLength)
	}
	return ""
}

// layers checks which layers a function has.
func (c *checker) layers(at string, layers []gust.Layer) {
	if n := len(layers); n > gust.MaxLayers {
		c.add(at, fmt.Sprintf("%d layers are above the maximum of %d of one function", n, gust.MaxLayers))
		return
	}
	for i, l := range layers {
		here := fmt.Sprintf("%s[%d]", at, i)
		c.add(here, CheckLayerName(l.Name))
		if slices.ContainsFunc(layers[:i], func(k gust.Layer) bool { return k.Name == l.Name }) {
			c.add(here, fmt.Sprintf("the layer %s stands in the list twice: keep one", Quote(l.Name)))
		}
	}
}

// CheckFunctionName says what is wrong with a function's name, or returns "".
// The rule is Lambda's.
func CheckFunctionName(name string) string {
	if !isPlain(name) {
		return fmt.Sprintf("%s is no function name: want 1 to %d of a-z, A-Z, 0-9, - and _", Quote(name), gust.MaxNameLength)
	}
	return ""
}

func (c *checker) function(at, app, name string, f *gust.Function) {
	if text := CheckFunctionName(name); text != "" {
		c.add(at, text)
	}
	if f == nil {
		c.add(at, "the function is null: describe it, or leave it out")
		return
	}
	if f.Name != name {
		c.add(Join(at, "name"), fmt.Sprintf("the function calls itself %s, its key %s; they have to agree", Quote(f.Name), Quote(name)))
	}
	if f.App != app && app != "" {
		c.add(Join(at, "app"), fmt.Sprintf("the function says that it belongs to app %s, but stands in app %s", Quote(f.App), Quote(app)))
	}
	c.add(Join(at, "description"), CheckDescription(f.Description))
	c.add(Join(at, "runtime"), Choice(string(f.Runtime), gust.Runtimes...))
	c.add(Join(at, "memory"), Memory.Check(f.Memory))
	c.add(Join(at, "timeout"), Timeout.Check(f.Timeout))
	c.add(Join(at, "ephemeral_storage"), Ephemeral.Check(f.Ephemeral))
	c.add(Join(at, "idle"), Idle.Check(f.Idle))
	c.add(Join(at, "cpu"), Choice(string(f.CPU), gust.CPUShared, gust.CPUStrict))
	c.network(Join(at, "network"), f)
	if f.Runtime == gust.RuntimeHTTP {
		c.command(Join(at, "command"), f.Command)
		if f.Ready != "" {
			c.add(Join(at, "ready"), checkReady(f.Ready))
		}
	} else if slices.Contains(gust.Runtimes, f.Runtime) {
		if len(f.Command) > 0 {
			c.add(Join(at, "command"), fmt.Sprintf("only runtime http has a command; runtime %s %s", f.Runtime, started(f.Runtime)))
		}
		if f.Ready != "" {
			c.add(Join(at, "ready"), fmt.Sprintf("only runtime http has a readiness check; runtime %s is ready when it asks for its first event", f.Runtime))
		}
	}
	c.add(Join(at, "interpreter"), checkInterpreter(f))
	c.add(Join(at, "handler"), checkHandler(f))
	c.layers(Join(at, "layers"), f.Layers)
	c.env(Join(at, "env"), f.Env)
	c.add(Join(Join(at, "env"), wrapper), checkWrapper(f))
	c.concurrency(Join(at, "concurrency"), f)
}

// policy checks what a function may do, and that what it refers to is there.
func (c *checker) policy(at string, grants []gust.Grant, app *gust.App) {
	if len(c.found) > maxReported { // nobody reads more, and names that were meant are looked for
		return
	}
	for _, p := range policy.CheckGrants(grants) {
		c.add(at+p.Path, p.Text)
	}
	for i, g := range grants {
		for j, r := range g.Resources {
			name, ok := policy.Function(r)
			if _, declared := app.Functions[name]; !ok || declared {
				continue
			}
			c.add(fmt.Sprintf("%s[%d].on[%d]", at, i, j), fmt.Sprintf("the app has no function named %s%s (one of another app is named by its ARN, arn:aws:lambda:REGION:ACCOUNT:function:NAME)",
				Quote(name), c.suggest(name, app)))
		}
	}
}

// suggest names a function of the app that is called much like this one, as
// long as there are suggestions left.
func (c *checker) suggest(name string, app *gust.App) string {
	if c.suggestions == 0 {
		return ""
	}
	c.suggestions--
	return suggest.Word(name, maps.Keys(app.Functions))
}

// started says what a runtime that has no command runs.
func started(r gust.Runtime) string {
	if r == gust.RuntimeNode || r == gust.RuntimePython {
		return "calls its handler"
	}
	return "runs the executable named bootstrap"
}

// network checks a function's network, each destination at its place.
func (c *checker) network(at string, f *gust.Function) {
	n := f.Network
	switch {
	case n.Mode != gust.NetworkList:
		c.add(at, Choice(string(n.Mode), gust.NetworkInternet, gust.NetworkNone))
		if len(n.Allow) > 0 {
			c.add(at, fmt.Sprintf("network %s comes with a list: it is the one or the other", n.Mode))
		}
		return
	case len(n.Allow) == 0 || len(n.Allow) > gust.MaxDestinations:
		c.add(at, fmt.Sprintf("a list of 1 to %d destinations is wanted, it has %d", gust.MaxDestinations, len(n.Allow)))
		return
	}
	seen := make(map[string]bool)
	for i, entry := range n.Allow {
		here := fmt.Sprintf("%s[%d]", at, i)
		d, err := gust.ParseDestination(entry)
		switch {
		case err != nil:
			c.add(here, err.Error())
		case d.String() != entry:
			c.add(here, fmt.Sprintf("%s is written %s", Quote(entry), d))
		case seen[entry]:
			c.add(here, fmt.Sprintf("%s stands twice in the list", entry))
		case d.Loopback() && f.Runtime == gust.RuntimeHTTP && d.Port == gust.HTTPPort:
			c.add(here, fmt.Sprintf("%s would be where the program itself serves (port %d in its environment): give the other program another port", entry, gust.HTTPPort))
		case d.Loopback() && d.Port == gust.RuntimeAPIPort:
			c.add(here, fmt.Sprintf("%s is where the program finds the Runtime API: give the other program another port", entry))
		case d.Loopback() && d.Port == gust.APIPort:
			c.add(here, fmt.Sprintf("%s is where the program finds the node's API: give the other program another port", entry))
		}
		seen[entry] = true
	}
}

// CheckDescription says what is wrong with a description, or returns "".
func CheckDescription(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return "the description is not valid UTF-8 text"
	case n > gust.MaxDescription:
		return fmt.Sprintf("%d characters are above the maximum of %d", n, gust.MaxDescription)
	}
	return ""
}

// Choice says what is wrong with a word that has to be one of some.
func Choice[T ~string](got string, want ...T) string {
	words := make([]string, len(want))
	for i, w := range want {
		if string(w) == got {
			return ""
		}
		words[i] = string(w)
	}
	list := words[0]
	if n := len(words); n > 1 {
		list = strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return fmt.Sprintf("want %s, got %s%s", list, Quote(got), suggest.Word(got, slices.Values(words)))
}

func (c *checker) command(at string, words []string) {
	if len(words) == 0 {
		return
	}
	total := 0
	for i, w := range words {
		total += len(w) + 1
		if strings.ContainsRune(w, 0) || !utf8.ValidString(w) {
			c.add(fmt.Sprintf("%s[%d]", at, i), "the word holds a zero byte or is not valid UTF-8")
		}
	}
	switch first := words[0]; {
	case len(words) > MaxCommandWords:
		c.add(at, fmt.Sprintf("%d words are above the maximum of %d", len(words), MaxCommandWords))
	case total > MaxCommandBytes:
		c.add(at, fmt.Sprintf("%d bytes are above the maximum of %d", total, MaxCommandBytes))
	case first == "":
		c.add(at+"[0]", "the program's name is empty: want a file in the function's folder such as ./server")
	case !path.IsAbs(first) && !isInside(first):
		c.add(at+"[0]", fmt.Sprintf("%s is outside of the function's folder", Quote(first)))
	}
}

// isInside reports whether a relative path names something below its root.
func isInside(p string) bool {
	p = path.Clean(p)
	return p != "." && p != ".." && !strings.HasPrefix(p, "../")
}

func checkReady(s string) string {
	if !strings.HasPrefix(s, "/") {
		return fmt.Sprintf("want tcp or a path such as /ready, got %s", Quote(s))
	}
	if len(s) > maxPath {
		return fmt.Sprintf("%d bytes are above the maximum of %d", len(s), maxPath)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return fmt.Sprintf("%s holds %q, which has to be escaped in a path", Quote(s), s[i])
		}
	}
	return ""
}

func (c *checker) concurrency(at string, f *gust.Function) {
	cc := f.Concurrency
	before := len(c.found)
	if cc.Reserved != nil {
		c.add(Join(at, "reserved"), Reserved.Check(*cc.Reserved))
	}
	c.add(Join(at, "provisioned"), Provisioned.Check(cc.Provisioned))
	c.schedule(Join(at, "schedule"), cc.Schedule)
	if cc.Prewarm != gust.PrewarmOff {
		c.add(Join(at, "prewarm"), Choice(string(cc.Prewarm), gust.PrewarmAuto))
	}
	if cc.PerEnvironment != 0 {
		c.add(Join(at, "per_environment"), PerEnvironment.Check(cc.PerEnvironment))
	}
	if cc.PerEnvironment > 1 && f.Runtime == gust.RuntimePython {
		c.add(Join(at, "per_environment"), "runtime python runs one invocation at a time in an environment; leave it out, or serve HTTP with runtime http")
	}
	if cc.Queue != (gust.Queue{}) {
		queue := Join(at, "queue")
		c.add(Join(queue, "size"), QueueSize.Check(cc.Queue.Size))
		c.add(Join(queue, "wait"), QueueWait.Check(cc.Queue.Wait))
	}
	if len(c.found) > before || cc.Reserved == nil {
		return
	}
	// Environments that the reservation never lets work would only cost.
	per := f.PerEnvironment()
	most := (*cc.Reserved + per - 1) / per
	within := func(at string, n int) {
		if n > most {
			c.add(Join(at, "provisioned"), fmt.Sprintf("%d environments of %d at once are more than reserved: %d ever uses: want at most %d",
				n, per, *cc.Reserved, most))
		}
	}
	within(at, cc.Provisioned)
	for i, s := range cc.Schedule {
		within(fmt.Sprintf("%s[%d]", Join(at, "schedule"), i), s.Provisioned)
	}
}

func (c *checker) schedule(at string, entries []gust.Scheduled) {
	if n := len(entries); n > gust.MaxSchedule {
		c.add(at, fmt.Sprintf("%d entries are above the maximum of %d", n, gust.MaxSchedule))
		return
	}
	for i, s := range entries {
		here := fmt.Sprintf("%s[%d]", at, i)
		if _, err := cron.Parse(s.Cron, time.UTC); err != nil {
			c.add(Join(here, "cron"), err.Error())
		}
		c.add(Join(here, "timezone"), c.zone(s.Timezone))
		if s.For != 0 {
			c.add(Join(here, "for"), ScheduledFor.Check(s.For))
		}
		c.add(Join(here, "provisioned"), Provisioned.Check(s.Provisioned))
	}
}

// zone says what is wrong with a time zone, or returns "". Finding one reads a
// file, so each is looked up once.
func (c *checker) zone(name string) string {
	text, known := c.zones[name]
	if !known {
		if _, err := cron.Zone(name); err != nil {
			text = err.Error()
		}
		if c.zones == nil {
			c.zones = make(map[string]string)
		}
		c.zones[name] = text
	}
	return text
}

func (c *checker) env(at string, env map[string]string) {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		total += len(name) + len(value)
		c.add(Join(at, name), CheckEnv(name, value))
	}
	if total > gust.MaxEnvBytes {
		c.add(at, fmt.Sprintf("names and values are %d bytes together, above the maximum of %d", total, gust.MaxEnvBytes))
	}
}

// reservedEnv is what the node sets in every environment ("Reserved
// environment variables" in the AWS Lambda Developer Guide), and PORT for http.
var reservedEnv = []string{
	"AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_REGION", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "PORT",
	"_HANDLER", "_X_AMZN_TRACE_ID",
}

// keysEnv are reserved too, and set by nobody: AWS's SDKs would take them for the
// function's credentials before they ask for those of its role.
var keysEnv = []string{"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

// reservedPrefixes are families of names that the node keeps for itself.
var reservedPrefixes = []string{"AWS_CONTAINER_", "AWS_LAMBDA_", "GUST_"}

// CheckEnv says what is wrong with one environment variable, or returns "".
func CheckEnv(name, value string) string {
	ok := name != ""
	for i := range len(name) {
		c := name[i]
		ok = ok && (c == '_' || isAlnum(c) && (i > 0 || c > '9'))
	}
	if words, free := chosen[name]; free {
		switch {
		case len(words) > 0:
			return Choice(value, words...)
		case !path.IsAbs(value) || strings.ContainsRune(value, 0):
			return fmt.Sprintf("want the wrapper's absolute path, such as /var/task/wrapper, got %s", Quote(value))
		}
		return ""
	}
	switch {
	case !ok || len(name) > 256:
		return fmt.Sprintf("%s is no name of an environment variable: want 1 to 256 of a-z, A-Z, 0-9 and _, the first not a digit", Quote(name))
	case slices.Contains(reservedEnv, name):
		return fmt.Sprintf("%s is reserved: gust sets it; choose another name", name)
	case slices.Contains(keysEnv, name):
		return fmt.Sprintf("%s is reserved: SDKs would take it before the credentials of the function's own role; say under policy what the function may do, or choose another name for another service's key", name)
	case strings.ContainsRune(value, 0):
		return "the value holds a zero byte, which no environment variable can"
	case !utf8.ValidString(value):
		return "the value is not valid UTF-8"
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return fmt.Sprintf("%s is reserved, as are all names that begin with %s; choose another name", name, prefix)
		}
	}
	return ""
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
