package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

// AddressFile is the name in the data folder of what says where its node
// listens; it is there while the node runs.
const AddressFile = "node.json"

// Address says where a node listens.
type Address struct {
	API  string `json:"api"`  // host:port
	HTTP string `json:"http"` // host:port
	PID  int    `json:"pid"`
	// Fingerprint is that of the certificate that the API shows, by which who
	// reads this knows it; empty where the API is spoken without TLS.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Bundle is a file that holds the certificate, for other clients, where the
	// node made it.
	Bundle string `json:"ca_bundle,omitempty"`
}

// Endpoint is the API's URL.
func (a Address) Endpoint() string {
	scheme := "http://"
	if a.Fingerprint != "" {
		scheme = "https://"
	}
	return scheme + Reachable(a.API)
}

// Named tells whether endpoint, a URL or host:port, is where this node listens.
func (a Address) Named(endpoint string) bool {
	scheme, addr, given := strings.Cut(strings.TrimSuffix(endpoint, "/"), "://")
	if !given {
		addr = endpoint
	} else if !strings.HasPrefix(a.Endpoint(), scheme+"://") {
		return false
	}
	host, port, err := net.SplitHostPort(Reachable(addr))
	own, ownPort, ownErr := net.SplitHostPort(a.API)
	if err != nil || ownErr != nil || port != ownPort {
		return false
	}
	ip, err := netip.ParseAddr(own)
	everywhere := err == nil && ip.IsUnspecified()
	return host == own || Loopback(host) && everywhere || host == "localhost" && Loopback(own)
}

// Client makes a client for the node.
func (a Address) Client(key *access.Key) (*Client, error) {
	return NewClient(a.Endpoint(), key, a.Fingerprint)
}

// WriteAddress puts the address into the data folder dir, whole or not at all.
func WriteAddress(dir string, a Address) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, AddressFile)
	temp := path + ".tmp"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("saying where the node listens: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("saying where the node listens: %w", err)
	}
	return nil
}

// RemoveAddress takes the address out of the data folder dir again.
func RemoveAddress(dir string) error {
	err := os.Remove(filepath.Join(dir, AddressFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no longer saying where the node listened: %w", err)
	}
	return nil
}

// ReadAddress finds where the node on the data folder dir listens;
// gust.ErrNotFound where none runs. One that was killed leaves the file, and
// somebody else may listen there now, to whom nobody must show the folder's key.
func ReadAddress(dir string) (Address, error) {
	path := filepath.Join(dir, AddressFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Address{}, fmt.Errorf("%s: %w", path, gust.ErrNotFound)
	}
	if err != nil {
		return Address{}, err
	}
	if runs, err := store.InUse(dir); err != nil {
		return Address{}, err
	} else if !runs {
		return Address{}, fmt.Errorf("the node of %s does not run: %w", path, gust.ErrNotFound)
	}
	var a Address
	if err := json.Unmarshal(data, &a); err != nil || a.API == "" {
		return Address{}, fmt.Errorf("%s does not hold a node's address (%w); the node writes it anew when it starts", path, gust.ErrCorrupt)
	}
	return a, nil
}
