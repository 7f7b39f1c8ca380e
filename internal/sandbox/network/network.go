//go:build linux

package network

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// Network is a node's: the gate, where all its environments' interfaces are,
// and what leads from there to the host. It is safe for use by many goroutines.
type Network struct {
	log     *slog.Logger
	ports   []uint16
	gateNS  *os.File
	sys     int // the gate's /sys
	routes  *router
	gate    *gate
	host    *hostRules
	dev     string // the host's end of the pair
	mtu     int
	pool    netip.Prefix
	addrs   *addresses
	forward *forwarding
	dns     *server
	closing chan struct{}
	wg      sync.WaitGroup
	warn    []string

	minPin, pinGrace time.Duration // the constants, but for tests

	indexes atomic.Int32 // the last interface's
	mu      sync.RWMutex
	links   map[netip.Addr]*Link
}

// Interfaces of the gate and of environments. The numbers of environments' ends
// are chosen, and never used twice: rules are kept by number.
const (
	loIndex   = 1
	upIndex   = 2
	ethIndex  = 2
	firstLink = 1 << 10
)

// Open makes the node's part: a namespace with the interfaces of environments
// to come, a pair that leads from there to the host, rules, DNS. It undoes what
// a node that was killed has left. The error says what is missing.
func Open(o Options) (_ *Network, err error) {
	n := &Network{log: o.Logger, ports: o.Ports, sys: -1, closing: make(chan struct{}), links: map[netip.Addr]*Link{}, minPin: minPin, pinGrace: pinGrace}
	if n.log == nil {
		n.log = slog.Default()
	}
	n.indexes.Store(firstLink)
	sum := fnv.New32a()
	sum.Write([]byte(o.NodeID))
	n.dev = fmt.Sprintf("gust%08x", sum.Sum32())
	defer func() {
		if err != nil {
			err = errors.Join(lacking(err), n.Close())
		}
	}()
	n.forward = &forwarding{notes: cmp.Or(o.Notes, "/run/gust/forwarding"), log: n.log}
	if old, err := netlink.LinkByName(n.dev); err == nil {
		if err := netlink.LinkDel(old); err != nil { // the kernel may be at it
			n.log.Debug("an interface of an earlier node", "error", err)
		}
	}
	if n.mtu, err = uplinkMTU(); err != nil {
		return nil, err
	}
	if n.gateNS, err = NewNamespace(); err != nil {
		return nil, err
	}
	n.dns = newServer(n, o.Upstreams)
	if err := In(int(n.gateNS.Fd()), n.openGate); err != nil {
		return nil, err
	}
	dev, err := n.joinHost(o.NodeID)
	if err != nil {
		return nil, err
	}
	if n.host, err = newHostRules(strings.TrimPrefix(n.dev, "gust"), dev, n.pool, o.Ports); err != nil {
		return nil, err
	}
	if err := n.forward.open(n.host); err != nil {
		return nil, err
	}
	n.warn = dropping()
	for _, w := range n.warn {
		n.log.Warn(w)
	}
	n.wg.Go(func() { n.forward.watch(n.closing) })
	n.dns.serve()
	return n, nil
}

// lacking says what to grant.
func lacking(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		return fmt.Errorf("functions get no network: %w: grant CAP_NET_ADMIN and CAP_SYS_ADMIN and a writable /proc/sys/net "+
			"(in a container: --privileged), or declare network: none", err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("functions get no network: %w: the kernel needs nf_tables and veth "+
			"(modprobe nf_tables nft_ct nft_masq nft_reject_inet veth), or declare network: none", err)
	}
	return fmt.Errorf("functions get no network: %w (without one: network: none)", err)
}

// setting writes one of the network's settings, of the calling thread's
// namespace.
func setting(name, value string) error {
	err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(name, "ipv6/") {
		return nil // a kernel without it
	}
	return err
}

// openGate makes what is in the gate, by a thread that is there.
func (n *Network) openGate() (err error) {
	for _, s := range [][2]string{
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
		{"ipv4/ip_forward", "1"},
		// What comes from an environment has its address, or goes nowhere.
		{"ipv4/conf/all/rp_filter", "1"},
		{"ipv4/conf/default/rp_filter", "1"},
		{"ipv4/icmp_ratelimit", "0"}, // a refusal for each packet, or programs wait
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
		{"ipv4/conf/all/accept_redirects", "0"},
		{"ipv4/conf/default/accept_redirects", "0"},
	} {
		if err := setting(s[0], s[1]); err != nil {
			return err
		}
	}
	if n.routes, err = newRouter(); err != nil {
		return err
	}
	if err := n.routes.do(linkUp(loIndex), newAddress(loIndex, netip.MustParseAddr(gust.Resolver))); err != nil {
		return err
	}
	if n.sys, err = mountSys(); err != nil {
		return err
	}
	if n.gate, err = newGate(upIndex); err != nil {
		return err
	}
	return n.dns.listen()
}

