package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Revocation ends all sessions that were made before. It is counted, since clocks
// go back.
type Revocation struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"`
}

// Session is a session's credentials.
type Session struct {
	KeyID, Secret, Token string
	Issued, Expires      time.Time
	// ARN and ID are those of the principal: for a role, of the session.
	ARN, ID        string
	SourceIdentity string
	// PackedSize is how much of MaxPacked the session's policies and tags take,
	// in percent.
	PackedSize int
	// Provider and Subject are of a web identity.
	Provider, Subject, Audience string
}

// claims are what a token says. Its names are short, since it travels with every
// request.
type claims struct {
	Key      string `json:"k"`           // ASIA...
	Of       string `json:"o"`           // the ID of the user or the role; the account for root
	Parent   string `json:"p,omitempty"` // the long-lived key that it was made with
	Function string `json:"f,omitempty"`
	Session  string `json:"s,omitempty"`
	Issued   int64  `json:"i"` // microseconds
	Expires  int64  `json:"e"`
	Factor   int64  `json:"a,omitempty"` // when a second factor was shown, in microseconds
	Revoked  int    `json:"r,omitempty"` // how often its owner's sessions were revoked before

	Limited    bool                `json:"l,omitempty"` // there are session policies
	Policy     string              `json:"y,omitempty"`
	Policies   []string            `json:"m,omitempty"` // ARNs of managed ones
	Tags       map[string]string   `json:"t,omitempty"`
	Transitive []string            `json:"v,omitempty"`
	Source     string              `json:"c,omitempty"`
	Provider   string              `json:"w,omitempty"`
	Keys       map[string][]string `json:"q,omitempty"` // the provider's
}

const (
	// tokenVersion begins every token, and is part of what is sealed.
	tokenVersion = 1
	// MaxToken bounds a token's text, in characters.
	MaxToken = 16 << 10
	// maxOpened bounds the tokens that are kept open, in characters of twice as
	// many: some 12,000 of functions, and a thousand with large policies, which
	// take twenty times as much when they are parsed.
	maxOpened = 4 * gust.MB
)

var tokenEncoding = base64.RawURLEncoding.Strict()

// issue makes a session of e.
func (d *Directory) issue(e *Entity, ttl time.Duration, c claims) (*Session, error) {
	packed := len(c.Policy)
	for _, arn := range c.Policies {
		packed += len(arn)
	}
	for k, v := range c.Tags {
		packed += len(k) + len(v)
	}
	for _, k := range c.Transitive {
		packed += len(k)
	}
	if packed > MaxPacked {
		return nil, &PackedError{"policies and tags", packed, MaxPacked}
	}
	now := d.now().UTC().Truncate(time.Microsecond)
	c.Key, c.Of, c.Revoked = newID("ASIA"), e.ID, d.state.Load().revocations(e)
	c.Issued, c.Expires = now.UnixMicro(), now.Add(ttl).UnixMicro()
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sealed := d.seal.token.Seal([]byte{tokenVersion}, nil, text, d.seal.label())
	token := tokenEncoding.EncodeToString(sealed)
	if len(token) > MaxToken {
		return nil, &PackedError{"policies, tags and claims of its provider", len(token), MaxToken}
	}
	s := &Session{
		KeyID: c.Key, Secret: d.seal.secret(c.Key), Token: token, Issued: now, Expires: now.Add(ttl),
		ARN: e.ARN, ID: e.ID, SourceIdentity: c.Source, PackedSize: (100*packed + MaxPacked - 1) / MaxPacked, Provider: c.Provider,
	}
	if c.Session != "" {
		s.ARN, s.ID = d.sessionARN(e, c.Session), e.ID+":"+c.Session
	}
	return s, nil
}

func (d *Directory) sessionARN(role *Entity, session string) string {
	return "arn:aws:sts::" + d.place.Account + ":assumed-role/" + role.Name + "/" + session
}

// label is what a token is sealed together with: a token of another version or
// another account does not open.
func (s *seal) label() []byte { return append([]byte{tokenVersion}, s.place...) }

