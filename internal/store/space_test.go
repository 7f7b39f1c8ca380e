package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
)

// usage makes a memory disk say how much is left.
func usage(mem *vfs.MemFS, free int64) {
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(free), TotalBytes: 1 << 40, UsedBytes: 0})
}

func TestAFullDiskRefusesWritesAheadAndGoesOnByItself(t *testing.T) {
	mem := vfs.NewMem()
	usage(mem, 1<<30)
	s := open(t, Options{FS: mem, Reserve: 10 << 20})
	set(t, s, "p", "k", "before")
	putBlob(t, s, "before")
	if free, reserve := s.Free(); free != 1<<30+5<<20 || reserve != 10<<20 {
		t.Errorf("free %d, reserve %d", free, reserve)
	}
	usage(mem, 5<<20+1000)
	for s.space.budget.Load() > 1000 { // the disk is asked again after what it had is used, or a second
		s.space.budget.Store(0)
	}
	for range 3 {
		err := put(s, "p", "k", strings.Repeat("x", 1000))
		if !errors.Is(err, gust.ErrNoSpace) || !strings.Contains(err.Error(), "10 MB") {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if _, _, err := s.Blobs().Put(context.Background(), strings.NewReader(strings.Repeat("x", 1000)), 1<<20); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("a blob on a full disk: %v", err)
	}
	if names, _ := mem.List("/data/blobs/incoming"); len(names) > 0 {
		t.Errorf("a refused blob left %v", names)
	}
	if v, err := get(s, "p", "k"); v != "before" {
		t.Errorf("reading on a full disk: %q, %v", v, err)
	}
	usage(mem, 1<<30)
	set(t, s, "p", "k", "after")
	putBlob(t, s, "after")
}

// Somebody else fills the disk between two looks: the reserve pays for what was
// accepted, writes are refused, and the reserve comes back.
func TestTheReserveCarriesWhatWasAccepted(t *testing.T) {
	mem := vfs.NewCrashableMem()
	usage(mem, 1<<30)
	var full atomic.Bool
	fsys := hooked(mem, func(op errorfs.Op) error {
		if !full.Load() || isSync(op.Kind) || op.Kind == errorfs.OpRemove {
			return nil
		}
		if _, err := mem.Stat("/data/reserve"); err != nil && !strings.HasSuffix(op.Path, "reserve") {
			return nil // its blocks are free now
		}
		return syscall.ENOSPC
	})
	s := open(t, Options{FS: fsys, Reserve: 10 << 20, tune: busy, OnFatal: func(err error) { t.Error(err) }})
	n := 0
	for ; n < 20; n++ {
		if err := step(s, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mem.Stat("/data/reserve"); err != nil {
		t.Fatal("there is no reserve:", err)
	}
	full.Store(true)
	if err := step(s, n); err != nil {
		t.Fatalf("what was admitted must be carried out: %v", err)
	}
	n++
	if _, err := mem.Stat("/data/reserve"); err == nil {
		t.Error("the reserve was not used")
	}
	usage(mem, 100)
	for range 3 {
		if err := step(s, n); !errors.Is(err, gust.ErrNoSpace) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if err := verify(s, n, n); err != nil {
		t.Error(err)
	}
	full.Store(false)
	usage(mem, 6<<20) // room for writes, not for the reserve
	if err := step(s, n); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("writes are accepted before the reserve is back: %v", err)
	}
	usage(mem, 1<<30)
	for ; n < 60; n++ {
		if err := step(s, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mem.Stat("/data/reserve"); err != nil {
		t.Error("the reserve is not back:", err)
	}
	s.Close()
	s = open(t, Options{FS: mem, tune: busy})
	if err := verify(s, n, n); err != nil {
		t.Error(err)
	}
}

// Without a reserve that helps, the log cannot be written: that is a failed disk.
func TestADiskThatStaysFullEndsTheStore(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var full atomic.Bool
	fsys := hooked(mem, func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	fatal := make(chan error, 1)
	s, err := tryOpen(t, Options{FS: fsys, OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, "p", "k", "v")
	full.Store(true)
	if err := put(s, "p", "lost", "v"); err == nil {
		t.Error("it was acknowledged")
	}
	if err := <-fatal; !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	s.Close()
	s = open(t, Options{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	if got := dump(t, s, "p"); fmt.Sprint(got) != "map[k:v]" {
		t.Error(got)
	}
}

// Opening makes tables of the log. Where there is no byte left for them it ends,
// says what is missing, and harms nothing.
func TestOpeningOnAFullDiskEnds(t *testing.T) {
	for name, cause := range map[string]error{"full": syscall.ENOSPC, "broken": syscall.EIO} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			usage(mem, 1<<30)
			var bad atomic.Bool
			fsys := hooked(mem, func(op errorfs.Op) error {
				if bad.Load() && strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileWrite {
					return cause
				}
				return nil
			})
			s := open(t, Options{FS: fsys, Reserve: 10 << 20})
			const n = 20
			for i := range n {
				if err := step(s, i); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			bad.Store(true)
			if name == "full" {
				usage(mem, 0)
			}
			for range 2 {
				begun := time.Now()
				s, err := tryOpen(t, Options{FS: fsys, Reserve: 10 << 20})
				if err == nil {
					s.Close()
				}
				if !errors.Is(err, cause) || errors.Is(err, gust.ErrNoSpace) != (name == "full") || errors.Is(err, gust.ErrCorrupt) {
					t.Errorf("it ended with %v", err)
				}
				if name == "full" && (err == nil || !strings.Contains(err.Error(), " 0 KB are free") || !strings.Contains(err.Error(), "may take 25")) {
					t.Errorf("it says %v", err)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
			}
			bad.Store(false)
			usage(mem, 1<<30)
			s = open(t, Options{FS: fsys, Reserve: 10 << 20})
			if err := verify(s, n, n); err != nil {
				t.Error(err)
			}
			if err := step(s, n); err != nil {
				t.Error(err)
			}
		})
	}
}
