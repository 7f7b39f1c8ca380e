package identity

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
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
func (r Ref) key() Ref { return Ref{r.Kind, strings.ToLower(r.Name)} }

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
	// Revoked ends the sessions of a user or a role that began by then.
	Revoked time.Time `json:"revoked,omitzero"`

	// Groups are the IDs of a user's groups.
	Groups []string `json:"groups,omitempty"`

	// A role's own.
	Description string        `json:"description,omitempty"`
	MaxSession  time.Duration `json:"max_session,omitempty"`
	Trust       TrustDocument `json:"trust,omitzero"`
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

// Document is an identity policy as a record holds it: its text.
type Document struct{ *policy.Document }

// TrustDocument is a role's trust policy.
type TrustDocument struct {
	*policy.Document
	// Bound are the unique IDs of the users and roles that the document names,
	// by their ARNs. Whoever gets such a name later is somebody else.
	Bound map[string]string
}

func (d Document) MarshalJSON() ([]byte, error) { return json.Marshal(string(d.JSON())) }

func (d *Document) UnmarshalJSON(data []byte) (err error) {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	d.Document, err = policy.Parse(policy.Identity, []byte(text))
	return err
}

type boundDocument struct {
	Text  string            `json:"text"`
	Bound map[string]string `json:"bound,omitempty"`
}

func (d TrustDocument) IsZero() bool { return d.Document == nil }

func (d TrustDocument) MarshalJSON() ([]byte, error) {
	return json.Marshal(boundDocument{string(d.JSON()), d.Bound})
}

func (d *TrustDocument) UnmarshalJSON(data []byte) (err error) {
	var b boundDocument
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	d.Bound = b.Bound
	d.Document, err = policy.Parse(policy.Trust, []byte(b.Text))
	return err
}

// rights are what an entity may do, compiled when somebody first asks. They
// depend on the entity, its groups and its managed policies; when one of them
// changes, the entity gets new ones (change.refresh).
type rights struct {
	mu   sync.Mutex
	done atomic.Pointer[compiled]
}

type compiled struct {
	layers policy.Layers
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
	c := new(compiled)
	c.layers.Identity = st.attached(nil, e)
	for _, id := range e.Groups {
		if g := st.byID[id]; g != nil {
			c.layers.Identity = st.attached(c.layers.Identity, g)
		}
	}
	if e.Boundary != "" {
		// What is used as a boundary cannot be deleted, and load looks for it.
		c.layers.Boundary = &policy.Attached{Name: "permissions boundary " + e.Boundary, Document: st.policy(e.Boundary).document()}
	}
	c.rights = policy.Compile(c.layers)
	if e.Kind == KindUser {
		c.principal = &access.Principal{Kind: access.KindUser, Name: e.Name, ARN: e.ARN, ID: e.ID, Account: st.account, Tags: e.Tags}
	}
	e.rights.done.Store(c)
	return c
}

// attached appends e's own policies.
func (st *state) attached(to []policy.Attached, e *Entity) []policy.Attached {
	for _, name := range e.InlineNames() {
		to = append(to, policy.Attached{Name: fmt.Sprintf("inline policy %s of %s", name, e.Ref()), Document: e.Inline[name].Document})
	}
	for _, arn := range e.Attached {
		if p := st.policy(arn); p != nil {
			to = append(to, policy.Attached{Name: fmt.Sprintf("%s, attached to %s", p.Name, e.Ref()), Document: p.document()})
		}
	}
	return to
}

// newID makes a unique ID: 16 characters after AWS's prefix for its kind.
func newID(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) // never fails
	return prefix + idEncoding.EncodeToString(b[:])
}

// parse reads a document that somebody gave, and refuses one that is over limit
// characters, white space not counted.
func parse(kind policy.Kind, what, text string, limit int) (*policy.Document, error) {
	d, err := policy.Parse(kind, []byte(text))
	if err != nil {
		return nil, &MalformedPolicyError{what, err}
	}
	if n := sizeOf(text); n > limit {
		return nil, &LimitError{fmt.Sprintf("characters of the %s, white space not counted", what), limit}
	}
	return d, nil
}

// sizeOf counts a document as AWS does.
func sizeOf(text string) (n int) {
	for _, r := range text {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}
