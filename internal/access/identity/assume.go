package identity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Limits narrow what a session may do, and say who it is.
type Limits struct {
	Duration time.Duration // 0 is an hour; of GetSessionToken 12, of the root key 1
	// Policy and PolicyARNs are session policies: the session may do what both
	// they and the role allow.
	Policy     string
	PolicyARNs []string
	// Tags are the session's, Transitive the keys of those that go on to roles
	// which the session assumes.
	Tags       map[string]string
	Transitive []string
	// SourceIdentity stays with a session and all that come of it.
	SourceIdentity string
}

// AssumeRole asks for a session of a role.
type AssumeRole struct {
	RoleARN     string
	SessionName string
	ExternalID  string
	Limits
}

// Needs are what the caller has to be allowed by its own policies and the role's
// trust policy together. Directory.AssumeRole asks for the same.
func (in *AssumeRole) Needs(c *access.Caller) []access.Need {
	return in.needs("sts:AssumeRole", c.Principal, map[string][]string{"sts:externalid": some(in.ExternalID)})
}

func (in *AssumeRole) needs(action string, p *access.Principal, keys map[string][]string) []access.Need {
	tags, transitive := in.inherited(p)
	source := in.SourceIdentity
	if source == "" {
		source = p.SourceIdentity
	}
	keys["sts:rolesessionname"] = some(in.SessionName)
	keys["sts:sourceidentity"] = some(source)
	keys["aws:tagkeys"] = slices.Sorted(maps.Keys(tags))
	keys["sts:transitivetagkeys"] = transitive
	for k, v := range tags {
		keys["aws:requesttag/"+policy.Lower(k)] = []string{v}
	}
	needs := []access.Need{{Action: action, Resource: in.RoleARN, Keys: keys}}
	if len(tags) > 0 {
		needs = append(needs, access.Need{Action: "sts:TagSession", Resource: in.RoleARN, Keys: keys})
	}
	if source != "" {
		needs = append(needs, access.Need{Action: "sts:SetSourceIdentity", Resource: in.RoleARN, Keys: keys})
	}
	return needs
}

// inherited are the session's tags, and which of them are transitive, with those
// that go on from the caller's session.
func (in *AssumeRole) inherited(p *access.Principal) (tags map[string]string, transitive []string) {
	tags, transitive = maps.Clone(in.Tags), slices.Clone(in.Transitive)
	if tags == nil {
		tags = make(map[string]string)
	}
	for _, key := range p.Transitive {
		if k, v, ok := FindTag(p.Tags, key); ok {
			tags[k] = v
			transitive = append(transitive, k)
		}
	}
	slices.Sort(transitive)
	return tags, slices.Compact(transitive)
}

// AssumeRole makes a session of a role for a caller whom the role's trust policy
// and the caller's own policies allow it.
func (d *Directory) AssumeRole(c *access.Caller, in AssumeRole) (*Session, error) {
	role, err := d.assumable(c.Principal.ARN, "sts:AssumeRole", c.Principal, &in)
	if err != nil {
		return nil, err
	}
	for _, n := range in.Needs(c) {
		if decision := d.Decide(c, &n); !decision.Allowed {
			return nil, &DeniedError{c.Principal.ARN, n.Action, n.Resource, decision}
		}
	}
	return d.assume(c.Principal, role, &in, claims{Factor: factorOf(c.Principal)})
}

// WebIdentity asks for a session of a role for somebody for whom a provider
// vouches. Whoever makes it has verified the provider's token.
type WebIdentity struct {
	AssumeRole
	// Issuer is the token's "iss".
	Issuer string
	// Subject and Audience are its "sub" and "aud".
	Subject  string
	Audience []string
	// Claims are further ones that conditions may ask for, by their names.
	Claims map[string][]string
}

