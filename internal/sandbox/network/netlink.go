//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// In runs f on a thread that is in the network namespace ns. A socket belongs
// to the namespace of the thread that made it, wherever it is used later.
func In(ns int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open the thread's network namespace: %w", err)
			return
		}
		defer unix.Close(home)
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("enter a network namespace: %w", err)
			return
		}
		err = f()
		if herr := unix.Setns(home, unix.CLONE_NEWNET); herr != nil {
			// The thread is in the wrong namespace, and ends with us.
			done <- errors.Join(err, fmt.Errorf("come back from a network namespace: %w", herr))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// NewNamespace makes a network namespace, which lives as long as the file and
// what is in it.
func NewNamespace() (*os.File, error) {
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	var made *os.File
	err = In(int(here.Fd()), func() (err error) { // for its way back
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		made, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return made, err
}

// step is one request to the kernel's routing socket; what names it in errors.
type step struct {
	what string
	*nl.NetlinkRequest
}

func request(what string, kind, flags int, data ...nl.NetlinkRequestData) step {
	r := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	for _, d := range data {
		r.AddData(d)
	}
	return step{what, r}
}

// link is one end of a pair.
type link struct {
	name  string
	index int // 0 lets the kernel choose
	// ns is a file of the namespace it is made in, -1 for the socket's.
	ns int
}

// pairMAC is both ends' address. Neither end asks for addresses (NOARP): the
// kernel then takes its own for that of whoever is meant, which is right where
// only one can be meant.
var pairMAC = []byte{0x02, 'g', 'u', 's', 't', 0}

// newPair makes two ends, of which only the first is up: the second cannot be
// before it has the first. One queue each: the sysfs objects of more are most
// of what a pair costs on a machine with many processors.
func newPair(a, b link, mtu int) step {
	attrs := func(l link) []*nl.RtAttr {
		as := []*nl.RtAttr{
			nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(l.name)),
			nl.NewRtAttr(unix.IFLA_ADDRESS, pairMAC),
			nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))),
			nl.NewRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1)),
			nl.NewRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1)),
		}
		if l.ns >= 0 {
			as = append(as, nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(l.ns))))
		}
		return as
	}
	head := func(l link, flags uint32) *nl.IfInfomsg {
		m := nl.NewIfInfomsg(unix.AF_UNSPEC)
		m.Index, m.Flags, m.Change = int32(l.index), flags, flags
		return m
	}
	data := []nl.NetlinkRequestData{head(a, unix.IFF_UP|unix.IFF_NOARP)}
	for _, at := range attrs(a) {
		data = append(data, at)
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	peer.AddChild(head(b, unix.IFF_NOARP))
	for _, at := range attrs(b) {
		peer.AddChild(at)
	}
	return request("make a pair of interfaces (veth)", unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, append(data, info)...)
}

// linkUp brings an interface up.
func linkUp(index int) step {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = int32(index), unix.IFF_UP, unix.IFF_UP
	return request("bring an interface up", unix.RTM_NEWLINK, 0, m)
}

// newAddress gives an interface an address, alone on its link.
func newAddress(index int, a netip.Addr) step {
	m := nl.NewIfAddrmsg(unix.AF_INET)
	m.Prefixlen, m.Index = 32, uint32(index)
	return request("give an interface the address "+a.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m,
		nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
}

// newRoute leads to a prefix over an interface; with via by a neighbour there,
// whether or not the address is on the link. flags say what of another route
// to the prefix.
func newRoute(to netip.Prefix, index int, via, src netip.Addr, flags int) step {
	m := nl.NewRtMsg()
	m.Family, m.Dst_len = unix.AF_INET, uint8(to.Bits())
	m.Scope = unix.RT_SCOPE_LINK
	data := []nl.NetlinkRequestData{m, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index)))}
	if to.Bits() > 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_DST, to.Addr().AsSlice()))
	}
	if via.IsValid() {
		m.Scope = unix.RT_SCOPE_UNIVERSE
		m.Flags |= unix.RTNH_F_ONLINK
		data = append(data, nl.NewRtAttr(unix.RTA_GATEWAY, via.AsSlice()))
	}
	if src.IsValid() {
		data = append(data, nl.NewRtAttr(unix.RTA_PREFSRC, src.AsSlice()))
	}
	return request("make a route to "+to.String(), unix.RTM_NEWROUTE, unix.NLM_F_CREATE|flags, data...)
}

// router is a routing socket of the kernel's, in the namespace of the thread
// that made it.
type router struct {
	mu  sync.Mutex
	fd  int
	buf [8192]byte
}

func newRouter() (*router, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a routing socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open a routing socket: %w", err)
	}
	// Errors come without a copy of the request.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &router{fd: fd}, nil
}

func (r *router) close() { unix.Close(r.fd) }

// do carries the steps out, one after the other, with one call: the kernel
// goes on after one that fails. The error is the first.
func (r *router) do(steps ...step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	for i, s := range steps {
		s.Seq = uint32(i + 1)
		out = append(out, s.Serialize()...)
		for len(out)%unix.NLMSG_ALIGNTO != 0 {
			out = append(out, 0)
		}
	}
	if err := unix.Sendto(r.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask the kernel for a change of the network: %w", err)
	}
	failed := len(steps)
	var errno unix.Errno
	for got := 0; got < len(steps); {
		n, _, err := unix.Recvfrom(r.fd, r.buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("hear from the kernel of a change of the network: %w", err)
		}
		for b := r.buf[:n]; len(b) >= unix.SizeofNlMsghdr+4; {
			size := int(binary.NativeEndian.Uint32(b))
			kind, seq := binary.NativeEndian.Uint16(b[4:]), int(binary.NativeEndian.Uint32(b[8:]))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) || kind != unix.NLMSG_ERROR || seq < 1 || seq > len(steps) {
				return fmt.Errorf("the kernel answers %q in a way that is not known", steps[0].what)
			}
			if code := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); code != 0 && seq-1 < failed {
				failed, errno = seq-1, unix.Errno(-code)
			}
			got++
			b = b[min(len(b), (size+3)&^3):]
		}
	}
	if failed < len(steps) {
		return fmt.Errorf("%s: %w", steps[failed].what, errno)
	}
	return nil
}

// BringUp brings an interface of the calling thread's namespace up.
func BringUp(name string) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	r, err := newRouter()
	if err != nil {
		return err
	}
	defer r.close()
	return r.do(linkUp(dev.Index))
}
