package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// Blobs keeps files by their SHA-256, as blobs/aa/aa.... A blob is there whole
// and synced before Put returns its name, so whoever writes the name into a
// transition after that can rely on it. It is safe for use by many goroutines.
type Blobs struct {
	s   *Store
	dir string

	mu sync.Mutex
	// holds counts the backups that run. Meanwhile what is deleted only
	// disappears from sight, and is removed when the last one has ended.
	holds   int
	deleted map[gust.Digest]bool
	// damaged are those that this run found not to match their names.
	damaged map[gust.Digest]bool
	// put is when this run put a blob or was asked for it, by the steady clock.
	put map[gust.Digest]time.Duration
}

const incoming = "incoming"

func openBlobs(s *Store) (*Blobs, error) {
	b := &Blobs{s: s, dir: s.fs.PathJoin(s.opts.Dir, "blobs"), deleted: map[gust.Digest]bool{}, damaged: map[gust.Digest]bool{}, put: map[gust.Digest]time.Duration{}}
	tmp := s.fs.PathJoin(b.dir, incoming)
	if err := makeDir(s.fs, tmp); err != nil {
		return nil, fmt.Errorf("open the blobs: %w", explain(err))
	}
	// What was coming in when the last run ended was never named.
	names, err := s.fs.List(tmp)
	if err != nil {
		return nil, fmt.Errorf("open the blobs: %w", explain(err))
	}
	for _, name := range names {
		if err := s.fs.Remove(s.fs.PathJoin(tmp, name)); err != nil {
			return nil, fmt.Errorf("open the blobs: %w", explain(err))
		}
	}
	return b, s.failed()
}

func (b *Blobs) folder(d gust.Digest) string { return b.s.fs.PathJoin(b.dir, string(d[:2])) }
func (b *Blobs) path(d gust.Digest) string   { return b.s.fs.PathJoin(b.folder(d), string(d)) }

// Put keeps what r has left and returns its name and size. It is synced, its
// folders included, when Put returns. More than limit bytes are refused with
// gust.ErrTooLarge, a full disk with gust.ErrNoSpace; then nothing is kept. A blob
// that is there already is replaced, which heals it if it was damaged.
func (b *Blobs) Put(ctx context.Context, r io.Reader, limit int64) (gust.Digest, int64, error) {
	if err := b.s.begin(ctx); err != nil {
		return "", 0, err
	}
	defer b.s.end()
	var id [16]byte
	rand.Read(id[:])
	fsys := b.s.fs
	tmp := fsys.PathJoin(b.dir, incoming, hex.EncodeToString(id[:]))
	f, err := fsys.Create(tmp, "gust-blob")
	if err != nil {
		return "", 0, fmt.Errorf("keep a blob: %w", explain(err))
	}
	d, n, err := b.fill(ctx, f, r, limit)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = b.install(tmp, d)
	}
	if err == nil {
		err = b.s.failed()
	}
	if err != nil {
		if rerr := fsys.Remove(tmp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && b.s.failed() == nil {
			b.s.log.Warn("a blob that was not kept is left behind until the next start", "file", tmp, "err", rerr)
		}
		return "", 0, fmt.Errorf("keep a blob: %w", explain(err))
	}
	return d, n, nil
}

// fill copies r into f.
func (b *Blobs) fill(ctx context.Context, f vfs.File, r io.Reader, limit int64) (gust.Digest, int64, error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	var total int64
	for {
		if err := context.Cause(ctx); err != nil {
			return "", 0, err
		}
		n, rerr := io.ReadFull(r, buf)
		if total += int64(n); total > limit {
			return "", 0, fmt.Errorf("%w: a blob has more than the %d bytes that are allowed", gust.ErrTooLarge, limit)
		}
		if n > 0 {
			if err := b.s.space.admit(n); err != nil {
				return "", 0, err
			}
			h.Write(buf[:n])
			if _, err := f.Write(buf[:n]); err != nil {
				return "", 0, err
			}
		}
		switch {
		case rerr == io.EOF || rerr == io.ErrUnexpectedEOF:
			return gust.Digest(hex.EncodeToString(h.Sum(nil))), total, nil
		case rerr != nil:
			return "", 0, fmt.Errorf("read it: %w", rerr)
		}
	}
}

// install gives a complete file its name.
func (b *Blobs) install(tmp string, d gust.Digest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := makeDir(b.s.fs, b.folder(d)); err != nil {
		return err
	}
	if err := b.s.fs.Rename(tmp, b.path(d)); err != nil {
		return err
	}
	delete(b.deleted, d)
	delete(b.damaged, d)
	b.put[d] = b.s.clock.steady()
	return syncDir(b.s.fs, b.folder(d))
}

// Blob is an open blob. Its content was checked when it was opened. ReadAt may
// be used by many goroutines.
type Blob struct {
	f    vfs.File
	size int64
	*io.SectionReader
}

// Size is in bytes.
func (b *Blob) Size() int64 { return b.size }

// Close gives the file back.
func (b *Blob) Close() error { return b.f.Close() }

