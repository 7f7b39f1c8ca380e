// Package wiretest lets tests of AWS services in through the real door, with a
// root key that is the tests' own.
package wiretest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/store"
)

// Key is the key of who may do everything.
var Key = access.Key{ID: "AKIAWIRETESTWIRETEST", Secret: "0123456789012345678901234567890123456789"}

// Bearer is an Authorization header that needs no signature.
var Bearer = "Bearer " + Key.Token()

// Door is a guard and what it was asked.
type Door struct {
	*guard.Guard
	Store *store.Store
	Log   *audit.Log

	root   *access.Credential
	mu     sync.Mutex
	needs  []access.Need
	denied map[string]bool
}

// New makes a door. It is closed when the test is over.
func New(t testing.TB) *Door {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir(), Durability: store.DurabilityInterval})
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(context.Background(), s, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &Door{Store: s, Log: log, root: access.RootCredential(&Key, gust.DefaultPlace), denied: map[string]bool{}}
	d.Guard = guard.New(access.New(d, access.Options{}), d, log, nil)
	return d
}

// Lookup finds what Key stands for.
func (d *Door) Lookup(id, token string) (*access.Credential, error) {
	if id != Key.ID || token != "" {
		return nil, &access.Error{Code: access.Invalid, Detail: "the access key is not known"}
	}
	return d.root, nil
}

// Used is part of access.Keys: nobody asks when Key was last used.
func (d *Door) Used(*access.Credential, string, string, time.Time) {}

// Deny has an action denied from now on, or not anymore.
func (d *Door) Deny(action string, denied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.denied[action] = denied
}

// Decide is what the guard asks.
func (d *Door) Decide(_ *access.Caller, n *access.Need) policy.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.needs = append(d.needs, *n)
	return policy.Decision{Allowed: !d.denied[n.Action], Layer: policy.LayerIdentity}
}

// Needs are what was asked since the last time: "action resource".
func (d *Door) Needs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, n := range d.needs {
		all = append(all, n.Action+" "+n.Resource)
	}
	d.needs = nil
	return all
}

// Sign signs a request for a service with Key, by Signature Version 4.
func Sign(t testing.TB, r *http.Request, service string) {
	t.Helper()
	SignAs(t, r, service, &Key)
}

// SignAs is Sign with another key.
func SignAs(t testing.TB, r *http.Request, service string, key *access.Key) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	now := time.Now().UTC()
	stamp, region := now.Format("20060102T150405Z"), gust.DefaultPlace.Region
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Date", stamp)
	names := []string{"host"}
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range names {
		value := r.Host
		if name != "host" {
			value = strings.Join(r.Header.Values(name), ",")
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + strings.Join(names, ";") + "\n" + hex.EncodeToString(sum[:])
	scope := strings.Join([]string{stamp[:8], region, service, "aws4_request"}, "/")
	hash := sha256.Sum256([]byte(canonical))
	signing := []byte("AWS4" + key.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		signing = mac(signing, part)
	}
	signature := mac(signing, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:]))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", key.ID, scope, strings.Join(names, ";"), signature))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
