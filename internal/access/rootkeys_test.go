package access

import (
	"time"

	gust "github.com/gust-dev/gust"
)

// rootKeys are Keys that hold the root key and no other.
type rootKeys struct{ root *Credential }

func newRootKeys(key *Key, place gust.Place) *rootKeys { return &rootKeys{RootCredential(key, place)} }

// Lookup finds the root key's credential, which has no session token.
func (k *rootKeys) Lookup(keyID, token string) (*Credential, error) {
	if keyID != k.root.KeyID || token != "" { // an ID is no secret
		return nil, &Error{Invalid, "the access key is not known"}
	}
	return k.root, nil
}

// Used notes nothing: nobody asks when the root key was last used.
func (*rootKeys) Used(*Credential, string, string, time.Time) {}
