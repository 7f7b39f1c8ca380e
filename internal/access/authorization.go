package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds on what is looked at before anything is proven.
const (
	maxAuthorization = 8 << 10
	maxQuery         = 16 << 10
	maxSignedHeaders = 128
	// MaxPresigned is how long a presigned URL may be good for, as with AWS.
	MaxPresigned = 7 * 24 * time.Hour
)

// authorization is what a request says of its signature, in the Authorization
// header or in the query.
type authorization struct {
	keyID     string
	token     string // of a session
	scope     scope
	signed    string // the names of the signed headers: lower case, sorted, semicolons between, host among them
	signature [sha256.Size]byte
	date      string // as amzDate
	stamp     time.Time
	// Of a presigned request:
	query   bool
	expires time.Duration
	payload string // X-Amz-Content-Sha256 of the query
}

// parseHeader reads the value of an Authorization header after its algorithm,
// "Credential=<id>/<date>/<region>/<service>/aws4_request, SignedHeaders=<a;b;c>,
// Signature=<hex>", the parts in any order, and what stands in other headers.
func (auth *authorization) parseHeader(value string, h http.Header) error {
	var credential, signed, signature string
	for rest, more := value, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		name, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || v == "" {
			return errors.New("the Authorization header has a part that is not name=value")
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
			return fmt.Errorf("the Authorization header has an unknown part %.32q", name)
		}
		if *dst != "" {
			return fmt.Errorf("the Authorization header has two %s", name)
		}
		*dst = v
	}
	for _, p := range [...]struct{ name, value string }{{"Credential", credential}, {"SignedHeaders", signed}, {"Signature", signature}} {
		if p.value == "" {
			return fmt.Errorf("the Authorization header has no %s", p.name)
		}
	}
	if err := auth.parseParts(credential, signed, signature); err != nil {
		return err
	}
	tokens := h["X-Amz-Security-Token"]
	if len(tokens) > 1 {
		return errors.New("more than one X-Amz-Security-Token header")
	}
	if len(tokens) == 1 {
		auth.token = tokens[0]
	}
	return auth.parseTime(h)
}

// parseTime reads when the request says it was signed: x-amz-date, else Date.
// Either is part of what is signed, in the string to sign.
func (auth *authorization) parseTime(h http.Header) (err error) {
	values, name := h["X-Amz-Date"], "X-Amz-Date"
	if len(values) == 0 {
		values, name = h["Date"], "Date"
	}
	if len(values) != 1 {
		return errors.New("the request has no single X-Amz-Date or Date header")
	}
	auth.date = values[0]
	if auth.stamp, err = time.Parse(amzDate, auth.date); err != nil && name == "Date" {
		if auth.stamp, err = http.ParseTime(auth.date); err == nil {
			auth.stamp = auth.stamp.UTC()
			auth.date = auth.stamp.Format(amzDate)
		}
	}
	if err != nil {
		return fmt.Errorf("the header %s is not a time like %s", name, amzDate)
	}
	return nil
}

// parseQuery reads the parameters of a presigned request.
func (auth *authorization) parseQuery(query string) error {
	auth.query = true
	parts := [...]struct {
		name, value string
		optional    bool
	}{
		{name: "X-Amz-Algorithm"}, {name: "X-Amz-Credential"}, {name: "X-Amz-Date"}, {name: "X-Amz-Expires"},
		{name: "X-Amz-SignedHeaders"}, {name: "X-Amz-Signature"},
		{name: "X-Amz-Security-Token", optional: true}, {name: "X-Amz-Content-Sha256", optional: true},
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err != nil {
			return errors.New("the query has an invalid escape")
		}
		for i := range parts {
			p := &parts[i]
			if p.name != name {
				continue
			}
			if p.value != "" {
				return fmt.Errorf("the query has two %s", name)
			}
			if p.value, err = url.PathUnescape(value); err != nil {
				return fmt.Errorf("the parameter %s has an invalid escape", name)
			}
			if p.value == "" {
				return fmt.Errorf("the parameter %s is empty", name)
			}
		}
	}
	for _, p := range parts {
		if p.value == "" && !p.optional {
			return fmt.Errorf("the query has no %s, which a presigned request needs", p.name)
		}
	}
	if parts[0].value != algorithm {
		return fmt.Errorf("X-Amz-Algorithm is %.64q: use %s", parts[0].value, algorithm)
	}
	if err := auth.parseParts(parts[1].value, parts[4].value, parts[5].value); err != nil {
		return err
	}
	var err error
	auth.date = parts[2].value
	if auth.stamp, err = time.Parse(amzDate, auth.date); err != nil {
		return fmt.Errorf("the parameter X-Amz-Date is not a time like %s", amzDate)
	}
	seconds, err := strconv.ParseUint(parts[3].value, 10, 32)
	if limit := uint64(MaxPresigned.Seconds()); err != nil || seconds < 1 || seconds > limit {
		return fmt.Errorf("X-Amz-Expires is %.32q: it has to be from 1 to %d seconds", parts[3].value, limit)
	}
	auth.expires = time.Duration(seconds) * time.Second
	auth.token, auth.payload = parts[6].value, parts[7].value
	return nil
}

