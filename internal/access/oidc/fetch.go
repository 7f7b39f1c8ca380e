package oidc

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // of certificates, as AWS's thumbprints are
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
)

const (
	// fetchTimeout is for all that is asked of an issuer at once.
	fetchTimeout = 5 * time.Second
	// maxDocument is how large an answer may be: 100 keys of 8192 bits, each
	// with its certificates, are smaller.
	maxDocument = 512 * gust.KB
)

// distance tells how near to the node an address is.
type distance int

const (
	public    distance = iota // anybody may ask it
	private                   // of the organisation's network
	innermost                 // the node's own, or of its link (where clouds tell secrets)
)

// special are addresses that are nobody's out there, by the registries of RFC
// 6890, beside those that netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"), // NAT64 of the network's own, RFC 8215
	netip.MustParsePrefix("2001::/32"),      // Teredo
	netip.MustParsePrefix("fec0::/10"),
}

// embedding are addresses that stand for an IPv4 address, and at which byte of
// them it begins: a translator on the way leads there.
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64, RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4, RFC 3056
	{netip.MustParsePrefix("::/96"), 12},
}

func distanceOf(a netip.Addr) distance {
	a = a.Unmap().WithZone("")
	switch {
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsUnspecified(), a.IsMulticast():
		return innermost
	case a.IsPrivate(), !a.IsGlobalUnicast(), slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) }):
		return private
	}
	for _, e := range embedding {
		if e.prefix.Contains(a) {
			bytes := a.As16()
			return distanceOf(netip.AddrFrom4([4]byte(bytes[e.at:])))
		}
	}
	return public
}

// loopbackHost tells whether a URL's host is this very machine.
func loopbackHost(host string) bool {
	if strings.ToLower(host) == "localhost" { //nolint:staticcheck // EqualFold takes further letters for these
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// fetcher asks one issuer, and what it leads to. Whoever controls an issuer
// must not reach through the node what only the node can reach: redirects are
// not followed, and the keys may not be nearer to the node than the issuer is.
// That is judged by the address that is connected to, so a name that resolves
// differently a second time gains nothing.
type fetcher struct {
	issuer      *url.URL
	transport   *http.Transport
	thumbprints []string
	distance    func(netip.Addr) distance
	nearest     distance // the issuer's own, once it was asked
	asked       bool
}

func (v *Verifier) newFetcher(p Provider) (*fetcher, error) {
	if err := CheckIssuer(p.Issuer); err != nil {
		return nil, err
	}
	u, err := url.Parse(p.Issuer)
	if err != nil {
		return nil, err
	}
	f := &fetcher{issuer: u, nearest: innermost, thumbprints: p.Thumbprints, distance: v.distance}
	f.transport = &http.Transport{
		DialContext: f.dial, DialTLSContext: f.dialTLS,
		ResponseHeaderTimeout:  fetchTimeout,
		MaxResponseHeaderBytes: 64 * gust.KB,
		DisableKeepAlives:      true, // minutes pass until the next question
	}
	return f, nil
}

// check refuses an address before it is connected to.
func (f *fetcher) check(address string, nearest distance) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if f.distance(a.Addr()) > nearest {
		return fmt.Errorf("the issuer %s leads to %s, which is nearer to the node than the issuer itself: that is not followed", f.issuer, a.Addr())
	}
	if f.issuer.Scheme == "http" && !a.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("the issuer %s is asked without TLS and leads to %s, which is not this machine", f.issuer, a.Addr())
	}
	return nil
}

func (f *fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nearest := f.nearest // an address that lost the race is checked still when this has returned
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error { return f.check(address, nearest) }}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if !f.asked {
		a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil {
			conn.Close() //nolint:errcheck // nothing was written
			return nil, err
		}
		f.nearest, f.asked = f.distance(a.Addr()), true
	}
	return conn, nil
}

func (f *fetcher) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conn, err := f.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // f.trust verifies
		VerifyConnection:   func(s tls.ConnectionState) error { return f.trust(host, s.PeerCertificates) },
	})
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close() //nolint:errcheck // nothing was written
		return nil, err
	}
	return c, nil
}

func (f *fetcher) close() { f.transport.CloseIdleConnections() }

// get reads one document.
func (f *fetcher) get(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != f.issuer.Scheme {
		return nil, fmt.Errorf("the issuer %s leads to %.200q, which is not an https URL", f.issuer, address)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "gust")
	resp, err := f.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", u.Redacted(), err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode/100 == 3 {
		return nil, fmt.Errorf("%s answers with a redirect (%s), and none are followed: register the issuer at the URL where it answers itself",
			u.Redacted(), resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with %s", u.Redacted(), resp.Status)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, maxDocument+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", u.Redacted(), err)
	}
	if buf.Len() > maxDocument {
		return nil, fmt.Errorf("%s has more than the limit of %d KB", u.Redacted(), maxDocument/gust.KB)
	}
	return buf.Bytes(), nil
}

// trust verifies the chain that a host shows: by the certificates that the
// system trusts, or by one of the thumbprints. A certificate with such a
// thumbprint has to be in the chain, and to vouch for the host's name as a root
// would: a thumbprint alone says nothing about who shows the certificate.
func (f *fetcher) trust(host string, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fmt.Errorf("%s shows no certificate", host)
	}
	o := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	if err == nil {
		return nil
	}
	for _, c := range chain {
		if !slices.ContainsFunc(f.thumbprints, func(t string) bool { return strings.EqualFold(t, thumbprint(c)) }) {
			continue
		}
		o.Roots = x509.NewCertPool()
		o.Roots.AddCert(c)
		if _, err := chain[0].Verify(o); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %s is not trusted (%w), and none of the provider's thumbprints vouches for it; that of its chain's end is %s",
		host, err, thumbprint(chain[len(chain)-1]))
}

func thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // as AWS's thumbprints are
	return hex.EncodeToString(sum[:])
}

// Thumbprint asks an issuer's host for its certificates and says the thumbprint
// of the last one, for a provider that is registered without. Its chain has to
// be one that the system trusts: a certificate that anybody could show on the
// way is not believed because it came first. An issuer without TLS has none
// ("").
func (v *Verifier) Thumbprint(ctx context.Context, issuer string) (string, error) {
	f, err := v.newFetcher(Provider{Issuer: issuer})
	if err != nil {
		return "", err
	}
	defer f.close()
	if f.issuer.Scheme == "http" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	port := f.issuer.Port()
	if port == "" {
		port = "443"
	}
	conn, err := f.dialTLS(ctx, "tcp", net.JoinHostPort(f.issuer.Hostname(), port))
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	return thumbprint(chain[len(chain)-1]), nil
}
