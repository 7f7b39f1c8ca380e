package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/manifest"
)

// needs skips a test of which a tool is not there, which says so.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s in PATH", tool)
		}
	}
}

// tarball is a package as npm packs one. Its packages are files of the test, so
// that nothing is asked of a registry.
func tarball(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(files[name]))})
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// elf is the head of a library for a processor.
func elf(machine byte) string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18] = 3, machine
	return string(head)
}

// locked writes the package-lock.json of a folder.
func locked(t *testing.T, root, dir string) string {
	t.Helper()
	cmd := exec.Command("npm", "install", "--package-lock-only", "--ignore-scripts", "--offline", "--no-audit", "--no-fund")
	cmd.Dir = filepath.Join(root, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	return root
}

func nodeFunction(handler string) *gust.Function {
	return &gust.Function{Name: "f", Runtime: gust.RuntimeNode, Interpreter: "node@20", Handler: handler}
}

// bundle is how a manifest's node functions are built.
var bundle = manifest.Build{Bundle: true, SourceMap: true}

func source(path string, b manifest.Build) manifest.Source {
	return manifest.Source{Path: path, Build: b}
}

// must builds a function, unpacks its artifact and returns the folder.
func must(t *testing.T, root string, f *gust.Function, src manifest.Source, o build.Options) (*build.Artifact, string) {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	o.GOARCH = "amd64"
	a, err := build.Build(t.Context(), root, f, src, o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "code")
	if err := artifact.Unpack(t.Context(), bytes.NewReader(data), int64(len(data)), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // its folders are read-only, and a test is not always root
		exec.Command("chmod", "-R", "u+w", dir).Run() //nolint:errcheck // removing it says what is wrong
	})
	return a, dir
}

// run runs a script by an interpreter in a folder.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return strings.TrimSpace(string(out))
}

// call loads a bundle and prints what its handler answers, or the stack of what
// it throws.
func call(t *testing.T, dir, file, event string) string {
	t.Helper()
	return run(t, dir, "node", "-e", `process.setSourceMapsEnabled(true);
import("file://" + require("path").resolve(process.argv[1])).then(m => m.handler(JSON.parse(process.argv[2])))
  .then(v => console.log(JSON.stringify(v)), e => console.log(e.stack))`, file, event)
}

// packages are what the tests' functions import.
func packages(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"lib/pure.tgz": tarball(t, map[string]string{
			"package.json": `{"name": "pure", "version": "1.0.0", "main": "cjs.js", "exports": {"import": "./esm.mjs", "require": "./cjs.js"}}`,
			"cjs.js":       `exports.used = s => s + " by require"; exports.unused = () => "SHAKEN";`,
			"esm.mjs":      `export const used = s => s + " by import"; export const unused = () => "SHAKEN";`,
		}),
		"lib/native.tgz": tarball(t, map[string]string{
			"package.json":                       `{"name": "native", "version": "1.0.0", "dependencies": {"helper": "*"}}`,
			"index.js":                           `exports.native = require("helper") + " " + require("fs").existsSync(__dirname + "/prebuilds/linux-x64/a.node");`,
			"src/a.cc":                           "// never runs",
			"prebuilds/linux-x64/a.node":         elf(62),
			"prebuilds/linux-arm64/a.node":       elf(183),
			"prebuilds/darwin-x64+arm64/a.node":  "\xcf\xfa\xed\xfe",
			"prebuilds/linux-x64+arm64/all.node": elf(62),
		}),
		"lib/helper.tgz": tarball(t, map[string]string{
			"package.json": `{"name": "helper", "version": "1.0.0"}`,
			"index.js":     `module.exports = "helped";`,
		}),
		"lib/dev.tgz": tarball(t, map[string]string{"package.json": `{"name": "dev", "version": "1.0.0"}`, "index.js": ""}),
	}
}

// with adds files to a copy of others.
func with(files map[string]string, more map[string]string) map[string]string {
	all := maps.Clone(files)
	maps.Copy(all, more)
	return all
}

