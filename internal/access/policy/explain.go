package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Explanation is a decision with what led to it.
type Explanation struct {
	Decision
	// Statements are all that there are, in the order of the layers.
	Statements []Considered `json:"statements"`
}

// Considered is a statement as it bears on one request.
type Considered struct {
	Layer  Layer  `json:"layer"`
	Policy string `json:"policy"` // as in Decision
	// Statement is its Sid, or "#2"; Line is where it begins.
	Statement string      `json:"statement"`
	Line      int         `json:"line"`
	Effect    gust.Effect `json:"effect"`
	Matched   bool        `json:"matched"`
	// Deciding tells that the decision follows from this one.
	Deciding bool `json:"deciding"`
	// Why is the first thing that does not match: "the action
	// lambda:InvokeFunction is none of sqs:*".
	Why string `json:"why,omitempty"`
}

// Explain decides as Decide does, and tells of every statement what came of it.
func (r *Rights) Explain(req *Request, resource *Document) Explanation {
	d, deciding, document := r.decide(req, resource)
	e := Explanation{Decision: d, Statements: []Considered{}}
	documents := r.documents
	if resource != nil {
		documents = append(slices.Clip(documents), layered{Attached{resourcePolicy, resource}, LayerResource})
	}
	for i, l := range documents {
		for j := range l.Document.statements {
			s := &l.Document.statements[j]
			c := Considered{Layer: l.layer, Policy: l.Name, Statement: s.label, Line: s.line, Effect: gust.Allow,
				Deciding: s == deciding && i == document}
			if s.deny {
				c.Effect = gust.Deny
			}
			c.Why = s.mismatch(req, r.hasBoundary)
			c.Matched = c.Why == ""
			if c.Matched && !s.deny && s.principals != nil && s.principals.reach(req.Subject, false, r.hasBoundary) == delegated {
				c.Why = "it names the account, so that a policy of who asks has to allow it too"
			}
			e.Statements = append(e.Statements, c)
		}
	}
	return e
}

// mismatch is the first thing of a statement that the request does not match, or
// "".
func (s *statement) mismatch(req *Request, hasBoundary bool) string {
	if s.principals != nil && s.principals.reach(req.Subject, s.deny, hasBoundary) == nobody {
		who := "who asks"
		if req.Subject != nil {
			who = cmp.Or(req.Subject.ARN, req.Subject.Service, req.Subject.Federated, who)
		}
		if s.principals.not {
			return fmt.Sprintf("the principal %s is among those that NotPrincipal leaves out, %s", who, shorten(s.principals.raw))
		}
		return fmt.Sprintf("the principal %s is not %s", who, shorten(s.principals.raw))
	}
	if !s.coversAction(req.Action) {
		return differs("action", req.Action, "NotAction", s.actions, s.notActions)
	}
	if !s.coversResource(req) {
		return differs("resource", req.Resource, "NotResource", s.resources, s.notResources) + missing(s.resources, req)
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; !c.holds(req, s.deny) {
			return c.mismatch(req)
		}
	}
	return ""
}

func differs(what, got, notKey string, patterns []pattern, not bool) string {
	raw := make([]string, len(patterns))
	for i, p := range patterns {
		raw[i] = p.raw
	}
	if not {
		return fmt.Sprintf("the %s %s is among those that %s leaves out, %s", what, got, notKey, shorten(strings.Join(raw, ", ")))
	}
	if len(raw) == 1 {
		return fmt.Sprintf("the %s %s is not %s", what, got, shorten(raw[0]))
	}
	return fmt.Sprintf("the %s %s is none of %s", what, got, shorten(strings.Join(raw, ", ")))
}

// missing names a variable without a value, if there is one.
func missing(patterns []pattern, req *Request) string {
	for _, p := range patterns {
		for _, v := range p.vars {
			if _, ok := v.value(req); !ok {
				return fmt.Sprintf(" (the request has no single value for ${%s})", v.key)
			}
		}
	}
	return ""
}

// mismatch says why the condition does not hold.
func (c *condition) mismatch(req *Request) string {
	values := make([]string, len(c.values))
	for i, v := range c.values {
		values[i] = v.String()
	}
	given := "no such key"
	switch g := req.values(c.lookup); {
	case len(g) > MaxValues:
		given = fmt.Sprintf("%d values, above the maximum of %d", len(g), MaxValues)
	case slices.ContainsFunc(g, func(v string) bool { return len(v) > MaxValue }):
		given = fmt.Sprintf("a value above the maximum of %d bytes", MaxValue)
	case len(g) > 0:
		given = shorten(strings.Join(g, ", "))
	}
	return fmt.Sprintf("the condition %s: %s = %s does not hold, the request has %s", c.operator, c.key, shorten(strings.Join(values, ", ")), given)
}

// shorten cuts what nobody reads to its end.
func shorten(s string) string { return gust.Clip(s, 300) }
