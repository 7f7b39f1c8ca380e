package access

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// presign signs r in its query as an SDK does, sharing no code with what
// verifies. names are the signed headers beside host.
func (s signer) presign(r *http.Request, payload, expires string, names ...string) {
	scope := s.at.UTC().Format("20060102") + "/" + s.region + "/" + s.service + "/aws4_request"
	q := r.URL.Query()
	names = slices.Sorted(slices.Values(append(names, "host")))
	q.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	q.Set("X-Amz-Credential", s.key.ID+"/"+scope)
	q.Set("X-Amz-Date", s.at.UTC().Format("20060102T150405Z"))
	q.Set("X-Amz-Expires", expires)
	q.Set("X-Amz-SignedHeaders", strings.Join(names, ";"))
	if s.payload != "-" {
		q.Set("X-Amz-Content-Sha256", s.payload)
	}
	var headers strings.Builder
	for _, name := range names {
		value := r.Host
		if name != "host" {
			value = r.Header.Get(name)
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	path := awsEncode(r.URL.Path, "/")
	if s.service != "s3" {
		path = awsEncode(r.URL.EscapedPath(), "/")
	}
	canonical := strings.Join([]string{r.Method, path, awsQuery(q), headers.String(), strings.Join(names, ";"), payload}, "\n")
	key := []byte("AWS4" + s.key.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hmacOf(key, part)
	}
	sum := hmacOf(key, "AWS4-HMAC-SHA256\n"+s.at.UTC().Format("20060102T150405Z")+"\n"+scope+"\n"+hashOf(canonical))
	r.URL.RawQuery = awsQuery(q) + "&X-Amz-Signature=" + hexOf(sum)
}

func TestPresigned(t *testing.T) {
	add := func(s string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery += s } }
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, old) {
				panic(old)
			}
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, old, new, 1)
		}
	}
	const dropped = ""
	tests := []struct {
		name    string
		method  string // GET if empty
		service string // s3 if empty
		body    string
		payload string // that is signed; the empty body's or UNSIGNED-PAYLOAD if empty
		signer  func(*signer)
		expires string // an hour if empty
		signed  []string
		before  func(*http.Request)
		after   func(*http.Request)
		code    Code
	}{
		{name: "as it should be"},
		{name: "of another service", service: "lambda"},
		{name: "the same once more, as it may be until it expires", signer: func(s *signer) { s.at = testTime.Add(-time.Minute) }},
		{name: "at the last moment", signer: func(s *signer) { s.at = testTime.Add(-time.Hour) }},
		{name: "for a second", expires: "1"},
		{name: "for a week", expires: "604800", signer: func(s *signer) { s.at = testTime.Add(-MaxPresigned) }},
		{name: "as fast as may be", signer: func(s *signer) { s.at = testTime.Add(MaxSkew) }},
		{name: "with a body over TLS", method: "PUT", body: "x", after: func(r *http.Request) { r.TLS = &tls.ConnectionState{} }},
		{name: "with a body from this machine", method: "PUT", body: "x", after: func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5" }},
		{name: "with a body that is signed", method: "PUT", body: "x", payload: hashOf("x"), signer: func(s *signer) { s.payload = hashOf("x") }},
		{name: "with a body that another service signs", method: "POST", service: "lambda", body: "x", payload: hashOf("x")},
		{name: "told to be unsigned", payload: unsignedPayload, signer: func(s *signer) { s.payload = unsignedPayload }},
		{name: "with a header that is signed", signed: []string{"x-amz-acl"}, before: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "private") }},
		{name: "with a header that need not be", after: func(r *http.Request) { r.Header.Set("Range", "bytes=0-9") }},
		{name: "a path that is encoded once", before: func(r *http.Request) { r.URL.Path = "/bucket/a b+c=ü//d/../e" }},
		{name: "names in other escapes", after: replace("X-Amz-Algorithm", "X%2DAmz%2dAlgorithm")},
		{name: "parameters in another order", after: func(r *http.Request) {
			pairs := strings.Split(r.URL.RawQuery, "&")
			slices.Reverse(pairs)
			r.URL.RawQuery = strings.Join(pairs, "&")
		}},

		{name: "another method", after: func(r *http.Request) { r.Method = "HEAD" }, code: Invalid},
		{name: "another path", after: func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/bucket", "/bucket2", 1) }, code: Invalid},
		{name: "another path that is the same when cleaned", after: func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/bucket", "/x/../bucket", 1) }, code: Invalid},
		{name: "another host", after: func(r *http.Request) { r.Host = "example.com" }, code: Invalid},
		{name: "a parameter more", after: add("&versionId=2"), code: Invalid},
		{name: "a parameter twice", after: add("&a=1"), code: Invalid},
		{name: "a parameter changed", after: replace("a=1", "a=2"), code: Invalid},
		{name: "a longer time", after: replace("Expires=3600", "Expires=36000"), code: Invalid},
		{name: "another date", after: replace("T120000Z", "T120001Z"), code: Invalid},
		{name: "a session that is not signed", after: add("&X-Amz-Security-Token=t"), code: Invalid},
		{name: "a header that is not signed", after: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, code: Invalid},
		{name: "a session in a header", after: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, code: Invalid},
		{name: "a date in a header", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260301T120000Z") }, code: Invalid},
		{name: "another value of a signed header", signed: []string{"x-amz-acl"}, before: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "private") },
			after: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, code: Invalid},
		{name: "a body that another service did not sign", method: "POST", service: "lambda", body: "x", code: Invalid},
		{name: "a wrong secret", signer: func(s *signer) { s.key = &Key{ID: testKey.ID, Secret: "x"} }, code: Invalid},
		{name: "an unknown key", signer: func(s *signer) { s.key = &Key{ID: "AKIAZZZZZZZZZZZZZZZZ", Secret: testKey.Secret} }, code: Invalid},

		{name: "expired", signer: func(s *signer) { s.at = testTime.Add(-time.Hour - time.Second) }, code: Expired},
		{name: "expired, and a wrong secret", signer: func(s *signer) { s.at, s.key = testTime.Add(-2*time.Hour), &Key{ID: testKey.ID, Secret: "x"} }, code: Invalid},
		{name: "of the future", signer: func(s *signer) { s.at = testTime.Add(MaxSkew + time.Second) }, code: Skewed},
		{name: "of another region", signer: func(s *signer) { s.region = "eu-west-1" }, code: Scope},
		{name: "another body", method: "PUT", body: "x", payload: hashOf("x"), signer: func(s *signer) { s.payload = hashOf("x") },
			after: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("y")) }, code: BodyMismatch},
		{name: "an unsigned body over a network", method: "PUT", body: "x", code: Unsupported},
		{name: "in chunks", method: "PUT", body: "x", payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signer: func(s *signer) { s.payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }, code: Unsupported},

		{name: "for no time", expires: "0", code: Malformed},
		{name: "for more than a week", expires: "604801", code: Malformed},
		{name: "for a negative time", expires: "-1", code: Malformed},
		{name: "for a time with a sign", expires: "+60", code: Malformed},
		{name: "for a fraction", expires: "1.5", code: Malformed},
		{name: "for a time that overflows", expires: "18446744073709551617", code: Malformed},
		{name: "no time at all", after: replace("&X-Amz-Expires=3600", dropped), code: Malformed},
		{name: "two times", after: add("&X-Amz-Expires=604800"), code: Malformed},
		{name: "two signatures", after: add("&X-Amz-Signature=" + strings.Repeat("0", 64)), code: Malformed},
		{name: "two credentials, one in disguise", after: add("&X-Amz-Cre%64ential=a"), code: Malformed},
		{name: "an empty parameter", after: add("&X-Amz-Security-Token="), code: Malformed},
		{name: "host is not signed", after: replace("SignedHeaders=host", "SignedHeaders=a"), code: Malformed},
		{name: "another algorithm", after: replace("HMAC-SHA256", "HMAC-SHA1"), code: Malformed},
		{name: "a signed header that is not there", after: replace("SignedHeaders=host", "SignedHeaders=host%3Bx-a"), code: Malformed},
		{name: "two hashes of the body", payload: hashOf(""), signer: func(s *signer) { s.payload = hashOf("") },
			after: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", unsignedPayload) }, code: Malformed},
		{name: "a credential in a header too", after: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, code: Malformed},
		{name: "an escape that is none", after: add("&b=%zz"), code: Malformed},
		{name: "version 4A", after: replace("HMAC-SHA256", "ECDSA-P256-SHA256"), code: Unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, payload := tt.method, tt.payload
			if method == "" {
				method = "GET"
			}
			s := newSigner()
			s.service = "s3"
			if tt.service != "" {
				s.service = tt.service
			}
			if payload == "" {
				if payload = unsignedPayload; s.service != "s3" {
					payload = hashOf("")
				}
			}
			expires := tt.expires
			if expires == "" {
				expires = "3600"
			}
			out, err := http.NewRequest(method, "http://127.0.0.1:4566/bucket/key?a=1", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.signer != nil {
				tt.signer(&s)
			}
			if tt.before != nil {
				tt.before(out)
			}
			s.presign(out, payload, expires, tt.signed...)
			in := received(t, out)
			if tt.after != nil {
				tt.after(in)
			}
			// Until it expires, the same request is accepted again, as AWS does.
			for range 2 {
				c, err := testAuthenticator(Options{}).Authenticate(in)
				if tt.code != "" {
					if !hasCode(err, tt.code) || c != nil {
						t.Errorf("got %+v, %v; want the code %q", c, err, tt.code)
					}
					return
				}
				if err != nil || c.SignedBy != "query" || c.KeyID != testKey.ID || c.Service != s.service {
					t.Errorf("got %+v, %v", c, err)
				}
				if got, err := io.ReadAll(in.Body); string(got) != tt.body || err != nil {
					t.Errorf("the body is %q, %v", got, err)
				}
				in.Body = io.NopCloser(strings.NewReader(tt.body))
			}
		})
	}
}

// Sessions are presigned with their token, and end with it.
func TestPresignedBySession(t *testing.T) {
	c := &Credential{KeyID: testKey.ID, Secret: testKey.Secret, Principal: &Principal{Kind: KindRole}, Expires: testTime.Add(time.Minute)}
	out, err := http.NewRequest("GET", "http://127.0.0.1:4566/bucket/key?X-Amz-Security-Token="+url.QueryEscape("a+b/c=="), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner()
	s.service = "s3"
	s.presign(out, unsignedPayload, strconv.Itoa(3600))
	for at, want := range map[time.Duration]Code{0: "", time.Minute: Expired} {
		auth := New(keyring{{c.KeyID, "a+b/c=="}: c}, Options{Now: func() time.Time { return testTime.Add(at) }})
		got, err := auth.Authenticate(received(t, out))
		if want == "" && (err != nil || got.Credential != c) || want != "" && !hasCode(err, want) {
			t.Errorf("after %v: %+v, %v; want the code %q", at, got, err, want)
		}
	}
}
