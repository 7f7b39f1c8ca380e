package main

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// hostNetwork tries to reach what listens on the host.
func hostNetwork(f *findings, ev wire.Event) {
	const patience = 500 * time.Millisecond
	dial := func(network, addr string) {
		conn, err := net.DialTimeout(network, addr, patience)
		if err == nil {
			conn.Close()
		}
		f.try("dial "+network+" "+addr, err)
	}
	for _, addr := range ev.Targets.TCP {
		dial("tcp", addr)
	}
	dial("unix", "@"+ev.Targets.Abstract)
	dial("unix", ev.Targets.Unix)
	dial("unix", "/proc/1/root"+ev.Targets.Unix)
	dial("unix", "/run/systemd/private")
	dial("unix", "/run/dbus/system_bus_socket")
	dial("unix", "/var/run/docker.sock")
	// The link-local services of clouds.
	dial("tcp", "169.254.169.254:80")
	dial("tcp", "169.254.170.2:80")
	// A datagram is sent without an answer: the listener tells whether it came.
	for _, addr := range ev.Targets.UDP {
		conn, err := net.Dial("udp", addr)
		if err == nil {
			_, err = conn.Write([]byte(ev.Targets.Token))
			conn.SetReadDeadline(time.Now().Add(patience / 2))
			if err == nil {
				_, err = conn.Read(make([]byte, 16))
			}
			conn.Close()
		}
		f.try("send to udp "+addr, err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		f.refused("interfaces: %v", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			f.gained("sees the interface %s, %v", i.Name, i.Flags)
		}
	}
}

// socketFamilies tries what no function needs: only UNIX, INET, INET6 and
// NETLINK's ROUTE may be opened, and nothing raw.
func socketFamilies(f *findings, _ wire.Event) {
	allowed := map[int]bool{unix.AF_UNIX: true, unix.AF_INET: true, unix.AF_INET6: true, unix.AF_NETLINK: true}
	for family := range 50 {
		if allowed[family] {
			continue
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			f.socket(family, kind, 0)
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []int{unix.SOCK_RAW, unix.SOCK_PACKET} {
			f.socket(family, kind, unix.IPPROTO_RAW)
			f.socket(family, kind, unix.IPPROTO_ICMP)
		}
	}
	for protocol := 1; protocol < 24; protocol++ { // 0 is ROUTE
		f.socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol)
	}
	// The kernel looks at 32 bits of the family; a filter has to as well.
	f.call("socket(PACKET with high bits)", unix.SYS_SOCKET, unix.AF_PACKET|1<<32, unix.SOCK_RAW, 0)
	f.call("socket(NETLINK with high bits, AUDIT)", unix.SYS_SOCKET, unix.AF_NETLINK|1<<32, unix.SOCK_RAW, unix.NETLINK_AUDIT)
	f.call("socketpair(TIPC)", unix.SYS_SOCKETPAIR, unix.AF_TIPC, unix.SOCK_STREAM, 0, 0)
	// What has to go on working.
	for _, family := range []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		kind := unix.SOCK_DGRAM
		if family == unix.AF_NETLINK {
			kind = unix.SOCK_RAW
		}
		if fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err == nil {
			unix.Close(fd)
		} else if family != unix.AF_INET6 {
			f.gained("family %d, which is needed, is refused: %v", family, err)
		}
	}
}

func (f *findings) socket(family, kind, protocol int) {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
		f.gained("socket(%d, %d, %d)", family, kind, protocol)
		return
	}
	f.refused("socket(%d, %d, %d): %v", family, kind, protocol, err)
}

// netlinkRoute tries to change the network it is in by the one netlink family
// that it may open, and to look into others.
func netlinkRoute(f *findings, _ wire.Event) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		f.refused("socket: %v", err)
		return
	}
	defer unix.Close(fd)
	// RTM_NEWLINK and RTM_NEWADDR with create and acknowledge.
	for name, kind := range map[string]byte{"make a link": 16, "remove a link": 17, "add an address": 20, "add a route": 24, "add a rule": 32, "name a namespace": 88} {
		message := make([]byte, 48)
		message[0] = byte(len(message))
		message[4] = kind
		message[6], message[7] = 0x05, 0x06 // request, acknowledge, create, exclusive
		message[16] = unix.AF_INET
		message[20] = 1 // the interface lo, where the message has one
		if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			f.refused("%s: %v", name, err)
			continue
		}
		answer := make([]byte, 4096)
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil || n < 20 || answer[4] != unix.NLMSG_ERROR {
			f.refused("%s: no answer, %v", name, err)
			continue
		}
		code := int32(uint32(answer[16]) | uint32(answer[17])<<8 | uint32(answer[18])<<16 | uint32(answer[19])<<24)
		if code == 0 {
			f.gained("%s", name)
			continue
		}
		f.refused("%s: %v", name, unix.Errno(-code))
	}
	if s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		ifr, _ := unix.NewIfreq("lo")
		ifr.SetUint16(0)
		f.try("take lo down", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
		f.try("attach a device's name", unix.SetsockoptString(s, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "eth0"))
		f.try("mark packets", unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_MARK, 1))
		f.try("force a buffer", unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<30))
		unix.Close(s)
	}
	for _, ns := range []string{"/proc/1/ns/net", "/run/netns", "/var/run/netns"} {
		if os.Getpid() == 1 && ns == "/proc/1/ns/net" {
			continue
		}
		f.try("open "+ns, try(os.Open(ns)))
	}
}
