package sandboxtest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// networks: what each network reaches and what it does not, by programs inside,
// in a world that the test made: servers on "the internet", in the host's
// neighbourhood, at the clouds' address for secrets, and on the host itself.
// Everything that must not be reached is there, and answers who gets to it.
func (s *suite) networks(t *testing.T) {
	if !s.caps.Network {
		t.Skip("the backend does not claim networks")
	}
	w := networktest.New(t)
	b := s.backend(t)
	place := func(addr string) string { return fmt.Sprintf("%s:%d", addr, networktest.Port) }
	w.Name("api.test", networktest.Public)
	w.Name("other.test", networktest.Other)
	w.Name("secret.tunnel.test", networktest.Other)
	api := place("api.test")
	// The host's own services, and the node's port, on all its addresses.
	for _, addr := range []string{"127.0.0.1", networktest.Host, networktest.HostPrivate} {
		for _, port := range []int{networktest.Port, nodePort} {
			if err := networktest.Answer(t, addr, port); err != nil {
				t.Fatal(err)
			}
		}
	}
	with := func(t *testing.T, n gust.Network) *env {
		return s.ready(t, b, func(s *sandbox.Spec) { s.Network = n })
	}
	internet := gust.Network{Mode: gust.NetworkInternet}
	list := func(entries ...string) gust.Network {
		return gust.Network{Mode: gust.NetworkList, Allow: entries}
	}
	neighbour := with(t, internet)
	nextDoor := addressOf(t, ask[wire.Findings](t, neighbour, wire.Event{Do: "serve-network", N: networktest.Port}))

	// What no network reaches.
	var never []string
	for _, addr := range slices.Concat(loopbacks, literals, []string{
		networktest.Host, networktest.HostPrivate, networktest.Private, networktest.Metadata, "169.254.170.2", nextDoor,
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1", "240.0.0.1",
		"[::ffff:" + networktest.Private + "]", "[::ffff:" + networktest.Metadata + "]", "[::ffff:" + nextDoor + "]"}) {
		never = append(never, place(addr))
	}
	for _, addr := range append([]string{networktest.Host, networktest.HostPrivate}, loopbacks...) {
		never = append(never, fmt.Sprintf("%s:%d", addr, nodePort))
	}
	// A neighbour's own ways to the node.
	for _, port := range []int{gust.RuntimeAPIPort, gust.APIPort} {
		never = append(never, fmt.Sprintf("%s:%d", nextDoor, port))
	}
	refused := func(t *testing.T, e *env, targets wire.Targets) {
		t.Helper()
		f := ask[wire.Findings](t, e, wire.Event{Do: "reach", Targets: targets})
		for _, gained := range f.Gained {
			t.Errorf("reached: %s", gained)
		}
		if want := len(targets.TCP) + len(targets.UDP) + len(targets.Names); len(f.Refused) < want {
			t.Errorf("%d attempts were refused, want %d at least", len(f.Refused), want)
		}
		if t.Failed() || testing.Verbose() {
			t.Logf("refused:\n%s", strings.Join(f.Refused, "\n"))
		}
	}
	reached := func(t *testing.T, e *env, targets wire.Targets) {
		t.Helper()
		f := ask[wire.Findings](t, e, wire.Event{Do: "reach", Targets: targets})
		for _, addr := range targets.TCP {
			if !slices.Contains(f.Gained, "tcp "+addr) {
				t.Errorf("tcp %s is not reached:\n%s", addr, strings.Join(f.Refused, "\n"))
			}
		}
		for _, addr := range targets.UDP {
			if !slices.Contains(f.Gained, "udp "+addr) {
				t.Errorf("udp %s is not reached:\n%s", addr, strings.Join(f.Refused, "\n"))
			}
		}
	}
	public := []string{place(networktest.Public), place(networktest.Other)}

	t.Run("the internet", func(t *testing.T) {
		reached(t, with(t, internet), wire.Targets{TCP: append(public, api), UDP: public})
	})
	t.Run("all that internet is not", func(t *testing.T) {
		half := len(never) / 2
		for _, part := range [][]string{never[:half], never[half:]} {
			refused(t, with(t, internet), wire.Targets{TCP: part})
		}
		refused(t, with(t, internet), wire.Targets{UDP: []string{place(networktest.Private), place(networktest.Metadata), place(networktest.Host),
			place(networktest.HostPrivate), place("127.0.0.1"), place(nextDoor)}})
	})
	t.Run("no network", func(t *testing.T) {
		refused(t, with(t, gust.Network{Mode: gust.NetworkNone}), wire.Targets{
			TCP: append(public, place(networktest.Host), place(nextDoor), place("127.0.0.1")), UDP: public, Names: []string{"api.test"}})
	})
	t.Run("a list", func(t *testing.T) {
		e := with(t, list(api, place(networktest.Private), place(networktest.HostPrivate), place("localhost")))
		reached(t, e, wire.Targets{TCP: []string{api, place(networktest.Private), place(networktest.HostPrivate), place("localhost"), place("127.0.0.1")},
			UDP: []string{api, place(networktest.Private)}})
		// Beside what is listed, and other ports of it.
		refused(t, e, wire.Targets{TCP: []string{place("other.test"), "api.test:7001", networktest.Private + ":7001",
			place(networktest.Host), place(networktest.Metadata), place(nextDoor), fmt.Sprintf("%s:%d", networktest.HostPrivate, nodePort)}})
	})
	t.Run("the raw address of a name that is not listed", func(t *testing.T) {
		e := with(t, list(api))
		refused(t, e, wire.Targets{TCP: public, UDP: public}) // api.test's too: nobody has asked for it
		reached(t, e, wire.Targets{TCP: []string{api, place(networktest.Public)}})
		refused(t, e, wire.Targets{TCP: []string{place(networktest.Other)}, UDP: []string{place(networktest.Other)}})
	})
	t.Run("DNS rebinding", func(t *testing.T) {
		w.Name("rebind.test", strings.Join([]string{networktest.Private, networktest.Metadata, "127.0.0.1", networktest.HostPrivate, nextDoor, "::1", "fd00::1"}, " "))
		for _, n := range []gust.Network{internet, list(place("rebind.test"))} {
			refused(t, with(t, n), wire.Targets{TCP: []string{place("rebind.test"), place(networktest.Private)}, Names: []string{"rebind.test"}})
		}
		// It was public when it was listed, and leads inside a second later.
		w.Name("turn.test", networktest.Public)
		e := with(t, list(place("turn.test")))
		reached(t, e, wire.Targets{TCP: []string{place("turn.test")}})
		w.Name("turn.test", networktest.Private)
		refused(t, e, wire.Targets{TCP: []string{place(networktest.Private)}})
	})
	t.Run("tunnels over DNS", func(t *testing.T) {
		w.Asked()
		refused(t, with(t, list(api)), wire.Targets{
			Names:     []string{"secret.tunnel.test", "x.api.test", "tunnel.test"},
			Resolvers: []string{networktest.Upstream + ":53", networktest.Public + ":53", "127.0.0.53:53"},
		})
		if asked := w.Asked(); len(asked) > 0 {
			t.Errorf("the upstream was asked for %q", asked)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		for _, n := range []gust.Network{internet, list(api)} {
			var targets wire.Targets
			for _, a := range literals {
				targets.TCP, targets.UDP = append(targets.TCP, place(a)), append(targets.UDP, place(a))
			}
			e := with(t, n)
			refused(t, e, targets)
			for _, a := range ask[wire.Findings](t, e, wire.Event{Do: "serve-network", N: 7002}).Gained {
				if p := netip.MustParsePrefix(a); p.Addr().Is6() && !p.Addr().IsLoopback() {
					t.Errorf("the environment has the address %s", a)
				}
			}
		}
	})
	t.Run("a connection from outside", func(t *testing.T) {
		for _, from := range []func(func() error) error{w.In, func(f func() error) error { return f() }} {
			if err := from(func() error {
				c, err := net.DialTimeout("tcp", place(nextDoor), 500e6)
				if err == nil {
					c.Close()
				}
				return err
			}); err == nil {
				t.Error("somebody outside reaches into an environment")
			}
		}
	})
	t.Run("bytes are counted", func(t *testing.T) {
		e := with(t, list(place(networktest.Public), place("localhost")))
		const sent = 1 << 20
		for _, to := range []string{place(networktest.Public), place("localhost")} {
			before := e.BytesOut()
			for _, gained := range ask[wire.Findings](t, e, wire.Event{Do: "send-network", Text: to, Size: sent}).Refused {
				t.Errorf("%s: %s", to, gained)
			}
			if got := e.BytesOut() - before; got < sent || got > sent*11/10 {
				t.Errorf("%s: %d bytes are counted, %d were sent", to, got, sent)
			}
		}
	})
	echo(t, neighbour)
}

// nodePort is a port of the node's own, as the backend was told.
const nodePort = 7080

// loopbacks are ways to say loopback; literals are of IPv6.
var (
	loopbacks = []string{"127.0.0.1", "localhost", "127.0.0.2", "127.255.255.254", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"}
	literals  = []string{"[2001:db8::10]", "[2606:4700:4700::1111]", "[fd00:ec2::254]", "[fe80::1]", "[64:ff9b::cb00:710a]", "[2002:cb00:710a::1]", "[ff02::1]"}
)

// addressOf is an environment's address, by what it says of itself.
func addressOf(t *testing.T, f wire.Findings) string {
	t.Helper()
	for _, a := range f.Gained {
		if p, err := netip.ParsePrefix(a); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	t.Fatalf("an environment with a network has no address: %v", f)
	return ""
}
