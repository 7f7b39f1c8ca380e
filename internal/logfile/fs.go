package logfile

import (
	"errors"
	"io"
	"os"
	"runtime"
)

// FS is what a log needs of a file system. The disk is one; the other ones fail
// on purpose.
type FS interface {
	MkdirAll(dir string) error
	// List returns the names in a folder.
	List(dir string) ([]string, error)
	// Create makes a file that must not be there.
	Create(name string) (File, error)
	Open(name string) (File, error)
	// OpenWrite opens a file for reading and writing.
	OpenWrite(name string) (File, error)
	Remove(name string) error
	SyncDir(dir string) error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(int64) error
	Sync() error
}

// Disk is the operating system's file system.
type Disk struct{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (Disk) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (Disk) List(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (Disk) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}
func (Disk) Open(name string) (File, error)      { return openFile(name, os.O_RDONLY) }
func (Disk) OpenWrite(name string) (File, error) { return openFile(name, os.O_RDWR) }
func (Disk) Remove(name string) error            { return os.Remove(name) }

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (Disk) SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // keeps its folders' entries by itself, and syncs none
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
