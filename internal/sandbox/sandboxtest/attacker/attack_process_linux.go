package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// otherProcesses tries to see, signal, read and write processes that are not
// its own.
func otherProcesses(f *findings, ev wire.Event) {
	mine := family()
	for _, pid := range pids() {
		if slices.Contains(mine, pid) || pid == "1" {
			continue
		}
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		f.gained("sees process %s: %q", pid, line)
	}
	for name, pid := range map[string]int{"the node": ev.Targets.PID, "a neighbour": ev.Targets.Neighbour} {
		// The number may be taken in a namespace of our own, by ourselves.
		if pid <= 1 || slices.Contains(mine, fmt.Sprint(pid)) {
			continue
		}
		f.try(fmt.Sprintf("signal %s (%d)", name, pid), unix.Kill(pid, 0))
		f.try(fmt.Sprintf("open a pidfd of %s", name), closed(unix.PidfdOpen(pid, 0)))
		for _, file := range []string{"environ", "maps", "mem", "cmdline", "root/etc/passwd", "cwd/."} {
			path := fmt.Sprintf("/proc/%d/%s", pid, file)
			f.try("open "+path+" of "+name, try(os.Open(path)))
		}
		f.try("read the memory of "+name, peek(pid))
		var limit unix.Rlimit
		f.try("read the limits of "+name, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit))
		_, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
		f.try("read the priority of "+name, err)
	}
	// Every number of the usual range: what answers and is not ours is gained.
	// A signal to a number that /proc hides would answer too.
	for pid := 2; pid < 4096; pid++ {
		if err := unix.Kill(pid, 0); err == nil && !slices.Contains(mine, fmt.Sprint(pid)) {
			if owner, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil {
				f.gained("signals reach process %d, which /proc hides", pid)
			} else if tgid(pid) == pid {
				f.gained("signals reach process %d: %.60s", pid, owner)
			}
		}
	}
	f.refused("signalling 2 to 4095 found nobody else")
}

// tgid is the process that a thread belongs to: kill takes a thread's number
// for its process.
func tgid(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var id int
		if n, _ := fmt.Sscanf(line, "Tgid: %d", &id); n == 1 && id == os.Getpid() {
			return 0
		} else if n == 1 {
			return id
		}
	}
	return 0
}

// otherEnvironments looks in all of /proc for the run's mark in the environment
// of a process that is not ours, as a credential would stand there.
func otherEnvironments(f *findings, ev wire.Event) {
	mine := family()
	found := 0
	for _, pid := range pids() {
		if slices.Contains(mine, pid) {
			continue
		}
		path := "/proc/" + pid + "/environ"
		env, err := os.ReadFile(path)
		if err != nil {
			f.refused("read %s: %v", path, err)
			continue
		}
		if ev.Targets.Mark != "" && strings.Contains(string(env), ev.Targets.Mark) {
			found++
		}
		if len(env) > 0 {
			f.gained("read %s: %d bytes", path, len(env))
		}
	}
	f.refused("%d other environments were found in /proc", found)
}

func closed(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// peek reads a byte of another process; address 0 is no byte, but the check of
// who may read stands before it.
func peek(pid int) error {
	var b [1]byte
	local := []unix.Iovec{{Base: &b[0], Len: 1}}
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&b[0])), Len: 1}}
	_, err := unix.ProcessVMReadv(pid, local, remote, 0)
	return err
}

