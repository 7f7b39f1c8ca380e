package node

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
)

// fakeClock is a time that a test sets.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time { return c.at }

func openOwn(t *testing.T, c Config, now func() time.Time) (*certificate, error) {
	t.Helper()
	if c.TLS == "" {
		c.TLS = "self"
	}
	if c.API == "" {
		c.API = "127.0.0.1:0"
	}
	return openCertificate(c, now, slog.New(slog.DiscardHandler))
}

func TestWhenTheAPISpeaksTLS(t *testing.T) {
	for _, tt := range []struct {
		api, mode string
		tls       bool
	}{
		{"127.0.0.1:4566", "auto", false},
		{"[::1]:4566", "auto", false},
		{"localhost:4566", "auto", false},
		{"127.0.0.1:4566", "self", true},
		{"0.0.0.0:4566", "auto", true},
		{":4566", "auto", true},
		{"[::]:4566", "auto", true},
		{"10.0.0.1:4566", "auto", true},
		{"gust.example.com:4566", "auto", true},
		{"0.0.0.0:4566", "off", false},
	} {
		got, err := openOwn(t, Config{Data: t.TempDir(), API: tt.api, TLS: tt.mode}, time.Now)
		if err != nil || (got != nil) != tt.tls {
			t.Errorf("--api %s --tls %s: %v, %v; want TLS %v", tt.api, tt.mode, got, err, tt.tls)
		}
	}
}

func TestOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	clock := &fakeClock{time.Now()}
	c, err := openOwn(t, Config{Data: dir, API: "gust.example.com:4566", TLSName: "*.example.net, 192.0.2.9"}, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := c.current.Load().Leaf
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "gust.example.com", "a.example.net", "192.0.2.9"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, "tls", name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v; want the mode 0600", name, info.Mode(), err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost"}); err != nil {
		t.Errorf("it does not vouch for itself: %v", err)
	}

	// Kept, until it lacks a name or ends soon; the key stays.
	first, key := c.fingerprint(), read(t, filepath.Join(dir, "tls", "key.pem"))
	if c, err = openOwn(t, Config{Data: dir}, clock.now); err != nil || c.fingerprint() != first {
		t.Fatalf("the next start has another certificate, or none: %v", err)
	}
	if c, err = openOwn(t, Config{Data: dir, TLSName: "other.example.com"}, clock.now); err != nil || c.fingerprint() == first {
		t.Fatalf("a name more, and the same certificate: %v", err)
	}
	second := c.fingerprint()
	clock.at = clock.at.Add(ownLife - ownRenew - time.Hour)
	if c.refresh(); c.fingerprint() != second {
		t.Error("it was renewed too early")
	}
	var told string
	c.changed = func(fingerprint string) error {
		told = fingerprint
		if c.fingerprint() != second {
			t.Error("it was shown before it was told of")
		}
		return nil
	}
	clock.at = clock.at.Add(2 * time.Hour)
	if c.refresh(); c.fingerprint() == second || told != c.fingerprint() {
		t.Errorf("before its end: %s, told of %s; want a new one", c.fingerprint(), told)
	}
	if end := c.current.Load().Leaf.NotAfter; end.Before(clock.at.Add(ownLife - time.Hour)) {
		t.Errorf("the new one ends at %v", end)
	}
	if string(read(t, filepath.Join(dir, "tls", "key.pem"))) != string(key) {
		t.Error("the key has changed")
	}
}

// A start that was cut off between the key and the certificate is completed, and
// what is damaged is named, and not replaced.
func TestOwnCertificateThatIsNotWhole(t *testing.T) {
	for name, want := range map[string]string{"cert.pem": "", "key.pem": "cert.pem"} {
		dir := t.TempDir()
		if _, err := openOwn(t, Config{Data: dir}, time.Now); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "tls", name)); err != nil {
			t.Fatal(err)
		}
		_, err := openOwn(t, Config{Data: dir}, time.Now)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), "remove "+filepath.Join(dir, "tls")) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		for _, content := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			dir := t.TempDir()
			if _, err := openOwn(t, Config{Data: dir}, time.Now); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "tls", name)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := openOwn(t, Config{Data: dir}, time.Now)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove "+filepath.Join(dir, "tls")) ||
				name == "cert.pem" && !errors.Is(err, gust.ErrCorrupt) {
				t.Errorf("%s of %q: %v", name, content, err)
			}
			if string(read(t, path)) != content {
				t.Errorf("%s of %q was changed", name, content)
			}
		}
	}
}

