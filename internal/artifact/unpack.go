package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	gust "github.com/gust-dev/gust"
)

// tempPrefix begins the names of folders that are still being unpacked, or
// already being removed.
const tempPrefix = ".tmp-"

// Unpack writes an artifact's files into the new folder dir. The folder appears
// whole and synced, or not at all. Everything in it is readable by everybody
// and writable by nobody: files are 0444, or 0555 when they are executable, and
// folders 0555.
//
// What Inspect refuses of the archive itself is refused here too, in the same
// words. A full disk is a gust.ErrNoSpace.
func Unpack(ctx context.Context, ra io.ReaderAt, size int64, dir string) (err error) {
	a, err := openArchive(ra, size)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	tmp, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return fmt.Errorf("unpack: %w", explain(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(tmp))
		}
	}()
	if err := a.unpack(ctx, tmp); err != nil {
		return explain(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("unpack: %s is there already: %w", dir, fs.ErrExist)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("unpack: %w", explain(err))
	}
	if err := syncPath(parent); err != nil {
		return fmt.Errorf("unpack: %w", explain(err))
	}
	return nil
}

// unpack writes all entries below a folder and syncs them.
func (a *archive) unpack(ctx context.Context, dir string) error {
	// Nothing is written through a link or out of the folder, even if
	// somebody else should work on it at the same time.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	// Many single syncs take longer than one for the whole file system; a
	// few do not, and wait for nobody else's data.
	const few = 64
	each := len(a.entries) <= few
	made := map[string]bool{".": true}
	folders := []string{"."}
	buf := make([]byte, 256*gust.KB)
	for i := range a.entries {
		e := &a.entries[i]
		folder := path.Dir(e.name)
		if e.dir {
			folder = e.name
		}
		for at := folder; !made[at]; at = path.Dir(at) {
			made[at] = true
			folders = append(folders, at)
		}
		if err := root.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if !e.dir {
			if err := a.unpackFile(ctx, root, e, buf, each); err != nil {
				return err
			}
		}
	}
	// Folders lose their write bit when everything stands in them.
	for _, folder := range slices.Backward(folders) {
		if err := root.Chmod(folder, 0o555); err != nil {
			return err
		}
		if each {
			if err := syncPath(filepath.Join(dir, filepath.FromSlash(folder))); err != nil {
				return err
			}
		}
	}
	if !each {
		return syncFileSystem(dir, root)
	}
	return nil
}

func (a *archive) unpackFile(ctx context.Context, root *os.Root, e *entry, buf []byte, sync bool) (err error) {
	f, err := root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	// Only Write is shown, so that buf is what the data goes through.
	w := struct{ io.Writer }{f}
	if _, err := io.CopyBuffer(w, &cancelable{ctx, a.open(e)}, buf); err != nil {
		return err
	}
	mode := fs.FileMode(0o444)
	if e.exec {
		mode = 0o555
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if sync {
		return f.Sync()
	}
	return nil
}

func syncPath(name string) error {
	if runtime.GOOS == "windows" { // only syncs what is open for writing; what is unpacked is checked before it is used
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeTree removes a folder whose folders may not be writable.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(name, 0o700)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// explain names a full disk in the domain's words.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", gust.ErrNoSpace, err)
	}
	return err
}
