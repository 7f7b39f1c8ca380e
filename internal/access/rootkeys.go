package access

import (
	"fmt"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// RootKeys are Keys that hold the root key and no other, for tests of what needs
// no directory.
type RootKeys struct{ root *Credential }

// NewRootKeys makes Keys of the root key of a node at place.
func NewRootKeys(key *Key, place gust.Place) *RootKeys { return &RootKeys{RootCredential(key, place)} }

// RootCredential is what the root key stands for: who may do everything in the
// account of place.
func RootCredential(key *Key, place gust.Place) *Credential {
	return &Credential{
		KeyID: key.ID, Secret: key.Secret,
		Principal: &Principal{
			Kind: KindRoot, Name: "root", ARN: fmt.Sprintf("arn:aws:iam::%s:root", place.Account),
			ID: place.Account, Account: place.Account,
		},
		Rights: policy.Compile(policy.Layers{Root: true}),
	}
}

// Lookup finds the root key's credential, which has no session token.
func (k *RootKeys) Lookup(keyID, token string) (*Credential, error) {
	if keyID != k.root.KeyID || token != "" { // an ID is no secret
		return nil, &Error{Invalid, "the access key is not known"}
	}
	return k.root, nil
}

// Used notes nothing: nobody asks when the root key was last used.
func (*RootKeys) Used(*Credential, string, string, time.Time) {}
