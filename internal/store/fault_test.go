package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
)

// busy makes the engine rotate logs, flush and compact within a few hundred
// transitions.
func busy(o *pebble.Options) {
	o.MemTableSize = 64 << 10
	o.L0CompactionThreshold = 2
	o.MaxManifestFileSize = 2 << 10
	o.CacheSize = 1 << 20
}

// step is the i-th transition of a run: two keys, a counter and a timer that
// must always stand together.
func step(s *Store, i int) error {
	return s.Update(context.Background(), stepPartition(i), func(tx *Tx) error {
		value := make([]byte, 900)
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(value)
		tx.Set(fmt.Appendf(nil, "a/%06d", i), value)
		tx.Set(fmt.Appendf(nil, "b/%06d", i), value)
		n := uint64(0)
		if v, err := tx.Get([]byte("count")); err == nil {
			n = binary.BigEndian.Uint64(v)
		} else if !errors.Is(err, gust.ErrNotFound) {
			return err
		}
		tx.Set([]byte("count"), binary.BigEndian.AppendUint64(nil, n+1))
		return tx.SetTimer(Timer{ID: "tick", At: time.Unix(int64(i), 0), Kind: "test", Payload: value[:8]})
	})
}

func stepPartition(i int) Partition { return Partition(fmt.Sprintf("p%d", i%3)) }

// errHalf: a transition is there in part.
var errHalf = errors.New("half there")

// verify tells what is wrong with a store in which the steps acked were
// acknowledged, one after the other, and no more than issued were begun.
func verify(s *Store, acked, issued int) error {
	present := map[int]bool{}
	for p := range 3 {
		err := s.View(stepPartition(p), func(v *Snapshot) error {
			var count uint64
			last := -1
			seen := map[string]int{}
			for k, val := range v.Scan(nil) {
				var i int
				switch {
				case string(k) == "count":
					count = binary.BigEndian.Uint64(val)
					continue
				default:
					if _, err := fmt.Sscanf(string(k[2:]), "%d", &i); err != nil {
						return fmt.Errorf("key %q", k)
					}
				}
				want := make([]byte, 900)
				rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(want)
				if string(val) != string(want) {
					return fmt.Errorf("step %d has a wrong value", i)
				}
				seen[string(k[:1])]++
				last = max(last, i)
				present[i] = true
			}
			if err := v.Err(); err != nil {
				return err
			}
			if seen["a"] != seen["b"] || uint64(seen["a"]) != count {
				return fmt.Errorf("partition %d is %w: %d a, %d b, count %d", p, errHalf, seen["a"], seen["b"], count)
			}
			if count > 0 {
				t, err := v.Timer("tick")
				if err != nil || t.At.Unix() != int64(last) {
					return fmt.Errorf("partition %d has its timer at %v, %v, want %d", p, t.At, err, last)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i := range acked {
		if !present[i] {
			return fmt.Errorf("step %d was acknowledged and is lost (of %d)", i, acked)
		}
	}
	for i := acked; i < issued; i++ {
		if present[i] && i > 0 && !present[i-1] {
			return fmt.Errorf("step %d is there, but the one before is not", i)
		}
	}
	if len(present) > issued {
		return fmt.Errorf("%d steps are there, %d were begun", len(present), issued)
	}
	return nil
}

// hooked is a file system that calls a function before every operation that
// changes something; the operation fails with what it returns.
func hooked(fs vfs.FS, hook func(op errorfs.Op) error) vfs.FS {
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose {
			return nil
		}
		return hook(op)
	})
	return hookedFS{errorfs.Wrap(fs, inj), fs, inj}
}

type hookedFS struct {
	vfs.FS
	inner vfs.FS
	inj   errorfs.Injector
}

// ReuseForWrite does what errorfs does not: the file's operations are hooked
// too.
func (h hookedFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := h.inj.MaybeError(errorfs.Op{Kind: errorfs.OpReuseForWrite, Path: name}); err != nil {
		return nil, err
	}
	if err := h.inner.Rename(old, name); err != nil {
		return nil, err
	}
	f, err := h.inner.OpenReadWrite(name, c)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, errorfs.InjectorFunc(func(op errorfs.Op) error {
		op.Path = name
		return h.inj.MaybeError(op)
	})), nil
}

func isSync(k errorfs.OpKind) bool {
	return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo
}

// cfg says how much of what is not synced a power cut leaves.
func cfg(percent int, seed uint64) vfs.CrashCloneCfg {
	return vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, seed))}
}

