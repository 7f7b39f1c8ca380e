package manifest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
	"github.com/gust-dev/gust/internal/suggest"
)

// value is a kind of value that a field can have: how it is read, and how the
// schema and the reference describe it.
type value interface {
	// read writes what n says to d, or reports why it cannot.
	read(p *parser, at spot, n *yaml.Node, d *declaration)
	// schema describes what read takes.
	schema() *schema
	// words is the kind in the reference: "a size, 128MB to 10GB".
	words() string
}

// notBuilt is how everything is refused that is in Gust's design but not in
// this version.
func notBuilt(what, hint string) string {
	return what + " is not built yet in this version of gust: " + hint
}

// object is a mapping whose keys are known.
type object struct {
	what   string
	fields []field
	// later are the keys that other versions will know, and what to do until
	// then.
	later map[string]string
	// begin and end, if set, run before and after the fields are read.
	begin func(*declaration)
	end   func(*parser, spot, *declaration)
}

func (o *object) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if o.begin != nil {
		o.begin(d)
	}
	list, ok := p.entries(at, n, o.words())
	if !ok {
		for _, f := range o.fields {
			p.broken[rules.Join(at.path, f.key)] = true
		}
		return
	}
	seen := make(map[string]bool, len(list))
	for _, e := range list {
		seen[e.key] = true
		if i := slices.IndexFunc(o.fields, func(f field) bool { return f.key == e.key }); i >= 0 {
			o.fields[i].value.read(p, e.at, e.value, d)
		} else if hint, later := o.later[e.key]; later {
			p.report(e.at, notBuilt(e.key, hint))
		} else {
			p.report(e.at, fmt.Sprintf("unknown key %s%s", rules.Quote(e.key), o.suggest(e.key)))
		}
	}
	for _, f := range o.fields {
		if f.required && !seen[f.key] {
			p.broken[rules.Join(at.path, f.key)] = true
			p.report(at, fmt.Sprintf("the key %q is missing: it is %s", f.key, f.value.words()))
		}
	}
	if o.end != nil {
		o.end(p, at, d)
	}
}

func (o *object) suggest(key string) string {
	keys := make([]string, len(o.fields))
	for i, f := range o.fields {
		keys[i] = f.key
	}
	if s := suggest.Word(key, slices.Values(keys)); s != "" {
		return s
	}
	return "; the keys here are " + strings.Join(keys, ", ")
}

func (o *object) words() string { return o.what }

// functions is the mapping of functions by name.
type functions struct{ each *object }

func (v functions) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	list, _ := p.entries(at, n, v.words())
	for _, e := range list {
		src := &Source{Build: Build{SourceMap: true}}
		f := &gust.Function{
			Name:      e.key,
			Memory:    rules.Memory.Default,
			Ephemeral: rules.Ephemeral.Default,
			CPU:       gust.CPUShared,
			Network:   gust.Network{Mode: gust.NetworkInternet},
			Idle:      rules.Idle.Default,
		}
		v.each.read(p, e.at, e.value, &declaration{manifest: d.manifest, function: f, source: src})
		if f.Timeout == 0 {
			f.Timeout = rules.Timeout.Default
			if f.Runtime == gust.RuntimeHTTP {
				f.Timeout = rules.DefaultHTTPTimeout
			}
		}
		d.manifest.App.Functions[e.key] = f
		if src.Path != "" {
			src.Line = p.spots[rules.Join(e.at.path, "source")].line
			d.manifest.Sources[e.key] = *src
		}
	}
}

func (v functions) words() string { return "a mapping of functions by name" }

// layers is the mapping of layers by name.
type layers struct{ each *object }

func (v layers) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	list, _ := p.entries(at, n, v.words())
	for _, e := range list {
		l := &Layer{}
		v.each.read(p, e.at, e.value, &declaration{manifest: d.manifest, layer: l, source: &l.Source})
		if wrong := rules.CheckLayerName(e.key); wrong != "" {
			p.report(e.at, wrong)
		}
		l.Line = p.spots[rules.Join(e.at.path, "source")].line
		d.manifest.Layers[e.key] = *l
	}
}

