package policy

import (
	"strings"
)

// Rights are Layers made ready for deciding. They never change.
type Rights struct {
	root        bool
	limited     bool // a session policy counts
	hasBoundary bool
	documents   []layered
	index       index
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
			r.index.add(len(r.documents), a.Document.statements)
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
	r.index.sort()
	return r
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

	// The first statement of each sort that is about the request.
	deny, identity, boundary, session := nowhere, nowhere, nowhere, nowhere
	r.index.visit(action, req.Resource, func(p place) {
		d := &r.documents[p.document()]
		s := &d.Document.statements[p.statement()]
		first := &identity
		switch {
		case s.deny:
			first = &deny
		case d.layer == LayerBoundary:
			first = &boundary
		case d.layer == LayerSession:
			first = &session
		}
		if p < *first && s.covers(req) {
			*first = p
		}
	})
	if deny != nowhere {
		return r.because(deny, true)
	}
	var f found
	if resource != nil {
		f = resource.find(action, req, r.hasBoundary)
		if f.deny != nil {
			return Decision{Denied: true, Layer: LayerResource, Policy: resourcePolicy, Statement: f.deny.label}, f.deny, len(r.documents)
		}
	}

	allowed := r.root || identity != nowhere
	inBoundary := !r.hasBoundary || boundary != nowhere
	inSession := !r.limited || session != nowhere
	foreign := isForeign(req)
	named := trust || foreign || !req.Subject.isOfAccount() // only who is named may
	switch {
	case f.reach == direct && !foreign, f.reach == bounded && inBoundary && inSession && !foreign, r.root && f.reach != nobody:
		return Decision{Allowed: true, Layer: LayerResource, Policy: resourcePolicy, Statement: f.allow.label}, f.allow, len(r.documents)
	case named && f.reach == nobody:
		return Decision{Layer: LayerResource}, nil, -1
	case !allowed && f.reach != bounded:
		return Decision{Layer: LayerIdentity}, nil, -1
	case !inBoundary:
		return Decision{Layer: LayerBoundary}, nil, -1
	case !inSession:
		return Decision{Layer: LayerSession}, nil, -1
	case !allowed: // another account's role, which its own account does not allow
		return Decision{Layer: LayerIdentity}, nil, -1
	}
	return r.because(identity, false)
}

// because is the decision that follows from a statement of the principal's own
// policies.
func (r *Rights) because(p place, denied bool) (Decision, *statement, int) {
	d := &r.documents[p.document()]
	s := &d.Document.statements[p.statement()]
	return Decision{Allowed: !denied, Denied: denied, Layer: d.layer, Policy: d.Name, Statement: s.label}, s, p.document()
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

// found is what a resource's policy says: the first statement that denies, or
// else the first of those that reach furthest.
type found struct {
	deny, allow *statement
	reach       reach
}

// find asks a resource's policy.
func (d *Document) find(action []byte, req *Request, hasBoundary bool) (f found) {
	deny, allow := nowhere, nowhere
	d.index.visit(action, req.Resource, func(p place) {
		s := &d.statements[p.statement()]
		reach := s.principals.reach(req.Subject, s.deny, hasBoundary)
		switch {
		case reach == nobody:
		case s.deny:
			if p < deny && s.covers(req) {
				deny, f.deny = p, s
			}
		case reach > f.reach || reach == f.reach && p < allow:
			if s.covers(req) {
				allow, f.allow, f.reach = p, s, reach
			}
		}
	})
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
		switch s.actions[i].matches(action, nil) {
		case yes:
			return !s.notActions
		case beyond:
			return s.deny
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
		case beyond:
			return s.deny
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
