// Package network gives environments a network of their own: a pair of
// interfaces, an address, rules of what may be reached, and DNS through the
// node. DESIGN.md tells how it is built and why; docs/NETWORK.md what users may
// expect; docs/THREAT-MODEL.md against whom it holds.
//
// It needs Linux 5.12 or newer, and the rights to administer the network. Where
// something is missing Open says what, and what to grant.
package network

import (
	"errors"
	"log/slog"
	"net/netip"
)

// ErrDenied: a network that a function asks for is not given to any.
var ErrDenied = errors.New("the network is not permitted")

// Options configure a node's networks.
type Options struct {
	// NodeID tells this node's interfaces and rules from those of others on
	// the machine.
	NodeID string
	// Notes is a folder that all nodes on the machine share and that a reboot
	// empties: what has been changed of the host is noted there, and undone by
	// the next Open of any node if it was not by Close. Empty is
	// /run/gust/forwarding.
	Notes string
	// Ports are the node's own: no environment reaches them by any of the
	// host's addresses.
	Ports []uint16
	// Upstreams are the resolvers that are asked; none are those of the
	// host's /etc/resolv.conf, which is read again when it changes.
	Upstreams []netip.AddrPort
	// Logger gets what is wrong with the node; nil means slog.Default().
	Logger *slog.Logger
}
