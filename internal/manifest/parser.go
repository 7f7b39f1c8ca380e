package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// spot is a place in a manifest: its path, and where its key stands (an item of
// a list: where it begins).
type spot struct {
	path         string
	line, column int
}

// parser reads one manifest.
type parser struct {
	file     string
	problems Problems
	// spots are the places that were read, by path, and broken are those of
	// them that something was reported about.
	spots  map[string]spot
	broken map[string]bool
}

// declaration is what the fields of the table write to: the manifest, and the
// function or the layer that is being read.
type declaration struct {
	manifest *Manifest
	function *gust.Function
	layer    *Layer
	source   *Source
	bundle   *bool // what build says about it
}

// report notes a problem at a place.
func (p *parser) report(at spot, text string) {
	if at.path != "" {
		p.broken[at.path] = true
		text = at.path + ": " + text
	}
	p.problems = append(p.problems, Problem{File: p.file, Line: at.line, Column: at.column, Text: text})
}

// wrong reports that n is not what was wanted: "want a size such as 256MB, got
// a list".
func (p *parser) wrong(at spot, want string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode { // reported by survey
		p.broken[at.path] = true
		return
	}
	p.report(at, "want "+want+", got "+describe(n))
}

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case n.ShortTag() == "!!bool":
		return cut(n.Value) + ", which YAML reads as true or false"
	case n.ShortTag() == "!!int" || n.ShortTag() == "!!float":
		return "the number " + cut(n.Value)
	default:
		return rules.Quote(n.Value)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// entry is one key of a mapping with its value.
type entry struct {
	at    spot
	key   string
	value *yaml.Node
}

// items returns what a list holds, at least one, or nil and reports why not;
// want says what the list should be.
func (p *parser) items(at spot, n *yaml.Node, want string) []entry {
	if n.Kind != yaml.SequenceNode {
		p.wrong(at, want, n)
		return nil
	}
	if len(n.Content) == 0 {
		p.report(at, "the list is empty: want "+want)
		return nil
	}
	list := make([]entry, len(n.Content))
	for i, item := range n.Content {
		here := spot{path: fmt.Sprintf("%s[%d]", at.path, i), line: item.Line, column: item.Column}
		p.spots[here.path] = here
		list[i] = entry{at: here, value: item}
	}
	return list
}

// entries returns what a mapping holds, each key once. It reports what is no
// key, and keys that stand twice; want says what the mapping should be.
func (p *parser) entries(at spot, n *yaml.Node, want string) ([]entry, bool) {
	if n.Kind != yaml.MappingNode {
		p.wrong(at, want, n)
		return nil, false
	}
	list := make([]entry, 0, len(n.Content)/2)
	first := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		here := spot{path: at.path, line: key.Line, column: key.Column}
		switch {
		case key.Kind == yaml.AliasNode || key.Tag == "!!merge": // reported by survey
			continue
		case key.Kind != yaml.ScalarNode || isNull(key):
			p.problems = append(p.problems, Problem{File: p.file, Line: here.line, Column: here.column,
				Text: strings.TrimPrefix(at.path+": ", ": ") + "want a word as a key, got " + describe(key)})
			continue
		}
		here.path = rules.Join(at.path, key.Value)
		if line, twice := first[key.Value]; twice {
			p.report(here, fmt.Sprintf("the key stands twice, the first time in line %d: keep one", line))
			continue
		}
		first[key.Value] = here.line
		p.spots[here.path] = here
		list = append(list, entry{at: here, key: key.Value, value: n.Content[i+1]})
	}
	return list, true
}

// check runs the domain's validator over what was read and places what it
// finds. What is known to be broken is not reported again.
func (p *parser) check(app *gust.App) {
	if p.broken["functions"] {
		// Any route would lead to a function that could not be read.
		known := *app
		known.Routes = nil
		app = &known
	}
	for _, v := range rules.Check(app) {
		at, whole := spot{}, false
		for path := v.Path; path != ""; path = parent(path) {
			whole = whole || p.broken[path]
			if s, ok := p.spots[path]; ok && at.line == 0 {
				at = s
			}
		}
		if !whole {
			p.problems = append(p.problems, Problem{File: p.file, Line: max(at.line, 1), Column: max(at.column, 1), Text: v.String()})
		}
	}
}

// parent cuts the last key off a path. A quoted key with dots in it takes some
// steps more.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// finish returns the problems in order, or nil when there are none.
func (p *parser) finish() error {
	if len(p.problems) == 0 {
		return nil
	}
	p.problems.sort()
	return slices.Compact(p.problems)
}
