//go:build linux

// Package networktest is a world for tests of networks: the test's process is
// moved to a network namespace of its own, which is "the host", and beside it
// the test makes another one, which is everything outside. The machine that the
// test runs on is not touched.
package networktest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/network"
)

// Addresses of the world.
const (
	Host        = "192.0.2.1"       // the host's public one
	HostPrivate = "10.9.1.1"        // the host's private one
	Public      = "203.0.113.10"    // a server on the internet
	Other       = "203.0.113.11"    // another one
	Private     = "10.9.0.5"        // a machine in the host's neighbourhood
	Metadata    = "169.254.169.254" // where clouds tell secrets
	Upstream    = "203.0.113.53"    // the host's resolver
	Port        = 7000              // where all of them answer, over TCP and UDP
)

const movedEnv = "GUST_NETWORKTEST_MOVED"

// Main runs a package's tests in a network namespace of their own, if the
// process is root; else as they are.
func Main(m *testing.M) int {
	if code, moved := Move(); moved {
		return code
	}
	return m.Run()
}

// Move runs the process once more, in a network namespace of its own, and
// returns its exit status; or not, where it is not root or has been moved.
func Move() (code int, moved bool) {
	if os.Geteuid() != 0 {
		return 0, false
	}
	if os.Getenv(movedEnv) != "" {
		if err := network.BringUp("lo"); err != nil {
			fmt.Fprintln(os.Stderr, "lo of the tests' network namespace:", err)
			os.Exit(1)
		}
		return 0, false
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), movedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	runtime.LockOSThread() // whose end the kernel takes for ours
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		return exit.ExitCode(), true
	case err != nil:
		fmt.Fprintln(os.Stderr, "the tests get no network namespace:", err)
		return 1, true
	}
	return 0, true
}

// World is what is outside of the host.
type World struct {
	// Outside is its namespace.
	Outside *os.File

	mu    sync.Mutex
	names map[string]string // what the upstream answers: addresses, or "->name"
	asked []string
}

// New makes the world, which the end of the test removes. It skips where Main
// could not move the process.
func New(t testing.TB) *World {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv(movedEnv) == "" {
		t.Skip("a world of networks needs root, and a network namespace of the test's own")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &World{names: map[string]string{}}
	var err error
	w.Outside, err = network.NewNamespace()
	must(err)
	up := func(name string, addrs ...string) error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, addr); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wan0", MTU: 1400}, PeerName: "isp",
		PeerNamespace: netlink.NsFd(w.Outside.Fd()), PeerMTU: 1400}))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName("wan0"); err == nil {
			netlink.LinkDel(l)
		}
		w.Outside.Close()
	})
	must(up("lo", HostPrivate+"/32"))
	must(up("wan0", Host+"/24"))
	must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("192.0.2.254")}))
	must(os.WriteFile("/proc/sys/net/ipv4/conf/wan0/forwarding", []byte("0"), 0))
	must(w.In(func() error {
		return errors.Join(up("isp", "192.0.2.254/24"),
			up("lo", Public+"/32", Other+"/32", Private+"/32", Metadata+"/32", Upstream+"/32"))
	}))
	for _, a := range []string{Public, Other, Private, Metadata} {
		must(w.In(func() error { return Answer(t, a, Port) }))
	}
	must(w.In(func() error { return w.upstream(t) }))
	return w
}

// In runs f outside.
func (w *World) In(f func() error) error { return network.In(int(w.Outside.Fd()), f) }

// Answer answers whoever connects to, or sends to, an address of the calling
// thread's namespace with the address that it sees and the one it was asked at,
// and each further word with a dot.
func Answer(t testing.TB, addr string, port int) error {
	at := net.JoinHostPort(addr, fmt.Sprint(port))
	l, err := net.Listen("tcp4", at)
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	end := make(chan struct{})
	t.Cleanup(func() { l.Close(); p.Close(); close(end); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				fmt.Fprintf(c, "%s at %s\n", c.RemoteAddr(), at)
				wg.Go(func() { <-end; c.Close() })
				for buf := make([]byte, 64<<10); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
					c.Write([]byte("."))
				}
			})
		}
	})
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(fmt.Appendf(nil, "%s at %s\n", from, at), from)
		}
	})
	return nil
}

// Name makes the upstream answer name with addresses or, as "->other", another
// name; separated by spaces.
func (w *World) Name(name, answers string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[dns.CanonicalName(name)] = answers
}

// Asked is what the upstream has been asked, in order, and forgets it.
func (w *World) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.asked
	w.asked = nil
	return a
}

// Resolver is the upstream's place.
func (w *World) Resolver() netip.AddrPort { return netip.MustParseAddrPort(Upstream + ":53") }

func (w *World) upstream(t testing.TB) error {
	udp, err := net.ListenPacket("udp4", Upstream+":53")
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp4", Upstream+":53")
	if err != nil {
		return err
	}
	for _, s := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		s.Handler = dns.HandlerFunc(w.reply)
		done := make(chan struct{})
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(done); s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { s.Shutdown(); <-done })
	}
	return nil
}

// reply answers A, AAAA and TXT of the names that there are, each for a second.
func (w *World) reply(to dns.ResponseWriter, q *dns.Msg) {
	ask := q.Question[0]
	w.mu.Lock()
	w.asked = append(w.asked, strings.TrimSuffix(ask.Name, "."))
	answers, known := w.names[dns.CanonicalName(ask.Name)]
	w.mu.Unlock()
	r := new(dns.Msg).SetReply(q)
	if !known {
		r.Rcode = dns.RcodeNameError
	}
	head := dns.RR_Header{Name: ask.Name, Rrtype: ask.Qtype, Class: dns.ClassINET, Ttl: 1}
	for answer := range strings.FieldsSeq(answers) {
		target, alias := strings.CutPrefix(answer, "->")
		switch ip := net.ParseIP(answer); {
		case alias:
			head.Rrtype = dns.TypeCNAME
			r.Answer = append(r.Answer, &dns.CNAME{Hdr: head, Target: dns.Fqdn(target)})
		case ask.Qtype == dns.TypeA && ip.To4() != nil:
			r.Answer = append(r.Answer, &dns.A{Hdr: head, A: ip})
		case ask.Qtype == dns.TypeAAAA && ip != nil && ip.To4() == nil:
			r.Answer = append(r.Answer, &dns.AAAA{Hdr: head, AAAA: ip})
		case ask.Qtype == dns.TypeTXT:
			r.Answer = append(r.Answer, &dns.TXT{Hdr: head, Txt: []string{"secret"}})
		}
	}
	if _, udp := to.RemoteAddr().(*net.UDPAddr); udp {
		r.Truncate(512)
	}
	to.WriteMsg(r)
}

// Left is what there is of nodes' networks in the host's namespace.
func Left(t testing.TB) (left []string) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "gust") {
			left = append(left, "the interface "+l.Name)
		}
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if strings.HasPrefix(table.Name, "gust") {
			left = append(left, "the table "+table.Name)
		}
	}
	return left
}
