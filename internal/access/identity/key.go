package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gust-dev/gust/internal/access"
)

// AccessKey is a long-lived key of a user.
type AccessKey struct {
	ID      string    `json:"id"`   // AKIA...
	User    string    `json:"user"` // the user's ID
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
	// Sealed is the secret under a key derived from the node's seal key.
	Sealed []byte `json:"sealed"`
	// Unusable tells that it was sealed under another seal key.
	Unusable bool `json:"-"`
	// Used is when it was last used, or nil.
	Used *Use `json:"-"`
}

// accessKey is a key as the directory holds it.
type accessKey struct {
	AccessKey
	secret string
	bound  atomic.Pointer[bound]
}

// bound is a credential made for an entity as it was; when the entity has
// changed, another one is made.
type bound struct {
	entity     *Entity
	policies   []*ManagedPolicy // of a session
	credential *access.Credential
}

// CreateKey makes an access key for a user, and returns its secret this once.
func (d *Directory) CreateKey(ctx context.Context, user string) (key *AccessKey, secret string, err error) {
	err = d.change(ctx, func(c *change) error {
		e, err := c.own(User(user))
		if err != nil {
			return err
		}
		if len(c.keysOf(e)) >= MaxKeysPerUser {
			return &LimitError{Quota: QuotaKeys, What: "access keys of user " + e.Name, Limit: MaxKeysPerUser}
		}
		k := &accessKey{AccessKey: AccessKey{ID: newID("AKIA"), User: e.ID, Active: true, Created: c.now}}
		var b [30]byte
		rand.Read(b[:])
		k.secret = base64.StdEncoding.EncodeToString(b[:]) // 40 characters, as AWS's
		k.Sealed = d.seal.key.Seal(nil, nil, []byte(k.secret), []byte(k.ID+k.User))
		key, secret = &k.AccessKey, k.secret
		return c.putKey(k)
	})
	if err != nil {
		return nil, "", err
	}
	return key, secret, nil
}

// SetKeyActive lets a key in, or keeps it out, from the next request on. One that
// is unusable is not let in.
func (d *Directory) SetKeyActive(ctx context.Context, user, id string, active bool) error {
	return d.change(ctx, func(c *change) error {
		was, err := c.keyOf(user, id)
		if err != nil {
			return err
		}
		if active && was.Unusable {
			return invalid("access key %s cannot be let in: it was sealed under another seal key than this node has; bring that back, or delete the key and make another one", id)
		}
		k := &accessKey{AccessKey: was.AccessKey, secret: was.secret}
		k.Active = active
		return c.putKey(k)
	})
}

// DeleteKey removes a key.
func (d *Directory) DeleteKey(ctx context.Context, user, id string) error {
	return d.change(ctx, func(c *change) error {
		k, err := c.keyOf(user, id)
		if err != nil {
			return err
		}
		delete(c.keys, k.ID)
		c.delete("key/" + k.ID)
		c.delete("used/" + k.ID)
		return nil
	})
}

// Keys lists a user's keys, the oldest first.
func (d *Directory) Keys(user string) ([]*AccessKey, error) {
	st := d.state.Load()
	e := st.entities[User(user).key()]
	if e == nil {
		return nil, missing(KindUser, user)
	}
	var list []*AccessKey
	for _, k := range st.keysOf(e) {
		shown := k.AccessKey
		shown.Used = d.usage.of(k.ID)
		list = append(list, &shown)
	}
	return list, nil
}

// KeyOwner finds the user of a key.
func (d *Directory) KeyOwner(id string) (*Entity, *AccessKey, error) {
	st := d.state.Load()
	k := st.keys[id]
	if k == nil {
		return nil, nil, missing(KindKey, id)
	}
	shown := k.AccessKey
	shown.Used = d.usage.of(k.ID)
	return st.byID[k.User], &shown, nil
}

func (st *state) keysOf(e *Entity) []*accessKey {
	var list []*accessKey
	for _, k := range st.keys {
		if k.User == e.ID {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *accessKey) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

func (c *change) keyOf(user, id string) (*accessKey, error) {
	e, err := c.own(User(user))
	if err != nil {
		return nil, err
	}
	k := c.keys[id]
	if k == nil || k.User != e.ID {
		return nil, &NotFoundError{Kind: KindKey, What: "access key of user " + e.Name, Name: id}
	}
	return k, nil
}

func (c *change) putKey(k *accessKey) error {
	c.keys[k.ID] = k
	return c.write("key/"+k.ID, &k.AccessKey)
}

// unseal opens a stored key's secret. One that does not open was sealed under
// another key, or is damaged: it is refused, and the others go on.
func (d *Directory) unseal(k *accessKey) {
	secret, err := d.seal.key.Open(nil, nil, k.Sealed, []byte(k.ID+k.User))
	if err != nil {
		k.Unusable = true
		d.log.Error("an access key cannot be opened, and is refused: it was sealed under another seal key than this node has, or is damaged; "+
			"bring the seal key back, or delete the access key and make another one", "key", k.ID, "user", k.User)
		return
	}
	k.secret = string(secret)
}

// seal is what the node's seal key is for here.
type seal struct {
	key   cipher.AEAD // access keys' secrets
	seed  cipher.AEAD // MFA devices' seeds
	token cipher.AEAD // sessions' tokens
	mac   []byte      // sessions' secrets are made of their key IDs
	tasks []byte      // names of deletion tasks are signed
	place []byte      // what tokens are bound to
}

func newSeal(key [32]byte, account string) *seal {
	derive := func(use string) []byte {
		k, err := hkdf.Key(sha256.New, key[:], nil, "gust identity "+use, 32)
		if err != nil { // 32 bytes are never too many
			panic(err)
		}
		return k
	}
	aead := func(use string) cipher.AEAD {
		block, err := aes.NewCipher(derive(use))
		if err != nil { // of 32 bytes it always is one
			panic(err)
		}
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err)
		}
		return gcm
	}
	return &seal{key: aead("access keys"), seed: aead("MFA devices"), token: aead("session tokens"), mac: derive("session secrets"), tasks: derive("deletion tasks"), place: []byte(account)}
}

// secret is the secret key of a session.
func (s *seal) secret(keyID string) string {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(keyID))
	return base64.StdEncoding.EncodeToString(h.Sum(nil)[:30])
}
