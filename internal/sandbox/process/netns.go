//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/network"
)

// openNetns opens the network namespace of a process.
func openNetns(pid int) (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("open the environment's network: %w", err)
	}
	return f, nil
}

// dial connects to an http program in its network namespace.
func (p *program) dial(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	if p.netns == nil {
		p.mu.Unlock()
		return nil, net.ErrClosed
	}
	ns, err := unix.FcntlInt(p.netns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	p.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("open the environment's network: %w", err)
	}
	defer unix.Close(ns)
	return dialAt(ctx, ns, gust.HTTPPort)
}

// dialAt connects to a port of a network namespace's loopback.
func dialAt(ctx context.Context, ns, port int) (conn net.Conn, err error) {
	err = network.In(ns, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp4", "127.0.0.1:"+strconv.Itoa(port))
		return err
	})
	if err != nil && conn != nil {
		conn.Close()
		conn = nil
	}
	return conn, err
}
