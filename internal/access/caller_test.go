package access

import (
	"context"
	"crypto/tls"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// usedKeys are Keys that keep what they are told.
type usedKeys struct {
	keyring
	used []string
}

func (k *usedKeys) Used(c *Credential, service, region string, at time.Time) {
	k.used = append(k.used, c.KeyID+" "+service+" "+region+" "+at.Format(amzDate))
}

func TestCallerIsFilled(t *testing.T) {
	root := RootCredential(testKey, gust.DefaultPlace)
	keys := &usedKeys{keyring: keyring{{testKey.ID, ""}: root}}
	auth := New(keys, Options{Now: func() time.Time { return testTime }})
	unix := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "s", Net: "unix"}))
	tests := []struct {
		name   string
		change func(*http.Request) *http.Request
		want   Caller
	}{
		{"over a network", func(r *http.Request) *http.Request { return r }, Caller{Source: netip.MustParseAddr("192.0.2.7")}},
		{"over TLS", func(r *http.Request) *http.Request { r.TLS = &tls.ConnectionState{}; return r }, Caller{Source: netip.MustParseAddr("192.0.2.7"), Secure: true}},
		{"from this machine", func(r *http.Request) *http.Request { r.RemoteAddr = "[::ffff:127.0.0.1]:5"; return r }, Caller{Source: netip.MustParseAddr("127.0.0.1")}},
		{"by a Unix socket", func(r *http.Request) *http.Request { r.RemoteAddr = "@"; return r.WithContext(unix) }, Caller{}},
		{"from an environment", func(r *http.Request) *http.Request {
			r.RemoteAddr = "127.0.0.1:5"
			return r.WithContext(WithEnvironment(r.Context(), "env-1"))
		}, Caller{Source: netip.MustParseAddr("127.0.0.1"), Secure: true, Environment: "env-1"}},
		{"that says it is from elsewhere", func(r *http.Request) *http.Request {
			r.Header.Set("X-Forwarded-For", "10.0.0.1")
			r.Header.Set("X-Forwarded-Proto", "https")
			return r
		}, Caller{Source: netip.MustParseAddr("192.0.2.7")}},
	}
	for _, tt := range tests {
		out := newRequest(t, nil)
		newSigner().sign(out, nil)
		r := received(t, out)
		r.Header.Set("User-Agent", "aws-cli/2")
		want := tt.want
		want.Credential, want.Service, want.Region, want.UserAgent, want.At, want.SignedBy = root, "lambda", "us-east-1", "aws-cli/2", testTime, "header"
		if got, err := auth.Authenticate(tt.change(r)); err != nil || *got != want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, want)
		}
	}
	want := strings.Repeat(testKey.ID+" lambda us-east-1 20260301T120000Z\n", len(tests))
	if got := strings.Join(keys.used, "\n") + "\n"; got != want {
		t.Errorf("the keys were told of\n%swant\n%s", got, want)
	}

	keys.used = nil
	out := newRequest(t, nil)
	s := newSigner()
	s.key = &Key{ID: testKey.ID, Secret: "x"}
	s.sign(out, nil)
	if _, err := auth.Authenticate(received(t, out)); err == nil || len(keys.used) != 0 {
		t.Errorf("a wrong secret: %v; the keys were told of %q", err, keys.used)
	}
}

func TestAnonymousCaller(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("User-Agent", "x")
	c := testAuthenticator(Options{}).Anonymous(r)
	if c.Principal.Kind != KindAnonymous || c.SignedBy != "" || c.UserAgent != "x" || !c.At.Equal(testTime) || c.Rights != nil {
		t.Errorf("got %+v", c)
	}
}

