package access

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// RootKeyFile is the name of the root key's file in the data folder.
const RootKeyFile = "root.key"

const (
	keyIDPrefix = "AKIA" // as AWS marks a long-lived access key
	keyIDLength = 20
	secretChars = 40
)

// Key is an access key. Printed or logged, it shows its ID alone.
type Key struct {
	ID      string // "AKIA" and 16 characters of A-Z, 2-7
	Secret  string // 40 letters and digits, 238 random bits
	Created time.Time
	// Session is the token that belongs to a session's key; others have none.
	Session string
}

// Token is the key as a bearer token: "<id>.<secret>", of a session
// "<id>.<secret>.<session token>".
func (k *Key) Token() string {
	if k.Session != "" {
		return k.ID + "." + k.Secret + "." + k.Session
	}
	return k.ID + "." + k.Secret
}

// ParseToken reads what Token wrote; false is something else.
func ParseToken(token string) (*Key, bool) {
	id, rest, _ := strings.Cut(token, ".")
	secret, session, temporary := strings.Cut(rest, ".")
	if id == "" || secret == "" || temporary && session == "" {
		return nil, false
	}
	return &Key{ID: id, Secret: secret, Session: session}, true
}

// String hides the secret.
func (k *Key) String() string { return k.ID }

// GoString hides the secret.
func (k *Key) GoString() string { return "access.Key(" + k.ID + ")" }

// LogValue hides the secret.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

// keyFile is the content of root.key.
type keyFile struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	Created         time.Time `json:"created,omitzero"`
}

// OpenRootKey reads the root key of the data folder dir, and makes one when
// there is none; created tells. A new file has mode 0600 and is whole and synced
// (its folder too) before it has its name. A file that others may read or write
// is refused, one that belongs to another user, and one that does not hold a key
// (gust.ErrCorrupt): it is never replaced.
//
// The caller holds the lock of the data folder.
func OpenRootKey(dir string) (key *Key, created bool, err error) {
	key, err = readRootKey(dir, 0, os.Geteuid())
	if !errors.Is(err, gust.ErrNotFound) {
		return key, false, err
	}
	key = newKey(time.Now().UTC().Truncate(time.Second))
	data, err := json.MarshalIndent(keyFile{key.ID, key.Secret, key.Created}, "", "  ")
	if err == nil {
		err = WriteSecret(filepath.Join(dir, RootKeyFile), append(data, '\n'))
	}
	if err != nil {
		return nil, false, fmt.Errorf("making the root key: %w", err)
	}
	return key, true, nil
}

// ReadRootKey reads the root key of the data folder dir like OpenRootKey, but
// never makes one: without, it returns gust.ErrNotFound. It may be another user's,
// whose node root works with.
func ReadRootKey(dir string) (*Key, error) { return readRootKey(dir) }

func readRootKey(dir string, owners ...int) (*Key, error) {
	path := filepath.Join(dir, RootKeyFile)
	data, err := readSecret("root key", path, owners...)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("the root key %s is %w: %w; remove it to get a new key at the next start",
			path, gust.ErrCorrupt, err)
	}
	return key, nil
}

// parseKey reads the content of a key file. Its errors never quote it.
func parseKey(data []byte) (*Key, error) {
	var f keyFile
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&f); err != nil {
		return nil, errors.New(`want a JSON object with "access_key_id" and "secret_access_key"`)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("there is more after the JSON object")
	}
	if !validKeyID(f.AccessKeyID) {
		return nil, fmt.Errorf("access_key_id is not %s and %d characters of A-Z and 2-7", keyIDPrefix, keyIDLength-len(keyIDPrefix))
	}
	if len(f.SecretAccessKey) != secretChars || !all(f.SecretAccessKey, alphanumeric) {
		return nil, fmt.Errorf("secret_access_key is not %d letters and digits", secretChars)
	}
	return &Key{ID: f.AccessKeyID, Secret: f.SecretAccessKey, Created: f.Created}, nil
}

func validKeyID(s string) bool {
	return len(s) == keyIDLength && s[:len(keyIDPrefix)] == keyIDPrefix &&
		all(s[len(keyIDPrefix):], func(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '2' && c <= '7' })
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func newKey(now time.Time) *Key {
	return &Key{
		ID:      keyIDPrefix + random(keyIDLength-len(keyIDPrefix), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
		Secret:  random(secretChars, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
		Created: now,
	}
}

// random returns n characters of alphabet, each equally likely.
func random(n int, alphabet string) string {
	out := make([]byte, 0, n)
	var block [64]byte
	limit := 256 - 256%len(alphabet) // above it, the first characters would be likelier
	for {
		rand.Read(block[:]) // never fails
		for _, b := range block {
			if int(b) >= limit {
				continue
			}
			if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}