func (auth *authorization) parseParts(credential, signed, signature string) error {
	if err := auth.parseCredential(credential); err != nil {
		return err
	}
	if err := auth.parseSigned(signed); err != nil {
		return err
	}
	if len(signature) != 2*sha256.Size || !all(signature, lowerHex) {
		return errors.New("the Signature is not 64 lower-case hexadecimal characters")
	}
	hex.Decode(auth.signature[:], []byte(signature)) // it was looked at
	return nil
}

func (auth *authorization) parseCredential(s string) error {
	var parts [5]string
	n := 0
	for more := true; more; n++ {
		var part string
		part, s, more = strings.Cut(s, "/")
		if n == len(parts) || part == "" || len(part) > 128 || !all(part, credentialChar) {
			return errCredential
		}
		parts[n] = part
	}
	if n != len(parts) || parts[4] != terminator {
		return errCredential
	}
	auth.keyID, auth.scope = parts[0], scope{parts[1], parts[2], parts[3]}
	return nil
}

var errCredential = errors.New("the Credential is not <access key id>/<date>/<region>/<service>/" + terminator)

func (auth *authorization) parseSigned(s string) error {
	auth.signed = s
	host, last, n := false, "", 0
	for name := range auth.headers {
		switch n++; {
		case n > maxSignedHeaders:
			return fmt.Errorf("more than %d SignedHeaders", maxSignedHeaders)
		case name == "" || !all(name, headerChar):
			return errors.New("SignedHeaders is not lower-case header names with semicolons between")
		case last >= name:
			return errors.New("SignedHeaders is not sorted, or has a name twice")
		}
		host, last = host || name == "host", name
	}
	if !host {
		return errors.New("host is not among the SignedHeaders")
	}
	return nil
}

// headers yields the names of the signed headers.
func (auth *authorization) headers(yield func(string) bool) {
	for rest, more := auth.signed, true; more; {
		var name string
		if name, rest, more = strings.Cut(rest, ";"); !yield(name) {
			return
		}
	}
}

// unsigned names a header that has to be signed and is not. AWS asks for host
// and for every x-amz-* header: an unsigned one could be added by somebody on
// the way, and says what to do. The body's hash is signed wherever it stands,
// as the canonical request holds it, and so is the date, unless the query has
// it.
func (auth *authorization) unsigned(h http.Header) string {
	for name := range h {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") || name == "X-Amz-Content-Sha256" || name == "X-Amz-Date" && !auth.query {
			continue
		}
		found := false
		for s := range auth.headers {
			found = found || strings.EqualFold(s, name)
		}
		if !found {
			return name
		}
	}
	return ""
}

// claim tells what sort of credential a query holds.
type claim int

const (
	noClaim claim = iota
	claimV4
	claimV4A
	claimV2
)

// queryClaim looks for a signature in a query.
func queryClaim(query string) claim {
	found := noClaim
	for rest, more := query, query != ""; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(name, "%") {
			name, _ = url.PathUnescape(name) // what is no escape is no such name
		}
		switch name {
		case "X-Amz-Algorithm":
			if value == algorithmV4A {
				return claimV4A
			}
			found = claimV4
		case "X-Amz-Signature":
			found = claimV4
		case "AWSAccessKeyId":
			if found == noClaim {
				found = claimV2
			}
		}
	}
	return found
}

func lowerHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func credentialChar(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' || c == '.' }

// valueChar is what RFC 9110 lets stand in a header's value: a lone carriage
// return among it would be trimmed by one reader and kept by another.
func valueChar(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

// headerChar is a token character of RFC 9110, but no upper-case letter.
func headerChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
