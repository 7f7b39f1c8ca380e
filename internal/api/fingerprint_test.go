package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestFingerprints: one is taken as people find it written, and trusts no other
// certificate.
func TestFingerprints(t *testing.T) {
	certificate := []byte("a certificate")
	plain := Fingerprint(certificate)
	var pairs []string
	for i := 0; i < len(plain); i += 2 {
		pairs = append(pairs, strings.ToUpper(plain[i:i+2]))
	}
	colons := strings.Join(pairs, ":")
	for _, written := range []string{plain, strings.ToUpper(plain), " " + plain + "\n", "sha256:" + plain, "SHA256:" + colons, colons, "sha256 Fingerprint=" + colons} {
		trust, err := trustFingerprint(written)
		if err != nil {
			t.Errorf("%q: %v", written, err)
			continue
		}
		shown := func(raw string) error {
			return trust.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte(raw)}}})
		}
		if err := shown(string(certificate)); err != nil {
			t.Errorf("%q does not trust its own certificate: %v", written, err)
		}
		if err := shown("another certificate"); !errors.Is(err, errFingerprint) {
			t.Errorf("%q trusts another certificate: %v", written, err)
		}
	}
	for _, wrong := range []string{"", "x", plain[2:], plain + "00", "sha1 Fingerprint=AB:CD", strings.Repeat("zz", 32)} {
		if _, err := trustFingerprint(wrong); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is not the SHA-256", wrong)) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
