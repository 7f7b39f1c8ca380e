package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// status is the fields of /proc/self/status by name.
func status() map[string]string {
	data, _ := os.ReadFile("/proc/self/status")
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// capabilities looks for any privilege, and tries to take one.
func capabilities(f *findings, _ wire.Event) {
	s := status()
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if bits, err := strconv.ParseUint(s[set], 16, 64); err != nil || bits != 0 {
			f.gained("%s is %s", set, s[set])
		} else {
			f.refused("%s is empty", set)
		}
	}
	if s["NoNewPrivs"] != "1" {
		f.gained("NoNewPrivs is %q", s["NoNewPrivs"])
	}
	if s["Seccomp"] != "2" {
		f.gained("Seccomp is %q, a filter is 2", s["Seccomp"])
	}
	f.try("clear no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
	f.try("leave seccomp", unix.Prctl(unix.PR_SET_SECCOMP, 0, 0, 0, 0))
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}, {Effective: 0x1ff, Permitted: 0x1ff}}
	f.try("capset of everything", unix.Capset(&header, &all[0]))
	for c := range uintptr(41) {
		f.try(fmt.Sprintf("raise ambient %d", c), unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0))
	}
	f.try("set securebits", unix.Prctl(unix.PR_SET_SECUREBITS, 0x2f, 0, 0, 0))
	if groups, err := os.Getgroups(); err == nil {
		for _, g := range groups {
			if g != os.Getgid() {
				f.gained("is in group %d", g)
			}
		}
	}
	// No identity of the host's may be its own: the numbers it has inside may
	// be any, but outside they are a range of its own. A root of the host would
	// find that 0 maps to 0.
	if uidMap, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		for line := range strings.Lines(string(uidMap)) {
			var inside, outside, count uint32
			if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && count == ^uint32(0) {
				f.gained("it is in the host's user namespace: %s", line)
			}
		}
	}
}

// setuid tries to become somebody else.
func setuid(f *findings, _ wire.Event) {
	before := identity()
	for _, id := range []int{0, 1, 33, 1000, 65534, 100000} {
		if id != os.Getuid() {
			f.try(fmt.Sprintf("setuid(%d)", id), raw(unix.SYS_SETUID, id))
			f.try(fmt.Sprintf("setreuid(-1, %d)", id), raw(unix.SYS_SETREUID, -1, id))
			f.try(fmt.Sprintf("setresuid(-1, -1, %d)", id), raw(unix.SYS_SETRESUID, -1, -1, id))
		}
		if id != os.Getgid() {
			f.try(fmt.Sprintf("setgid(%d)", id), raw(unix.SYS_SETGID, id))
			f.try(fmt.Sprintf("setresgid(%d, %d, %d)", id, id, id), raw(unix.SYS_SETRESGID, id, id, id))
		}
		group := uint32(id)
		_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&group)), 0)
		f.try(fmt.Sprintf("setgroups(%d)", id), errnoOrNil(errno))
		// setfsuid tells the old one, and again whether it changed.
		if id != os.Getuid() {
			unix.RawSyscall(unix.SYS_SETFSUID, uintptr(id), 0, 0)
			now, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, ^uintptr(0), 0, 0)
			if int(now) == id {
				f.gained("setfsuid(%d)", id)
			}
		}
	}
	if now := identity(); now != before {
		f.gained("it was %s and is %s", before, now)
	}
}

func raw(nr uintptr, args ...int) error {
	var a [3]uintptr
	for i, n := range args {
		a[i] = uintptr(n)
	}
	_, _, errno := unix.RawSyscall(nr, a[0], a[1], a[2])
	return errnoOrNil(errno)
}

func identity() string {
	s := status()
	return "uid " + s["Uid"] + ", gid " + s["Gid"] + ", groups " + s["Groups"] + ", effective " + s["CapEff"]
}

// setuidFiles runs programs that would give a privilege on the host: the suite
// has put copies of this one into the code folder, set-user-id and
// set-group-id root, and with file capabilities; and it makes one itself.
func setuidFiles(f *findings, _ wire.Event) {
	me := identity()
	own := "/tmp/suid"
	if program, err := os.ReadFile("/var/task/bootstrap"); err == nil {
		if err := os.WriteFile(own, program, 0o755); err == nil {
			os.Chmod(own, 0o755|os.ModeSetuid|os.ModeSetgid)
			defer os.Remove(own)
		}
	}
	for _, path := range []string{"/var/task/suid", "/var/task/sgid", "/var/task/filecap", own} {
		if _, err := os.Stat(path); err != nil {
			f.refused("%v", err)
			continue
		}
		out, err := exec.Command(path, "child", "identity").Output()
		switch {
		case err != nil:
			f.refused("run %s: %v", path, err)
		case strings.TrimSpace(string(out)) != me:
			f.gained("%s runs as %s instead of %s", path, strings.TrimSpace(string(out)), me)
		default:
			f.refused("%s runs as before", path)
		}
	}
}

// raiseLimits tries to get more than it was given.
func raiseLimits(f *findings, _ wire.Event) {
	for name, which := range map[string]int{"core": unix.RLIMIT_CORE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "memlock": unix.RLIMIT_MEMLOCK,
		"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "rtprio": unix.RLIMIT_RTPRIO, "sigpending": unix.RLIMIT_SIGPENDING} {
		var l unix.Rlimit
		if err := unix.Getrlimit(which, &l); err != nil {
			f.refused("getrlimit %s: %v", name, err)
			continue
		}
		f.fact("limit-"+name, int64(l.Max))
		if l.Max == ^uint64(0) {
			continue
		}
		more := unix.Rlimit{Cur: l.Max + 1, Max: l.Max + 1}
		f.try("raise "+name, unix.Setrlimit(which, &more))
	}
	f.try("be nicer to itself", unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
	param := int32(1)
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param)))
	f.try("run as real time (FIFO)", errnoOrNil(errno))
	f.try("run as a deadline task", unix.SchedSetAttr(0, &unix.SchedAttr{Size: 48, Policy: 6, Runtime: 1e7, Deadline: 2e7, Period: 2e7}, 0))
	_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, 1, 0, 1<<13)
	f.try("real time I/O", errnoOrNil(errno))
	f.try("lock more memory than allowed", unix.Mlockall(unix.MCL_CURRENT|unix.MCL_FUTURE))
	unix.Munlockall()
}

// coreDump dies by a signal that dumps core and looks whether one was.
func coreDump(f *findings, _ wire.Event) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		f.gained("getrlimit: %v", err)
	}
	f.fact("soft", int64(l.Cur))
	f.fact("hard", int64(l.Max))
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: l.Max, Max: l.Max})
	cmd := again("fault")
	cmd.Dir = "/tmp"
	ws, err := outcome(cmd)
	switch {
	case err != nil:
		f.gained("the child could not be started: %v", err)
	case !ws.Signaled():
		f.gained("the child ended with status %d instead of a signal", ws.ExitStatus())
	case ws.CoreDump():
		f.gained("a core was dumped by %v", ws.Signal())
	default:
		f.refused("%v, without a core", ws.Signal())
	}
	for _, name := range []string{"/tmp/core", "core", fmt.Sprintf("/tmp/core.%d", cmd.Process.Pid)} {
		if st, err := os.Stat(name); err == nil {
			f.gained("%s is there, %d bytes", name, st.Size())
		}
	}
}
