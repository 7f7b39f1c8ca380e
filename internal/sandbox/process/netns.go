//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// httpPort is where an http program serves, in its own network namespace.
const httpPort = 8080

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
	return dialAt(ctx, ns, httpPort)
}

// dialAt connects to a port of a network namespace's loopback. A socket belongs
// to the namespace of the thread that made it, wherever it is used later.
func dialAt(ctx context.Context, ns, port int) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var home bool
		if conn, home, err = dialIn(ctx, ns, port); home {
			runtime.UnlockOSThread()
		} // else the thread is in the wrong namespace, and ends with us
	}()
	<-done
	return conn, err
}

// dialIn dials from within a network namespace. home tells that the thread is
// back in its own.
func dialIn(ctx context.Context, ns, port int) (conn net.Conn, home bool, err error) {
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, true, err
	}
	defer unix.Close(own)
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return nil, true, fmt.Errorf("enter the environment's network: %w", err)
	}
	conn, err = new(net.Dialer).DialContext(ctx, "tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if herr := unix.Setns(own, unix.CLONE_NEWNET); herr != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, false, fmt.Errorf("come back from the environment's network: %w", herr)
	}
	return conn, true, err
}
