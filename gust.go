// Package gust holds the words of the domain: apps, functions, versions,
// invocations, reports, their limits and their errors. It imports only the
// standard library, and everything else in the module speaks in its terms.
//
// An App is what one manifest declares. It holds Functions, each an artifact
// with a runtime, limits and an environment; deploying a changed function makes
// a new version, immutable from then on. An Invocation is one run of one
// version on one event, and ends in a Result and a Report.
package gust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest is the SHA-256 of an artifact's bytes in lower-case hex, 64
// characters. It is an artifact's only name.
type Digest string

// DigestOf hashes everything r has left.
func DigestOf(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return "", n, err
	}
	return Digest(hex.EncodeToString(h.Sum(nil))), n, nil
}

// ParseDigest accepts exactly 64 lower-case hexadecimal characters.
func ParseDigest(s string) (Digest, error) {
	if len(s) == 2*sha256.Size {
		ok := true
		for i := range len(s) {
			c := s[i]
			ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
		}
		if ok {
			return Digest(s), nil
		}
	}
	return "", fmt.Errorf("%q is not a digest: want 64 lower-case hexadecimal characters", truncate(s, 80))
}

// Short is the first 12 characters, for people.
func (d Digest) Short() string {
	if len(d) > 12 {
		return string(d[:12])
	}
	return string(d)
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
