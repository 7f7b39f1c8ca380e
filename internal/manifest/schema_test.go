package manifest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gust-dev/gust/internal/manifest"
)

// validate is JSON Schema for the keywords that Schema uses; any other keyword
// is an error, so that none is overlooked.
func validate(s, v any) error {
	if b, ok := s.(bool); ok {
		if !b {
			return fmt.Errorf("nothing is allowed here")
		}
		return nil
	}
	keywords := s.(map[string]any)
	object, isObject := v.(map[string]any)
	list, isList := v.([]any)
	str, isString := v.(string)
	number, isNumber := v.(float64)
	for keyword, want := range keywords {
		var err error
		switch keyword {
		case "$schema", "title", "description", "default", "examples":
		case "type":
			types, ok := want.([]any)
			if !ok {
				types = []any{want}
			}
			if !slices.ContainsFunc(types, func(t any) bool {
				switch t {
				case "object":
					return isObject
				case "array":
					return isList
				case "string":
					return isString
				case "number":
					return isNumber
				case "integer":
					return isNumber && number == math.Trunc(number)
				case "boolean":
					_, ok := v.(bool)
					return ok
				}
				panic(t)
			}) {
				err = fmt.Errorf("%v is not a %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				err = fmt.Errorf("%v is none of %v", v, want)
			}
		case "const":
			if v != want {
				err = fmt.Errorf("%v is not %v", v, want)
			}
		case "pattern":
			if isString && !regexp.MustCompile(want.(string)).MatchString(str) {
				err = fmt.Errorf("%q does not match %v", str, want)
			}
		case "maxLength":
			if isString && float64(len([]rune(str))) > want.(float64) {
				err = fmt.Errorf("%q is too long", str)
			}
		case "minimum":
			if isNumber && number < want.(float64) {
				err = fmt.Errorf("%v is below %v", v, want)
			}
		case "maximum":
			if isNumber && number > want.(float64) {
				err = fmt.Errorf("%v is above %v", v, want)
			}
		case "minItems":
			if isList && float64(len(list)) < want.(float64) {
				err = fmt.Errorf("%v has too few items", v)
			}
		case "maxItems":
			if isList && float64(len(list)) > want.(float64) {
				err = fmt.Errorf("%v has too many items", v)
			}
		case "minProperties":
			if isObject && float64(len(object)) < want.(float64) {
				err = fmt.Errorf("%v has too few keys", v)
			}
		case "maxProperties":
			if isObject && float64(len(object)) > want.(float64) {
				err = fmt.Errorf("%v has too many keys", v)
			}
		case "items":
			for _, item := range list {
				if err == nil {
					err = validate(want, item)
				}
			}
		case "required":
			for _, key := range want.([]any) {
				if _, ok := object[key.(string)]; isObject && !ok {
					err = fmt.Errorf("%v is missing", key)
				}
			}
		case "propertyNames":
			for key := range object {
				if err == nil {
					err = validate(want, key)
				}
			}
		case "properties":
			for key, sub := range want.(map[string]any) {
				if value, ok := object[key]; ok && err == nil {
					err = validate(sub, value)
				}
			}
		case "additionalProperties":
			known, _ := keywords["properties"].(map[string]any)
			for key, value := range object {
				if _, ok := known[key]; !ok && err == nil {
					err = validate(want, value)
				}
			}
		case "not":
			if validate(want, v) == nil {
				err = fmt.Errorf("%v is not allowed", v)
			}
		case "if":
			branch := keywords["then"]
			if validate(want, v) != nil {
				branch = keywords["else"]
			}
			if branch != nil {
				err = validate(branch, v)
			}
		case "allOf":
			for _, sub := range want.([]any) {
				if err == nil {
					err = validate(sub, v)
				}
			}
		case "anyOf":
			ok := false
			for _, e := range want.([]any) {
				ok = ok || validate(e, v) == nil
			}
			if !ok {
				err = fmt.Errorf("%v is none of %v", v, want)
			}
		case "then", "else":
		default:
			err = fmt.Errorf("the test does not know the keyword %q", keyword)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestSchemaAgreesWithParse(t *testing.T) {
	var s any
	if err := json.Unmarshal(manifest.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	const (
		both    = "both take it"
		neither = "both refuse it"
		parser  = "only the parser refuses it" // what a schema cannot say
	)
	tests := []struct{ in, want string }{
		{whole, both},
		{"app: a", both},
		{"app: a\nroutes: {}\nfunctions: {}", both},
		{routed("GET /a: f", "ANY /{b}: f", "'* /{c...}': f"), both},
		{function("env: {A: 1, B: true, C: 1.5, D: x}"), both},
		{function("command: [a, 1, true]", "ready: tcp"), both},
		{function("concurrency: {prewarm: off, schedule: [{cron: 0 8 * * MON-FRI, timezone: Europe/Berlin, provisioned: 3}]}"), both},
		{function("concurrency: {prewarm: auto}"), both},
		{node("handler: a.b", "build: {minify: true, sourcemap: false, external: [a, '@b/*'], include: [t]}"), both},
		{node("handler: a.b", "layers: [a]") + "layers: {a: {source: b, runtime: python@3.12, exclude: [x]}}", both},
		{function("interpreter: python@3.9", "layers: [a]") + "layers: {a: {source: b.zip}}", both},
		{function("timeout: 1m30.5s", "memory: 2GB", "idle: 0s"), both},

		{"{}", neither},
		{"app: 5", neither},
		{"app: A", neither},
		{"app: -a", neither},
		{"app: " + strings.Repeat("a", 65), neither},
		{"app: a\nqueues: {}", neither},
		{"app: a\nfunctions: [a]", neither},
		{"app: a\nfunctions: {a.b: {runtime: go, source: .}}", neither},
		{"app: a\nfunctions: {f: {source: .}}", neither},
		{"app: a\nfunctions: {f: {runtime: go}}", neither},
		{"app: a\nfunctions: {f: {runtime: node, source: .}}", neither},
		{"app: a\nfunctions: {f: {runtime: node@, source: ., handler: a.b}}", neither},
		{"app: a\nfunctions: {f: {runtime: node@20.1, source: ., handler: a.b}}", neither},
		{"app: a\nfunctions: {f: {runtime: python@2.7, source: ., handler: a.b}}", neither},
		{"app: a\nfunctions: {f: {runtime: go@1.26, source: .}}", neither},
		{"app: a\nfunctions: {f: {runtime: nodejs20.x, source: ., handler: a.b}}", neither},
		{"app: a\nfunctions: {f: {runtime: go, source: ., handler: a.b}}", neither},
		{"app: a\nfunctions: {f: {runtime: go, source: ., interpreter: node}}", neither},
		{"app: a\nfunctions: {f: {runtime: node, source: ., handler: a.b, interpreter: node}}", neither},
		{function("interpreter: go"), neither},
		{function("layers: []"), neither},
		{function("layers: [A]"), neither},
		{function("layers: [a, b, c, d, e, f]"), neither},
		{function("build: {bundel: true}"), neither},
		{function("build: {bundle: 'true'}"), neither},
		{function("build: {bundle: yes}"), neither},
		{function("build: {external: []}"), neither},
		{function("build: []"), neither},
		{"app: a\nlayers: {A: {source: .}}", neither},
		{"app: a\nlayers: {a: {}}", neither},
		{"app: a\nlayers: {a: {source: ., runtime: go}}", neither},
		{"app: a\nlayers: []", neither},
		{"app: a\nfunctions: {f: {runtime: go, source: /a}}", neither},
		{"app: a\nfunctions: {f: {runtime: go, source: ''}}", neither},
		{"app: a\nfunctions: {f: {runtime: go, source: ., command: [a]}}", neither},
		{"app: a\nfunctions: {f: {runtime: provided, source: ., ready: /a}}", neither},
		{function("memory: 128"), neither},
		{function("memory: 128mb"), neither},
		{function("timeout: 10"), neither},
		{function("timeout: 10us"), neither},
		{function("timeout: -10s"), neither},
		{function("timeout: [10s]"), neither},
		{function("memroy: 1GB"), neither},
		{function("handler: x"), neither},
		{function("command: []"), neither},
		{function("command: ./x"), neither},
		{function("command: [[a]]"), neither},
		{function("ready: udp"), neither},
		{function("description: 5"), neither},
		{function("description: " + strings.Repeat("x", 257)), neither},
		{function("cpu: none"), neither},
		{function("network: private"), neither},
		{function("network: a:1"), neither},
		{function("network: []"), neither},
		{function("network: [a]"), neither},
		{function("network: [a:0]"), neither},
		{function("network: internet"), both},
		{function("network: [a:1, 10.0.0.0/8:65535]"), both},
		{function("env: {1A: x}"), neither},
		{function("env: {A: [x]}"), neither},
		{function("env: {A: }"), neither},
		{function("concurrency: 5"), neither},
		{function("concurrency: {reserved: -1}"), neither},
		{function("concurrency: {reserved: '1'}"), neither},
		{function("concurrency: {reserved: 1.5}"), neither},
		{function("concurrency: {per_environment: 0}"), neither},
		{function("concurrency: {per_environment: 1001}"), neither},
		{function("concurrency: {queue: {wait: 1s}}"), neither},
		{function("concurrency: {queue: {size: 10001}}"), neither},
		{function("concurrency: {schedule: []}"), neither},
		{function("concurrency: {schedule: [{cron: 0 8 * * *}]}"), neither},
		{function("concurrency: {schedule: [{cron: 0 8 * * *, provisioned: 1, x: 1}]}"), neither},
		{function("concurrency: {prewarm: true}"), neither},
		{function("concurrency: {schedule: [{cron: x, provisioned: 1}]}"), parser},
		{routed("FETCH /a: f"), neither},
		{routed("/a: f"), neither},
		{routed("GET a: f"), neither},
		{routed("GET /a: {to: f}"), neither},
		{routed("GET /a: 'a b'"), neither},

		{function("policy: [{allow: lambda:InvokeFunction, on: function:f}]"), both},
		{function("policy: [{deny: [lambda:*, s3:Get*], on: ['*', arn:aws:s3:::b], sid: No1, when: {StringEquals: {aws:PrincipalTag/team: [a, 1, true]}, Bool: {aws:SecureTransport: true}}}]"), both},
		{function("policy: []"), neither},
		{function("policy: {allow: lambda:InvokeFunction, on: function:f}"), neither},
		{function("policy: [{allow: lambda:InvokeFunction}]"), neither},
		{function("policy: [{on: function:f}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, deny: lambda:GetFunction, on: function:f}]"), neither},
		{function("policy: [{allow: [], on: function:f}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, sid: a b}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, when: []}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, when: {StringEquals: {}}}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, when: {StringEquals: {a:b: []}}}]"), neither},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, when: {'No!': {a:b: c}}}]"), neither},
		{function("policy: [{allow: lambda:InvokeFuntion, on: function:f}]"), parser},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:g}]"), parser},
		{function("policy: [{allow: lambda:InvokeFunction, on: function:f, when: {Numeric: {a:b: c}}}]"), parser},
		{function("layers: [a, a]") + "layers: {a: {source: .}}", parser},
		{function("layers: [a]"), parser},
		{"app: a\nlayers: {a: {source: .}}", parser},
		{function("build: {minify: true}"), parser},
		{"app: a\nfunctions: {f: {runtime: go, source: ., build: {exclude: [a]}}}", parser},
		{function("memory: 64MB"), parser},
		{function("timeout: 1h"), parser},
		{function("env: {PORT: 1}"), parser},
		{function("env: {A: '${x}'}"), parser},
		{function("concurrency: {reserved: 1, provisioned: 5, per_environment: 1}"), parser},
		{"app: a\nfunctions: {f: {runtime: go, source: a.zip}}", parser},
		{routed("GET /a: g"), parser},
		{routed("GET /{a}: f", "GET /{b}: f"), parser},
		{routed("GET /{a}/{a}: f"), parser},
		{routed("GET /a//b: f"), parser},
	}
	for _, test := range tests {
		var plain any
		if err := yaml.Unmarshal([]byte(test.in), &plain); err != nil {
			t.Fatalf("%v in\n%s", err, test.in)
		}
		// The way an editor sees it: as JSON.
		data, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatal(err)
		}
		bySchema := validate(s, plain)
		_, byParser := manifest.Parse("gust.yaml", []byte(test.in))
		if (bySchema == nil) != (test.want != neither) || (byParser == nil) != (test.want == both) {
			t.Errorf("want that %s, but the schema says %v and the parser %v about\n%s", test.want, bySchema, byParser, test.in)
		}
	}
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	var walk func(path string, s map[string]any)
	keys := 0
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		for key, sub := range properties {
			keys++
			sub := sub.(map[string]any)
			if sub["description"] == nil || sub["type"] == nil {
				t.Errorf("%s.%s has no description or no type", path, key)
			}
			if !bytes.Contains(manifest.Reference(), []byte("| `"+key+"` |")) {
				t.Errorf("the reference lacks %s.%s", path, key)
			}
			walk(path+"."+key, sub)
		}
		if sub, ok := s["additionalProperties"].(map[string]any); ok {
			walk(path+".*", sub)
		}
	}
	var s map[string]any
	if err := json.Unmarshal(manifest.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	walk("", s)
	if keys < 20 {
		t.Errorf("only %d keys", keys)
	}
	if !bytes.Equal(manifest.Schema(), manifest.Schema()) {
		t.Error("two schemas are not the same")
	}
}
