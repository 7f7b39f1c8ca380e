package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

func TestRootKeyIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadRootKey(dir); !errors.Is(err, gust.ErrNotFound) {
		t.Fatalf("reading what is not there: %v", err)
	}
	// What a start that was cut off may leave.
	if err := os.WriteFile(filepath.Join(dir, RootKeyFile+".tmp"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	first, created, err := OpenRootKey(dir)
	if err != nil || !created {
		t.Fatalf("the first start: %v, created %v", err, created)
	}
	second, created, err := OpenRootKey(dir)
	if err != nil || created {
		t.Fatalf("the second start: %v, created %v", err, created)
	}
	if *first != *second {
		t.Errorf("the key changed from %v to %v", first, second)
	}
	info, err := os.Stat(filepath.Join(dir, RootKeyFile))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has the mode %v, %v; want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the key alone", entries, err)
	}
	other, _, err := OpenRootKey(t.TempDir())
	if err != nil || other.ID == first.ID || other.Secret == first.Secret {
		t.Errorf("another folder has the same key: %v, %v", other, err)
	}
}

func TestRootKeyThatOthersCanReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o644, 0o777} {
		dir := t.TempDir()
		if _, _, err := OpenRootKey(dir); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, RootKeyFile)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := OpenRootKey(dir)
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) || !strings.Contains(err.Error(), fmt.Sprintf("%04o", mode)) {
			t.Errorf("mode %04o: %v; want an error that names it and the fix", mode, err)
		}
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenRootKey(dir); err != nil {
			t.Errorf("a stricter mode: %v", err)
		}
	}
}

// A secret that belongs to somebody else is theirs to read and to replace. The
// command only reads: root works with a node of another user.
func TestSecretsThatBelongToOthersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := t.TempDir()
	open := map[string]func() error{
		RootKeyFile: func() error { _, _, err := OpenRootKey(dir); return err },
		SealKeyFile: func() error { _, _, err := OpenSealKey(dir); return err },
	}
	for name, open := range open {
		path := filepath.Join(dir, name)
		if err := errors.Join(open(), os.Chown(path, 65534, -1)); err != nil {
			t.Fatal(err)
		}
		if err := open(); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") || !strings.Contains(err.Error(), "chown 0 "+path) {
			t.Errorf("%s of another user: %v; want an error that names them and the fix", name, err)
		}
	}
	if _, err := ReadRootKey(dir); err != nil {
		t.Errorf("root reads a user's key: %v", err)
	}
}

func TestDamagedRootKeyIsRefusedAndKept(t *testing.T) {
	id, secret := testKey.ID, testKey.Secret
	tests := map[string]string{
		"empty":              "",
		"cut off":            `{"access_key_id": "` + id,
		"not JSON":           "AKIA",
		"more after":         `{"access_key_id": "` + id + `", "secret_access_key": "` + secret + `"} {}`,
		"no secret":          `{"access_key_id": "` + id + `"}`,
		"a short ID":         `{"access_key_id": "AKIA", "secret_access_key": "` + secret + `"}`,
		"an ID of another":   `{"access_key_id": "ASIAABCDEFGHIJKLMNOP", "secret_access_key": "` + secret + `"}`,
		"a flipped bit":      `{"access_key_id": "` + id + `", "secret_access_key": "` + strings.Replace(secret, "5", "\x15", 1) + `"}`,
		"a secret too short": `{"access_key_id": "` + id + `", "secret_access_key": "` + secret[1:] + `"}`,
		"zeros":              strings.Repeat("\x00", 150),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, RootKeyFile)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := OpenRootKey(dir)
			if !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v; want gust.ErrCorrupt naming %s", err, path)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
			if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
				t.Errorf("the file was changed to %q, %v", kept, err)
			}
		})
	}
}

func TestRootKeyThatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, RootKeyFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenRootKey(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	dir = t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, RootKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenRootKey(dir); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a dangling link: %v", err)
	}
}

func TestKeyHidesItsSecret(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", testKey)
	for _, shown := range []string{fmt.Sprint(testKey), fmt.Sprintf("%+v", testKey), fmt.Sprintf("%#v", testKey), log.String()} {
		if strings.Contains(shown, testKey.Secret) || !strings.Contains(shown, testKey.ID) {
			t.Errorf("a key shows as %s", shown)
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	good, err := json.Marshal(keyFile{AccessKeyID: testKey.ID, SecretAccessKey: testKey.Secret})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"access_key_id":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parseKey(data)
		if err == nil && (!validKeyID(key.ID) || len(key.Secret) != secretChars) {
			t.Errorf("%q was taken for the key %#v", data, key)
		}
	})
}

func TestSealKeyIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	first, created, err := OpenSealKey(dir)
	if err != nil || !created || first == [32]byte{} {
		t.Fatalf("the first start: %v, created %v", err, created)
	}
	second, created, err := OpenSealKey(dir)
	if err != nil || created || second != first {
		t.Fatalf("the second start: %v, created %v, same %v", err, created, second == first)
	}
	path := filepath.Join(dir, SealKeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has the mode %v, %v; want 0600", info.Mode(), err)
	}
	if other, _, err := OpenSealKey(t.TempDir()); err != nil || other == first {
		t.Errorf("another folder has the same key: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenSealKey(dir); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a key that others can read: %v", err)
	}
}

func TestDamagedSealKeyIsRefusedAndKept(t *testing.T) {
	for _, content := range []string{"", strings.Repeat("a", 63), strings.Repeat("A", 64), strings.Repeat("a", 64) + "\n\n", strings.Repeat("\x00", 64)} {
		dir := t.TempDir()
		path := filepath.Join(dir, SealKeyFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenSealKey(dir); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v; want gust.ErrCorrupt naming the file", content, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("the file was changed to %q, %v", kept, err)
		}
	}
}
