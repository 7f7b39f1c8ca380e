package store

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// Checkpoint writes the state as it is at one moment during the call, with all
// that was acknowledged before it, into a new folder on the same file system.
// Tables are linked, not copied. Blobs are not in it.
func (s *Store) Checkpoint(dir string) error {
	if err := s.begin(context.Background()); err != nil {
		return err
	}
	defer s.end()
	if err := s.checkpoint(dir); err != nil {
		return fmt.Errorf("make a checkpoint in %s: %w", dir, explain(err))
	}
	return nil
}

func (s *Store) checkpoint(dir string) error {
	if err := s.barrier(); err != nil {
		return err
	}
	acked := s.synced.Load()
	if err := s.db.Checkpoint(dir); err != nil {
		return err
	}
	err := s.trim(dir, acked)
	if err == nil {
		err = s.failed()
	}
	if err != nil {
		return errors.Join(err, s.fs.RemoveAll(dir))
	}
	return nil
}

// trim cuts a checkpoint's newest log after its last whole record. The engine
// copies it while it is written, so that the copy can hold a later part without
// an earlier one, which looks like damage.
func (s *Store) trim(dir string, acked uint64) error {
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	logs := logNumbers(names)
	if len(logs) == 0 {
		return nil
	}
	n := logs[len(logs)-1]
	path := s.fs.PathJoin(dir, logName(n))
	data, err := readFile(s.fs, path)
	if err != nil {
		return err
	}
	e := scanLog(data, n)
	if e.last != 0 && e.last < acked {
		return fmt.Errorf("%w: the copy of %s ends at transition %d, and %d was acknowledged", gust.ErrCorrupt, path, e.last, acked)
	}
	return writeSmall(s.fs, dir, logName(n), e.data)
}

// The stream is a tar archive: FORMAT, the checkpoint as store/..., the blobs as
// blobs/aa/..., and last SUMS, a line "sha256 size name" for each of them. Without
// a SUMS that fits, a stream is not whole.
const (
	sumsFile      = "SUMS"
	maxSums       = 1 << 30
	restoringFile = "RESTORING"
	checkpointDir = "checkpoint"
)

// Backup writes one cut through the store and its blobs to w while the store
// runs: a stream that Restore reads. Everything that was acknowledged before the
// call is in it, every blob included that its state names; what is deleted or
// swept meanwhile disappears from the disk after it. Logs and the folder's keys
// are not in it.
func Backup(ctx context.Context, s *Store, w io.Writer) (err error) {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	// Blobs are put before they are named, so the blobs that are there after
	// the cut and those that left since hold began are all that it can name.
	release := s.blobs.hold()
	defer func() { err = errors.Join(err, release()) }()

	var id [8]byte
	rand.Read(id[:])
	cut := s.fs.PathJoin(s.opts.Dir, checkpointDir, hex.EncodeToString(id[:]))
	if err := s.checkpoint(cut); err != nil {
		return fmt.Errorf("back up: %w", explain(err))
	}
	defer func() {
		if rerr := s.fs.RemoveAll(cut); rerr != nil && err == nil {
			err = fmt.Errorf("back up: the stream is whole, but its checkpoint is left behind: %w", rerr)
		}
	}()
	b := &archive{ctx: ctx, fs: s.opts.FS, tar: tar.NewWriter(w), at: s.Now()}
	if err := b.write(s.opts.Dir, cut, s.blobs); err != nil {
		return fmt.Errorf("back up: %w", explain(err))
	}
	return nil
}

// archive writes a backup.
type archive struct {
	ctx  context.Context
	fs   vfs.FS
	tar  *tar.Writer
	at   time.Time
	sums strings.Builder
}

func (a *archive) write(dir, cut string, blobs *Blobs) error {
	if err := a.add(formatFile, a.fs.PathJoin(dir, formatFile), nil); err != nil {
		return err
	}
	names, err := a.fs.List(cut)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := a.add("store/"+name, a.fs.PathJoin(cut, name), nil); err != nil {
			return err
		}
	}
	digests, err := listBlobs(a.fs, blobs.dir, func(string) {})
	if err != nil {
		return err
	}
	for _, d := range digests {
		if err := a.add("blobs/"+string(d[:2])+"/"+string(d), blobs.path(d), &d); err != nil {
			return err
		}
	}
	sums := a.sums.String()
	if err := a.tar.WriteHeader(a.header(sumsFile, int64(len(sums)))); err != nil {
		return err
	}
	if _, err := io.WriteString(a.tar, sums); err != nil {
		return err
	}
	return a.tar.Close()
}