// AssumeRoleWithWebIdentity makes a session of a role for a web identity whom the
// role's trust policy allows it.
func (d *Directory) AssumeRoleWithWebIdentity(c *access.Caller, in WebIdentity) (*Session, error) {
	p, err := d.ProviderOf(in.Issuer)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(in.Audience, func(a string) bool { return slices.Contains(p.ClientIDs, a) })
	if i < 0 {
		return nil, &UntrustedError{"the token is for " + cut(strings.Join(in.Audience, ", ")) + ", none of which is a client ID of the provider " + p.URL}
	}
	who, anonymous := p.URL+":"+cut(in.Subject), &access.Principal{Kind: access.KindAnonymous, Provider: p.ARN}
	role, err := d.assumable(who, "sts:AssumeRoleWithWebIdentity", anonymous, &in.AssumeRole)
	if err != nil {
		return nil, err
	}
	keys, err := in.keys(p)
	if err != nil {
		return nil, err
	}
	keys[policy.Lower(p.URL)+":sub"] = some(in.Subject)
	keys[policy.Lower(p.URL)+":aud"] = []string{in.Audience[i]}
	kept := maps.Clone(keys)
	keys["aws:federatedprovider"] = some(p.ARN)

	trust, err := role.Trust.parsed()
	if err != nil {
		return nil, fmt.Errorf("the trust policy of role %s: %w", role.Name, err)
	}
	nobody := policy.Compile(policy.Layers{})
	asks := *c
	asks.Credential = &access.Credential{Principal: anonymous}
	for _, n := range in.needs("sts:AssumeRoleWithWebIdentity", anonymous, keys) {
		q := ask(d.place, &asks, &n)
		q.subject = policy.Subject{Kind: "federated", Federated: p.ARN, ID: in.Subject}
		decision := nobody.Decide(&q.request, trust)
		q.release()
		if !decision.Allowed {
			return nil, &DeniedError{who, n.Action, n.Resource, decision}
		}
	}
	s, err := d.assume(anonymous, role, &in.AssumeRole, claims{Provider: p.ARN, Keys: kept})
	if err != nil {
		return nil, err
	}
	s.Subject, s.Audience = in.Subject, in.Audience[i]
	return s, nil
}

// keys are the claims as condition keys, whose case does not count. Who may
// choose some claim's name must not choose another's value: a token with two
// that are one key is refused.
func (in *WebIdentity) keys(p *IdentityProvider) (map[string][]string, error) {
	keys, names := make(map[string][]string), make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(in.Claims)) {
		key := policy.Lower(p.URL + ":" + name)
		if other, twice := names[key]; twice {
			return nil, &UntrustedError{fmt.Sprintf("the token's claims %q and %q are one condition key, whose case does not count", cut(other), cut(name))}
		}
		keys[key], names[key] = in.Claims[name], name
	}
	return keys, nil
}

// ProviderOf finds the provider of a token's issuer.
func (d *Directory) ProviderOf(issuer string) (*IdentityProvider, error) {
	_, url, _ := strings.Cut(strings.TrimSuffix(issuer, "/"), "://")
	p := d.state.Load().providers[iamARN(d.place, KindProvider, "/", url)]
	if p != nil && p.Issuer() == strings.TrimSuffix(issuer, "/") {
		return p, nil
	}
	return nil, &UntrustedError{"the token's issuer " + cut(issuer) + " is no OpenID Connect provider of this account"}
}

// assumable finds the role, and checks all that depends neither on policies nor
// on the role.
func (d *Directory) assumable(who, action string, p *access.Principal, in *AssumeRole) (*Entity, error) {
	denied := func() error {
		return &DeniedError{who, action, in.RoleARN, policy.Decision{Layer: policy.LayerResource}}
	}
	if err := checkSessionName("role session name", in.SessionName); err != nil {
		return nil, err
	}
	if in.SourceIdentity != "" {
		if err := checkSessionName("source identity", in.SourceIdentity); err != nil {
			return nil, err
		}
		if strings.HasPrefix(policy.Lower(in.SourceIdentity), "aws:") {
			return nil, invalid("the source identity %q begins with aws:, which nobody may set", in.SourceIdentity)
		}
		if p.SourceIdentity != "" && p.SourceIdentity != in.SourceIdentity {
			return nil, denied() // it stays what it is
		}
	}
	if n := len(in.ExternalID); n != 0 && (n < 2 || n > 1224 || !only(in.ExternalID, "+=,.@:/_-")) {
		return nil, invalid("the external ID: want 2 to 1224 letters, digits and + = , . @ : / _ -")
	}
	for k := range in.Tags {
		for _, t := range p.Transitive {
			if policy.EqualFold(k, t) {
				return nil, invalid("the tag %q is transitive and comes from the caller's session: it cannot be set again", k)
			}
		}
	}
	for _, k := range in.Transitive {
		if _, _, ok := FindTag(in.Tags, k); !ok {
			return nil, invalid("the transitive tag key %q is of no tag of the session", cut(k))
		}
	}
	tags, _ := in.inherited(p)
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	// How long a role's sessions last is the role's secret until who asks may
	// assume it (assume): these bounds are everybody's.
	longest := MaxSession
	if p.Kind == access.KindRole {
		longest = MaxChained // a role from a role's session
	}
	if in.Duration == 0 {
		in.Duration = DefaultSession
	}
	if in.Duration < MinSession || in.Duration > longest || in.Duration%time.Second != 0 {
		return nil, invalid("the session is to last %v: want whole seconds from %v to %v, and from another role's session %v at most", in.Duration, MinSession, MaxSession, MaxChained)
	}
	role := d.byARN(d.state.Load(), in.RoleARN)
	// Whether a role is there is nobody's business who may not assume it, and
	// a function's is assumed by the node alone.
	if role == nil || role.Kind != KindRole || role.Function != "" {
		return nil, denied()
	}
	return role, nil
}

