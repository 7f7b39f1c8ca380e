// Package policy decides what a principal may do, by IAM policy documents as AWS
// documents them. It is pure: documents are parsed and compiled when they change,
// and deciding reads what was compiled.
package policy

import (
	"errors"

	gust "github.com/gust-dev/gust"
)

// Kind is what a document is attached to.
type Kind int

const (
	// Identity documents say what a user, a group or a role may do. They have
	// no principal. Boundaries and session policies are of this kind.
	Identity Kind = iota
	// Resource documents say who may do what with a resource.
	Resource
	// Trust documents say who may assume a role. They have no resource.
	Trust
)

// Document is a policy that was parsed. It never changes.
type Document struct{ source []byte }

// Parse reads a document. Its error is gust.ErrInvalid and says what is wrong,
// where, and what would be right.
func Parse(kind Kind, doc []byte) (*Document, error) {
	return nil, errors.ErrUnsupported
}

// FromGrants makes a document of the short form.
func FromGrants(place gust.Place, grants []gust.Grant) (*Document, error) {
	return nil, errors.ErrUnsupported
}

// JSON is the document as it was given.
func (d *Document) JSON() []byte { return d.source }

// Attached is a document and what explanations call it.
type Attached struct {
	Name     string
	Document *Document
}

// Layers are all documents that bound what a principal may do.
type Layers struct {
	// Root is bounded by nothing.
	Root     bool
	Identity []Attached
	Boundary *Attached
	// Session counts if Limited is set, even if it is empty.
	Session []Attached
	Limited bool
}

// Rights are Layers made ready for deciding. They never change.
type Rights struct{ layers Layers }

// Compile makes layers ready.
func Compile(l Layers) *Rights { return &Rights{l} }

// Subject is who asks, as policies see it.
type Subject struct {
	// Kind is "root", "user", "role", "service", "federated" or "anonymous".
	Kind    string
	ARN     string
	RoleARN string
	Account string
	ID      string // aws:userid
	Name    string
	// Service is a service principal: "lambda.amazonaws.com".
	Service string
	// Federated is an identity provider: its ARN.
	Federated string
}

// Request is one thing that a subject wants to do.
type Request struct {
	Action   string
	Resource string
	Subject  *Subject
	// Value gives a condition key's values, by its name in lower case; nil is
	// a key that is not there.
	Value func(key string) []string
}

// Layer is a sort of document.
type Layer string

const (
	LayerIdentity Layer = "identity"
	LayerResource Layer = "resource"
	LayerBoundary Layer = "boundary"
	LayerSession  Layer = "session"
)

// Decision is what came of it.
type Decision struct {
	Allowed bool
	// Denied tells that a statement denied it; otherwise none allowed it.
	Denied bool
	// Layer is where it was decided: of the statement, or that which did not
	// allow it.
	Layer Layer
	// Policy and Statement are the deciding statement: the document's name, and
	// the statement's Sid, or "#2" for the second one.
	Policy, Statement string
}

// Decide decides. resource is the resource's own policy, or nil.
func (r *Rights) Decide(req *Request, resource *Document) Decision {
	return Decision{Allowed: r.layers.Root}
}
