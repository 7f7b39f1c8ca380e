package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const lockName = "lock"

// FolderLock is the right to use a data folder, until Close or the end of the
// process.
type FolderLock struct{ f *os.File }

// InUseError says that another process uses the data folder.
type InUseError struct {
	Dir string
	PID int // 0 when the file does not say
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the data folder %s is in use by another process", e.Dir)
	}
	if e.PID == os.Getpid() {
		return fmt.Sprintf("the data folder %s is already open in this process (%d)", e.Dir, e.PID)
	}
	return fmt.Sprintf("the data folder %s is in use by process %d: stop it first, or name another folder", e.Dir, e.PID)
}

// Lock takes the lock of a folder that exists, and writes the process's id into
// its file "lock". Open does so by itself unless it is given Options.Lock. When
// somebody else has the lock for a second the error is an *InUseError: a process
// that was killed has it until the kernel is done with its memory, and who looks
// whether it is in use for a moment.
func Lock(dir string) (*FolderLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", explain(err))
	}
	for giveUp := time.Now().Add(time.Second); ; time.Sleep(5 * time.Millisecond) {
		taken, err := lockFile(f, false)
		if err == nil {
			break
		}
		if !taken {
			return nil, errors.Join(fmt.Errorf("lock the data folder %s: %w", dir, err), f.Close())
		}
		if time.Now().After(giveUp) {
			b, _ := io.ReadAll(io.NewSectionReader(f, 0, 32)) // who it is only helps
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			return nil, errors.Join(&InUseError{Dir: dir, PID: pid}, f.Close())
		}
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil && !isNoSpace(err) { // a full disk must still open
			return nil, errors.Join(fmt.Errorf("lock the data folder: %w", explain(err)), f.Close())
		}
	}
	return &FolderLock{f}, nil
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files.
func (l *FolderLock) Close() error { return l.f.Close() }

// InUse tells whether a process has the lock of a folder.
func InUse(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the data folder's lock: %w", explain(err))
	}
	taken, err := lockFile(f, true)
	if taken {
		err = nil
	}
	return taken, errors.Join(err, f.Close())
}
