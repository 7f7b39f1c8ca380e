package store

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks a file until it is closed, for one alone or for all who share it.
// Taken says that the error is that somebody else has it. What is locked is a byte
// far behind the contents, which others can read then: locks keep readers out here.
func lockFile(f *os.File, shared bool) (taken bool, err error) {
	how := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		how |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &at)
	return err == windows.ERROR_LOCK_VIOLATION, err
}
