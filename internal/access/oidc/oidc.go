// Package oidc verifies the tokens of OpenID Connect issuers: who somebody is,
// as an issuer says that is known here. It knows nothing of AWS.
//
// An issuer that is asked is one that was registered; what it leads to is
// bounded in size and time, and may not be nearer to the node than the issuer
// itself (fetch.go).
package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// MaxToken is how many bytes a token has at most, as AWS's STS has it.
	MaxToken = 20000
	// Skew is how far an issuer's clock may be off.
	Skew = time.Minute
	// maxIssuer is how long an issuer's URL may be.
	maxIssuer = 255
)

// algorithms are those by which a token may be signed. What needs no key
// ("none"), or one that both sides know (HS256), is none of them.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

// Kind is what is wrong with a token.
type Kind int

const (
	// Invalid is a token that nobody should believe.
	Invalid Kind = iota
	// Expired was a good one.
	Expired
	// Unreachable tells that the issuer did not say how its tokens are verified;
	// trying again may help.
	Unreachable
)

// Error says why a token was not believed.
type Error struct {
	Kind   Kind
	Reason string
	Err    error // of Unreachable: what happened
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap is what happened.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return &Error{Kind: Invalid, Reason: fmt.Sprintf(format, args...)}
}

// Provider is an issuer that was registered.
type Provider struct {
	// Issuer is its URL, as its tokens say it in "iss" (a slash at the end does
	// not count).
	Issuer string
	// Audiences are those of which a token's has to be one.
	Audiences []string
	// Thumbprints are SHA-1 sums, in hexadecimal, of certificates that are
	// trusted to vouch for the issuer's host if the system's do not know it.
	Thumbprints []string
}

// CheckIssuer tells whether an issuer may be registered: an absolute https URL
// without user, query and fragment. http is for one on this very machine.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case len(issuer) > maxIssuer:
		return fmt.Errorf("the issuer's URL has %d characters: it may have %d", len(issuer), maxIssuer)
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("the issuer %.100q is not a URL like https://issuer.example.com", issuer)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(issuer, "#"):
		return fmt.Errorf("the issuer %.100q has a user, a query or a fragment: a URL of host and path is wanted", issuer)
	case u.Scheme == "https" || u.Scheme == "http" && loopbackHost(u.Hostname()):
		return nil
	}
	return fmt.Errorf("the issuer %.100q does not begin with https:// (http:// is for 127.0.0.1, [::1] and localhost)", issuer)
}

// Claims are what a verified token says.
type Claims struct {
	Issuer, Subject string
	// Audience is whom the token was made for: "azp" if it is there, else "aud".
	Audience string
	Expires  time.Time
	// Values are all claims that are a text, a number, true or false, or a list
	// of those, as text; "aud" is Audience, and "oaud" the original one beside
	// an "azp".
	Values map[string][]string
	// Tags, Transitive and SourceIdentity are for a session that begins with
	// the token: the claims https://aws.amazon.com/tags and
	// https://aws.amazon.com/source_identity.
	Tags           map[string]string
	Transitive     []string
	SourceIdentity string
}

// Verifier verifies tokens and keeps issuers' keys for a while. It may be used
// by many at once.
type Verifier struct {
	now      func() time.Time
	distance func(netip.Addr) distance // distanceOf, or a test's

	mu      sync.Mutex
	issuers map[string]*issuer
}

// New makes a Verifier; now is the clock.
func New(now func() time.Time) *Verifier {
	return &Verifier{now: now, distance: distanceOf, issuers: map[string]*issuer{}}
}

// token is the part of a token that is looked at before anybody believes it.
type token struct {
	jws    *jose.JSONWebSignature
	claims map[string]json.RawMessage
	issuer string
}

// Verify verifies a token of one of the issuers that find knows, by the "iss"
// of the token. Its errors are *Error, and those of find.
func (v *Verifier) Verify(ctx context.Context, raw string, find func(issuer string) (Provider, error)) (*Claims, error) {
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	p, err := find(t.issuer)
	if err != nil {
		return nil, err
	}
	if strings.TrimSuffix(p.Issuer, "/") != strings.TrimSuffix(t.issuer, "/") {
		return nil, invalid("The token's issuer is %.100q, and not the provider's", t.issuer)
	}
	// What costs nothing is looked at first: nobody makes the node ask an
	// issuer with a token that would not do anyway.
	claims, err := t.check(p, v.now())
	if err != nil {
		return nil, err
	}
	header := t.jws.Signatures[0].Protected
	keys, err := v.keys(ctx, p, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if _, err := t.jws.Verify(&keys[i]); err == nil {
			return claims, nil
		}
	}
	return nil, invalid("The token's signature is not one of its issuer's")
}

// parse reads a token, and believes nothing.
func parse(raw string) (*token, error) {
	notJWT := invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	if len(raw) > MaxToken {
		return nil, invalid("The token has %d characters: it may have %d", len(raw), MaxToken)
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if alg := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &alg) {
		return nil, invalid("The token is signed by %.20q: it may be one of %v", alg.Got, algorithms)
	}
	if err != nil || len(jws.Signatures) != 1 {
		return nil, notJWT
	}
	if _, ok := jws.Signatures[0].Protected.ExtraHeaders["crit"]; ok {
		return nil, invalid("The token's header has \"crit\", and no extensions are understood")
	}
	t := &token{jws: jws}
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &t.claims); err != nil {
		return nil, notJWT
	}
	if t.issuer, err = t.text("iss", true); err != nil {
		return nil, err
	}
	return t, nil
}

