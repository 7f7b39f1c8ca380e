//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPidfd opens a child that nobody else waits for, so its pid is still its
// own. The file can be waited for without holding a thread.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// newPidfd makes a file that can be waited for of a pidfd, which is its own
// from then on.
func newPidfd(fd int) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("wait for a process: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// waitEnded waits until a process has ended, and does not reap it: somebody
// else does, or cannot while it is frozen.
func waitEnded(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Read(hasEnded)
	}
}

// hasEnded reports whether a pidfd's process has ended.
func hasEnded(fd uintptr) bool {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

// waitPidfd waits until a child has ended and reaps it.
func waitPidfd(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return // closed: was waited for
	}
	raw.Read(func(fd uintptr) bool {
		for {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOHANG, nil)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
				return false
			case err == nil && info.Signo == 0:
				return false
			}
			return true
		}
	})
}

func pidfdSignal(f *os.File, sig unix.Signal) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
}

func wait4(pid int) {
	var st unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &st, 0, nil); err != unix.EINTR {
			return
		}
	}
}
