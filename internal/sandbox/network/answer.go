package network

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// What programs ask and upstreams answer is judged here, without acting.

// Bounds of what is read: a question fits in the first, what an upstream may
// say over UDP in the second.
const (
	maxQuery  = 1024
	udpAnswer = 1232
)

// judgement is what to do about a question.
type judgement struct {
	rcode int      // answered so, if resolve is not set
	addr  []dns.RR // and with these
	// resolve says that upstreams are to be asked; ports are the listed
	// name's, nil in mode internet.
	resolve bool
	ports   []uint16
	why     string // for people, with an extended error (RFC 8914)
}

// judge decides about a question under a policy, nil for an environment that
// has none yet.
func judge(q *dns.Msg, p *policy) judgement {
	if q.Response || q.Opcode != dns.OpcodeQuery {
		return judgement{rcode: dns.RcodeNotImplemented}
	}
	if len(q.Question) != 1 {
		return judgement{rcode: dns.RcodeFormatError}
	}
	ask := q.Question[0]
	switch {
	case p == nil, ask.Qclass != dns.ClassINET, ask.Qtype == dns.TypeAXFR, ask.Qtype == dns.TypeIXFR, ask.Qtype == dns.TypeANY:
		return judgement{rcode: dns.RcodeRefused}
	}
	name := nameOf(ask)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761
		if ask.Qtype != dns.TypeA {
			return judgement{}
		}
		return judgement{addr: []dns.RR{newA(ask.Name, netip.AddrFrom4([4]byte{127, 0, 0, 1}), time.Hour)}}
	}
	ports, listed := p.names[name]
	switch {
	case !p.internet && !listed:
		// Not REFUSED, of which programs think that it may be different soon.
		return judgement{rcode: dns.RcodeNameError, why: "the name is not in the function's network list"}
	case ask.Qtype == dns.TypeAAAA, !p.internet && ask.Qtype != dns.TypeA:
		return judgement{} // no data
	case p.internet:
		return judgement{resolve: true}
	}
	return judgement{resolve: true, ports: ports}
}

// nameOf is what is asked about, as policies have it.
func nameOf(q dns.Question) string { return strings.ToLower(strings.TrimSuffix(q.Name, ".")) }

func newA(owner string, a netip.Addr, ttl time.Duration) *dns.A {
	return &dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)}, A: a.AsSlice()}
}

// filter takes out of an answer what it must not tell: addresses of IPv6, and
// those that tells does not know. It reports whether it took any of the latter.
func filter(m *dns.Msg, tells func(netip.Addr) bool) (filtered bool) {
	for _, section := range []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra} {
		var kept []dns.RR
		for _, rr := range *section {
			switch rr := rr.(type) {
			case *dns.OPT, *dns.AAAA:
				continue
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); !ok || !tells(a) {
					filtered = true
					continue
				}
			case *dns.HTTPS:
				rr.Value = withoutHints(rr.Value)
			case *dns.SVCB:
				rr.Value = withoutHints(rr.Value)
			}
			kept = append(kept, rr)
		}
		*section = kept
	}
	return filtered
}

// withoutHints leaves a service's addresses to questions about its name.
func withoutHints(values []dns.SVCBKeyValue) []dns.SVCBKeyValue {
	var kept []dns.SVCBKeyValue
	for _, v := range values {
		if k := v.Key(); k != dns.SVCB_IPV4HINT && k != dns.SVCB_IPV6HINT {
			kept = append(kept, v)
		}
	}
	return kept
}

// maxChain is how many names an answer may lead through.
const maxChain = 8

// addresses follows an answer from name to its addresses. next is where it
// leads on, if it ends with another name.
func addressesIn(m *dns.Msg, name string) (as []netip.Addr, ttl time.Duration, next string) {
	least := ^uint32(0)
	for range maxChain {
		next = ""
		for _, rr := range m.Answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					as = append(as, a)
					least = min(least, rr.Hdr.Ttl)
				}
			case *dns.CNAME:
				next = rr.Target
				least = min(least, rr.Hdr.Ttl)
			}
		}
		if len(as) > 0 || next == "" {
			return as, time.Duration(least) * time.Second, ""
		}
		if !hasOwner(m, next) {
			return nil, time.Duration(least) * time.Second, next
		}
		name = next
	}
	return nil, 0, ""
}

func hasOwner(m *dns.Msg, name string) bool {
	for _, rr := range m.Answer {
		if strings.EqualFold(rr.Header().Name, name) {
			return true
		}
	}
	return false
}

// Bounds of how long an answer is kept.
const (
	maxKept      = time.Hour
	maxKeptEmpty = time.Minute
)

// lifetime is how long an answer is right: its least TTL, and of one without
// records what its zone says (RFC 2308).
func lifetime(m *dns.Msg) time.Duration {
	least, bound := ^uint32(0), maxKept
	for _, rr := range m.Answer {
		least = min(least, rr.Header().Ttl)
	}
	if len(m.Answer) == 0 {
		bound = maxKeptEmpty
		least = 5
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				least = min(soa.Hdr.Ttl, soa.Minttl)
			}
		}
	}
	return min(time.Duration(least)*time.Second, bound)
}

// aged is a copy of an answer after a time in the cache.
func aged(m *dns.Msg, age time.Duration) *dns.Msg {
	c := m.Copy()
	for _, section := range [][]dns.RR{c.Answer, c.Ns, c.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(h.Ttl, uint32(age/time.Second))
			}
		}
	}
	return c
}

// checkAnswer says whether an upstream's answer is one to the question.
func checkAnswer(q dns.Question, m *dns.Msg) error {
	if !m.Response || len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Name) || m.Question[0].Qtype != q.Qtype {
		return fmt.Errorf("the resolver answers another question than %s", q.Name)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return fmt.Errorf("the resolver answers %s about %s", dns.RcodeToString[m.Rcode], q.Name)
	}
	return nil
}

// replyTo begins an answer. why, if it is not empty, is what was filtered.
func replyTo(q *dns.Msg, rcode int, why string) *dns.Msg {
	r := new(dns.Msg).SetRcode(q, rcode)
	r.RecursionAvailable = true
	if q.IsEdns0() != nil {
		r.SetEdns0(udpAnswer, false)
		if why != "" {
			opt := r.IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeFiltered, ExtraText: why})
		}
	}
	return r
}

// udpSize is the largest answer that whoever asks takes by UDP.
func udpSize(q *dns.Msg) int {
	if opt := q.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), udpAnswer)
	}
	return dns.MinMsgSize
}
