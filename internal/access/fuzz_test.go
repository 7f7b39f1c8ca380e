package access

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
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
		var auth authorization
		if err := auth.parseHeader(value, http.Header{"X-Amz-Date": {"20150830T123600Z"}}); err == nil {
			checkAuthorization(t, &auth)
		}
	})
}

func checkAuthorization(t *testing.T, auth *authorization) {
	names := strings.Split(auth.signed, ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") || len(names) > maxSignedHeaders {
		t.Errorf("the signed headers are %q", names)
	}
	if seen := slices.Collect(auth.headers); !slices.Equal(seen, names) {
		t.Errorf("the signed headers %q are taken for %q", names, seen)
	}
	for _, part := range []string{auth.keyID, auth.scope.date, auth.scope.region, auth.scope.service} {
		if part == "" || strings.ContainsAny(part, "/,= \n") {
			t.Errorf("the credential has the part %q", part)
		}
	}
	if stamp, err := time.Parse(amzDate, auth.date); err != nil || !stamp.Equal(auth.stamp) {
		t.Errorf("the date %q is taken for %v", auth.date, auth.stamp)
	}
}

// Whatever stands in a query, it is a presigned request's that holds the rules,
// or refused.
func FuzzPresigned(f *testing.F) {
	good := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request" +
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Security-Token=t&X-Amz-Signature=" + strings.Repeat("0a", 32)
	f.Add(good)
	f.Add(good + "&X-Amz-Expires=3600")
	f.Add(strings.ReplaceAll(good, "3600", "%2B0"))
	f.Add(strings.ReplaceAll(good, "=host", "=%zz"))
	f.Add("X-Amz-Signature&&=&%")
	f.Fuzz(func(t *testing.T, query string) {
		var auth authorization
		if err := auth.parseQuery(query); err != nil {
			return
		}
		checkAuthorization(t, &auth)
		if auth.expires < time.Second || auth.expires > MaxPresigned {
			t.Errorf("%q: it expires after %v", query, auth.expires)
		}
		if queryClaim(query) != claimV4 {
			t.Errorf("%q is a presigned request, and is not taken for one", query)
		}
		canonical, err := appendQuery(nil, query, true)
		if err == nil && bytes.Contains(canonical, []byte("X-Amz-Signature=")) {
			t.Errorf("%q: the signature is part of what it signs", query)
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
		q, err := appendQuery(nil, query, false)
		if err != nil {
			return
		}
		if bytes.ContainsAny(q, "\n /") {
			t.Errorf("the query %q became %q", query, q)
		}
		if again, err := appendQuery(nil, string(q), false); err != nil || !bytes.Equal(again, q) {
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

// A thousand principals in turn, each with requests of its own.
func BenchmarkVerifyThousand(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<10)
	keys, requests := keyring{}, make([]*http.Request, 1000)
	for i := range requests {
		key := newKey(testTime)
		keys[[2]string{key.ID, ""}] = &Credential{KeyID: key.ID, Secret: key.Secret, Principal: &Principal{}}
		out, s := newRequest(b, body), newSigner()
		s.key = key
		s.sign(out, body)
		requests[i] = received(b, out)
	}
	auth := New(keys, Options{Now: func() time.Time { return testTime }})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := requests[i%len(requests)]
		r.Body = readCloser{bytes.NewReader(body)}
		if _, err := auth.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPresigned(b *testing.B) {
	out, err := http.NewRequest("GET", "http://127.0.0.1:4566/bucket/key", nil)
	if err != nil {
		b.Fatal(err)
	}
	s := newSigner()
	s.service = "s3"
	s.presign(out, unsignedPayload, "3600")
	in, auth := received(b, out), testAuthenticator(Options{})
	b.ReportAllocs()
	for b.Loop() {
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

// Whatever comes in the place of chunks, only verified bytes are handed on, and
// none after an error.
func FuzzChunks(f *testing.F) {
	const length = 9
	seed := strings.Repeat("0a", 32)
	f.Add(signChunks(seed, [][]byte{[]byte("1234"), []byte("56789")}, ""), true, false)
	f.Add(signChunks(seed, [][]byte{[]byte("123456789")}, "x-amz-checksum-crc32:y/Q5Jg=="), true, true)
	f.Add([]byte("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"), false, true)
	f.Add([]byte("4\r\n1234\r\n5\r\n56780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"), false, true)
	f.Add([]byte("7fffffffffffffff\r\n"), false, true)
	authenticator := testAuthenticator(Options{})
	f.Fuzz(func(t *testing.T, body []byte, signed, trailers bool) {
		if !signed && !trailers {
			return // there is no such form
		}
		r := &http.Request{Header: http.Header{"X-Amz-Decoded-Content-Length": {"9"}}, Body: readCloser{bytes.NewReader(body)}}
		if trailers {
			r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		}
		s := scope{testTime.Format("20060102"), "us-east-1", "s3"}
		auth := &authorization{scope: s, date: testTime.Format(amzDate)}
		for i := range auth.signature {
			auth.signature[i] = 0x0a
		}
		p := payload{form: chunkedBody, signed: signed, trailers: trailers}
		if err := authenticator.openChunks(r, auth, p, deriveKey(testKey.Secret, s)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(iotest.OneByteReader(r.Body))
		switch {
		case err == nil && (len(got) != length || trailers && string(got) != "123456789" && crc32.ChecksumIEEE(got) != 0xcbf43926):
			t.Errorf("%q was taken for the body %q", body, got)
		case err != nil && len(got) >= length:
			t.Errorf("%q: all bytes were handed on, and then %v", body, err)
		case signed && len(got) > 0 && !strings.HasPrefix("123456789", string(got)):
			t.Errorf("%q: the bytes %q were handed on, which nobody signed", body, got)
		}
	})
}

// Trailers are read to what they hold, or refused, and their canonical form has a
// line each.
func FuzzTrailers(f *testing.F) {
	f.Add([]byte("x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" + strings.Repeat("0a", 32) + "\r\n\r\n"))
	f.Add([]byte("a:b\n\r\nA:c\n"))
	f.Add([]byte(":\r\n"))
	f.Add([]byte("0:\r "))
	f.Fuzz(func(t *testing.T, rest []byte) {
		trailers, signature, err := parseTrailers(rest)
		if err != nil {
			return
		}
		if signature != "" && len(signature) != 64 {
			t.Errorf("%q: the signature is %q", rest, signature)
		}
		canonical := canonicalTrailers(trailers)
		if n := bytes.Count(canonical, []byte("\n")); n != len(trailers) {
			t.Errorf("%q: %d trailers make %d lines", rest, len(trailers), n)
		}
		again, _, err := parseTrailers(canonical)
		if err != nil || len(again) != len(trailers) {
			t.Errorf("%q: the canonical form %q is not its own: %v", rest, canonical, err)
		}
	})
}
