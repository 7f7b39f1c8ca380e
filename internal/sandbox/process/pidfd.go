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
