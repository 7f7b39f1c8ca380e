//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// stepTimeout bounds each answer of a starter: its system calls do not wait
// for anybody, so only a broken kernel or an overloaded machine takes this
// long.
const stepTimeout = 10 * time.Second

// zygote is a starter that forks environments. Its mount namespace holds the
// root and /dev and nothing else, so each environment begins as a copy of
// three mounts, and the host's files are not there to be hidden. It is a few
// kilobytes small: forking the node itself would copy its page tables.
type zygote struct {
	mu  sync.Mutex // one fork at a time
	c   *control
	pid int
	// root and dev are the folders that environments begin with.
	root, dev int

	path  string // of root on the host
	users int    // cells that need root and dev; guarded by roots
	used  time.Time
}

// startZygote starts one over a root folder.
func startZygote(k *keeper, image *os.File, root string) (_ *zygote, err error) {
	z := &zygote{root: -1, dev: -1, path: root}
	defer func() {
		if err != nil {
			z.close()
		}
	}()
	if z.dev, err = newDev(); err != nil {
		return nil, err
	}
	if z.root, err = bindTree(root, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
		return nil, err
	}
	c, peer, err := newControl()
	if err != nil {
		return nil, err
	}
	defer unix.Close(peer)
	z.c = c
	if z.pid, err = k.start(image, peer); err != nil {
		return nil, err
	}
	// Before anything the node: so it, not the node, is ended when memory is
	// short, and so is all that it forks.
	if err := writeFile(fmt.Sprintf("/proc/%d", z.pid), "oom_score_adj", "500"); err != nil {
		return nil, err
	}
	c.deadline(time.Now().Add(stepTimeout))
	defer c.deadline(time.Time{})
	if _, _, err := c.do(zygoteList(z.root, z.dev)); err != nil {
		return nil, err
	}
	return z, nil
}

// zygoteList is what the zygote does before it forks; all that environments
// inherit is set here, once.
func zygoteList(root, dev int) *list {
	l := newList()
	r, d := l.fd(root), l.fd(dev)
	l.call("take a name", unix.SYS_PRCTL, unix.PR_SET_NAME, "gust-zygote", 0, 0, 0)
	l.call("make a mount namespace", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	l.call("make its mounts private", unix.SYS_MOUNT, 0, "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	l.call("mount the root", unix.SYS_MOVE_MOUNT, r, "", atCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	l.call("go to the root", unix.SYS_FCHDIR, r)
	l.call("pivot_root", unix.SYS_PIVOT_ROOT, ".", ".")
	l.call("detach the host's mounts", unix.SYS_UMOUNT2, ".", unix.MNT_DETACH)
	l.call("go to the new root", unix.SYS_CHDIR, "/")
	l.call("mount /dev", unix.SYS_MOVE_MOUNT, d, "", atCWD, "/dev", unix.MOVE_MOUNT_F_EMPTY_PATH)
	l.try("join a session keyring of its own", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0)
	l.call("give up supplementary groups", unix.SYS_SETGROUPS, 0, 0)
	l.call("be not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	l.call("set umask", unix.SYS_UMASK, 0o022)
	mask := l.zeros(8)
	l.call("unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, mask, 0, 8)
	handler := l.zeros(32) // SIG_DFL, no flags, no mask
	for sig := 1; sig <= 64; sig++ {
		if s := unix.Signal(sig); s != unix.SIGKILL && s != unix.SIGSTOP {
			l.call("reset signals", unix.SYS_RT_SIGACTION, sig, handler, 0, 8)
		}
	}
	for _, r := range rlimits {
		l.call("limit "+r.name, unix.SYS_PRLIMIT64, 0, r.resource, l.words(r.soft, r.hard), 0)
	}
	l.end(0)
	return l
}

// rlimits are what a function's processes may have, each; what they may have
// together is the cgroup's to bound. A core limit of 1 byte is what keeps the
// kernel from running a core_pattern program for them; 0 would not.
var rlimits = []struct {
	name       string
	resource   int
	soft, hard uint64
}{
	{"core dumps", unix.RLIMIT_CORE, 1, 1},
	{"open files", unix.RLIMIT_NOFILE, gust.MaxOpenFiles, gust.MaxOpenFiles},
	{"stacks", unix.RLIMIT_STACK, 8 * gust.MB, unix.RLIM_INFINITY},
	{"locked memory", unix.RLIMIT_MEMLOCK, 8 * gust.MB, 8 * gust.MB},
	{"POSIX message queues", unix.RLIMIT_MSGQUEUE, 800 * gust.KB, 800 * gust.KB},
	{"pending signals", unix.RLIMIT_SIGPENDING, 4096, 4096},
	{"priorities", unix.RLIMIT_NICE, 0, 0},
	{"real-time priorities", unix.RLIMIT_RTPRIO, 0, 0},
}

// fork starts init of a new environment, which reads its lists from socket. It
// is the node's child, not the zygote's (CLONE_PARENT). Its first answer is on
// its way.
func (z *zygote) fork(socket int) (pid int, l *list, err error) {
	l = newList()
	s := l.fd(socket)
	r := l.fork("make the namespaces (clone)", unix.SYS_CLONE, func() {
		l.call("take the socket", unix.SYS_DUP3, s, controlFD, unix.O_CLOEXEC)
		l.call("end with the node", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
		l.end(0)
	}, unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS|unix.CLONE_NEWNET|
		unix.CLONE_PARENT|int(unix.SIGCHLD), 0, 0, 0, 0)
	l.end(r)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.c.deadline(time.Now().Add(stepTimeout))
	n, _, err := z.c.do(l)
	return int(n), l, err
}

// end ends the zygote; what it forked lives on.
func (z *zygote) end() {
	if z.c != nil {
		z.c.close()
		z.c = nil
	}
	if z.pid > 0 {
		unix.Kill(z.pid, unix.SIGKILL)
		wait4(z.pid)
		z.pid = 0
	}
}

// close ends it and gives its folders back.
func (z *zygote) close() {
	z.end()
	for _, fd := range []int{z.root, z.dev} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	z.root, z.dev = -1, -1
}

// stale reports whether path leads to another folder now, or to none.
func (z *zygote) stale() bool {
	var is, was unix.Stat_t
	return unix.Stat(z.path, &is) != nil || unix.Fstat(z.root, &was) != nil || is.Dev != was.Dev || is.Ino != was.Ino
}

// dead reports whether the zygote has ended.
func (z *zygote) dead() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, z.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil && err != unix.EINTR || err == nil && info.Signo != 0
}