func (v layers) words() string { return "a mapping of layers by name" }

// checkLayers reports layers that functions list and nobody declares, and the
// other way round.
func (p *parser) checkLayers(m *Manifest) {
	if p.broken["layers"] || p.broken["functions"] {
		return
	}
	used := make(map[string]bool)
	for _, name := range m.App.FunctionNames() {
		at := rules.Join(rules.Join("functions", name), "layers")
		for i, l := range m.App.Functions[name].Layers {
			used[l.Name] = true
			if _, declared := m.Layers[l.Name]; !declared && rules.CheckLayerName(l.Name) == "" {
				p.report(p.spots[fmt.Sprintf("%s[%d]", at, i)], fmt.Sprintf("the manifest declares no layer named %s%s",
					rules.Quote(l.Name), suggest.Word(l.Name, maps.Keys(m.Layers))))
			}
		}
	}
	for name := range m.Layers {
		if at := p.spots[rules.Join("layers", name)]; !used[name] && !p.broken[at.path] {
			p.report(at, fmt.Sprintf("no function lists the layer: write layers: [%s] in one, or leave it out", name))
		}
	}
}

// text is a string that has to pass a check.
type text struct {
	what    string
	pattern string
	check   func(string) string // nil: package rules does it
	set     func(*declaration, string)
	max     int // characters, 0 is unbounded
	def     string
}

func (v text) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			p.report(at, fmt.Sprintf("want %s, got %s: put it in quotes", v.what, describe(n)))
			return
		}
		p.wrong(at, v.what, n)
		return
	}
	if v.check != nil {
		if wrong := v.check(n.Value); wrong != "" {
			p.report(at, wrong)
			return
		}
	}
	v.set(d, n.Value)
}

func (v text) words() string { return v.what }

// choice is one of some words.
type choice struct {
	of    []string
	later func(*yaml.Node) (what, hint string)
	set   func(*declaration, string)
	def   string
}

func (v choice) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if v.later != nil {
		if what, hint := v.later(n); what != "" {
			p.report(at, notBuilt(what, hint))
			return
		}
	}
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.wrong(at, v.words(), n)
		return
	}
	if wrong := rules.Choice(n.Value, v.of...); wrong != "" {
		p.report(at, wrong)
		return
	}
	v.set(d, n.Value)
}

func (v choice) words() string {
	if len(v.of) == 1 {
		return v.of[0]
	}
	return strings.Join(v.of[:len(v.of)-1], ", ") + " or " + v.of[len(v.of)-1]
}

// size is a number of bytes with its unit.
type size struct {
	bounds rules.Size
	set    func(*declaration, int64)
}

func (v size) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.wrong(at, "a size such as 256MB or 1GB", n)
		return
	}
	bytes, err := rules.ParseSize(n.Value)
	if err != nil {
		p.report(at, err.Error())
		return
	}
	if wrong := v.bounds.Check(bytes); wrong != "" {
		p.report(at, wrong)
		return
	}
	v.set(d, bytes)
}

func (v size) words() string {
	return "a size, " + rules.FormatSize(v.bounds.Min) + " to " + rules.FormatSize(v.bounds.Max)
}

// duration is a span of time with its units.
type duration struct {
	bounds rules.Duration
	set    func(*declaration, time.Duration)
	// note, if any, qualifies the default.
	note string
}

func (v duration) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.wrong(at, "a duration such as 10s", n)
		return
	}
	span, err := rules.ParseDuration(n.Value)
	if err != nil {
		p.report(at, err.Error())
		return
	}
	if wrong := v.bounds.Check(span); wrong != "" {
		p.report(at, wrong)
		return
	}
	v.set(d, span)
}

