package identity

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gust-dev/gust/internal/access"
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

// rights are what an entity may do, compiled when somebody first asks. They
// depend on the entity, its groups and its managed policies; when one of them
// changes, the entity gets new ones (change.refresh).
type rights struct {
	mu   sync.Mutex
	done atomic.Pointer[compiled]
}

type compiled struct {
	layers layers
	rights *policy.Rights
	// principal is a user's; a role's session makes its own.
	principal *access.Principal
}

// compiled is what e may do, as st has it or any later state in which e is.
func (st *state) compiled(e *Entity) *compiled {
	if c := e.rights.done.Load(); c != nil {
		return c
	}
	e.rights.mu.Lock()
	defer e.rights.mu.Unlock()
	if c := e.rights.done.Load(); c != nil {
		return c
	}
	c := &compiled{layers: st.layers(e)}
	if c.layers.err != nil { // what is damaged may have been a deny
		st.log.Error("a policy is damaged; whom it is about may do nothing", "of", e.ARN, "record", e.record(), "error", c.layers.err)
		c.layers.Layers = policy.Layers{}
	}
	c.rights = policy.Compile(c.layers.Layers)
	if e.Kind == KindUser {
		c.principal = &access.Principal{Kind: access.KindUser, Name: e.Name, ARN: e.ARN, ID: e.ID, Account: st.account, Tags: e.Tags}
	}
	e.rights.done.Store(c)
	return c
}

// layers are policy.Layers, and the first error of those that were added.
type layers struct {
	policy.Layers
	err error
}

func (l *layers) add(to *[]policy.Attached, d Document, format string, args ...any) {
	name := fmt.Sprintf(format, args...)
	doc, err := d.parsed()
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("%s: %w", name, err)
	}
	*to = append(*to, policy.Attached{Name: name, Document: doc})
}

// layers collects all policies of e.
func (st *state) layers(e *Entity) (l layers) {
	owners := []*Entity{e}
	for _, id := range e.Groups {
		owners = append(owners, st.byID[id])
	}
	for _, owner := range owners {
		for _, name := range owner.InlineNames() {
			l.add(&l.Identity, owner.Inline[name], "inline policy %s of %s", name, owner.Ref())
		}
		for _, arn := range owner.Attached {
			p := st.policy(arn) // what is used is there: state.check
			l.add(&l.Identity, p.document(), "%s, attached to %s", p.Name, owner.Ref())
		}
	}
	if e.Boundary != "" {
		var boundary []policy.Attached
		l.add(&boundary, st.policy(e.Boundary).document(), "permissions boundary %s", e.Boundary)
		l.Boundary = &boundary[0]
	}
	return l
}

// newID makes a unique ID: 16 characters after AWS's prefix for its kind.
func newID(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) // never fails
	return prefix + idEncoding.EncodeToString(b[:])
}
