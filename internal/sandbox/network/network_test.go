//go:build linux

package network_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/network"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
)

// bareEnv makes the test's binary a node that opens its network and says how
// that went.
const bareEnv = "GUST_NETWORK_TEST_BARE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(bareEnv); dir != "" {
		_, err := network.Open(network.Options{NodeID: "bare", Notes: dir})
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(networktest.Main(m))
}

func TestWithoutRightsItSaysWhatToGrant(t *testing.T) {
	networktest.New(t)
	for _, right := range []int{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), bareEnv+"="+t.TempDir())
		var out []byte
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread has lost a right
			if err = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(right), 0, 0, 0); err == nil {
				out, err = cmd.CombinedOutput()
			}
		}()
		<-done
		if text := string(out); err != nil || !strings.Contains(text, "grant CAP_NET_ADMIN and CAP_SYS_ADMIN") || !strings.Contains(text, "network: none") {
			t.Errorf("without capability %d: %s, %v", right, text, err)
		}
		if left := networktest.Left(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// open makes a node's network in the world w.
func open(t testing.TB, w *networktest.World, changes ...func(*network.Options)) *network.Network {
	t.Helper()
	o := network.Options{NodeID: t.Name(), Ports: []uint16{7080}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if w != nil {
		o.Upstreams = append(o.Upstreams, w.Resolver())
	}
	for _, c := range changes {
		c(&o)
	}
	n, err := network.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// place is a namespace that stands for an environment.
type place struct {
	*network.Link
	t  testing.TB
	ns *os.File
}

func attach(t testing.TB, n *network.Network, allow gust.Network) *place {
	t.Helper()
	ns, err := network.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, ns: ns}
	p.in(func() error { return network.BringUp("lo") })
	if p.Link, err = n.Attach(int(ns.Fd())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); ns.Close() })
	if allow.Mode != "" {
		if err := p.Allow(allow); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func internet() gust.Network { return gust.Network{Mode: gust.NetworkInternet} }

func list(entries ...string) gust.Network {
	return gust.Network{Mode: gust.NetworkList, Allow: entries}
}

func (p *place) in(f func() error) {
	p.t.Helper()
	if err := network.In(int(p.ns.Fd()), f); err != nil {
		p.t.Fatal(err)
	}
}

// dial asks who answers at an address; the error is how it was refused.
func (p *place) dial(proto, addr string) (answer string, err error) {
	err = network.In(int(p.ns.Fd()), func() error {
		c, err := net.DialTimeout(proto, addr, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		if strings.HasPrefix(proto, "udp") {
			c.Write([]byte("hello"))
		}
		answer, err = bufio.NewReader(c).ReadString('\n')
		return err
	})
	return answer, err
}

func (p *place) reaches(proto, addr string) string {
	p.t.Helper()
	answer, err := p.dial(proto, addr)
	if err != nil || !strings.Contains(answer, " at "+addr) {
		p.t.Errorf("%s %s: answered %q, %v", proto, addr, answer, err)
	}
	return answer
}

func (p *place) refused(proto, addr string) {
	p.t.Helper()
	begin := time.Now()
	answer, err := p.dial(proto, addr)
	if err == nil {
		p.t.Errorf("%s %s is reached: %q", proto, addr, answer)
		return
	}
	if strings.Contains(err.Error(), "i/o timeout") && time.Since(begin) > time.Second {
		p.t.Errorf("%s %s is refused by silence: %v", proto, addr, err)
	}
}

// ask asks the environment's resolver.
func (p *place) ask(proto, name string, kind uint16) *dns.Msg {
	p.t.Helper()
	var r *dns.Msg
	p.in(func() error {
		c, err := net.Dial(proto, gust.Resolver+":53")
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		conn := &dns.Conn{Conn: c}
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
		if err := conn.WriteMsg(q); err != nil {
			return err
		}
		r, err = conn.ReadMsg()
		return err
	})
	return r
}

func (p *place) told(name string, want ...string) {
	p.t.Helper()
	var got []string
	for _, rr := range p.ask("udp", name, dns.TypeA).Answer {
		if a, ok := rr.(*dns.A); ok {
			got = append(got, a.A.String())
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		p.t.Errorf("%s is told as %v, want %v", name, got, want)
	}
}

func at(addr string) string { return fmt.Sprintf("%s:%d", addr, networktest.Port) }

func TestInternetReachesPublicAddressesAlone(t *testing.T) {
	w := networktest.New(t)
	w.Name("example.com", networktest.Public)
	p := attach(t, open(t, w), internet())
	if answer := p.reaches("tcp", at(networktest.Public)); !strings.HasPrefix(answer, networktest.Host+":") {
		t.Errorf("it comes from %q, want the host's address", answer)
	}
	p.reaches("udp", at(networktest.Public))
	p.told("example.com", networktest.Public)
	for _, proto := range []string{"tcp", "udp"} {
		for _, a := range []string{networktest.Private, networktest.Metadata, networktest.Host, networktest.HostPrivate, "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1", "0.0.0.0", "240.0.0.1"} {
			p.refused(proto, at(a))
		}
	}
}

func TestListsReachWhatTheyList(t *testing.T) {
	w := networktest.New(t)
	w.Name("api.test", networktest.Public)
	w.Name("www.test", "->api.test")
	w.Name("other.test", networktest.Other)
	n := open(t, w)
	name := fmt.Sprintf("api.test:%d", networktest.Port)
	p := attach(t, n, list(name, at(networktest.Private), fmt.Sprintf("WWW.test:%d", networktest.Port), at(networktest.HostPrivate)))
	p.refused("tcp", at(networktest.Public)) // nobody has asked for its name
	p.told("api.test", networktest.Public)
	p.reaches("tcp", at(networktest.Public))
	p.reaches("udp", at(networktest.Public))
	p.reaches("tcp", at(networktest.Private))
	if err := networktest.Answer(t, networktest.HostPrivate, networktest.Port); err != nil {
		t.Fatal(err)
	}
	p.reaches("tcp", at(networktest.HostPrivate))
	p.refused("tcp", networktest.HostPrivate+":22")
	p.refused("tcp", fmt.Sprintf("%s:%d", networktest.Public, networktest.Port+1))
	p.refused("tcp", at(networktest.Other))
	p.refused("tcp", at(networktest.Metadata))

	w.Asked()
	for _, name := range []string{"other.test", "x.api.test", "secret.tunnel.test", "test", "."} {
		if r := p.ask("udp", name, dns.TypeA); r.Rcode != dns.RcodeNameError || len(r.Answer) > 0 {
			t.Errorf("%s is answered %v", name, r)
		}
	}
	for _, kind := range []uint16{dns.TypeTXT, dns.TypeAAAA, dns.TypeCNAME, dns.TypeMX, dns.TypeNULL} {
		if r := p.ask("tcp", "api.test", kind); r.Rcode != dns.RcodeSuccess || len(r.Answer) > 0 {
			t.Errorf("type %d is answered %v", kind, r)
		}
	}
	if asked := w.Asked(); len(asked) > 0 {
		t.Errorf("the upstream was asked for %v", asked)
	}
	p.told("www.test", networktest.Public)
}

// A name's owner may not lead into the neighbourhood.
func TestNamesThatLeadInsideAreNotTold(t *testing.T) {
	w := networktest.New(t)
	w.Name("rebind.test", networktest.Private+" "+networktest.Public+" 127.0.0.1 169.254.169.254 0.0.0.0")
	n := open(t, w)
	p := attach(t, n, internet())
	p.told("rebind.test", networktest.Public)
	q := attach(t, n, list(fmt.Sprintf("rebind.test:%d", networktest.Port)))
	q.told("rebind.test", networktest.Public)
	q.reaches("tcp", at(networktest.Public))
	q.refused("tcp", at(networktest.Private))
	r := attach(t, n, list("rebind.test:1", at(networktest.Private)))
	r.told("rebind.test", networktest.Private, networktest.Public)
	r.reaches("tcp", at(networktest.Private))
}

func TestTheHostsLoopbackIsPassedOn(t *testing.T) {
	networktest.New(t)
	n := open(t, nil)
	if err := networktest.Answer(t, "127.0.0.1", 7001); err != nil {
		t.Fatal(err)
	}
	p := attach(t, n, list("localhost:7001", "127.0.0.1:7001", "127.0.0.1:7002"))
	p.reaches("tcp", "127.0.0.1:7001")
	// A connection that stays open is counted while it does.
	p.in(func() error {
		c, err := net.Dial("tcp", "localhost:7001")
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		r := bufio.NewReader(c)
		r.ReadString('\n')
		before := p.BytesOut()
		c.Write([]byte("a question"))
		_, err = r.ReadByte()
		if got := p.BytesOut() - before; got != int64(len("a question")) {
			t.Errorf("%d bytes are counted", got)
		}
		return err
	})
	p.refused("tcp", "127.0.0.1:7002")
	p.refused("tcp", "127.0.0.1:7003")
	q := attach(t, n, internet())
	q.refused("tcp", "127.0.0.1:7001")
	for _, port := range []string{"localhost:7080", "127.0.0.1:7080"} {
		if err := n.Check(list(port)); !errors.Is(err, network.ErrDenied) || !strings.Contains(err.Error(), "the node's own port") {
			t.Errorf("%s: %v", port, err)
		}
	}
}

func TestEnvironmentsDoNotReachEachOther(t *testing.T) {
	w := networktest.New(t)
	n := open(t, w)
	p, q := attach(t, n, internet()), attach(t, n, internet())
	q.in(func() error { return networktest.Answer(t, q.Addr().String(), networktest.Port) })
	p.refused("tcp", at(q.Addr().String()))
	p.refused("udp", at(q.Addr().String()))
	l := attach(t, n, list(at(q.Addr().String())))
	l.refused("tcp", at(q.Addr().String()))
	if c, err := net.DialTimeout("tcp", at(q.Addr().String()), 500*time.Millisecond); err == nil {
		c.Close()
		t.Error("the host's programs reach into an environment")
	}
}

func TestWhatIsSentIsCounted(t *testing.T) {
	w := networktest.New(t)
	p := attach(t, open(t, w), internet())
	before := p.BytesOut()
	const sent = 1 << 20
	p.in(func() error {
		c, err := net.Dial("tcp", at(networktest.Public))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(make([]byte, sent))
		c.(*net.TCPConn).CloseWrite()
		bufio.NewReader(c).ReadString(0)
		return err
	})
	if got := p.BytesOut() - before; got < sent || got > sent*11/10 {
		t.Errorf("%d bytes are counted, %d were sent", got, sent)
	}
}

// An address that has been given back opens nothing for who has it next.
func TestAnEndedEnvironmentsConnectionsEnd(t *testing.T) {
	w := networktest.New(t)
	n := open(t, w)
	p := attach(t, n, list(at(networktest.Public)))
	var c net.Conn
	p.in(func() (err error) { c, err = net.Dial("tcp", at(networktest.Public)); return err })
	defer c.Close()
	r := bufio.NewReader(c)
	r.ReadString('\n')
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write([]byte("more"))
	if _, err := r.ReadByte(); err != nil {
		t.Fatal("the connection does not live:", err)
	}
	p.Close()
	c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	c.Write([]byte("more"))
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection lives on")
	}
}

func TestNothingIsLeft(t *testing.T) {
	networktest.New(t)
	dir := t.TempDir()
	n, err := network.Open(network.Options{NodeID: "left", Notes: dir})
	if err != nil {
		t.Fatal(err)
	}
	p := attach(t, n, internet())
	p.reaches("tcp", at(networktest.Public))
	p.Close()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if left := networktest.Left(t); len(left) > 0 {
		t.Errorf("left: %s", left)
	}
	if b, _ := os.ReadFile("/proc/sys/net/ipv4/conf/wan0/forwarding"); strings.TrimSpace(string(b)) != "0" {
		t.Error("the host forwards on")
	}
	if files, _ := filepath.Glob(dir + "/*"); len(files) > 0 {
		t.Errorf("files: %v", files)
	}
}

// A port of the host's that its own rules lead elsewhere is the host's still.
func TestPortsThatTheHostTranslatesAreItsOwn(t *testing.T) {
	w := networktest.New(t)
	n := open(t, w)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	nat := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "published"})
	t.Cleanup(func() { conn.DelTable(nat); conn.Flush() })
	c := conn.AddChain(&nftables.Chain{Name: "in", Table: nat, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	conn.AddRule(&nftables.Rule{Table: nat, Chain: c, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: net.ParseIP(networktest.Host).To4()},
		&expr.Immediate{Register: 1, Data: net.ParseIP(networktest.Private).To4()},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	p := attach(t, n, internet())
	p.refused("tcp", at(networktest.Host))
	q := attach(t, n, list(at(networktest.Host)))
	if answer, err := q.dial("tcp", at(networktest.Host)); err != nil || !strings.Contains(answer, networktest.Private) {
		t.Errorf("listed, it answers %q, %v", answer, err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	w := networktest.New(t)
	n := open(t, w)
	p, q := attach(t, n, internet()), attach(t, n, internet())
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var refused error
	p.in(func() error {
		for len(conns) < 2000 && refused == nil {
			c, err := net.Dial("tcp", at(networktest.Public))
			if err != nil {
				refused = err
				break
			}
			conns = append(conns, c)
		}
		return nil
	})
	if !errors.Is(refused, unix.ECONNREFUSED) || len(conns) < 1000 || len(conns) > 1100 {
		t.Errorf("%d connections, then %v", len(conns), refused)
	}
	q.reaches("tcp", at(networktest.Public))
}

func forwards(t *testing.T, dev string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + dev + "/forwarding")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b)) == "1"
}

func TestNodesOnOneMachineShareItsForwarding(t *testing.T) {
	w := networktest.New(t)
	one, err := network.Open(network.Options{NodeID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	two := open(t, w)
	p := attach(t, two, internet())
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	p.reaches("tcp", at(networktest.Public))
	p.Close()
	if !forwards(t, "wan0") {
		t.Error("the other node's forwarding is off")
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if forwards(t, "wan0") {
		t.Error("the last node has left forwarding on")
	}
}

// TestTheHostForwardsForEnvironmentsAlone: what was no router stays none.
func TestTheHostForwardsForEnvironmentsAlone(t *testing.T) {
	w := networktest.New(t)
	open(t, w)
	other, err := network.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan0"}, PeerName: "far0", PeerNamespace: netlink.NsFd(other.Fd())}))
	lan, err := netlink.LinkByName("lan0")
	must(err)
	defer netlink.LinkDel(lan)
	must(netlink.AddrAdd(lan, &netlink.Addr{IPNet: netlink.NewIPNet(net.IPv4(192, 168, 77, 1))}))
	must(netlink.LinkSetUp(lan))
	must(network.In(int(other.Fd()), func() error {
		far, err := netlink.LinkByName("far0")
		if err != nil {
			return err
		}
		to := &netlink.Route{LinkIndex: far.Attrs().Index, Gw: net.IPv4(192, 168, 77, 1), Flags: int(netlink.FLAG_ONLINK)}
		return errors.Join(netlink.AddrAdd(far, &netlink.Addr{IPNet: netlink.NewIPNet(net.IPv4(192, 168, 77, 2))}), netlink.LinkSetUp(far), netlink.RouteAdd(to))
	}))
	must(netlink.RouteAdd(&netlink.Route{LinkIndex: lan.Attrs().Index, Dst: netlink.NewIPNet(net.IPv4(192, 168, 77, 2))}))
	must(w.In(func() error { // an answer would find its way
		return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(networktest.Host), Dst: netlink.NewIPNet(net.IPv4(192, 168, 77, 2))})
	}))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !forwards(t, "lan0"); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("an interface that comes later does not forward")
		}
	}
	far := &place{t: t, ns: other}
	if answer, err := far.dial("tcp", at(networktest.Public)); err == nil {
		t.Errorf("the host routes for others: %q", answer)
	}
	if answer, err := far.dial("tcp", at(networktest.Private)); err == nil {
		t.Errorf("the host routes for others: %q", answer)
	}
}

func TestAHostThatDropsWhatIsForwardedIsToldOf(t *testing.T) {
	networktest.New(t)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	t.Cleanup(func() { conn.DelTable(table); conn.Flush() })
	policy := nftables.ChainPolicyDrop
	conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	warnings := open(t, nil).Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "table filter, chain FORWARD") || !strings.Contains(warnings[0], "iptables -I FORWARD -i gust+ -j ACCEPT") {
		t.Errorf("it says %q", warnings)
	}
}

// A name opens its addresses for as long as its answer is right; what is open
// then stays open, and asking again opens again.
func TestNamesOpenForTheirTTL(t *testing.T) {
	w := networktest.New(t)
	w.Name("api.test", networktest.Public)
	n := open(t, w)
	n.ForgetAfter(time.Second) // as long as the upstream says
	p := attach(t, n, list(fmt.Sprintf("api.test:%d", networktest.Port)))
	p.told("api.test", networktest.Public)
	var c net.Conn
	p.in(func() (err error) { c, err = net.Dial("tcp", at(networktest.Public)); return err })
	defer c.Close()
	r := bufio.NewReader(c)
	r.ReadString('\n')
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		if _, err := p.dial("tcp", at(networktest.Public)); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is open still")
		}
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write([]byte("more"))
	if _, err := r.ReadByte(); err != nil {
		t.Error("what was open is not any more:", err)
	}
	p.told("api.test", networktest.Public)
	p.reaches("tcp", at(networktest.Public))
}