// typescript is a function with dependencies of all kinds.
func typescript(t *testing.T) map[string]string {
	return with(packages(t), map[string]string{
		"fn/package.json": `{"name": "fn", "scripts": {"postinstall": "exit 1"}, "dependencies": {"pure": "file:../lib/pure.tgz", "native": "file:../lib/native.tgz", "helper": "file:../lib/helper.tgz"},
			"devDependencies": {"dev": "file:../lib/dev.tgz"}}`,
		"fn/src/index.ts": `import { used } from "pure";
import { native } from "native";
import { check } from "./check";
import query from "./query.sql";

export const handler = async (e: { name?: string }) => [used(check(e.name)), native, query];
`,
		"fn/src/check.ts": `export function check(name?: string): string {
  if (!name) {
    throw new TypeError("no name");
  }
  return name;
}
`,
		"fn/src/query.sql": "select 1",
		"fn/test/a.ts":     "this is no TypeScript",
	})
}

func TestNodeBundle(t *testing.T) {
	needs(t, "npm", "node")
	root := locked(t, tree(t, typescript(t)), "fn")
	a, dir := must(t, root, nodeFunction("src/index.handler"), source("./fn", bundle), build.Options{})

	want := []string{
		"node_modules/helper/index.js", "node_modules/helper/package.json",
		"node_modules/native/index.js", "node_modules/native/package.json",
		"node_modules/native/prebuilds/linux-x64+arm64/all.node", "node_modules/native/prebuilds/linux-x64/a.node",
		"src/index.cjs", "src/index.cjs.map",
	}
	if got := names(t, a); !slices.Equal(got, want) {
		t.Errorf("the artifact has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := call(t, dir, "src/index.cjs", `{"name": "Ada"}`); got != `["Ada by import","helped true","select 1"]` {
		t.Errorf("the handler answers %s", got)
	}
	if got := call(t, dir, "src/index.cjs", `{}`); !strings.Contains(got, "TypeError: no name\n") || !strings.Contains(got, "/src/check.ts:3:11)") || !strings.Contains(got, "/src/index.ts:6:") {
		t.Errorf("the stack is not of the source:\n%s", got)
	}
	code, err := os.ReadFile(filepath.Join(dir, "src/index.cjs"))
	if err != nil || bytes.Contains(code, []byte("SHAKEN")) {
		t.Errorf("what nobody imports is in the bundle (%v)", err)
	}
	// What is large is told by what was bundled, not by the bundle.
	parts := make(map[string]int64)
	for _, p := range a.Parts {
		parts[p.Name] = p.Size
	}
	if parts["node_modules/pure"] == 0 || parts["node_modules/native"] == 0 || parts["src/"] == 0 || a.Files != len(want) {
		t.Errorf("%d files of %v", a.Files, parts)
	}
	// The source is as it was.
	for _, name := range []string{"fn/node_modules", "fn/src/index.cjs"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("building left %s in the source", name)
		}
	}
}

