package artifact

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	gust "github.com/gust-dev/gust"
)

// verify says whether a folder still is what Unpack made of an archive: the
// same files, no other ones, with the same contents by their checksums. Damage
// is gust.ErrCorrupt and names the file.
func verify(ctx context.Context, ra io.ReaderAt, size int64, dir string) error {
	a, err := openArchive(ra, size)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	wrong := func(name, what string) error {
		return fmt.Errorf("%w: %s %s", gust.ErrCorrupt, filepath.Join(dir, name), what)
	}
	files := 0
	buf := make([]byte, 256*gust.KB)
	for i := range a.entries {
		e := &a.entries[i]
		if e.dir {
			if st, err := root.Lstat(e.name); err != nil || !st.IsDir() {
				return wrong(e.name, "is no folder any more")
			}
			continue
		}
		files++
		same, err := a.sameFile(ctx, root, e, buf)
		if err != nil {
			return err
		}
		if !same {
			return wrong(e.name, "is not what was unpacked")
		}
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if files--; files < 0 {
			return wrong(".", "holds a file that was not unpacked")
		}
		return nil
	})
}

// sameFile says whether an entry's file is there as it was unpacked.
func (a *archive) sameFile(ctx context.Context, root *os.Root, e *entry, buf []byte) (bool, error) {
	mode := fs.FileMode(0o444)
	if e.exec {
		mode = 0o555
	}
	if st, err := root.Lstat(e.name); err != nil || st.Mode() != mode || st.Size() != e.size {
		return false, nil //nolint:nilerr // it is not as it was: nothing else is asked
	}
	f, err := root.Open(e.name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := crc32.NewIEEE()
	// Only Read is shown, so that buf is what the data goes through.
	if _, err := io.CopyBuffer(sum, &cancelable{ctx, f}, buf); err != nil {
		return false, err
	}
	return sum.Sum32() == e.crc, nil
}
