package manifest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest"
)

const whole = `
app: shop

functions:
  api:
    runtime: http
    source: ./api
    command: [./server, -v, 8]
    ready: /ready
    memory: 1GB
    timeout: 1m30s
    ephemeral_storage: 1024MB
    description: Answers.
    cpu: strict
    network: none
    idle: 0s
    env:
      NAME: value
      NUMBER: 1.10
      TRUTH: yes
      PRICE: "$5 $${x} $$"
      EMPTY: ""
    concurrency:
      reserved: 80
      provisioned: 2
      per_environment: 40
      schedule:
      - {cron: "0 8 * * MON-FRI", timezone: Europe/Berlin, for: 12h, provisioned: 1}
      - {cron: 0 20 * * *, provisioned: 0}
      prewarm: auto
      queue: {size: 100, wait: 500ms}
    policy:
    - allow: lambda:InvokeFunction
      on: function:worker
    - deny: [s3:*, "iam:*"]
      on: ["*", arn:aws:s3:::b]
      sid: Never
      when: {NumericLessThan: {s3:max-keys: 10}, StringEquals: {aws:PrincipalTag/team: [blue, 5]}}
  worker: {runtime: go, source: worker}
  web: {runtime: http, source: web.zip, ready: tcp, concurrency: {reserved: 0, queue: {size: 1}}}

routes:
  GET /: api
  GET /orders/{id}: api
  ANY /files/{path...}: worker
`

func ptr[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	m, err := manifest.Parse("gust.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &gust.App{
		Name: "shop",
		Functions: map[string]*gust.Function{
			"api": {
				Name: "api", App: "shop", Description: "Answers.", Runtime: gust.RuntimeHTTP,
				Command: []string{"./server", "-v", "8"}, Ready: "/ready",
				Memory: gust.GB, Timeout: 90 * time.Second, Ephemeral: gust.GB,
				Env: map[string]string{"NAME": "value", "NUMBER": "1.10", "TRUTH": "yes", "PRICE": "$5 ${x} $$", "EMPTY": ""},
				CPU: gust.CPUStrict, Network: gust.Network{Mode: gust.NetworkNone},
				Concurrency: gust.Concurrency{Reserved: ptr(80), Provisioned: 2, PerEnvironment: 40, Prewarm: gust.PrewarmAuto,
					Schedule: []gust.Scheduled{{Cron: "0 8 * * MON-FRI", Timezone: "Europe/Berlin", For: 12 * time.Hour, Provisioned: 1}, {Cron: "0 20 * * *"}},
					Queue:    gust.Queue{Size: 100, Wait: 500 * time.Millisecond}},
				Policy: []gust.Grant{
					{Effect: gust.Allow, Actions: []string{"lambda:InvokeFunction"}, Resources: []string{"function:worker"}},
					{Sid: "Never", Effect: gust.Deny, Actions: []string{"s3:*", "iam:*"}, Resources: []string{"*", "arn:aws:s3:::b"},
						When: map[string]map[string][]string{"NumericLessThan": {"s3:max-keys": {"10"}}, "StringEquals": {"aws:PrincipalTag/team": {"blue", "5"}}}}},
			},
			"worker": {
				Name: "worker", App: "shop", Runtime: gust.RuntimeGo,
				Memory: 128 * gust.MB, Timeout: 3 * time.Second, Ephemeral: 512 * gust.MB,
				CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkInternet}, Idle: 10 * time.Minute,
			},
			"web": {
				Name: "web", App: "shop", Runtime: gust.RuntimeHTTP,
				Memory: 128 * gust.MB, Timeout: time.Minute, Ephemeral: 512 * gust.MB,
				CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkInternet}, Idle: 10 * time.Minute,
				Concurrency: gust.Concurrency{Reserved: ptr(0), Queue: gust.Queue{Size: 1, Wait: time.Second}},
			},
		},
		Routes: []gust.Route{
			{App: "shop", Method: "GET", Path: "/", Function: "api"},
			{App: "shop", Method: "GET", Path: "/orders/{id}", Function: "api"},
			{App: "shop", Method: "*", Path: "/files/{path...}", Function: "worker"},
		},
	}
	if !reflect.DeepEqual(m.App, want) {
		t.Errorf("app:\n got %+v\nwant %+v", m.App, want)
	}
	sources := map[string]manifest.Source{
		"api":    {Path: "./api", Line: 7},
		"worker": {Path: "worker", Line: 39},
		"web":    {Path: "web.zip", Line: 40},
	}
	if !reflect.DeepEqual(m.Sources, sources) {
		t.Errorf("sources: got %+v, want %+v", m.Sources, sources)
	}
}

// function wraps the lines of one function, which begin in line 5, column 5.
func function(lines ...string) string {
	return "app: a\nfunctions:\n  f:\n    runtime: http\n    source: .\n    " + strings.Join(lines, "\n    ") + "\n"
}

// node is function for runtime node@20.
func node(lines ...string) string {
	return strings.Replace(function(lines...), "runtime: http", "runtime: node@20", 1)
}

// routed wraps the lines of routes to the function f, which begin in line 5.
func routed(lines ...string) string {
	return "app: a\nfunctions:\n  f: {runtime: go, source: .}\nroutes:\n  " + strings.Join(lines, "\n  ") + "\n"
}

