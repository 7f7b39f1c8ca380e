//go:build linux

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// Link is an environment's network: an interface eth0 in its namespace with an
// address of its own. It reaches nothing until Allow.
type Link struct {
	n      *Network
	index  int // of the gate's end
	number uint32
	addr   netip.Addr
	ns     *os.File // the environment's, until Allow
	policy atomic.Pointer[policy]
	dns    account

	mu      sync.Mutex
	pins    map[pin]time.Time // when the kernel forgets it
	passing []net.Listener
	passed  atomic.Int64 // bytes to the host's loopback
	wg      sync.WaitGroup
	closed  bool
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	bytes   counter
	packets counter
	out     int64
}

// pin is a place that a listed name's answer has opened.
type pin struct {
	addr netip.Addr
	port uint16
}

// counter is an open file of the kernel's with a number in it.
type counter struct {
	fd   int
	last int64
}

func (c *counter) open(sys int, dev, name string) (err error) {
	c.fd, err = unix.Openat(sys, "devices/virtual/net/"+dev+"/statistics/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// read returns the number, and whether it has changed; the last one when the
// interface has gone.
func (c *counter) read() (int64, bool) {
	var b [24]byte
	n, err := unix.Pread(c.fd, b[:], 0)
	if err != nil {
		return c.last, false
	}
	v, err := strconv.ParseInt(string(bytes.TrimSuffix(b[:n], []byte("\n"))), 10, 64)
	if err != nil || v == c.last {
		return c.last, false
	}
	c.last = v
	return v, true
}

// Attach gives the network namespace ns its interface. ns stays the caller's.
// The kernel ends the interface with the namespace.
func (n *Network) Attach(ns int) (_ *Link, err error) {
	l := &Link{n: n, index: int(n.indexes.Add(1)), bytes: counter{fd: -1}, packets: counter{fd: -1}, dns: newAccount(), pins: map[pin]time.Time{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if l.number, err = n.addrs.take(); err != nil {
		return nil, err
	}
	l.addr = n.addrs.at(l.number)
	n.mu.Lock()
	n.links[l.addr] = l
	n.mu.Unlock()
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	fd, err := unix.FcntlInt(uintptr(ns), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	l.ns = os.NewFile(uintptr(fd), "netns")
	name := "e" + strconv.Itoa(l.index)
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if err := In(fd, func() error {
		// IPv6 is off: the interface is made without it.
		if err := setting("ipv6/conf/default/disable_ipv6", "1"); err != nil {
			return err
		}
		r, err := newRouter()
		if err != nil {
			return err
		}
		defer r.close()
		// An earlier environment's interface of this address may not be gone
		// yet, so the route replaces what there is.
		if err := n.routes.do(newPair(link{name, l.index, -1}, link{"eth0", ethIndex, fd}, n.mtu),
			newRoute(netip.PrefixFrom(l.addr, 32), l.index, netip.Addr{}, netip.Addr{}, unix.NLM_F_REPLACE)); err != nil {
			return err
		}
		return r.do(linkUp(ethIndex), newAddress(ethIndex, l.addr),
			newRoute(everywhere, ethIndex, netip.MustParseAddr(gust.Resolver), netip.Addr{}, 0))
	}); err != nil {
		return nil, err
	}
	if err := errors.Join(l.bytes.open(n.sys, name, "rx_bytes"), l.packets.open(n.sys, name, "rx_packets")); err != nil {
		return nil, fmt.Errorf("open the counters of an interface: %w", err)
	}
	return l, nil
}

// awaitUp returns when packets pass both ways. The environment's end is ready
// when it is up, because the gate's is up then; that one hears of its peer from
// a worker of the kernel's, usually long ago, and drops what it is to send
// before.
func (l *Link) awaitUp() error {
	file := "devices/virtual/net/e" + strconv.Itoa(l.index) + "/operstate"
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Microsecond) {
		fd, err := unix.Openat(l.n.sys, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("look at the environment's interface: %w", err)
		}
		var b [16]byte
		n, err := unix.Read(fd, b[:])
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("look at the environment's interface: %w", err)
		}
		state := string(bytes.TrimSpace(b[:n]))
		if state == "up" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the environment's interface does not come up: it is %s", state)
		}
	}
}

// Check tells whether Allow would take a network, with an ErrDenied if not.
func (n *Network) Check(to gust.Network) error {
	_, err := newPolicy(to, n.ports)
	return err
}

// Allow opens what the environment may reach, once.
func (l *Link) Allow(to gust.Network) error {
	p, err := newPolicy(to, l.n.ports)
	if err != nil {
		return err
	}
	if err := l.awaitUp(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ns == nil {
		return errors.New("an environment's network is opened once")
	}
	if err := l.pass(p.loopback); err != nil {
		return err
	}
	l.ns.Close()
	l.ns = nil
	gate, host := l.rules(p)
	if err := l.n.gate.edit(nil, gate); err != nil {
		return err
	}
	l.policy.Store(p)
	if len(host) == 0 {
		return nil
	}
	return l.n.host.edit(nil, host)
}

// rules are what a policy is in the gate and on the host. The host only has to
// know what is listed by address, which may be its own.
func (l *Link) rules(p *policy) (gate, host []elements) {
	g, me := l.n.gate, number(l.index)
	gate = []elements{{g.live, []nftables.SetElement{{Key: slices.Concat(me, me)}}}}
	if p.internet {
		gate = append(gate, elements{g.internet, []nftables.SetElement{{Key: me}}})
	}
	var local []nftables.SetElement
	for _, d := range p.prefixes {
		set, e := g.outside, between(me, d)
		switch {
		case d.Prefix.IsSingleIP():
			set, e = g.listed, nftables.SetElement{Key: where(me, d.Prefix.Addr(), d.Port)}
		case isPrivatePrefix(d.Prefix):
			set = g.inside
		}
		gate = append(gate, elements{set, []nftables.SetElement{e}})
		local = append(local, between(l.addr.AsSlice(), d))
	}
	if len(local) > 0 {
		host = []elements{{l.n.host.local, local}}
	}
	return gate, host
}

// errPins: a name has too many addresses.
var errPins = errors.New("the names of a function's network have more addresses than it may reach at once")

// pin opens a listed name's addresses. An open connection outlives it.
func (l *Link) pin(addrs []netip.Addr, ports []uint16, ttl time.Duration) error {
	ttl = min(ttl, maxPin)
	now := time.Now()
	// What is open for long enough is left alone: most answers come from the
	// cache.
	enough, end := now.Add(max(ttl, l.n.minPin*3/4)), now.Add(max(ttl, l.n.minPin)+l.n.pinGrace)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.policy.Load()
	if l.closed || p == nil {
		return net.ErrClosed
	}
	var new []pin
	var es []nftables.SetElement
	for _, a := range addrs {
		for _, port := range ports {
			// What is listed by address has no end.
			if at := (pin{a, port}); !p.opens(a, port) && l.pins[at].Before(enough) {
				new = append(new, at)
				es = append(es, nftables.SetElement{Key: where(number(l.index), a, port), Timeout: end.Sub(now)})
			}
		}
	}
	if len(new) == 0 {
		return nil
	}
	if len(l.pins)+len(new) > maxPins {
		maps.DeleteFunc(l.pins, func(_ pin, end time.Time) bool { return end.Before(now) })
		if len(l.pins)+len(new) > maxPins {
			return errPins
		}
	}
	if err := l.n.gate.renew(l.n.gate.listed, es); err != nil {
		return err
	}
	for _, at := range new {
		l.pins[at] = end
	}
	return nil
}

// pass listens in the environment for what it may reach of the host's loopback,
// so that code that means localhost works as it is.
func (l *Link) pass(ds []gust.Destination) error {
	if len(ds) == 0 {
		return nil
	}
	return In(int(l.ns.Fd()), func() error {
		for _, d := range ds {
			at := []string{d.String()}
			if d.Name != "" {
				port := strconv.Itoa(int(d.Port))
				at = []string{"127.0.0.1:" + port, "[::1]:" + port}
			}
			for _, at := range at {
				ln, err := net.Listen("tcp", at)
				if errors.Is(err, unix.EADDRINUSE) && slices.ContainsFunc(l.passing, func(o net.Listener) bool { return o.Addr().String() == at }) {
					continue // listed by name and by address
				}
				if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
					continue // no IPv6
				}
				if err != nil {
					return fmt.Errorf("listen on %s in the environment, to pass it on to the host's: %w", at, err)
				}
				l.passing = append(l.passing, ln)
				l.wg.Go(func() { l.accept(ln, d.String()) })
			}
		}
		return nil
	})
}

// maxPassing bounds one environment's connections to the host's loopback.
const maxPassing = 256

// accept passes connections on until the listener is closed.
func (l *Link) accept(ln net.Listener, to string) {
	places := make(chan struct{}, maxPassing)
	for {
		places <- struct{}{}
		c, err := ln.Accept()
		if err != nil {
			<-places
			select { // out of descriptors, perhaps
			case <-time.After(10 * time.Millisecond):
				continue
			case <-l.ctx.Done():
				return
			}
		}
		l.wg.Go(func() {
			defer func() { <-places }()
			l.join(c.(*net.TCPConn), to)
		})
	}
}

// join passes one connection on until both sides have ended it, or either is
// broken.
func (l *Link) join(c *net.TCPConn, to string) {
	defer c.Close()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(l.ctx, "tcp", to)
	if err != nil {
		c.SetLinger(0) // refused, as far as that can still be said
		return
	}
	up := conn.(*net.TCPConn)
	defer up.Close()
	defer context.AfterFunc(l.ctx, func() { c.Close(); up.Close() })()
	back := make(chan struct{})
	go func() {
		defer close(back)
		if _, err := io.Copy(c, up); err != nil {
			c.Close()
		}
		c.CloseWrite()
	}()
	if _, err := io.Copy(counted{up, &l.passed}, c); err != nil {
		up.Close()
	}
	up.CloseWrite()
	<-back
}

// counted counts what is written while it is: a connection to a database may
// stay open for as long as the environment.
type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// BytesOut is how much has been sent: IP packets, and what was passed on to
// the host's loopback.
func (l *Link) BytesOut() int64 {
	const header = 14 // of Ethernet, in each packet
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed { // else the descriptors may be somebody else's
		if b, changed := l.bytes.read(); changed {
			p, _ := l.packets.read()
			l.out = max(l.out, b-header*p)
		}
	}
	return l.out + l.passed.Load()
}

// Close takes all rights back. The namespace may still be there, and reaches
// nothing.
func (l *Link) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.cancel()
	for _, ln := range l.passing {
		ln.Close()
	}
	if l.ns != nil {
		l.ns.Close()
	}
	for _, c := range []counter{l.bytes, l.packets} {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
	l.mu.Unlock()
	n := l.n
	if p := l.policy.Load(); p != nil {
		gate, host := l.rules(p)
		err := n.gate.edit(gate, nil)
		if len(host) > 0 {
			err = errors.Join(err, n.host.edit(host, nil))
		}
		if err != nil {
			n.log.Error("an environment has ended and its rules are left", "error", err)
		}
	}
	l.wg.Wait()
	n.mu.Lock()
	delete(n.links, l.addr)
	n.mu.Unlock()
	n.addrs.give(l.number)
}

// Addr is the environment's address, which the host sees it by.
func (l *Link) Addr() netip.Addr { return l.addr }