func (v duration) words() string {
	return "a duration, " + rules.FormatDuration(v.bounds.Min) + " to " + rules.FormatDuration(v.bounds.Max)
}

// count is a whole number.
type count struct {
	bounds rules.Count
	set    func(*declaration, int)
	// note, if any, stands for the default.
	note string
}

func (v count) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	want := "a whole number such as " + strconv.Itoa(max(v.bounds.Min, 10))
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			p.report(at, fmt.Sprintf("want %s, got the text %s: write it without quotes", want, rules.Quote(n.Value)))
			return
		}
		p.wrong(at, want, n)
		return
	}
	number, err := strconv.Atoi(n.Value)
	if err != nil || strconv.Itoa(number) != n.Value {
		p.report(at, fmt.Sprintf("want %s, in plain decimal digits, got %s", want, cut(n.Value)))
		return
	}
	if wrong := v.bounds.Check(number); wrong != "" {
		p.report(at, wrong)
		return
	}
	v.set(d, number)
}

func (v count) words() string {
	return fmt.Sprintf("a number, %d to %d", v.bounds.Min, v.bounds.Max)
}

// truth is true or false.
type truth struct {
	set func(*declaration, bool)
	// note stands for the default.
	note string
}

func (v truth) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" || n.ShortTag() != "!!bool" {
		p.wrong(at, "true or false", n)
		return
	}
	v.set(d, n.Value == "true")
}

func (truth) words() string { return "true or false" }

// list is a list of strings.
type list struct {
	what string
	set  func(*declaration, []string)
	// item, if any, is the form of a string, for the schema; most bounds how
	// many there are, 0 does not. Package rules, or who reads on, checks them.
	item string
	most int
}

func (v list) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	items := p.items(at, n, v.what)
	if items == nil {
		return
	}
	words := make([]string, 0, len(items))
	for _, e := range items {
		if e.value.Kind != yaml.ScalarNode || isNull(e.value) {
			p.wrong(e.at, "text", e.value)
			continue
		}
		words = append(words, e.value.Value)
	}
	v.set(d, words)
}

func (v list) words() string { return v.what }

// network is a word or a list of destinations.
type network struct{}

var (
	networkModes = choice{of: names([]gust.NetworkMode{gust.NetworkInternet, gust.NetworkNone}), def: string(gust.NetworkInternet),
		set: func(d *declaration, s string) { d.function.Network = gust.Network{Mode: gust.NetworkMode(s)} }}
	networkList = list{what: "a list such as [api.stripe.com:443, 10.0.0.5:5432]", most: gust.MaxDestinations, item: `^.+:[1-9][0-9]{0,4}$`,
		set: func(d *declaration, entries []string) {
			for i, e := range entries { // as the domain writes them; what is none, package rules reports
				if known, err := gust.ParseDestination(e); err == nil {
					entries[i] = known.String()
				}
			}
			d.function.Network = gust.Network{Mode: gust.NetworkList, Allow: entries}
		}}
)

func (v network) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		p.report(at, "the list is empty: write network: none, or list what may be reached, such as [api.stripe.com:443, 10.0.0.5:5432]")
	case n.Kind == yaml.SequenceNode:
		networkList.read(p, at, n, d)
	case n.Kind == yaml.ScalarNode && strings.Contains(n.Value, ":"):
		p.report(at, fmt.Sprintf("want %s, got %s: destinations stand in a list, [%s]", v.words(), rules.Quote(n.Value), n.Value))
	case n.Kind != yaml.ScalarNode || isNull(n):
		p.wrong(at, v.words(), n)
	default:
		networkModes.read(p, at, n, d)
	}
}

func (network) words() string { return networkModes.words() + ", or " + networkList.what }

// objects is a list of mappings of one kind.
type objects struct {
	each *object
	what string
	max  int
	// add makes the element that each then writes to.
	add func(*declaration)
}