// mountSys mounts /sys of the thread's namespace where nobody sees it: of the
// kernel's ways to tell an interface's counters, reading an open file is the
// cheapest.
func mountSys() (int, error) {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mount /sys of a namespace: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("mount /sys of a namespace: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return -1, fmt.Errorf("mount /sys of a namespace: %w", err)
	}
	return fd, nil
}

// joinHost makes the pair between the gate and the host, and chooses the pool
// of addresses: one to which the host has no route. It returns the number of
// the host's end.
func (n *Network) joinHost(nodeID string) (int, error) {
	home, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	defer home.Close()
	pair := newPair(link{"up", upIndex, -1}, link{n.dev, 0, int(home.Fd())}, n.mtu)
	if err := n.routes.do(pair); err != nil {
		return 0, err
	}
	dev, err := net.InterfaceByName(n.dev)
	if err != nil {
		return 0, err
	}
	if err := setting("ipv6/conf/"+n.dev+"/disable_ipv6", "1"); err != nil {
		return 0, err
	}
	if err := setting("ipv4/conf/"+n.dev+"/forwarding", "1"); err != nil {
		return 0, err
	}
	host, err := newRouter()
	if err != nil {
		return 0, err
	}
	defer host.close()
	if err := host.do(linkUp(dev.Index)); err != nil {
		return 0, err
	}
	taken, err := hostRoutes()
	if err != nil {
		return 0, err
	}
	for _, p := range pools(nodeID) {
		if overlaps(p, taken) {
			continue
		}
		a := newAddresses(p)
		err := host.do(newAddress(dev.Index, a.at(hostEnd)), newRoute(p, dev.Index, a.at(gateEnd), a.at(hostEnd), unix.NLM_F_EXCL))
		if errors.Is(err, syscall.EEXIST) { // another node was quicker
			netlink.AddrDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: dev.Index}}, &netlink.Addr{IPNet: netlink.NewIPNet(a.at(hostEnd).AsSlice())})
			continue
		}
		if err != nil {
			return 0, err
		}
		n.pool, n.addrs = p, a
		everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		return dev.Index, n.routes.do(newAddress(upIndex, a.at(gateEnd)), newRoute(everywhere, upIndex, a.at(hostEnd), netip.Addr{}, 0))
	}
	return 0, errors.New("the host has routes into all ranges that environments could take their addresses from (198.18.0.0/15, 100.64.0.0/10, 10.192.0.0/10)")
}

func overlaps(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}

// hostRoutes are the prefixes that the host has routes to, the default aside.
func hostRoutes() (ps []netip.Prefix, err error) {
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{}, netlink.RT_FILTER_TABLE) // of all tables
	if err != nil {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			if bits, _ := r.Dst.Mask.Size(); bits > 0 {
				ps = append(ps, netip.PrefixFrom(a, bits))
			}
		}
	}
	return ps, nil
}

// uplinkMTU is the largest packet that all ways out take.
func uplinkMTU() (int, error) {
	routes, err := netlink.RouteList(nil, unix.AF_INET)
	if err != nil {
		return 0, fmt.Errorf("read the host's routes: %w", err)
	}
	mtu := 1500
	for _, r := range routes {
		if l, err := net.InterfaceByIndex(r.LinkIndex); err == nil && (r.Dst == nil || r.Dst.IP.IsUnspecified()) && l.MTU >= 576 {
			mtu = min(mtu, l.MTU)
		}
	}
	return mtu, nil
}

// Warnings are what of the host may keep environments from what they may reach.
func (n *Network) Warnings() []string { return n.warn }

// linkOf is the environment that has an address.
func (n *Network) linkOf(a netip.Addr) *Link {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.links[a]
}

// Close gives back all that Open has made. All links have been closed.
func (n *Network) Close() error {
	select {
	case <-n.closing:
	default:
		close(n.closing)
	}
	if n.dns != nil {
		n.dns.close()
	}
	n.wg.Wait()
	var err error
	if n.forward != nil {
		err = n.forward.close()
	}
	if n.host != nil {
		n.host.close()
	}
	if n.gate != nil {
		n.gate.close()
	}
	if n.routes != nil {
		n.routes.close()
	}
	if n.sys >= 0 {
		unix.Close(n.sys)
		n.sys = -1
	}
	if n.gateNS != nil {
		// The namespace ends when the kernel gets to it; the host's end of the
		// pair does at once.
		if l, err := netlink.LinkByName(n.dev); err == nil {
			netlink.LinkDel(l)
		}
		n.gateNS.Close()
	}
	return err
}
