package identity

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"github.com/gust-dev/gust/internal/access/policy"
)

// Kind is a sort of thing that has a name in the directory.
type Kind string

const (
	KindUser     Kind = "user"
	KindGroup    Kind = "group"
	KindRole     Kind = "role"
	KindPolicy   Kind = "policy"
	KindProvider Kind = "oidc-provider"
	KindDevice   Kind = "mfa" // that shows codes: the second factor of a user

	// What hangs on one of those is in errors alone.
	KindKey        Kind = "access key"
	KindInline     Kind = "inline policy"
	KindVersion    Kind = "version"
	KindAlias      Kind = "account alias"
	KindDeviceUser Kind = "user of MFA device"
)

// Ref names one thing: a user, a group or a role by its name, regardless of
// case, a managed policy or a provider by its ARN.
type Ref struct {
	Kind Kind
	Name string
}

// User, Group, Role, Policy and Provider name one.
func User(name string) Ref    { return Ref{KindUser, name} }
func Group(name string) Ref   { return Ref{KindGroup, name} }
func Role(name string) Ref    { return Ref{KindRole, name} }
func Policy(arn string) Ref   { return Ref{KindPolicy, arn} }
func Provider(arn string) Ref { return Ref{KindProvider, arn} }

func (r Ref) String() string { return string(r.Kind) + " " + cut(r.Name) }

// key is r as the directory knows it. Only ASCII is folded: other letters are in
// no name.
func (r Ref) key() Ref { return Ref{r.Kind, policy.Lower(r.Name)} }

// Entity is a user, a group or a role. What the directory gives out is shared
// and never changed.
type Entity struct {
	Kind    Kind      `json:"kind"`
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"` // AIDA..., AGPA..., AROA...; never given again
	ARN     string    `json:"-"`
	Created time.Time `json:"created"`
	// Tags are of users and roles.
	Tags map[string]string `json:"tags,omitempty"`
	// Inline are its own policies by name, Attached the ARNs of managed ones in
	// the order in which they were attached.
	Inline   map[string]Document `json:"inline,omitempty"`
	Attached []string            `json:"attached,omitempty"`
	// Boundary is the ARN of the managed policy that bounds a user or a role.
	Boundary string `json:"boundary,omitempty"`
	// Revoked is when the sessions of a user or a role were last ended.
	Revoked Revocation `json:"revoked,omitzero"`

	// Groups are the IDs of a user's groups.
	Groups []string `json:"groups,omitempty"`

	// A role's own.
	Description string        `json:"description,omitempty"`
	MaxSession  time.Duration `json:"max_session,omitempty"`
	Trust       Document      `json:"trust,omitzero"`
	// Service is the service to which a role is linked. Such a role is the
	// service's, and only its tags and its description are anybody's.
	Service string `json:"service,omitempty"`
	// Function is the function whose own role this is. Such a role is made of
	// the function's declaration, and changes with it alone.
	Function string `json:"-"`

	rights *rights // shared by nothing: every copy has its own
}

// Ref names e.
func (e *Entity) Ref() Ref { return Ref{e.Kind, e.Name} }

// InlineNames are the names of e's inline policies, in order.
func (e *Entity) InlineNames() []string { return slices.Sorted(maps.Keys(e.Inline)) }

// copied is a copy of e that may be changed.
func (e *Entity) copied() *Entity {
	c := *e
	c.Tags, c.Inline = maps.Clone(e.Tags), maps.Clone(e.Inline)
	c.Attached, c.Groups = slices.Clone(e.Attached), slices.Clone(e.Groups)
	c.rights = new(rights)
	return &c
}

// newID makes a unique ID: 16 characters after AWS's prefix for its kind.
func newID(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) // never fails
	return prefix + idEncoding.EncodeToString(b[:])
}
