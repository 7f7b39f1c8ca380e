package none

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox"
)

// maxrssUnit is what getrusage counts memory in, in bytes.
const maxrssUnit = 1024

// attributes put the program in a group of its own, which dies with the node.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit blocks until a child has ended, and leaves it to be waited for.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err == nil
		}
	}
}

// stopPatience bounds how long awaitStop waits: a thread that waits for a disk
// stops when it has what it waits for.
const stopPatience = 100 * time.Millisecond

// awaitStop returns when all threads of a child have stopped, or it has ended.
func awaitStop(pid int) {
	for end := time.Now().Add(stopPatience); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if err != nil && err != unix.EINTR || info.Signo != 0 {
			return
		}
	}
}

// clockTick is USER_HZ, which Linux fixes at 100 for what it shows in /proc.
const clockTick = time.Second / 100

// running is what a process has used so far, from proc_pid_status(5) and
// proc_pid_stat(5). The process is there as long as it has not been waited
// for.
func running(pid int) sandbox.Usage {
	var u sandbox.Usage
	dir := "/proc/" + strconv.Itoa(pid)
	if status, err := os.ReadFile(dir + "/status"); err == nil {
		u.Memory = kilobytes(status, "RssAnon:") + kilobytes(status, "RssShmem:")
		u.PeakMemory = max(kilobytes(status, "VmHWM:"), u.Memory)
	}
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		// The second field, the name, may hold anything up to its ")".
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 12 {
			user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
			system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
			u.CPU = time.Duration(user+system) * clockTick
		}
	}
	return u
}

func kilobytes(status []byte, name string) int64 {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	value, _, _ := bytes.Cut(rest, []byte(" kB"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
	return n * 1024
}
