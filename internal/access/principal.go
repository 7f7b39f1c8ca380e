package access

import (
	"net/netip"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Kind is what sort of principal somebody is.
type Kind string

const (
	// KindRoot may do everything on the node.
	KindRoot Kind = "root"
	// KindUser is a person or a machine with access keys of its own.
	KindUser Kind = "user"
	// KindRole is who has assumed a role: a function, or somebody for a while.
	KindRole Kind = "role"
	// KindFederated is a web identity: who has no key here, and for whom an identity
	// provider vouches when they ask for a session.
	KindFederated Kind = "federated"
	// KindAnonymous is who has shown no credential, where none is asked for.
	KindAnonymous Kind = "anonymous"
)

// Principal is who asks. It is shared and never changed.
type Principal struct {
	Kind Kind
	// Name is the user's or the role's; root's is "root".
	Name string
	// Session is the name of an assumed role's session.
	Session string
	// ARN is that of the user, of root, or of the assumed role's session.
	ARN string
	// RoleARN is that of the role itself, of who has assumed it.
	RoleARN string
	// ID is aws:userid: the account, "AIDA...", or "AROA...:SESSION".
	ID      string
	Account string
	// Tags are the principal's, with its session's over them.
	Tags           map[string]string
	SourceIdentity string
	// Transitive are the keys of those tags that go on to roles which the
	// session assumes.
	Transitive []string
	// Provider is the ARN of the identity provider that vouched for a session,
	// or vouches for a web identity; ProviderKeys are the condition keys of a
	// session's token, in lower case.
	Provider     string
	ProviderKeys map[string][]string
	// Issued is when a session began; zero for long-lived keys.
	Issued time.Time
	// Factor is when a second factor was shown, zero if none was.
	Factor time.Time
	// Function is the function whose own role this is.
	Function string
}

// Service is for whom requests to Gust's own API are signed.
const Service = "gust"

// Credential is what a key stands for, or a key and its session token. It is
// shared and never changed.
type Credential struct {
	KeyID     string
	Secret    string
	Principal *Principal
	// Rights are what the principal may do.
	Rights *policy.Rights
	// Expires is zero for what does not.
	Expires time.Time
}

// RootCredential is what the root key stands for: who may do everything in the
// account of place.
func RootCredential(key *Key, place gust.Place) *Credential {
	return &Credential{
		KeyID: key.ID, Secret: key.Secret,
		Principal: &Principal{
			Kind: KindRoot, Name: "root", ARN: place.IAM("root"),
			ID: place.Account, Account: place.Account,
		},
		Rights: policy.Compile(policy.Layers{Root: true}),
	}
}

// Keys is where credentials are: identity.Directory, or a test's.
type Keys interface {
	// Lookup finds the credential of a key, and of the session token that came
	// with it, if one did. Its error is an *Error: Invalid (not known, not
	// active, revoked) or Expired. It may find a credential that has expired:
	// who proves to hold it is then told, by Expires.
	Lookup(keyID, token string) (*Credential, error)
	// Used notes that somebody has proven to hold a credential. It touches no
	// disk.
	Used(c *Credential, service, region string, at time.Time)
}

// Caller is who sent a request, and how.
type Caller struct {
	*Credential
	// Service and Region are a signature's scope; empty for a bearer token.
	Service, Region string
	// Source is the peer of the connection.
	Source netip.Addr
	// Environment is the one through whose own listener the request came.
	Environment string
	// Secure tells that the request came over TLS, or through an environment's
	// own listener, which leaves no machine. Without TLS the loopback does not
	// count: a proxy there says nothing of how the request came to it.
	Secure    bool
	UserAgent string
	// At is when the request came, or its caller was last renewed.
	At time.Time
	// SignedBy is "header", "query", "bearer", or empty for the anonymous.
	SignedBy string

	token string // the session's, which came with the key
}

// Need is what a request has to be allowed.
type Need struct {
	// Action is "service:Operation".
	Action string
	// Resource is an ARN, or "*" for an action that has none.
	Resource string
	// Shown is what a denial calls the resource, if not that: who may not must
	// not learn what is there, and as what, from how it is named.
	Shown string
	// Keys are condition keys in lower case beside those that every request
	// has.
	Keys map[string][]string
}
