// Package access says who is asking. An Authenticator checks the credential of
// an HTTP request, an AWS Signature Version 4 or a bearer token, against the
// keys that there are, and answers with a Caller or with an *Error.
//
// Whoever has no valid credential learns that and nothing else: an unknown key,
// a wrong secret and a changed request look alike from outside. What an Error
// tells beyond that (Public) is either about the form of the request, which its
// sender knows, or is told only to somebody who has proven to hold the key.
package access

// Code says in which way a request was not let in. Adapters map it to their
// protocol's errors.
type Code string

const (
	// Missing: the request carries no credential.
	Missing Code = "missing credential"
	// Malformed: the credential cannot be read, or lacks a part.
	Malformed Code = "malformed credential"
	// Invalid: an unknown key, a wrong secret, a signature that is not the
	// request's, or a header that had to be signed and is not.
	Invalid Code = "invalid credential"
	// Expired: the session has ended, or the time of a presigned URL is over.
	Expired Code = "expired credential"
	// Skewed: the signature is right, and its time is too far from the
	// node's. (AWS: RequestTimeTooSkewed, or InvalidSignatureException.)
	Skewed Code = "skewed clock"
	// Scope: the signature is right, for another region, service or day.
	Scope Code = "wrong credential scope"
	// BodyMismatch: the signature is right, and the body is not the one it
	// names.
	BodyMismatch Code = "body mismatch"
	// BadChunks: the signature is right, and the chunks of the body, or what
	// follows them, are not as they have to be.
	BadChunks Code = "malformed chunks"
	// BadChecksum: the signature is right, and the body has another checksum
	// than a trailer says. (AWS: BadDigest.)
	BadChecksum Code = "checksum mismatch"
	// Unsupported: a way to sign that this version does not carry out.
	Unsupported Code = "unsupported credential"
)

// Error is why a request was not let in.
type Error struct {
	Code Code
	// Detail is for the node's log. It never holds a secret or a signature.
	Detail string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Public is what the outside may be told.
func (e *Error) Public() string {
	switch e.Code {
	case Invalid:
		return "the credential of the request is not valid"
	case Missing:
		return "the request carries no credential"
	default:
		return e.Detail
	}
}
