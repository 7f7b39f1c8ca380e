package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// secret reads a path that must not lead to the host's secret.
func (f *findings) secret(path string, ev wire.Event) {
	data, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Contains(data, []byte(ev.Targets.Token)):
		f.gained("read the host's secret by %s", path)
	case err == nil:
		f.refused("%s is another file of %d bytes", path, len(data))
	default:
		f.refused("%v", err)
	}
}

// hostFiles tries to see files of the host: where they are, and by every path
// that may lead out of the root.
func hostFiles(f *findings, ev wire.Event) {
	t := ev.Targets
	f.secret(t.Secret, ev)
	up := strings.Repeat("../", 40)
	f.secret("/"+up+t.Secret, ev)
	f.secret(up+t.Secret, ev)
	for _, door := range []string{"/proc/1/root", "/proc/self/root", "/proc/1/cwd/" + up, "/proc/self/cwd/" + up,
		"/proc/self/task/1/root", "/proc/thread-self/root", "/dev/fd/0/" + up, "/proc/self/fd/0/" + up} {
		f.secret(door+t.Secret, ev)
	}
	for _, pid := range pids() {
		f.secret("/proc/"+pid+"/root"+t.Secret, ev)
		f.secret("/proc/"+pid+"/cwd/"+up+t.Secret, ev)
	}
	for _, path := range []string{t.Canary, t.Data, t.OtherCode, t.Binary} {
		_, err := os.Stat(path)
		f.try("stat "+path, err)
	}
	for _, path := range []string{"/etc/shadow", "/root/.ssh", "/var/log", "/var/lib/dpkg", "/home", "/boot", "/run/dbus",
		"/var/run/docker.sock", "/run/containerd", "/etc/ssh", "/srv", "/mnt", "/media", "/lost+found", "/var/lib/gust"} {
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			f.gained("%s has %d entries, the first is %s", path, len(entries), entries[0].Name())
		} else if _, err := os.ReadFile(path); err == nil {
			f.gained("read %s", path)
		} else {
			f.refused("%v", err)
		}
	}
	// An allow-list is short: nothing that is owned by somebody else and
	// writable, nothing that is set-user-id, no device.
	seen := int64(0)
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if path == "/proc" || path == "/sys" {
			return fs.SkipDir
		}
		if seen++; seen > 50_000 {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if strings.Contains(path, "gust-sandboxtest") && !strings.HasPrefix(path, "/tmp") {
			f.gained("sees %s", path)
		}
		mode := info.Mode()
		if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && mode.IsRegular() && !strings.HasPrefix(path, "/var/task") {
			f.gained("%s is %v", path, mode)
		}
		if mode&fs.ModeDevice != 0 && !strings.HasPrefix(path, "/dev") {
			f.gained("%s is a device", path)
		}
		return nil
	})
	f.fact("files", seen)
}

