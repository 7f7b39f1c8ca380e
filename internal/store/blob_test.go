package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
)

func readBlob(s *Store, d gust.Digest) (string, error) {
	b, err := s.Blobs().Open(d)
	if err != nil {
		return "", err
	}
	defer b.Close()
	content, err := io.ReadAll(b)
	return string(content), err
}

func TestBlobs(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem})
	ctx := context.Background()
	big := strings.Repeat("0123456789abcdef", 50_000)
	d := putBlob(t, s, big)
	empty := putBlob(t, s, "")
	for d, want := range map[gust.Digest]string{d: big, empty: ""} {
		if got, err := readBlob(s, d); err != nil || got != want {
			t.Errorf("%s: %d bytes, %v", d, len(got), err)
		}
	}
	b, err := s.Blobs().Open(d)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n, err := b.ReadAt(p, 18); n != 4 || err != nil || string(p) != "2345" || b.Size() != int64(len(big)) {
		t.Error(n, err, p, b.Size())
	}
	b.Close()
	for name, tc := range map[string]struct {
		ctx  func() context.Context
		r    io.Reader
		max  int64
		want error
	}{
		"too large":   {nil, strings.NewReader("12345"), 4, gust.ErrTooLarge},
		"just enough": {nil, strings.NewReader("1234"), 4, nil},
		"bad reader":  {nil, iotest.ErrReader(io.ErrClosedPipe), 10, io.ErrClosedPipe},
		"cancelled": {func() context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(io.ErrNoProgress)
			return ctx
		}, strings.NewReader("x"), 10, io.ErrNoProgress},
	} {
		c := ctx
		if tc.ctx != nil {
			c = tc.ctx()
		}
		if _, _, err := s.Blobs().Put(c, tc.r, tc.max); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names, err := mem.List("/data/blobs/incoming"); err != nil || len(names) > 0 {
		t.Errorf("refused blobs left %v, %v", names, err)
	}
	if all, err := s.Blobs().List(); err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []gust.Digest{"", "../../FORMAT", gust.Digest(strings.Repeat("A", 64))} {
		if _, err := s.Blobs().Open(bad); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("opening %q: %v", bad, err)
		}
		if err := s.Blobs().Delete(bad); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("deleting %q: %v", bad, err)
		}
	}
	if err := errors.Join(s.Blobs().Delete(d), s.Blobs().Delete(d)); err != nil {
		t.Error(err)
	}
	if _, err := readBlob(s, d); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a deleted blob: %v", err)
	}
}

func TestADamagedBlobIsRefusedAndHealed(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem})
	d := putBlob(t, s, "the content")
	path := s.Blobs().path(d)
	flip(t, mem, path, 13)
	if _, err := readBlob(s, d); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged blob: %v", err)
	}
	if err := Backup(context.Background(), s, io.Discard); !errors.Is(err, gust.ErrCorrupt) {
		t.Errorf("backing up a damaged blob: %v", err)
	}
	putBlob(t, s, "the content")
	if got, err := readBlob(s, d); got != "the content" {
		t.Error(got, err)
	}
}

func TestSweepKeepsWhatIsNamedOrNew(t *testing.T) {
	h := newHand()
	s := open(t, h.options(Options{}))
	ctx := context.Background()
	named, loose := putBlob(t, s, "named"), putBlob(t, s, "loose")
	keep := func(d gust.Digest) bool { return d == named }
	sweep := func(want int) {
		t.Helper()
		if n, err := s.Blobs().Sweep(ctx, keep, time.Hour); n != want || err != nil {
			t.Errorf("%d swept, %v, want %d", n, err, want)
		}
	}
	sweep(0)
	h.wall.Add(int64(1000 * time.Hour)) // a jump makes nothing old
	sweep(0)
	h.pass(59 * time.Minute)
	putBlob(t, s, "young")
	h.pass(time.Minute)
	sweep(1)
	if ok, _ := s.Blobs().Has(loose); ok {
		t.Error("the loose blob is still there")
	}
	if all, _ := s.Blobs().List(); len(all) != 2 {
		t.Errorf("left: %v", all)
	}
	// Who was told that a blob is there has time to name it.
	asked := putBlob(t, s, "asked")
	h.pass(2 * time.Hour)
	if ok, err := s.Blobs().Has(asked); !ok || err != nil {
		t.Error(ok, err)
	}
	sweep(1) // the young one
	h.pass(time.Hour)
	sweep(1)
}

// A blob's name that is in a transition leads to the blob, whenever the power
// goes.
func TestPowerCutKeepsNamedBlobs(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex
	var cuts []*vfs.MemFS
	rng := rand.New(rand.NewPCG(3, 3))
	s := open(t, Options{FS: hooked(mem, func(op errorfs.Op) error {
		if isSync(op.Kind) {
			mu.Lock()
			defer mu.Unlock()
			cuts = append(cuts, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: len(cuts) % 2 * 50, RNG: rng}))
		}
		return nil
	})})
	for _, content := range []string{"a", "b", "c", "d"} {
		set(t, s, "named", content, string(putBlob(t, s, content)))
	}
	s.Close()
	for i, cut := range cuts {
		s, err := tryOpen(t, Options{FS: cut})
		if err != nil {
			t.Errorf("cut %d: %v", i, err)
			continue
		}
		for want, d := range dump(t, s, "named") {
			if got, err := readBlob(s, gust.Digest(d)); got != want {
				t.Errorf("cut %d: blob %s: %q, %v", i, want, got, err)
			}
		}
		if names, _ := cut.List("/data/blobs/incoming"); len(names) > 0 {
			t.Errorf("cut %d: %v is left", i, names)
		}
		s.Close()
	}
}

func TestAFailedBlobIsNotKept(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpRename} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			mem := vfs.NewMem()
			s := open(t, Options{FS: hooked(mem, func(op errorfs.Op) error {
				if op.Kind == kind && strings.Contains(op.Path, "/incoming/") {
					return cause
				}
				return nil
			})})
			_, _, err := s.Blobs().Put(context.Background(), strings.NewReader("x"), 10)
			if !errors.Is(err, cause) || errors.Is(err, gust.ErrNoSpace) != (cause == syscall.ENOSPC) {
				t.Errorf("kind %d, %v: %v", kind, cause, err)
			}
			if all, err := s.Blobs().List(); len(all) > 0 || err != nil {
				t.Errorf("kind %d, %v: %v is kept, %v", kind, cause, all, err)
			}
			// Only a failed sync ends the store.
			if err := put(s, "p", "k", "v"); (err != nil) != (kind == errorfs.OpFileSync && cause == syscall.EIO) {
				t.Errorf("kind %d, %v: then %v", kind, cause, err)
			}
		}
	}
}
