package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	gust "github.com/gust-dev/gust"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// signers are made once: RSA keys take long.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	var err error
	for name, bits := range map[string]int{"rsa": 2048, "rsa2": 2048, "weak": 1024} {
		if made[name], err = rsa.GenerateKey(rand.Reader, bits); err != nil {
			panic(err)
		}
	}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		if made[name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			panic(err)
		}
	}
	return made
})

// server is an issuer, and a verifier that knows it.
type server struct {
	*httptest.Server
	t        *testing.T
	verifier *Verifier

	mu      sync.Mutex
	now     time.Time
	keys    []jose.JSONWebKey
	asked   int // for keys
	handler http.HandlerFunc
}

func newServer(t *testing.T, tls bool) *server {
	s := &server{t: t, now: start}
	for _, name := range []string{"rsa", "p256", "p384", "p521"} {
		s.keys = append(s.keys, jose.JSONWebKey{Key: signers()[name].Public(), KeyID: name, Use: "sig"})
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		handler, keys := s.handler, s.keys
		if r.URL.Path == "/keys" {
			s.asked++
		}
		s.mu.Unlock()
		switch {
		case handler != nil:
			handler(w, r)
		case r.URL.Path == "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
		case r.URL.Path == "/keys":
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys}) //nolint:errcheck // the test sees
		default:
			http.NotFound(w, r)
		}
	})
	if tls {
		s.Server = httptest.NewTLSServer(h)
	} else {
		s.Server = httptest.NewServer(h)
	}
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	s.verifier = New(func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now })
	return s
}

func (s *server) set(change func()) { s.mu.Lock(); defer s.mu.Unlock(); change() }

func (s *server) provider() Provider {
	p := Provider{Issuer: s.URL, Audiences: []string{"app", "other"}}
	if c := s.Certificate(); c != nil {
		p.Thumbprints = []string{strings.ToUpper(thumbprint(c))}
	}
	return p
}

// claims are good ones, with what is changed; nil takes one away.
func (s *server) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": s.URL, "sub": "repo:me", "aud": "app", "iat": start.Unix(), "exp": start.Add(time.Hour).Unix()}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (s *server) sign(alg, key, kid string, claims any) string {
	return sign(s.t, map[string]any{"alg": alg, "kid": kid}, signers()[key], claims)
}

