package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	gust "github.com/gust-dev/gust"
)

// Blob is an artifact's bytes as they are kept, checked against their digest.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Cache keeps unpacked artifacts, a folder each, named by its digest. Any of
// them may be removed while nobody uses it: it is unpacked again from its blob.
// It is safe for use by many goroutines.
type Cache struct {
	dir  string
	open func(gust.Digest) (Blob, error)

	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[gust.Digest]*unpacked
	trash   int // counts what was thrown away, for names
}

// unpacked is one artifact that is, or is being, unpacked.
type unpacked struct {
	users int
	ready chan struct{} // closed when it is there, or err says why not
	err   error
}

// OpenCache opens the cache in a folder, which it makes and has for itself, and
// removes what a crash left half unpacked. Blobs are opened checked: one that
// does not match its digest is a gust.ErrCorrupt naming the file.
func OpenCache[B Blob](dir string, blobs interface{ Open(gust.Digest) (B, error) }) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the code cache: %w", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the code cache: %w", err)
	}
	for _, d := range names {
		if strings.HasPrefix(d.Name(), tempPrefix) {
			if err := removeTree(filepath.Join(dir, d.Name())); err != nil {
				return nil, fmt.Errorf("open the code cache: %w", err)
			}
		}
	}
	c := &Cache{dir: dir, entries: make(map[gust.Digest]*unpacked)}
	c.open = func(d gust.Digest) (Blob, error) { return blobs.Open(d) }
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c, nil
}

// Acquire returns the folder of an unpacked artifact, which stays until release
// is called; calling it again does nothing. However many ask at once, the
// artifact is unpacked once; ctx ends only the waiting. A failure is not
// remembered.
func (c *Cache) Acquire(ctx context.Context, d gust.Digest) (path string, release func(), err error) {
	if _, err := gust.ParseDigest(string(d)); err != nil {
		return "", nil, fmt.Errorf("%w: %w", gust.ErrInvalid, err)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return "", nil, fmt.Errorf("unpack artifact %s: %w", d.Short(), gust.ErrClosing)
	}
	u := c.entries[d]
	if u == nil {
		u = &unpacked{ready: make(chan struct{})}
		c.entries[d] = u
		c.work.Go(func() { c.unpack(d, u) })
	}
	u.users++
	c.mu.Unlock()

	release = sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		u.users--
	})
	select {
	case <-u.ready:
		err = u.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		release()
		return "", nil, fmt.Errorf("unpack artifact %s: %w", d.Short(), err)
	}
	return c.path(d), release, nil
}

func (c *Cache) path(d gust.Digest) string { return filepath.Join(c.dir, string(d)) }

func (c *Cache) unpack(d gust.Digest, u *unpacked) {
	err := c.fill(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.err = err; err != nil {
		delete(c.entries, d)
	}
	close(u.ready)
}

// fill makes an artifact's folder. One that an earlier run made is used again
// if it still is what was unpacked, and made anew if it is not: it is synced
// but has no checksum of its own, and a disk may damage it.
func (c *Cache) fill(d gust.Digest) error {
	blob, err := c.open(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	path := c.path(d)
	if _, err := os.Stat(path); err == nil {
		if err := verify(c.ctx, blob, blob.Size(), path); err == nil || c.ctx.Err() != nil {
			return err
		}
		if err := removeTree(path); err != nil {
			return fmt.Errorf("unpack again what was damaged: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Unpack(c.ctx, blob, blob.Size(), path)
}

// Sweep removes every unpacked artifact that nobody uses and that keep does not
// want. It returns all that went wrong, and goes on after each.
func (c *Cache) Sweep(keep func(gust.Digest) bool) error {
	names, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("sweep the code cache: %w", err)
	}
	var errs []error
	for _, entry := range names {
		d, err := gust.ParseDigest(entry.Name())
		if err != nil || keep(d) {
			continue
		}
		trash, err := c.discard(d)
		if err == nil && trash != "" {
			err = removeTree(trash)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sweep the code cache: %w", err))
		}
	}
	return errors.Join(errs...)
}

// discard takes an artifact's folder out of use and returns its new name, or ""
// when it is used.
func (c *Cache) discard(d gust.Digest) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.entries[d]; u != nil {
		select {
		case <-u.ready:
		default:
			return "", nil
		}
		if u.users > 0 {
			return "", nil
		}
	}
	c.trash++
	trash := filepath.Join(c.dir, fmt.Sprintf("%strash-%s-%d", tempPrefix, d, c.trash))
	if err := os.Rename(c.path(d), trash); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	delete(c.entries, d)
	return trash, nil
}

// Close ends what is being unpacked and waits for it. What was acquired stays.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(gust.ErrClosing)
	c.work.Wait()
	return nil
}
