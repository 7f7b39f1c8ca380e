package node_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/api"
)

// The API over TLS, with a certificate that the node made: who is on the machine
// finds it, others know it by its fingerprint or by its file, and nobody else is
// taken for it.
func TestAPIOverTLS(t *testing.T) {
	h := newHouse(t)
	p := h.start("--tls", "self")
	address, err := api.ReadAddress(h.data)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "https://" + p.api
	if out := p.log.String(); address.Fingerprint == "" || !strings.Contains(out, "API      "+endpoint) || !strings.Contains(out, "fingerprint "+address.Fingerprint) {
		t.Errorf("the node said\n%s\nand its address is %+v", out, address)
	}
	if out, status := h.gust("ls"); status != 0 {
		t.Errorf("gust ls on the same machine: %s", out)
	}
	if out, status := h.gust("ls", "--api", p.api); status != 0 {
		t.Errorf("gust ls --api of the node on the same machine: %s", out)
	}
	two := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if resp, err := two.Get(endpoint + "/healthz"); err != nil {
		t.Error(err)
	} else if resp.Body.Close(); resp.ProtoMajor != 1 {
		t.Errorf("it speaks %s, in which a client that takes nothing cannot be told", resp.Proto)
	}
	far := *h
	far.data = t.TempDir()
	elsewhere := func(args ...string) (string, int) {
		t.Setenv("GUST_KEY", p.key.Token())
		return far.gust(append([]string{"ls"}, args...)...)
	}
	colons := strings.ToUpper(strings.TrimSuffix(strings.Join(pairs(address.Fingerprint), ":"), ":"))
	for _, args := range [][]string{
		{"--api", endpoint, "--fingerprint", address.Fingerprint},
		{"--api", p.api, "--fingerprint", "SHA256:" + colons},
	} {
		if out, status := elsewhere(args...); status != 0 {
			t.Errorf("gust ls %s: %s", strings.Join(args, " "), out)
		}
	}
	for want, args := range map[string][]string{
		"another fingerprint":       {"--api", endpoint, "--fingerprint", strings.Repeat("0", 64)},
		"give the fingerprint":      {"--api", endpoint},
		"the node speaks TLS":       {"--api", "http://" + p.api},
		"want https://":             {"--api", "http://" + p.api, "--fingerprint", address.Fingerprint},
		"64 hexadecimal characters": {"--api", endpoint, "--fingerprint", "abc"},
	} {
		if out, status := elsewhere(args...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("gust ls %s: status %d, %s; want %q", strings.Join(args, " "), status, out, want)
		}
	}

	old := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}
	defer old.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", endpoint+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := old.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v, %v", resp, err)
	}

	if curl, err := exec.LookPath("curl"); err != nil {
		t.Log("without curl")
	} else {
		run := func(args ...string) string {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, _ := exec.CommandContext(ctx, curl, append([]string{"-sS", "-o", "-", "-w", "%{http_code} %{http_version}"}, args...)...).CombinedOutput()
			return string(out)
		}
		bearer := "Authorization: Bearer " + p.key.Token()
		if out := run("--cacert", address.Bundle, "-H", bearer, endpoint+"/v1/version"); !strings.HasSuffix(out, "200 1.1") {
			t.Errorf("curl that trusts the certificate's file: %s", out)
		}
		if out := run("--cacert", address.Bundle, endpoint+"/v1/version"); !strings.HasSuffix(out, "401 1.1") {
			t.Errorf("curl without a key: %s", out)
		}
		if out := run(endpoint + "/healthz"); !strings.Contains(out, "certificate") {
			t.Errorf("curl that does not trust it: %s", out)
		}
		if out := run("http://" + p.api + "/healthz"); !strings.Contains(out, "HTTP request to an HTTPS server") || !strings.Contains(out, "\n400 1") {
			t.Errorf("curl without TLS: %s", out)
		}
	}
	p.stop()

	// The next start shows the same certificate.
	h.start("--tls", "self")
	if again, err := api.ReadAddress(h.data); err != nil || again.Fingerprint != address.Fingerprint {
		t.Errorf("after a new start: %+v, %v; want the fingerprint %s", again, err, address.Fingerprint)
	}
}

// A given certificate is taken up when its files change, and the command on the
// same machine goes on.
func TestGivenCertificateIsReloaded(t *testing.T) {
	first, second := newHouse(t), newHouse(t)
	for _, h := range []*house{first, second} { // whose nodes make the certificates
		h.start("--tls", "self").stop()
	}
	dir := t.TempDir()
	give := func(h *house) {
		for _, name := range []string{"key.pem", "cert.pem"} {
			data, err := os.ReadFile(filepath.Join(h.data, "tls", name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	give(first)
	h := newHouse(t)
	h.start("--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	before, err := api.ReadAddress(h.data)
	if err != nil || before.Fingerprint == "" || before.Bundle != "" {
		t.Fatalf("the address is %+v, %v", before, err)
	}
	give(second)
	until(t, "the new certificate is shown", func() bool {
		now, err := api.ReadAddress(h.data)
		return err == nil && now.Fingerprint != before.Fingerprint
	})
	until(t, "the command knows it", func() bool {
		out, status := h.gust("ls")
		if status != 0 && !strings.Contains(out, "another fingerprint") {
			t.Fatalf("gust ls: %s", out)
		}
		return status == 0
	})
}

func pairs(s string) (out []string) {
	for ; len(s) >= 2; s = s[2:] {
		out = append(out, s[:2])
	}
	return out
}
