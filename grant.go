package gust

import (
	"maps"
	"slices"
)

// Grant is one statement of what a function may do, or may not.
type Grant struct {
	Sid    string `json:"sid,omitempty"`
	Effect Effect `json:"effect"`
	// Actions are "service:Operation", with * and ? for any.
	Actions []string `json:"actions"`
	// Resources are references ("function:worker"), ARNs, or "*".
	Resources []string `json:"resources"`
	// When are conditions as IAM documents have them: operator, key, values.
	When map[string]map[string][]string `json:"when,omitempty"`
}

// Effect is what a statement does.
type Effect string

const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// Equal reports whether g and h say the same in the same words.
func (g Grant) Equal(h Grant) bool {
	return g.Sid == h.Sid && g.Effect == h.Effect && slices.Equal(g.Actions, h.Actions) && slices.Equal(g.Resources, h.Resources) &&
		maps.EqualFunc(g.When, h.When, func(a, b map[string][]string) bool { return maps.EqualFunc(a, b, slices.Equal) })
}

// Clone is a copy that shares nothing with g.
func (g Grant) Clone() Grant {
	g.Actions, g.Resources, g.When = slices.Clone(g.Actions), slices.Clone(g.Resources), maps.Clone(g.When)
	for operator, keys := range g.When {
		keys = maps.Clone(keys)
		for key, values := range keys {
			keys[key] = slices.Clone(values)
		}
		g.When[operator] = keys
	}
	return g
}