// destination is how every complaint about one ends.
const destination = ": want NAME:PORT, ADDRESS:PORT or PREFIX:PORT, such as api.stripe.com:443, 10.0.0.5:5432 or 10.1.0.0/16:5432"

func TestProblems(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		// Values.
		{"size below", function("memory: 64MB"), []string{"6:5: functions.f.memory: 64MB is below the minimum of 128MB"}},
		{"size above", function("memory: 11GB"), []string{"6:5: functions.f.memory: 11GB is above the maximum of 10GB"}},
		{"size without unit", function("memory: 256"), []string{"6:5: functions.f.memory: \"256\" has no unit: write 256MB or 256GB"}},
		{"size with a binary unit", function("memory: 256MiB"), []string{`6:5: functions.f.memory: "256MiB" is no size, did you mean 256MB? (the units are MB and GB; 1GB is 1024MB)`}},
		{"size in lower case", function("memory: 2 gb"), []string{`6:5: functions.f.memory: "2 gb" is no size, did you mean 2GB? (the units are MB and GB; 1GB is 1024MB)`}},
		{"size that is none", function("memory: much"), []string{`6:5: functions.f.memory: want a size such as 256MB or 1GB, got "much"`}},
		{"size with a fraction", function("memory: 1.5GB"), []string{`6:5: functions.f.memory: want a size such as 256MB or 1GB, got "1.5GB"`}},
		{"size beyond int64", function("memory: 99999999999999GB"), []string{`6:5: functions.f.memory: "99999999999999GB" is more than any machine has`}},
		{"size that is nothing", function("memory:"), []string{"6:5: functions.f.memory: want a size such as 256MB or 1GB, got nothing"}},
		{"duration that is a list", function("timeout: [10s]"), []string{"6:5: functions.f.timeout: want a duration such as 10s, got a list"}},
		{"duration without unit", function("timeout: 10"), []string{"6:5: functions.f.timeout: 10 has no unit: write 10s"}},
		{"duration above", function("timeout: 1h"), []string{"6:5: functions.f.timeout: 1h is above the maximum of 15m"}},
		{"duration below", function("timeout: 500ms"), []string{"6:5: functions.f.timeout: 500ms is below the minimum of 1s"}},
		{"duration too fine", function("timeout: 1.0001s"), []string{"6:5: functions.f.timeout: 1.0001s is finer than a millisecond"}},
		{"duration below zero", function("idle: -1s"), []string{`6:5: functions.f.idle: want a duration such as 10s, 1m30s or 500ms, got "-1s"`}},
		{"number in quotes", function(`concurrency: {reserved: "5"}`), []string{`6:19: functions.f.concurrency.reserved: want a whole number such as 10, got the text "5": write it without quotes`}},
		{"number with a fraction", function("concurrency: {reserved: 1.5}"), []string{"6:19: functions.f.concurrency.reserved: want a whole number such as 10, got the number 1.5"}},
		{"number in hexadecimal", function("concurrency: {reserved: 0x10}"), []string{"6:19: functions.f.concurrency.reserved: want a whole number such as 10, in plain decimal digits, got 0x10"}},
		{"number below zero", function("concurrency: {provisioned: -1}"), []string{"6:19: functions.f.concurrency.provisioned: -1 is below the minimum of 0"}},
		{"per environment of 0", function("concurrency: {per_environment: 0}"), []string{"6:19: functions.f.concurrency.per_environment: 0 is below the minimum of 1"}},
		{"provisioned over reserved", function("concurrency: {reserved: 3, provisioned: 4, per_environment: 1}"), []string{
			"6:32: functions.f.concurrency.provisioned: 4 environments of 1 at once are more than reserved: 3 ever uses: want at most 3"}},
		{"queue without size", function("concurrency: {queue: {wait: 1s}}"), []string{`6:19: functions.f.concurrency.queue: the key "size" is missing: it is a number, 1 to 10000`}},
		{"queue that waits too long", function("concurrency: {queue: {size: 1, wait: 2m}}"), []string{"6:36: functions.f.concurrency.queue.wait: 2m is above the maximum of 1m"}},
		{"choice", function("cpu: strickt"), []string{`6:5: functions.f.cpu: want shared or strict, got "strickt", did you mean "strict"?`}},
		{"mapping that is text", function("concurrency: 5"), []string{"6:5: functions.f.concurrency: want a mapping such as {reserved: 50, provisioned: 2}, got the number 5"}},
		{"text that is a number", function("description: 5"), []string{"6:5: functions.f.description: want text, got the number 5: put it in quotes"}},
		{"description too long", function("description: " + strings.Repeat("é", 257)), []string{"6:5: functions.f.description: 257 characters are above the maximum of 256"}},
		{"command that is text", function("command: ./server"), []string{`6:5: functions.f.command: want a list of words such as [./server, --verbose], got "./server"`}},
		{"command that is empty", function("command: []"), []string{"6:5: functions.f.command: the list is empty: want a list of words such as [./server, --verbose]"}},
		{"command outside", function("command: [../server]"), []string{`6:15: functions.f.command[0]: "../server" is outside of the function's folder`}},
		{"command with a list", function("command: [a, [b]]"), []string{"6:18: functions.f.command[1]: want text, got a list"}},
		{"ready", function("ready: udp"), []string{`6:5: functions.f.ready: want tcp or a path such as /ready, got "udp"`}},
		{"ready unescaped", function("ready: /a b"), []string{`6:5: functions.f.ready: "/a b" holds ' ', which has to be escaped in a path`}},
		{"absolute source", "app: a\nfunctions: {f: {runtime: go, source: /src}}", []string{`2:30: functions.f.source: "/src" is absolute: want a path relative to the manifest, so that it holds on every machine`}},
		{"go from a zip", "app: a\nfunctions: {f: {runtime: go, source: a.zip}}", []string{"2:30: functions.f.source: runtime go builds a folder; a .zip is for the other runtimes"}},
		{"fields of http elsewhere", "app: a\nfunctions: {f: {runtime: go, source: ., ready: tcp, command: [x]}}", []string{
			"2:53: functions.f.command: only runtime http has a command; runtime go runs the executable named bootstrap"}},

		// Runtimes, interpreters and handlers.
		{"Lambda's names", "app: a\nfunctions:\n  a: {runtime: nodejs20.x, source: .}\n  b: {runtime: python3.12, source: .}\n  c: {runtime: provided.al2023, source: .}\n  d: {runtime: go1.x, source: .}\n", []string{
			`3:7: functions.a.runtime: "nodejs20.x" is Lambda's name: write node@20`,
			`4:7: functions.b.runtime: "python3.12" is Lambda's name: write python@3.12`,
			`5:7: functions.c.runtime: "provided.al2023" is Lambda's name: write provided`,
			`6:7: functions.d.runtime: "go1.x" is Lambda's name: write go, which gust builds`}},
		{"other names", "app: a\nfunctions:\n  a: {runtime: node20, source: .}\n  b: {runtime: nodejs, source: .}\n  c: {runtime: python3, source: .}\n  d: {runtime: java21, source: .}\n  e: {runtime: typescript, source: .}\n", []string{
			`3:7: functions.a.runtime: there is no runtime "node20": write node@20`,
			`4:7: functions.b.runtime: there is no runtime "nodejs": write node`,
			`5:7: functions.c.runtime: there is no runtime "python3": write python@3.N`,
			`6:7: functions.d.runtime: there is no runtime "java21": such a program runs as runtime provided, by an executable named bootstrap that starts it with the vendor's runtime client`,
			`7:7: functions.e.runtime: there is no runtime "typescript": write node`}},
		{"versions", "app: a\nfunctions:\n  a: {runtime: node@20.1, source: ., handler: a.b}\n  b: {runtime: node@, source: ., handler: a.b}\n  c: {runtime: python@3, source: ., handler: a.b}\n  d: {runtime: go@1.26, source: .}\n  e: {runtime: nodee@20, source: .}\n", []string{
			`3:7: functions.a.runtime: "20.1" is no version of node: want its major version, such as node@22`,
			`4:7: functions.b.runtime: "" is no version of node: want its major version, such as node@22`,
			`5:7: functions.c.runtime: "3" is no version of python: want one such as python@3.12`,
			`6:7: functions.d.runtime: runtime go has no versions: write go`,
			`7:7: functions.e.runtime: want go, node, python, provided or http, got "nodee", did you mean "node"?`}},
		{"no handler", "app: a\nfunctions:\n  a: {runtime: node, source: .}\n  b: {runtime: python, source: .}\n", []string{
			`3:3: functions.a: the key "handler" is missing: it is the module and the function that runtime node calls, such as index.handler for index.js or index.ts with exports.handler`,
			`4:3: functions.b: the key "handler" is missing: it is the module and the function that runtime python calls, such as app.handler for app.py with def handler(event, context)`}},
		{"a handler elsewhere", function("handler: index.handler"), []string{
			"6:5: functions.f.handler: only runtimes node and python have a handler; runtime http starts a program"}},
		{"an interpreter elsewhere", node("handler: a.b", "interpreter: node"), []string{
			"7:5: functions.f.interpreter: runtime node says itself what runs it: leave the interpreter out, or write its version into the runtime"}},
		{"an interpreter for go", "app: a\nfunctions: {f: {runtime: go, source: ., interpreter: node}}", []string{
			"2:41: functions.f.interpreter: a program of runtime go needs no interpreter: leave it out"}},
		{"an interpreter that is none", function("interpreter: go"), []string{`6:5: functions.f.interpreter: want node or python, got "go"`}},
		{"an interpreter that is a list", function("interpreter: [node]"), []string{"6:5: functions.f.interpreter: want node (or node@22) or python (or python@3.12), got a list"}},

		// Layers.
		{"unknown layer", function("layers: [sharde]") + "layers: {shared: {source: .}}", []string{
			`6:14: functions.f.layers[0]: the manifest declares no layer named "sharde", did you mean "shared"?`,
			"7:10: layers.shared: no function lists the layer: write layers: [shared] in one, or leave it out"}},
		{"layer twice", function("layers: [a, a]") + "layers: {a: {source: .}}", []string{`6:17: functions.f.layers[1]: the layer "a" stands in the list twice: keep one`}},
		{"too many layers", function("layers: [a, b, c, d, e, f]") + "layers: {a: {source: .}, b: {source: .}, c: {source: .}, d: {source: .}, e: {source: .}, f: {source: .}}", []string{
			"6:5: functions.f.layers: 6 layers are above the maximum of 5 of one function"}},
		{"layer's name", function("layers: [A]") + "layers: {A: {source: .}}", []string{
			`6:14: functions.f.layers[0]: "A" is no layer name: want 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit`,
			`7:10: layers.A: "A" is no layer name: want 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit`}},
		{"layer without a source", function("layers: [a]") + "layers: {a: {runtime: go, sauce: .}}", []string{
			`7:10: layers.a: the key "source" is missing: it is the path of a folder or a .zip file`,
			`7:14: layers.a.runtime: want node or python, got "go"`,
			`7:27: layers.a.sauce: unknown key "sauce", did you mean "source"?`}},
		{"layer of a zip with a runtime", function("layers: [a]") + "layers: {a: {source: a.zip, runtime: node}}", []string{
			"7:29: layers.a.runtime: a .zip is taken as it is, with the dependencies that are in it: leave the runtime out"}},
		{"layers that are text", function("layers: shared"), []string{`6:5: functions.f.layers: want a list of layers such as [shared], got "shared"`}},

		// How it is built.
		{"build of a program", "app: a\nfunctions: {f: {runtime: go, source: ., build: {bundle: false}}}", []string{"2:41: functions.f.build: runtime go has one way to be built: leave build out"}},
		{"build of a zip", "app: a\nfunctions: {f: {runtime: node, source: a.zip, handler: a.b, build: {bundle: true}}}", []string{
			"2:61: functions.f.build: a .zip is taken as it is: leave build out, or name the folder that it was made of"}},
		{"bundling what cannot be", function("build: {bundle: true}"), []string{
			"6:13: functions.f.build.bundle: only runtime node, and http with interpreter: node and a command, can be bundled: leave it out"}},
		{"a bundle's keys without one", node("handler: a.b", "build: {bundle: false, minify: true, external: [x]}"), []string{
			"7:28: functions.f.build.minify: it is for a bundle, and the source is packed as it is: leave it out, or write bundle: true",
			"7:42: functions.f.build.external: it is for a bundle, and the source is packed as it is: leave it out, or write bundle: true"}},
		{"exclude from a bundle", node("handler: a.b", "build: {exclude: [test]}"), []string{
			"7:13: functions.f.build.exclude: a bundle has only what is imported: leave it out, or write bundle: false"}},
		{"truth in quotes", node("handler: a.b", `build: {minify: "true"}`), []string{`7:13: functions.f.build.minify: want true or false, got "true"`}},
		{"truth in other words", node("handler: a.b", "build: {minify: on}"), []string{`7:13: functions.f.build.minify: want true or false, got "on"`}},

		// The environment.
		{"env reserved", function("env: {AWS_REGION: x, AWS_LAMBDA_X: y, PORT: 1}"), []string{
			"6:11: functions.f.env.AWS_REGION: AWS_REGION is reserved: gust sets it; choose another name",
			"6:26: functions.f.env.AWS_LAMBDA_X: AWS_LAMBDA_X is reserved, as are all names that begin with AWS_LAMBDA_; choose another name",
			"6:43: functions.f.env.PORT: PORT is reserved: gust sets it; choose another name"}},
		{"env with a key", function("env: {AWS_ACCESS_KEY_ID: AKIA, AWS_CONTAINER_CREDENTIALS_FULL_URI: http://localhost}"), []string{
			"6:11: functions.f.env.AWS_ACCESS_KEY_ID: AWS_ACCESS_KEY_ID is reserved: SDKs would take it before the credentials of the function's own role; say under policy what the function may do, or choose another name for another service's key",
			"6:36: functions.f.env.AWS_CONTAINER_CREDENTIALS_FULL_URI: AWS_CONTAINER_CREDENTIALS_FULL_URI is reserved, as are all names that begin with AWS_CONTAINER_; choose another name"}},
		{"env name", function("env: {1A: x}"), []string{`6:11: functions.f.env.1A: "1A" is no name of an environment variable: want 1 to 256 of a-z, A-Z, 0-9 and _, the first not a digit`}},
		{"env of nothing", function("env: {A: }"), []string{`6:11: functions.f.env.A: want text, got nothing: write "" for an empty value`}},
		{"env too large", function("env: {A: " + strings.Repeat("x", 5000) + "}"), []string{"6:5: functions.f.env: names and values are 5001 bytes together, above the maximum of 4096"}},
		{"env with a secret", function("env: {A: '${secret:stripe}'}"), []string{
			"6:11: functions.f.env.A: the reference ${secret:stripe} is not built yet in this version of gust: a value stands in the manifest as it is; keep secrets out of it"}},
		{"env with a reference", function("env: {A: 'x${HOME}', B: '${'}"), []string{
			"6:11: functions.f.env.A: unknown reference ${HOME}: write $${HOME} if the text itself is meant",
			"6:26: functions.f.env.B: unknown reference ${: write $${ if the text itself is meant"}},
		{"env with a zero byte", function(`env: {A: "a\0b"}`), []string{"6:11: functions.f.env.A: the value holds a zero byte, which no environment variable can"}},

		// Keys.
		{"unknown key", function("memroy: 1GB"), []string{`6:5: functions.f.memroy: unknown key "memroy", did you mean "memory"?`}},
		{"key in upper case", function("MEMORY: 1GB"), []string{`6:5: functions.f.MEMORY: unknown key "MEMORY", did you mean "memory"?`}},
		{"unknown key far from all", "app: a\nversion: 1", []string{`2:1: version: unknown key "version"; the keys here are app, functions, layers, routes`}},
		{"twice", function("cpu: shared", "cpu: strict"), []string{"7:5: functions.f.cpu: the key stands twice, the first time in line 6: keep one"}},
		{"function twice", "app: a\nfunctions:\n  f: {runtime: go, source: .}\n  f: {runtime: go, source: .}", []string{"4:3: functions.f: the key stands twice, the first time in line 3: keep one"}},
		{"key that is a list", "app: a\n? [x]\n: y", []string{"2:3: want a word as a key, got a list"}},
		{"not built: kinds", "app: a\nqueues: {}\nusers: {}", []string{
			"2:1: queues: queues is not built yet in this version of gust: only functions and routes can be declared",
			"3:1: users: users is not built yet in this version of gust: users are made by the IAM API"}},
		{"not built: a function's keys", function("on: [{queue: q}]"), []string{
			"6:5: functions.f.on: on is not built yet in this version of gust: a function is invoked by routes and by the API"}},
		{"not built: runtimes", "app: a\nfunctions: {f: {runtime: wasm, source: .}, g: {runtime: rust, source: .}}", []string{
			"2:17: functions.f.runtime: runtime wasm is not built yet in this version of gust: want go, node, python, provided, http",
			"2:48: functions.g.runtime: runtime rust is not built yet in this version of gust: build the program to an executable named bootstrap, and use runtime provided"}},
		{"no such network", function("network: intranet"), []string{`6:5: functions.f.network: want internet or none, got "intranet", did you mean "internet"?`}},
		{"a destination without its list", function("network: db:5432"), []string{`6:5: functions.f.network: want internet or none, or a list such as [api.stripe.com:443, 10.0.0.5:5432], got "db:5432": destinations stand in a list, [db:5432]`}},
		{"an empty network", function("network: []"), []string{"6:5: functions.f.network: the list is empty: write network: none, or list what may be reached, such as [api.stripe.com:443, 10.0.0.5:5432]"}},
		{"a network of what is none", function("network:\n      - db:5432\n      - db\n      - '[::1]:80'\n      - 169.254.169.254:80\n      - DB.:5432\n      - localhost:9001\n      - 127.0.0.1:9002"), []string{
			`8:9: functions.f.network[1]: "db" has no port` + destination, `9:9: functions.f.network[2]: "[::1]:80" is an IPv6 address: environments have no IPv6;` + destination[1:],
			`10:9: functions.f.network[3]: "169.254.169.254" is an address that no environment reaches (of this network, of the link or of many hosts)` + destination, `11:9: functions.f.network[4]: db:5432 stands twice in the list`,
			`12:9: functions.f.network[5]: localhost:9001 is where the program finds the Runtime API: give the other program another port`,
			`13:9: functions.f.network[6]: 127.0.0.1:9002 is where the program finds the node's API: give the other program another port`}},
		{"schedule that is empty", function("concurrency: {schedule: []}"), []string{`6:19: functions.f.concurrency.schedule: the list is empty: want a list of entries such as {cron: "0 8 * * MON-FRI", provisioned: 20}`}},
		{"schedule that is one entry", function("concurrency: {schedule: {cron: x}}"), []string{`6:19: functions.f.concurrency.schedule: want a list of entries such as {cron: "0 8 * * MON-FRI", provisioned: 20}, got a mapping`}},
		{"schedule's entries", function("concurrency:", "  schedule:", "  - 5", "  - {provisioned: 1}", "  - {cron: 0 8 * * *, provisioned: -1}",
			"  - {cron: rate(5 minutes), timezone: CEST, provisioned: 1}", "  - {cron: 5 * * * *, at: 8}"), []string{
			`8:9: functions.f.concurrency.schedule[0]: want a mapping such as {cron: "0 8 * * MON-FRI", provisioned: 20}, got the number 5`,
			`9:9: functions.f.concurrency.schedule[1]: the key "cron" is missing: it is a time such as "0 8 * * MON-FRI"`,
			`10:27: functions.f.concurrency.schedule[2].provisioned: -1 is below the minimum of 0`,
			`11:10: functions.f.concurrency.schedule[3].cron: "rate(5 minutes)" is another form: want five fields (minute, hour, day of the month, month, day of the week) such as 0 8 * * MON-FRI`,
			`11:33: functions.f.concurrency.schedule[3].timezone: "CEST" is no time zone: want one such as Europe/Berlin, or UTC`,
			`12:9: functions.f.concurrency.schedule[4]: the key "provisioned" is missing: it is a number, 0 to 100000`,
			`12:27: functions.f.concurrency.schedule[4].at: unknown key "at"; the keys here are cron, timezone, for, provisioned`}},
		{"schedule without quotes", function("concurrency: {schedule: [{cron: */5 * * * *, provisioned: 4}]}"), []string{
			`6:37: not valid YAML: what begins with * has to be in quotes, such as "*/5 * * * *"`}},
		{"schedule over reserved", function("concurrency: {reserved: 3, per_environment: 1, schedule: [{cron: 0 8 * * *, provisioned: 4}]}"), []string{
			"6:81: functions.f.concurrency.schedule[0].provisioned: 4 environments of 1 at once are more than reserved: 3 ever uses: want at most 3"}},
		{"schedule for too long", function("concurrency: {schedule: [{cron: 0 8 * * *, provisioned: 4, for: 1000h}, {cron: 0 8 * * *, provisioned: 4, for: 0s}]}"), []string{
			"6:64: functions.f.concurrency.schedule[0].for: 1000h is above the maximum of 744h",
			"6:111: functions.f.concurrency.schedule[1].for: 0s is below the minimum of 1m"}},
		{"schedule too long", function("concurrency: {schedule: [" + strings.Repeat("{cron: 0 8 * * *, provisioned: 4},", 101) + "]}"), []string{
			"6:19: functions.f.concurrency.schedule: 101 entries are above the maximum of 100"}},
		{"policy that is one entry", function("policy: {allow: a:B, on: '*'}"), []string{
			"6:5: functions.f.policy: want a list of entries such as {allow: lambda:InvokeFunction, on: function:worker}, got a mapping"}},
		{"policy's entries", function("policy:", "- 5", "- {on: function:f}", "- {allow: a:B, deny: a:B, on: function:f}", "- {allow: [], on: {}}", "- {allow: lambda:GetFunction}"), []string{
			"7:7: functions.f.policy[0]: want a mapping with allow or deny, and on, got the number 5",
			"8:7: functions.f.policy[1]: an entry has allow or deny, one of them: what the function may do, or may not",
			"9:7: functions.f.policy[2]: an entry has allow or deny, one of them: what the function may do, or may not",
			"10:8: functions.f.policy[3].allow: the list is empty: want an action such as lambda:InvokeFunction, or a list of such",
			`10:19: functions.f.policy[3].on: want function:NAME, an ARN, "*", or a list of such, got a mapping`,
			`11:7: functions.f.policy[4]: the key "on" is missing: it is function:NAME, an ARN, "*", or a list of such`}},
		{"policy: what there is not", function("policy:", "- {allow: lambda:Invoke, on: function:f}", "- allow: [lambda:InvokeFunction, lambda:InvokeFunctoin]", "  on: [function:f, function:g, queue:q]"), []string{
			`7:8: functions.f.policy[0].allow[0]: "lambda:Invoke" is an operation, and no action of a policy: want lambda:InvokeFunction`,
			`8:38: functions.f.policy[1].allow[1]: "lambda:InvokeFunctoin" is no action of lambda, did you mean "InvokeFunction"?`,
			`9:24: functions.f.policy[1].on[1]: the app has no function named "g", did you mean "f"? (one of another app is named by its ARN, arn:aws:lambda:REGION:ACCOUNT:function:NAME)`,
			`9:36: functions.f.policy[1].on[2]: "queue:q": there are no resources of kind queue in this version of gust; want function:NAME, an ARN, or "*"`}},
		{"policy: conditions", function("policy:", "- allow: lambda:GetFunction", "  on: function:f", "  when:", "    StringEqual: {aws:username: x}", "    Bool:", "      aws:SecureTransport: maybe", "      nothing: true", "    DateLessThan: 5"), []string{
			`10:9: functions.f.policy[0].when.StringEqual: "StringEqual" is no condition operator, did you mean "StringEquals"? (operators are String, Numeric, Date, Arn and IpAddress ones, Bool, BinaryEquals and Null)`,
			`12:11: functions.f.policy[0].when.Bool["aws:SecureTransport"][0]: want true or false, got "maybe"`,
			`13:11: functions.f.policy[0].when.Bool.nothing: want service:key such as aws:SourceIp or aws:PrincipalTag/team, got "nothing"`,
			`14:9: functions.f.policy[0].when.DateLessThan: want a mapping of condition keys and their values, such as {aws:PrincipalTag/team: blue}, got the number 5`}},
		{"policy too long", function("policy: [" + strings.Repeat("{allow: lambda:GetFunction, on: function:f},", 101) + "]"), []string{
			"6:5: functions.f.policy: 101 entries are above the maximum of 100"}},
		{"prewarm", function("concurrency: {prewarm: always}"), []string{`6:19: functions.f.concurrency.prewarm: want off or auto, got "always"`}},
		{"missing", "functions: {f: {}}", []string{
			`1:1: the key "app" is missing: it is the app's name`,
			`1:13: functions.f: the key "runtime" is missing: it is go, node (or node@22), python (or python@3.12), provided or http`,
			`1:13: functions.f: the key "source" is missing: it is the path of a folder or a .zip file`}},
		{"app's name", "app: My Shop", []string{`1:1: app: "My Shop" is no app name: want 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit`}},
		{"app that is a number", "app: 5", []string{"1:1: app: want the app's name, got the number 5: put it in quotes"}},
		{"function's name", "app: a\nfunctions: {a.b: {runtime: go, source: .}}", []string{`2:13: functions["a.b"]: "a.b" is no function name: want 1 to 64 of a-z, A-Z, 0-9, - and _`}},
		{"functions that are a list", "app: a\nfunctions: [f]\nroutes: {GET /: f}", []string{"2:1: functions: want a mapping of functions by name, got a list"}},

		// Routes.
		{"unknown function", routed("GET /: g", "GET /x: Ff"), []string{
			`5:3: routes["GET /"]: the app has no function named "g", did you mean "f"?`,
			`6:3: routes["GET /x"]: the app has no function named "Ff", did you mean "f"?`}},
		{"route without a method", routed("/x: f"), []string{`5:3: routes["/x"]: want a method and a path such as GET /hello/{name}, got "/x"`}},
		{"route's method", routed("get /: f", "FETCH /: f"), []string{
			`5:3: routes["get /"]: "get" is no method: want ANY or one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, did you mean "GET"?`,
			`6:3: routes["FETCH /"]: "FETCH" is no method: want ANY or one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, did you mean "PATCH"?`}},
		{"routes of one shape", routed("GET /a/{x}: f", "GET /a/{y}: f"), []string{`6:3: routes["GET /a/{y}"]: it matches the same requests as "GET /a/{x}": keep one`}},
		{"routes twice", routed("ANY /a: f", "'*   /a': f"), []string{`6:3: routes["* /a"]: the route is declared twice: keep one`}},
		{"parameter twice", routed("GET /{a}/{a}: f"), []string{`5:3: routes["GET /{a}/{a}"]: the parameter {a} stands twice: give one of them another name`}},
		{"rest before the end", routed("GET /{a...}/b: f"), []string{`5:3: routes["GET /{a...}/b"]: "{a...}" stands before the end of the path: only the last segment can take the rest`}},
		{"part of a segment", routed("GET /a{b}: f"), []string{`5:3: routes["GET /a{b}"]: "a{b}" is neither text nor a parameter: want {name} for a whole segment, or {name...} at the end`}},
		{"empty segment", routed("GET //a: f"), []string{`5:3: routes["GET //a"]: the path "//a" has an empty segment`}},
		{"dot segment", routed("GET /a/../b: f"), []string{`5:3: routes["GET /a/../b"]: the path "/a/../b" has a segment "..", which no request ever has`}},
		{"escape", routed("GET /a%20b: f"), []string{`5:3: routes["GET /a%20b"]: "a%20b" holds an escape: write the path as it reads, not escaped`}},
		{"query", routed("GET /a?b=c: f"), []string{`5:3: routes["GET /a?b=c"]: "a?b=c" holds '?': a route is chosen by its path alone, without query and fragment`}},
		{"long form", routed("GET /: {to: f, auth: staff, autth: x}"), []string{
			`5:11: routes["GET /"].to: to is not built yet in this version of gust: write the short form, "GET /path: function"`,
			`5:18: routes["GET /"].auth: auth is not built yet in this version of gust: leave it out; routes are open to everybody who reaches the node`,
			`5:31: routes["GET /"].autth: unknown key "autth", did you mean "auth"?`}},

		// The document.
		{"empty", "", []string{"the manifest is empty: it needs at least app: NAME"}},
		{"only a comment", "# nothing\n", []string{"the manifest is empty: it needs at least app: NAME"}},
		{"a list", "- a\n", []string{"1:1: want a mapping with the keys app, functions, layers and routes, got a list"}},
		{"two documents", "app: a\n---\napp: b\n", []string{"2:1: a second document begins here: a manifest is one document, without --- in it"}},
		{"tab", "app: a\nfunctions:\n\tf: {}\n", []string{"3:1: the line is indented with a tab: YAML wants spaces"}},
		{"not YAML", "app: a\nfunctions: {\n", []string{"2:1: not valid YAML: did not find expected node content"}},
		{"not UTF-8", "app: a\nfunctions: {\xff: 1}\n", []string{"2:13: the byte 0xff is not UTF-8: save the manifest as UTF-8"}},
		{"UTF-16", "\xff\xfea\x00p\x00p\x00", []string{"1:1: the manifest is UTF-16: save it as UTF-8"}},
		{"control character", "app: a\x00b", []string{"1:7: the control character U+0000 cannot stand in a manifest; in quotes it can be written as an escape"}},
		{"alias", "app: &x a\nfunctions: *x\n", []string{
			"1:6: the anchor &x: a manifest has no anchors; remove it",
			"2:12: the alias *x: a manifest has no aliases; write the value out"}},
		{"merge key", function("<<: {memory: 1GB}"), []string{"6:5: the merge key <<: a manifest has no merge keys; write the values out"}},
		{"tag", "app: !!str a", []string{"1:6: the tag !!str: a manifest has no tags; write the plain value"}},
		{"deep", "app: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), []string{"1:37: mappings and lists are nested more than 32 deep"}},
		{"deeper than the reader goes", "app: " + strings.Repeat("[", 20000), []string{"1:1: not valid YAML: exceeded max depth of 10000"}},
		{"too large", "app: a\n#" + strings.Repeat("x", gust.MaxManifest), []string{"the manifest has 1048584 bytes, above the maximum of 1MB"}},

		{"all at once, in order", "app: A\nroutes: {GET /: g}\nfunctions:\n  f:\n    memory: 1MB\n    runtime: x\n    source: .\n  h: 3\n", []string{
			`1:1: app: "A" is no app name: want 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit`,
			`2:10: routes["GET /"]: the app has no function named "g", did you mean "f"?`,
			"5:5: functions.f.memory: 1MB is below the minimum of 128MB",
			`6:5: functions.f.runtime: want go, node, python, provided or http, got "x"`,
			"8:3: functions.h: want a mapping with the keys of a function, got the number 3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := manifest.Parse("gust.yaml", []byte(test.in))
			if err == nil {
				t.Fatalf("accepted: %+v", m.App)
			}
			if !errors.Is(err, gust.ErrInvalid) {
				t.Errorf("%v is not gust.ErrInvalid", err)
			}
			var problems manifest.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got a %T", err)
			}
			var got []string
			for _, p := range problems {
				line, ok := strings.CutPrefix(p.String(), "gust.yaml:")
				if !ok {
					t.Errorf("%q does not name the file", p)
				}
				got = append(got, strings.TrimPrefix(line, " "))
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(test.want, "\n     "))
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for name, in := range map[string]string{
		"an app alone":              "app: a",
		"a byte order mark":         "\xef\xbb\xbfapp: a\n",
		"carriage returns":          "app: a\r\nfunctions:\r\n  f:\r\n    runtime: go\r\n    source: .\r\n",
		"JSON":                      `{"app": "a", "functions": {"f": {"runtime": "go", "source": "."}}, "routes": {"GET /": "f"}}`,
		"a document start":          "---\napp: a\n",
		"a folder beside":           "app: a\nfunctions: {f: {runtime: go, source: ../shared}}",
		"a function named by digit": "app: a\nfunctions: {404: {runtime: go, source: .}}\nroutes: {GET /: 404}",
		"routes that overlap":       routed("GET /a/{x}: f", "GET /{x}/a: f", "ANY /a/{x}: f", "GET /a/: f", "GET /a: f", "GET /é/~x.y: f"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := manifest.Parse("gust.yaml", []byte(in)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProblemsOfAHostileManifestAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("app: a\nfunctions:\n")
	for i := 0; b.Len() < 500_000; i++ {
		b.WriteString("  f" + strings.Repeat("o", i%50) + string(rune('a'+i%26)) + strings.Repeat("x", i/1300%9) + ": {}\n")
	}
	b.WriteString("routes:\n")
	for i := 0; b.Len() < 1_000_000; i++ {
		b.WriteString("  GET /" + strings.Repeat("y", i%100) + "/" + strings.Repeat("z", i/100) + ": nobody\n")
	}
	_, err := manifest.Parse("gust.yaml", []byte(b.String()))
	if err == nil {
		t.Fatal("accepted")
	}
	if lines := strings.Count(err.Error(), "\n"); lines > 100 {
		t.Errorf("the error has %d lines", lines)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		_, err := manifest.Load(dir)
		if err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}

	expect("there is no gust.yaml in DIR: it is what an app is declared in: file does not exist")
	if _, err := manifest.Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	write("gust.yml", "app: a")
	expect("there is no gust.yaml in DIR: rename gust.yml to gust.yaml: file does not exist")

	write("gust.yaml", "app: a\nfunctions:\n  f: {runtime: go, source: ./f, memory: 1MB}\n  g: {runtime: http, source: ./g.txt}\n  h: {runtime: http, source: h.zip}\n")
	write("g.txt", "x")
	write("h.zip", "x")
	expect("DIR/gust.yaml:3:20: functions.f.source: ./f is not there\n" +
		"DIR/gust.yaml:3:33: functions.f.memory: 1MB is below the minimum of 128MB\n" +
		"DIR/gust.yaml:4:22: functions.g.source: ./g.txt is neither a folder nor a .zip file")

	write("f/main.go", "package main")
	write("gust.yaml", "app: a\nfunctions: {f: {runtime: go, source: ./f}}")
	if m, err := manifest.Load(dir); err != nil || m.Sources["f"].Path != "./f" {
		t.Errorf("got %+v, %v", m, err)
	}

	if err := os.Truncate(filepath.Join(dir, "gust.yaml"), 10_000_000); err != nil {
		t.Fatal(err)
	}
	expect("DIR/gust.yaml: the manifest has 10000000 bytes, above the maximum of 1MB")

	if err := os.Remove(filepath.Join(dir, "gust.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "gust.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	expect("DIR/gust.yaml is not a file: invalid")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(routed("GET /a/{x}: f", "ANY /{y...}: {to: f}")))
	f.Add([]byte(function("env: {A: '${secret:x}'}", "<<: *a")))
	f.Add([]byte("app: &a [*a]\n---\n\t- x"))
	f.Add([]byte("\xef\xbb\xbf? {a: b}\n: !x |\n  y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Parse("gust.yaml", data)
		if (m == nil) != (err != nil) {
			t.Fatalf("got %v and %v", m, err)
		}
		if err != nil {
			var problems manifest.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("got a %T: %v", err, err)
			}
			lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") +
				strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + strings.Count(string(data), "\u0085") + 1
			for _, p := range problems {
				if p.Line > lines || p.Text == "" {
					t.Errorf("%q in a manifest of %d lines", p, lines)
				}
			}
			return
		}
		for name, fn := range m.App.Functions {
			if fn.Name != name || fn.App != m.App.Name || m.Sources[name].Path == "" {
				t.Errorf("function %q is %+v from %+v", name, fn, m.Sources[name])
			}
		}
	})
}
