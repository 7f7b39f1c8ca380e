package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The rules are those of "Signature Version 4 signing process" in the AWS
// General Reference, and where that is silent, of what AWS's SDKs send.
const (
	algorithm       = "AWS4-HMAC-SHA256"
	terminator      = "aws4_request"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	amzDate         = "20060102T150405Z"

	// Bounds on what is looked at before anything is proven.
	maxAuthorization = 8 << 10
	maxSignedHeaders = 128
)

// scope is the credential scope of a signature.
type scope struct{ date, region, service string }

type signingKey [sha256.Size]byte

// authorization is the value of an Authorization header, after its algorithm.
type authorization struct {
	keyID     string
	scope     scope
	headers   []string // lower case, sorted, host among them
	signed    string   // headers as they stand in the header
	signature [sha256.Size]byte
}

// verify checks a Signature Version 4. What may be told of a request that fails
// depends on what is proven, so the signature comes first, and its clock, region
// and body after.
func (a *Authenticator) verify(r *http.Request, value string) (*Caller, error) {
	auth, err := parseAuthorization(value)
	if err != nil {
		return nil, &Error{Malformed, err.Error()}
	}
	stamp, err := requestTime(r.Header)
	if err != nil {
		return nil, &Error{Malformed, err.Error()}
	}
	payload, err := claimedPayload(r)
	if err != nil {
		return nil, err
	}
	claimed := payload != "" && payload != unsignedPayload
	token := r.Header["X-Amz-Security-Token"]
	if len(token) > 1 {
		return nil, &Error{Malformed, "more than one X-Amz-Security-Token header"}
	}
	// The ID is no secret; but whoever does not even have it is not worth
	// reading a body for.
	credential, err := a.keys.Lookup(auth.keyID, strings.Join(token, ""))
	if err != nil {
		return nil, err
	}
	if name := unsignedHeader(r.Header, auth.headers); name != "" {
		return nil, &Error{Invalid, fmt.Sprintf("the header %q has to be signed and is not", name)}
	}

	if payload == "" {
		sum, err := readBody(r, a.maxBody, false)
		if err != nil {
			return nil, err
		}
		payload = hex.EncodeToString(sum[:])
	}

	request, err := hashCanonical(r, auth, payload)
	if err != nil {
		return nil, &Error{Malformed, err.Error()}
	}
	key, kept := a.cache.find(credential, auth.scope)
	want := sign(key, stamp, auth.scope, request)
	if subtle.ConstantTimeCompare(want[:], auth.signature[:]) != 1 {
		return nil, &Error{Invalid, "the signature does not match the request"}
	}

	// From here on the sender is known to hold the key.
	now := a.now()
	if err := a.inScope(stamp, auth.scope, now); err != nil {
		return nil, err
	}
	if err := credential.expired(now); err != nil {
		return nil, err
	}
	if !kept {
		a.cache.keep(credential, auth.scope, key)
	}
	if claimed {
		sum, err := readBody(r, a.maxBody, true)
		if err != nil {
			return nil, err
		}
		if hex.EncodeToString(sum[:]) != payload {
			return nil, &Error{BodyMismatch, "the body's SHA-256 is not the one that x-amz-content-sha256 names"}
		}
	}
	return a.admit(r, credential, auth.scope, "header", now), nil
}

// claimedPayload is the value of x-amz-content-sha256: a SHA-256, UNSIGNED-PAYLOAD
// where that is safe, or nothing.
func claimedPayload(r *http.Request) (string, error) {
	switch payload := r.Header.Get("X-Amz-Content-Sha256"); {
	case payload == "", len(payload) == 2*sha256.Size && all(payload, lowerHex):
		return payload, nil
	case payload == unsignedPayload && unalterable(r):
		return payload, nil
	case payload == unsignedPayload:
		return "", &Error{Unsupported, "the payload is unsigned (" + unsignedPayload + "), which is supported over TLS or from this machine only: sign the payload"}
	case strings.HasPrefix(payload, "STREAMING-"):
		return "", &Error{Unsupported, fmt.Sprintf("chunked signing (x-amz-content-sha256: %.64q) is not supported: sign the whole payload", payload)}
	default:
		return "", &Error{Malformed, "x-amz-content-sha256 is neither 64 lower-case hexadecimal characters nor " + unsignedPayload}
	}
}

// inScope checks what a right signature is for.
func (a *Authenticator) inScope(stamp time.Time, s scope, now time.Time) error {
	if skew := now.Sub(stamp); skew > MaxSkew || skew < -MaxSkew {
		return &Error{Skewed, fmt.Sprintf("the request was signed at %s and the time here is %s: they may differ by %d minutes",
			stamp.Format(amzDate), now.UTC().Format(amzDate), int(MaxSkew.Minutes()))}
	}
	if date := stamp.Format("20060102"); s.date != date {
		return &Error{Scope, fmt.Sprintf("the credential is scoped to the day %.16q and the request was signed on %q", s.date, date)}
	}
	if s.region != a.region {
		return &Error{Scope, fmt.Sprintf("the credential is scoped to the region %.64q: this node's region is %q", s.region, a.region)}
	}
	return nil
}

