//go:build unix

package none

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// process is a program and its process group.
type process struct {
	cmd *exec.Cmd
	pid int    // the group's id too
	dir string // its own
	log *slog.Logger

	// mu guards the group's id: once gone is set, the system may give it to
	// somebody else.
	mu    sync.Mutex
	gone  bool
	ended bool
	used  sandbox.Usage // what Usage has seen, or the last word once ended
}

// newProcess takes a command that has started.
func newProcess(cmd *exec.Cmd, dir string, log *slog.Logger) (*process, error) {
	return &process{cmd: cmd, pid: cmd.Process.Pid, dir: dir, log: log}, nil
}

// signal sends sig to target (a process, or a group if negative), if it is
// still this program's.
func (p *process) signal(target int, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	if err := syscall.Kill(target, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return os.NewSyscallError("kill", err)
	}
	return nil
}

func (p *process) Terminate() { p.tell(p.pid, syscall.SIGTERM) }

func (p *process) Kill() { p.tell(-p.pid, syscall.SIGKILL) }

func (p *process) tell(target int, sig syscall.Signal) {
	// macOS answers EPERM for a group of which only zombies are left.
	if err := p.signal(target, sig); err != nil && !errors.Is(err, syscall.EPERM) {
		p.log.Error("a program could not be ended", "pid", p.pid, "signal", sig.String(), "error", err)
	}
}

// Freeze waits until the first process has stopped: its threads do so one by one.
func (p *process) Freeze() error {
	if err := p.signal(-p.pid, syscall.SIGSTOP); err != nil {
		return err
	}
	awaitStop(p.pid)
	return nil
}

func (p *process) Thaw() error { return p.signal(-p.pid, syscall.SIGCONT) }

// goneWait bounds how long what the program left behind may take to die.
const goneWait = 100 * time.Millisecond

// Wait implements environment.Process.
func (p *process) Wait() sandbox.Exit {
	// While the first process is a zombie, the group's id cannot be anybody
	// else's.
	held := awaitExit(p.pid)
	if held {
		p.Kill()
	}
	err := p.cmd.Wait()
	if !held {
		p.Kill()
	}
	p.mu.Lock()
	p.see(used(p.cmd.ProcessState))
	p.ended = true
	p.mu.Unlock()

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(goneWait); p.alive() && time.Now().Before(deadline); {
		<-tick.C
	}
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	return exitOf(p.cmd.ProcessState, err)
}

// alive reports whether anything of the group is left.
func (p *process) alive() bool { return syscall.Kill(-p.pid, 0) == nil }

// exitOf tells how a process has ended.
func exitOf(state *os.ProcessState, err error) sandbox.Exit {
	if state == nil {
		return sandbox.Exit{Outcome: gust.OutcomeSandbox}
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		return sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(status.Signal())}
	case ok && status.Exited():
		return sandbox.Exit{Outcome: gust.OutcomeExit, Status: status.ExitStatus()}
	}
	return sandbox.Exit{Outcome: gust.OutcomeSandbox}
}

// used is what the system says a process has used when it has ended.
func used(state *os.ProcessState) sandbox.Usage {
	u := sandbox.Usage{}
	if state == nil {
		return u
	}
	u.CPU = state.UserTime() + state.SystemTime()
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.PeakMemory = int64(r.Maxrss) * maxrssUnit
	}
	return u
}

// Usage implements environment.Process.
func (p *process) Usage() sandbox.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.see(running(p.pid))
	}
	return p.used
}

// see keeps what only grows from going back: the system counts in more than
// one way, and each is a little off. The caller holds mu.
func (p *process) see(u sandbox.Usage) {
	p.used = sandbox.Usage{
		Memory:     u.Memory,
		PeakMemory: max(p.used.PeakMemory, u.PeakMemory),
		CPU:        max(p.used.CPU, u.CPU),
	}
}
