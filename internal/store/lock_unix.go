//go:build unix

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile locks a file until it is closed, for one alone or for all who share it.
// Taken says that the error is that somebody else has it.
func lockFile(f *os.File, shared bool) (taken bool, err error) {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	return err == unix.EWOULDBLOCK, err
}
