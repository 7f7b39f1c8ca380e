package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gust "github.com/gust-dev/gust"
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Every case starts from a good request over {"a":1} and spoils it before or
// after it is signed.
func TestSignature(t *testing.T) {
	const body = `{"a":1}`
	otherKey := &Key{ID: "AKIAZZZZZZZZZZZZZZZZ", Secret: testKey.Secret}
	otherSecret := &Key{ID: testKey.ID, Secret: strings.Repeat("x", 40)}
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				panic(old)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, new, 1))
		}
	}
	tests := []struct {
		name   string
		signer func(*signer)
		before func(*http.Request)
		after  func(*http.Request)
		code   Code // "" means accepted
	}{
		{name: "as it should be"},
		{name: "the body's hash in a header", signer: func(s *signer) { s.payload = hashOf(body) }},
		{name: "as slow as may be", signer: func(s *signer) { s.at = testTime.Add(-MaxSkew) }},
		{name: "as fast as may be", signer: func(s *signer) { s.at = testTime.Add(MaxSkew) }},
		{name: "headers that SDKs leave unsigned", after: func(r *http.Request) {
			r.Header.Set("User-Agent", "aws-cli/2")
			r.Header.Set("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793")
			r.Header.Set("Expect", "100-continue")
		}},
		{name: "a value with many spaces", before: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "  a   b  ") }},
		{name: "a query with everything", before: func(r *http.Request) { r.URL.RawQuery = "b=%2F%20%26&a-=2&a=&a=%E1%88%B4&empty" }},
		{name: "unsigned over TLS", signer: func(s *signer) { s.payload = unsignedPayload }, after: func(r *http.Request) { r.TLS = &tls.ConnectionState{} }},
		{name: "unsigned over loopback", signer: func(s *signer) { s.payload = unsignedPayload }, after: func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5" }},
		{name: "unsigned over loopback, IPv6", signer: func(s *signer) { s.payload = unsignedPayload }, after: func(r *http.Request) { r.RemoteAddr = "[::1]:5" }},
		{name: "unsigned over a Unix socket", signer: func(s *signer) { s.payload = unsignedPayload }, after: func(r *http.Request) {
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "s", Net: "unix"})))
		}},

		{name: "no credential", after: func(r *http.Request) { r.Header.Del("Authorization") }, code: Missing},
		{name: "an empty credential", after: func(r *http.Request) { r.Header.Set("Authorization", "") }, code: Missing},

		{name: "an unknown key", signer: func(s *signer) { s.key = otherKey }, code: Invalid},
		{name: "a wrong secret", signer: func(s *signer) { s.key = otherSecret }, code: Invalid},
		{name: "another method", after: func(r *http.Request) { r.Method = "PUT" }, code: Invalid},
		{name: "another path", after: func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "hello", "hullo", 1) }, code: Invalid},
		{name: "another encoding of the path", after: func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%3A", ":", 1) }, code: Invalid},
		{name: "another query", after: func(r *http.Request) { r.URL.RawQuery = "Qualifier=8" }, code: Invalid},
		{name: "another host", after: func(r *http.Request) { r.Host = "example.com" }, code: Invalid},
		{name: "another value of a signed header", after: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, code: Invalid},
		{name: "another value more", after: func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }, code: Invalid},
		{name: "an x-amz- header that is not signed", after: func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "Event") }, code: Invalid},
		{name: "another time", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", testTime.Add(time.Second).Format(amzDate)) }, code: Invalid},
		{name: "another region in the credential", after: replace("us-east-1", "eu-west-1"), code: Invalid},
		{name: "another body", after: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, code: Invalid},
		{name: "another body's hash", signer: func(s *signer) { s.payload = hashOf(body) }, after: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hashOf(`{"a":2}`)) }, code: Invalid},

		{name: "too slow", signer: func(s *signer) { s.at = testTime.Add(-MaxSkew - time.Second) }, code: Skewed},
		{name: "too fast", signer: func(s *signer) { s.at = testTime.Add(MaxSkew + time.Second) }, code: Skewed},
		{name: "too slow and a wrong secret", signer: func(s *signer) { s.at, s.key = testTime.Add(-time.Hour), otherSecret }, code: Invalid},
		{name: "signed for another region", signer: func(s *signer) { s.region = "eu-west-1" }, code: Scope},
		{name: "a body that is not the signed one", signer: func(s *signer) { s.payload = hashOf(body) }, after: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, code: BodyMismatch},

		{name: "a signed header that is missing", after: func(r *http.Request) { r.Header.Del("Content-Type") }, code: Malformed},
		{name: "an invalid escape in the query", after: func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, code: Malformed},
		{name: "no time", after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: Malformed},
		{name: "two times", after: func(r *http.Request) { r.Header.Add("X-Amz-Date", "20260301T120000Z") }, code: Malformed},
		{name: "a time that is none", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", "now") }, code: Malformed},
		{name: "two credentials", after: func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, code: Malformed},
		{name: "another scheme", after: func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") }, code: Malformed},
		{name: "a body's hash that is none", signer: func(s *signer) { s.payload = "abc" }, code: Malformed},

		{name: "unsigned over a network", signer: func(s *signer) { s.payload = unsignedPayload }, code: Unsupported},
		{name: "signed events", signer: func(s *signer) { s.payload = "STREAMING-AWS4-HMAC-SHA256-EVENTS" }, code: Unsupported},
		{name: "chunks signed by version 4A", signer: func(s *signer) { s.payload = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" }, code: Unsupported},
		{name: "unsigned chunks over a network", signer: func(s *signer) { s.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER" }, code: Unsupported},
		{name: "a session of a key that has none", before: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, code: Invalid},
		{name: "version 2", after: func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:c2ln") }, code: Unsupported},
		{name: "version 4A", after: replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), code: Unsupported},
		{name: "version 2 in the query", after: func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "AWSAccessKeyId=AKIA&Signature=c2ln"
		}, code: Unsupported},
		{name: "version 4A in the query", after: func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Signature=00"
		}, code: Unsupported},
		{name: "a signature in the query too", after: func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=00" }, code: Malformed},
		{name: "a signature in the query too, in disguise", after: func(r *http.Request) { r.URL.RawQuery += "&X%2dAmz%2dSignature=00" }, code: Malformed},
		{name: "a query that is too long", before: func(r *http.Request) { r.URL.RawQuery = strings.Repeat("a", maxQuery+1) }, code: Malformed},
		{name: "two body hashes", after: func(r *http.Request) { r.Header["X-Amz-Content-Sha256"] = []string{hashOf(body), hashOf(body)} }, code: Malformed},
		{name: "two sessions", before: func(r *http.Request) { r.Header["X-Amz-Security-Token"] = []string{"t", "t"} }, code: Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := newRequest(t, []byte(body))
			s := newSigner()
			if tt.signer != nil {
				tt.signer(&s)
			}
			if tt.before != nil {
				tt.before(out)
			}
			s.sign(out, []byte(body))
			in := received(t, out)
			if tt.after != nil {
				tt.after(in)
			}
			auth := testAuthenticator(Options{})
			p, err := auth.Authenticate(in)
			if tt.code == "" {
				if err != nil || p.KeyID != testKey.ID || p.Principal.Kind != KindRoot || p.Service != "lambda" || p.Region != "us-east-1" || p.SignedBy != "header" || !p.At.Equal(testTime) {
					t.Fatalf("got %+v, %v; want root", p, err)
				}
				if got, err := io.ReadAll(in.Body); string(got) != body || err != nil {
					t.Errorf("the body is %q, %v afterwards; want %q", got, err, body)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Code != tt.code {
				t.Fatalf("got %+v, %v; want the code %q", p, err, tt.code)
			}
			if p != nil {
				t.Errorf("a refused request has the caller %+v", p)
			}
			for _, secret := range []string{testKey.Secret, in.Header.Get("Authorization")} {
				if secret != "" && strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
			if keys := auth.cache.count(); keys != 0 && e.Code != BodyMismatch {
				t.Errorf("a refused request left %d signing keys in the cache", keys)
			}
		})
	}
}

// Clients sign for IAM and for STS's global endpoint in us-east-1, wherever they
// are.
func TestGlobalServices(t *testing.T) {
	auth := testAuthenticator(Options{Region: "eu-west-1"})
	for _, tt := range []struct {
		service, region string
		code            Code
	}{
		{"iam", "us-east-1", ""}, {"sts", "us-east-1", ""}, {"iam", "eu-west-1", ""},
		{"lambda", "us-east-1", Scope}, {"iam", "us-west-2", Scope},
	} {
		out, s := newRequest(t, nil), newSigner()
		s.service, s.region = tt.service, tt.region
		s.sign(out, nil)
		if _, err := auth.Authenticate(received(t, out)); tt.code == "" && err != nil || tt.code != "" && !hasCode(err, tt.code) {
			t.Errorf("%s in %s: %v; want the code %q", tt.service, tt.region, err, tt.code)
		}
	}
}

func TestDateHeaderInPlaceOfAmzDate(t *testing.T) {
	for _, format := range []string{http.TimeFormat, time.RFC850, amzDate} {
		h := http.Header{"Date": {testTime.Format(format)}}
		var auth authorization
		if err := auth.parseTime(h); err != nil || !auth.stamp.Equal(testTime) || auth.date != testTime.Format(amzDate) {
			t.Errorf("Date %q: got %v, %q, %v; want %v", h["Date"], auth.stamp, auth.date, err, testTime)
		}
	}
}

func TestInvalidCredentialsLookAlike(t *testing.T) {
	public := map[string]bool{}
	for _, e := range []*Error{{Invalid, "the header is not signed"}, {Invalid, "the access key is not known"}, {Invalid, "the signature does not match"}} {
		public[e.Public()] = true
	}
	if len(public) != 1 {
		t.Errorf("the outside can tell them apart: %v", public)
	}
}

func TestBearer(t *testing.T) {
	token := testKey.Token()
	tests := []struct {
		header string
		code   Code
	}{
		{"Bearer " + token, ""},
		{"bearer " + token, ""},
		{"Bearer  " + token + " ", ""},
		{"Bearer " + token + "x", Invalid},
		{"Bearer " + token[:len(token)-1], Invalid},
		{"Bearer " + strings.ToLower(token), Invalid},
		{"Bearer " + testKey.ID + ".", Invalid},
		{"Bearer ", Invalid},
		{"Bearer", Invalid},
		{token, Malformed},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/v1/apps", strings.NewReader("body"))
		r.Header.Set("Authorization", tt.header)
		body := r.Body
		p, err := testAuthenticator(Options{}).Authenticate(r)
		var e *Error
		switch {
		case tt.code == "" && (err != nil || p.KeyID != testKey.ID || p.Principal.Kind != KindRoot || p.SignedBy != "bearer"):
			t.Errorf("%q: got %+v, %v; want root", tt.header, p, err)
		case tt.code != "" && (!errors.As(err, &e) || e.Code != tt.code):
			t.Errorf("%q: got %v; want %v", tt.header, err, tt.code)
		}
		if r.Body != body {
			t.Errorf("%q: the body was touched", tt.header)
		}
	}
}

func TestBodyIsReadOnceAndBounded(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 100<<10)
	authenticate := func(o Options, s signer, spoil func(*http.Request)) (*http.Request, error) {
		out := newRequest(t, body)
		s.sign(out, body)
		in := received(t, out)
		if spoil != nil {
			spoil(in)
		}
		_, err := testAuthenticator(o).Authenticate(in)
		return in, err
	}
	hashed := newSigner()
	hashed.payload = hashOf(string(body))

	for name, s := range map[string]signer{"without a hash in a header": newSigner(), "with one": hashed} {
		t.Run(name, func(t *testing.T) {
			in, err := authenticate(Options{}, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			whole, ok := Body(in)
			if !ok || !bytes.Equal(whole, body) {
				t.Errorf("Body has %d bytes, %v; want all %d", len(whole), ok, len(body))
			}
			if again, _ := Body(in); &again[0] != &whole[0] {
				t.Error("Body copies")
			}
			if read, err := io.ReadAll(in.Body); err != nil || !bytes.Equal(read, body) {
				t.Errorf("reading the body gives %d bytes, %v", len(read), err)
			}

			if _, err := authenticate(Options{MaxBody: int64(len(body))}, s, nil); err != nil {
				t.Errorf("a body of exactly the limit: %v", err)
			}
			if _, err := authenticate(Options{MaxBody: int64(len(body)) - 1}, s, nil); !errors.Is(err, gust.ErrTooLarge) {
				t.Errorf("a body over the limit: %v", err)
			}
			chunked := func(r *http.Request) { r.ContentLength = -1 }
			if _, err := authenticate(Options{MaxBody: int64(len(body))}, s, chunked); err != nil {
				t.Errorf("an unannounced body of exactly the limit: %v", err)
			}
			if _, err := authenticate(Options{MaxBody: int64(len(body)) - 1}, s, chunked); !errors.Is(err, gust.ErrTooLarge) {
				t.Errorf("an unannounced body over the limit: %v", err)
			}
			_, err = authenticate(Options{}, s, func(r *http.Request) {
				r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 1000)
			})
			if !errors.Is(err, gust.ErrTooLarge) || !strings.Contains(err.Error(), "1000") {
				t.Errorf("a body over the caller's limit: %v", err)
			}
			gone := errors.New("the peer is gone")
			if _, err = authenticate(Options{}, s, func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(gone)) }); !errors.Is(err, gone) {
				t.Errorf("a body that breaks off: %v", err)
			}
		})
	}

	t.Run("an unknown key's body is left alone", func(t *testing.T) {
		s := newSigner()
		s.key = &Key{ID: "AKIAZZZZZZZZZZZZZZZZ", Secret: testKey.Secret}
		_, err := authenticate(Options{}, s, func(r *http.Request) {
			r.Body = io.NopCloser(iotest.ErrReader(errors.New("was read")))
		})
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code != Invalid {
			t.Errorf("got %v", err)
		}
	})
}
