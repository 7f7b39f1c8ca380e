package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Fingerprint is the SHA-256 of a certificate (DER) in lower-case hexadecimal:
// what `openssl x509 -fingerprint -sha256` prints, without its colons.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return hex.EncodeToString(sum[:])
}

// errFingerprint: who answered is not the node that was asked for.
var errFingerprint = errors.New("the certificate has another fingerprint")

// trustFingerprint trusts the one certificate with this fingerprint, whatever its
// names and whoever signed it. It may be written with colons and in capitals, as
// openssl writes it: "sha256 Fingerprint=AB:CD:...".
func trustFingerprint(fingerprint string) (*tls.Config, error) {
	text := strings.ToLower(strings.TrimSpace(fingerprint))
	text = text[strings.IndexByte(text, '=')+1:]
	text = strings.ReplaceAll(strings.TrimPrefix(text, "sha256:"), ":", "")
	want, err := hex.DecodeString(text)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("the fingerprint %q is not the SHA-256 of a certificate: want 64 hexadecimal characters, as `gust up` prints them", fingerprint)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			got := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return fmt.Errorf("%w, %x, and not %x", errFingerprint, got, want)
			}
			return nil
		},
	}, nil
}

// explainTLS says what to do about a connection that could not be trusted.
func (c *Client) explainTLS(err error) error {
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, errFingerprint):
		return fmt.Errorf("who answers at %s is not trusted: %w; if the node has a new certificate, `gust up` and its node.json have the new fingerprint", c.Endpoint, err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("who answers at %s is not trusted: %w; if it is the node, give the fingerprint that `gust up` printed there (--fingerprint or GUST_FINGERPRINT)", c.Endpoint, untrusted.Err)
	case errors.As(err, &noTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("who answers at %s speaks no TLS: a node that was started with --tls off is asked by http://, and whoever is on the way sees the key", c.Endpoint)
	}
	return fmt.Errorf("the node at %s broke off: %w", c.Endpoint, err)
}
