package node

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
)

// The files of the certificate that a node makes for itself, in its data folder.
const (
	tlsFolder   = "tls"
	tlsCertFile = "cert.pem"
	tlsKeyFile  = "key.pem"
)

const (
	// ownLife is how long a certificate that the node makes is good for, and
	// ownRenew how long before its end there is a new one. Systems refuse
	// certificates of servers that live for more than 825 days.
	ownLife  = 365 * 24 * time.Hour
	ownRenew = 30 * 24 * time.Hour
	// certificateEvery is how often the files are looked at for a change.
	certificateEvery = 2 * time.Second
	// certificateWarn is how long before a certificate's end the status tells.
	certificateWarn = 7 * 24 * time.Hour
)

// certificate is what the API's port shows. It follows its files.
type certificate struct {
	cert, key string // files
	own       bool   // the node made it, and makes the next one
	names     []string
	now       func() time.Time
	logger    *slog.Logger
	// changed is told of a new certificate before it is shown.
	changed func(fingerprint string) error

	current atomic.Pointer[tls.Certificate]
	seen    [2]fs.FileInfo // the files that it is of; of whoever calls refresh
	told    string         // what failed at the last refresh
}

// openCertificate finds the certificate that c asks for: none (nil), a given one,
// or the node's own, which is made if need be.
func openCertificate(c Config, now func() time.Time, logger *slog.Logger) (*certificate, error) {
	t := &certificate{cert: c.TLSCert, key: c.TLSKey, now: now, logger: logger, changed: func(string) error { return nil }}
	switch {
	case c.TLSCert != "":
		return t, t.load()
	case c.TLS == "off" || c.TLS == "auto" && onLoopback(c.API):
		return nil, nil
	}
	dir := filepath.Join(c.Data, tlsFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the API's certificate: %w", err)
	}
	t.cert, t.key, t.own = filepath.Join(dir, tlsCertFile), filepath.Join(dir, tlsKeyFile), true
	t.names = listOf(c.TLSName)
	if host, _, err := net.SplitHostPort(c.API); err == nil && host != "" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
			t.names = append(t.names, host)
		}
	}
	if err := t.renew(); err != nil {
		return nil, err
	}
	return t, nil
}

// onLoopback tells whether an address that is listened on is reached from this
// machine alone.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && api.Loopback(host)
}

// load reads the files as they are.
func (t *certificate) load() error {
	pair, seen, err := t.read()
	if err != nil {
		return err
	}
	t.current.Store(pair)
	t.seen = seen
	return nil
}

func (t *certificate) read() (*tls.Certificate, [2]fs.FileInfo, error) {
	var seen [2]fs.FileInfo
	for i, path := range []string{t.cert, t.key} {
		info, err := os.Stat(path)
		if err != nil {
			return nil, seen, fmt.Errorf("the certificate of the API: %w", err)
		}
		seen[i] = info
	}
	cert, err := os.ReadFile(t.cert)
	if err != nil {
		return nil, seen, fmt.Errorf("the certificate of the API: %w", err)
	}
	key, err := t.readKey()
	if err != nil {
		return nil, seen, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, seen, fmt.Errorf("the certificate %s and its key %s cannot be used: %w; want two PEM files, the server's certificate first", t.cert, t.key, err)
	}
	return &pair, seen, nil
}

// readKey reads the key's file, which nobody but its owner may use. One that was
// given may be read by a group, too: servers share theirs like that, as in
// /etc/ssl/private.
func (t *certificate) readKey() ([]byte, error) {
	if t.own {
		return access.ReadSecret("key of the API's certificate", t.key)
	}
	info, err := os.Stat(t.key)
	if err != nil {
		return nil, fmt.Errorf("the key of the API's certificate: %w", err)
	}
	// On Windows the folder's access list tells, and the mode is made up.
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key of the API's certificate %s (--tls-key) has mode %04o, so that others can use it: "+
			"run `chmod 600 %s`, or 640 if a group shares it, and replace the key if somebody may have read it", t.key, mode, t.key)
	}
	return os.ReadFile(t.key)
}

// get is what a handshake asks for.
func (t *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return t.current.Load(), nil
}

// fingerprint is that of the certificate which is shown.
func (t *certificate) fingerprint() string { return api.Fingerprint(t.current.Load().Certificate[0]) }

// warning says that the certificate ends soon, or has ended.
func (t *certificate) warning() string {
	if end := t.current.Load().Leaf.NotAfter; !t.own && t.now().Add(certificateWarn).After(end) {
		return fmt.Sprintf("the certificate of the API (%s) ends at %s", t.cert, end.UTC().Format(time.RFC3339))
	}
	return ""
}

