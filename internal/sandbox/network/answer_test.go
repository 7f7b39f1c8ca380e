package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	gust "github.com/gust-dev/gust"
)

func mustPolicy(t testing.TB, entries ...string) *policy {
	t.Helper()
	n := gust.Network{Mode: gust.NetworkInternet}
	if len(entries) > 0 {
		n = gust.Network{Mode: gust.NetworkList, Allow: entries}
	}
	p, err := newPolicy(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQuestionsAreJudged(t *testing.T) {
	everything, some := mustPolicy(t), mustPolicy(t, "api.test:443", "api.test:80", "10.0.0.0/8:5432")
	for _, c := range []struct {
		policy  *policy
		name    string
		kind    uint16
		rcode   int
		resolve bool
		answers int
	}{
		{everything, "a.test.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{everything, "a.test.", dns.TypeTXT, dns.RcodeSuccess, true, 0},
		{everything, "a.test.", dns.TypeAAAA, dns.RcodeSuccess, false, 0},
		{everything, "a.test.", dns.TypeANY, dns.RcodeRefused, false, 0},
		{everything, "a.test.", dns.TypeAXFR, dns.RcodeRefused, false, 0},
		{everything, "LocalHost.", dns.TypeA, dns.RcodeSuccess, false, 1},
		{everything, "x.localhost.", dns.TypeAAAA, dns.RcodeSuccess, false, 0},
		{some, "api.test.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{some, "API.Test.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{some, "api.test.", dns.TypeAAAA, dns.RcodeSuccess, false, 0},
		{some, "api.test.", dns.TypeTXT, dns.RcodeSuccess, false, 0},
		{some, "x.api.test.", dns.TypeA, dns.RcodeNameError, false, 0},
		{some, "test.", dns.TypeA, dns.RcodeNameError, false, 0},
		{some, ".", dns.TypeNS, dns.RcodeNameError, false, 0},
		{some, "x.api.test.", dns.TypeTXT, dns.RcodeNameError, false, 0},
		{nil, "api.test.", dns.TypeA, dns.RcodeRefused, false, 0},
	} {
		j := judge(new(dns.Msg).SetQuestion(c.name, c.kind), c.policy)
		if j.rcode != c.rcode || j.resolve != c.resolve || len(j.addr) != c.answers {
			t.Errorf("%s type %d: %+v, want code %d, resolve %v", c.name, c.kind, j, c.rcode, c.resolve)
		}
	}
	for what, q := range map[string]*dns.Msg{
		"an update":     {MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeUpdate}, Question: []dns.Question{{Name: "a.test.", Qtype: 1, Qclass: 1}}},
		"no question":   {},
		"two questions": {Question: []dns.Question{{Name: "a.test.", Qtype: 1, Qclass: 1}, {Name: "b.test.", Qtype: 1, Qclass: 1}}},
		"chaos":         {Question: []dns.Question{{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}}},
	} {
		if j := judge(q, everything); j.resolve || j.rcode == dns.RcodeSuccess {
			t.Errorf("%s: %+v", what, j)
		}
	}
}

func TestPoliciesKnowAddresses(t *testing.T) {
	p := mustPolicy(t, "10.0.0.0/8:5432", "0.0.0.0/0:443", "10.1.0.0/16:5432", "192.168.1.1:80")
	if len(p.prefixes) != 3 {
		t.Errorf("%v are kept, want one less", p.prefixes)
	}
	for _, c := range []struct {
		addr  string
		port  uint16
		opens bool
		tells bool
	}{
		{"10.1.2.3", 5432, true, true},
		{"10.1.2.3", 443, false, true}, // a prefix of everything opens nothing private
		{"192.168.1.1", 80, true, true},
		{"192.168.1.2", 80, false, false},
		{"172.16.0.1", 443, false, false},
		{"203.0.113.1", 443, true, true},
		{"203.0.113.1", 80, false, true},
		{"169.254.169.254", 443, false, false},
		{"127.0.0.1", 443, false, false},
		{"0.0.0.0", 443, false, false},
		{"224.0.0.1", 443, false, false},
	} {
		a := netip.MustParseAddr(c.addr)
		if got := p.opens(a, c.port); got != c.opens {
			t.Errorf("%s:%d opens: %v", c.addr, c.port, got)
		}
		if got := p.tells(a); got != c.tells {
			t.Errorf("%s tells: %v", c.addr, got)
		}
	}
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnswersAreFollowedAndFiltered(t *testing.T) {
	m := &dns.Msg{Answer: []dns.RR{
		rr(t, "www.test. 300 IN CNAME edge.test."), rr(t, "edge.test. 60 IN A 203.0.113.1"), rr(t, "edge.test. 90 IN A 10.0.0.1"),
		rr(t, "stray.test. 1 IN A 203.0.113.9"), rr(t, "edge.test. 5 IN AAAA 2001:db8::1"),
		rr(t, "www.test. 300 IN HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1 ipv6hint=2001:db8::1"),
	}}
	as, ttl, next := addressesIn(m, "WWW.test.")
	if want := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.0.0.1")}; !slices.Equal(as, want) || ttl != time.Minute || next != "" {
		t.Errorf("followed to %v for %v, %q", as, ttl, next)
	}
	if !filter(m, isPublic) {
		t.Error("nothing was filtered")
	}
	text := m.String()
	for _, no := range []string{"10.0.0.1", "AAAA", "hint"} {
		if strings.Contains(text, no) {
			t.Errorf("%s is told:\n%s", no, text)
		}
	}
	open := &dns.Msg{Answer: []dns.RR{rr(t, "a.test. 7 IN CNAME b.test.")}}
	if as, _, next := addressesIn(open, "a.test."); len(as) != 0 || next != "b.test." {
		t.Errorf("followed to %v, %q", as, next)
	}
	loop := &dns.Msg{Answer: []dns.RR{rr(t, "a.test. 7 IN CNAME b.test."), rr(t, "b.test. 7 IN CNAME a.test.")}}
	if as, _, next := addressesIn(loop, "a.test."); len(as) != 0 || next != "" {
		t.Errorf("a loop leads to %v, %q", as, next)
	}
	if d := lifetime(m); d != time.Second {
		t.Errorf("it is kept for %v", d)
	}
	if d := lifetime(&dns.Msg{Ns: []dns.RR{rr(t, "test. 3600 IN SOA a. b. 1 2 3 4 30")}}); d != 30*time.Second {
		t.Errorf("nothing is kept for %v", d)
	}
	if left := aged(open, 5*time.Second).Answer[0].Header().Ttl; left != 2 {
		t.Errorf("%d s are left", left)
	}
}

func TestQuestionsAreRationed(t *testing.T) {
	a := newAccount()
	now := time.Now()
	asked := 0
	for a.begin(now) {
		asked++
	}
	if asked != maxAsking {
		t.Errorf("%d at once, want %d", asked, maxAsking)
	}
	for range asked {
		a.end()
	}
	for a.begin(now) {
		asked++
		a.end()
	}
	if asked != maxRate {
		t.Errorf("%d in a burst, want %d", asked, maxRate)
	}
	if !a.begin(now.Add(time.Second / 100)) {
		t.Error("none a moment later")
	}
}

func TestAddressesAreUsedAgainLate(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("198.18.64.0/18"))
	first, _ := a.take()
	if a.at(first) != netip.MustParseAddr("198.18.64.4") {
		t.Errorf("the first is %v", a.at(first))
	}
	a.give(first)
	for n := 1; ; n++ {
		got, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		if got == first {
			if n < 16000 {
				t.Errorf("used again after %d", n)
			}
			break
		}
	}
	if _, err := a.take(); err != errNoAddress {
		t.Errorf("more than there are: %v", err)
	}
	seen := map[netip.Prefix]bool{}
	for _, p := range pools("node") {
		if seen[p] || p != p.Masked() || !isPrivatePrefix(p) {
			t.Errorf("the pool %v", p)
		}
		seen[p] = true
	}
}

// FuzzMessage: what a program asks and what an upstream answers, whatever it
// is, leads to an answer that tells no address that is not to be told.
func FuzzMessage(f *testing.F) {
	for _, m := range []*dns.Msg{
		new(dns.Msg).SetQuestion("api.test.", dns.TypeA),
		new(dns.Msg).SetQuestion("localhost.", dns.TypeA).SetEdns0(4096, true),
		{MsgHdr: dns.MsgHdr{Response: true}, Question: []dns.Question{{Name: "api.test.", Qtype: 1, Qclass: 1}}, Answer: []dns.RR{
			rr(f, "api.test. 300 IN CNAME b.test."), rr(f, "b.test. 60 IN A 10.0.0.1"), rr(f, "b.test. 60 IN AAAA ::1"),
			rr(f, "b.test. 300 IN HTTPS 1 . ipv4hint=10.0.0.1")}},
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	policies := []*policy{nil, mustPolicy(f), mustPolicy(f, "api.test:443", "10.0.0.1:80")}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, p := range policies {
			j := judge(m, p)
			r := replyTo(m, j.rcode, j.why)
			r.Answer = j.addr
			r.Truncate(udpSize(m))
			if j.resolve && len(m.Question) != 1 {
				t.Error("it is resolved, and has not one question")
			}
			if packed, err := r.Pack(); err == nil && len(packed) > udpAnswer {
				t.Errorf("an answer of %d bytes", len(packed))
			}
		}
		if len(m.Question) > 0 {
			checkAnswer(m.Question[0], m)
			addressesIn(m, m.Question[0].Name)
		}
		if d := lifetime(m); d < 0 || d > maxKept {
			t.Errorf("kept for %v", d)
		}
		c := aged(m, time.Hour)
		filter(c, isPublic)
		for _, rr := range slices.Concat(c.Answer, c.Ns, c.Extra) {
			switch rr := rr.(type) {
			case *dns.AAAA:
				t.Errorf("it tells %v", rr)
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); !ok || !isPublic(a) {
					t.Errorf("it tells %v", rr)
				}
			}
		}
	})
}
