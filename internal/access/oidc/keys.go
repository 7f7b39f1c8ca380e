package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// fresh is how long an issuer's keys are used without asking again: as long
	// may a key be used that it has taken back.
	fresh = 5 * time.Minute
	// stale is how long they are used while the issuer cannot be asked.
	stale = time.Hour
	// again is how long after a question the next one waits, whatever is asked
	// for: tokens of unknown keys do not make a node ask without end.
	again = 10 * time.Second
	// maxKeys is how many keys an issuer may have.
	maxKeys = 100
	// maxRSABits and minRSABits bound a modulus: one that is easily broken, and
	// one that takes long to verify with.
	minRSABits, maxRSABits = 2048, 8192
)

// issuer is what is known of one.
type issuer struct {
	mu      sync.Mutex // not held while it is asked
	keys    []jose.JSONWebKey
	fetched time.Time     // when keys were learnt
	asked   time.Time     // when it was last asked
	err     error         // why that failed
	asking  chan struct{} // closed when the question under way is answered; nil if none is
}

// keys finds the keys by which a token may be signed that names this key id and
// algorithm. Those that are known and fresh are had without waiting for others
// who ask the issuer: anybody makes the node ask, with a token that names some
// other key.
func (v *Verifier) keys(ctx context.Context, p Provider, kid, algorithm string) ([]jose.JSONWebKey, error) {
	is := v.issuer(p)
	is.mu.Lock()
	defer is.mu.Unlock()
	now := v.now()
	found := choose(is.keys, kid, algorithm)
	if len(found) == 0 || !within(now, is.fetched, fresh) {
		switch {
		case is.asking != nil && len(found) > 0 && is.err != nil:
			// It did not answer when it was last asked.
		case is.asking != nil:
			if err := is.wait(ctx); err != nil {
				return nil, err
			}
		case !within(now, is.asked, again):
			// Who waits needs the answer, too, though who asks may leave.
			is.ask(now, func() ([]jose.JSONWebKey, error) { return v.fetchKeys(context.WithoutCancel(ctx), p) })
		}
		now, found = v.now(), choose(is.keys, kid, algorithm)
	}
	switch {
	case len(found) > 0 && within(now, is.fetched, stale):
		return found, nil
	case is.err != nil:
		return nil, &Error{Kind: Unreachable, Err: is.err,
			Reason: "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"}
	}
	return nil, invalid("The token's key %.100q (%s) is not one of its issuer's", kid, algorithm)
}

// wait waits, without the lock, until the question under way is answered.
func (is *issuer) wait(ctx context.Context) error {
	answered := is.asking
	is.mu.Unlock()
	defer is.mu.Lock()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask has the issuer asked, without the lock.
func (is *issuer) ask(now time.Time, fetch func() ([]jose.JSONWebKey, error)) {
	is.asking, is.asked = make(chan struct{}), now
	is.mu.Unlock()
	var keys []jose.JSONWebKey
	err := errors.New("the question broke off")
	defer func() {
		is.mu.Lock()
		close(is.asking)
		is.asking, is.err = nil, err
		if err == nil {
			is.keys, is.fetched = keys, now
		}
	}()
	keys, err = fetch()
}

// within tells whether it is less than d since at. A clock that went back tells
// nothing.
func within(now, at time.Time, d time.Duration) bool {
	since := now.Sub(at)
	return since >= 0 && since < d
}

// issuer is the entry of a provider. Another thumbprint is another entry: what
// was learnt from a host that is no longer trusted does not count.
func (v *Verifier) issuer(p Provider) *issuer {
	key := strings.TrimSuffix(p.Issuer, "/") + " " + strings.Join(p.Thumbprints, " ")
	v.mu.Lock()
	defer v.mu.Unlock()
	is := v.issuers[key]
	if is == nil {
		// There are few providers; entries of those that are gone or changed
		// do not pile up.
		for len(v.issuers) >= 2*maxKeys {
			for k := range v.issuers {
				delete(v.issuers, k)
				break
			}
		}
		is = &issuer{}
		v.issuers[key] = is
	}
	return is
}

// choose finds the keys with an id that fit an algorithm. A token that names no
// key has to be of the only one that fits.
func choose(keys []jose.JSONWebKey, kid, algorithm string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, k := range keys {
		if (kid == "" || k.KeyID == kid) && fits(&k, algorithm) {
			found = append(found, k)
		}
	}
	if kid == "" && len(found) > 1 {
		return nil
	}
	return found
}

// fits tells whether a key may have signed by an algorithm.
func fits(k *jose.JSONWebKey, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch pub := k.Key.(type) {
	case *rsa.PublicKey:
		return algorithm[0] != 'E'
	case *ecdsa.PublicKey:
		return algorithm == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[pub.Params().Name]
	}
	return false
}

// fetchKeys asks an issuer for its keys: where they are, and then there.
func (v *Verifier) fetchKeys(ctx context.Context, p Provider) ([]jose.JSONWebKey, error) {
	f, err := v.newFetcher(p)
	if err != nil {
		return nil, err
	}
	defer f.close()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	issuer := strings.TrimSuffix(p.Issuer, "/")
	doc, err := f.get(ctx, issuer+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(doc, &about); err != nil {
		return nil, fmt.Errorf("the configuration of the issuer %s is not JSON as OpenID Connect Discovery has it: %w", issuer, err)
	}
	if strings.TrimSuffix(about.Issuer, "/") != issuer {
		return nil, fmt.Errorf("the configuration of the issuer %s is that of %.100q", issuer, about.Issuer)
	}
	if doc, err = f.get(ctx, about.Keys); err != nil {
		return nil, err
	}
	return parseKeys(doc)
}

// parseKeys reads a set of keys. Those that are not understood, or not for
// signatures, are passed over, as RFC 7517 says.
func parseKeys(doc []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(doc, &set); err != nil {
		return nil, fmt.Errorf("the issuer's keys are not JSON as RFC 7517 has it: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer has %d keys: it may have %d", len(set.Keys), maxKeys)
	}
	keys := make([]jose.JSONWebKey, 0, len(set.Keys))
	for _, doc := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(doc); err != nil || !usable(&k) {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("none of the issuer's keys can verify a signature by one of " + fmt.Sprint(algorithms))
	}
	return keys, nil
}

// usable tells whether a key can verify one of the algorithms.
func usable(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(k.Algorithm)) {
		return false
	}
	switch pub := k.Key.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen() >= minRSABits && pub.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return true
	}
	return false // private and shared ones among them
}
