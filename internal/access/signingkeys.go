package access

import (
	"crypto/subtle"
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// signingKeys keeps the keys that signatures of a credential, day, region and
// service are made with: deriving one costs four HMACs. Only what was proven
// comes into it. It is a table of sets that are a few entries wide: there is
// no lock, what is put in takes the place of something else in its set, and
// its size is a bound without anything that keeps count.
type signingKeys struct {
	seed maphash.Seed
	sets [signingSets][signingWays]atomic.Pointer[keptKey]
}

// With 1,000 credentials of 8 services each, one in a hundred sets is full.
const (
	signingSets = 4096
	signingWays = 4
)

type keptKey struct {
	keyID, secret string
	scope         scope
	key           signingKey
}

func newSigningKeys() *signingKeys { return &signingKeys{seed: maphash.MakeSeed()} }

func (k *signingKeys) set(keyID string, s scope) (*[signingWays]atomic.Pointer[keptKey], uint64) {
	h := maphash.Comparable(k.seed, struct {
		keyID string
		scope scope
	}{keyID, s})
	return &k.sets[h%signingSets], h / signingSets
}

// find gives the signing key, and whether it was kept. The secret is compared
// too: a key id may have got another one.
func (k *signingKeys) find(c *Credential, s scope) (key signingKey, kept bool) {
	set, _ := k.set(c.KeyID, s)
	for i := range set {
		if e := set[i].Load(); e != nil && e.keyID == c.KeyID && e.scope == s &&
			subtle.ConstantTimeCompare([]byte(e.secret), []byte(c.Secret)) == 1 {
			return e.key, true
		}
	}
	return deriveKey(c.Secret, s), false
}

// keep puts a key in, in the place of the same one with another secret, of
// none, of one of another day, or of any.
func (k *signingKeys) keep(c *Credential, s scope, key signingKey) {
	s = scope{strings.Clone(s.date), strings.Clone(s.region), strings.Clone(s.service)} // not the request's memory
	set, h := k.set(c.KeyID, s)
	at, rank := int(h%signingWays), 0
	for i := range set {
		switch e := set[i].Load(); {
		case e != nil && e.keyID == c.KeyID && e.scope == s:
			at, rank = i, 3
		case e == nil && rank < 2:
			at, rank = i, 2
		case e != nil && e.scope.date != s.date && rank < 1:
			at, rank = i, 1
		}
	}
	set[at].Store(&keptKey{c.KeyID, c.Secret, s, key})
}
