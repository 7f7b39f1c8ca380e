package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

const (
	nowhere = 0           // a null pointer
	badFD   = ^uintptr(0) // no descriptor
	badFlag = uintptr(1) << 30
)

func modules(f *findings, _ wire.Event) {
	f.call("init_module", unix.SYS_INIT_MODULE, nowhere, 0, nowhere)
	f.call("finit_module", unix.SYS_FINIT_MODULE, badFD, nowhere, 0)
	name := []byte("loop\x00")
	f.call("delete_module", unix.SYS_DELETE_MODULE, uintptr(unsafe.Pointer(&name[0])), unix.O_NONBLOCK)
	f.call("kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, nowhere, badFlag)
	f.call("kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, badFD, badFD, 0, nowhere, badFlag)
}

// mounts tries the mount interfaces, the old and the new.
func mounts(f *findings, _ wire.Event) {
	for kind, target := range map[string]string{"tmpfs": "/tmp", "proc": "/proc", "sysfs": "/tmp", "cgroup": "/tmp", "cgroup2": "/tmp",
		"devtmpfs": "/tmp", "overlay": "/tmp", "mqueue": "/tmp", "devpts": "/tmp", "ext4": "/tmp", "fuse": "/tmp", "debugfs": "/tmp", "bpf": "/tmp"} {
		f.denied("mount "+kind, unix.Mount("none", target, kind, 0, ""))
	}
	for name, flags := range map[string]uintptr{"bind": unix.MS_BIND, "recursive bind": unix.MS_BIND | unix.MS_REC, "move": unix.MS_MOVE,
		"remount": unix.MS_REMOUNT, "make shared": unix.MS_SHARED | unix.MS_REC, "make private": unix.MS_PRIVATE} {
		f.denied("mount "+name, unix.Mount("/tmp", "/", "", flags, ""))
	}
	for _, path := range []string{"/tmp", "/proc", "/", "/var/task", "/dev"} {
		f.denied("umount "+path, unix.Unmount(path, unix.MNT_DETACH))
	}
	f.call("fsopen", unix.SYS_FSOPEN, nowhere, badFlag)
	f.call("fsconfig", unix.SYS_FSCONFIG, badFD, 99, 0, 0, 0)
	f.call("fsmount", unix.SYS_FSMOUNT, badFD, badFlag, 0)
	f.call("fspick", unix.SYS_FSPICK, badFD, nowhere, badFlag)
	f.call("move_mount", unix.SYS_MOVE_MOUNT, badFD, nowhere, badFD, nowhere, badFlag)
	f.call("open_tree", unix.SYS_OPEN_TREE, badFD, nowhere, badFlag)
	f.call("mount_setattr", unix.SYS_MOUNT_SETATTR, badFD, nowhere, badFlag, nowhere, 0)
	f.call("statmount", 457, nowhere, nowhere, 0, badFlag)
	f.call("listmount", 458, nowhere, nowhere, 0, badFlag)
	f.call("open_tree_attr", 467, badFD, nowhere, badFlag, nowhere, 0)
	f.call("pivot_root", unix.SYS_PIVOT_ROOT, nowhere, nowhere)
	f.call("fanotify_init", unix.SYS_FANOTIFY_INIT, badFlag, 0)
	f.call("fanotify_mark", unix.SYS_FANOTIFY_MARK, badFD, 0, 0, 0, 0)
}

// namespaces tries to get a namespace of its own, where it would be root, or
// into another's.
func namespaces(f *findings, _ wire.Event) {
	flags := map[string]uintptr{"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME}
	for name, flag := range flags {
		f.call("unshare "+name, unix.SYS_UNSHARE, flag)
		f.call("unshare user and "+name, unix.SYS_UNSHARE, flag|unix.CLONE_NEWUSER)
		if flag == unix.CLONE_NEWTIME {
			continue // this bit means something else to clone
		}
		cmd := exec.Command(self, "child", "identity")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag | unix.CLONE_NEWUSER}
		err := cmd.Run()
		f.denied("clone into user and "+name, err)
		pid, errno := fork(flag, false)
		f.reap("clone "+name, pid, errno)
		// The kernel takes the low 32 bits; so must a filter.
		pid, errno = fork(flag|unix.CLONE_NEWUSER|1<<32, false)
		f.reap("clone with high bits "+name, pid, errno)
	}
	// clone3's flags are behind a pointer where no filter looks: it has to be
	// absent, which is what programs fall back from.
	for _, size := range []uintptr{0, 64, 88} {
		args := make([]uint64, 11)
		args[0] = unix.CLONE_NEWUSER
		_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args[0])), size, 0)
		if errno == unix.ENOSYS {
			f.refused("clone3(%d): ENOSYS", size)
		} else {
			f.gained("clone3(%d) answers %v instead of ENOSYS", size, errno)
		}
	}
	f.call("setns", unix.SYS_SETNS, badFD, unix.CLONE_NEWNET)
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"} {
		for _, pid := range []string{"self", "1"} {
			file, err := os.Open("/proc/" + pid + "/ns/" + kind)
			if err != nil {
				f.refused("%v", err)
				continue
			}
			f.denied("setns to "+file.Name(), unix.Setns(int(file.Fd()), 0))
			// NS_GET_USERNS and NS_GET_PARENT lead to the namespaces around.
			for what, op := range map[string]uintptr{"owner": 0xb701, "parent": 0xb702} {
				_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), op, 0)
				if errno == 0 && what == "parent" {
					f.gained("the %s of %s", what, file.Name())
				} else {
					f.refused("the %s of %s: %v", what, file.Name(), errno)
				}
			}
			file.Close()
		}
	}
	f.denied("sethostname", unix.Sethostname([]byte("owned")))
	f.denied("setdomainname", unix.Setdomainname([]byte("owned")))
}

