// Package store keeps the node's durable state: one ordered keyspace of
// partitions, changed by atomic transitions, with timers, and files named by
// their SHA-256 beside it. It is the only importer of Pebble.
//
// What is guaranteed, and what of it is only true under conditions, is in
// DESIGN.md beside this file.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

// Durability says when a transition is acknowledged.
type Durability string

const (
	// DurabilityAlways acknowledges what is synced to the disk.
	DurabilityAlways Durability = "always"
	// DurabilityInterval acknowledges at once and syncs every
	// Options.Interval: a crash of the process or the machine loses at most
	// what the last interval acknowledged, and nothing of it by half.
	DurabilityInterval Durability = "interval"
)

// Options configure Open.
type Options struct {
	// Dir is the data folder. It is made when it is not there.
	Dir string
	// FS is where Dir is; nil means the disk. With another one no process
	// lock is taken.
	FS vfs.FS
	// Lock is the folder's lock when the caller has it already; Close then
	// leaves it alone. nil means that the store takes it and gives it back.
	Lock *FolderLock
	// Durability is DurabilityAlways when empty.
	Durability Durability
	// Interval is how often DurabilityInterval syncs; 0 means 100 ms.
	Interval time.Duration
	// Reserve is how much of the disk is kept back for finishing what was
	// accepted when the disk is full, in bytes; 0 means 64 MB, less on a disk
	// of under 3 GB.
	Reserve int64
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Steady counts time without jumps. nil means Now's own monotonic reading,
	// and the time since boot where the kernel tells it.
	Steady func() time.Duration
	// Logger gets what an operator should know; nil means slog.Default().
	Logger *slog.Logger
	// OnFatal is called once, from a goroutine of the store's, when the disk
	// failed in a way after which nothing more can be acknowledged. The node
	// exits then; the next start verifies what is there. OnFatal must not
	// call Close.
	OnFatal func(error)

	tune func(*pebble.Options) // tests make the engine work harder
}

// Store is the open state of one data folder. It is safe for use by many
// goroutines.
type Store struct {
	opts   Options
	fs     *disk
	db     *pebble.DB
	lock   *FolderLock
	log    *slog.Logger
	clock  *clock
	space  *space
	blobs  *Blobs
	timers timers

	locks  [stripes]stripe
	synced atomic.Uint64 // highest sequence number that is known to be synced
	dirty  atomic.Bool   // something was applied, and the keeper knows
	soiled chan struct{} // wakes it

	opening atomic.Bool           // the engine is being opened
	flushes atomic.Int64          // that failed meanwhile, one after the other
	flushed atomic.Pointer[error] // why the last of them did

	life     gate
	fatal    atomic.Pointer[error]
	fatalSet chan struct{}
	closing  chan struct{}
	keeper   sync.WaitGroup
	closed   sync.Once
	closeErr error
}

// Open verifies and opens the data folder. Damage is found by checksum: Open
// then fails with gust.ErrCorrupt, names the file and changes nothing. A folder
// that another process has open is refused with its pid, one of a newer format
// by name.
func Open(o Options) (_ *Store, err error) {
	disk := o.FS == nil
	if disk {
		o.FS = vfs.Default
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, fmt.Errorf("open the data folder: %w", err)
		}
	}
	switch o.Durability {
	case "":
		o.Durability = DurabilityAlways
	case DurabilityAlways, DurabilityInterval:
	default:
		return nil, fmt.Errorf("%w: durability %q is unknown: want %q or %q", gust.ErrInvalid, o.Durability, DurabilityAlways, DurabilityInterval)
	}
	if o.Interval <= 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{
		opts:     o,
		log:      o.Logger,
		clock:    newClock(o.Now, o.Steady),
		fatalSet: make(chan struct{}),
		closing:  make(chan struct{}),
		soiled:   make(chan struct{}, 1),
	}
	s.life.init()
	var undo []func() error
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				err = errors.Join(err, undo[i]())
			}
		}
	}()

	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("open the data folder: %w", explain(err))
	}
	if disk && o.Lock == nil {
		if s.lock, err = Lock(o.Dir); err != nil {
			return nil, err
		}
		undo = append(undo, s.lock.Close)
	}
	if err := openFormat(o.FS, o.Dir); err != nil {
		return nil, err
	}
	// A backup that did not end left its checkpoint.
	if err := o.FS.RemoveAll(o.FS.PathJoin(o.Dir, checkpointDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the data folder: %w", explain(err))
	}
	s.space = newSpace(o.FS, o.Dir, o.Reserve, o.Logger)
	s.fs = newDisk(o.FS, s)
	if s.blobs, err = openBlobs(s); err != nil {
		return nil, err
	}
	if err := s.openEngine(); err != nil {
		return nil, err
	}
	undo = append(undo, s.closeEngine)
	if err := s.resumeClock(); err != nil {
		return nil, err
	}
	s.keeper.Add(2)
	go s.keep()
	go s.watchFatal()
	return s, nil
}

