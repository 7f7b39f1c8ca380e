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
	sizes := make([]int, len(list))
	for i, s := range list {
		sizes[i] = 1 + len(s.actions) + len(s.resources)
		for _, c := range s.conditions {
			sizes[i] += 1 + len(c.values)
		}
	}
	left := maxComparisons
	for i := range list {
		for j := range list {
			a, b := &list[j], &list[i] // does a make b needless?
			if i == j || b.deny && !a.deny {
				continue
			}
			left -= sizes[i] * sizes[j]
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
	return includesConditions(s.conditions, b.conditions) &&
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
	case len(p.vars) > 0 || strings.ContainsAny(p.raw, "?$"): // a ?, or a * that is meant as one (${*}), must not take a *
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

// includesConditions tells whether all of a hold whenever all of b do: each of a
// has one in b of the same operator and key, whose values it has. A negated one is
// the wider, the fewer values it has.
func includesConditions(a, b []condition) bool {
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y condition) bool {
			wide, narrow := x.values, y.values
			if x.negated {
				wide, narrow = narrow, wide
			}
			return x.operator == y.operator && x.lookup == y.lookup && !slices.ContainsFunc(narrow, func(v value) bool {
				return !slices.ContainsFunc(wide, func(w value) bool { return coversValue(w, v) })
			})
		}) {
			return false
		}
	}
	return true
}

// coversValue tells whether what matches w matches v, too, as far as their texts
// tell.
func coversValue(v, w value) bool {
	p, ok := v.(*text)
	if !ok {
		return v.String() == w.String()
	}
	return p.covers(&w.(*text).pattern)
}
