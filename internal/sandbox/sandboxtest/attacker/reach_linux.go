package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// reach tries to reach what the targets name, each by every means there is, and
// says of each what came of it: "tcp 10.0.0.1:80", "name a.test = 1.2.3.4".
func reach(f *findings, ev wire.Event) {
	const patience = 3 * time.Second
	say := func(what string, err error) {
		if err == nil {
			f.gained("%s", what)
		} else {
			f.refused("%s: %v", what, err)
		}
	}
	for _, addr := range ev.Targets.TCP {
		say("tcp "+addr, func() error {
			c, err := net.DialTimeout("tcp", addr, patience)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			_, err = bufio.NewReader(c).ReadString('\n')
			return err
		}())
	}
	for _, addr := range ev.Targets.UDP {
		say("udp "+addr, func() error {
			c, err := net.Dial("udp", addr)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write([]byte(ev.Targets.Token)); err != nil {
				return err
			}
			_, err = bufio.NewReader(c).ReadString('\n')
			return err
		}())
	}
	for _, name := range ev.Targets.Names {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		addrs, err := net.DefaultResolver.LookupHost(ctx, name)
		cancel()
		if err == nil {
			f.gained("name %s = %s", name, strings.Join(addrs, " "))
		} else {
			f.refused("name %s: %v", name, err)
		}
		if len(ev.Targets.Resolvers) == 0 {
			continue
		}
		for _, server := range append([]string{gust.Resolver + ":53"}, ev.Targets.Resolvers...) {
			for _, kind := range []uint16{16, 10, 5, 28, 255} { // TXT, NULL, CNAME, AAAA, ANY
				for _, proto := range []string{"udp", "tcp"} {
					n, err := records(proto, server, name, kind)
					if err == nil && n == 0 {
						err = errors.New("no data")
					}
					say(fmt.Sprintf("%d records of type %d of %s from %s over %s", n, kind, name, server, proto), err)
				}
			}
		}
	}
}

// records asks a resolver and counts what it answers.
func records(proto, server, name string, kind uint16) (int, error) {
	c, err := net.DialTimeout(proto, server, time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	q := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = binary.BigEndian.AppendUint16(append(q, 0), kind)
	q = append(q, 0, 1)
	if proto == "tcp" {
		q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	if _, err := c.Write(q); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096)
	at := 0
	if proto == "tcp" {
		at = 2
	}
	n, err := io.ReadAtLeast(c, answer, at+12)
	if err != nil {
		return 0, err
	}
	if rcode := answer[at+3] & 15; rcode != 0 {
		return 0, fmt.Errorf("code %d", rcode)
	}
	return int(binary.BigEndian.Uint16(answer[at+6 : n])), nil
}

// serveNetwork answers on a port of all the environment's addresses, until the
// environment ends, and says as gained what those are.
func serveNetwork(f *findings, ev wire.Event) {
	at := fmt.Sprintf(":%d", ev.N)
	l, err := net.Listen("tcp", at)
	if err != nil {
		f.refused("listen: %v", err)
		return
	}
	p, err := net.ListenPacket("udp", at)
	if err != nil {
		f.refused("listen: %v", err)
		return
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "the neighbour")
			c.Close()
		}
	}()
	go func() {
		buf := make([]byte, 512)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo([]byte("the neighbour\n"), from)
		}
	}()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		f.refused("addresses: %v", err)
	}
	for _, a := range addrs {
		f.gained("%s", a)
	}
}

// sendNetwork sends so many bytes to an address.
func sendNetwork(f *findings, ev wire.Event) {
	c, err := net.Dial("tcp", ev.Text)
	if err == nil {
		_, err = c.Write(make([]byte, ev.Size))
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	f.try("send", err)
}
