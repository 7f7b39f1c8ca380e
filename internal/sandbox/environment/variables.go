package environment

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/sandbox"
)

// NewToken is 256 random bits, as text of one line.
func NewToken() []byte {
	var b [sha256.Size]byte
	rand.Read(b[:])
	return hex.AppendEncode(nil, b[:])
}

// Variables are those by which a program finds what Spec.API gives it, listening
// at address, with its token in a file; none without one. They are the names that
// AWS's SDKs look at ("Container credential provider" and "Service-specific
// endpoints" in the AWS SDKs and Tools Reference Guide).
func Variables(spec sandbox.Spec, address, token string) []string {
	if spec.API == nil {
		return nil
	}
	const endpoint = "AWS_ENDPOINT_URL="
	list := []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://" + address + sandbox.CredentialsPath,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + token,
	}
	if slices.ContainsFunc(spec.Env, func(v string) bool { return strings.HasPrefix(v, endpoint) }) {
		return list
	}
	return append(list, endpoint+"http://"+address)
}