// ptrace tries to become a debugger of whatever there is.
func ptrace(f *findings, ev wire.Event) {
	f.call("PTRACE_TRACEME", unix.SYS_PTRACE, unix.PTRACE_TRACEME)
	f.call("PTRACE_ATTACH to 1", unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1)
	f.call("PTRACE_SEIZE of 1", unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1)
	f.call("PTRACE_ATTACH to nobody", unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1<<22)
	// Its own child would be allowed to it by the kernel.
	cmd := again("wait")
	if err := cmd.Start(); err != nil {
		f.gained("no child could be started: %v", err)
		return
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid := uintptr(cmd.Process.Pid)
	f.call("PTRACE_SEIZE of a child", unix.SYS_PTRACE, unix.PTRACE_SEIZE, pid)
	f.denied("process_vm_readv of a child", peek(int(pid)))
	var b [1]byte
	local := []unix.Iovec{{Base: &b[0], Len: 1}}
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&b[0])), Len: 1}}
	_, err := unix.ProcessVMWritev(int(pid), local, remote, 0)
	f.denied("process_vm_writev of a child", err)
	f.call("kcmp of a child", unix.SYS_KCMP, pid, pid, 99)
	f.call("pidfd_getfd", unix.SYS_PIDFD_GETFD, ^uintptr(0), 0, 0)
	f.call("process_madvise", unix.SYS_PROCESS_MADVISE, ^uintptr(0), 0, 0, 0, 1)
	f.call("move_pages of a child", unix.SYS_MOVE_PAGES, pid, 0, 0, 0, 0, 1<<30)
	f.call("migrate_pages of a child", unix.SYS_MIGRATE_PAGES, pid, ^uintptr(0), 0, 0)
}

// overwriteStarter: CVE-2019-5736 opened the starter's own program through
// /proc/<pid>/exe and wrote to it once it was no longer running. Opening for
// writing is enough to show it; nothing is written.
func overwriteStarter(f *findings, ev wire.Event) {
	candidates := []string{"/proc/1/exe", "/proc/self/exe", "/proc/thread-self/exe", ev.Targets.Binary}
	for _, pid := range pids() {
		candidates = append(candidates, "/proc/"+pid+"/exe")
	}
	mapped, _ := filepath.Glob("/proc/[0-9]*/map_files/*")
	candidates = append(candidates, mapped...)
	for _, path := range candidates {
		if path == "" {
			continue
		}
		for name, flags := range map[string]int{"write": unix.O_WRONLY, "read and write": unix.O_RDWR, "append": unix.O_WRONLY | unix.O_APPEND} {
			err := closed(unix.Open(path, flags|unix.O_CLOEXEC, 0))
			// A running program refuses by ETXTBSY, which ends with the program:
			// the permission was there.
			if err == unix.ETXTBSY && !strings.HasPrefix(path, "/proc/self") && !ours(path) {
				f.gained("open %s to %s: only because it runs (%v)", path, name, err)
				continue
			}
			f.try("open "+path+" to "+name, err)
		}
		// The way of the exploit: a path descriptor first, written through later.
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			f.refused("open %s as a path: %v", path, err)
			continue
		}
		f.try("write through a path descriptor of "+path,
			closed(unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)))
		f.try("chmod "+path, unix.Fchmodat(unix.AT_FDCWD, path, 0o777, 0))
		f.try("chown "+path, unix.Fchownat(unix.AT_FDCWD, path, os.Getuid(), os.Getgid(), 0))
		unix.Close(fd)
	}
	// PID 1 may be the starter, waiting. Who can name its program can read it.
	if os.Getpid() != 1 {
		f.try("read the program of PID 1", try(os.Open("/proc/1/exe")))
	}
}

// ours says that a path of /proc leads to this very program, whose file the
// kernel protects while it runs and the read-only code folder for ever.
func ours(path string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(self)
	return err == nil && os.SameFile(a, b)
}

// signalInit sends what it may to PID 1.
func signalInit(f *findings, _ wire.Event) {
	if os.Getpid() == 1 {
		f.refused("this program is PID 1")
	}
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGHUP, unix.SIGSTOP, unix.SIGTERM, unix.SIGSEGV, unix.SIGKILL} {
		if os.Getpid() == 1 && (sig == unix.SIGTERM || sig == unix.SIGHUP || sig == unix.SIGUSR1 || sig == unix.SIGSEGV) {
			continue // it would be our own end, and nobody's loss
		}
		f.refused("signal %v to 1: %v", sig, unix.Kill(1, sig))
	}
}

// signalAll ends everything it can reach but itself. Outside of a pid namespace
// that would be the machine, so it looks for one first.
func signalAll(f *findings, _ wire.Event) {
	if n := len(pids()); n > 8 {
		f.gained("%d processes are in sight of kill(-1)", n)
		return
	}
	f.refused("kill(-1, SIGKILL): %v", unix.Kill(-1, unix.SIGKILL))
}
