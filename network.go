package gust

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Network says what an environment can reach beside the Runtime API. It is
// always in a network of its own. In JSON and in a manifest it is "internet",
// "none", or a list of destinations.
type Network struct {
	Mode NetworkMode
	// Allow are the destinations of mode list, each as Destination.String
	// writes it.
	Allow []string
}

// MaxDestinations bounds a network's list.
const MaxDestinations = 64

// Ports that are taken on an environment's loopback: the Runtime API's, that of
// the node's own API, and an http program's.
const (
	RuntimeAPIPort = 9001
	APIPort        = 9002
	HTTPPort       = 8080
)

// NetworkMode is the kind of a Network.
type NetworkMode string

const (
	// NetworkInternet reaches every public address, and nothing of the host,
	// its neighbours or private ranges.
	NetworkInternet NetworkMode = "internet"
	// NetworkNone reaches nothing.
	NetworkNone NetworkMode = "none"
	// NetworkList reaches what Network.Allow lists.
	NetworkList NetworkMode = "list"
)

// Resolver is the address at which an environment that has a network asks for
// names: the /etc/resolv.conf of every root has it.
const Resolver = "169.254.100.1"

// PrivateRanges are addresses that mean something else in each place; an
// environment reaches those that its network lists, and no others (the special
// purpose registry of RFC 6890, as far as it is not NeverReached).
func PrivateRanges() []netip.Prefix {
	return prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15")
}

// NeverReached are addresses that no list opens: of no host, of the link, which
// is where clouds tell machines their secrets, and of many hosts at once.
// Loopback is not among them: what is listed of it, the node passes on.
func NeverReached() []netip.Prefix {
	return prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
}

func prefixes(texts ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		ps[i] = netip.MustParsePrefix(t)
	}
	return ps
}

// Within reports whether p lies wholly within one of ranges.
func Within(p netip.Prefix, ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// Equal reports whether n and o allow the same in the same words.
func (n Network) Equal(o Network) bool {
	return n.Mode == o.Mode && slices.Equal(n.Allow, o.Allow)
}

// String is the network as a manifest writes it.
func (n Network) String() string {
	if n.Mode == NetworkList {
		return "[" + strings.Join(n.Allow, ", ") + "]"
	}
	return string(n.Mode)
}

// MarshalJSON writes a string or a list.
func (n Network) MarshalJSON() ([]byte, error) {
	if n.Mode == NetworkList {
		return json.Marshal(append([]string{}, n.Allow...))
	}
	return json.Marshal(string(n.Mode))
}

// UnmarshalJSON reads what MarshalJSON writes; whether it makes sense is for
// the validator to say.
func (n *Network) UnmarshalJSON(data []byte) error {
	var list []string
	if len(data) > 0 && data[0] == '[' {
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		*n = Network{Mode: NetworkList, Allow: list}
		return nil
	}
	var mode string
	if err := json.Unmarshal(data, &mode); err != nil {
		return fmt.Errorf("a network is a string or a list of strings: %w", err)
	}
	*n = Network{Mode: NetworkMode(mode)}
	return nil
}

// Destination is one entry of a network's list: a name, an address or a prefix,
// with a port.
type Destination struct {
	// Name is a lower-case host name without a final dot; empty where Prefix
	// is set.
	Name string
	// Prefix is what else may be reached; a single address has all its bits.
	Prefix netip.Prefix
	// Port is 1 to 65535, for TCP and UDP.
	Port uint16
}

// Loopback reports whether d is on the host's loopback, which the node passes
// on: the name localhost, or a single address of 127.0.0.0/8.
func (d Destination) Loopback() bool {
	return d.Name == "localhost" || d.Prefix.IsValid() && d.Prefix.IsSingleIP() && d.Prefix.Addr().IsLoopback()
}

// String is the destination as it is written: "api.stripe.com:443",
// "10.0.0.5:5432", "10.1.0.0/16:5432".
func (d Destination) String() string {
	host := d.Name
	switch {
	case host == "" && d.Prefix.IsSingleIP():
		host = d.Prefix.Addr().String()
	case host == "":
		host = d.Prefix.String()
	}
	return host + ":" + strconv.Itoa(int(d.Port))
}

// ParseDestination reads "HOST:PORT". The error says what would be right.
func ParseDestination(s string) (Destination, error) {
	const want = "want NAME:PORT, ADDRESS:PORT or PREFIX:PORT, such as api.stripe.com:443, 10.0.0.5:5432 or 10.1.0.0/16:5432"
	i := strings.LastIndexByte(s, ':')
	if i <= 0 {
		return Destination{}, fmt.Errorf("%q has no port: %s", truncate(s, 80), want)
	}
	host, digits := s[:i], s[i+1:]
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 || digits[0] == '0' {
		return Destination{}, fmt.Errorf("the port of %q is no number from 1 to 65535: %s", truncate(s, 80), want)
	}
	d := Destination{Port: uint16(port)}
	if strings.ContainsAny(host, ":[]") {
		return Destination{}, fmt.Errorf("%q is an IPv6 address: environments have no IPv6; %s", truncate(s, 80), want)
	}
	if strings.Contains(host, "/") {
		d.Prefix, err = netip.ParsePrefix(host)
		if err != nil || d.Prefix != d.Prefix.Masked() {
			return Destination{}, fmt.Errorf("%q is no prefix with all host bits zero: %s", truncate(host, 80), want)
		}
	} else if addr, err := netip.ParseAddr(host); err == nil {
		d.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if d.Prefix.IsValid() {
		if Within(d.Prefix, NeverReached()) && !d.Loopback() {
			return Destination{}, fmt.Errorf("%q is an address that no environment reaches (of this network, of the link or of many hosts): %s",
				truncate(host, 80), want)
		}
		return d, nil
	}
	d.Name = strings.ToLower(strings.TrimSuffix(host, "."))
	if !isHostName(d.Name) {
		return Destination{}, fmt.Errorf("%q is neither a host name nor an address: %s", truncate(host, 80), want)
	}
	return d, nil
}

// isHostName takes what DNS takes for hosts (RFC 1123, with underscores), but
// nothing that could be meant as an address.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	digits := true
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		digits = true
		for i := range len(label) {
			c := label[i]
			digits = digits && c >= '0' && c <= '9'
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return !digits // a last label of digits is an address written oddly
}