// given makes a certificate and its key as somebody else would.
func given(t *testing.T, dir string, now time.Time) Config {
	t.Helper()
	c, err := openOwn(t, Config{Data: dir}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return Config{Data: t.TempDir(), API: "0.0.0.0:0", TLS: "auto", TLSCert: c.cert, TLSKey: c.key}
}

func TestGivenCertificateFollowsItsFiles(t *testing.T) {
	c := given(t, t.TempDir(), time.Now())
	got, err := openCertificate(c, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(read(t, c.TLSCert))
	first := api.Fingerprint(block.Bytes)
	if got.fingerprint() != first || got.own {
		t.Fatalf("it shows %s, want %s", got.fingerprint(), first)
	}
	if entries, err := os.ReadDir(c.Data); err != nil || len(entries) != 0 {
		t.Errorf("a certificate was made all the same: %v, %v", entries, err)
	}

	// Half of a change, and then all of it.
	other := given(t, t.TempDir(), time.Now())
	replace(t, other.TLSCert, c.TLSCert)
	if got.refresh(); got.fingerprint() != first {
		t.Error("a certificate without its key is shown")
	}
	replace(t, other.TLSKey, c.TLSKey)
	if got.refresh(); got.fingerprint() == first {
		t.Error("the new certificate is not shown")
	}
	if err := os.Remove(c.TLSCert); err != nil {
		t.Fatal(err)
	}
	second := got.fingerprint()
	if got.refresh(); got.fingerprint() != second {
		t.Error("a certificate whose file is gone is shown no more")
	}
}

// A new certificate that cannot be taken up, because its files do not fit or because
// nobody can be told of it, is told once, and taken up when it can be.
func TestACertificateIsTriedAgain(t *testing.T) {
	c := given(t, t.TempDir(), time.Now())
	var log strings.Builder
	got, err := openCertificate(c, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := got.fingerprint()
	full := errors.New("no space")
	got.changed = func(string) error { return full }
	other := given(t, t.TempDir(), time.Now())
	replace(t, other.TLSCert, c.TLSCert)
	for range 3 {
		got.refresh()
	}
	replace(t, other.TLSKey, c.TLSKey)
	for range 3 {
		got.refresh()
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 2 || !strings.Contains(log.String(), "no space") || got.fingerprint() != first {
		t.Errorf("two failures are told %d times, and it shows %s, want %s:\n%s", n, got.fingerprint(), first, log.String())
	}
	full = nil
	if got.refresh(); got.fingerprint() == first {
		t.Error("it is not taken up when it can be")
	}
	full = errors.New("no space")
	log.Reset()
	third := given(t, t.TempDir(), time.Now())
	replace(t, third.TLSCert, c.TLSCert)
	replace(t, third.TLSKey, c.TLSKey)
	if got.refresh(); strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("the same failure after a success is not told:\n%s", log.String())
	}
}

// A certificate of the node's own that cannot be renewed is told once.
func TestOwnCertificateThatCannotBeRenewed(t *testing.T) {
	dir := t.TempDir()
	clock := &fakeClock{time.Now()}
	c, err := openOwn(t, Config{Data: dir}, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	c.logger = slog.New(slog.NewTextHandler(&log, nil))
	clock.at = clock.at.Add(ownLife)
	obstacle := c.cert + ".tmp"
	if err := os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.refresh()
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, log.String())
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	first := c.fingerprint()
	if c.refresh(); c.fingerprint() == first {
		t.Error("it is not renewed when it can be")
	}
}

func TestGivenCertificateThatCannotBeUsed(t *testing.T) {
	c := given(t, t.TempDir(), time.Now())
	other := given(t, t.TempDir(), time.Now())
	for name, bad := range map[string]Config{
		"another's key": {TLS: "auto", TLSCert: c.TLSCert, TLSKey: other.TLSKey},
		"no file":       {TLS: "auto", TLSCert: c.TLSCert + "x", TLSKey: c.TLSKey},
		"exchanged":     {TLS: "auto", TLSCert: c.TLSKey, TLSKey: c.TLSCert},
	} {
		if _, err := openCertificate(bad, time.Now, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), bad.TLSCert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := openCertificate(given(t, t.TempDir(), time.Now().Add(certificateWarn-ownLife-time.Hour)), time.Now, slog.New(slog.DiscardHandler))
	if err != nil || !strings.Contains(got.warning(), got.cert) {
		t.Errorf("one that ends soon: %v, %v", got, err)
	}
}

// Who can read the key can be the node.
func TestCertificateKeysThatOthersCanUse(t *testing.T) {
	dir := t.TempDir()
	if _, err := openOwn(t, Config{Data: dir}, time.Now); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "tls", "key.pem")
	openGiven := func(c Config) error {
		_, err := openCertificate(c, time.Now, slog.New(slog.DiscardHandler))
		return err
	}
	other := given(t, t.TempDir(), time.Now())
	refused := func(name, path string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%s: %v; want an error that names the mode and the fix", name, err)
		}
	}
	for mode, group := range map[os.FileMode]bool{0o644: false, 0o604: false, 0o620: false, 0o602: false, 0o640: true, 0o440: true} {
		if err := errors.Join(os.Chmod(own, mode), os.Chmod(other.TLSKey, mode)); err != nil {
			t.Fatal(err)
		}
		_, err := openOwn(t, Config{Data: dir}, time.Now)
		refused(fmt.Sprintf("its own, %04o", mode), own, err)
		if err = openGiven(other); !group {
			refused(fmt.Sprintf("a given one, %04o", mode), other.TLSKey, err)
		} else if err != nil {
			t.Errorf("a given one, %04o: %v", mode, err)
		}
	}

	// One more name needs a new certificate, which is made with the same key.
	if err := os.Chmod(own, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := openOwn(t, Config{Data: dir, TLSName: "gust.example.com"}, time.Now)
	refused("its own for a new certificate", own, err)

	// A new one is looked at as the first one is.
	if err := os.Chmod(other.TLSKey, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := openCertificate(other, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, next := got.fingerprint(), given(t, t.TempDir(), time.Now())
	replace(t, next.TLSCert, other.TLSCert)
	replace(t, next.TLSKey, other.TLSKey)
	if err := os.Chmod(other.TLSKey, 0o644); err != nil {
		t.Fatal(err)
	}
	if got.refresh(); got.fingerprint() != first {
		t.Error("a certificate whose new key others can read is taken up")
	}
}

func TestTLSSettingsThatContradict(t *testing.T) {
	for _, tt := range []struct {
		set  func(*Config)
		says string
	}{
		{func(c *Config) { c.TLSCert = "a" }, "--tls-cert"},
		{func(c *Config) { c.TLSKey = "a" }, "--tls-cert"},
		{func(c *Config) { c.TLSCert, c.TLSKey, c.TLS = "a", "b", "off" }, "--tls:"},
		{func(c *Config) { c.TLSCert, c.TLSKey, c.TLS = "a", "b", "self" }, "--tls:"},
		{func(c *Config) { c.TLS, c.TLSName = "off", "a" }, "--tls-name"},
		{func(c *Config) { c.TLSName = "a b" }, "--tls-name"},
		{func(c *Config) { c.TLS = "on" }, "--tls:"},
	} {
		c := Default()
		tt.set(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v; want %s", c, err, tt.says)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replace puts the content of a file in the place of another's, as cp and mv do.
func replace(t *testing.T, from, to string) {
	t.Helper()
	if err := os.WriteFile(to+".new", read(t, from), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}
