package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

var fixedTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// blobs is a store of artifacts that counts how often they are opened.
type blobs struct {
	data   map[gust.Digest][]byte
	err    error
	gate   chan struct{} // if set, opening waits for it
	opened atomic.Int64
	closed atomic.Int64
}

type blob struct {
	*bytes.Reader
	closed *atomic.Int64
}

func (b *blob) Close() error { b.closed.Add(1); return nil }

func (b *blobs) Open(d gust.Digest) (*blob, error) {
	b.opened.Add(1)
	if b.gate != nil {
		<-b.gate
	}
	if b.err != nil {
		return nil, b.err
	}
	data, ok := b.data[d]
	if !ok {
		return nil, gust.ErrNotFound
	}
	return &blob{bytes.NewReader(data), &b.closed}, nil
}

func (b *blobs) put(t *testing.T, zip []byte) gust.Digest {
	t.Helper()
	d, _, err := gust.DigestOf(bytes.NewReader(zip))
	if err != nil {
		t.Fatal(err)
	}
	if b.data == nil {
		b.data = make(map[gust.Digest][]byte)
	}
	b.data[d] = zip
	return d
}

func openCache(t *testing.T, dir string, b *blobs) *artifact.Cache {
	t.Helper()
	c, err := artifact.OpenCache(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return err == nil
}

func none(gust.Digest) bool { return false }

func TestCacheUnpacksOnceForMany(t *testing.T) {
	b := &blobs{gate: make(chan struct{})}
	d := b.put(t, forge(t, bootstrap))
	dir := tempDir(t)
	c := openCache(t, dir, b)

	const n = 50
	var wg sync.WaitGroup
	releases := make(chan func(), n)
	for range n {
		wg.Go(func() {
			path, release, err := c.Acquire(t.Context(), d)
			if err != nil {
				t.Error(err)
				return
			}
			if !exists(t, filepath.Join(path, "bootstrap")) {
				t.Error("it is not there")
			}
			releases <- release
		})
	}
	close(b.gate)
	wg.Wait()
	close(releases)
	if b.opened.Load() != 1 || b.closed.Load() != 1 {
		t.Errorf("opened %d times, closed %d times", b.opened.Load(), b.closed.Load())
	}

	path := filepath.Join(dir, string(d))
	for release := range releases {
		if err := c.Sweep(none); err != nil {
			t.Error(err)
		}
		if !exists(t, path) {
			t.Fatal("swept while it is used")
		}
		release()
		release() // the second time does nothing
	}
	if err := c.Sweep(func(k gust.Digest) bool { return k == d }); err != nil || !exists(t, path) {
		t.Errorf("swept although it is to be kept: %v", err)
	}
	if err := c.Sweep(none); err != nil || exists(t, path) {
		t.Errorf("not swept although nobody uses it: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	_, release, err := c.Acquire(t.Context(), d)
	if err != nil || b.opened.Load() != 2 {
		t.Errorf("after the sweep: %v, opened %d times", err, b.opened.Load())
	}
	release()
}

func TestCacheIsThereAfterARestart(t *testing.T) {
	b := &blobs{}
	d := b.put(t, forge(t, bootstrap))
	dir := tempDir(t)
	c := openCache(t, dir, b)
	path, release, err := c.Acquire(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// What a crash leaves: half an artifact, in folders that are read-only.
	half := filepath.Join(dir, ".tmp-123", "lib")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "a"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(half, 0o555); err != nil {
		t.Fatal(err)
	}

	c = openCache(t, dir, b)
	if exists(t, filepath.Join(dir, ".tmp-123")) {
		t.Error("what the crash left is still there")
	}
	_, release, err = c.Acquire(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was unpacked again (%v)", err)
	}
}

func TestCacheErrors(t *testing.T) {
	b := &blobs{}
	bad := b.put(t, forge(t, file{name: "../x"}))
	good := b.put(t, forge(t, bootstrap))
	c := openCache(t, tempDir(t), b)
	expect := func(d gust.Digest, want error) {
		t.Helper()
		path, release, err := c.Acquire(t.Context(), d)
		if !errors.Is(err, want) || path != "" || release != nil {
			t.Errorf("got %q, %v, want %v", path, err, want)
		}
	}
	expect("../../etc", gust.ErrInvalid)
	expect(bad, gust.ErrInvalid)
	expect(gust.Digest(fmt.Sprintf("%064x", 1)), gust.ErrNotFound)
	b.err = fmt.Errorf("blobs/ab: %w", gust.ErrCorrupt)
	expect(good, gust.ErrCorrupt)
	b.err = nil // a failure is not remembered
	_, release, err := c.Acquire(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	expect(good, gust.ErrClosing)
}

func TestCacheWaitsNoLongerThanItsCaller(t *testing.T) {
	b := &blobs{gate: make(chan struct{})}
	d := b.put(t, forge(t, bootstrap))
	dir := tempDir(t)
	c := openCache(t, dir, b)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, _, err := c.Acquire(ctx, d); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	// It is still being unpacked, so it is not swept.
	if err := c.Sweep(none); err != nil {
		t.Error(err)
	}
	close(b.gate)
	_, release, err := c.Acquire(t.Context(), d)
	if err != nil || b.opened.Load() != 1 {
		t.Errorf("%v, opened %d times", err, b.opened.Load())
	}
	release()
}

func TestCacheUnderHammer(t *testing.T) {
	b := &blobs{}
	var digests []gust.Digest
	for i := range 4 {
		digests = append(digests, b.put(t, forge(t, bootstrap, file{name: fmt.Sprint(i)})))
	}
	c := openCache(t, tempDir(t), b)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				d := digests[(g+i)%len(digests)]
				path, release, err := c.Acquire(t.Context(), d)
				if err != nil {
					t.Error(err)
					return
				}
				if !exists(t, filepath.Join(path, "bootstrap")) {
					t.Error("it is not there")
				}
				release()
			}
		})
		wg.Go(func() {
			for range 50 {
				if err := c.Sweep(none); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
