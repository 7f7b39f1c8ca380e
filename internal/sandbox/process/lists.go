//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
)

// What is done when in an environment. Three lists make it: fork's (zygote.go)
// and cellList, which may be carried out ahead, and runList.

// Numbers of descriptors that stay open in init between two lists.
const (
	listenerFD = 10
	usernsFD   = 11
)

// quiet is what a mount that is there to be read has.
const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// cellList completes an environment up to where the function's own begins. It
// is carried out by init, which is root yet, in namespaces that root owns.
func (b *Backend) cellList(uid int, token []byte) *list {
	l := newList()
	l.call("take a name", unix.SYS_PRCTL, unix.PR_SET_NAME, "gust-init", 0, 0, 0)
	l.call("mount /proc", unix.SYS_MOUNT, "proc", "/proc", "proc", quiet, "hidepid=2")
	for _, path := range b.proc.masked {
		empty := runtimes.EmptyFile
		if strings.HasSuffix(path, "/") {
			empty = runtimes.EmptyFolder
		}
		l.call("mask "+path, unix.SYS_MOUNT, empty, path, 0, unix.MS_BIND, 0)
	}
	for _, path := range b.proc.readonly {
		l.call("bind "+path, unix.SYS_MOUNT, path, path, 0, unix.MS_BIND, 0)
		l.call("make "+path+" read-only", unix.SYS_MOUNT, 0, path, 0, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|quiet, 0)
	}
	l.call("mount /dev/shm", unix.SYS_MOUNT, "shm", "/dev/shm", "tmpfs", quiet, "mode=1777,size=64m,nr_inodes=16k")
	l.giveToken(token, uid+1)
	l.call("set the host name", unix.SYS_SETHOSTNAME, "gust", len("gust"))
	l.call("set the domain name", unix.SYS_SETDOMAINNAME, "", 0)
	if b.timens {
		// The environment's clocks start at zero: how long the host is up is
		// nobody's business.
		var mono, boot unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
		unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
		offsets := fmt.Sprintf("monotonic -%d 0\nboottime -%d 0\n", max(mono.Sec-1, 0), max(boot.Sec-1, 0))
		l.call("make a time namespace", unix.SYS_UNSHARE, unix.CLONE_NEWTIME)
		f := l.call("open timens_offsets", unix.SYS_OPENAT, atCWD, "/proc/self/timens_offsets", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		l.call("set the clocks", unix.SYS_WRITE, f, offsets, len(offsets))
		l.call("close timens_offsets", unix.SYS_CLOSE, f)
	}

	l.call("make a cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	l.userns(uid)

	// struct ifreq{"lo", IFF_UP | IFF_RUNNING}
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_RUNNING
	s := l.call("make a socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	l.call("bring lo up", unix.SYS_IOCTL, s, unix.SIOCSIFFLAGS, l.bytes(ifreq))
	l.call("close the socket", unix.SYS_CLOSE, s)
	l.listen("Runtime API", gust.RuntimeAPIPort, 1024)
	l.listen("API", gust.APIPort, 128)
	// The listeners were the answers; the list ends silently.
	l.flags = silent
	return l
}

// listen listens on a port of the loopback and hands the listener over.
func (l *list) listen(what string, port uint16, backlog int) {
	addr := l.bytes([]byte{unix.AF_INET, 0, byte(port >> 8), byte(port), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	s := l.call("make the "+what+"'s socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	l.call("number the socket", unix.SYS_DUP3, s, listenerFD, unix.O_CLOEXEC)
	l.call("close the socket", unix.SYS_CLOSE, s)
	l.call("bind the "+what+"'s socket", unix.SYS_BIND, listenerFD, addr, 16)
	l.call("listen for the "+what, unix.SYS_LISTEN, listenerFD, backlog)
	l.sendFD("hand the "+what+"'s listener over", l.rights(listenerFD))
	l.call("close the listener", unix.SYS_CLOSE, listenerFD)
}

// giveToken puts a token where the function, whose group has this number on the
// host, can read it and nobody can change it: in a file of root's, which has no
// other name than the mount.
func (l *list) giveToken(token []byte, group int) {
	const made = "/dev/shm/token"
	f := l.call("make the token's file", unix.SYS_OPENAT, atCWD, made, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o440)
	l.call("write the token", unix.SYS_WRITE, f, l.bytes(token), len(token))
	l.call("give the token to the function", unix.SYS_FCHOWN, f, -1, group)
	l.call("close the token's file", unix.SYS_CLOSE, f)
	l.call("mount the token's file", unix.SYS_MOUNT, made, tokenFile, 0, unix.MS_BIND, 0)
	l.call("make the token's file read-only", unix.SYS_MOUNT, 0, tokenFile, 0, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|quiet, 0)
	l.call("take the token's other name", unix.SYS_UNLINKAT, atCWD, made, 0)
}

// userns makes the function's user namespace and keeps it open as usernsFD. It
// is entered last of all, so the other namespaces belong to the host's root, and
// nobody in the environment has any power over them.
//
// The namespace's owner is the environment's own user: the kernel charges what
// it counts by user (watches, timers, locked memory) to a namespace's owner too,
// and root's share would be everybody's. So it is made under that name; the
// capabilities, which are lost with root's, are raised again to be allowed to.
func (l *list) userns(uid int) {
	caps := l.words(capVersion3, 0, 0, 0, 0)
	l.call("read capabilities", unix.SYS_CAPGET, caps, caps+8)
	l.call("take the environment's group", unix.SYS_SETRESGID, -1, uid, -1)
	l.call("take the environment's user", unix.SYS_SETRESUID, -1, uid, -1)
	l.call("raise capabilities", unix.SYS_CAPSET, caps, caps+8)
	child := l.fork("make a user namespace", unix.SYS_CLONE, func() {
		l.call("wait to be killed", unix.SYS_PPOLL, 0, 0, 0, 0, 0)
		l.call("end", unix.SYS_EXIT_GROUP, 0)
	}, unix.CLONE_NEWUSER|int(unix.SIGCHLD), 0, 0, 0, 0)
	l.call("be root again", unix.SYS_SETRESUID, -1, 0, -1)
	l.call("be root's group again", unix.SYS_SETRESGID, -1, 0, -1)
	l.call("end with the node", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	l.call("be not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	const its = "/proc/2/" // the first child in a pid namespace
	ids := fmt.Sprintf("%d %d 1\n%d %d 1\n", initID, uid, functionID, uid+1)
	for _, w := range [][2]string{{"setgroups", "deny"}, {"uid_map", ids}, {"gid_map", ids}} {
		f := l.call("open "+w[0], unix.SYS_OPENAT, atCWD, its+w[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
		l.call("write "+w[0], unix.SYS_WRITE, f, w[1], len(w[1]))
		l.call("close "+w[0], unix.SYS_CLOSE, f)
	}
	f := l.call("open the user namespace", unix.SYS_OPENAT, atCWD, its+"ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	l.call("number the user namespace", unix.SYS_DUP3, f, usernsFD, unix.O_CLOEXEC)
	l.call("close the user namespace", unix.SYS_CLOSE, f)
	l.call("end the child", unix.SYS_KILL, child, int(unix.SIGKILL))
	l.call("reap the child", opReap, child)
}

// rights places the control message that sends one descriptor, of which only
// the number may be known later (the last 4 bytes, see rightsFD).
func (l *list) rights(fd int) uint64 { return l.bytes(unix.UnixRights(fd)) }

// rightsFD is where the descriptor of a control message stands.
func rightsFD(at uint64) uint64 { return at + uint64(unix.CmsgLen(0)) }

// sendFD sends an answer with a descriptor.
func (l *list) sendFD(what string, rights uint64) {
	iov := l.words(l.zeros(replySize), replySize)
	m := l.words(0, 0, iov, 1, rights, uint64(unix.CmsgSpace(4)), 0)
	l.call(what, unix.SYS_SENDMSG, controlFD, m, unix.MSG_NOSIGNAL)
}

// capVersion3 is the head of what capget and capset take (this version, this
// thread); two sets of three words follow, of 24 bytes together.
const capVersion3 = unix.LINUX_CAPABILITY_VERSION_3

// runList is init's last list: it mounts what is the function's, gives up its
// rights, starts the function's program, and waits for it. Its answers are the
// program's pidfd once the program has been executed, and its status when it has
// ended; or the failure of a step, of init's or of the child's.
func (b *Backend) runList(spec sandbox.Spec, m mounts, output, rules int) *list {
	l := newList()
	l.hang(m)
	out, lock := l.fd(output), l.fdOrNone(rules)
	env := slices.Concat(spec.Env, knows(spec))
	argv, envp := l.strs(spec.Command), l.strs(env)
	filter, noCaps, pidfd := l.words(uint64(len(b.filter)/8), l.bytes(b.filter)), l.noCaps(), l.rights(0)

	b.confine(l, filter)
	child := l.fork("start the function's process", unix.SYS_CLONE, func() {
		l.become(noCaps, "/var/task", out, lock)
		l.call("close all other descriptors", unix.SYS_CLOSE_RANGE, controlFD+1, 0xffffffff, 0)
		l.call(execWhat, unix.SYS_EXECVE, program0(spec), argv, envp)
	}, unix.CLONE_VFORK|unix.CLONE_PIDFD|int(unix.SIGCHLD), 0, rightsFD(pidfd), 0, 0)
	l.call("give up capabilities", unix.SYS_CAPSET, noCaps, noCaps+8)
	l.sendFD("hand the function's process over", pidfd)
	l.wait(child)
	return l
}

// bootFD is the descriptor by which an interpreter that is booted ahead hears
// for which function, and savedFD where the control socket is meanwhile.
const (
	bootFD  = controlFD
	savedFD = 12
)

// bootList is runList's first half for an environment that is booted ahead: it
// starts the interpreter, which gives up by itself what it inherits given up
// otherwise, and leaves init as it was. Its answers are the interpreter's pidfd,
// and its number among the environment's processes. A child that fails ends with
// its environment alone: init waits until it has executed something.
func (b *Backend) bootList(boot, env []string, socket, output, rules int) *list {
	l := newList()
	hear, out, lock := l.fd(socket), l.fd(output), l.fdOrNone(rules)
	argv, envp := l.strs(boot), l.strs(env)
	filter, noCaps, pidfd := l.words(uint64(len(b.filter)/8), l.bytes(b.filter)), l.noCaps(), l.rights(0)

	child := l.fork("start the interpreter's process", unix.SYS_CLONE, func() {
		b.confine(l, filter)
		l.become(noCaps, "/", out, lock)
		// The answer goes by controlFD, which is to be the interpreter's. So
		// that is put back to tell of a failure.
		l.call("keep the control socket", unix.SYS_DUP3, controlFD, savedFD, unix.O_CLOEXEC)
		l.call("close all other descriptors at exec", unix.SYS_CLOSE_RANGE, controlFD+1, 0xffffffff, unix.CLOSE_RANGE_CLOEXEC)
		l.call("number the interpreter's socket", unix.SYS_DUP3, hear, bootFD, 0)
		l.try(execWhat, unix.SYS_EXECVE, boot[0], argv, envp)
		l.call("take the control socket back", unix.SYS_DUP3, savedFD, controlFD, unix.O_CLOEXEC)
		l.call(execWhat, unix.SYS_EXECVE, boot[0], argv, envp)
	}, unix.CLONE_VFORK|unix.CLONE_PIDFD|int(unix.SIGCHLD), 0, rightsFD(pidfd), 0, 0)
	l.sendFD("hand the interpreter's process over", pidfd)
	l.end(child)
	return l
}

// bindList is the second half: what runList does but start the program, which
// is there as process child. It answers when nothing of what init could do is
// left, and again when the program has ended.
func (b *Backend) bindList(m mounts, child int) *list {
	l := newList()
	l.hang(m)
	b.confine(l, l.words(uint64(len(b.filter)/8), l.bytes(b.filter)))
	noCaps := l.noCaps()
	l.call("give up capabilities", unix.SYS_CAPSET, noCaps, noCaps+8)
	l.call("tell that it is bound", unix.SYS_SENDTO, controlFD, l.zeros(replySize), replySize, unix.MSG_NOSIGNAL, 0, 0)
	l.wait(child)
	return l
}

// hang hangs a function's mounts up.
func (l *list) hang(m mounts) {
	for _, at := range []struct {
		fd   int
		path string
	}{{m.code, "/var/task"}, {m.layers, "/opt"}, {m.tmp, "/tmp"}} {
		if at.fd >= 0 {
			l.call("mount "+at.path, unix.SYS_MOVE_MOUNT, l.fd(at.fd), "", atCWD, at.path, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
	}
}

// confine enters the user namespace and gives up all rights but those that
// becoming the function's user takes: from there on it may do no more than the
// function, and so may what it starts.
func (b *Backend) confine(l *list, filter uint64) {
	l.call("enter the user namespace", unix.SYS_SETNS, usernsFD, unix.CLONE_NEWUSER)
	l.call("become init's group", unix.SYS_SETRESGID, initID, initID, initID)
	l.call("become init's user", unix.SYS_SETRESUID, initID, initID, initID)
	l.call("end with the node", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	l.call("be not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	for cp := range b.lastCap + 1 {
		l.call("drop capabilities", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, cp, 0, 0, 0)
	}
	l.call("lock capabilities", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0)
	l.call("refuse new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	l.call("install the system call filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, filter)
}

// become makes a confined process the function's, up to what it executes.
func (l *list) become(noCaps uint64, dir string, out, lock received) {
	l.call("leave the session", unix.SYS_SETSID)
	l.call("become the function's group", unix.SYS_SETRESGID, functionID, functionID, functionID)
	l.call("become the function's user", unix.SYS_SETRESUID, functionID, functionID, functionID)
	l.call("give up capabilities", unix.SYS_CAPSET, noCaps, noCaps+8)
	l.call("go to "+dir, unix.SYS_CHDIR, dir)
	in := l.call("open /dev/null", unix.SYS_OPENAT, atCWD, "/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	l.call("connect the standard input", unix.SYS_DUP3, in, 0, 0)
	l.call("connect the standard output", unix.SYS_DUP3, out, 1, 0)
	l.call("connect the standard error", unix.SYS_DUP3, out, 2, 0)
	if lock >= 0 {
		l.call("apply the Landlock rules", unix.SYS_LANDLOCK_RESTRICT_SELF, lock, 0)
	}
}

// wait lets init see its child to its end, with nothing left but the control
// socket, and end itself.
func (l *list) wait(child any) {
	l.call("close all other descriptors", unix.SYS_CLOSE_RANGE, controlFD+1, 0xffffffff, 0)
	l.call("close the standard descriptors", unix.SYS_CLOSE_RANGE, 0, 2, 0)
	status := l.call("wait for the function", opReap, child)
	l.end(status)
	l.flags = exitAfter
}

// fdOrNone is fd for a descriptor that may be -1.
func (l *list) fdOrNone(f int) received {
	if f < 0 {
		return -1
	}
	return l.fd(f)
}

// noCaps places capset's head, and behind it empty sets.
func (l *list) noCaps() uint64 { return l.words(capVersion3, 0, 0, 0, 0) }

// secureBits: being uid 0 means nothing, for ever (SECBIT_NOROOT, _KEEP_CAPS
// and _NO_CAP_AMBIENT_RAISE, locked; capabilities are still lost with the uid).
const secureBits = 1<<0 | 1<<1 | 1<<3 | 1<<5 | 1<<6 | 1<<7
