package access

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gust "github.com/gust-dev/gust"
)

// payload is what a signature says of the body.
type payload struct {
	form form
	text string // as the canonical request has it; wholeBody has none
	// Of a chunkedBody:
	signed, trailers bool
}

type form int

const (
	wholeBody    form = iota // signed, and its hash is not told
	hashedBody               // signed, and its hash is told
	unsignedBody             // whatever it is
	chunkedBody              // in chunks, which may be signed one by one
)

// claimedPayload reads x-amz-content-sha256: a SHA-256, UNSIGNED-PAYLOAD where
// that is safe, a way to send chunks, or nothing. S3 takes a presigned request
// without it to be unsigned.
func claimedPayload(r *http.Request, auth *authorization) (payload, error) {
	values := r.Header["X-Amz-Content-Sha256"]
	if len(values) > 1 || len(values) == 1 && auth.payload != "" && values[0] != auth.payload {
		return payload{}, &Error{Malformed, "more than one x-amz-content-sha256"}
	}
	text := auth.payload
	if len(values) == 1 {
		text = values[0]
	}
	if text == "" && auth.query && auth.scope.service == "s3" {
		text = unsignedPayload
	}
	p := payload{text: text}
	switch text {
	case "":
		return p, nil
	case unsignedPayload:
		p.form = unsignedBody
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		p.form, p.signed = chunkedBody, true
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		p.form, p.signed, p.trailers = chunkedBody, true, true
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		p.form, p.trailers = chunkedBody, true
	default:
		switch {
		case len(text) == 2*sha256.Size && all(text, lowerHex):
			p.form = hashedBody
			return p, nil
		case strings.HasPrefix(text, "STREAMING-"):
			return p, &Error{Unsupported, fmt.Sprintf("the way to send a body x-amz-content-sha256: %.64q is not supported: use STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "+
				"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or STREAMING-UNSIGNED-PAYLOAD-TRAILER", text)}
		}
		return p, &Error{Malformed, "x-amz-content-sha256 is neither 64 lower-case hexadecimal characters nor " + unsignedPayload + " nor a STREAMING- form"}
	}
	// A body that nobody signed may be changed on the way, but what has none
	// cannot be.
	bodiless := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength == 0
	if !p.signed && !bodiless && !unalterable(r) {
		return p, &Error{Unsupported, "the payload is unsigned (" + text + "), which is supported over TLS or from this machine only: sign the payload"}
	}
	if p.form == chunkedBody && auth.query {
		return p, &Error{Unsupported, "a presigned request cannot be sent in chunks (" + text + "): sign the Authorization header, or send the body as it is"}
	}
	return p, nil
}

// verifiedBody is a body that was read to be verified.
type verifiedBody struct {
	bytes.Reader
	data []byte
	in   *incoming
}

func (*verifiedBody) Close() error { return nil }

// Body returns the whole body of r without a copy, if it was read to verify the
// request's signature. The caller must not change it.
func Body(r *http.Request) ([]byte, bool) {
	if b, ok := r.Body.(*verifiedBody); ok {
		return b.data, true
	}
	return nil, false
}

// readBody takes the whole body of r, hashes it, and puts it back.
func readBody(r *http.Request, limit int64) ([sha256.Size]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return sha256.Sum256(nil), nil
	}
	if r.ContentLength > limit {
		return [sha256.Size]byte{}, tooLarge("body", limit)
	}
	in := incomingOf(r)
	data, err := in.readAll(r.Body, r.ContentLength, limit)
	if err != nil {
		return [sha256.Size]byte{}, readError(err)
	}
	if int64(len(data)) > limit {
		return [sha256.Size]byte{}, tooLarge("body", limit)
	}
	if err := r.Body.Close(); err != nil {
		return [sha256.Size]byte{}, readError(err)
	}
	b := &verifiedBody{data: data, in: in}
	b.Reset(data)
	r.Body = b
	return sha256.Sum256(data), nil
}

func tooLarge(what string, limit int64) error {
	return fmt.Errorf("the %s is %w: the limit is %d bytes", what, gust.ErrTooLarge, limit)
}

func readError(err error) error {
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return tooLarge("body", over.Limit)
	}
	if errors.Is(err, gust.ErrBusy) || errors.Is(err, ErrSlow) { // they say it all
		return err
	}
	return fmt.Errorf("reading the body to verify its signature: %w", err)
}
