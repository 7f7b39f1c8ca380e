//go:build !linux

package artifact

import (
	"io/fs"
	"os"
	"path/filepath"
)

// syncFileSystem returns when everything below dir is on the disk.
func syncFileSystem(dir string, root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(filepath.Join(dir, filepath.FromSlash(name)))
	})
}