// engineDir is where Pebble keeps its files.
func (s *Store) engineDir() string { return s.fs.PathJoin(s.opts.Dir, "store") }

func (s *Store) openEngine() error {
	dir := s.engineDir()
	if err := audit(s.opts.FS, dir); err != nil {
		return err
	}
	if err := newEngine(s.fs, dir); err != nil {
		return fmt.Errorf("make the store in %s: %w", dir, explain(err))
	}
	s.opening.Store(true)
	defer s.opening.Store(false)
	db, err := openPebble(dir, s.engineOptions())
	if ferr := s.failed(); ferr != nil {
		if db != nil {
			close(s.closing) // nobody else can know the store yet
			err = db.Close()
		}
		if isNoSpace(ferr) {
			return s.noRoomToOpen(dir, ferr)
		}
		return errors.Join(ferr, explain(err))
	}
	if isNoSpace(err) {
		return s.noRoomToOpen(dir, err)
	}
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, explain(missing(err)))
	}
	s.db = db
	return nil
}

// openTries is how often the engine may try to make tables of its logs while it
// opens, noSpaceWait after each other when the disk is full.
const openTries = 8

// giveUpOpening ends the store when the engine cannot make tables of its logs. It
// is called before a try, when the files of the last one are gone.
func (s *Store) giveUpOpening() {
	if s.opening.Load() && s.flushes.Load() >= openTries {
		s.fail(fmt.Errorf("make tables of the log: %w", *s.flushed.Load()))
	}
}

// noRoomToOpen says what a disk lacks on which the engine could not be opened.
func (s *Store) noRoomToOpen(dir string, cause error) error {
	need := s.space.half / 2 // tables may not use it
	names, err := s.opts.FS.List(dir)
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		if st, serr := s.opts.FS.Stat(s.opts.FS.PathJoin(dir, name)); serr == nil {
			need += st.Size()
		}
	}
	u, uerr := s.opts.FS.GetDiskUsage(dir)
	if errors.Join(err, uerr) != nil {
		return fmt.Errorf("open the store in %s: %w: %w", dir, gust.ErrNoSpace, cause)
	}
	return fmt.Errorf("open the store in %s: %w: %d KB are free, and opening it may take %d KB: make room and start again: %w",
		dir, gust.ErrNoSpace, u.AvailBytes>>10, need>>10+1, cause)
}

// missing makes damage of what the engine refuses without blaming the disk: a
// file that is not there, or not of the size that the manifest knows.
func missing(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != syscall.ENOENT {
		return err
	}
	return fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
}

// openPebble turns the engine's panics on data that makes no sense into errors.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: the engine cannot make sense of it: %v", gust.ErrCorrupt, p)
		}
	}()
	return pebble.Open(dir, o)
}

const (
	memTable  = 16 << 20
	memTables = 4 // memtables that may wait for being flushed
)

func (s *Store) engineOptions() *pebble.Options {
	o := engineFormat(s.fs)
	o.MemTableSize = memTable
	o.MemTableStopWritesThreshold = memTables
	o.CacheSize = 8 << 20
	o.MaxOpenFiles = 500
	o.L0CompactionThreshold = 4
	o.L0StopWritesThreshold = 24
	o.LBaseMaxBytes = 64 << 20
	o.MaxManifestFileSize = 4 << 20
	o.Experimental.FileCacheShards = 2
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	o.Logger = engineLog{s.log, s.fail}
	o.EventListener = &pebble.EventListener{
		BackgroundError: s.backgroundError,
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err == nil {
				s.flushes.Store(0)
			}
			s.space.tableWorked(i.Err)
		},
		CompactionEnd: func(i pebble.CompactionInfo) { s.space.tableWorked(i.Err) },
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.log.Error("the store found damage on disk", "file", i.Path, "err", i.Details)
		},
	}
	if s.opts.tune != nil {
		s.opts.tune(o)
	}
	return o
}

// engineFormat is what every opening of the engine agrees on. Only the newest
// format refuses a damaged log instead of dropping its end.
func engineFormat(fs vfs.FS) *pebble.Options {
	return &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatNewest,
	}
}

func (s *Store) backgroundError(err error) {
	if s.opening.Load() {
		s.flushed.Store(&err)
		s.flushes.Add(1)
	}
	if s.failed() == nil && !isNoSpace(err) {
		s.log.Error("the store's engine failed in the background, and tries again", "err", explain(err))
	}
}

// engineLog is what Pebble logs to: its chatter is dropped.
type engineLog struct {
	log  *slog.Logger
	fail func(error)
}