// fileHandles opens files by their number in the file system, past every path.
func fileHandles(f *findings, ev wire.Event) {
	const badFD = ^uintptr(0)
	f.call("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, badFD, 0, 0)
	f.call("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, badFD, 0, 0, 0, 1<<30)
	for _, mount := range []string{"/var/task", "/", "/tmp", "/etc", "/usr"} {
		dir, err := os.Open(mount)
		if err != nil {
			continue
		}
		// What Shocker did: the root of any file system has a well-known number.
		inode2 := make([]byte, 8)
		binary.LittleEndian.PutUint32(inode2, 2)
		for what, h := range map[string]unix.FileHandle{
			"the host's secret": unix.NewFileHandle(ev.Targets.HandleType, ev.Targets.Handle),
			"the disk's root":   unix.NewFileHandle(1, inode2),
		} {
			fd, err := unix.OpenByHandleAt(int(dir.Fd()), h, unix.O_RDONLY)
			f.try(fmt.Sprintf("open %s by handle from %s", what, mount), closed(fd, err))
		}
		dir.Close()
	}
}

// chrootEscape does the classical thing: a root within the root, and out of it.
func chrootEscape(f *findings, ev wire.Event) {
	os.Mkdir("/tmp/jail", 0o755)
	defer os.Remove("/tmp/jail")
	f.denied("chroot", unix.Chroot("/tmp/jail"))
	f.denied("chroot to /", unix.Chroot("/"))
	f.denied("pivot_root", unix.PivotRoot("/", "/"))
	here, err := os.Open(".")
	if err == nil {
		for range 40 {
			unix.Chdir("..")
		}
		f.secret("."+ev.Targets.Secret, ev)
		unix.Fchdir(int(here.Fd()))
		here.Close()
	}
	for _, fd := range []int{0, 1, 2} {
		f.try(fmt.Sprintf("fchdir to descriptor %d", fd), unix.Fchdir(fd))
	}
}

// writeCode tries every way to change the code it runs from, which other
// environments run from as well.
func writeCode(f *findings, _ wire.Event) {
	const code = "/var/task"
	own := code + "/bootstrap"
	f.try("create a file", try(os.Create(code+"/new")))
	f.try("create a folder", os.Mkdir(code+"/folder", 0o755))
	f.try("create a link", os.Symlink("/tmp", code+"/link"))
	f.try("hard link the program", os.Link(own, code+"/other"))
	f.try("rename the program", os.Rename(own, code+"/other"))
	f.try("remove the program", os.Remove(own))
	f.try("chmod the program", os.Chmod(own, 0o777))
	f.try("chmod the folder", os.Chmod(code, 0o777))
	f.try("chown the program", os.Chown(own, os.Getuid(), os.Getgid()))
	f.try("truncate the program", os.Truncate(own, 0))
	f.try("open the program to write", try(os.OpenFile(own, os.O_WRONLY, 0)))
	f.try("open the data to write", try(os.OpenFile(code+"/data.txt", os.O_RDWR, 0)))
	f.try("open the data to append", try(os.OpenFile(code+"/data.txt", os.O_WRONLY|os.O_APPEND, 0)))
	f.try("mount over the code", unix.Mount("/tmp", code, "", unix.MS_BIND, ""))
	f.try("remount the code writable", unix.Mount("", code, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	f.try("unmount the code", unix.Unmount(code, unix.MNT_DETACH))
	f.try("set an attribute", unix.Setxattr(own, "user.x", []byte("x"), 0))
	f.try("set a capability", unix.Setxattr(own, "security.capability", make([]byte, 20), 0))
	// Through memory: a shared mapping of a file opened to read.
	file, err := os.Open(code + "/data.txt")
	if err != nil {
		f.gained("the code's data cannot be read: %v", err)
		return
	}
	defer file.Close()
	_, err = unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	f.try("map the data to write", err)
	f.try("reopen the data to write", try(os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_WRONLY, 0)))
	// Immutable and append-only flags, and whatever else FS_IOC_SETFLAGS does.
	flags := 0x20
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), 0x40086602, uintptr(unsafe.Pointer(&flags)))
	f.try("set the data's flags", errnoOrNil(errno))
}

func errnoOrNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// writeRoot looks for any place outside of /tmp that can be written to.
func writeRoot(f *findings, _ wire.Event) {
	folders := 0
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil, !d.IsDir():
			return nil
		case path == "/proc", path == "/tmp", path == "/sys":
			return fs.SkipDir
		}
		if folders++; folders > 5000 {
			return fs.SkipAll
		}
		// Memory that is charged to the function is its own to write to.
		if path == "/dev/shm" || path == "/dev/mqueue" {
			return fs.SkipDir
		}
		name := filepath.Join(path, ".gust-sandboxtest")
		err = try(os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600))
		if err == nil {
			os.Remove(name)
			f.gained("writes to %s", path)
			return nil
		}
		if folders < 10 {
			f.refused("%v", err)
		}
		return nil
	})
	for _, path := range []string{"/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/etc/ld.so.preload", "/etc/ld.so.cache"} {
		f.try("open "+path+" to write", try(os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)))
	}
	f.fact("folders", int64(folders))
}

// links: what a link within /tmp can lead to.
func links(f *findings, ev wire.Event) {
	dir, err := os.MkdirTemp("/tmp", "links")
	if err != nil {
		f.gained("no folder in /tmp: %v", err)
		return
	}
	defer os.RemoveAll(dir)
	for name, target := range map[string]string{"secret": ev.Targets.Secret, "up": strings.Repeat("../", 40) + ev.Targets.Secret,
		"root": "/proc/1/root" + ev.Targets.Secret, "self": "/proc/self/root" + ev.Targets.Secret} {
		link := filepath.Join(dir, name)
		if err := os.Symlink(target, link); err != nil {
			f.refused("symlink to %s: %v", target, err)
			continue
		}
		f.secret(link, ev)
	}
	for _, target := range []string{self, "/var/task/bootstrap", "/etc/passwd", "/proc/1/exe", "/dev/null", ev.Targets.Secret} {
		link := filepath.Join(dir, "hard")
		if f.try("hard link "+target, unix.Linkat(unix.AT_FDCWD, target, unix.AT_FDCWD, link, unix.AT_SYMLINK_FOLLOW)) {
			os.Remove(link)
		}
	}
	for _, fd := range []int{0, 1} {
		f.try(fmt.Sprintf("hard link descriptor %d", fd), unix.Linkat(fd, "", unix.AT_FDCWD, filepath.Join(dir, "fd"), unix.AT_EMPTY_PATH))
	}
	// A folder held open while it is moved about once led out of its root.
	os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755)
	if d, err := os.Open(filepath.Join(dir, "a/b/c")); err == nil {
		os.Rename(filepath.Join(dir, "a/b/c"), filepath.Join(dir, "c"))
		how := unix.OpenHow{Flags: unix.O_RDONLY}
		fd, err := unix.Openat2(int(d.Fd()), strings.Repeat("../", 40)+ev.Targets.Secret[1:], &how)
		f.try("walk up from a moved folder", closed(fd, err))
		d.Close()
	}
}