func TestPowerCutAtEverySync(t *testing.T) {
	const steps = 110
	mem := vfs.NewCrashableMem()
	type cut struct {
		fs            *vfs.MemFS
		acked, issued int
		at            string
	}
	var mu sync.Mutex
	var cuts []cut
	var acked, issued atomic.Int64
	rng := rand.New(rand.NewPCG(7, 7))
	s, err := tryOpen(t, Options{tune: busy, FS: hooked(mem, func(op errorfs.Op) error {
		if isSync(op.Kind) {
			mu.Lock()
			defer mu.Unlock()
			// What is acknowledged now is synced already; what was not synced
			// is lost, or there in parts.
			n := int(acked.Load())
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[len(cuts)%3], RNG: rng}
			if cfg.UnsyncedDataPercent == 0 {
				cfg.RNG = nil
			}
			cuts = append(cuts, cut{mem.CrashClone(cfg), n, int(issued.Load()), fmt.Sprintf("sync of %s", path.Base(op.Path))})
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		issued.Add(1)
		if err := step(s, i); err != nil {
			t.Fatal(err)
		}
		acked.Add(1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(cuts) < steps {
		t.Fatalf("only %d cuts for %d synced steps", len(cuts), steps)
	}
	for i, c := range cuts {
		s, err := tryOpen(t, Options{FS: c.fs, tune: busy})
		if err != nil {
			t.Errorf("cut %d at %s after %d steps: %v", i, c.at, c.acked, err)
			continue
		}
		if err := verify(s, c.acked, c.issued); err != nil {
			t.Errorf("cut %d at %s: %v", i, c.at, err)
		}
		if err := step(s, steps); err != nil {
			t.Errorf("cut %d at %s: it takes no more: %v", i, c.at, err)
		}
		s.Close()
	}
	t.Logf("%d cuts", len(cuts))
}

// With many callers a cut falls between transitions of one group.
func TestPowerCutWithManyCallers(t *testing.T) {
	mem := vfs.NewCrashableMem()
	type cut struct {
		fs    *vfs.MemFS
		acked map[string]bool
	}
	var mu sync.Mutex
	var cuts []cut
	acked := map[string]bool{}
	var syncs int
	s, err := tryOpen(t, Options{tune: busy, FS: hooked(mem, func(op errorfs.Op) error {
		if isSync(op.Kind) && strings.HasSuffix(op.Path, ".log") {
			mu.Lock()
			defer mu.Unlock()
			if syncs++; syncs%4 == 0 && len(cuts) < 60 {
				now := make(map[string]bool, len(acked))
				for k := range acked {
					now[k] = true
				}
				cuts = append(cuts, cut{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(syncs), 1))}), now})
			}
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := range 40 {
				k := fmt.Sprintf("%d/%d", c, i)
				if err := put(s, Partition(fmt.Sprint(c%5)), k, strings.Repeat(k, 30)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[k] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.Close()
	for i, c := range cuts {
		s, err := tryOpen(t, Options{FS: c.fs, tune: busy})
		if err != nil {
			t.Errorf("cut %d: %v", i, err)
			continue
		}
		for p := range 5 {
			for k := range dump(t, s, Partition(fmt.Sprint(p))) {
				delete(c.acked, k)
			}
		}
		if len(c.acked) > 0 {
			t.Errorf("cut %d: %d acknowledged keys are lost: %v", i, len(c.acked), c.acked)
		}
		s.Close()
	}
	t.Logf("%d cuts", len(cuts))
}

// TestFailingDisk fails the n-th changing operation, for every n, once or from
// then on.
func TestFailingDisk(t *testing.T) {
	const steps = 45
	run := func(t *testing.T, fail int, forever bool) (ops int) {
		mem := vfs.NewCrashableMem()
		var n atomic.Int64
		var failed atomic.Pointer[errorfs.Op]
		fsys := hooked(mem, func(op errorfs.Op) error {
			k := int(n.Add(1))
			if k == fail || forever && fail > 0 && k > fail {
				failed.CompareAndSwap(nil, &op)
				return syscall.EIO
			}
			return nil
		})
		fatal := make(chan error, 1)
		s, err := tryOpen(t, Options{FS: fsys, tune: busy, OnFatal: func(err error) { fatal <- err }})
		acked, issued := 0, 0
		if err == nil {
			for i := range steps {
				issued++
				if err = step(s, i); err != nil {
					break
				}
				acked++
			}
			if err != nil {
				// Nothing is acknowledged after a failure, and the node is told.
				if ferr := <-fatal; !errors.Is(ferr, syscall.EIO) {
					t.Errorf("op %d: OnFatal got %v", fail, ferr)
				}
				for i := range 3 {
					if err := step(s, steps+i); !errors.Is(err, syscall.EIO) {
						t.Errorf("op %d %v: a step after the failure gives %v", fail, failed.Load(), err)
					}
				}
				if _, err := s.Partitions(""); err != nil {
					t.Errorf("op %d: reading ended too: %v", fail, err)
				}
			}
			s.Close()
		} else if !errors.Is(err, syscall.EIO) {
			t.Errorf("op %d %v: Open says %v", fail, failed.Load(), err)
		}
		// The machine loses power, and comes back with a sound disk.
		s, err = tryOpen(t, Options{FS: mem.CrashClone(vfs.CrashCloneCfg{}), tune: busy})
		if err != nil {
			t.Errorf("op %d %v: opening again: %v", fail, failed.Load(), err)
			return 0
		}
		if err := verify(s, acked, issued); err != nil {
			t.Errorf("op %d %v: %v", fail, failed.Load(), err)
		}
		s.Close()
		return int(n.Load())
	}
	ops := run(t, 0, false)
	stride := 1
	if testing.Short() {
		stride = 5
	}
	for n := 1; n <= ops; n += stride {
		run(t, n, n%2 == 0)
	}
	t.Logf("%d operations", ops)
}
