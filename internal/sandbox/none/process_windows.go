package none

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// process is a program and its job, in which its descendants are too. The job
// ends with the node.
type process struct {
	cmd *exec.Cmd
	dir string // its own
	log *slog.Logger

	mu    sync.Mutex
	job   windows.Handle // 0 once all of it has ended
	ended bool
	used  sandbox.Usage
}

// killed is the exit status of what Kill ends, which no program has by itself.
const killed = 0x67757374

// attributes put the program in a group of its own, which Ctrl-Break is for.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// newProcess takes a command that has started. If it fails, the command has been
// ended.
func newProcess(cmd *exec.Cmd, dir string, log *slog.Logger) (_ *process, err error) {
	p := &process{cmd: cmd, dir: dir, log: log}
	defer func() {
		if err == nil {
			return
		}
		err = errors.Join(fmt.Errorf("making its job: %w", err), cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		if p.job != 0 {
			windows.CloseHandle(p.job)
		}
	}()
	if p.job, err = windows.CreateJobObject(nil, nil); err != nil {
		return nil, err
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err = windows.SetInformationJobObject(p.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return nil, err
	}
	program, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(program)
	return p, windows.AssignProcessToJobObject(p.job, program)
}

func (p *process) Terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		// Without a console nobody is asked: Kill follows.
		_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.cmd.Process.Pid))
	}
}

func (p *process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.job == 0 {
		return
	}
	if err := windows.TerminateJobObject(p.job, killed); err != nil {
		p.log.Error("a program could not be ended", "pid", p.cmd.Process.Pid, "error", err)
	}
}

// Freeze and Thaw have nothing to do: see the package's comment.
func (p *process) Freeze() error { return nil }
func (p *process) Thaw() error   { return nil }

// Wait implements environment.Process.
func (p *process) Wait() sandbox.Exit {
	_ = p.cmd.Wait() // its state tells
	p.Kill()         // what it has left behind
	state := p.cmd.ProcessState
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look()
	p.ended = true
	if state != nil {
		p.used.CPU = state.UserTime() + state.SystemTime()
	}
	p.used.Memory = 0
	windows.CloseHandle(p.job)
	p.job = 0
	if state == nil {
		return sandbox.Exit{Outcome: gust.OutcomeSandbox}
	}
	switch code := uint32(state.ExitCode()); {
	case code == killed:
		return sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGKILL)}
	case windows.NTStatus(code) == windows.STATUS_ACCESS_VIOLATION:
		return sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGSEGV)}
	default:
		return sandbox.Exit{Outcome: gust.OutcomeExit, Status: int(code)}
	}
}

// look asks the job for the highest memory that it has used. The caller holds
// mu.
func (p *process) look() {
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if err := windows.QueryInformationJobObject(p.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)), nil); err == nil {
		p.used.PeakMemory = max(p.used.PeakMemory, int64(limits.PeakJobMemoryUsed))
	}
}

// Usage implements environment.Process. What is used now is not known, only the
// peak.
func (p *process) Usage() sandbox.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.job != 0 {
		p.look()
	}
	return p.used
}