// leaveLinks leaves behind what a careless clean-up would follow: links to the
// host's canary under every likely name, and a folder that cannot be entered.
func leaveLinks(f *findings, ev wire.Event) {
	for _, name := range []string{"/tmp/a", "/tmp/link", "/tmp/.x", "/dev/shm/a"} {
		f.refused("link %s: %v", name, os.Symlink(ev.Targets.Canary, name))
	}
	os.MkdirAll("/tmp/closed/inner", 0o755)
	os.Symlink(ev.Targets.Canary, "/tmp/closed/inner/link")
	os.WriteFile("/tmp/closed/file", []byte("x"), 0o400)
	f.refused("close a folder: %v", os.Chmod("/tmp/closed", 0))
	f.refused("close /tmp: %v", os.Chmod("/tmp", 0))
}

// deepFolders nests folders past every path length, for a clean-up that walks
// recursively.
func deepFolders(f *findings, ev wire.Event) {
	if err := os.Chdir("/tmp"); err != nil {
		f.gained("no /tmp: %v", err)
		return
	}
	defer os.Chdir("/var/task")
	name := strings.Repeat("d", 200)
	depth := 0
	for ; depth < ev.N; depth++ {
		if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			f.refused("at depth %d: %v", depth, err)
			break
		}
		if err := unix.Chdir(name); err != nil {
			f.refused("at depth %d: %v", depth, err)
			break
		}
	}
	f.fact("depth", int64(depth))
}

// procTricks goes through what /proc offers beyond its own process.
func procTricks(f *findings, ev wire.Event) {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
		"/proc/sys/kernel/domainname", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/panic", "/proc/sys/kernel/randomize_va_space",
		"/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmax",
		"/proc/sys/kernel/unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_bpf_disabled", "/proc/sys/kernel/keys/maxkeys",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches", "/proc/sys/vm/panic_on_oom", "/proc/sys/vm/mmap_min_addr",
		"/proc/sys/fs/suid_dumpable", "/proc/sys/fs/protected_symlinks", "/proc/sys/fs/file-max", "/proc/sys/fs/mqueue/msg_max",
		"/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/core/somaxconn",
		"/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/user/max_user_namespaces",
		"/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup",
		"/proc/irq/default_smp_affinity", "/proc/timer_stats", "/proc/acpi/wakeup", "/proc/scsi/scsi", "/proc/mtrr",
		"/proc/bus/pci/00/00.0", "/proc/driver/rtc", "/proc/fs/nfsd/threads", "/proc/latency_stats",
	} {
		f.try("open "+path+" to write", try(os.OpenFile(path, os.O_WRONLY, 0)))
	}
	// All that is writable below /proc/sys, by whatever name a kernel has it.
	filepath.WalkDir("/proc/sys", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if err := try(os.OpenFile(path, os.O_WRONLY, 0)); err == nil {
			f.gained("open %s to write", path)
		}
		return nil
	})
	// What tells about the host, its kernel's memory or its keys.
	for _, path := range []string{"/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/sched_debug",
		"/proc/latency_stats", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup", "/proc/slabinfo", "/proc/vmallocinfo",
		"/proc/pagetypeinfo", "/proc/sysrq-trigger"} {
		data := make([]byte, 64)
		file, err := os.Open(path)
		if err == nil {
			var n int
			n, err = file.Read(data)
			file.Close()
			if err == nil && hidden(data[:n]) || err != nil || n == 0 {
				f.refused("%s opens and tells nothing (%d bytes, %v)", path, n, err)
				continue
			}
		}
		f.try("read "+path, err)
	}
	if data, err := os.ReadFile("/proc/kallsyms"); err == nil {
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "0000000000000000 ") {
				f.gained("an address in kallsyms: %s", line)
				break
			}
		}
	}
	for _, dir := range []string{"/proc/acpi", "/proc/scsi", "/proc/bus", "/proc/irq", "/proc/driver", "/proc/fs", "/proc/asound", "/proc/tty/driver"} {
		if entries, err := os.ReadDir(dir); err == nil {
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				if err := try(os.OpenFile(path, os.O_WRONLY, 0)); err == nil {
					f.gained("open %s to write", path)
				}
			}
		}
	}
	if os.Getpid() != 1 {
		for _, file := range []string{"environ", "maps", "mem", "auxv", "stack", "syscall", "fd/0", "ns/mnt", "root/.", "cwd/.", "exe"} {
			f.try("open /proc/1/"+file, try(os.Open("/proc/1/"+file)))
		}
	}
	for _, file := range []string{"/proc/self/oom_score_adj", "/proc/self/oom_adj"} {
		f.try("be the last to be ended for memory by "+file, os.WriteFile(file, []byte("-17"), 0))
	}
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups", "/proc/self/timens_offsets"} {
		f.try("write "+file, os.WriteFile(file, []byte("0 0 1\n"), 0))
	}
	for _, file := range []string{"/proc/self/attr/current", "/proc/self/loginuid", "/proc/self/sessionid"} {
		if err := os.WriteFile(file, []byte("0"), 0); err == nil {
			f.gained("write %s", file)
		}
	}
	f.secret("/proc/1/root"+ev.Targets.Secret, ev)
}