// However a session was proven, it is found again as it is now, until it ends.
func TestRenew(t *testing.T) {
	const id, secret, token = "ASIAABCDEFGHIJKLMNOP", "abc", "tok"
	end := testTime.Add(time.Hour)
	credential := func(name string) *Credential {
		return &Credential{KeyID: id, Secret: secret, Principal: &Principal{Kind: KindRole, Name: name}, Expires: end}
	}
	s := newSigner()
	s.key = &Key{ID: id, Secret: secret}
	for by, prove := range map[string]func(*http.Request){
		"bearer": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+id+"."+secret+"."+token) },
		"header": func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", token); s.sign(r, nil) },
		"query": func(r *http.Request) {
			r.URL.RawQuery = "X-Amz-Security-Token=" + token
			s.presign(r, hashOf(""), "60", "content-type", "x-amz-log-type")
		},
	} {
		keys, now := keyring{{id, token}: credential("before")}, testTime
		auth := New(keys, Options{Now: func() time.Time { return now }})
		r := newRequest(t, nil)
		prove(r)
		c, err := auth.Authenticate(received(t, r))
		if err != nil || c.SignedBy != by {
			t.Fatalf("%s: %+v, %v", by, c, err)
		}
		keys[[2]string{id, token}], now = credential("now"), end.Add(-time.Second)
		if err := auth.Renew(c); err != nil || c.Principal.Name != "now" || !c.At.Equal(now) {
			t.Errorf("%s: %+v, %v", by, c, err)
		}
		refused := func(what string, code Code) {
			t.Helper()
			var e *Error
			if err := auth.Renew(c); !errors.As(err, &e) || e.Code != code {
				t.Errorf("%s, %s: %v", by, what, err)
			}
		}
		now = end
		refused("the session has ended", Expired)
		now = testTime
		delete(keys, [2]string{id, token})
		refused("the session is revoked", Invalid)
	}
	auth := New(keyring{}, Options{Now: func() time.Time { return testTime }})
	if err := auth.Renew(auth.Anonymous(httptest.NewRequest("POST", "/", nil))); err != nil {
		t.Errorf("the anonymous hold nothing: %v", err)
	}
}

func TestBearerOfASession(t *testing.T) {
	c := &Credential{KeyID: "ASIAABCDEFGHIJKLMNOP", Secret: "a/b+c", Principal: &Principal{Kind: KindRole}, Expires: testTime.Add(time.Hour)}
	keys := keyring{{c.KeyID, "t.o.k"}: c}
	for at, tests := range map[time.Duration]map[string]Code{
		0: {
			"ASIAABCDEFGHIJKLMNOP.a/b+c.t.o.k": "",
			"ASIAABCDEFGHIJKLMNOP.a/b+c.t.o":   Invalid,
			"ASIAABCDEFGHIJKLMNOP.a/b+c":       Invalid,
			"ASIAABCDEFGHIJKLMNOP.a/b+.t.o.k":  Invalid,
		},
		time.Hour: {
			"ASIAABCDEFGHIJKLMNOP.a/b+c.t.o.k": Expired,
			"ASIAABCDEFGHIJKLMNOP.a/b+.t.o.k":  Invalid, // only who holds it is told
		},
	} {
		auth := New(keys, Options{Now: func() time.Time { return testTime.Add(at) }})
		for bearer, code := range tests {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+bearer)
			got, err := auth.Authenticate(r)
			if code == "" && (err != nil || got.Credential != c || got.SignedBy != "bearer") || code != "" && !hasCode(err, code) {
				t.Errorf("%s after %v: got %+v, %v; want the code %q", bearer, at, got, err, code)
			}
		}
	}
}

// How long a comparison takes must not tell how much of a secret or a signature
// is right. That is asserted of the code, since a measured time is never sure.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	secret := regexp.MustCompile(`(?i)secret|signature|want|\bkey\b|before|sum`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := 0
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op != token.EQL && n.Op != token.NEQ {
				return true
			}
			for _, pair := range [2][2]ast.Expr{{n.X, n.Y}, {n.Y, n.X}} {
				_, literal := pair[1].(*ast.BasicLit)
				if name := nameOf(pair[0]); secret.MatchString(name) && !literal && nameOf(pair[1]) != "nil" {
					switch name {
					case "trailerSignature", "secretChars": // a header's name, a length
					default:
						t.Errorf("%s is compared by %s", name, n.Op)
					}
				}
			}
		case *ast.SelectorExpr:
			switch nameOf(n) {
			case "subtle.ConstantTimeCompare":
				constant++
			case "bytes.Equal", "bytes.Compare", "strings.EqualFold", "reflect.DeepEqual":
				if nameOf(n) != "strings.EqualFold" {
					t.Errorf("%s is called", nameOf(n))
				}
			}
		}
		return true
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	if constant != 4 { // a signature, a chunk's, a bearer token, a kept secret
		t.Errorf("subtle.ConstantTimeCompare is called at %d places; want 4", constant)
	}
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return nameOf(e.X)
	case *ast.SliceExpr:
		return nameOf(e.X)
	}
	return ""
}
