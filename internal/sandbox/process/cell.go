//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// apiAddress is where the Runtime API listens, in each environment's own
// network namespace.
const apiAddress = "127.0.0.1:9001"

// cell is an environment without a function yet: its namespaces, what is the
// same for all that is mounted in it, its cgroup, its ids and its listener.
// Nothing of any function has been in it, so it can be made ahead.
type cell struct {
	b        *Backend
	pid      int
	pidfd    *os.File // of init; non-blocking
	control  *control
	group    *group
	uid      int // of init; the function's is the next
	listener net.Listener
	zygote   *zygote // whose root and /dev it has
}

// newCell makes one.
func (b *Backend) newCell() (_ *cell, err error) {
	z, err := b.zygote()
	if err != nil {
		return nil, err
	}
	c := &cell{b: b, zygote: z}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if c.uid, err = b.uids.take(); err != nil {
		return nil, err
	}
	if c.group, err = b.cgroups.newGroup(b.cellName()); err != nil {
		return nil, err
	}
	ctl, peer, err := newControl()
	if err != nil {
		return nil, err
	}
	c.control = ctl
	pid, forked, err := z.fork(peer)
	unix.Close(peer)
	if err != nil {
		return nil, err
	}
	c.pid = pid
	if c.pidfd, err = openPidfd(pid); err != nil {
		return nil, err
	}
	if err := c.group.join(pid); err != nil {
		return nil, err
	}
	ctl.deadline(time.Now().Add(stepTimeout))
	if _, _, err := ctl.answer(forked); err != nil {
		return nil, err
	}
	_, fd, err := ctl.do(b.cellList())
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "runtime api")
	c.listener, err = net.FileListener(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("take the Runtime API's listener: %w", err)
	}
	return c, nil
}

