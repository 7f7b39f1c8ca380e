package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// RightChange is a right that a change adds or takes away.
type RightChange struct {
	Op Op `json:"op"` // Add or Remove
	// Text is the right: "may lambda:InvokeFunction on function:worker", or "may
	// not ..." for what is denied.
	Text string `json:"text"`
}

// rights notes for the change that was added last what it means to a function;
// was or is can be nil.
func (d *delta) rights(was, is *gust.Function) {
	before, after := rightsOf(was), rightsOf(is)
	change := &d.plan.Changes[len(d.plan.Changes)-1]
	differ := func(op Op, list, other []string) {
		has := make(map[string]bool, len(other))
		for _, r := range other {
			has[r] = true
		}
		for _, r := range list {
			if !has[r] {
				change.Rights = append(change.Rights, RightChange{Op: op, Text: r})
			}
		}
	}
	differ(Add, after, before)
	differ(Remove, before, after)
	if was != nil && is != nil && len(change.Rights) == 0 && !slices.EqualFunc(was.Policy, is.Policy, gust.Grant.Equal) {
		change.Fields = append(change.Fields, FieldChange{Name: "policy", Old: "the same rights", New: "in other words"})
	}
}

// maxRights bounds the rights of one grant that are told apart: one with more is
// told as a whole.
const maxRights = 100

// rightsOf are a function's rights, one an action and a resource, each once.
func rightsOf(f *gust.Function) []string {
	if f == nil {
		return nil
	}
	var list []string
	for _, g := range f.Policy {
		word, when := "may", conditionsOf(g)
		if g.Effect == gust.Deny {
			word = "may not"
		}
		actions, resources := g.Actions, g.Resources
		if len(actions)*len(resources) > maxRights {
			actions, resources = []string{strings.Join(actions, ", ")}, []string{strings.Join(resources, ", ")}
		}
		for _, a := range actions {
			for _, r := range resources {
				if r == "*" {
					r = "everything"
				}
				list = append(list, fmt.Sprintf("%s %s on %s%s", word, a, r, when))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// conditionsOf are a grant's conditions in words:
// " when StringEquals aws:PrincipalTag/team: blue, red".
func conditionsOf(g gust.Grant) string {
	var all []string
	for _, operator := range slices.Sorted(maps.Keys(g.When)) {
		for _, key := range slices.Sorted(maps.Keys(g.When[operator])) {
			all = append(all, fmt.Sprintf("%s %s: %s", operator, key, strings.Join(g.When[operator][key], ", ")))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " when " + strings.Join(all, " and ")
}
