//go:build linux

package network

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	gust "github.com/gust-dev/gust"
)

// server is where environments ask for names: one for all, at an address of the
// gate's; who asks is told by the address it comes from, which is checked where
// it comes in.
type server struct {
	n        *Network
	resolver *resolver
	udp      *net.UDPConn
	tcp      *net.TCPListener
	places   chan struct{} // of questions at once, of all together
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// Bounds of what one environment may ask.
const (
	maxAsking      = 64  // questions at once
	maxRate        = 500 // questions a second, after a burst of as many
	maxConnections = 8   // over TCP
	allAsking      = 1024
	idleTCP        = 10 * time.Second
)

// account counts what an environment asks.
type account struct {
	mu     sync.Mutex
	asking int
	conns  atomic.Int32
	left   float64
	last   time.Time
}

func newAccount() account { return account{left: maxRate} }

// begin takes a place for a question if there is one.
func (a *account) begin(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.last.IsZero() {
		a.left = min(maxRate, a.left+now.Sub(a.last).Seconds()*maxRate)
	}
	a.last = now
	if a.asking >= maxAsking || a.left < 1 {
		return false
	}
	a.asking++
	a.left--
	return true
}

func (a *account) end() {
	a.mu.Lock()
	a.asking--
	a.mu.Unlock()
}

func newServer(n *Network, upstreams []netip.AddrPort) *server {
	s := &server{n: n, resolver: newResolver(upstreams), places: make(chan struct{}, allAsking)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// listen opens the server's sockets in the namespace of the calling thread.
func (s *server) listen() error {
	at := netip.AddrPortFrom(netip.MustParseAddr(gust.Resolver), 53)
	var err error
	if s.udp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at)); err != nil {
		return err
	}
	s.tcp, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	return err
}

func (s *server) serve() {
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
}

func (s *server) close() {
	s.cancel()
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
	s.wg.Wait()
}

// take finds who asks, and a place for the question; nil if there is none.
func (s *server) take(from netip.Addr) *Link {
	l := s.n.linkOf(from.Unmap())
	if l == nil || !l.dns.begin(time.Now()) {
		return nil
	}
	select {
	case s.places <- struct{}{}:
		return l
	default:
		l.dns.end()
		return nil
	}
}

func (s *server) give(l *Link) {
	<-s.places
	l.dns.end()
}

func (s *server) serveUDP() {
	buf := make([]byte, maxQuery+1)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxQuery {
			continue
		}
		l := s.take(from.Addr())
		if l == nil {
			continue
		}
		query := append([]byte(nil), buf[:n]...)
		s.wg.Go(func() {
			defer s.give(l)
			if a := s.answer(l, query, true); a != nil {
				s.udp.WriteToUDPAddrPort(a, from)
			}
		})
	}
}

func (s *server) serveTCP() {
	for {
		c, err := s.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		l := s.n.linkOf(from.Addr().Unmap())
		if l == nil || l.dns.conns.Add(1) > maxConnections {
			if l != nil {
				l.dns.conns.Add(-1)
			}
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer l.dns.conns.Add(-1)
			defer c.Close()
			stop := context.AfterFunc(s.ctx, func() { c.Close() })
			defer stop()
			s.converse(l, from.Addr(), c)
		})
	}
}

// converse answers the questions of one connection, one after the other.
func (s *server) converse(l *Link, from netip.Addr, c net.Conn) {
	buf := make([]byte, maxQuery)
	for {
		c.SetDeadline(time.Now().Add(idleTCP))
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return
		}
		n := binary.BigEndian.Uint16(buf)
		if int(n) > len(buf) {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil || s.take(from) == nil {
			return
		}
		a := s.answer(l, buf[:n], false)
		s.give(l)
		if a == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

// answer answers one question; nil leaves it without an answer.
func (s *server) answer(l *Link, query []byte, udp bool) []byte {
	q := new(dns.Msg)
	if err := q.Unpack(query); err != nil || q.Response {
		return nil
	}
	r := s.resolve(l, q)
	if udp {
		r.Truncate(udpSize(q))
	} else {
		r.Truncate(dns.MaxMsgSize)
	}
	a, err := r.Pack()
	if err != nil {
		a, _ = replyTo(q, dns.RcodeServerFailure, "").Pack()
	}
	return a
}

// leadsInside is why an address is not told.
const leadsInside = "the name leads to an address that the function's network does not list"

// resolve carries the judgement out. What a name has led to is open before the
// answer tells of it.
func (s *server) resolve(l *Link, q *dns.Msg) *dns.Msg {
	p := l.policy.Load()
	j := judge(q, p)
	r := replyTo(q, j.rcode, j.why)
	r.Answer = j.addr
	if !j.resolve {
		return r
	}
	ctx, cancel := context.WithTimeout(s.ctx, lookTimeout)
	defer cancel()
	failed := func(err error) *dns.Msg {
		s.n.log.Debug("a name was not resolved", "name", q.Question[0].Name, "error", err)
		return replyTo(q, dns.RcodeServerFailure, "")
	}
	if j.ports == nil {
		m, err := s.resolver.lookup(ctx, q.Question[0])
		if err != nil {
			return failed(err)
		}
		if filter(m, p.tells) {
			r = replyTo(q, 0, leadsInside)
		}
		r.Rcode, r.Answer, r.Ns = m.Rcode, m.Answer, m.Ns
		return r
	}
	addrs, ttl, err := s.resolver.addresses(ctx, q.Question[0].Name)
	if err != nil {
		return failed(err)
	}
	if !slices.ContainsFunc(addrs, p.tells) && len(addrs) > 0 {
		return replyTo(q, 0, leadsInside)
	}
	var pinned []netip.Addr
	for _, a := range addrs {
		if p.tells(a) {
			r.Answer = append(r.Answer, newA(q.Question[0].Name, a, ttl))
		}
		if isPublic(a) {
			pinned = append(pinned, a)
		}
	}
	if err := l.pin(pinned, j.ports, ttl); err != nil {
		return failed(err)
	}
	return r
}