// hidden says that what was read is the masking of a masked file.
func hidden(b []byte) bool { return len(bytes.Trim(b, "\x00\n ")) == 0 }

// sysTricks: there is no /sys and no cgroup file system to begin with.
func sysTricks(f *findings, _ wire.Event) {
	for _, path := range []string{"/sys/kernel", "/sys/class", "/sys/fs/cgroup", "/sys/firmware", "/sys/power/state",
		"/sys/kernel/uevent_helper", "/sys/kernel/debug", "/sys/kernel/security", "/sys/module", "/sys/bus", "/cgroup", "/sys/kernel/mm/ksm"} {
		_, err := os.Stat(path)
		f.try("stat "+path, err)
	}
	found := 0
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "/proc" {
			return fs.SkipDir
		}
		switch d.Name() {
		case "release_agent", "cgroup.procs", "notify_on_release", "memory.limit_in_bytes", "memory.max", "uevent_helper":
			f.gained("%s is in sight", path)
		}
		if found++; found > 50_000 {
			return fs.SkipAll
		}
		return nil
	})
	// Where it is in the hierarchy must be told from its own root.
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		f.refused("%v", err)
	}
	for line := range strings.Lines(string(data)) {
		if path := line[strings.LastIndexByte(line, ':')+1:]; path != "/\n" {
			f.gained("its place in the cgroups is told: %q", line)
		}
	}
}

// deviceNodes makes and opens devices.
func deviceNodes(f *findings, _ wire.Event) {
	for name, dev := range map[string][2]uint32{"the first disk": {8, 0}, "a virtual disk": {254, 0}, "a loop device": {7, 0}} {
		path := "/tmp/block"
		f.try("make "+name, unix.Mknod(path, unix.S_IFBLK|0o666, int(unix.Mkdev(dev[0], dev[1]))))
		if fd, err := unix.Open(path, unix.O_RDONLY, 0); err == nil {
			f.gained("open %s", name)
			unix.Close(fd)
		}
		os.Remove(path)
	}
	for name, dev := range map[string][2]uint32{"mem": {1, 1}, "port": {1, 4}, "kmsg": {1, 11}, "tty0": {4, 0}, "fuse": {10, 229}, "kvm": {10, 232}, "tun": {10, 200}} {
		path := "/tmp/char"
		f.try("make "+name, unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(dev[0], dev[1]))))
		if fd, err := unix.Open(path, unix.O_RDWR, 0); err == nil {
			f.gained("open %s", name)
			unix.Close(fd)
		}
		os.Remove(path)
	}
	for _, name := range []string{"mem", "kmem", "port", "kmsg", "vda", "sda", "nvme0n1", "loop0", "loop-control", "fuse", "kvm", "net/tun",
		"mapper/control", "vhost-net", "vhost-vsock", "userfaultfd", "snapshot", "watchdog", "btrfs-control", "uinput", "input/event0", "dri/card0",
		"nvidia0", "hwrng", "cpu/0/msr", "console", "tty0", "tty1", "vcs", "rtc0", "ppp", "vfio/vfio", "cuse", "autofs", "rfkill", "udmabuf"} {
		f.try("open /dev/"+name, try(os.Open("/dev/"+name)))
	}
	// What is there has to be on a short list, whatever its name.
	harmless := map[[2]uint32]bool{{1, 3}: true, {1, 5}: true, {1, 7}: true, {1, 8}: true, {1, 9}: true, {5, 0}: true}
	filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			return nil
		}
		dev := [2]uint32{unix.Major(st.Rdev), unix.Minor(st.Rdev)}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFBLK:
			f.gained("%s is a disk", path)
		case unix.S_IFCHR:
			if !harmless[dev] {
				f.gained("%s is the device %d:%d", path, dev[0], dev[1])
			}
		}
		return nil
	})
}
