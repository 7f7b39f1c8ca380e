//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock is the second lock on the file system: should a mount ever be
// writable that should not be, nothing outside /tmp and /dev/shm can be changed
// all the same, no device node can be made anywhere, and neither abstract
// sockets nor signals reach out of the function's processes.

const (
	landlockRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// landlockMake is everything that changes a folder but for device nodes.
	landlockMake = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
	landlockFirst = 1<<13 - 1 // what ABI 1 knew
)

// landlock is what this kernel's can do.
type landlock struct{ fs, scoped uint64 }

// newLandlock asks the kernel. Before ABI 2 (Linux 5.19) it forbids moving
// files between folders, which programs need to do in /tmp; it is not used
// then, nor where it is turned off.
func newLandlock() landlock {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		abi = 0
	}
	return landlockOf(int(abi))
}

// landlockOf tells by its ABI what a kernel's Landlock can do.
func landlockOf(abi int) landlock {
	var l landlock
	if abi >= 2 {
		l.fs = landlockFirst | unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		l.fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		l.fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		l.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return l
}

// ruleset makes one environment's: root, dev and tmp are its folders. It is -1
// where the kernel has none.
func (l landlock) ruleset(root, dev, tmp int) (int, error) {
	if l.fs == 0 {
		return -1, nil
	}
	// The kernel takes a structure that is shorter than its own; a longer one
	// only if the rest is zero.
	attr := unix.LandlockRulesetAttr{Handled_access_fs: l.fs, Scoped: l.scoped}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return -1, fmt.Errorf("make a Landlock ruleset: %w", errno)
	}
	for _, rule := range []struct {
		folder int
		access uint64
	}{
		{root, landlockRead | unix.LANDLOCK_ACCESS_FS_EXECUTE},
		{dev, landlockRead | landlockMake | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}, // /dev/shm; /dev itself is read-only
		{tmp, landlockRead | landlockMake | unix.LANDLOCK_ACCESS_FS_EXECUTE},
	} {
		below := unix.LandlockPathBeneathAttr{Allowed_access: rule.access & l.fs, Parent_fd: int32(rule.folder)}
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH,
			uintptr(unsafe.Pointer(&below)), 0, 0, 0); errno != 0 {
			unix.Close(int(fd))
			return -1, fmt.Errorf("add a Landlock rule: %w", errno)
		}
	}
	return int(fd), nil
}
