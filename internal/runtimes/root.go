package runtimes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// entry is one thing in a root.
type entry struct {
	mode   fs.FileMode // type and permissions
	target string      // of a link
	text   string      // of a file of ours; of one of the host, what is written over its first bytes
	host   string      // where a file comes from, "" for ours
	was    string      // what the file was when it was found, see identify
	size   int64
	sum    string // of a file's content; known once it was written or read
}

// root is what is in one, by path.
type root map[string]*entry

func folder() *entry              { return &entry{mode: fs.ModeDir | 0o755} }
func link(target string) *entry   { return &entry{mode: fs.ModeSymlink | 0o777, target: target} }
func textFile(text string) *entry { return &entry{mode: 0o644, text: text, size: int64(len(text))} }

// addText puts a file of ours, and the folders that lead to it, into the root.
func (r root) addText(p, text string) { r.add(p, textFile(text)) }

func (r root) add(p string, e *entry) {
	for dir := path.Dir(p); r[dir] == nil; dir = path.Dir(dir) {
		r[dir] = folder()
	}
	r[p] = e
}

// size is how much the files of the root take together.
func (r root) size() (n int64) {
	for _, e := range r {
		n += e.size
	}
	return n
}

// making counts the ways in which roots were made of what was found: with a new
// one every fingerprint is new.
const making = 1

// fingerprint tells without reading files whether a root that is built of r
// would be what it was the last time.
func (r root) fingerprint() string {
	sum := sha256.New()
	fmt.Fprintln(sum, making)
	for _, p := range slices.Sorted(maps.Keys(r)) {
		e := r[p]
		fmt.Fprintf(sum, "%q %o %q %q %q\n", p, uint32(e.mode), e.target, e.text, e.was)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// digest names the root by all that is in it. Sums have to be known.
func (r root) digest() gust.Digest {
	sum := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(r)) {
		e := r[p]
		fmt.Fprintf(sum, "%q %o %q %s\n", p, uint32(e.mode), e.target, e.sum)
	}
	return gust.Digest(hex.EncodeToString(sum.Sum(nil)))
}

// read lists a root that was built, reading all of it.
func read(ctx context.Context, dir string) (root, error) {
	r := root{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		e := &entry{mode: st.Mode() & (fs.ModeType | fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)}
		switch {
		case e.mode&fs.ModeSymlink != 0:
			e.target, err = os.Readlink(p)
		case e.mode.IsRegular():
			e.size = st.Size()
			e.sum, err = sumFile(p)
		}
		r["/"+strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")] = e
		return err
	})
	return r, err
}

func sumFile(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, _, err := gust.DigestOf(f)
	return string(d), err
}

// write makes what is in r in dir, which is empty but for what was written
// before, and learns the files' sums.
func (r root) write(ctx context.Context, dir string) error {
	buf := make([]byte, 128<<10)                    // one for thousands of files
	for _, p := range slices.Sorted(maps.Keys(r)) { // a folder before what is in it
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		e, full := r[p], filepath.Join(dir, p)
		var err error
		switch {
		case e.mode.IsDir():
			if err = os.Mkdir(full, 0o755); errors.Is(err, fs.ErrExist) {
				err = nil
			}
			if err == nil {
				err = os.Chmod(full, e.mode.Perm()) // whatever the umask is
			}
		case e.mode&fs.ModeSymlink != 0:
			err = os.Symlink(e.target, full)
		default:
			err = e.write(full, buf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes a file, by way of buf.
func (e *entry) write(full string, buf []byte) error {
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.mode.Perm())
	if err != nil {
		return err
	}
	defer f.Close()
	content := io.Reader(strings.NewReader(e.text))
	if e.host != "" {
		src, err := os.Open(e.host)
		if err != nil {
			return err
		}
		defer src.Close()
		if _, err := src.Seek(int64(len(e.text)), io.SeekStart); err != nil {
			return err
		}
		content = io.MultiReader(content, src)
	}
	sum := sha256.New()
	if e.size, err = io.CopyBuffer(io.MultiWriter(f, sum), struct{ io.Reader }{content}, buf); err != nil {
		return err
	}
	e.sum = hex.EncodeToString(sum.Sum(nil))
	return errors.Join(f.Chmod(e.mode.Perm()), f.Close())
}

// unchanged fails when a file is not any more what it was when it was found:
// half of an update in a root would be worse than none.
func (r root) unchanged() error {
	for _, e := range r {
		if e.host == "" {
			continue
		}
		st, err := os.Lstat(e.host)
		if err != nil {
			return err
		}
		if identify(st) != e.was {
			return fmt.Errorf("%s changes meanwhile; try again when it does not", e.host)
		}
	}
	return nil
}
