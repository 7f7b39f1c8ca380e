package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
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
	// MaxBody bounds the body that is read to verify a signature, in bytes;
	// 0 means 8 MB. Bearer tokens and unsigned payloads read nothing.
	MaxBody int64
}

// MaxSkew is how far a signature's time may be from the node's, either way, as
// with AWS.
const MaxSkew = 5 * time.Minute

const defaultMaxBody = 8 * gust.MB

// Authenticator checks credentials. It is safe for use by many goroutines.
type Authenticator struct {
	now     func() time.Time
	region  string
	maxBody int64

	keyID  string
	secret string
	token  [sha256.Size]byte // SHA-256 of the bearer token

	keys atomic.Pointer[map[scope]signingKey]
}

// New makes an Authenticator that knows one key, the root key.
func New(key *Key, o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == "" {
		o.Region = gust.DefaultPlace.Region
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	a := &Authenticator{
		now: o.Now, region: o.Region, maxBody: o.MaxBody,
		keyID: key.ID, secret: key.Secret,
		token: sha256.Sum256([]byte(key.Token())),
	}
	a.keys.Store(&map[scope]signingKey{})
	return a
}

// Authenticate checks the request's credential. It accepts
//
//   - AWS Signature Version 4 in the Authorization header, over the body or
//     over UNSIGNED-PAYLOAD where nobody can change it on the way (TLS,
//     loopback, a Unix socket);
//   - "Authorization: Bearer <access key id>.<secret>".
//
// A body that it had to read is verified and put back as r.Body; Body returns it
// without a copy. The error is an *Error, is gust.ErrTooLarge when the body is
// over the limit, or is that of reading the body.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	values := r.Header["Authorization"]
	switch {
	case len(values) > 1:
		return Principal{}, &Error{Malformed, "more than one Authorization header"}
	case len(values) == 0 && presigned(r.URL.RawQuery):
		return Principal{}, &Error{Unsupported, "presigned requests (X-Amz-Signature in the query) are not supported: sign the Authorization header"}
	case len(values) == 0 || values[0] == "":
		return Principal{}, &Error{Missing, "no Authorization header"}
	}
	value := values[0]
	scheme, rest, _ := strings.Cut(value, " ")
	switch {
	case scheme == algorithm:
		return a.verify(r, rest)
	case strings.EqualFold(scheme, "Bearer"):
		return a.bearer(strings.TrimSpace(rest))
	case scheme == "AWS4-ECDSA-P256-SHA256":
		return Principal{}, &Error{Unsupported, "the signature algorithm AWS4-ECDSA-P256-SHA256 (Signature Version 4A) is not supported: use " + algorithm}
	case scheme == "AWS":
		return Principal{}, &Error{Unsupported, "AWS Signature Version 2 is not supported: use " + algorithm}
	default:
		return Principal{}, &Error{Malformed, fmt.Sprintf("the Authorization scheme is neither Bearer nor %s", algorithm)}
	}
}

// bearer compares digests, so that neither the length nor a prefix of the right
// token can be timed.
func (a *Authenticator) bearer(token string) (Principal, error) {
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
		return Principal{}, &Error{Invalid, "the bearer token is not the root key's"}
	}
	return Principal{Kind: KindRoot, Name: "root", KeyID: a.keyID}, nil
}
