package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// attacks are known by name. Each tries one way out, or several of a kind, and
// records what it gained and what was refused.
func attacks() map[string]func(*findings, wire.Event) {
	return map[string]func(*findings, wire.Event){
		"descriptors":     inheritedDescriptors,
		"processes":       otherProcesses,
		"environments":    otherEnvironments,
		"credentials":     credentials,
		"files":           hostFiles,
		"handles":         fileHandles,
		"chroot":          chrootEscape,
		"code":            writeCode,
		"root":            writeRoot,
		"links":           links,
		"leavelinks":      leaveLinks,
		"proc":            procTricks,
		"sys":             sysTricks,
		"devices":         deviceNodes,
		"self-exe":        overwriteStarter,
		"network":         hostNetwork,
		"reach":           reach,
		"serve-network":   serveNetwork,
		"send-network":    sendNetwork,
		"sockets":         socketFamilies,
		"netlink":         netlinkRoute,
		"capabilities":    capabilities,
		"setuid":          setuid,
		"setuid-files":    setuidFiles,
		"limits":          raiseLimits,
		"core":            coreDump,
		"modules":         modules,
		"mount":           mounts,
		"namespaces":      namespaces,
		"ptrace":          ptrace,
		"keyrings":        keyrings,
		"io_uring":        ioUring,
		"userfaultfd":     userfaultfd,
		"bpf":             bpf,
		"perf":            perf,
		"terminal":        terminal,
		"system":          systemCalls,
		"unknown":         unknownCalls,
		"foreign":         foreignCalls,
		"forks":           forks,
		"threads":         threads,
		"memory":          memory,
		"memory-children": memoryChildren,
		"memory-shm":      memoryShm,
		"memory-memfd":    memoryMemfd,
		"memory-sysv":     memorySysV,
		"memory-pipes":    memoryPipes,
		"memory-tcp":      memoryTCP,
		"hoard":           hoard,
		"connections":     connections,
		"uploads":         uploads,
		"fill":            fillTmp,
		"inodes":          inodes,
		"deep":            deepFolders,
		"flood":           flood,
		"open":            openFiles,
		"daemon":          daemon,
		"orphans":         orphans,
		"signal-init":     signalInit,
		"signal-all":      signalAll,
		"hog":             hog,
		"before":          before,
	}
}

// refusal is every errno by which a sandbox says no before the kernel looks at
// the arguments.
func refusal(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES)
}

// call makes a system call that has to be refused whatever its arguments are.
// The arguments given are such that the kernel itself would answer with another
// error, or succeed: that counts as gained, because it was reached.
func (f *findings) call(what string, nr uintptr, args ...uintptr) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	switch {
	case errno == 0:
		f.gained("%s succeeded with %d", what, r)
	case refusal(errno):
		f.refused("%s: %v", what, errno)
	default:
		f.gained("%s reached the kernel: %v", what, errno)
	}
}

// denied records an attempt that has to fail by a refusal, whereas try takes
// any failure.
func (f *findings) denied(what string, err error) {
	switch {
	case err == nil:
		f.gained("%s", what)
	case refusal(err):
		f.refused("%s: %v", what, err)
	default:
		f.gained("%s reached the kernel: %v", what, err)
	}
}

// descriptor is one that was open when the program began.
type descriptor struct {
	fd     int
	target string
}

// openDescriptors asks for every number there may be, and opens nothing to
// learn it.
func openDescriptors() []descriptor {
	var open []descriptor
	for fd := range 4096 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			if err != nil {
				target = err.Error()
			}
			// What the Go runtime has opened for itself by now.
			if fd > 2 && (target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]") {
				continue
			}
			open = append(open, descriptor{fd, target})
		}
	}
	return open
}

// inheritedDescriptors: CVE-2024-21626 was a leaked descriptor of a folder
// outside. Only 0, 1 and 2 may be there, and they must lead nowhere else.
func inheritedDescriptors(f *findings, _ wire.Event) {
	for _, d := range f.inherited {
		if d.fd > 2 {
			f.gained("descriptor %d leads to %s", d.fd, d.target)
		}
		if d.fd == 0 && d.target != "/dev/null" || d.fd != 0 && d.fd <= 2 && !strings.HasPrefix(d.target, "pipe:") {
			f.gained("descriptor %d leads to %s", d.fd, d.target)
		}
		var st unix.Stat_t
		if unix.Fstat(d.fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			f.gained("descriptor %d is a folder, %s", d.fd, d.target)
		}
	}
	// The working directory is one too, and the way the CVE was used.
	if dir, err := os.Getwd(); err != nil || strings.HasPrefix(dir, "(unreachable)") {
		f.gained("the working directory is outside of the root: %q, %v", dir, err)
	}
	for fd := 3; fd < 64; fd++ {
		f.try(fmt.Sprintf("open /proc/self/fd/%d/../../etc", fd), try(os.Open(fmt.Sprintf("/proc/self/fd/%d/../../etc", fd))))
	}
	f.fact("descriptors", int64(len(f.inherited)))
}

// try drops what an open gave and keeps its error.
func try(file *os.File, err error) error {
	if err == nil {
		file.Close()
	}
	return err
}

// self is the path by which this program starts itself again.
const self = "/proc/self/exe"

// again starts this program as a child that does what the words say.
func again(words ...string) *exec.Cmd {
	cmd := exec.Command(self, append([]string{"child"}, words...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// dieBySignal ends the program by a signal, as a wild pointer in C does; Go's
// runtime would make an exit with status 2 of it.
func dieBySignal() {
	// An action that is the default one, unmasked: SIGSEGV then ends us.
	resetSignal(unix.SIGSEGV)
	unix.Kill(os.Getpid(), unix.SIGSEGV)
	// PID 1 of a namespace is immune to signals it sends itself; a fault it is
	// not immune to.
	fault()
	forever()
}

// outcome runs a child and says how it ended.
func outcome(cmd *exec.Cmd) (syscall.WaitStatus, error) {
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return cmd.ProcessState.Sys().(syscall.WaitStatus), nil
	case errors.As(err, &exit):
		return exit.Sys().(syscall.WaitStatus), nil
	default:
		return 0, err
	}
}

// pids are the processes that /proc shows.
func pids() []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			names = append(names, e.Name())
		}
	}
	return names
}

// family is the processes that belong to this program: itself and what it
// started.
func family() []string {
	mine := []string{fmt.Sprint(os.Getpid())}
	for _, pid := range pids() {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		// After the name, which may hold anything: state, parent.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && slices.Contains(mine, fields[1]) {
			mine = append(mine, pid)
		}
	}
	return mine
}