// sign makes a token; its header says what header has.
func sign(t *testing.T, header map[string]any, key any, claims any) string {
	t.Helper()
	doc, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for k, v := range header {
		if k != "alg" && v != "" {
			o.ExtraHeaders[jose.HeaderKey(k)] = v
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(header["alg"].(string)), Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(doc)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *server) verify(raw string) (*Claims, error) {
	return s.verifier.Verify(context.Background(), raw, func(issuer string) (Provider, error) {
		if strings.TrimSuffix(issuer, "/") != s.URL {
			return Provider{}, gust.ErrNotFound
		}
		return s.provider(), nil
	})
}

func TestEveryAlgorithmOverTLS(t *testing.T) {
	s := newServer(t, true)
	for alg, key := range map[string]string{"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
		"ES256": "p256", "ES384": "p384", "ES512": "p521"} {
		c, err := s.verify(s.sign(alg, key, key, s.claims(nil)))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
		} else if c.Subject != "repo:me" || c.Audience != "app" || c.Issuer != s.URL || !c.Expires.Equal(start.Add(time.Hour)) {
			t.Errorf("%s: %+v", alg, c)
		}
	}
	if s.asked != 1 {
		t.Errorf("the issuer was asked %d times for its keys", s.asked)
	}
}

func TestClaims(t *testing.T) {
	s := newServer(t, false)
	for name, test := range map[string]struct {
		change map[string]any
		want   string // of the error
	}{
		"as it should be":         {},
		"a slash more":            {map[string]any{"iss": s.URL + "/"}, ""},
		"another issuer":          {map[string]any{"iss": "https://else"}, "not found"},
		"no issuer":               {map[string]any{"iss": nil}, "Missing a required claim: iss"},
		"issuer of another type":  {map[string]any{"iss": []string{s.URL}}, "Missing a required claim: iss"},
		"no subject":              {map[string]any{"sub": nil}, "Missing a required claim: sub"},
		"no audience":             {map[string]any{"aud": nil}, "Missing a required claim: aud"},
		"wrong audience":          {map[string]any{"aud": "APP"}, "Incorrect token audience"},
		"an empty audience":       {map[string]any{"aud": ""}, "Missing a required claim: aud"},
		"one in a list":           {map[string]any{"aud": []string{"app"}}, ""},
		"two":                     {map[string]any{"aud": []string{"app", "x"}}, "does not say by azp"},
		"two and azp":             {map[string]any{"aud": []string{"x", "y"}, "azp": "app"}, ""},
		"azp is another":          {map[string]any{"azp": "x"}, "Incorrect token audience"},
		"no expiry":               {map[string]any{"exp": nil}, "Missing a required claim: exp"},
		"expiry as text":          {map[string]any{"exp": "1"}, "Missing a required claim: exp"},
		"expiry in eternity":      {map[string]any{"exp": 1e300}, "seconds since 1970"},
		"expired":                 {map[string]any{"exp": start.Add(-Skew).Unix()}, "Token expired: current date/time 1795608000 must be before the expiration date/time 1795607940"},
		"expired within the skew": {map[string]any{"exp": start.Add(1-Skew).Unix() + 1}, ""},
		"from tomorrow":           {map[string]any{"nbf": start.Add(2 * Skew).Unix()}, "is good from"},
		"from soon":               {map[string]any{"nbf": start.Add(Skew).Unix()}, ""},
		"issued tomorrow":         {map[string]any{"iat": start.Add(2 * Skew).Unix()}, "was issued at"},
		"never issued":            {map[string]any{"iat": nil}, "Missing a required claim: iat"},
		"fractions":               {map[string]any{"iat": float64(start.Unix()) - 0.5}, ""},
	} {
		_, err := s.verify(s.sign("RS256", "rsa", "rsa", s.claims(test.change)))
		if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) && test.want != "" {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if e := (*Error)(nil); errors.As(err, &e) && (e.Kind == Expired) != strings.HasPrefix(e.Reason, "Token expired") {
			t.Errorf("%s: kind %v", name, e.Kind)
		}
	}
}

func TestSessionClaims(t *testing.T) {
	s := newServer(t, false)
	for name, change := range map[string]map[string]any{
		"nested": {"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"x"}}, "transitive_tag_keys": []string{"team"}}},
		"flat":   {"https://aws.amazon.com/tags/principal_tags/team": "x", "https://aws.amazon.com/tags/transitive_tag_keys": "team"},
	} {
		all := map[string]any{"https://aws.amazon.com/source_identity": "me", "amr": []string{"mfa", "x"}, "run": 7, "azp": "app", "aud": []string{"a", "b"},
			"deep": map[string]int{"a": 1}}
		maps.Copy(all, change)
		c, err := s.verify(s.sign("ES256", "p256", "p256", s.claims(all)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.Tags["team"] != "x" || fmt.Sprint(c.Transitive) != "[team]" || c.SourceIdentity != "me" {
			t.Errorf("%s: %+v", name, c)
		}
		if fmt.Sprint(c.Values["amr"], c.Values["run"], c.Values["aud"], c.Values["oaud"], c.Values["deep"]) != "[mfa x] [7] [app] [a b] []" {
			t.Errorf("%s: %v", name, c.Values)
		}
	}
	for _, change := range []map[string]any{
		{"https://aws.amazon.com/tags": "x"},
		{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"x", "y"}}}},
		{"https://aws.amazon.com/tags/transitive_tag_keys": map[string]any{}},
		{"https://aws.amazon.com/source_identity": 1},
	} {
		if _, err := s.verify(s.sign("ES256", "p256", "p256", s.claims(change))); err == nil {
			t.Errorf("%v is believed", change)
		}
	}
}

// TestForgery: tokens that somebody makes who knows all that is public.
func TestForgery(t *testing.T) {
	s := newServer(t, true)
	good := s.sign("RS256", "rsa", "rsa", s.claims(nil))
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	b64 := func(doc string) string { return base64.RawURLEncoding.EncodeToString([]byte(doc)) }
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(signers()["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	changed, err := json.Marshal(s.claims(map[string]any{"sub": "root"}))
	if err != nil {
		t.Fatal(err)
	}
	own := signers()["rsa2"]
	jwk, err := json.Marshal(jose.JSONWebKey{Key: own.Public(), KeyID: "rsa"})
	if err != nil {
		t.Fatal(err)
	}
	// Whoever follows a header asks this server.
	lure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("somebody was lured to %s", r.URL)
	}))
	defer lure.Close()
	header := func(extra map[string]any) map[string]any {
		h := map[string]any{"alg": "RS256", "kid": "rsa"}
		maps.Copy(h, extra)
		return h
	}
	for name, raw := range map[string]string{
		"no algorithm":             b64(`{"alg":"none"}`) + "." + parts[1] + ".",
		"None":                     b64(`{"alg":"None"}`) + "." + parts[1] + ".",
		"no alg at all":            b64(`{}`) + "." + parts[1] + "." + parts[2],
		"HS256 by the public key":  sign(t, map[string]any{"alg": "HS256", "kid": "rsa"}, public, s.claims(nil)),
		"HS256 by the DER":         sign(t, map[string]any{"alg": "HS256", "kid": "rsa"}, der, s.claims(nil)),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"another's claims":         parts[0] + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + parts[2],
		"another's header":         b64(`{"alg":"RS256","kid":"rsa","x":1}`) + "." + parts[1] + "." + parts[2],
		"an own key under its id":  sign(t, header(nil), own, s.claims(nil)),
		"an own key in the header": sign(t, header(map[string]any{"jwk": json.RawMessage(jwk)}), own, s.claims(nil)),
		"jku":                      sign(t, header(map[string]any{"jku": lure.URL}), own, s.claims(nil)),
		"x5u":                      sign(t, header(map[string]any{"x5u": lure.URL}), own, s.claims(nil)),
		"a key by its path":        sign(t, header(map[string]any{"kid": "../../dev/null"}), own, s.claims(nil)),
		"no key id":                sign(t, header(map[string]any{"kid": ""}), own, s.claims(nil)),
		"the curve of another":     s.sign("ES256", "p256", "p384", s.claims(nil)),
		"crit":                     b64(`{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}`) + "." + parts[1] + "." + parts[2],
		"JSON serialization":       fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"a part more":              good + ".x",
		"padding":                  parts[0] + "=." + parts[1] + "." + parts[2],
		"nothing":                  "",
		"dots":                     "..",
		"no JSON":                  b64(`{"alg":"RS256"}`) + "." + b64("[]") + "." + parts[2],
		"too long":                 s.sign("RS256", "rsa", "rsa", s.claims(map[string]any{"x": strings.Repeat("x", MaxToken)})),
		"deep":                     s.sign("RS256", "rsa", "rsa", s.claims(map[string]any{"x": json.RawMessage(strings.Repeat("[", 7000) + strings.Repeat("]", 7000))})) + "x",
	} {
		c, err := s.verify(raw)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Invalid {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestKeysOfASetThatAreNotUsed(t *testing.T) {
	s := newServer(t, false)
	shared := []byte("a secret that both sides know, long enough")
	s.keys = []jose.JSONWebKey{
		{Key: signers()["weak"].Public(), KeyID: "weak"},
		{Key: signers()["rsa"].Public(), KeyID: "enc", Use: "enc"},
		{Key: signers()["rsa2"].Public(), KeyID: "pinned", Algorithm: "RS512"},
		{Key: shared, KeyID: "shared"},
		{Key: signers()["p256"], KeyID: "private"},
		{Key: signers()["p384"].Public(), KeyID: "good"},
	}
	if _, err := s.verify(s.sign("ES384", "p384", "good", s.claims(nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.verify(s.sign("RS512", "rsa2", "pinned", s.claims(nil))); err != nil {
		t.Error(err)
	}
	for _, key := range [][3]string{{"RS256", "weak", "weak"}, {"RS256", "rsa", "enc"}, {"RS256", "rsa2", "pinned"}, {"ES256", "p256", "private"}} {
		if _, err := s.verify(s.sign(key[0], key[1], key[2], s.claims(nil))); err == nil {
			t.Errorf("the key %s is used for %s", key[2], key[0])
		}
	}
}

func TestAKeyWithoutIDHasToBeTheOnlyOne(t *testing.T) {
	s := newServer(t, false)
	raw := s.sign("RS256", "rsa", "", s.claims(nil))
	if _, err := s.verify(raw); err != nil {
		t.Fatal("one RSA key among others:", err)
	}
	s = newServer(t, false)
	s.keys = append(s.keys, jose.JSONWebKey{Key: signers()["rsa2"].Public(), KeyID: "rsa2"})
	if _, err := s.verify(s.sign("RS256", "rsa", "", s.claims(nil))); err == nil {
		t.Error("a token without a key id is believed though two keys fit")
	}
}

// TestRotation: new keys are learnt when a token names one, old ones forgotten
// after a while, and nobody makes the node ask again and again.
func TestRotation(t *testing.T) {
	s := newServer(t, false)
	old, next := s.sign("RS256", "rsa", "rsa", s.claims(nil)), s.sign("RS256", "rsa2", "rsa2", s.claims(nil))
	if _, err := s.verify(old); err != nil {
		t.Fatal(err)
	}
	s.set(func() { s.keys = []jose.JSONWebKey{{Key: signers()["rsa2"].Public(), KeyID: "rsa2"}} })
	for range 5 {
		if _, err := s.verify(next); err == nil {
			t.Fatal("the node asks at once again")
		}
	}
	if s.asked != 1 {
		t.Errorf("asked %d times", s.asked)
	}
	s.set(func() { s.now = s.now.Add(again) })
	if _, err := s.verify(next); err != nil {
		t.Error("the new key is not learnt:", err)
	}
	if _, err := s.verify(old); err == nil {
		t.Error("the old key is still believed")
	}
	// The issuer goes away: what is known lasts for a while.
	s.set(func() {
		s.handler = func(w http.ResponseWriter, r *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) }
		s.now = start.Add(fresh + time.Minute)
	})
	if _, err := s.verify(next); err != nil {
		t.Error(err)
	}
	late := s.sign("RS256", "rsa2", "rsa2", s.claims(map[string]any{"exp": start.Add(24 * time.Hour).Unix()}))
	s.set(func() { s.now = start.Add(stale + time.Minute) })
	_, err := s.verify(late)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Unreachable || !strings.Contains(err.Error(), "503") {
		t.Error(err)
	}
	s.set(func() { s.handler = nil; s.now = s.now.Add(again) })
	if _, err := s.verify(late); err != nil {
		t.Error(err)
	}
}

// TestManyAskOnce: those who wait for the same issuer ask it once.
func TestManyAskOnce(t *testing.T) {
	s := newServer(t, false)
	raw := s.sign("RS256", "rsa", "rsa", s.claims(nil))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.verify(raw); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.asked != 1 {
		t.Errorf("asked %d times", s.asked)
	}
}

// TestASlowIssuerHoldsNobodyWhoseKeyIsKnown: a token that names some key makes the
// node ask, and those whose key is known do not wait for the answer.
func TestASlowIssuerHoldsNobodyWhoseKeyIsKnown(t *testing.T) {
	s := newServer(t, false)
	good := s.sign("RS256", "rsa", "rsa", s.claims(nil))
	other := s.sign("RS256", "rsa", "another", s.claims(nil))
	hold := func(while func()) {
		t.Helper()
		came, answer := make(chan struct{}), make(chan struct{})
		s.set(func() {
			s.now = s.now.Add(again)
			s.handler = func(w http.ResponseWriter, r *http.Request) {
				close(came)
				select {
				case <-answer:
				case <-r.Context().Done():
					t.Error("it waited until the issuer was given up")
				}
				http.Error(w, "down", http.StatusServiceUnavailable)
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.verify(other); err == nil {
				t.Error("a key that nobody knows is believed")
			}
		})
		<-came
		while()
		close(answer)
		wg.Wait()
	}
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	known := func() {
		t.Helper()
		if _, err := s.verify(good); err != nil {
			t.Error(err)
		}
	}
	hold(known)
	// Nor for another question to one that did not answer the last, if the key
	// is not fresh any more.
	s.set(func() { s.now = s.now.Add(fresh) })
	hold(known)
	// Who waits may leave.
	hold(func() {
		ctx, leave := context.WithCancelCause(t.Context())
		leave(gust.ErrClosing)
		_, err := s.verifier.Verify(ctx, other, func(string) (Provider, error) { return s.provider(), nil })
		if !errors.Is(err, gust.ErrClosing) {
			t.Error(err)
		}
	})
}

// TestTokensThatWouldNotDoAskNobody: no request leaves for what is wrong anyway.
func TestTokensThatWouldNotDoAskNobody(t *testing.T) {
	s := newServer(t, false)
	s.handler = func(w http.ResponseWriter, r *http.Request) { t.Error("asked for " + r.URL.Path) }
	for _, change := range []map[string]any{{"aud": "x"}, {"exp": 1}, {"sub": nil}} {
		if _, err := s.verify(s.sign("RS256", "rsa", "rsa", s.claims(change))); err == nil {
			t.Error(change)
		}
	}
}

func TestIssuersThatMisbehave(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	s := newServer(t, true)
	configuration := func(issuer, keys string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				t.Error("asked for keys")
			}
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, keys)
		}
	}
	keys := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				h(w, r)
				return
			}
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"redirects": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirect"},
		"redirects to keys": {keys(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}), "redirect"},
		"is another":       {configuration("https://else", s.URL+"/keys"), "is that of"},
		"keys without TLS": {configuration(s.URL, elsewhere.URL), "not an https URL"},
		"keys in a file":   {configuration(s.URL, "file:///etc/passwd"), "not an https URL"},
		"keys by a user":   {configuration(s.URL, strings.Replace(s.URL, "://", "://u:p@", 1)+"/keys"), "not an https URL"},
		"no keys":          {configuration(s.URL, ""), "not an https URL"},
		"no JSON":          {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, "not JSON"},
		"an error":         {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "", 500) }, "500"},
		"a flood":          {keys(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, maxDocument+2)) }), "limit of 512 KB"},
		"a flood of headers": {keys(func(w http.ResponseWriter, r *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 2000))
			}
		}), "exceeded"},
		"many keys": {keys(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"keys":[{}`+strings.Repeat(",{}", maxKeys)+`]}`)
		}), "101 keys"},
		"no key of use": {keys(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA"}]}`) }), "none of the issuer's keys"},
	} {
		s.set(func() { s.handler, s.now = test.handler, s.now.Add(again) })
		_, err := s.verify(s.sign("RS256", "rsa", "rsa", s.claims(nil)))
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Unreachable || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSlowIssuer: an issuer that does not answer holds nobody for longer than
// the limit.
func TestSlowIssuer(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the limit of 5 s")
	}
	s := newServer(t, false)
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		for { // a byte now and then
			if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	_, err := s.verify(s.sign("RS256", "rsa", "rsa", s.claims(nil)))
	if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Unreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestAnIssuerDoesNotLeadInwards: a public issuer names keys on the node's own
// network.
func TestAnIssuerDoesNotLeadInwards(t *testing.T) {
	s := newServer(t, true)
	secret := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("the inner server was asked") }))
	defer secret.Close()
	// All is on one machine here: the first connection counts as a public one.
	looks := 0
	s.verifier.distance = func(a netip.Addr) distance {
		if looks++; looks <= 2 { // before connecting, and after
			return public
		}
		return distanceOf(a)
	}
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, secret.URL)
	}
	if _, err := s.verify(s.sign("RS256", "rsa", "rsa", s.claims(nil))); err == nil || !strings.Contains(err.Error(), "nearer to the node") {
		t.Error(err)
	}
	for address, want := range map[string]distance{
		"8.8.8.8": public, "2001:4860:4860::8888": public, "10.1.2.3": private, "172.16.0.1": private, "192.168.1.1": private, "100.64.0.1": private,
		"fd00::1": private, "127.0.0.1": innermost, "::1": innermost, "169.254.169.254": innermost, "fe80::1": innermost, "0.0.0.0": innermost, "::": innermost,
		"::ffff:127.0.0.1": innermost, "::ffff:10.0.0.1": private, "224.0.0.1": innermost, "255.255.255.255": private, "fd00:ec2::254": private,
		"64:ff9b::8.8.8.8": public, "64:ff9b::10.0.0.1": private, "64:ff9b::a9fe:a9fe": innermost, "64:ff9b::7f00:1": innermost, "64:ff9b:1::a9fe:a9fe": private,
		"2002:808:808::1": public, "2002:a00:1::1": private, "2002:7f00:1::1": innermost, "2002:a9fe:a9fe::": innermost, "2001:0:a9fe:a9fe::1": private,
		"::127.0.0.1": innermost, "::a00:1": private, "::8.8.8.8": public, "fec0::1": private, "fe80::1%eth0": innermost, "fd00::1%eth0": private,
		"0.1.2.3": private, "192.0.0.8": private, "198.18.0.1": private, "198.20.0.1": public, "240.0.0.1": private,
	} {
		if got := distanceOf(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestTrust(t *testing.T) {
	s := newServer(t, true)
	raw := s.sign("RS256", "rsa", "rsa", s.claims(nil))
	verify := func(thumbprints ...string) error {
		_, err := s.verifier.Verify(t.Context(), raw, func(string) (Provider, error) {
			return Provider{Issuer: s.URL, Audiences: []string{"app"}, Thumbprints: thumbprints}, nil
		})
		return err
	}
	own := thumbprint(s.Certificate())
	if err := verify(); err == nil || !strings.Contains(err.Error(), own) {
		t.Error(err)
	}
	if err := verify(strings.Repeat("a", 40)); err == nil {
		t.Error("a wrong thumbprint is good enough")
	}
	if err := verify(strings.Repeat("a", 40), own); err != nil {
		t.Error(err)
	}
	// The certificate is trusted, and is not this host's.
	f, err := s.verifier.newFetcher(s.provider())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.trust("127.0.0.2", []*x509.Certificate{s.Certificate()}); err == nil || !strings.Contains(err.Error(), "127.0.0.2") {
		t.Error(err)
	}
	// Nobody is believed because they came first.
	if _, err := s.verifier.Thumbprint(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), own) {
		t.Error(err)
	}
	if got, err := s.verifier.Thumbprint(t.Context(), "http://127.0.0.1:1"); got != "" || err != nil {
		t.Error(got, err)
	}
}

func TestCheckIssuer(t *testing.T) {
	for issuer, good := range map[string]bool{
		"https://issuer.example.com": true, "https://issuer.example.com/a/b": true, "https://issuer:8443/": true, "http://127.0.0.1:8080": true,
		"http://localhost": true, "http://[::1]:1": true, "http://issuer.example.com": false, "http://127.0.0.1.example.com": false,
		"https://": false, "https:issuer": false, "issuer.example.com": false, "file:///etc": false, "https://a@b": false, "https://a?b": false,
		"https://a?": false, "https://a#b": false, "https://a#": false, "": false, "https://" + strings.Repeat("a", 255): false,
	} {
		if err := CheckIssuer(issuer); (err == nil) != good {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := parse(raw)
		if err != nil {
			return
		}
		if _, err := tok.check(Provider{Audiences: []string{"app"}}, start); err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Error(err)
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signers()["rsa"].Public(), KeyID: "a"}, {Key: signers()["p256"].Public()}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := parseKeys(doc)
		if err == nil && len(keys) == 0 {
			t.Error("no keys and no error")
		}
	})
}