// check looks at all that a token says.
func (t *token) check(p Provider, now time.Time) (*Claims, error) {
	c := &Claims{Issuer: p.Issuer, Values: map[string][]string{}}
	var err error
	if c.Subject, err = t.text("sub", true); err != nil {
		return nil, err
	}
	audiences, ok := values(t.claims["aud"])
	if !ok || len(audiences) == 0 || slices.Contains(audiences, "") {
		return nil, invalid("Missing a required claim: aud")
	}
	azp, err := t.text("azp", false)
	switch {
	case err != nil:
		return nil, err
	case azp != "":
		c.Audience = azp
	case len(audiences) > 1:
		return nil, invalid("The token has %d audiences and does not say by azp which of them it was made for", len(audiences))
	default:
		c.Audience = audiences[0]
	}
	if !slices.Contains(p.Audiences, c.Audience) {
		return nil, invalid("Incorrect token audience")
	}
	if err := t.times(c, now); err != nil {
		return nil, err
	}
	for name, doc := range t.claims {
		if vs, ok := values(doc); ok {
			c.Values[name] = vs
		}
	}
	c.Values["aud"] = []string{c.Audience}
	if azp != "" {
		c.Values["oaud"] = audiences
	}
	return c, t.session(c)
}

// times looks at when a token is good.
func (t *token) times(c *Claims, now time.Time) error {
	var err error
	if c.Expires, err = t.time("exp", true); err != nil {
		return err
	}
	issued, err := t.time("iat", true)
	if err != nil {
		return err
	}
	from, err := t.time("nbf", false)
	switch {
	case err != nil:
		return err
	case !now.Add(-Skew).Before(c.Expires):
		return &Error{Kind: Expired, Reason: fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d",
			now.Unix(), c.Expires.Unix())}
	case issued.After(now.Add(Skew)):
		return invalid("The token was issued at %d, after the current date/time %d", issued.Unix(), now.Unix())
	case from.After(now.Add(Skew)):
		return invalid("The token is good from %d, and the current date/time is %d", from.Unix(), now.Unix())
	}
	return nil
}

// text is a claim that has to be a text.
func (t *token) text(name string, required bool) (string, error) {
	doc, ok := t.claims[name]
	if !ok && !required {
		return "", nil
	}
	var s string
	if !ok || json.Unmarshal(doc, &s) != nil || s == "" {
		return "", invalid("Missing a required claim: %s", name)
	}
	return s, nil
}

// time is a claim that has to be seconds since 1970.
func (t *token) time(name string, required bool) (time.Time, error) {
	doc, ok := t.claims[name]
	if !ok && !required {
		return time.Time{}, nil
	}
	var seconds float64
	if !ok || json.Unmarshal(doc, &seconds) != nil {
		return time.Time{}, invalid("Missing a required claim: %s", name)
	}
	// Past the year 9999, or before 1970, nobody means it.
	if seconds < 0 || seconds > 253402300799 {
		return time.Time{}, invalid("The claim %s is %.0f: seconds since 1970 are wanted", name, seconds)
	}
	return time.Unix(int64(seconds), 0), nil
}

// values are the texts of a claim that is a scalar or a list of them.
func values(doc json.RawMessage) ([]string, bool) {
	if len(doc) == 0 {
		return nil, false
	}
	var list []json.RawMessage
	if doc[0] != '[' {
		list = []json.RawMessage{doc}
	} else if json.Unmarshal(doc, &list) != nil {
		return nil, false
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		switch v[0] {
		case '{', '[', 'n':
			return nil, false
		case '"':
			var s string
			if json.Unmarshal(v, &s) != nil {
				return nil, false
			}
			texts = append(texts, s)
		default: // a number, true or false, as it stands there
			texts = append(texts, string(v))
		}
	}
	return texts, true
}

// Names of the claims for sessions.
const (
	claimTags   = "https://aws.amazon.com/tags"
	claimSource = "https://aws.amazon.com/source_identity"
)

// session reads what the token says about a session, in the nested or the flat
// form.
func (t *token) session(c *Claims) error {
	var err error
	if c.SourceIdentity, err = t.text(claimSource, false); err != nil {
		return invalid("The claim %s is not a text", claimSource)
	}
	nested := struct {
		Principal  map[string]json.RawMessage `json:"principal_tags"`
		Transitive json.RawMessage            `json:"transitive_tag_keys"`
	}{Principal: map[string]json.RawMessage{}}
	if doc, ok := t.claims[claimTags]; ok && json.Unmarshal(doc, &nested) != nil {
		return invalid("The claim %s is not an object with principal_tags and transitive_tag_keys", claimTags)
	}
	for name, doc := range t.claims {
		if key, ok := strings.CutPrefix(name, claimTags+"/principal_tags/"); ok {
			if nested.Principal == nil {
				nested.Principal = map[string]json.RawMessage{}
			}
			nested.Principal[key] = doc
		}
	}
	if doc, ok := t.claims[claimTags+"/transitive_tag_keys"]; ok {
		nested.Transitive = doc
	}
	for key, doc := range nested.Principal {
		vs, ok := values(doc)
		if !ok || len(vs) != 1 {
			return invalid("The session tag %s of the token does not have one value", strconv.Quote(key))
		}
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[key] = vs[0]
	}
	if nested.Transitive != nil {
		vs, ok := values(nested.Transitive)
		if !ok {
			return invalid("The token's transitive_tag_keys are not a list of texts")
		}
		c.Transitive = vs
	}
	return nil
}
