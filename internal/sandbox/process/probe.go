//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// missing says what can be done about it.
func missing(err error) error {
	return fmt.Errorf("the process sandbox cannot run here: %w (without any isolation of the functions: --sandbox none)", err)
}

// procPaths are what a function does not get to see or to change in /proc, of
// what this kernel has. A folder ends in a slash.
type procPaths struct{ masked, readonly []string }

// maskedProc tells about the machine or reaches into it.
var maskedProc = []string{
	"/proc/acpi/", "/proc/asound/", "/proc/buddyinfo", "/proc/cgroups", "/proc/cmdline", "/proc/config.gz",
	"/proc/consoles", "/proc/crypto", "/proc/diskstats", "/proc/driver/", "/proc/dynamic_debug/", "/proc/execdomains",
	"/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys",
	"/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
	"/proc/locks", "/proc/mdstat", "/proc/misc", "/proc/modules", "/proc/mtrr", "/proc/pagetypeinfo", "/proc/partitions",
	"/proc/pressure/", "/proc/sched_debug", "/proc/schedstat", "/proc/scsi/", "/proc/slabinfo", "/proc/softirqs",
	"/proc/swaps", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo", "/proc/zoneinfo",
}

// readonlyProc changes the machine. Root alone may, and there is none.
var readonlyProc = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// filesOfEnvironment is how many files the node has open for one environment,
// a connection of its own included.
const filesOfEnvironment = 14

// probeNamespaces makes one of each kind, in a process that ends at once.
func (b *Backend) probeNamespaces() error {
	c, peer, err := newControl()
	if err != nil {
		return err
	}
	defer c.close()
	pid, err := b.keeper.start(b.image, peer)
	unix.Close(peer)
	if err != nil {
		return err
	}
	defer func() {
		unix.Kill(pid, unix.SIGKILL)
		wait4(pid)
	}()
	l := newList()
	for _, ns := range []struct {
		name string
		flag int
	}{
		{"mount", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"IPC", unix.CLONE_NEWIPC}, {"UTS", unix.CLONE_NEWUTS},
		{"network", unix.CLONE_NEWNET}, {"cgroup", unix.CLONE_NEWCGROUP}, {"user", unix.CLONE_NEWUSER},
	} {
		l.call("make a "+ns.name+" namespace", unix.SYS_UNSHARE, ns.flag)
	}
	l.end(0)
	c.deadline(time.Now().Add(stepTimeout))
	if _, _, err = c.do(l); err == nil {
		ids := fmt.Sprintf("%d %d 1\n", initID, b.uids.base)
		err = writeFile(fmt.Sprintf("/proc/%d", pid), "uid_map", ids)
	}
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: raise the limits in /proc/sys/user/max_*_namespaces", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: the container or the service that gust runs in forbids it; run gust on the host, or in a privileged container", err)
	}
	return err
}

// probe checks what can be checked without making anything.
func (b *Backend) probe() error {
	if os.Geteuid() != 0 {
		return errors.New("it makes namespaces, mounts and cgroups, which needs root: run gust as root")
	}
	// mount_setattr is the youngest call that is needed.
	if err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		var u unix.Utsname
		unix.Uname(&u)
		return fmt.Errorf("the kernel %s is too old: Linux 5.12 or newer is needed", unix.ByteSliceToString(u.Release[:]))
	} else if errors.Is(err, unix.EPERM) {
		return errors.New("mounting is not permitted here (CAP_SYS_ADMIN is missing, or the container that gust runs in forbids it): " +
			"run gust on the host, or in a privileged container")
	}
	for ns, name := range map[string]string{"user": "user", "mnt": "mount", "pid": "pid", "net": "network", "ipc": "IPC", "uts": "UTS", "cgroup": "cgroup"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			return fmt.Errorf("the kernel has no %s namespaces, or /proc is not mounted: %w", name, err)
		}
	}
	if n, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(n)) == "0" {
		return errors.New("user namespaces are turned off: sysctl user.max_user_namespaces=10000")
	}
	if err := unix.Prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0); errors.Is(err, unix.EINVAL) {
		return errors.New("the kernel has no seccomp (CONFIG_SECCOMP_FILTER)")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("there are no loop devices, on which the functions' /tmp lie: modprobe loop: %w", err)
	}
	if _, err := mkfs(); err != nil {
		return err
	}
	fd, err := unix.Open(b.run, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s is on a file system without O_TMPFILE, where the functions' /tmp cannot lie: %w", b.run, err)
	}
	unix.Close(fd)
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return err
	}
	if b.lastCap, err = strconv.Atoi(strings.TrimSpace(string(last))); err != nil {
		return fmt.Errorf("read /proc/sys/kernel/cap_last_cap: %w", err)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Max < gust.MaxOpenFiles {
		return fmt.Errorf("a function may open %d files, and the node's own hard limit is %d: raise it (ulimit -Hn, LimitNOFILE)", gust.MaxOpenFiles, files.Max)
	} else if err == nil && files.Cur < 1000*filesOfEnvironment {
		b.log.Warn("few files may be open, and each environment needs some: raise the limit (ulimit -n, LimitNOFILE)",
			"limit", files.Cur, "environments", files.Cur/filesOfEnvironment)
	}
	b.lock = newLandlock()
	_, err = os.Stat("/proc/self/ns/time")
	b.timens = err == nil
	for _, p := range maskedProc {
		if _, err := os.Stat(p); err == nil {
			b.proc.masked = append(b.proc.masked, p)
		}
	}
	for _, p := range readonlyProc {
		if _, err := os.Stat(p); err == nil {
			b.proc.readonly = append(b.proc.readonly, p)
		}
	}
	return nil
}
