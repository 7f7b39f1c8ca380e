package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// runtimeWord is a runtime, for node and python with the version of the
// interpreter if one is asked for: "node@20".
type runtimeWord struct {
	of  []gust.Runtime
	set func(d *declaration, runtime gust.Runtime, interpreter string)
}

func (v runtimeWord) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.wrong(at, v.words(), n)
		return
	}
	name, version, versioned := strings.Cut(n.Value, "@")
	runtime := gust.Runtime(name)
	if !slices.Contains(v.of, runtime) {
		wrong := lambdaName(n.Value)
		if wrong == "" {
			wrong = rules.Choice(name, v.of...)
		}
		p.report(at, wrong)
		return
	}
	if !slices.Contains(handled, runtime) {
		if versioned {
			p.report(at, fmt.Sprintf("runtime %s has no versions: write %s", name, name))
			return
		}
		v.set(d, runtime, "")
		return
	}
	if wrong := checkVersion(runtime, version); versioned && wrong != "" {
		p.report(at, wrong)
		return
	}
	v.set(d, runtime, n.Value)
}

// The forms of versions: a major of Node.js, a minor of Python 3.
var (
	nodeVersion   = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)
	pythonVersion = regexp.MustCompile(`^3\.(0|[1-9][0-9]{0,2})$`)
	digits        = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
)

// checkVersion says what is wrong with an interpreter's version, or returns "".
func checkVersion(runtime gust.Runtime, version string) string {
	switch {
	case runtime == gust.RuntimeNode && !nodeVersion.MatchString(version):
		return fmt.Sprintf("%s is no version of node: want its major version, such as node@22", rules.Quote(version))
	case runtime == gust.RuntimePython && !pythonVersion.MatchString(version):
		return fmt.Sprintf("%s is no version of python: want one such as python@3.12", rules.Quote(version))
	}
	return ""
}

// lambdaName says what a runtime is called here that Lambda, or another version
// of Gust, has by this name, or returns "".
func lambdaName(word string) string {
	name := strings.ToLower(word)
	version := digits.FindString(name)
	is := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	theirs := fmt.Sprintf("%s is Lambda's name: write ", rules.Quote(word))
	switch {
	case is("nodejs") && version != "":
		major, _, _ := strings.Cut(version, ".")
		return theirs + "node@" + major
	case version != "" && (is("node"+version) || is("node:"+version) || is("node-"+version)):
		return fmt.Sprintf("there is no runtime %s: write node@%s", rules.Quote(word), version)
	case name == "nodejs":
		return fmt.Sprintf("there is no runtime %s: write node", rules.Quote(word))
	case is("python3."):
		return theirs + "python@" + version
	case version != "" && (is("python"+version) || is("python:"+version) || is("python-"+version)):
		return fmt.Sprintf("there is no runtime %s: write python@3.N", rules.Quote(word))
	case is("provided."):
		return theirs + "provided"
	case is("go1"):
		return theirs + "go, which gust builds"
	case is("java") && !is("javascript"), is("dotnet"), is("ruby"):
		return fmt.Sprintf("there is no runtime %s: such a program runs as runtime provided, by an executable named bootstrap that starts it with the vendor's runtime client", rules.Quote(word))
	case is("javascript"), is("typescript"):
		return fmt.Sprintf("there is no runtime %s: write node", rules.Quote(word))
	case is("rust"):
		return "runtime rust is not built yet in this version of gust: build the program to an executable named bootstrap, and use runtime provided"
	case is("wasm"), is("image"):
		return notBuilt("runtime "+cut(word), "want "+strings.Join(names(gust.Runtimes), ", "))
	}
	return ""
}

func (v runtimeWord) words() string {
	words := names(v.of)
	for i, w := range words {
		switch gust.Runtime(w) {
		case gust.RuntimeNode:
			words[i] = "node (or node@22)"
		case gust.RuntimePython:
			words[i] = "python (or python@3.12)"
		}
	}
	return choice{of: words}.words()
}

func (v runtimeWord) schema() *schema {
	var words []string
	s := &schema{Type: "string"}
	for _, r := range v.of {
		switch r {
		case gust.RuntimeNode:
			words = append(words, "node(@[1-9][0-9]{0,2})?")
			s.Examples = append(s.Examples, "node@22", "node")
		case gust.RuntimePython:
			words = append(words, `python(@3\.(0|[1-9][0-9]{0,2}))?`)
			s.Examples = append(s.Examples, "python@3.12", "python")
		default:
			words = append(words, string(r))
			s.Examples = append(s.Examples, string(r))
		}
	}
	s.Pattern = "^(" + strings.Join(words, "|") + ")$"
	return s
}

// checkHandler reports a handler that is missing, and an interpreter that the
// runtime has no use for.
func (p *parser) checkHandler(at spot, f *gust.Function) {
	path := rules.Join(at.path, "handler")
	_, written := p.spots[path]
	interpreter, chosen := p.spots[rules.Join(at.path, "interpreter")]
	switch {
	case chosen && slices.Contains(handled, f.Runtime):
		p.report(interpreter, fmt.Sprintf("runtime %s says itself what runs it: leave the interpreter out, or write its version into the runtime", f.Runtime))
	case chosen && f.Runtime == gust.RuntimeGo:
		p.report(interpreter, "a program of runtime go needs no interpreter: leave it out")
	}
	if written || !slices.Contains(handled, f.Runtime) {
		return
	}
	example := "index.handler for index.js or index.ts with exports.handler"
	if f.Runtime == gust.RuntimePython {
		example = "app.handler for app.py with def handler(event, context)"
	}
	p.broken[path] = true
	p.report(at, fmt.Sprintf("the key \"handler\" is missing: it is the module and the function that runtime %s calls, such as %s", f.Runtime, example))
}

// checkBuild reports what a function's build says and its runtime does not do,
// and fills in the defaults.
func (p *parser) checkBuild(path string, f *gust.Function, d *declaration, isZip bool) {
	b := &d.source.Build
	node, _, _ := strings.Cut(f.Interpreter, "@")
	bundles := f.Runtime == gust.RuntimeNode || f.Runtime == gust.RuntimeHTTP && node == "node" && len(f.Command) > 0
	b.Bundle = f.Runtime == gust.RuntimeNode && !isZip
	if d.bundle != nil {
		b.Bundle = *d.bundle
	}
	b.SourceMap = b.SourceMap && b.Bundle
	refuse := func(key, text string) {
		at, written := p.spots[rules.Join(path, key)]
		if written && !p.broken[at.path] {
			p.report(at, text)
		}
	}
	if at, written := p.spots[path]; written && (f.Runtime == "" || p.broken[path]) {
		return
	} else if written && isZip {
		p.report(at, "a .zip is taken as it is: leave build out, or name the folder that it was made of")
		return
	} else if written && f.Runtime == gust.RuntimeGo {
		p.report(at, "runtime go has one way to be built: leave build out")
		return
	}
	if !bundles {
		if d.bundle != nil && *d.bundle {
			refuse("bundle", "only runtime node, and http with interpreter: node and a command, can be bundled: leave it out")
		}
	}
	if !b.Bundle {
		for _, key := range []string{"minify", "sourcemap", "external", "include"} {
			refuse(key, "it is for a bundle, and the source is packed as it is: leave it out, or write bundle: true")
		}
		return
	}
	refuse("exclude", "a bundle has only what is imported: leave it out, or write bundle: false")
}
