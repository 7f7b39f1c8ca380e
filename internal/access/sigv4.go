package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// The rules are those of "Signature Version 4 signing process" in the AWS
// General Reference, and where that is silent, of what AWS's SDKs send.
const (
	algorithm       = "AWS4-HMAC-SHA256"
	algorithmV4A    = "AWS4-ECDSA-P256-SHA256"
	terminator      = "aws4_request"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	amzDate         = "20060102T150405Z"
)

// scope is the credential scope of a signature.
type scope struct{ date, region, service string }

type signingKey [sha256.Size]byte

// verify checks a Signature Version 4. What may be told of a request that fails
// depends on what is proven, so all that can be read comes first, then the
// signature, and its clock, region and body after.
func (a *Authenticator) verify(r *http.Request, auth *authorization) (*Caller, error) {
	body, err := claimedPayload(r, auth)
	if err != nil {
		return nil, err
	}
	if name := auth.unsigned(r.Header); name != "" {
		return nil, &Error{Invalid, fmt.Sprintf("the header %q has to be signed and is not", name)}
	}
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= 64<<10 { // a huge one is not worth keeping
			buffers.Put(buf)
		}
	}()
	if *buf, err = appendCanonical((*buf)[:0], r, auth); err != nil {
		return nil, &Error{Malformed, err.Error()}
	}
	// The ID is no secret; but whoever does not even have it is not worth
	// reading a body for.
	credential, err := a.keys.Lookup(auth.keyID, auth.token)
	if err != nil {
		return nil, err
	}
	if body.form == wholeBody {
		sum, err := readBody(r, a.maxBody)
		if err != nil {
			return nil, err
		}
		*buf = hex.AppendEncode(*buf, sum[:])
	} else {
		*buf = append(*buf, body.text...)
	}

	key, kept := a.cache.find(credential, auth.scope)
	request := sha256.Sum256(*buf)
	*buf = appendScope(append((*buf)[:0], algorithm+"\n"...), auth)
	*buf = hex.AppendEncode(*buf, request[:])
	want := mac(key[:], *buf)
	if subtle.ConstantTimeCompare(want[:], auth.signature[:]) != 1 {
		return nil, &Error{Invalid, "the signature does not match the request"}
	}

	// From here on the sender is known to hold the key.
	now := a.now()
	if err := a.inScope(auth, now); err != nil {
		return nil, err
	}
	if err := credential.expired(now); err != nil {
		return nil, err
	}
	if err := incomingOf(r).prove(); err != nil {
		return nil, err
	}
	if !kept {
		a.cache.keep(credential, auth.scope, key)
	}
	switch body.form {
	case hashedBody:
		sum, err := readBody(r, a.maxBody)
		if err != nil {
			return nil, err
		}
		if hex.EncodeToString(sum[:]) != body.text {
			return nil, &Error{BodyMismatch, "the body's SHA-256 is not the one that x-amz-content-sha256 names"}
		}
	case chunkedBody:
		if err := a.openChunks(r, auth, body, key); err != nil {
			return nil, err
		}
	}
	by := "header"
	if auth.query {
		by = "query"
	}
	return a.admit(r, credential, auth.token, auth.scope, by, now), nil
}

// inScope checks what a right signature is for.
func (a *Authenticator) inScope(auth *authorization, now time.Time) error {
	age := now.Sub(auth.stamp)
	if auth.query && age > auth.expires {
		return &Error{Expired, fmt.Sprintf("the request was presigned at %s for %d seconds and the time here is %s: presign a new one",
			auth.date, int64(auth.expires.Seconds()), now.UTC().Format(amzDate))}
	}
	if !auth.query && age > MaxSkew || age < -MaxSkew {
		return &Error{Skewed, fmt.Sprintf("the request was signed at %s and the time here is %s: they may differ by %d minutes",
			auth.date, now.UTC().Format(amzDate), int(MaxSkew.Minutes()))}
	}
	if date := auth.date[:len("20060102")]; auth.scope.date != date {
		return &Error{Scope, fmt.Sprintf("the credential is scoped to the day %.16q and the request was signed on %q", auth.scope.date, date)}
	}
	// IAM has one region for all, and so has STS at its first address.
	global := auth.scope.region == "us-east-1" && (auth.scope.service == "iam" || auth.scope.service == "sts")
	if auth.scope.region != a.region && !global {
		return &Error{Scope, fmt.Sprintf("the credential is scoped to the region %.64q: this node's region is %q", auth.scope.region, a.region)}
	}
	return nil
}

func deriveKey(secret string, s scope) signingKey {
	key := mac([]byte("AWS4"+secret), []byte(s.date))
	key = mac(key[:], []byte(s.region))
	key = mac(key[:], []byte(s.service))
	return mac(key[:], []byte(terminator))
}

// mac is HMAC-SHA256, in the memory of the caller: crypto/hmac allocates six
// times, which is a tenth of what a signature costs.
func mac(key, data []byte) signingKey {
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	var pad [sha256.BlockSize]byte
	copy(pad[:], key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	var room [512]byte // more than strings to sign have
	inner := sha256.Sum256(append(append(room[:0], pad[:]...), data...))
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	return sha256.Sum256(append(append(room[:0], pad[:]...), inner[:]...))
}

// appendScope appends the date and the credential scope, a line each, which all
// strings to sign have.
func appendScope(dst []byte, auth *authorization) []byte {
	dst = append(append(dst, auth.date...), '\n')
	dst = append(append(dst, auth.scope.date...), '/')
	dst = append(append(dst, auth.scope.region...), '/')
	dst = append(append(dst, auth.scope.service...), '/')
	return append(dst, terminator+"\n"...)
}