// session is a token that was opened.
type session struct {
	claims
	secret string
	policy *policy.Document // the inline one
	bound  atomic.Pointer[bound]
}

// open opens a token, and trusts nothing of it before that.
func (s *seal) open(token string) (*session, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("the session token has %d characters, at most %d are allowed", len(token), MaxToken)
	}
	sealed, err := tokenEncoding.DecodeString(token)
	if err != nil || len(sealed) == 0 || strings.ContainsAny(token, "\r\n") { // which the decoder skips
		return nil, errors.New("the session token is not base64")
	}
	if sealed[0] != tokenVersion {
		return nil, fmt.Errorf("the session token is of version %d, and this version of Gust knows %d", sealed[0], tokenVersion)
	}
	text, err := s.token.Open(nil, nil, sealed[1:], s.label())
	if err != nil {
		return nil, errors.New("the session token was not made by this node, or was changed")
	}
	o := new(session)
	if err := json.Unmarshal(text, &o.claims); err != nil {
		return nil, fmt.Errorf("the session token holds what this version of Gust cannot read: %w", err)
	}
	if o.Policy != "" {
		if o.policy, err = policy.Parse(policy.Identity, []byte(o.Policy)); err != nil {
			return nil, fmt.Errorf("the session policy of the token: %w", err)
		}
	}
	o.secret = s.secret(o.Key)
	return o, nil
}

// opened keeps the tokens that were opened, in two generations: when the newer
// one is full, the older one goes. Reading takes no lock, and who was read in the
// older one moves to the newer. Only tokens that are the node's own get in, so
// nobody fills it with rubbish.
type opened struct {
	mu          sync.Mutex // held to replace generations
	newer, last atomic.Pointer[generation]
}

type generation struct {
	sessions sync.Map     // token -> *session
	size     atomic.Int64 // of all tokens, in characters
}

func (o *opened) find(token string) *session {
	g := o.newer.Load()
	if g == nil {
		return nil
	}
	if v, ok := g.sessions.Load(token); ok {
		return v.(*session)
	}
	if g = o.last.Load(); g == nil {
		return nil
	}
	if v, ok := g.sessions.Load(token); ok {
		return o.keep(token, v.(*session))
	}
	return nil
}

// keep returns the session that is kept under the token: s, or one that was
// opened at the same time.
func (o *opened) keep(token string, s *session) *session {
	g := o.newer.Load()
	if g == nil || g.size.Load() >= maxOpened {
		o.mu.Lock()
		if g = o.newer.Load(); g == nil || g.size.Load() >= maxOpened {
			o.last.Store(g)
			g = new(generation)
			o.newer.Store(g)
		}
		o.mu.Unlock()
	}
	v, there := g.sessions.LoadOrStore(strings.Clone(token), s) // token is a piece of a request
	if !there {
		g.size.Add(int64(len(token)))
	}
	return v.(*session)
}

// Lookup finds the credential of an access key, or of a session's key and its
// token. Expired sessions are found, too: Credential.Expires tells. Its errors are
// *access.Error, and look alike from outside.
func (d *Directory) Lookup(keyID, token string) (*access.Credential, error) {
	st := d.state.Load()
	if token != "" {
		return d.lookupSession(st, keyID, token)
	}
	if keyID == d.root.KeyID { // an ID is no secret
		return d.root, nil
	}
	k := st.keys[keyID]
	switch {
	case k == nil:
		return nil, refuse("the access key is not known")
	case !k.Active:
		return nil, refuse("the access key is not active")
	case k.Unusable:
		return nil, refuse("the access key was sealed under another seal key")
	}
	e := st.byID[k.User]
	if b := k.bound.Load(); b != nil && b.entity == e {
		return b.credential, nil
	}
	c := st.compiled(e)
	b := &bound{entity: e, credential: &access.Credential{KeyID: k.ID, Secret: k.secret, Principal: c.principal, Rights: c.rights}}
	k.bound.Store(b)
	return b.credential, nil
}

func refuse(detail string) error { return &access.Error{Code: access.Invalid, Detail: detail} }