// reap judges a clone that had to be refused.
func (f *findings) reap(what string, pid int, errno syscall.Errno) {
	if errno == 0 {
		var ws syscall.WaitStatus
		syscall.Wait4(pid, &ws, 0, nil)
		f.gained("%s gave a process", what)
		return
	}
	f.denied(what, errno)
}

func keyrings(f *findings, _ wire.Event) {
	kind, name := []byte("user\x00"), []byte("gust-sandboxtest\x00")
	k, n := uintptr(unsafe.Pointer(&kind[0])), uintptr(unsafe.Pointer(&name[0]))
	f.call("add_key", unix.SYS_ADD_KEY, k, n, n, 4, ^uintptr(3)) // the user keyring is -4
	f.call("request_key", unix.SYS_REQUEST_KEY, k, n, 0, 0)
	f.call("keyctl get id", unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0)
	f.call("keyctl join session", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0)
	f.call("keyctl read", unix.SYS_KEYCTL, unix.KEYCTL_READ, ^uintptr(3), 0, 0)
}

func ioUring(f *findings, _ wire.Event) {
	params := make([]byte, 120)
	f.call("io_uring_setup", unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&params[0])))
	f.call("io_uring_enter", unix.SYS_IO_URING_ENTER, badFD, 0, 0, 0, 0, 0)
	f.call("io_uring_register", unix.SYS_IO_URING_REGISTER, badFD, 0, 0, 0)
}

func userfaultfd(f *findings, _ wire.Event) {
	f.call("userfaultfd", unix.SYS_USERFAULTFD, unix.O_CLOEXEC)
	f.call("userfaultfd of the user's side", unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1)
}

func bpf(f *findings, _ wire.Event) {
	attr := make([]byte, 128)
	attr[0] = 1 // a socket filter
	for _, cmd := range []uintptr{0, 5, 99} {
		f.call(fmt.Sprintf("bpf(%d)", cmd), unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(&attr[0])), uintptr(len(attr)))
	}
}

