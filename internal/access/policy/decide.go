package policy

import (
	"math"
	"slices"
	"strings"
)

// index finds the statements that can be about an action. The numbers in a list
// are statements, in order.
type index struct {
	anywhere []uint16 // of every service: "*" and NotAction
	services map[string]*serviceIndex
}

type serviceIndex struct {
	exact    map[string][]uint16 // by action, lower case: "lambda:invokefunction"
	patterns []uint16            // with wildcards
}

func makeIndex(statements []statement) index {
	x := index{services: make(map[string]*serviceIndex)}
	add := func(list *[]uint16, i int) {
		if n := len(*list); n == 0 || (*list)[n-1] != uint16(i) {
			*list = append(*list, uint16(i))
		}
	}
	for i := range statements {
		if statements[i].notActions {
			add(&x.anywhere, i)
			continue
		}
		for _, a := range statements[i].actions {
			text := strings.ToLower(a.raw)
			service, name, _ := strings.Cut(text, ":")
			if service == "*" {
				add(&x.anywhere, i)
				continue
			}
			s := x.services[service]
			if s == nil {
				s = &serviceIndex{exact: make(map[string][]uint16)}
				x.services[service] = s
			}
			if strings.ContainsAny(name, "*?") {
				add(&s.patterns, i)
			} else {
				list := s.exact[text]
				add(&list, i)
				s.exact[text] = list
			}
		}
	}
	return x
}

// candidates walks three lists of statements as one, in order.
type candidates struct{ exact, patterns, anywhere []uint16 }

// of finds the candidates for an action in lower case.
func (x *index) of(action []byte) candidates {
	c := candidates{anywhere: x.anywhere}
	if colon := slices.Index(action, ':'); colon >= 0 {
		if s := x.services[string(action[:colon])]; s != nil {
			c.exact, c.patterns = s.exact[string(action)], s.patterns
		}
	}
	return c
}

// next is the number of the next statement, and false at the end.
func (c *candidates) next() (int, bool) {
	least := uint16(math.MaxUint16)
	for _, list := range [...][]uint16{c.exact, c.patterns, c.anywhere} {
		if len(list) > 0 {
			least = min(least, list[0])
		}
	}
	if least == math.MaxUint16 {
		return 0, false
	}
	for _, list := range [...]*[]uint16{&c.exact, &c.patterns, &c.anywhere} {
		if len(*list) > 0 && (*list)[0] == least {
			*list = (*list)[1:]
		}
	}
	return int(least), true
}

// Rights are Layers made ready for deciding. They never change.
type Rights struct {
	root        bool
	limited     bool // a session policy counts
	hasBoundary bool
	documents   []layered
}

type layered struct {
	Attached
	layer Layer
}

// Compile makes layers ready. Their documents stay what they are, so that many
// rights of the same documents cost little.
func Compile(l Layers) *Rights {
	r := &Rights{root: l.Root, limited: l.Limited, hasBoundary: l.Boundary != nil}
	add := func(layer Layer, list ...Attached) {
		for _, a := range list {
			r.documents = append(r.documents, layered{a, layer})
		}
	}
	add(LayerIdentity, l.Identity...)
	if l.Boundary != nil {
		add(LayerBoundary, *l.Boundary)
	}
	if l.Limited {
		add(LayerSession, l.Session...)
	}
	return r
}

// found is what a document says about a request: the first statement that denies
// it, or else the first of those that allow it furthest.
type found struct {
	deny, allow *statement
	reach       reach
}

// Decide decides. resource is the resource's own policy, a role's trust policy
// for who wants to assume it, or nil.
//
// A statement that denies decides ("explicit deny"). Else what an identity policy
// allows is allowed, if the boundary and the session's policies, as far as there
// are any, allow it too; so is what the resource's policy allows to a user, a
// session, a service or everybody by name, and, if boundary and session allow it,
// to a role by name. A trust policy has to name who asks in any case, and so does
// a resource's policy if it is of another account than who asks; there it takes
// both. Root is bounded by nothing but trust policies.
func (r *Rights) Decide(req *Request, resource *Document) Decision {
	d, _, _ := r.decide(req, resource)
	return d
}

// resourcePolicy is what explanations call a resource's policy.
const resourcePolicy = "the resource's policy"