func (d *Directory) lookupSession(st *state, keyID, token string) (*access.Credential, error) {
	s := d.opened.find(token)
	if s == nil {
		var err error
		if s, err = d.seal.open(token); err != nil {
			return nil, refuse(err.Error())
		}
		s = d.opened.keep(token, s)
	}
	if s.Key != keyID {
		return nil, refuse("the session token is not of the access key that it came with")
	}
	e, err := d.owner(st, s)
	if err != nil {
		return nil, err
	}
	if b := s.bound.Load(); b != nil && b.entity == e && st.still(s, b) {
		return b.credential, nil
	}
	b := d.bindSession(st, s, e)
	s.bound.Store(b)
	return b.credential, nil
}

// owner is whose session it is, if it is not revoked: the very user or role, by
// its unique ID.
func (d *Directory) owner(st *state, s *session) (*Entity, error) {
	e := d.rootOnly
	switch {
	case s.Function != "":
		e = d.functionRole(s.Function)
	case s.Of != e.ID:
		e = st.byID[s.Of]
	}
	if e == nil || e.ID != s.Of {
		return nil, refuse("the user, the role or the function of the session is not there any more")
	}
	if s.Revoked != st.revocations(e) {
		return nil, refuse("the session is revoked")
	}
	if s.Parent != "" && s.Parent != d.root.KeyID {
		if k := st.keys[s.Parent]; k == nil || !k.Active {
			return nil, refuse("the access key that the session was made with is deleted or not active")
		}
	}
	return e, nil
}

// revocations counts how often sessions of e were revoked.
func (st *state) revocations(e *Entity) int {
	if e.Function != "" {
		return st.revoked[e.Function].Count
	}
	return e.Revoked.Count
}

// still tells whether the session policies are those that b was made with.
func (st *state) still(s *session, b *bound) bool {
	for i, arn := range s.Policies {
		if st.policy(arn) != b.policies[i] {
			return false
		}
	}
	return true
}

// bindSession makes the credential of a session of e.
func (d *Directory) bindSession(st *state, s *session, e *Entity) *bound {
	b := &bound{entity: e}
	p := &access.Principal{
		Kind: access.KindUser, Name: e.Name, ARN: e.ARN, ID: e.ID, Account: d.place.Account, Tags: e.Tags,
		SourceIdentity: s.Source, Issued: time.UnixMicro(s.Issued).UTC(), Function: s.Function,
		Transitive: s.Transitive, Provider: s.Provider, ProviderKeys: s.Keys,
	}
	if s.Factor != 0 {
		p.Factor = time.UnixMicro(s.Factor).UTC()
	}
	b.credential = &access.Credential{KeyID: s.Key, Secret: s.secret, Principal: p, Expires: time.UnixMicro(s.Expires).UTC()}
	if e == d.rootOnly {
		p.Kind, b.credential.Rights = access.KindRoot, d.root.Rights
		return b
	}
	if e.Kind == KindRole {
		p.Kind, p.Session = access.KindRole, s.Session
		p.ARN, p.RoleARN, p.ID = d.sessionARN(e, s.Session), e.ARN, e.ID+":"+s.Session
		p.Tags = mergeTags(e.Tags, s.Tags)
	}
	c := st.compiled(e)
	b.credential.Rights = c.rights
	if !s.Limited {
		return b
	}
	l := c.layers
	l.Limited = true
	if s.policy != nil {
		l.Session = append(l.Session, policy.Attached{Name: "session policy of " + p.ARN, Document: s.policy})
	}
	for _, arn := range s.Policies {
		m := st.policy(arn)
		b.policies = append(b.policies, m)
		if m != nil { // one that was deleted allows nothing
			l.add(&l.Session, m.document(), "%s, session policy of %s", m.Name, p.ARN)
		}
	}
	if l.err != nil {
		st.log.Error("a policy is damaged; a session that it bounds may do nothing", "of", p.ARN, "error", l.err)
		l.Layers = policy.Layers{}
	}
	b.credential.Rights = policy.Compile(l.Layers)
	return b
}
