// Package storetest cuts the power under what keeps its state in a store.
package storetest

import (
	"math/rand/v2"
	"path"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Cut is what a power cut leaves at one sync of a file.
type Cut[T any] struct {
	FS vfs.FS
	// At is the name of the file that was synced.
	At string
	// Seen is what the test had seen by then: how much was acknowledged.
	Seen T
}

// PowerCuts is a disk in memory of which a copy is kept at every sync, as if the
// power had been cut there. What was acknowledged by then is synced; of what was
// not, none is left, half, or all, in turn.
type PowerCuts[T any] struct {
	mem  *vfs.MemFS
	seen func() T

	mu    sync.Mutex
	armed bool
	cuts  []Cut[T]
}

// New makes a disk that asks seen at each cut. It keeps none before Arm.
func New[T any](seen func() T) *PowerCuts[T] {
	return &PowerCuts[T]{mem: vfs.NewCrashableMem(), seen: seen}
}

// FS is the disk.
func (p *PowerCuts[T]) FS() vfs.FS { return errorfs.Wrap(p.mem, errorfs.InjectorFunc(p.op)) }

// Arm begins to cut.
func (p *PowerCuts[T]) Arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = true
}

// Disarm ends it, and returns the cuts.
func (p *PowerCuts[T]) Disarm() []Cut[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	return p.cuts
}

func (p *PowerCuts[T]) op(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return nil
	}
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[len(p.cuts)%3]}
	if cfg.UnsyncedDataPercent > 0 {
		cfg.RNG = rand.New(rand.NewPCG(7, uint64(len(p.cuts))))
	}
	p.cuts = append(p.cuts, Cut[T]{p.mem.CrashClone(cfg), path.Base(op.Path), p.seen()})
	return nil
}
