package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// Format is the version of the data folder that this binary reads and writes.
// The file FORMAT holds it, as "gust 1\n".
const Format = 1

const formatFile = "FORMAT"

// CheckFormat reads the folder's FORMAT. It returns fs.ErrNotExist when there is
// none, gust.ErrCorrupt when it cannot be read, and an error that names both
// versions when a newer binary has written the folder.
func CheckFormat(dir string) error { return checkFormat(vfs.Default, dir) }

// WriteFormat makes a new folder's FORMAT, synced.
func WriteFormat(dir string) error { return writeFormat(vfs.Default, dir) }

func checkFormat(fsys vfs.FS, dir string) error {
	path := fsys.PathJoin(dir, formatFile)
	b, err := readSmall(fsys, path, 64)
	if err != nil {
		return fmt.Errorf("read the format of the data folder: %w", explain(err))
	}
	return parseFormat(string(b), path)
}

func parseFormat(text, path string) error {
	n, ok := strings.CutPrefix(text, "gust ")
	n, line := strings.CutSuffix(n, "\n")
	v, err := strconv.Atoi(n)
	switch {
	case !ok || !line || err != nil || v < 1 || strconv.Itoa(v) != n:
		return fmt.Errorf("%w: %s holds %.60q: want \"gust %d\\n\"", gust.ErrCorrupt, path, text, Format)
	case v > Format:
		return fmt.Errorf("%s has format %d, and this gust knows formats up to %d: use a newer gust", path, v, Format)
	}
	return nil
}

func writeFormat(fsys vfs.FS, dir string) error {
	return writeSmall(fsys, dir, formatFile, fmt.Appendf(nil, "gust %d\n", Format))
}

// ours are the names that may stand in a folder that has no FORMAT yet: those
// that a node, or an Open that did not finish, makes before it.
var ours = []string{"lock", "reserve", "root.key", "seal.key", "tls", "node.json"}

// openFormat checks the folder's format, or makes it in a new folder.
func openFormat(fsys vfs.FS, dir string) error {
	err := checkFormat(fsys, dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("open the data folder: %w", explain(err))
	}
	for _, name := range names {
		if name == restoringFile {
			return fmt.Errorf("%w: the data folder %s holds a restore that did not finish: empty the folder and restore again", gust.ErrCorrupt, dir)
		}
		if !slices.Contains(ours, name) && !strings.HasSuffix(name, ".tmp") {
			return fmt.Errorf("%w: %s is no data folder: it holds %q, but no FORMAT; name an empty folder", gust.ErrInvalid, dir, name)
		}
	}
	if err := writeFormat(fsys, dir); err != nil {
		return fmt.Errorf("make the data folder %s: %w", dir, explain(err))
	}
	return nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", gust.ErrCorrupt, path, limit)
	}
	return b, nil
}

// writeSmall replaces a file as a whole: it is there with all its bytes, synced,
// or as it was.
func writeSmall(fsys vfs.FS, dir, name string, data []byte) error {
	tmp := fsys.PathJoin(dir, name+".tmp")
	f, err := fsys.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(tmp, fsys.PathJoin(dir, name))
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(tmp))
	}
	return syncDir(fsys, dir)
}
