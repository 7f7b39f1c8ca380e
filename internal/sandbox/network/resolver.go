package network

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	gust "github.com/gust-dev/gust"
)

// resolver asks the node's own resolvers, and remembers what they said for as
// long as they said. It is safe for use by many goroutines.
type resolver struct {
	fixed []string // upstreams; nil reads file
	file  string

	mu      sync.Mutex
	servers []string
	read    time.Time // when the file was looked at, and what it was then
	stamp   time.Time
	size    int64
	cache   map[dns.Question]*list.Element // of *kept
	recent  *list.List

	flights singleflight.Group
}

// kept is an answer in the cache.
type kept struct {
	q       dns.Question
	m       *dns.Msg
	at, end time.Time
}

const (
	maxCached     = 4096
	maxCachedSize = 4096 // bytes of one answer
	// Each upstream has askTimeout, all of them together lookTimeout: less
	// than a program waits before it asks again.
	askTimeout  = 1500 * time.Millisecond
	lookTimeout = 4 * time.Second
	reread      = 2 * time.Second
)

func newResolver(upstreams []netip.AddrPort) *resolver {
	r := &resolver{file: "/etc/resolv.conf", cache: map[dns.Question]*list.Element{}, recent: list.New()}
	for _, u := range upstreams {
		r.fixed = append(r.fixed, u.String())
	}
	return r
}

// errNoUpstream: the node has nobody to ask.
var errNoUpstream = errors.New("the node's /etc/resolv.conf names no resolver")

// upstreams are whom to ask, in order.
func (r *resolver) upstreams(now time.Time) ([]string, error) {
	if r.fixed != nil {
		return r.fixed, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.read) < reread {
		return r.servers, nil
	}
	st, err := os.Stat(r.file)
	if err != nil {
		return nil, err
	}
	r.read = now
	if st.ModTime().Equal(r.stamp) && st.Size() == r.size {
		return r.servers, nil
	}
	c, err := dns.ClientConfigFromFile(r.file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.file, err)
	}
	r.servers = nil
	for _, s := range c.Servers {
		if s != gust.Resolver { // a node in a function's environment asks its own
			r.servers = append(r.servers, net.JoinHostPort(s, c.Port))
		}
	}
	r.stamp, r.size = st.ModTime(), st.Size()
	return r.servers, nil
}

// lookup answers a question, from the cache or by asking. Many who ask the same
// at once are one question upstream. The answer is the caller's.
func (r *resolver) lookup(ctx context.Context, q dns.Question) (*dns.Msg, error) {
	q.Name = dns.CanonicalName(q.Name)
	now := time.Now()
	r.mu.Lock()
	if e, ok := r.cache[q]; ok {
		if k := e.Value.(*kept); k.end.After(now) {
			r.recent.MoveToFront(e)
			r.mu.Unlock()
			return aged(k.m, now.Sub(k.at)), nil
		}
		r.recent.Remove(e)
		delete(r.cache, q)
	}
	r.mu.Unlock()
	ch := r.flights.DoChan(fmt.Sprint(q.Qtype, " ", q.Name), func() (any, error) {
		// Whoever began it may give up; the others wait on.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		m, err := r.ask(ctx, q)
		if err == nil {
			r.keep(q, m)
		}
		return m, err
	})
	select {
	case res := <-ch:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*dns.Msg).Copy(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask asks the upstreams in turn, twice.
func (r *resolver) ask(ctx context.Context, q dns.Question) (*dns.Msg, error) {
	servers, err := r.upstreams(time.Now())
	if err != nil {
		return nil, err
	}
	err = errNoUpstream
	for range 2 {
		for _, s := range servers {
			if ctx.Err() != nil {
				return nil, errors.Join(err, context.Cause(ctx))
			}
			var m *dns.Msg
			if m, err = exchange(ctx, s, q); err == nil {
				return m, nil
			}
		}
	}
	return nil, err
}

// exchange asks one upstream, over TCP if the answer is too long for UDP.
func exchange(ctx context.Context, server string, q dns.Question) (*dns.Msg, error) {
	m := &dns.Msg{Question: []dns.Question{q}}
	m.Id = dns.Id()
	m.RecursionDesired = true
	m.SetEdns0(udpAnswer, false)
	for _, proto := range []string{"udp", "tcp"} {
		c := dns.Client{Net: proto, UDPSize: udpAnswer, Timeout: askTimeout}
		a, _, err := c.ExchangeContext(ctx, m, server)
		if err != nil {
			return nil, fmt.Errorf("ask the resolver %s: %w", server, err)
		}
		if err := checkAnswer(q, a); err != nil {
			return nil, err
		}
		if !a.Truncated || proto == "tcp" {
			return a, nil
		}
	}
	return nil, errNoUpstream // not reached: tcp returns
}

// keep puts an answer into the cache.
func (r *resolver) keep(q dns.Question, m *dns.Msg) {
	d := lifetime(m)
	if d <= 0 || m.Len() > maxCachedSize {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.cache[q]; ok {
		r.recent.Remove(old)
	}
	now := time.Now()
	r.cache[q] = r.recent.PushFront(&kept{q: q, m: m, at: now, end: now.Add(d)})
	for r.recent.Len() > maxCached {
		oldest := r.recent.Back()
		delete(r.cache, oldest.Value.(*kept).q)
		r.recent.Remove(oldest)
	}
}

// addresses resolves a listed name, following it through other names.
func (r *resolver) addresses(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	ttl := maxPin
	for range maxChain {
		m, err := r.lookup(ctx, dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET})
		if err != nil {
			return nil, 0, err
		}
		as, t, next := addressesIn(m, name)
		ttl = min(ttl, t)
		if next == "" {
			return as, ttl, nil
		}
		name = next
	}
	return nil, 0, fmt.Errorf("%s leads through more than %d other names", name, maxChain)
}
