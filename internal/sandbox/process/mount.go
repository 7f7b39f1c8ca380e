//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox"
)

// What the environments see is put together from detached mounts: the node
// makes them, no path leads to them, the starter hangs them into the
// environment's mount namespace, and they end with the last of their users.
// So the node's own mount namespace never changes, and nothing is left in it
// when the node dies.

// bindTree is a detached copy of the mount of dir, with attributes.
func bindTree(dir string, attrs uint64) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open %s as a mount: %w", dir, err)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("restrict the mount of %s: %w", dir, err)
	}
	return fd, nil
}

// mounts are detached mounts that are a function's; layers may be -1.
type mounts struct{ code, layers, tmp int }

// openMounts opens a function's code and layers. They are hung up once; tmp is
// lent.
func openMounts(spec sandbox.Spec, tmp int) (m mounts, err error) {
	m = mounts{layers: -1, tmp: tmp}
	if m.code, err = bindTree(spec.Code, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
		return m, err
	}
	if m.layers, err = mountLayers(spec.Layers); err != nil {
		m.close()
	}
	return m, err
}

func (m mounts) close() {
	unix.Close(m.code)
	if m.layers >= 0 {
		unix.Close(m.layers)
	}
}

// maxLayers is how many folders mountLayers merges: what the kernel takes in
// one option of a mount.
const maxLayers = 10

// mountLayers is a detached mount of all these folders in one, read-only; of
// files of the same name the last folder's is seen. It is -1 for none.
func mountLayers(dirs []string) (int, error) {
	const attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	var once []string // the kernel merges nothing with itself
	for i, dir := range dirs {
		if !slices.Contains(dirs[i+1:], dir) {
			once = append(once, dir)
		}
	}
	dirs = once
	switch len(dirs) {
	case 0:
		return -1, nil
	case 1:
		return bindTree(dirs[0], attrs)
	}
	// Named by descriptors: an option has 255 bytes, which paths soon need, and
	// what an environment reads in mountinfo says nothing then.
	lower := make([]string, len(dirs))
	for i, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open the layer %s: %w", dir, err)
		}
		defer unix.Close(fd)
		lower[len(dirs)-1-i] = fmt.Sprintf("/proc/self/fd/%d", fd) // the first named lies on top
	}
	fd, err := newFS("overlay", attrs, [2]string{"source", "layers"}, [2]string{"lowerdir", strings.Join(lower, ":")})
	if errors.Is(err, unix.ENODEV) {
		return -1, fmt.Errorf("merge %d layers: the kernel has no overlay file system: modprobe overlay, or put all into one layer: %w", len(dirs), err)
	}
	if err != nil {
		return -1, fmt.Errorf("merge %d layers: %w", len(dirs), err)
	}
	return fd, nil
}

// newFS is a detached mount of a new file system.
func newFS(kind string, attrs int, options ...[2]string) (int, error) {
	ctx, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open a file system of type %s: %w", kind, err)
	}
	defer unix.Close(ctx)
	for _, o := range options {
		if o[1] == "" {
			err = unix.FsconfigSetFlag(ctx, o[0])
		} else {
			err = unix.FsconfigSetString(ctx, o[0], o[1])
		}
		if err != nil {
			return -1, fmt.Errorf("set option %s=%s of a file system of type %s: %w", o[0], o[1], kind, err)
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return -1, fmt.Errorf("make a file system of type %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("mount a file system of type %s: %w", kind, err)
	}
	return fd, nil
}

// newDev makes the /dev that all environments share: read-only, and nothing in
// it that could be told apart between two of them.
func newDev() (int, error) {
	fd, err := newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC,
		[2]string{"mode", "0755"}, [2]string{"size", "64k"}, [2]string{"nr_inodes", "32"})
	if err != nil {
		return -1, err
	}
	fail := func(what string, err error) (int, error) {
		unix.Close(fd)
		return -1, fmt.Errorf("make /dev/%s: %w", what, err)
	}
	for _, d := range []struct {
		name  string
		minor uint32
	}{{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}} {
		err := unix.Mknodat(fd, d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, d.minor)))
		if err == nil {
			err = unix.Fchmodat(fd, d.name, 0o666, 0) // whatever the umask is
		}
		if err != nil {
			return fail(d.name, err)
		}
	}
	for _, l := range [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "fd/0"}, {"stdout", "fd/1"}, {"stderr", "fd/2"}} {
		if err := unix.Symlinkat(l[1], fd, l[0]); err != nil {
			return fail(l[0], err)
		}
	}
	for _, dir := range []string{"shm", filepath.Base(tokenFolder)} {
		if err := unix.Mkdirat(fd, dir, 0o755); err != nil {
			return fail(dir, err)
		}
	}
	if err := unix.Mknodat(fd, strings.TrimPrefix(tokenFile, "/dev/"), unix.S_IFREG|0o444, 0); err != nil {
		return fail("gust/token", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOATIME, Attr_clr: unix.MOUNT_ATTR__ATIME}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fail("", err)
	}
	return fd, nil
}

// atCWD is AT_FDCWD as a system call takes it.
const atCWD = unix.AT_FDCWD & 0xffffffff