// decide also returns the deciding statement, if there is one, and the number of
// its document: of Rights.documents, or one more for the resource's.
func (r *Rights) decide(req *Request, resource *Document) (Decision, *statement, int) {
	trust := resource != nil && resource.kind == Trust
	if r.root && !trust {
		return Decision{Allowed: true, Layer: LayerIdentity}, nil, -1
	}
	if len(req.Action) > MaxAction || len(req.Resource) > MaxResource {
		return Decision{Layer: LayerIdentity}, nil, -1
	}
	var room [MaxAction]byte
	action := room[:len(req.Action)]
	for i := range action {
		action[i] = lower(req.Action[i])
	}

	// What allows in each layer, with the number of its document.
	identity, boundary, session := r.root, !r.hasBoundary, !r.limited
	var by *statement
	byDocument := -1
	for i := range r.documents {
		d := &r.documents[i]
		allows := &identity
		switch d.layer {
		case LayerBoundary:
			allows = &boundary
		case LayerSession:
			allows = &session
		}
		f := d.Document.find(action, req, r.hasBoundary, *allows)
		if f.deny != nil {
			return Decision{Denied: true, Layer: d.layer, Policy: d.Name, Statement: f.deny.label}, f.deny, i
		}
		if f.allow != nil {
			if *allows = true; d.layer == LayerIdentity && by == nil {
				by, byDocument = f.allow, i
			}
		}
	}
	var f found
	if resource != nil {
		f = resource.find(action, req, r.hasBoundary, false)
		if f.deny != nil {
			return Decision{Denied: true, Layer: LayerResource, Policy: resourcePolicy, Statement: f.deny.label}, f.deny, len(r.documents)
		}
	}

	foreign := isForeign(req)
	within := boundary && session
	named := trust || foreign || !req.Subject.isOfAccount() // only who is named may
	switch {
	case f.reach == direct && !foreign, f.reach == bounded && within && !foreign:
		return Decision{Allowed: true, Layer: LayerResource, Policy: resourcePolicy, Statement: f.allow.label}, f.allow, len(r.documents)
	case named && f.reach == nobody:
		return Decision{Layer: LayerResource}, nil, -1
	case !identity && f.reach != bounded:
		return Decision{Layer: LayerIdentity}, nil, -1
	case !boundary:
		return Decision{Layer: LayerBoundary}, nil, -1
	case !session:
		return Decision{Layer: LayerSession}, nil, -1
	case !identity:
		return Decision{Layer: LayerIdentity}, nil, -1
	case by == nil: // root, whom the trust policy names
		return Decision{Allowed: true, Layer: LayerResource, Policy: resourcePolicy, Statement: f.allow.label}, f.allow, len(r.documents)
	}
	return Decision{Allowed: true, Layer: LayerIdentity, Policy: r.documents[byDocument].Name, Statement: by.label}, by, byDocument
}

// isForeign tells whether the resource is of another account than who asks.
func isForeign(req *Request) bool {
	if !req.Subject.isOfAccount() {
		return false
	}
	rest := req.Resource
	for range arnParts - 2 {
		_, after, ok := strings.Cut(rest, ":")
		if !ok {
			return false
		}
		rest = after
	}
	account, _, _ := strings.Cut(rest, ":")
	return isAccount(account) && account != req.Subject.Account
}

// find looks for the statements that decide. allowed tells that only a deny is
// of interest any more.
func (d *Document) find(action []byte, req *Request, hasBoundary, allowed bool) (f found) {
	if allowed {
		f.reach = direct
	}
	c := d.index.of(action)
	for i, ok := c.next(); ok; i, ok = c.next() {
		s := &d.statements[i]
		if !s.deny && f.reach == direct {
			continue
		}
		reach := direct
		if s.principals != nil {
			if reach = s.principals.reach(req.Subject, s.deny, hasBoundary); !s.deny && reach <= f.reach {
				continue
			}
		}
		if reach == nobody || !s.covers(req) {
			continue
		}
		if s.deny {
			f.deny = s
			return f
		}
		f.allow, f.reach = s, reach
	}
	return f
}

// covers tells whether the statement is about the request, whoever asks.
func (s *statement) covers(req *Request) bool {
	if !s.coversAction(req.Action) || !s.coversResource(req) {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(req, s.deny) {
			return false
		}
	}
	return true
}

func (s *statement) coversAction(action string) bool {
	for i := range s.actions {
		if s.actions[i].matches(action, nil) == yes {
			return !s.notActions
		}
	}
	return s.notActions
}

func (s *statement) coversResource(req *Request) bool {
	if len(s.resources) == 0 { // a trust policy's
		return true
	}
	best := no
	for i := range s.resources {
		switch s.resources[i].matches(req.Resource, req) {
		case yes:
			return !s.notResources
		case unknown:
			best = unknown
		}
	}
	return s.notResources && (best == no || s.deny)
}

// values are those of a condition key.
func (req *Request) values(key string) []string {
	if req == nil || req.Value == nil {
		return nil
	}
	return req.Value(key)
}