func (a *archive) header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.at.Truncate(time.Second), Format: tar.FormatPAX}
}

// add copies a file into the archive. A blob that is not what its name says is
// refused: a backup does not hand damage on.
func (a *archive) add(name, path string, want *gust.Digest) error {
	f, err := a.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(a.header(name, st.Size())); err != nil {
		return err
	}
	h := sha256.New()
	if err := copyContext(a.ctx, io.MultiWriter(h, a.tar), io.NewSectionReader(f, 0, st.Size()), st.Size()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if want != nil && sum != string(*want) {
		return fmt.Errorf("%w: %s has the SHA-256 %s", gust.ErrCorrupt, path, sum)
	}
	fmt.Fprintf(&a.sums, "%s %d %s\n", sum, st.Size(), name)
	return nil
}

// copyContext copies exactly n bytes, or as many until ctx ends.
func copyContext(ctx context.Context, w io.Writer, r io.Reader, n int64) error {
	for n > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		k, err := io.CopyN(w, r, min(n, 1<<20))
		if n -= k; err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// sums is what a backup says about its files.
type sums map[string]sum

type sum struct {
	hash [sha256.Size]byte
	size int64
}

func parseSums(text string) (sums, error) {
	all := sums{}
	for text != "" {
		line, rest, ok := strings.Cut(text, "\n")
		text = rest
		var hexed, name string
		var s sum
		if n, err := fmt.Sscanf(line, "%64s %d %s", &hexed, &s.size, &name); !ok || n != 3 || err != nil || s.size < 0 {
			return nil, fmt.Errorf("%w: line %.100q of the backup's %s is malformed", gust.ErrCorrupt, line, sumsFile)
		}
		if n, err := hex.Decode(s.hash[:], []byte(hexed)); n != sha256.Size || err != nil {
			return nil, fmt.Errorf("%w: line %.100q of the backup's %s has no SHA-256", gust.ErrCorrupt, line, sumsFile)
		}
		if fmt.Sprintf("%s %d %s", hexed, s.size, name) != line {
			return nil, fmt.Errorf("%w: line %.100q of the backup's %s is malformed", gust.ErrCorrupt, line, sumsFile)
		}
		if _, ok := all[name]; ok {
			return nil, fmt.Errorf("%w: the backup's %s names %s twice", gust.ErrCorrupt, sumsFile, name)
		}
		all[name] = s
	}
	return all, nil
}

// backupName tells whether a file may be in a backup.
func backupName(name string) bool {
	if name == formatFile || name == sumsFile {
		return true
	}
	if f, ok := strings.CutPrefix(name, "store/"); ok {
		return f != "" && f != "." && f != ".." && !strings.ContainsAny(f, "/\\\x00 \n") && len(f) < 200
	}
	f, ok := strings.CutPrefix(name, "blobs/")
	if !ok || len(f) != 3+64 || f[2] != '/' || f[:2] != f[3:5] {
		return false
	}
	_, err := gust.ParseDigest(f[3:])
	return err == nil
}

// Restore reads a Backup into a folder that is empty or not there. It is all or
// nothing: every file is checked against its sum and synced, the store in it is
// verified as Check does, and only then the folder becomes a data folder.
// Otherwise what was written is removed again; after a crash in the middle the
// folder is refused by Open.
func Restore(ctx context.Context, r io.Reader, dir string) error {
	return restore(ctx, vfs.Default, r, dir)
}

func restore(ctx context.Context, fsys vfs.FS, r io.Reader, dir string) (err error) {
	names, err := fsys.List(dir)
	made := errors.Is(err, fs.ErrNotExist)
	if err != nil && !made {
		return fmt.Errorf("restore: %w", explain(err))
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: %s is not empty (it holds %q): restore into an empty folder", gust.ErrConflict, dir, names[0])
	}
	if err := makeDir(fsys, dir); err != nil {
		return fmt.Errorf("restore: %w", explain(err))
	}
	defer func() {
		if err == nil {
			return
		}
		err = fmt.Errorf("restore: %w", explain(err))
		for _, name := range []string{"store", "blobs", formatFile, formatFile + ".tmp", restoringFile, restoringFile + ".tmp"} {
			if rerr := fsys.RemoveAll(fsys.PathJoin(dir, name)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = errors.Join(err, rerr)
			}
		}
		if made {
			err = errors.Join(err, fsys.Remove(dir))
		}
	}()
	if err := writeSmall(fsys, dir, restoringFile, []byte("restoring\n")); err != nil {
		return err
	}
	if err := unpack(ctx, fsys, r, dir); err != nil {
		return err
	}
	bad := checkEngine(ctx, fsys, fsys.PathJoin(dir, "store"), func(file string, ferr error) {
		if ferr != nil && err == nil {
			err = fmt.Errorf("%s: %w", file, ferr)
		}
	})
	if bad != nil {
		return errors.Join(bad, err)
	}
	if err := writeFormat(fsys, dir); err != nil {
		return err
	}
	if err := fsys.Remove(fsys.PathJoin(dir, restoringFile)); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

// unpack writes a backup's files but FORMAT, and checks that they are all of it.
func unpack(ctx context.Context, fsys vfs.FS, r io.Reader, dir string) error {
	tr := tar.NewReader(r)
	got := sums{}
	var want sums
	for want == nil {
		h, err := tr.Next()
		if err == io.EOF {
			return fmt.Errorf("%w: the backup ends before its %s: it is not whole", gust.ErrCorrupt, sumsFile)
		}
		if err != nil {
			return fmt.Errorf("%w: the backup cannot be read: %w", gust.ErrCorrupt, err)
		}
		if _, twice := got[h.Name]; h.Typeflag != tar.TypeReg || !backupName(h.Name) || twice {
			return fmt.Errorf("%w: the backup holds %.100q, which no backup does", gust.ErrCorrupt, h.Name)
		}
		switch h.Name {
		case formatFile, sumsFile:
			limit := int64(64)
			if h.Name == sumsFile {
				limit = maxSums
			}
			if h.Size > limit {
				return fmt.Errorf("%w: the backup's %s has %d bytes, at most %d are allowed", gust.ErrCorrupt, h.Name, h.Size, limit)
			}
			text, err := io.ReadAll(tr)
			if err != nil {
				return fmt.Errorf("%w: the backup cannot be read: %w", gust.ErrCorrupt, err)
			}
			if h.Name == sumsFile {
				if want, err = parseSums(string(text)); err != nil {
					return err
				}
				continue
			}
			if err := parseFormat(string(text), "the backup"); err != nil {
				return err
			}
			got[h.Name] = sum{sha256.Sum256(text), h.Size}
		default:
			s, err := unpackFile(ctx, fsys, tr, fsys.PathJoin(dir, h.Name), h.Size)
			if err != nil {
				return err
			}
			got[h.Name] = s
		}
	}
	for name, s := range want {
		if got[name] != s {
			return fmt.Errorf("%w: %s of the backup does not have its checksum", gust.ErrCorrupt, name)
		}
	}
	for name, s := range got {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%w: %s is not in the backup's %s", gust.ErrCorrupt, name, sumsFile)
		}
		if strings.HasPrefix(name, "blobs/") && hex.EncodeToString(s.hash[:]) != name[len("blobs/aa/"):] {
			return fmt.Errorf("%w: blob %s of the backup is another one", gust.ErrCorrupt, name)
		}
	}
	if _, ok := got[formatFile]; !ok {
		return fmt.Errorf("%w: the backup has no %s", gust.ErrCorrupt, formatFile)
	}
	return syncTree(fsys, dir)
}

func unpackFile(ctx context.Context, fsys vfs.FS, r io.Reader, path string, size int64) (s sum, err error) {
	if err := fsys.MkdirAll(fsys.PathDir(path), 0o700); err != nil {
		return s, err
	}
	f, err := fsys.Create(path, "gust-restore")
	if err != nil {
		return s, err
	}
	h := sha256.New()
	// A vfs.File may change what it is given, so the hash comes first.
	err = copyContext(ctx, io.MultiWriter(h, f), r, size)
	if err == nil {
		err = f.Sync()
	}
	h.Sum(s.hash[:0])
	s.size = size
	return s, errors.Join(err, f.Close())
}

// syncTree syncs a folder and all in it.
func syncTree(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		p := fsys.PathJoin(dir, name)
		if st, err := fsys.Stat(p); err != nil {
			return err
		} else if st.IsDir() {
			if err := syncTree(fsys, p); err != nil {
				return err
			}
		}
	}
	return syncDir(fsys, dir)
}