func perf(f *findings, _ wire.Event) {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	f.call("perf_event_open of itself", unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&attr)), 0, badFD, badFD, 0)
	f.call("perf_event_open of nothing", unix.SYS_PERF_EVENT_OPEN, nowhere, 0, badFD, badFD, 0)
}

// terminal pushes characters into the input of a terminal, which whoever
// started the node would then have typed. Standard input is no terminal here,
// so the kernel alone would answer ENOTTY: the request has to be refused before.
func terminal(f *findings, _ wire.Event) {
	c := []byte("x")
	for name, op := range map[string]uintptr{"TIOCSTI": 0x5412, "TIOCLINUX": 0x541c,
		"TIOCSTI with high bits": 0x5412 | 1<<32, "TIOCLINUX with high bits": 0x541c | 1<<32} {
		for fd := range uintptr(3) {
			f.call(fmt.Sprintf("%s on %d", name, fd), unix.SYS_IOCTL, fd, op, uintptr(unsafe.Pointer(&c[0])))
		}
	}
	for _, path := range []string{"/dev/tty", "/dev/console", "/dev/tty0"} {
		tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			f.refused("%v", err)
			continue
		}
		f.gained("opens %s", path)
		tty.Close()
	}
	_, err := unix.IoctlGetInt(0, unix.TIOCGSID)
	f.try("has a terminal's session", err)
}

// systemCalls are what belongs to the whole machine and to no function.
func systemCalls(f *findings, _ wire.Event) {
	f.call("reboot", unix.SYS_REBOOT, 0, 0, 0)
	f.call("swapon", unix.SYS_SWAPON, nowhere, 0)
	f.call("swapoff", unix.SYS_SWAPOFF, nowhere)
	f.call("acct", unix.SYS_ACCT, uintptr(unsafe.Pointer(&[]byte("/nowhere\x00")[0])))
	f.call("syslog", unix.SYS_SYSLOG, 10, 0, 0)
	f.call("quotactl", unix.SYS_QUOTACTL, 0, nowhere, 0, nowhere)
	f.call("quotactl_fd", unix.SYS_QUOTACTL_FD, badFD, 0, 0, 0)
	f.call("settimeofday", unix.SYS_SETTIMEOFDAY, nowhere, nowhere)
	f.call("clock_settime", unix.SYS_CLOCK_SETTIME, 0, nowhere)
	// Its first word says what to change: an offset nobody may set.
	timex := make([]uint64, 32)
	timex[0] = 0x8000 // not a mode there is
	f.call("adjtimex", unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(&timex[0])))
	f.call("clock_adjtime", unix.SYS_CLOCK_ADJTIME, 0, uintptr(unsafe.Pointer(&timex[0])))
	f.call("vhangup", unix.SYS_VHANGUP)
	f.call("lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, 0, 0, 0)
	f.call("lsm_set_self_attr", 460, 99, 0, 0, badFlag)
	f.call("memfd_secret", unix.SYS_MEMFD_SECRET, badFlag)
	f.call("personality of a raw kind", unix.SYS_PERSONALITY, 0x0400000|0x0008) // read implies exec, PER_LINUX32
	oldCalls(f)
}

// unknownCalls: what this filter's author has not thought of must be refused, or
// every new kernel opens something. The first are the newest calls of Linux
// 6.17, which no program of today needs; the others do not exist yet.
func unknownCalls(f *findings, _ wire.Event) {
	f.call("cachestat", 451, badFD, nowhere, nowhere, badFlag) // tells what neighbours have read
	f.call("setxattrat", 463, badFD, nowhere, badFlag, nowhere, nowhere, 0)
	f.call("removexattrat", 466, badFD, nowhere, badFlag, nowhere)
	f.call("file_getattr", 468, badFD, nowhere, nowhere, 0, badFlag)
	f.call("file_setattr", 469, badFD, nowhere, nowhere, 0, badFlag)
	for _, nr := range []uintptr{480, 511, 600, 1000, 4000, 100_000, 1<<30 - 1} {
		f.call(fmt.Sprintf("system call %d", nr), nr, 0)
	}
}