// Open opens a blob after reading all of it: one whose SHA-256 is not its name
// is refused with gust.ErrCorrupt, naming the file. One that is not there gives
// gust.ErrNotFound.
func (b *Blobs) Open(d gust.Digest) (*Blob, error) {
	if _, err := gust.ParseDigest(string(d)); err != nil {
		return nil, fmt.Errorf("%w: open a blob: %w", gust.ErrInvalid, err)
	}
	if err := b.s.begin(context.Background()); err != nil {
		return nil, err
	}
	defer b.s.end()
	if b.hidden(d) {
		return nil, fmt.Errorf("blob %s: %w", d, gust.ErrNotFound)
	}
	f, size, err := openChecked(b.s.fs, b.path(d), d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d, gust.ErrNotFound)
	}
	if err != nil {
		if errors.Is(err, gust.ErrCorrupt) {
			b.mu.Lock()
			b.damaged[d] = true
			b.mu.Unlock()
		}
		return nil, fmt.Errorf("open blob %s: %w", d.Short(), explain(err))
	}
	return &Blob{f: f, size: size, SectionReader: io.NewSectionReader(f, 0, size)}, nil
}

func openChecked(fsys vfs.FS, path string, d gust.Digest) (vfs.File, int64, error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	got, n, err := gust.DigestOf(io.NewSectionReader(f, 0, st.Size()))
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	if got != d || n != st.Size() {
		return nil, 0, errors.Join(fmt.Errorf("%w: %s has the SHA-256 %s", gust.ErrCorrupt, path, got), f.Close())
	}
	return f, n, nil
}

func (b *Blobs) hidden(d gust.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deleted[d]
}

// Has tells whether a blob is there; it does not read it, but one that Open has
// found damaged counts as not there until it is put again. For Sweep one that is
// counts as put now, since who asks may be about to name it.
func (b *Blobs) Has(d gust.Digest) (bool, error) {
	if _, err := gust.ParseDigest(string(d)); err != nil {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deleted[d] || b.damaged[d] {
		return false, nil
	}
	_, err := b.s.fs.Stat(b.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	b.put[d] = b.s.clock.steady()
	return true, nil
}

// Delete removes a blob; one that is not there is no error.
func (b *Blobs) Delete(d gust.Digest) error {
	if _, err := gust.ParseDigest(string(d)); err != nil {
		return fmt.Errorf("%w: delete a blob: %w", gust.ErrInvalid, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(d)
}

// remove is Delete under mu.
func (b *Blobs) remove(d gust.Digest) error {
	delete(b.put, d)
	if b.holds > 0 {
		b.deleted[d] = true
		return nil
	}
	if err := b.s.fs.Remove(b.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", d.Short(), explain(err))
	}
	return nil
}

// List returns the names of all blobs, in order.
func (b *Blobs) List() ([]gust.Digest, error) {
	all, err := listBlobs(b.s.fs, b.dir, func(string) {})
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(all, func(d gust.Digest) bool { return b.deleted[d] }), err
}

// listBlobs lists the folder's blobs; stray gets the files that are none.
func listBlobs(fsys vfs.FS, dir string, stray func(path string)) ([]gust.Digest, error) {
	folders, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the blobs: %w", explain(err))
	}
	var all []gust.Digest
	for _, folder := range folders {
		if folder == incoming {
			continue
		}
		path := fsys.PathJoin(dir, folder)
		if st, err := fsys.Stat(path); err != nil || !st.IsDir() {
			stray(path)
			continue
		}
		names, err := fsys.List(path)
		if err != nil {
			return nil, fmt.Errorf("list the blobs: %w", explain(err))
		}
		for _, name := range names {
			d, err := gust.ParseDigest(name)
			if err != nil || !strings.HasPrefix(name, folder) || len(folder) != 2 {
				stray(fsys.PathJoin(path, name))
				continue
			}
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Sweep deletes the blobs that keep does not want and that were put before
// olderThan ago: whoever puts a blob has that long to name it in a transition.
// It returns how many it deleted. While the clock is not believed (see the
// clock rule) the blobs of earlier runs stay.
func (b *Blobs) Sweep(ctx context.Context, keep func(gust.Digest) bool, olderThan time.Duration) (int, error) {
	if err := b.s.begin(ctx); err != nil {
		return 0, err
	}
	defer b.s.end()
	all, err := b.List()
	if err != nil {
		return 0, err
	}
	var n int
	for _, d := range all {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		if keep(d) {
			continue
		}
		swept, err := b.sweep(d, olderThan)
		if err != nil {
			return n, err
		}
		if swept {
			n++
		}
	}
	return n, nil
}

func (b *Blobs) sweep(d gust.Digest, olderThan time.Duration) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.put[d]; ok {
		if b.s.clock.steady()-at < olderThan {
			return false, nil
		}
	} else {
		st, err := b.s.fs.Stat(b.path(d))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("sweep blob %s: %w", d.Short(), explain(err))
		}
		if b.s.clock.now().Sub(st.ModTime()) < olderThan || b.s.clock.unsettled() > 0 {
			return false, nil
		}
	}
	return true, b.remove(d)
}

// hold keeps every file where it is until release is called.
func (b *Blobs) hold() (release func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds++
	return func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.holds--; b.holds > 0 {
			return nil
		}
		var errs []error
		for d := range b.deleted {
			errs = append(errs, b.remove(d))
		}
		clear(b.deleted)
		return errors.Join(errs...)
	}
}