func (v objects) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	for _, e := range p.items(at, n, v.what) {
		v.add(d)
		v.each.read(p, e.at, e.value, d)
	}
}

func (v objects) words() string { return v.what }

// environment is a mapping of environment variables.
type environment struct{}

func (environment) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	list, ok := p.entries(at, n, environment{}.words())
	if !ok {
		return
	}
	env := make(map[string]string, len(list))
	for _, e := range list {
		switch {
		case isNull(e.value):
			p.report(e.at, `want text, got nothing: write "" for an empty value`)
			continue
		case e.value.Kind != yaml.ScalarNode:
			p.wrong(e.at, "text", e.value)
			continue
		}
		// A number or a truth value is taken as it is written: 1.10 stays
		// "1.10".
		plain, wrong := expand(e.value.Value)
		if wrong != "" {
			p.report(e.at, wrong)
			continue
		}
		env[e.key] = plain
	}
	d.function.Env = env
}

func (environment) words() string { return "a mapping of environment variables" }

// expand resolves the references in an environment variable's value. A
// reference is ${kind:name}; none of them is built yet. $${ stands for a
// literal ${, and any other $ for itself.
func expand(s string) (plain, wrong string) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), ""
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		reference, _, closed := strings.Cut(s[i+2:], "}")
		whole := cut(s[i:min(len(s), i+3+len(reference))])
		if closed && strings.HasPrefix(reference, "secret:") {
			return "", notBuilt("the reference "+whole, "a value stands in the manifest as it is; keep secrets out of it")
		}
		return "", fmt.Sprintf("unknown reference %s: write $%s if the text itself is meant", whole, whole)
	}
}

// routes is the mapping of routes to functions.
type routes struct{ later map[string]string }

func (v routes) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	list, _ := p.entries(at, n, v.words())
	for _, e := range list {
		method, path, err := rules.ParseRoute(e.key)
		if err != nil {
			p.report(e.at, err.Error())
			continue
		}
		route := gust.Route{Method: method, Path: path}
		// The domain writes ANY as *, and one space; its validator speaks
		// of the route in that form.
		p.spots[rules.Join(at.path, route.Key())] = e.at
		switch {
		case e.value.Kind == yaml.MappingNode:
			v.readLong(p, e)
			continue
		case e.value.Kind != yaml.ScalarNode || isNull(e.value):
			p.wrong(e.at, "the name of a function", e.value)
			continue
		}
		route.Function = e.value.Value
		d.manifest.App.Routes = append(d.manifest.App.Routes, route)
	}
}

// readLong refuses the long form of a route key by key.
func (v routes) readLong(p *parser, e entry) {
	fields, _ := p.entries(e.at, e.value, "")
	if len(fields) == 0 {
		p.wrong(e.at, "the name of a function", e.value)
	}
	for _, f := range fields {
		if hint, later := v.later[f.key]; later {
			p.report(f.at, notBuilt(f.key, hint))
		} else {
			p.report(f.at, fmt.Sprintf("unknown key %s%s", rules.Quote(f.key), suggest.Word(f.key, maps.Keys(v.later))))
		}
	}
}

func (routes) words() string {
	return `a mapping of routes to functions, such as "GET /hello/{name}: hello"`
}

// checkSourcePath says what is wrong with a function's source, or returns "".
func checkSourcePath(s string) string {
	switch {
	case s == "":
		return "the source is empty: write . for the manifest's own folder"
	case path.IsAbs(s) || strings.HasPrefix(s, "~") || len(s) > 1 && s[1] == ':':
		return fmt.Sprintf("%s is absolute: want a path relative to the manifest, so that it holds on every machine", rules.Quote(s))
	case strings.ContainsAny(s, "\\\x00"):
		return fmt.Sprintf("%s holds a backslash or a zero byte: separate folders by /", rules.Quote(s))
	case len(s) > 4096:
		return "the path is longer than 4096 bytes"
	}
	return ""
}
