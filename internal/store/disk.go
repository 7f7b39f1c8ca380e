package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// disk is the file system that the engine and the blobs work on. It gives three
// things that Pebble has not:
//
//   - A failed sync, or a failed write of a record file (log, manifest, marker),
//     ends the store: from then on nothing on the disk is changed and nothing is
//     acknowledged. Pebble panics on these errors with its locks held, or goes
//     on with half a state; so it is told that all went well, stays whole in
//     memory for reads, and Update looks at Store.failed itself.
//   - A full disk gives the reserve back and tries again before the engine
//     learns of it.
//   - A flush that cannot succeed waits between its tries. While the engine opens
//     it is given up after a few: Open would wait for it for ever.
//   - A marker leads to a file that is there: what stands in the folder is synced
//     before a marker is made or removed.
type disk struct {
	vfs.FS
	s      *Store
	engine string // the engine's folder, with a separator behind
}

func newDisk(fs vfs.FS, s *Store) *disk {
	return &disk{FS: fs, s: s, engine: fs.PathJoin(s.opts.Dir, "store") + "/"}
}

// Unwrap says that this is the last word on what a file does.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// fileKind says what a file's errors mean.
type fileKind byte

const (
	otherFile  fileKind = iota // a blob: its own business
	tableFile                  // the engine tries again with another file
	recordFile                 // the store ends
)

func (d *disk) kind(name string) fileKind {
	base, ok := strings.CutPrefix(name, d.engine)
	switch {
	case !ok:
		return otherFile
	case strings.HasSuffix(base, ".log"), strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker."):
		return recordFile
	}
	return tableFile
}

// noSpaceWait is how long a flush or compaction rests that has no disk to write
// to; the engine tries again at once.
const noSpaceWait = 250 * time.Millisecond

func (d *disk) rest() {
	t := time.NewTimer(noSpaceWait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.s.closing:
	}
}

// create opens a file for writing by way of open.
func (d *disk) create(name string, open func() (vfs.File, error)) (vfs.File, error) {
	k := d.kind(name)
	if k == tableFile {
		d.s.giveUpOpening()
	}
	if err := d.s.failed(); err != nil {
		// While it opens, the engine ends only when its flush does.
		if k == recordFile || k == tableFile && d.s.opening.Load() {
			return voidFile{}, nil
		}
		d.rest()
		return nil, err
	}
	if k == tableFile && (d.s.space.isFull() || d.s.space.tables.Load() != 0) {
		d.rest()
	}
	if err := d.settle(name); err != nil {
		return voidFile{}, nil //nolint:nilerr // the store has failed
	}
	f, err := open()
	if isNoSpace(err) && k == recordFile && d.s.space.release() {
		f, err = open()
	}
	if k == tableFile {
		err = d.s.space.tableFailed(err)
	}
	if err != nil {
		if k == recordFile {
			d.s.fail(fmt.Errorf("create %s: %w", name, err))
			return voidFile{}, nil
		}
		return nil, err
	}
	return &file{File: f, d: d, name: name, kind: k}, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, opts...) })
}

func (d *disk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.ReuseForWrite(old, name, c) })
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, d: d, name: name, kind: recordFile}, nil
}

// settle syncs the engine's folder before a marker in it changes. Pebble syncs it
// only afterwards, with the file that the marker names: a power cut between could
// keep the new marker without its manifest, or neither the old nor the new one.
func (d *disk) settle(name string) error {
	if base, ok := strings.CutPrefix(name, d.engine); !ok || !strings.HasPrefix(base, "marker.") {
		return nil
	}
	if err := syncDir(d.FS, d.FS.PathDir(name)); err != nil {
		d.s.fail(fmt.Errorf("sync %s: %w", d.FS.PathDir(name), err))
		return err
	}
	return nil
}

// change runs an operation on names.
func (d *disk) change(name string, op func() error) error {
	k := d.kind(name)
	if err := d.s.failed(); err != nil {
		if k == otherFile {
			return err
		}
		return nil
	}
	err := op()
	if isNoSpace(err) && k == recordFile && d.s.space.release() {
		err = op()
	}
	if err != nil && k == recordFile && !errors.Is(err, fs.ErrNotExist) {
		d.s.fail(err)
		return nil
	}
	return err
}