// assume issues the session to who may have it.
func (d *Directory) assume(p *access.Principal, role *Entity, in *AssumeRole, c claims) (*Session, error) {
	if in.Duration > role.MaxSession {
		return nil, invalid("the session is to last %v: want at most %v, the longest of role %s", in.Duration, role.MaxSession, role.Name)
	}
	c.Session = in.SessionName
	c.Tags, c.Transitive = in.inherited(p)
	if c.Source = in.SourceIdentity; c.Source == "" {
		c.Source = p.SourceIdentity
	}
	if err := d.limit(&c, in.Policy, in.PolicyARNs); err != nil {
		return nil, err
	}
	return d.issue(role, in.Duration, c)
}

// limit puts session policies into c.
func (d *Directory) limit(c *claims, text string, arns []string) error {
	if len(arns) > MaxAttached {
		return &LimitError{What: "managed session policies", Limit: MaxAttached}
	}
	size := len([]rune(text))
	st := d.state.Load()
	for _, arn := range arns {
		if _, err := st.managed(arn); err != nil {
			return err
		}
		size += len(arn)
	}
	if size > MaxSessionPolicy {
		return &PackedError{"policies", size, MaxSessionPolicy}
	}
	if text != "" {
		if _, err := policy.Parse(policy.Identity, []byte(text)); err != nil {
			return &MalformedPolicyError{"session policy", err}
		}
	}
	c.Limited = text != "" || len(arns) > 0
	c.Policy, c.Policies = text, slices.Clone(arns)
	return nil
}

// SessionToken makes a session of the caller's own long-lived key. It may do what
// the user may, but for what makes lasting credentials.
func (d *Directory) SessionToken(c *access.Caller, ttl time.Duration) (*Session, error) {
	p := c.Principal
	if !p.Issued.IsZero() || p.Kind != access.KindUser && p.Kind != access.KindRoot {
		return nil, &DeniedError{p.ARN, "sts:GetSessionToken", "*", policy.Decision{Denied: true, Layer: policy.LayerSession}}
	}
	e, longest, usual := d.rootOnly, MaxRootToken, MaxRootToken
	if p.Kind == access.KindUser {
		if e = d.state.Load().byID[p.ID]; e == nil {
			return nil, missing(KindUser, p.Name)
		}
		longest, usual = MaxUserToken, DefaultUserToken
	}
	if ttl == 0 {
		ttl = usual
	}
	if ttl < MinSession || ttl > longest || ttl%time.Second != 0 {
		return nil, invalid("the session is to last %v: want whole seconds from %v to %v", ttl, MinSession, longest)
	}
	return d.issue(e, ttl, claims{Parent: c.KeyID, Factor: factorOf(p)})
}

// factorOf is when a user showed a second factor, for the session that comes of
// it. From a role to the next it does not go on.
func factorOf(p *access.Principal) int64 {
	if p.Kind != access.KindUser || p.Factor.IsZero() {
		return 0
	}
	return p.Factor.UnixMicro()
}
