package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// space keeps the engine's log from ever meeting a full disk, which the store
// would not survive. Half of the reserve is a file of allocated blocks, the other
// half is free space:
//
//   - New writes are refused when less than the free half is left, or while the
//     engine's tables do not fit.
//   - Tables are refused when less than half of the free half is left. The engine
//     tries again later; until then it keeps them in memory, and in the log.
//   - What was admitted may use the rest, for the log. When somebody else fills
//     the disk all the same, the file is given up for it.
//
// Writes are admitted again, and the file made anew, as soon as there is space for
// both.
type space struct {
	fs    vfs.FS
	dir   string
	path  string
	log   *slog.Logger
	half  int64
	start time.Time

	known  bool         // the disk tells how much is left
	budget atomic.Int64 // what may be written before the disk is asked again
	asked  atomic.Int64 // when it was asked, since start
	full   atomic.Bool
	tables atomic.Int64 // when a table did not fit, since start; 0 when they do
	mu     sync.Mutex   // guards asking and the file
	held   bool         // the file is there
}

const (
	defaultReserve = 64 << 20
	spaceLook      = time.Second
	// writeFactor is what a byte of a transition takes on disk until the
	// engine has compacted it: the log and a first table, and slack.
	writeFactor = 3
	// tablesWait is how long no table must have failed until writes are
	// admitted without one having succeeded.
	tablesWait = 10 * time.Second
)

func newSpace(fsys vfs.FS, dir string, reserve int64, log *slog.Logger) *space {
	p := &space{fs: fsys, dir: dir, path: fsys.PathJoin(dir, "reserve"), log: log, start: time.Now()}
	u, err := fsys.GetDiskUsage(dir)
	if err != nil {
		return p
	}
	p.known = true
	if reserve <= 0 {
		reserve = min(defaultReserve, int64(u.TotalBytes/50))
	}
	p.half = reserve / 2
	_, err = fsys.Stat(p.path)
	p.held = err == nil
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.look():
	case p.held && !p.fits(0):
		// The engine needs space to open.
		p.full.Store(true)
		p.drop()
	case !p.held && p.fits(p.half):
		if err := p.hold(); err != nil {
			p.log.Warn("the disk reserve could not be made", "err", err)
		}
		p.look()
	}
	return p
}

// look asks the disk; it tells whether it answered. The caller holds mu.
func (p *space) look() bool {
	u, err := p.fs.GetDiskUsage(p.dir)
	if err != nil {
		return false
	}
	p.asked.Store(int64(time.Since(p.start)))
	p.budget.Store(int64(u.AvailBytes) - p.half)
	return true
}

// fits tells whether n more bytes leave the free half. The caller holds mu.
func (p *space) fits(n int64) bool { return p.budget.Load() >= n }

// admit refuses a write of n bytes when the disk is too full for it.
func (p *space) admit(n int) error {
	if !p.known {
		return nil
	}
	need := int64(n) * writeFactor
	if !p.full.Load() && p.tables.Load() == 0 && p.budget.Add(-need) >= 0 && int64(time.Since(p.start))-p.asked.Load() < int64(spaceLook) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.look() {
		return nil
	}
	if at := p.tables.Load(); at != 0 && int64(time.Since(p.start))-at > int64(tablesWait) {
		p.tables.Store(0)
	}
	if !p.held && p.fits(need+p.half) {
		if err := p.hold(); err != nil {
			p.log.Warn("the disk reserve could not be made", "err", err)
		}
		p.look()
	}
	fits := p.fits(need) && (p.held || !p.full.Load()) && p.tables.Load() == 0
	if fits == p.full.Load() {
		p.full.Store(!fits)
		if fits {
			p.log.Info("the disk has space again, writes are accepted")
		} else {
			p.log.Error("the disk is full, writes are refused", "dir", p.dir, "free", p.budget.Load()+p.half, "reserve", 2*p.half)
		}
	}
	if !fits {
		return fmt.Errorf("%w: %s has %d MB free, and %d MB are kept back to finish what was accepted",
			gust.ErrNoSpace, p.dir, (p.budget.Load()+p.half)>>20, 2*p.half>>20)
	}
	p.budget.Add(-need)
	return nil
}

// hold makes the reserve file. The caller holds mu.
func (p *space) hold() (err error) {
	if p.half == 0 {
		p.held = true
		return nil
	}
	f, err := p.fs.Create(p.path, "gust-reserve")
	if err != nil {
		return err
	}
	if err = f.Preallocate(0, p.half); err != nil {
		// Not every file system can; writing it takes the blocks too.
		err = writeZeros(f, p.half)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, p.fs.Remove(p.path))
	}
	p.held = true
	return nil
}

func writeZeros(f vfs.File, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zeros)))
		if _, err := f.Write(zeros[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// drop removes the reserve file. The caller holds mu.
func (p *space) drop() {
	if err := p.fs.Remove(p.path); err != nil {
		p.log.Error("the disk is full, and its reserve could not be given back", "err", err)
	}
	p.held = false
}

// release gives the reserve back to a write that found the disk full, and tells
// whether it may try again.
func (p *space) release() bool {
	if !p.known {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full.Store(true)
	if p.held {
		p.log.Error("the disk is full: the reserve is used, and new writes are refused", "dir", p.dir)
		p.drop()
	}
	return true
}

// table refuses n bytes of a table that would take what is kept for the log.
func (p *space) table(n int) error {
	if !p.known {
		return nil
	}
	u, err := p.fs.GetDiskUsage(p.dir)
	if err == nil && int64(u.AvailBytes) < p.half/2+int64(n) {
		return p.tableFailed(&fs.PathError{Op: "write", Path: p.dir, Err: syscall.ENOSPC})
	}
	return nil
}

// tableFailed notes that a table did not fit.
func (p *space) tableFailed(err error) error {
	if isNoSpace(err) {
		p.tables.Store(max(1, int64(time.Since(p.start))))
	}
	return err
}

// tableWorked notes that one did.
func (p *space) tableWorked(err error) {
	if err == nil {
		p.tables.Store(0)
	}
}

// roomy tells whether n bytes are nothing to the disk.
func (p *space) roomy(n int64) bool {
	return !p.full.Load() && (!p.known || p.budget.Load() > 16*n)
}

func (p *space) isFull() bool { return p.full.Load() }

func (p *space) free() (free, reserve int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known || !p.look() {
		return -1, -1
	}
	free, reserve = p.budget.Load()+p.half, p.half
	if p.held {
		free += p.half
	}
	return free, reserve + p.half
}
