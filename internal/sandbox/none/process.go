package none

import (
	"context"
	"net"
	"os"
	"strconv"

	"github.com/gust-dev/gust/internal/sandbox/environment"
)

var _ environment.Process = (*process)(nil)

// What is the same on all systems.

// SetInit has nothing to do: there are no CPU limits.
func (p *process) SetInit(bool) error { return nil }

// BytesOut is not known: its network is the host's.
func (p *process) BytesOut() int64 { return 0 }

// PID implements environment.Process.
func (p *process) PID() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, os.ErrProcessDone
	}
	return p.cmd.Process.Pid, nil
}

// Dial implements environment.Process: its loopback is the host's.
func (p *process) Dial(ctx context.Context, port int) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// Release implements environment.Process.
func (p *process) Release() {
	if err := os.RemoveAll(p.dir); err != nil {
		p.log.Error("an environment's folder was not removed", "error", err)
	}
}
