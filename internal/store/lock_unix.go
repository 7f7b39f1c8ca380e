//go:build unix

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile locks a file until it is closed. Taken says that the error is that
// somebody else has it.
func lockFile(f *os.File) (taken bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return err == unix.EWOULDBLOCK, err
}