// cellList completes an environment up to where the function's own begins. It
// is carried out by init, which is root yet, in namespaces that root owns: the
// function's user namespace comes later, so nothing in it has any power over
// them.
func (b *Backend) cellList() *list {
	l := newList()
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	l.call("mount /proc", unix.SYS_MOUNT, "proc", "/proc", "proc", quiet, "hidepid=2")
	for _, path := range b.proc.masked {
		empty := emptyFile
		if strings.HasSuffix(path, "/") {
			empty = emptyFolder
		}
		l.call("mask "+path, unix.SYS_MOUNT, empty, path, 0, unix.MS_BIND, 0)
	}
	for _, path := range b.proc.readonly {
		l.call("bind "+path, unix.SYS_MOUNT, path, path, 0, unix.MS_BIND, 0)
		l.call("make "+path+" read-only", unix.SYS_MOUNT, 0, path, 0, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|quiet, 0)
	}
	l.call("mount /dev/shm", unix.SYS_MOUNT, "shm", "/dev/shm", "tmpfs", quiet, "mode=1777,size=64m,nr_inodes=16k")
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

	// struct ifreq{"lo", IFF_UP | IFF_RUNNING}
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_RUNNING
	s := l.call("make a socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	l.call("bring lo up", unix.SYS_IOCTL, s, unix.SIOCSIFFLAGS, l.bytes(ifreq))
	l.call("close the socket", unix.SYS_CLOSE, s)
	addr := []byte{unix.AF_INET, 0, 9001 >> 8, 9001 & 0xff, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	s = l.call("make the Runtime API's socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	const at = 10
	l.call("number the socket", unix.SYS_DUP3, s, at, unix.O_CLOEXEC)
	l.call("close the socket", unix.SYS_CLOSE, s)
	l.call("bind "+apiAddress, unix.SYS_BIND, at, l.bytes(addr), len(addr))
	l.call("listen on "+apiAddress, unix.SYS_LISTEN, at, 1024)
	l.sendFD("hand the Runtime API's listener over", l.rights(at))
	l.call("close the listener", unix.SYS_CLOSE, at)
	// sendFD was the answer; the list ends silently.
	l.flags = silent
	return l
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

// bind makes the cell the environment of one function and starts its program.
// output is the write end of its output. When it fails, the cell is of no use
// any more, but has to be released.
func (c *cell) bind(spec sandbox.Spec, v *volume, output int) (*program, error) {
	if err := c.group.limit(spec.Memory, spec.Processes); err != nil {
		return nil, fmt.Errorf("limit the environment: %w", err)
	}
	if err := v.own(c.uid + 1); err != nil {
		return nil, fmt.Errorf("give /tmp to the function: %w", err)
	}
	code, err := bindTree(spec.Code, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, err
	}
	defer unix.Close(code)

	c.control.deadline(time.Now().Add(stepTimeout))
	l := newList()
	f, t := l.fd(code), l.fd(v.mount)
	l.call("mount /var/task", unix.SYS_MOVE_MOUNT, f, "", atCWD, "/var/task", unix.MOVE_MOUNT_F_EMPTY_PATH)
	l.call("mount /tmp", unix.SYS_MOVE_MOUNT, t, "", atCWD, "/tmp", unix.MOVE_MOUNT_F_EMPTY_PATH)
	// The user namespace belongs to the environment's own user: the kernel
	// charges what it counts by user (watches, timers, locked memory) to a
	// namespace's owner too, and root's share would be everybody's. The
	// capabilities, which are lost with root's name, are only raised again to
	// be allowed to make a namespace at all.
	caps := l.words(capVersion3, 0, 0, 0, 0)
	l.call("take the environment's group", unix.SYS_SETRESGID, -1, c.uid, -1)
	l.call("read capabilities", unix.SYS_CAPGET, caps, caps+8)
	l.call("take the environment's user", unix.SYS_SETRESUID, -1, c.uid, -1)
	l.call("raise capabilities", unix.SYS_CAPSET, caps, caps+8)
	l.call("make the user and cgroup namespaces", unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWCGROUP)
	l.end(0)
	if _, _, err := c.control.do(l); err != nil {
		return nil, err
	}
	if err := mapIDs(c.pid, c.uid); err != nil {
		return nil, err
	}

	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	rules, err := c.b.lock.ruleset(c.zygote.root, c.zygote.dev, v.root)
	if err != nil {
		return nil, err
	}
	if rules >= 0 {
		defer unix.Close(rules)
	}
	l = c.runList(spec, null, output, rules)
	_, fd, err := c.control.do(l)
	if err != nil {
		var op *OpError
		if errors.As(err, &op) && op.What == execWhat {
			return nil, invalidEntrypoint(program0(spec), op.Errno)
		}
		return nil, err
	}
	c.control.deadline(time.Time{})
	p := &program{id: spec.ID, function: spec.Function, cell: c, volume: v, pidfd: fd, list: l, memory: spec.Memory, strict: spec.CPU == gust.CPUStrict, init: true}
	if spec.Runtime == gust.RuntimeHTTP {
		if p.netns, err = openNetns(c.pid); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	return p, nil
}

// mapIDs gives the user namespace of a process its two ids.
func mapIDs(pid, uid int) error {
	dir := fmt.Sprintf("/proc/%d", pid)
	ids := fmt.Sprintf("%d %d 1\n%d %d 1\n", initID, uid, functionID, uid+1)
	if err := writeFile(dir, "setgroups", "deny"); err != nil {
		return fmt.Errorf("refuse supplementary groups: %w", err)
	}
	for _, file := range []string{"uid_map", "gid_map"} {
		if err := writeFile(dir, file, ids); err != nil {
			return fmt.Errorf("map the environment's ids: %w", err)
		}
	}
	return nil
}

// capVersion3 is the head of what capget and capset take (this version, this
// thread); two sets of three words follow, of 24 bytes together.
const capVersion3 = unix.LINUX_CAPABILITY_VERSION_3

const execWhat = "execute the program"

// program0 is what is executed: a relative first word is looked up in the code
// folder.
func program0(spec sandbox.Spec) string {
	if word := spec.Command[0]; !strings.HasPrefix(word, "/") {
		return "/var/task/" + strings.TrimPrefix(word, "./")
	}
	return spec.Command[0]
}

// invalidEntrypoint is Lambda's error for a program that cannot be executed.
func invalidEntrypoint(path string, errno syscall.Errno) error {
	return &gust.FunctionError{
		Outcome: gust.OutcomeInit,
		Type:    "Runtime.InvalidEntrypoint",
		Message: fmt.Sprintf("Error: fork/exec %s: %s", path, errno),
	}
}

// runList is init's last list: it gives up its rights, starts the function's
// program, and waits for it. Its answers are the program's pidfd once the
// program has been executed, and its status when it has ended; or the failure
// of a step, of init's or of the child's.
func (c *cell) runList(spec sandbox.Spec, null, output, rules int) *list {
	l := newList()
	in, out := l.fd(null), l.fd(output)
	lock := received(-1)
	if rules >= 0 {
		lock = l.fd(rules)
	}
	env := append(append(make([]string, 0, len(spec.Env)+1), spec.Env...), c.b.knows(spec))
	argv, envp := l.strs(spec.Command), l.strs(env)
	filter := l.words(uint64(len(c.b.filter)/8), l.bytes(c.b.filter))
	pidfd := l.rights(0)
	noCaps := l.words(capVersion3, 0, 0, 0, 0)

	l.call("become init's group", unix.SYS_SETRESGID, initID, initID, initID)
	l.call("become init's user", unix.SYS_SETRESUID, initID, initID, initID)
	l.call("end with the node", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	l.call("be not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	for cp := range c.b.lastCap + 1 {
		l.call("drop capabilities", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, cp, 0, 0, 0)
	}
	l.call("lock capabilities", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0)
	l.call("refuse new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	child := l.fork("start the function's process", unix.SYS_CLONE, func() {
		l.call("leave the session", unix.SYS_SETSID)
		l.call("become the function's group", unix.SYS_SETRESGID, functionID, functionID, functionID)
		l.call("become the function's user", unix.SYS_SETRESUID, functionID, functionID, functionID)
		l.call("give up capabilities", unix.SYS_CAPSET, noCaps, noCaps+8)
		l.call("go to /var/task", unix.SYS_CHDIR, "/var/task")
		l.call("connect the standard input", unix.SYS_DUP3, in, 0, 0)
		l.call("connect the standard output", unix.SYS_DUP3, out, 1, 0)
		l.call("connect the standard error", unix.SYS_DUP3, out, 2, 0)
		if lock >= 0 {
			l.call("apply the Landlock rules", unix.SYS_LANDLOCK_RESTRICT_SELF, lock, 0)
		}
		l.call("close all other descriptors", unix.SYS_CLOSE_RANGE, controlFD+1, 0xffffffff, 0)
		l.call("install the system call filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, filter)
		l.call(execWhat, unix.SYS_EXECVE, program0(spec), argv, envp)
	}, unix.CLONE_VFORK|unix.CLONE_PIDFD|int(unix.SIGCHLD), 0, rightsFD(pidfd), 0, 0)
	l.call("give up capabilities", unix.SYS_CAPSET, noCaps, noCaps+8)
	l.sendFD("hand the function's process over", pidfd)
	l.call("close all other descriptors", unix.SYS_CLOSE_RANGE, controlFD+1, 0xffffffff, 0)
	l.call("close the standard descriptors", unix.SYS_CLOSE_RANGE, 0, 2, 0)
	l.call("install the system call filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, filter)
	status := l.call("wait for the function", opReap, child)
	l.end(status)
	l.flags = exitAfter
	return l
}

// secureBits: being uid 0 means nothing, for ever (SECBIT_NOROOT, _KEEP_CAPS
// and _NO_CAP_AMBIENT_RAISE, locked; capabilities are still lost with the uid).
const secureBits = 1<<0 | 1<<1 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// release ends what there is of the cell and gives everything back.
func (c *cell) release() {
	if c.pidfd != nil {
		c.kill()
		waitPidfd(c.pidfd)
		c.pidfd.Close()
	} else if c.pid > 0 {
		unix.Kill(c.pid, unix.SIGKILL)
		wait4(c.pid)
	}
	if c.control != nil {
		c.control.close()
	}
	if c.listener != nil {
		c.listener.Close()
	}
	if c.group != nil {
		if err := c.group.remove(); err != nil {
			c.b.log.Warn("a cgroup is left", "error", err)
		}
	}
	if c.uid != 0 {
		c.b.uids.give(c.uid)
	}
	*c = cell{b: c.b}
}

// kill ends init, and the kernel everything else in the environment with it.
func (c *cell) kill() {
	pidfdSignal(c.pidfd, unix.SIGKILL)
	if c.group != nil && c.group.c.unified == "" {
		c.group.thaw() // a version 1 freezer holds even SIGKILL
	}
}

// dead reports whether init has ended.
func (c *cell) dead() bool {
	dead := true
	if raw, err := c.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, 0)
			dead = err == nil && n > 0
		})
	}
	return dead
}
