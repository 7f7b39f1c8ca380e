package access

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Options are an Authenticator's settings; the zero value has the defaults.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Region that signatures have to be scoped to; empty means that of
	// gust.DefaultPlace.
	Region string
	// MaxBody bounds what is read into memory to verify a signature, a body or
	// one signed chunk of it, in bytes; 0 means 8 MB. Bearer tokens and
	// unsigned payloads read nothing.
	MaxBody int64
}

// MaxSkew is how far a signature's time may be from the node's, either way, as
// with AWS.
const MaxSkew = 5 * time.Minute

const defaultMaxBody = 8 * gust.MB

// Authenticator checks credentials. It is safe for use by many goroutines.
type Authenticator struct {
	keys    Keys
	now     func() time.Time
	region  string
	maxBody int64
	cache   *signingKeys
}

// New makes an Authenticator that knows the credentials that keys has.
func New(keys Keys, o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == "" {
		o.Region = gust.DefaultPlace.Region
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	return &Authenticator{keys: keys, now: o.Now, region: o.Region, maxBody: o.MaxBody, cache: newSigningKeys()}
}

// Authenticate checks the request's credential. It accepts
//
//   - AWS Signature Version 4 in the Authorization header or in the query of a
//     presigned request, with X-Amz-Security-Token for a session, over the body,
//     over its chunks, or over neither (UNSIGNED-PAYLOAD) where nobody can change
//     it on the way: TLS, loopback, a Unix socket;
//   - "Authorization: Bearer <access key id>.<secret>", and
//     "<access key id>.<secret>.<session token>" for a session.
//
// A body that it had to read is verified and put back as r.Body; Body returns it
// without a copy. One that comes in chunks is decoded and verified while it is
// read: reading r.Body gives an *Error where it is not what was signed, the last
// bytes come when all is verified, r.ContentLength is the decoded length, and
// r.Trailer has the checksums at the end. The error is an *Error, is gust.ErrTooLarge
// when the body is over the limit, gust.ErrBusy or ErrSlow where Bodies says so, or is
// that of reading the body.
func (a *Authenticator) Authenticate(r *http.Request) (*Caller, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return nil, &Error{Malformed, "more than one Authorization header"}
	}
	auth := authorization{}
	inQuery := queryClaim(r.URL.RawQuery)
	if len(values) == 0 || values[0] == "" {
		switch inQuery {
		case claimV4:
			if err := auth.parseQuery(r.URL.RawQuery); err != nil {
				return nil, &Error{Malformed, err.Error()}
			}
			return a.verify(r, &auth)
		case claimV4A:
			return nil, unsupported4A()
		case claimV2:
			return nil, unsupported2()
		}
		return nil, &Error{Missing, "no Authorization header"}
	}
	value := values[0]
	if len(value) > maxAuthorization {
		return nil, &Error{Malformed, fmt.Sprintf("the Authorization header is longer than %d bytes", maxAuthorization)}
	}
	if inQuery == claimV4 || inQuery == claimV4A {
		return nil, &Error{Malformed, "the request has both an Authorization header and a signature in the query: use one of them"}
	}
	scheme, rest, _ := strings.Cut(value, " ")
	switch {
	case scheme == algorithm:
		if err := auth.parseHeader(rest, r.Header); err != nil {
			return nil, &Error{Malformed, err.Error()}
		}
		return a.verify(r, &auth)
	case strings.EqualFold(scheme, "Bearer"):
		return a.bearer(r, strings.TrimSpace(rest))
	case scheme == algorithmV4A:
		return nil, unsupported4A()
	case scheme == "AWS":
		return nil, unsupported2()
	default:
		return nil, &Error{Malformed, "the Authorization scheme is neither Bearer nor " + algorithm}
	}
}

func unsupported4A() error {
	return &Error{Unsupported, "the signature algorithm " + algorithmV4A + " (Signature Version 4A) is not supported: use " + algorithm}
}

func unsupported2() error {
	return &Error{Unsupported, "AWS Signature Version 2 is not supported: use " + algorithm}
}

// bearer compares digests, so that neither the length nor a prefix of the right
// secret can be timed.
func (a *Authenticator) bearer(r *http.Request, text string) (*Caller, error) {
	key, ok := ParseToken(text)
	if !ok {
		return nil, &Error{Invalid, "the bearer token is none: want KEY-ID.SECRET, with .SESSION-TOKEN of a session"}
	}
	c, err := a.keys.Lookup(key.ID, key.Session)
	if err != nil {
		return nil, err
	}
	got, want := sha256.Sum256([]byte(key.Secret)), sha256.Sum256([]byte(c.Secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return nil, &Error{Invalid, "the bearer token is not the key's"}
	}
	now := a.now()
	if err := c.expired(now); err != nil {
		return nil, err
	}
	if err := incomingOf(r).prove(); err != nil {
		return nil, err
	}
	return a.admit(r, c, key.Session, scope{}, "bearer", now), nil
}

// admit notes that somebody has proven to hold a credential.
func (a *Authenticator) admit(r *http.Request, c *Credential, token string, s scope, signedBy string, now time.Time) *Caller {
	// A bearer token is for no service of AWS's, and is Gust's own way in.
	a.keys.Used(c, cmp.Or(s.service, Service), cmp.Or(s.region, a.region), now)
	caller := newCaller(r, now)
	caller.Credential, caller.token, caller.Service, caller.Region, caller.SignedBy = c, token, s.service, s.region, signedBy
	return caller
}

// Renew looks up what the caller holds again, as it is now: a request lasts as
// long as its sender likes, and its credential may have been taken away since it
// was proven, or may do less. An ID is never given to another key, so nothing has
// to be proven again. The error is an *Error, as of a new request.
func (a *Authenticator) Renew(c *Caller) error {
	if c.SignedBy == "" { // the anonymous hold nothing
		return nil
	}
	credential, err := a.keys.Lookup(c.KeyID, c.token)
	if err != nil {
		return err
	}
	now := a.now()
	if err := credential.expired(now); err != nil {
		return err
	}
	c.Credential, c.At = credential, now
	return nil
}

// expired tells who has proven to hold the credential that its time is over.
func (c *Credential) expired(now time.Time) error {
	if c.Expires.IsZero() || now.Before(c.Expires) {
		return nil
	}
	return &Error{Expired, fmt.Sprintf("the session ended at %s and the time here is %s: ask for a new one",
		c.Expires.UTC().Format(amzDate), now.UTC().Format(amzDate))}
}
