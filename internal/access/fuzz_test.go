package access

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Whatever stands in the header, it is parsed to something that holds the rules,
// or refused.
func FuzzAuthorization(f *testing.F) {
	good := "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0a", 32)
	f.Add(good)
	f.Add(strings.ReplaceAll(good, ", ", ","))
	f.Add(strings.ReplaceAll(good, "host", "host;host"))
	f.Add("Credential=,SignedHeaders=,Signature=")
	f.Add("Credential=////,SignedHeaders=;;,Signature=x")
	f.Fuzz(func(t *testing.T, value string) {
		auth, err := parseAuthorization(value)
		if err != nil {
			return
		}
		if !slices.IsSorted(auth.headers) || !slices.Contains(auth.headers, "host") || strings.Join(auth.headers, ";") != auth.signed {
			t.Errorf("%q: the headers are %q", value, auth.headers)
		}
		for _, part := range []string{auth.keyID, auth.scope.date, auth.scope.region, auth.scope.service} {
			if part == "" || strings.ContainsAny(part, "/,= \n") {
				t.Errorf("%q: the credential has the part %q", value, part)
			}
		}
	})
}

// What an SDK signs is accepted after a trip over the wire, and is refused with
// another method, path, query, header or body.
func FuzzSignedRequest(f *testing.F) {
	f.Add("/2015-03-31/functions/hello/invocations", "Qualifier", "7", "text/plain", []byte("{}"))
	f.Add("/a b/ሴ/%2F", "k&=", "+ %", "a  b", []byte(nil))
	f.Add("/*!'();:@&=$,[]", "", "", " ", []byte("x"))
	f.Fuzz(func(t *testing.T, path, name, value, header string, body []byte) {
		// SDKs never send empty or dot segments: they would have to be
		// normalised before signing.
		for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			if segment == "" || segment == "." || segment == ".." {
				return
			}
		}
		if strings.ContainsFunc(header, unicode.IsControl) {
			return
		}
		u := &url.URL{Scheme: "http", Host: "127.0.0.1:4566", Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: url.Values{name: {value, "b"}, "z": {""}}.Encode()}
		// SDKs send %20 for a space.
		u.RawQuery = strings.ReplaceAll(u.RawQuery, "+", "%20")
		out := &http.Request{Method: "POST", URL: u, Host: u.Host, Header: http.Header{"X-Test": {header}}, ContentLength: int64(len(body))}
		out.Body = http.NoBody
		if len(body) > 0 {
			out.Body = readCloser{bytes.NewReader(body)}
		}
		newSigner().sign(out, body)
		in := received(t, out)
		auth := testAuthenticator(Options{})
		if _, err := auth.Authenticate(in); err != nil {
			t.Fatalf("%s %s: %v", in.Method, in.RequestURI, err)
		}
		for _, spoil := range []func(*http.Request){
			func(r *http.Request) { r.Method = "PUT" },
			func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "?", "x?", 1) },
			func(r *http.Request) { r.URL.RawQuery += "&y" },
			func(r *http.Request) { r.Header.Add("X-Test", "x") },
			func(r *http.Request) { r.Body = readCloser{bytes.NewReader(append(slices.Clone(body), 'x'))} },
		} {
			r := in.Clone(in.Context())
			r.Body = readCloser{bytes.NewReader(body)}
			spoil(r)
			var e *Error
			if _, err := auth.Authenticate(r); !errors.As(err, &e) || e.Code != Invalid {
				t.Errorf("%s %s was changed: %v", r.Method, r.RequestURI, err)
			}
		}
	})
}

// Nothing that a client sends makes the canonical request panic, and its lines
// cannot be forged from inside a path or a query.
func FuzzCanonical(f *testing.F) {
	f.Add("/a/../b//c/./", "b=2&a=1&&=&%zz", "lambda")
	f.Add("//", "a=%20+", "s3")
	f.Fuzz(func(t *testing.T, path, query, service string) {
		if p, err := appendPath(nil, path, service); err == nil && bytes.ContainsAny(p, "\n ?") {
			t.Errorf("the path %q became %q", path, p)
		}
		q, err := appendQuery(nil, query)
		if err != nil {
			return
		}
		if bytes.ContainsAny(q, "\n /") {
			t.Errorf("the query %q became %q", query, q)
		}
		if again, err := appendQuery(nil, string(q)); err != nil || !bytes.Equal(again, q) {
			t.Errorf("the canonical query %q is not its own: %q, %v", q, again, err)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// The aim is 8 us with a body of 1 KB.
func BenchmarkVerify(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<10)
	out := newRequest(b, body)
	newSigner().sign(out, body)
	in := received(b, out)
	auth := testAuthenticator(Options{})
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		in.Body = readCloser{bytes.NewReader(body)}
		if _, err := auth.Authenticate(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBearer(b *testing.B) {
	in := received(b, newRequest(b, nil))
	in.Header.Set("Authorization", "Bearer "+testKey.Token())
	auth := testAuthenticator(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Authenticate(in); err != nil {
			b.Fatal(err)
		}
	}
}