// refresh takes up files that have changed, and makes a new certificate of the
// node's own before the old one ends. What fails is told once and tried again at
// each call; the certificate that there is goes on.
func (t *certificate) refresh() {
	told := ""
	if err := t.takeUp(); err != nil {
		if told = err.Error(); told != t.told {
			t.logger.Error("the API goes on with the certificate that it has", "error", err)
		}
	}
	t.told = told
}

func (t *certificate) takeUp() error {
	if t.own {
		if err := t.renew(); err != nil {
			return err
		}
	}
	same := true
	for i, path := range []string{t.cert, t.key} {
		info, err := os.Stat(path)
		if err != nil {
			return nil //nolint:nilerr // in the middle of a change, or gone: the next look tells
		}
		same = same && os.SameFile(info, t.seen[i]) && info.ModTime().Equal(t.seen[i].ModTime()) && info.Size() == t.seen[i].Size()
	}
	if same {
		return nil
	}
	pair, seen, err := t.read()
	if err != nil {
		return err
	}
	if err := t.changed(api.Fingerprint(pair.Certificate[0])); err != nil {
		return err
	}
	t.current.Store(pair)
	t.seen = seen
	t.logger.Info("the API shows a new certificate", "file", t.cert, "fingerprint", t.fingerprint())
	return nil
}

// renew makes the node's own certificate if there is none, if it ends soon, or if
// it lacks a name that was asked for. Its key stays.
func (t *certificate) renew() error {
	data, err := os.ReadFile(t.cert)
	switch {
	case err == nil:
		block, _ := pem.Decode(data)
		if block == nil {
			return t.damaged(t.cert, errors.New("it is no PEM"))
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return t.damaged(t.cert, err)
		}
		lacks := slices.ContainsFunc(t.names, func(name string) bool { return leaf.VerifyHostname(name) != nil })
		if !lacks && t.now().Before(leaf.NotAfter.Add(-ownRenew)) {
			if t.current.Load() == nil {
				if err := t.load(); err != nil {
					return fmt.Errorf("%w; remove %s to get a new one", err, filepath.Dir(t.cert))
				}
			}
			return nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading the certificate of the API: %w", err)
	}
	key, err := t.ownKey()
	if err != nil {
		return err
	}
	der, err := selfSigned(key, append(machineNames(), t.names...), t.now())
	if err == nil {
		err = access.WriteSecret(t.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if err != nil {
		return fmt.Errorf("making the certificate of the API: %w", err)
	}
	if t.current.Load() == nil {
		return t.load()
	}
	return nil // refresh takes it up
}

// ownKey reads the key of the node's own certificate, or makes it.
func (t *certificate) ownKey() (crypto.Signer, error) {
	data, err := t.readKey()
	if errors.Is(err, gust.ErrNotFound) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err == nil {
			err = access.WriteSecret(t.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}
		if err != nil {
			return nil, fmt.Errorf("making the key of the API's certificate: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, t.damaged(t.key, errors.New("it is no PEM"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, t.damaged(t.key, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, t.damaged(t.key, errors.New("it cannot sign"))
	}
	return signer, nil
}

func (t *certificate) damaged(path string, err error) error {
	return fmt.Errorf("%s is %w: %w; remove %s to get a new certificate", path, gust.ErrCorrupt, err, filepath.Dir(path))
}

// selfSigned makes a certificate for a server with these names, which may be IP
// addresses.
func selfSigned(key crypto.Signer, names []string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "gust"},
		NotBefore:             now.Add(-time.Hour), // of who has a clock that is behind
		NotAfter:              now.Add(ownLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// machineNames are the names and the addresses that this machine is reached by.
func machineNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && dnsName.MatchString(name) {
		names = append(names, name)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names // then it is reached by what --tls-name says
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && !slices.Contains(names, network.IP.String()) {
			names = append(names, network.IP.String())
		}
	}
	return names
}

// followCertificate looks at the certificate's files until the node drains, and
// says in the data folder which one it shows.
func (n *Node) followCertificate() {
	n.certificate.changed = func(fingerprint string) error {
		a := n.Address()
		a.Fingerprint = fingerprint
		return api.WriteAddress(n.config.Data, a)
	}
	ticker := time.NewTicker(certificateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.certificate.refresh()
		case <-n.follow.Done():
			return
		}
	}
}