func (l engineLog) Infof(string, ...any) {}
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Warn("the store's engine: " + fmt.Sprintf(format, args...))
}
func (l engineLog) Fatalf(format string, args ...any) {
	e := &engineError{text: "the store's engine: " + fmt.Sprintf(format, args...)}
	for _, a := range args {
		if cause, ok := a.(error); ok {
			e.cause = cause
		}
	}
	l.fail(e)
}

// engineError is what the engine cannot go on after.
type engineError struct {
	text  string
	cause error
}

func (e *engineError) Error() string { return e.text }
func (e *engineError) Unwrap() error { return e.cause }

// fail ends all acknowledging. The first error stays.
func (s *Store) fail(err error) {
	err = fmt.Errorf("the store stopped, because its disk failed: %w", err)
	if s.fatal.CompareAndSwap(nil, &err) {
		close(s.fatalSet)
	}
}

// failed is why the store has stopped, or nil.
func (s *Store) failed() error {
	if p := s.fatal.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) watchFatal() {
	defer s.keeper.Done()
	select {
	case <-s.closing:
	case <-s.fatalSet:
		err := s.failed()
		s.log.Error("the store acknowledges nothing any more", "err", err)
		if s.opts.OnFatal != nil {
			s.opts.OnFatal(err)
		}
	}
}

// sealAfter is when the last transitions of a burst are sealed: once a later
// record of the log says that they were synced, damage to them is refused and
// never taken for a torn write.
const sealAfter = time.Second

// keep syncs (DurabilityInterval) or seals (DurabilityAlways) what was applied a
// while after it, and sleeps while nothing is.
func (s *Store) keep() {
	defer s.keeper.Done()
	every := sealAfter
	if s.opts.Durability == DurabilityInterval {
		every = s.opts.Interval
	}
	later := time.NewTimer(every)
	later.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-s.soiled:
			later.Reset(every)
		case <-later.C:
			s.dirty.Store(false)
			if s.failed() == nil {
				s.seal()
			}
		}
	}
}

// soil has the keeper look at what was applied.
func (s *Store) soil() {
	if !s.dirty.Load() && s.dirty.CompareAndSwap(false, true) {
		select {
		case s.soiled <- struct{}{}:
		default:
		}
	}
}

// seal syncs what was applied and notes the believed time.
func (s *Store) seal() {
	b := s.db.NewBatch()
	defer b.Close()
	at, err := nanos(s.clock.now())
	if err == nil {
		s.witness(b)
		err = errors.Join(b.Set(clockKey, appendUint64(nil, sortable(at)), nil), s.db.Apply(b, pebble.Sync))
	}
	if err != nil {
		s.fail(fmt.Errorf("sync the log: %w", explain(err)))
		return
	}
	s.syncedTo(b)
}

// Now is the believed time; see the clock rule in DESIGN.md. Transitions that
// keep a time take it from here.
func (s *Store) Now() time.Time { return s.clock.now() }

// Free is how much the disk has left, and how much of that is kept back before
// writes are refused with gust.ErrNoSpace, in bytes. Both are -1 when the disk
// does not tell.
func (s *Store) Free() (free, reserve int64) { return s.space.free() }

// Blobs are the files beside the keys.
func (s *Store) Blobs() *Blobs { return s.blobs }

// Close waits for what runs, syncs and closes. Later calls of anything end with
// gust.ErrClosing.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.life.close()
		s.keeper.Wait()
		if s.failed() == nil {
			s.seal()
		}
		s.closeErr = errors.Join(s.closeEngine(), s.failed())
		if s.lock != nil {
			s.closeErr = errors.Join(s.closeErr, s.lock.Close())
		}
	})
	return s.closeErr
}

func (s *Store) closeEngine() error {
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	if err := s.db.Close(); err != nil && s.failed() == nil {
		return fmt.Errorf("close the store: %w", explain(err))
	}
	return nil
}

// begin admits one operation; end must follow when it returned nil.
func (s *Store) begin(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !s.life.enter() {
		return fmt.Errorf("the store is closed: %w", gust.ErrClosing)
	}
	return nil
}

func (s *Store) end() { s.life.exit() }

// gate lets operations through until it is closed, and closing waits for the
// last of them.
type gate struct {
	n     atomic.Int64 // operations inside, plus gateClosed once it is closed
	empty chan struct{}
}

const gateClosed = 1 << 62

func (g *gate) init() { g.empty = make(chan struct{}, 1) }

func (g *gate) enter() bool {
	if g.n.Add(1) >= gateClosed {
		g.exit()
		return false
	}
	return true
}

func (g *gate) exit() {
	if g.n.Add(-1) == gateClosed {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

func (g *gate) close() {
	if g.n.Add(gateClosed) == gateClosed {
		return
	}
	<-g.empty
}
