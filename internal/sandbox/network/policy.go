package network

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// policy is what one environment may reach, as it is looked up.
type policy struct {
	internet bool
	names    map[string][]uint16 // a listed name's ports
	prefixes []gust.Destination  // listed by address
	loopback []gust.Destination  // of the host, which the node passes on
}

// newPolicy reads a network. ports are the node's own.
func newPolicy(n gust.Network, ports []uint16) (*policy, error) {
	p := &policy{internet: n.Mode == gust.NetworkInternet, names: map[string][]uint16{}}
	switch n.Mode {
	case gust.NetworkInternet, gust.NetworkList:
	default:
		return nil, fmt.Errorf("%w: %q is no network that takes an interface", ErrDenied, n)
	}
	for _, text := range n.Allow {
		d, err := gust.ParseDestination(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrDenied, err)
		case d.Loopback() && slices.Contains(ports, d.Port):
			return nil, fmt.Errorf("%w: %s is the node's own port, which no function reaches; choose another for the node, or take it off the list", ErrDenied, d)
		case d.Loopback():
			p.loopback = append(p.loopback, d)
		case d.Name != "":
			p.names[d.Name] = append(p.names[d.Name], d.Port)
		default:
			p.prefixes = append(p.prefixes, d)
		}
	}
	p.prefixes = reduce(p.prefixes)
	return p, nil
}

// reduce leaves out what lies within another: the kernel's sets take no
// overlaps.
func reduce(ds []gust.Destination) []gust.Destination {
	var kept []gust.Destination
	slices.SortStableFunc(ds, func(a, b gust.Destination) int { return a.Prefix.Bits() - b.Prefix.Bits() })
	for _, d := range ds {
		if !slices.ContainsFunc(kept, func(k gust.Destination) bool {
			return k.Port == d.Port && isPrivatePrefix(k.Prefix) == isPrivatePrefix(d.Prefix) && k.Prefix.Contains(d.Prefix.Addr())
		}) {
			kept = append(kept, d)
		}
	}
	return kept
}

// covers reports whether an entry means an address: a prefix that is not
// private opens nothing that is.
func covers(d gust.Destination, a netip.Addr) bool {
	return d.Prefix.Contains(a) && (isPublic(a) || isPrivate(a) && isPrivatePrefix(d.Prefix))
}

// lists reports whether an address is listed as such, with any port.
func (p *policy) lists(a netip.Addr) bool {
	return slices.ContainsFunc(p.prefixes, func(d gust.Destination) bool { return covers(d, a) })
}

// opens reports whether a place is listed by address.
func (p *policy) opens(a netip.Addr, port uint16) bool {
	return slices.ContainsFunc(p.prefixes, func(d gust.Destination) bool { return d.Port == port && covers(d, a) })
}

// tells reports whether an answer may name an address: a public one, or one
// that is listed. Else a name's owner could lead a program into the host's
// neighbourhood (DNS rebinding).
func (p *policy) tells(a netip.Addr) bool { return isPublic(a) || p.lists(a) }

func isPrivate(a netip.Addr) bool { return isPrivatePrefix(netip.PrefixFrom(a, a.BitLen())) }

func isPrivatePrefix(p netip.Prefix) bool { return gust.Within(p, gust.PrivateRanges()) }

func isPublic(a netip.Addr) bool {
	return a.Is4() && !isPrivate(a) && !gust.Within(netip.PrefixFrom(a, 32), gust.NeverReached())
}

// Bounds of for how long an answer opens an address: a name's owner says how
// long it is right, and programs often believe it for longer.
const (
	minPin   = time.Minute
	maxPin   = time.Hour
	pinGrace = 5 * time.Second // for who is told at the end of that
	maxPins  = 1024            // of one environment
)
