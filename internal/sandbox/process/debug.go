//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// PID implements environment.Process: what the kernel says of the pidfd
// (pidfd_open(2), "fdinfo").
func (p *program) PID() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, os.ErrProcessDone
	}
	raw, err := p.pidfd.SyscallConn() // File.Fd would make it block
	if err != nil {
		return 0, err
	}
	var info []byte
	if cerr := raw.Control(func(fd uintptr) {
		info, err = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	}); cerr != nil || err != nil {
		err = errors.Join(cerr, err)
		return 0, fmt.Errorf("find the program's process: %w", err)
	}
	_, rest, _ := bytes.Cut(info, []byte("\nPid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil || pid <= 0 {
		return 0, os.ErrProcessDone
	}
	return pid, nil
}

// Dial implements environment.Process.
func (p *program) Dial(ctx context.Context, port int) (net.Conn, error) {
	pid, err := p.PID()
	if err != nil {
		return nil, err
	}
	ns, err := openNetns(pid)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return dialAt(ctx, int(ns.Fd()), port)
}
