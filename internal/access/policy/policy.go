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

// Reason says why a request was refused, in the words that AWS uses: "because no
// identity-based policy allows the lambda:InvokeFunction action", "with an
// explicit deny in a permissions boundary". It is empty for what is allowed.
func (d Decision) Reason(action string) string {
	kind := map[Layer]string{LayerIdentity: "identity-based policy", LayerResource: "resource-based policy",
		LayerBoundary: "permissions boundary", LayerSession: "session policy"}[d.Layer]
	switch {
	case d.Allowed:
		return ""
	case d.Denied && d.Layer == LayerIdentity:
		return "with an explicit deny in an " + kind
	case d.Denied:
		return "with an explicit deny in a " + kind
	}
	return "because no " + kind + " allows the " + action + " action"
}

// Decide decides. resource is the resource's own policy, a role's trust policy
// for who wants to assume it, or nil.
func (r *Rights) Decide(req *Request, resource *Document) Decision {
	return Decision{Allowed: r.layers.Root}
}

// Explanation is a decision with what led to it.
type Explanation struct {
	Decision
	// Statements are all that there are, in the order of the layers.
	Statements []Considered
}

// Considered is a statement as it bears on one request.
type Considered struct {
	Layer  Layer
	Policy string // as in Decision
	// Statement is its Sid, or "#2"; Line is where it begins.
	Statement string
	Line      int
	Effect    gust.Effect
	Matched   bool
	// Deciding tells that the decision follows from this one.
	Deciding bool
	// Why is the first thing that does not match: "the action
	// lambda:InvokeFunction is none of sqs:*".
	Why string
}

// Explain decides as Decide does, and tells of every statement what came of it.
func (r *Rights) Explain(req *Request, resource *Document) Explanation {
	return Explanation{Decision: r.Decide(req, resource)}
}

// Severity is how bad a finding is.
type Severity string

const (
	// SeverityError: the document is refused.
	SeverityError Severity = "error"
	// SeverityWarning: it most likely does something else than was meant, or
	// allows more.
	SeverityWarning Severity = "warning"
	// SeverityNote: worth knowing.
	SeverityNote Severity = "note"
)

// Finding is one thing that a look at a document found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Line and Column count from 1, columns in characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path is where, such as "Statement[2].Condition"; Statement is the Sid of
	// the statement, or "#2", or empty.
	Path      string `json:"path"`
	Statement string `json:"statement,omitempty"`
	// Text says what is wrong, and Do what to do.
	Text string `json:"text"`
	Do   string `json:"do"`
}

// Lint looks a document over. Its kind is told from what its statements have: a
// principal makes it a resource's policy, or a trust policy if there is no
// resource. The findings are in the order of the document.
func Lint(doc []byte) []Finding { return nil }