// TestNodeIsReproducible: the same source makes the same artifact, wherever it
// and the cache are, whenever it was written, and whoever may read it.
func TestNodeIsReproducible(t *testing.T) {
	needs(t, "npm", "node")
	files := typescript(t)
	first := locked(t, tree(t, files), "fn")
	lock, err := os.ReadFile(filepath.Join(first, "fn/package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	second := tree(t, map[string]string{"x": ""})
	second = filepath.Join(second, "some", "where else")
	files["fn/package-lock.json"] = string(lock)
	for name, body := range files {
		file := filepath.Join(second, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(body), 0o600)); err != nil {
			t.Fatal(err)
		}
		old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
	}
	// A development installation beside the source must not be looked at.
	if err := os.MkdirAll(filepath.Join(second, "fn/node_modules/pure"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "fn/node_modules/pure/index.js"), []byte("throw 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]manifest.Build{"a bundle": bundle, "minified": {Bundle: true, Minify: true}, "whole": {}} {
		var digests []gust.Digest
		handler := "src/index.handler"
		if !b.Bundle {
			handler = "main.handler"
			for _, root := range []string{first, second} {
				if err := os.WriteFile(filepath.Join(root, "fn/main.js"), []byte("exports.handler = 1"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, root := range []string{first, second} {
			a, _ := must(t, root, nodeFunction(handler), source("fn", b), build.Options{CacheDir: filepath.Join(t.TempDir(), "a cache")})
			digests = append(digests, a.Digest)
		}
		if digests[0] != digests[1] {
			t.Errorf("%s: the same source makes two artifacts", name)
		}
	}
}

func TestNodeModules(t *testing.T) {
	needs(t, "npm", "node")
	esm := `import { used } from "pure";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
const require = createRequire(import.meta.url);
const __dirname = dirname(fileURLToPath(import.meta.url));
import legacy from "./legacy.cjs";
const top = await Promise.resolve("top");
export const handler = async () => [used("a"), typeof require, __dirname === legacy.dir, legacy.name, top];
`
	legacy := `const path = require("path"); module.exports = { dir: __dirname, name: path.basename(__filename) };`
	local := map[string]string{
		"package.json":              `{"name": "root", "private": true, "workspaces": ["packages/*"]}`,
		"packages/lib/package.json": `{"name": "@our/lib", "version": "1.0.0", "exports": {".": "./src/main.ts"}, "dependencies": {"pure": "file:../../lib/pure.tgz"}}`,
		"packages/lib/src/main.ts":  `import { used } from "pure"; export const lib = (s: string): string => used(s) + " in lib";`,
		"packages/fn/package.json":  `{"name": "fn", "version": "1.0.0", "type": "module", "dependencies": {"@our/lib": "1.0.0"}}`,
		"packages/fn/index.ts":      `import { lib } from "@our/lib"; export const handler = async () => lib("a");`,
	}
	tests := []struct {
		name    string
		files   map[string]string
		lock    string // the folder that has one
		source  string
		handler string
		build   manifest.Build
		file    string
		want    string
	}{
		{"ES modules, with what CommonJS expects", map[string]string{
			"fn/package.json": `{"type": "module", "dependencies": {"pure": "file:../lib/pure.tgz"}}`, "fn/index.js": esm, "fn/legacy.cjs": legacy,
		}, "fn", "fn", "index.handler", bundle, "index.mjs", `["a by import","function",true,"index.mjs","top"]`},
		{"an .mts file without a package.json", map[string]string{"fn/a/index.mts": `export const handler = async (): Promise<number> => 1;`},
			"", "fn", "a/index.handler", bundle, "a/index.mjs", "1"},
		{"JavaScript with import and without a package.json", map[string]string{"fn/index.js": `import { sep } from "path"; export const handler = async () => sep;`},
			"", "fn", "index.handler", bundle, "index.cjs", `"/"`},
		{"a path of tsconfig.json", map[string]string{
			"fn/tsconfig.json": `{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}`, "fn/src/a.ts": `export const a = 2;`,
			"fn/index.ts": `import { a } from "@/a"; export const handler = async () => a;`,
		}, "", "fn", "index.handler", bundle, "index.cjs", "2"},
		{"a module beside the source", map[string]string{"shared/a.ts": `export const a = 3;`, "fn/index.ts": `import { a } from "../shared/a"; export const handler = async () => a;`},
			"", "fn", "index.handler", bundle, "index.cjs", "3"},
		{"a package of the workspace, from its sources", local, "", "packages/fn", "index.handler", bundle, "index.mjs", `"a by import in lib"`},
		{"a package that stays outside", map[string]string{
			"fn/package.json": `{"dependencies": {"pure": "file:../lib/pure.tgz"}}`, "fn/index.js": `const { used } = require("pure"); exports.handler = async () => used("a");`,
		}, "fn", "fn", "index.handler", manifest.Build{Bundle: true, External: []string{"pu*"}}, "index.cjs", `"a by require"`},
		{"files beside the bundle", map[string]string{
			"fn/index.js":       `const fs = require("fs"); exports.handler = async () => fs.readdirSync(__dirname + "/templates").length + fs.readdirSync(__dirname + "/docs").length;`,
			"fn/templates/a/b":  "x",
			"fn/templates/c":    "x",
			"fn/docs/a.md":      "x",
			"fn/docs/not.txt":   "x",
			"fn/other/a.md":     "x",
			"fn/docs/deep/a.md": "x",
		}, "", "fn", "index.handler", manifest.Build{Bundle: true, Include: []string{"templates", "docs/*.md"}}, "index.cjs", "3"},
		{"the folder as it is", map[string]string{
			"fn/package.json": `{"dependencies": {"native": "file:../lib/native.tgz", "helper": "file:../lib/helper.tgz"}}`,
			"fn/index.js":     `exports.handler = async () => [require("native").native, require("fs").readdirSync(__dirname).join()];`, "fn/test/a.js": "x", "fn/README.md": "x",
		}, "fn", "fn", "index.handler", manifest.Build{Exclude: []string{"test", "*.md"}}, "index.js", `["helped true","index.js,node_modules,package-lock.json,package.json"]`},
		{"names of classes, minified", map[string]string{"fn/index.ts": `class NotFound extends Error {} export const handler = async () => new NotFound().constructor.name;`},
			"", "fn", "index.handler", manifest.Build{Bundle: true, Minify: true}, "index.cjs", `"NotFound"`},
	}
	cache := t.TempDir()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, with(packages(t), test.files))
			if test.lock != "" || test.source == "packages/fn" {
				locked(t, root, test.lock)
			}
			_, dir := must(t, root, nodeFunction(test.handler), source(test.source, test.build), build.Options{CacheDir: cache})
			if got := call(t, dir, test.file, "{}"); got != test.want {
				t.Errorf("the handler answers %s, want %s", got, test.want)
			}
		})
	}
	// Nothing that was half made is left of all that.
	for _, folder := range []string{"artifacts", "deps"} {
		left, err := filepath.Glob(filepath.Join(cache, folder, ".*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
}

func TestNodeForHTTP(t *testing.T) {
	needs(t, "npm", "node")
	root := locked(t, tree(t, with(packages(t), map[string]string{
		"fn/package.json": `{"dependencies": {"pure": "file:../lib/pure.tgz"}}`,
		"fn/server.ts":    `import { used } from "pure"; console.log(used("a") as string);`,
		"fn/plain.js":     `console.log(require("pure").used("a"));`,
	})), "fn")
	f := &gust.Function{Name: "f", Runtime: gust.RuntimeHTTP, Interpreter: "node@20", Command: []string{"node", "server.js"}}
	a, dir := must(t, root, f, source("fn", manifest.Build{Bundle: true}), build.Options{})
	if got := names(t, a); !slices.Equal(got, []string{"server.js"}) {
		t.Errorf("the artifact has %q", got)
	}
	if got := run(t, dir, "node", "server.js"); got != "a by import" {
		t.Error(got)
	}
	f.Command = []string{"node", "plain.js"}
	_, dir = must(t, root, f, source("fn", manifest.Build{}), build.Options{})
	if got := run(t, dir, "node", "plain.js"); got != "a by require" {
		t.Error(got)
	}
}

func TestNodeWarnings(t *testing.T) {
	needs(t, "npm", "node")
	root := tree(t, with(packages(t), map[string]string{
		"fn/package.json": `{"dependencies": {"pure": "file:../lib/pure.tgz"}}`, "fn/index.js": `exports.handler = () => require("pure");`}))
	a, _ := must(t, root, nodeFunction("index.handler"), source("fn", bundle), build.Options{})
	if len(a.Warnings) != 1 || !strings.HasPrefix(a.Warnings[0], "fn has no lockfile") {
		t.Errorf("the warnings are %q", a.Warnings)
	}
}

func TestNodeErrors(t *testing.T) {
	needs(t, "npm", "node")
	one := func(code string, more ...string) map[string]string {
		files := map[string]string{"fn/index.ts": code}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	tests := []struct {
		name    string
		files   map[string]string
		handler string
		build   manifest.Build
		want    []string
	}{
		{"no module", one(""), "app.handler", bundle, []string{`function f: there is no app.ts, .js, .mjs or .cjs in fn, which the handler "app.handler" names`}},
		{"not TypeScript", one("const x = ;\nlet"), "index.handler", bundle, []string{"function f: bundling fn failed:\n", "fn/index.ts:1:11: Unexpected \";\""}},
		{"no such file", one(`import "./no"`), "index.handler", bundle, []string{`fn/index.ts:1:8: Could not resolve "./no"`}},
		{"no such package", one(`import "lodash"`), "index.handler", bundle, []string{`fn/index.ts:1:8: there is no package "lodash": list it in package.json (npm install lodash), or in build.external if it is there when the function runs`}},
		{"a package that only stands here", one(`import "@a/b/c"`, "fn/node_modules/@a/b/c.js", ""), "index.handler", bundle, []string{
			`the package "@a/b" is in a node_modules here, but no package.json lists it among its dependencies: run npm install @a/b`}},
		{"package.json that is none", one("", "fn/package.json", "{"), "index.handler", bundle, []string{"package.json is not a package.json: unexpected end of JSON input"}},
		{"a file that is not there", one("", "fn/package.json", `{"dependencies": {"a": "file:../a.tgz"}}`), "index.handler", bundle, []string{"names a as file:../a.tgz, which is not there"}},
		{"a lockfile of something else", one("", "fn/package.json", `{"dependencies": {"pure": "file:../lib/pure.tgz"}}`, "fn/package-lock.json", `{"lockfileVersion": 3, "packages": {"": {}}}`), "index.handler", bundle,
			[]string{"function f: npm ci in fn failed:\n", "are in sync", "gust ran it on a copy of package.json and its lockfile"}},
		{"a package manager that is not there", one("", "fn/package.json", `{"dependencies": {"a": "1"}}`, "fn/bun.lock", ""), "index.handler", bundle,
			[]string{"fn has bun.lock, and gust does not install by bun: run npm install --package-lock-only there and keep package-lock.json instead"}},
		{"TypeScript as it is", one(""), "index.handler", manifest.Build{}, []string{
			`the artifact has no file "index.js", "index.mjs" or "index.cjs", which the handler "index.handler" names`}},
		{"nothing to include", one(""), "index.handler", manifest.Build{Bundle: true, Include: []string{"templates"}}, []string{"build.include: there is no templates in fn"}},
		{"including what is elsewhere", one(""), "index.handler", manifest.Build{Bundle: true, Include: []string{"../x"}}, []string{`build.include: "../x" is no path in the source`}},
		{"a native module of another system", one("", "fn/index.js", "", "fn/a.node", "\xcf\xfa\xed\xfe"), "index.handler", manifest.Build{}, []string{
			`"a.node" is a library for macOS, but this node runs linux: install it for linux on amd64`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, with(packages(t), test.files))
			_, err := build.Build(t.Context(), root, nodeFunction(test.handler), source("fn", test.build), build.Options{CacheDir: t.TempDir(), GOARCH: "amd64"})
			if !errors.Is(err, gust.ErrInvalid) {
				t.Errorf("%v is not gust.ErrInvalid", err)
			}
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "fn/no\"") {
				t.Errorf("it looks where nobody asked: %v", err)
			}
		})
	}
}

// TestLayers: a layer's dependencies are where the interpreters look for them,
// and functions need not bundle what a layer brings.
func TestLayers(t *testing.T) {
	needs(t, "npm", "node")
	root := locked(t, tree(t, with(packages(t), map[string]string{
		"shared/package.json":           `{"dependencies": {"pure": "file:../lib/pure.tgz"}}`,
		"shared/nodejs/our.js":          `exports.our = 1;`,
		"plain/bin/tool":                "#!/bin/sh\n",
		"plain/nodejs/node_modules/x/i": "",
		"fn/index.js":                   `exports.handler = async () => require("pure").used(require("/opt/nodejs/our.js").our);`,
	})), "shared")
	layers := map[string]manifest.Layer{
		"shared": {Source: manifest.Source{Path: "./shared", Build: manifest.Build{Exclude: []string{"package*.json"}}}, Interpreter: "node"},
		"plain":  {Source: manifest.Source{Path: "./plain"}},
	}
	built, err := build.Layers(t.Context(), root, layers, build.Options{CacheDir: t.TempDir(), GOARCH: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"nodejs/node_modules/pure/cjs.js", "nodejs/node_modules/pure/esm.mjs", "nodejs/node_modules/pure/package.json", "nodejs/our.js"}
	if got := names(t, built["shared"]); !slices.Equal(got, want) {
		t.Errorf("the layer shared has %q", got)
	}
	if got := names(t, built["plain"]); !slices.Equal(got, []string{"bin/tool", "nodejs/node_modules/x/i"}) {
		t.Errorf("the layer plain has %q", got)
	}
	f := nodeFunction("index.handler")
	f.Layers = []gust.Layer{{Name: "shared"}}
	_, dir := must(t, root, f, source("fn", bundle), build.Options{Layers: layers})
	code, err := os.ReadFile(filepath.Join(dir, "index.cjs"))
	if err != nil || !bytes.Contains(code, []byte(`require("pure")`)) || !bytes.Contains(code, []byte(`require("/opt/nodejs/our.js")`)) {
		t.Errorf("%v:\n%s", err, code)
	}
	_, err = build.Layers(t.Context(), root, map[string]manifest.Layer{"none": {Source: manifest.Source{Path: "no"}}}, build.Options{CacheDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "layer none: the source no is not there") {
		t.Errorf("a layer that is not there: %v", err)
	}
}

// TestDependenciesAreInstalledOnce: for the same lockfile, whatever else changes,
// and however many build at once.
func TestDependenciesAreInstalledOnce(t *testing.T) {
	needs(t, "npm", "node")
	root := locked(t, tree(t, typescript(t)), "fn")
	cache := t.TempDir()
	app := &gust.App{Functions: map[string]*gust.Function{}}
	sources := map[string]manifest.Source{}
	for _, name := range []string{"a", "b", "c"} {
		app.Functions[name] = nodeFunction("src/index.handler")
		app.Functions[name].Name, app.Functions[name].Handler = name, "src/index."+name
		sources[name] = source("fn", bundle)
	}
	installed := 0
	o := build.Options{CacheDir: cache, GOARCH: "amd64", Progress: func(text string) {
		if strings.Contains(text, "installing") {
			installed++
		}
	}}
	for range 2 {
		if _, err := build.All(t.Context(), root, app, sources, o); err != nil {
			t.Fatal(err)
		}
		// A new script and a new source install nothing.
		var doc map[string]any
		data, err := os.ReadFile(filepath.Join(root, "fn/package.json"))
		if err == nil {
			err = json.Unmarshal(data, &doc)
		}
		doc["scripts"] = map[string]string{"test": "true"}
		data, merr := json.Marshal(doc)
		if err := errors.Join(err, merr, os.WriteFile(filepath.Join(root, "fn/package.json"), data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	deps, err := os.ReadDir(filepath.Join(cache, "deps"))
	if err != nil || len(deps) != 1 || installed != 1 {
		t.Errorf("installed %d times into %v: %v", installed, deps, err)
	}
	if got := path.Base(deps[0].Name()); len(got) != 64 {
		t.Errorf("left behind: %s", got)
	}
}