func (d *disk) Link(old, name string) error {
	if err := d.s.failed(); err != nil {
		return err
	}
	return d.FS.Link(old, name)
}
func (d *disk) Remove(name string) error {
	return d.change(name, func() error {
		if err := d.settle(name); err != nil {
			return err
		}
		return d.FS.Remove(name)
	})
}
func (d *disk) RemoveAll(name string) error {
	return d.change(name, func() error { return d.FS.RemoveAll(name) })
}
func (d *disk) Rename(old, name string) error {
	return d.change(name, func() error { return d.FS.Rename(old, name) })
}
func (d *disk) MkdirAll(name string, perm os.FileMode) error {
	return d.change(name, func() error { return d.FS.MkdirAll(name, perm) })
}

// file is an open file of disk, or a folder.
type file struct {
	vfs.File
	d    *disk
	name string
	kind fileKind
}

// ended is what a write gets after the store has failed.
func (f *file) ended() (bool, error) {
	err := f.d.s.failed()
	if err == nil {
		return false, nil
	}
	if f.kind == recordFile {
		return true, nil
	}
	return true, err
}

// broke handles the error of a write, or of a sync.
func (f *file) broke(op string, sync bool, err error) error {
	if err == nil {
		return nil
	}
	if f.kind == recordFile || sync && !isNoSpace(err) {
		f.d.s.fail(fmt.Errorf("%s %s: %w", op, f.name, err))
	}
	if f.kind == recordFile {
		return nil
	}
	return err
}

func (f *file) write(p []byte, write func(p []byte, done int) (int, error)) (int, error) {
	if ended, err := f.ended(); ended {
		if err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if f.kind == tableFile {
		if err := f.d.s.space.table(len(p)); err != nil {
			return 0, err
		}
	}
	n, err := write(p, 0)
	if f.kind == tableFile {
		err = f.d.s.space.tableFailed(err)
	}
	if isNoSpace(err) && f.kind == recordFile && f.d.s.space.release() {
		var more int
		more, err = write(p[n:], n)
		n += more
	}
	if err = f.broke("write", false, err); err == nil {
		n = len(p)
	}
	return n, err
}

func (f *file) Write(p []byte) (int, error) {
	return f.write(p, func(p []byte, _ int) (int, error) { return f.File.Write(p) })
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, func(p []byte, done int) (int, error) { return f.File.WriteAt(p, off+int64(done)) })
}

func (f *file) sync(op func() error) error {
	if ended, err := f.ended(); ended {
		return err
	}
	return f.broke("sync", true, op())
}

func (f *file) Sync() error     { return f.sync(f.File.Sync) }
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }
func (f *file) SyncTo(n int64) (full bool, err error) {
	err = f.sync(func() error { full, err = f.File.SyncTo(n); return err })
	return full, err
}

// Preallocate only makes later writes faster.
func (f *file) Preallocate(off, n int64) error {
	if f.d.s.failed() != nil || !f.d.s.space.roomy(n) {
		return nil
	}
	_ = f.File.Preallocate(off, n)
	return nil
}

func (f *file) Close() error {
	err := f.File.Close()
	if f.kind == recordFile && err != nil {
		f.d.s.fail(fmt.Errorf("close %s: %w", f.name, err))
		return nil
	}
	return err
}

// voidFile is a record file that is made after the store has failed: it takes
// everything and keeps nothing.
type voidFile struct{ vfs.File }

func (v voidFile) Close() error                           { return nil }
func (v voidFile) Write(p []byte) (int, error)            { return len(p), nil }
func (v voidFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (v voidFile) Preallocate(int64, int64) error         { return nil }
func (v voidFile) Stat() (vfs.FileInfo, error)            { return voidInfo{}, nil }
func (v voidFile) Sync() error                            { return nil }
func (v voidFile) SyncTo(int64) (bool, error)             { return true, nil }
func (v voidFile) SyncData() error                        { return nil }
func (v voidFile) Fd() uintptr                            { return vfs.InvalidFd }

// voidInfo has a size of 0; the engine asks for nothing else.
type voidInfo struct{ vfs.FileInfo }

func (voidInfo) Size() int64 { return 0 }

func isNoSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, gust.ErrNoSpace))
}

// explain gives an error of the engine or the disk the domain's name.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gust.ErrCorrupt), errors.Is(err, gust.ErrNoSpace):
		return err
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", gust.ErrNoSpace, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data folder is on a read-only file system: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder does not belong to this user: %w", err)
	}
	return err
}

// makeDir makes a folder and syncs the one that holds it.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	parent := fsys.PathDir(dir)
	if parent != dir {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fsys, parent)
}

func syncDir(fsys vfs.FS, dir string) error {
	if dir == "" {
		return nil
	}
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
