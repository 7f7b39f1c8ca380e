// Package policy decides what a principal may do, by IAM policy documents as AWS
// documents them. It is pure: documents are parsed and compiled when they change,
// and deciding reads what was compiled.
package policy

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

// Document is a policy that was parsed, and made ready for deciding. It never
// changes, and is shared by all who have it.
type Document struct {
	kind       Kind
	source     []byte
	statements []statement
	index      index // of a resource's own policy
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

// Words are what AWS calls such a document: "identity-based policy".
func (l Layer) Words() string {
	switch l {
	case LayerIdentity:
		return "identity-based policy"
	case LayerResource:
		return "resource-based policy"
	case LayerBoundary:
		return "permissions boundary"
	case LayerSession:
		return "session policy"
	}
	return ""
}

// Decision is what came of it.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Denied tells that a statement denied it; otherwise none allowed it.
	Denied bool `json:"denied"`
	// Layer is where it was decided: of the statement, or that which did not
	// allow it.
	Layer Layer `json:"layer"`
	// Policy and Statement are the deciding statement: the document's name, and
	// the statement's Sid, or "#2" for the second one.
	Policy    string `json:"policy,omitempty"`
	Statement string `json:"statement,omitempty"`
}

// Reason says why a request was refused, in the words that AWS uses: "because no
// identity-based policy allows the lambda:InvokeFunction action", "with an
// explicit deny in a permissions boundary". It is empty for what is allowed.
func (d Decision) Reason(action string) string {
	kind := d.Layer.Words()
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
