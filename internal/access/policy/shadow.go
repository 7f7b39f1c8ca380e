package policy

import (
	"slices"
	"strings"
)

// maxComparisons bounds the search for shadowed statements.
const maxComparisons = 2_000_000

// shadows looks for statements that have no effect because of another one. It
// finds what can be told from the texts: an element covers another if it is the
// same, or has wildcards that take its whole text.
func (l *linter) shadows() {
	list := l.document.statements
	left := maxComparisons
	for i := range list {
		for j := range list {
			a, b := &list[j], &list[i] // does a make b needless?
			if i == j || b.deny && !a.deny {
				continue
			}
			left -= (len(a.actions)+len(a.resources))*(len(b.actions)+len(b.resources)) + 1
			if left < 0 {
				l.add(SeverityNote, l.nodes[i], "split the document", "the document is too large to look for all statements that have no effect")
				return
			}
			if !a.includes(b) || j > i && a.deny == b.deny && b.includes(a) { // of two that are alike, the second
				continue
			}
			l.current = b.label
			if a.deny == b.deny {
				l.add(SeverityWarning, l.nodes[i], "remove one of them", "the statement has no effect: statement %s says all of it", a.label)
			} else {
				l.add(SeverityWarning, l.nodes[i], "remove it, or narrow the deny", "the statement has no effect: statement %s denies all of it", a.label)
			}
			break
		}
	}
	l.current = ""
}

// includes tells whether s is about all that b is about.
func (s *statement) includes(b *statement) bool {
	return (len(s.conditions) == 0 || sameConditions(s.conditions, b.conditions)) &&
		s.principals.includes(b.principals) &&
		covers(s.actions, b.actions, s.notActions, b.notActions) &&
		covers(s.resources, b.resources, s.notResources, b.notResources)
}

// covers compares two lists of patterns, either of which can stand for all that
// it does not list.
func covers(a, b []pattern, aNot, bNot bool) bool {
	if bNot && !aNot && len(a) == 1 && a[0].isAny() {
		return true
	}
	if aNot != bNot {
		return false
	}
	if aNot { // who leaves out less has more
		a, b = b, a
	}
	for i := range b {
		if !slices.ContainsFunc(a, func(p pattern) bool { return p.covers(&b[i]) }) {
			return false
		}
	}
	return true
}

// covers tells whether p takes all that q takes, as far as their texts tell.
func (p *pattern) covers(q *pattern) bool {
	same := p.raw == q.raw || p.fold && EqualFold(p.raw, q.raw)
	switch {
	case same || p.isAny():
		return true
	case len(p.vars) > 0 || strings.Contains(p.raw, "?"): // a ? must not take a *
		return false
	}
	return p.matches(q.raw, nil) == yes
}

func (p *principals) includes(q *principals) bool {
	if p == nil || q == nil {
		return p == q
	}
	if p.not || q.not {
		return p.raw == q.raw
	}
	within := func(a, b []string) bool {
		return !slices.ContainsFunc(b, func(s string) bool { return !slices.Contains(a, s) })
	}
	return p.everybody || !q.everybody && within(p.accounts, q.accounts) && within(p.arns, q.arns) &&
		within(p.services, q.services) && within(p.federated, q.federated)
}

func sameConditions(a, b []condition) bool {
	return slices.EqualFunc(a, b, func(x, y condition) bool {
		return x.operator == y.operator && x.lookup == y.lookup &&
			slices.EqualFunc(x.values, y.values, func(v, w value) bool { return v.String() == w.String() })
	})
}
