package store

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks a file until it is closed. Taken says that the error is that
// somebody else has it. What is locked is a byte far behind the contents, which
// others can read then: locks keep readers out here.
func lockFile(f *os.File) (taken bool, err error) {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	return err == windows.ERROR_LOCK_VIOLATION, err
}
