package access

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

var (
	testKey  = &Key{ID: "AKIAABCDEFGHIJKLMNOP", Secret: "0123456789012345678901234567890123456789"}
	testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func testAuthenticator(o Options) *Authenticator {
	if o.Now == nil {
		o.Now = func() time.Time { return testTime }
	}
	return New(newRootKeys(testKey, gust.DefaultPlace), o)
}

// signer signs as an SDK does, written for the client's side of the rules and
// sharing no code with what verifies.
type signer struct {
	key             *Key
	region, service string
	at              time.Time
	payload         string // x-amz-content-sha256; "-" leaves the header out
}

func newSigner() signer { return signer{testKey, "us-east-1", "lambda", testTime, "-"} }

func (s signer) sign(r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Date", s.at.UTC().Format("20060102T150405Z"))
	if s.payload != "-" {
		payload = s.payload
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	names := []string{"host"}
	for name := range r.Header {
		if name != "Authorization" && name != "User-Agent" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		value := r.Host
		if name != "host" {
			var values []string
			for _, v := range r.Header.Values(name) {
				values = append(values, strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " "))
			}
			value = strings.Join(values, ",")
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{
		r.Method, awsEncode(path, "/"), awsQuery(r.URL.Query()), headers.String(), strings.Join(names, ";"), payload,
	}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	date := s.at.UTC().Format("20060102")
	scope := date + "/" + s.region + "/" + s.service + "/aws4_request"
	key := []byte("AWS4" + s.key.Secret)
	for _, part := range []string{date, s.region, s.service, "aws4_request",
		"AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		s.key.ID, scope, strings.Join(names, ";"), key))
}

func awsEncode(s, keep string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"+keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func awsQuery(values url.Values) string {
	type pair struct{ name, value string }
	var pairs []pair
	for name, vs := range values {
		for _, v := range vs {
			pairs = append(pairs, pair{awsEncode(name, ""), awsEncode(v, "")})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.value, b.value)
	})
	var parts []string
	for _, p := range pairs {
		parts = append(parts, p.name+"="+p.value)
	}
	return strings.Join(parts, "&")
}

// received is r as a server gets it: written to the wire and parsed again.
func received(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	got.RemoteAddr = "192.0.2.7:40000"
	return got
}

// newRequest is an unsigned invocation of a function.
func newRequest(t testing.TB, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest("POST", "http://127.0.0.1:4566/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahello/invocations?Qualifier=7", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Log-Type", "Tail")
	return r
}
