package manifest

import (
	"go.yaml.in/yaml/v3"

	"github.com/gust-dev/gust/internal/manifest/rules"
)

// words is a string or a list of strings.
type words struct {
	what string
	set  func(*declaration, []string)
}

func (v words) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		v.set(d, []string{n.Value})
		return
	}
	list{what: v.what, set: v.set}.read(p, at, n, d)
}

func (v words) words() string { return v.what }

func (v words) schema() *schema {
	return &schema{Type: []string{"string", "array"}, AnyOf: []*schema{{Type: "string"}, list{}.schema()}}
}

// grants is a function's policy.
type grants struct{ objects }

// schema adds that an entry allows or denies.
func (v grants) schema() *schema {
	s := v.objects.schema()
	one := func(has, not string) *schema {
		return &schema{Required: []string{has}, Properties: map[string]*schema{not: {Not: &schema{}}}}
	}
	s.Items.AnyOf = []*schema{one("allow", "deny"), one("deny", "allow")}
	return s
}

// conditions is a mapping of operators to keys to values.
type conditions struct{}

func (v conditions) read(p *parser, at spot, n *yaml.Node, d *declaration) {
	operators, ok := p.entries(at, n, v.words())
	if !ok {
		return
	}
	when := make(map[string]map[string][]string, len(operators))
	for _, o := range operators {
		keys, ok := p.entries(o.at, o.value, "a mapping of condition keys and their values, such as {aws:PrincipalTag/team: blue}")
		if !ok {
			continue
		}
		if len(keys) == 0 {
			p.report(o.at, "the mapping is empty: want condition keys and their values, such as {aws:PrincipalTag/team: blue}")
		}
		when[o.key] = make(map[string][]string, len(keys))
		for _, k := range keys {
			words{what: "a value or a list of values", set: func(_ *declaration, values []string) { when[o.key][k.key] = values }}.read(p, k.at, k.value, d)
		}
	}
	d.grant().When = when
}

func (conditions) words() string {
	return "conditions such as {StringEquals: {aws:PrincipalTag/team: blue}}"
}

func (conditions) schema() *schema {
	scalar := &schema{Type: []string{"string", "number", "boolean"}}
	value := &schema{Type: []string{"string", "number", "boolean", "array"}, Items: scalar, MinItems: 1}
	return &schema{Type: "object", Additional: &schema{Type: "object", Additional: value, MinProperties: 1}, PropertyNames: &schema{Pattern: rules.OperatorPattern}}
}
