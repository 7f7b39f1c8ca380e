//go:build linux

package network

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forwarding lets the host's interfaces pass on what comes back for
// environments. Linux forwards what an interface has received only if that
// interface forwards. Where one did not before, what is neither from nor for an
// environment is dropped as before (hostRules.closed), and Close turns it off
// again, unless another node on the machine still needs it.
//
// What was turned on is noted for the whole machine, in a folder that ends with
// it: a node that was killed may never be started again, and then the next one
// cleans up after it, whichever that is.
type forwarding struct {
	notes string // a folder with a file for each interface
	netns string // the host's namespace, by which notes are told apart
	log   *slog.Logger
	host  *hostRules
	on    []*net.Interface
}

func forwardingFile(dev string) string { return "/proc/sys/net/ipv4/conf/" + dev + "/forwarding" }

// note is the file that says that an interface forwards because of a node. An
// interface that has the number of one that is gone is told by its name.
func (f *forwarding) note(dev *net.Interface) string {
	return filepath.Join(f.notes, fmt.Sprintf("%s-%d-%s", f.netns, dev.Index, dev.Name))
}

// open undoes what killed nodes have left, and turns on what is needed.
func (f *forwarding) open(h *hostRules) error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return err
	}
	f.host, f.netns = h, fmt.Sprint(st.Ino)
	if err := os.MkdirAll(f.notes, 0o700); err != nil {
		return err
	}
	devs, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, dev := range devs {
		if _, err := os.Stat(f.note(&dev)); err == nil {
			f.on = append(f.on, &dev)
		}
	}
	if err := f.restore(); err != nil {
		return err
	}
	return f.update()
}

// update turns on what has a route and does not forward yet, and takes part in
// what another node has turned on.
func (f *forwarding) update() error {
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Type: unix.RTN_UNICAST}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	if err != nil {
		return fmt.Errorf("read the host's routes: %w", err)
	}
	others, err := closedByOthers(f.host.Name)
	if err != nil {
		return err
	}
	for _, r := range routes {
		dev, err := net.InterfaceByIndex(r.LinkIndex)
		if err != nil || dev.Flags&net.FlagLoopback != 0 || strings.HasPrefix(dev.Name, "gust") ||
			slices.ContainsFunc(f.on, func(on *net.Interface) bool { return on.Index == dev.Index }) {
			continue
		}
		b, err := os.ReadFile(forwardingFile(dev.Name))
		if err != nil || strings.TrimSpace(string(b)) == "1" && !slices.Contains(others, dev.Index) {
			continue // it is not there any more, or forwards because somebody wants it to
		}
		// First what drops, then the note, then what lets through.
		if err := f.host.edit(nil, []elements{{f.host.closed, []nftables.SetElement{{Key: number(dev.Index)}}}}); err != nil {
			return err
		}
		f.on = append(f.on, dev)
		if err := os.WriteFile(f.note(dev), nil, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(forwardingFile(dev.Name), []byte("1"), 0); err != nil {
			return fmt.Errorf("let the host forward what comes back for functions: %w", err)
		}
	}
	return nil
}

// restore turns off what was turned on, unless another node needs it.
func (f *forwarding) restore() error {
	others, err := closedByOthers(f.host.Name)
	if err != nil {
		return err
	}
	for _, dev := range f.on {
		if slices.Contains(others, dev.Index) {
			continue
		}
		if err := os.WriteFile(forwardingFile(dev.Name), []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("turn the host's forwarding off again: %w", err)
		}
		if err := os.Remove(f.note(dev)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f.on = nil
	return nil
}

func (f *forwarding) close() error {
	if f.host == nil {
		return nil
	}
	return f.restore()
}

// closedByOthers are the interfaces that other nodes on the machine have turned
// forwarding on for.
func closedByOthers(own string) (indexes []int, err error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return nil, fmt.Errorf("read the tables of the packet filter: %w", err)
	}
	for _, t := range tables {
		if t.Name == own || !strings.HasPrefix(t.Name, hostTable) {
			continue
		}
		s, err := conn.GetSetByName(t, "closed")
		if err != nil {
			continue // it is being removed
		}
		es, err := conn.GetSetElements(s)
		if err != nil {
			continue
		}
		for _, e := range es {
			if len(e.Key) == 4 {
				indexes = append(indexes, int(binaryutil.NativeEndian.Uint32(e.Key)))
			}
		}
	}
	return indexes, nil
}

// watch keeps up with the host's interfaces until done: a laptop changes its.
func (f *forwarding) watch(done <-chan struct{}) {
	changes := make(chan netlink.RouteUpdate)
	stop := make(chan struct{})
	if err := netlink.RouteSubscribe(changes, stop); err != nil {
		f.log.Warn("changes of the host's interfaces are not seen", "error", err)
		return
	}
	for {
		select {
		case _, ok := <-changes:
			if !ok {
				f.log.Warn("changes of the host's interfaces are not seen any more")
				return
			}
			if err := f.update(); err != nil {
				f.log.Warn("the host's new interface does not forward for functions", "error", err)
			}
		case <-done:
			close(stop)
			for range changes { // until the subscription has ended
			}
			return
		}
	}
}

// dropping names the host's other filters that let nothing through that they do
// not know. What one filter drops no other can let through.
func dropping() (warnings []string) {
	conn, err := nftables.New()
	if err != nil {
		return nil
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil
	}
	for _, c := range chains {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop ||
			c.Table.Family != nftables.TableFamilyIPv4 && c.Table.Family != nftables.TableFamilyINet {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("the host's packet filter forwards only what it knows (table %s, chain %s; Docker does so): "+
			"functions reach the network once it accepts the interfaces gust*: iptables -I FORWARD -i gust+ -j ACCEPT; "+
			"iptables -I FORWARD -o gust+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT (with Docker in the chain DOCKER-USER)", c.Table.Name, c.Name))
	}
	return warnings
}