// parseAuthorization reads "Credential=<id>/<date>/<region>/<service>/aws4_request,
// SignedHeaders=<a;b;c>, Signature=<hex>", the parts in any order.
func parseAuthorization(value string) (*authorization, error) {
	var credential, signed, signature string
	for part := range strings.SplitSeq(value, ",") {
		name, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || v == "" {
			return nil, errors.New("the Authorization header has a part that is not name=value")
		}
		var dst *string
		switch name {
		case "Credential":
			dst = &credential
		case "SignedHeaders":
			dst = &signed
		case "Signature":
			dst = &signature
		default:
			return nil, fmt.Errorf("the Authorization header has an unknown part %.32q", name)
		}
		if *dst != "" {
			return nil, fmt.Errorf("the Authorization header has two %s", name)
		}
		*dst = v
	}
	for _, p := range [...]struct{ name, value string }{{"Credential", credential}, {"SignedHeaders", signed}, {"Signature", signature}} {
		if p.value == "" {
			return nil, fmt.Errorf("the Authorization header has no %s", p.name)
		}
	}
	auth := &authorization{signed: signed}
	if err := auth.parseCredential(credential); err != nil {
		return nil, err
	}
	if err := auth.parseHeaders(signed); err != nil {
		return nil, err
	}
	if len(signature) != 2*sha256.Size || !all(signature, lowerHex) {
		return nil, errors.New("the Signature is not 64 lower-case hexadecimal characters")
	}
	hex.Decode(auth.signature[:], []byte(signature)) // it was looked at
	return auth, nil
}

func (auth *authorization) parseCredential(s string) error {
	var parts [5]string
	n := 0
	for part := range strings.SplitSeq(s, "/") {
		if n == len(parts) || part == "" || len(part) > 128 || !all(part, credentialChar) {
			return errors.New("the Credential is not <access key id>/<date>/<region>/<service>/" + terminator)
		}
		parts[n] = part
		n++
	}
	if n != len(parts) || parts[4] != terminator {
		return errors.New("the Credential is not <access key id>/<date>/<region>/<service>/" + terminator)
	}
	auth.keyID, auth.scope = parts[0], scope{parts[1], parts[2], parts[3]}
	return nil
}

func (auth *authorization) parseHeaders(s string) error {
	n := strings.Count(s, ";") + 1
	if n > maxSignedHeaders {
		return fmt.Errorf("more than %d SignedHeaders", maxSignedHeaders)
	}
	auth.headers = make([]string, 0, n)
	host := false
	for name := range strings.SplitSeq(s, ";") {
		if name == "" || !all(name, headerChar) {
			return errors.New("SignedHeaders is not lower-case header names with semicolons between")
		}
		if len(auth.headers) > 0 && auth.headers[len(auth.headers)-1] >= name {
			return errors.New("SignedHeaders is not sorted, or has a name twice")
		}
		host = host || name == "host"
		auth.headers = append(auth.headers, name)
	}
	if !host {
		return errors.New("host is not among the SignedHeaders")
	}
	return nil
}

func lowerHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func credentialChar(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' || c == '.' }

// headerChar is a token character of RFC 9110, but no upper-case letter.
func headerChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// requestTime is when the request says it was signed: x-amz-date, else Date.
// Either is part of what is signed, in the string to sign.
func requestTime(h http.Header) (time.Time, error) {
	values, name := h["X-Amz-Date"], "X-Amz-Date"
	if len(values) == 0 {
		values, name = h["Date"], "Date"
	}
	if len(values) != 1 {
		return time.Time{}, errors.New("the request has no single X-Amz-Date or Date header")
	}
	t, err := time.Parse(amzDate, values[0])
	if err != nil && name == "Date" {
		t, err = http.ParseTime(values[0])
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("the header %s is not a time like %s", name, amzDate)
	}
	return t.UTC(), nil
}

// unsignedHeader names a header that has to be signed and is not. AWS asks for
// host and for every x-amz-* header: an unsigned one could be added by somebody
// on the way, and says what to do. The date and the body's hash are signed
// wherever they stand, as the string to sign and the canonical request hold them.
func unsignedHeader(h http.Header, signed []string) string {
	for name := range h {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") || name == "X-Amz-Date" || name == "X-Amz-Content-Sha256" {
			continue
		}
		if !slices.ContainsFunc(signed, func(s string) bool { return strings.EqualFold(s, name) }) {
			return name
		}
	}
	return ""
}

func deriveKey(secret string, s scope) signingKey {
	key := mac([]byte("AWS4"+secret), s.date)
	key = mac(key[:], s.region)
	key = mac(key[:], s.service)
	return mac(key[:], terminator)
}

func mac(key []byte, data string) (out signingKey) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	h.Sum(out[:0])
	return out
}

// sign is the signature of the string to sign.
func sign(key signingKey, stamp time.Time, s scope, request [sha256.Size]byte) (out [sha256.Size]byte) {
	buf := make([]byte, 0, 256)
	buf = append(buf, algorithm+"\n"...)
	buf = stamp.AppendFormat(buf, amzDate)
	buf = append(buf, '\n')
	buf = append(append(buf, s.date...), '/')
	buf = append(append(buf, s.region...), '/')
	buf = append(append(buf, s.service...), '/')
	buf = append(buf, terminator+"\n"...)
	buf = hex.AppendEncode(buf, request[:])
	h := hmac.New(sha256.New, key[:])
	h.Write(buf)
	h.Sum(out[:0])
	return out
}
