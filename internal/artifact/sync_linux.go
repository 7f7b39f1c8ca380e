package artifact

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem returns when everything that was written to the file system of
// dir is on the disk.
func syncFileSystem(dir string, _ *os.Root) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	return nil
}
