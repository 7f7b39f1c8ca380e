// Package logfile keeps records that are many and may lose their last second:
// log lines, reports, spans. They stand in checksummed segment files that are
// removed by age and total size.
//
// Append copies the record into memory and returns; a writer brings it to the
// file, and syncs once every Options.SyncEvery. So a crash of the process or of
// the machine loses at most what was appended since the last sync. Readers see
// appended records at once. What was lost, by damage, by a full disk or by being
// removed before it was read, is known by its number: records are numbered
// consecutively, and readers are told of every gap.
package logfile

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
)

// Options configure Open.
type Options struct {
	// Dir holds the segments and nothing else. It is made when it is not there.
	Dir string
	// SegmentBytes is where a segment ends; 0 means 16 MB.
	SegmentBytes int64
	// MaxBytes bounds all segments together; 0 means 1 GB. One segment more
	// may be there while it is written.
	MaxBytes int64
	// MaxAge is how long records are kept at least, if MaxBytes allows; they
	// are gone an eighth of it later. 0 means 14 days.
	MaxAge time.Duration
	// SyncEvery bounds what a crash can lose; 0 means 1 s.
	SyncEvery time.Duration
	// Now judges ages. Give it a clock that does not jump (store.Store.Now);
	// nil means time.Now.
	Now func() time.Time
	// Logger gets what an operator should know; nil means slog.Default().
	Logger *slog.Logger
	// Dropped is called by the writer, when there is room again, with how many
	// records were dropped meanwhile. It may call Append. It must not call
	// Sync or Close.
	Dropped func(records uint64)
	// FS is where Dir is; nil means the disk.
	FS FS
}

// maxBuffer bounds what waits for the writer, in bytes; over it records are
// dropped.
const maxBuffer = 8 << 20

// writeAhead is how much may wait before the writer is woken ahead of time.
const writeAhead = 256 << 10

// ErrDropped is what Append returns for a record that was not kept, because the
// disk is full, or slower than what is appended.
var ErrDropped = fmt.Errorf("the log record was dropped: %w", gust.ErrNoSpace)

// Log is an open log. It is safe for use by many goroutines.
type Log struct {
	opts Options
	dir  string
	fs   FS
	log  *slog.Logger

	mu       sync.Mutex
	segments []*segment // in order; the last one may be written
	ended    int64      // when the last run of the log ended, for its last segment
	next     uint64     // the next record's sequence number
	active   buffer     // appended to
	flushing buffer     // being written
	dropped  uint64     // since the last report
	lost     uint64     // dropped records, ever
	closed   bool
	waiters  []chan struct{} // followers; closed when something was appended

	work chan struct{} // wakes the writer
	// unsynced is the last failed sync that no Sync has told of. Writer only.
	unsynced error
	syncs    chan chan error
	closing  chan struct{}
	writer   sync.WaitGroup
	broken   atomic.Bool // the writer could not write when it last tried
}

// buffer is a run of records in memory. The first done bytes are written.
type buffer struct {
	data []byte
	done int
}

func (b *buffer) rest() []byte { return b.data[b.done:] }

// Open opens the log in a folder and cuts what the last run did not write whole.
func Open(o Options) (*Log, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	o.SegmentBytes = min(o.SegmentBytes, max(o.MaxBytes/4, segmentHeader+1))
	if o.MaxAge <= 0 {
		o.MaxAge = 14 * 24 * time.Hour
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.FS == nil {
		o.FS = Disk{}
	}
	l := &Log{
		opts: o, dir: o.Dir, fs: o.FS, log: o.Logger,
		work:    make(chan struct{}, 1),
		syncs:   make(chan chan error),
		closing: make(chan struct{}),
	}
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", l.dir, err)
	}
	if err := l.fs.SyncDir(filepath.Dir(l.dir)); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", l.dir, err)
	}
	var err error
	if l.segments, err = list(l.fs, l.dir); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", l.dir, err)
	}
	if l.next, err = l.recover(); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", l.dir, err)
	}
	l.ended = nanos(o.Now())
	l.writer.Add(1)
	go l.write()
	return l, nil
}

// Next is the number that the next record will have. Reading from it gives only
// what is appended from now on.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Dropped is how many records were dropped since Open.
func (l *Log) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Append keeps a copy of payload under the next sequence number, from 1. It
// never waits for the disk: when the disk cannot keep up the record is dropped,
// its number stays unused, and the error is ErrDropped. More than MaxPayload
// bytes are refused with gust.ErrTooLarge.
func (l *Log) Append(t time.Time, payload []byte) (seq uint64, err error) {
	if len(payload) > MaxPayload {
		return 0, fmt.Errorf("%w: a log record has %d bytes, at most %d are allowed", gust.ErrTooLarge, len(payload), MaxPayload)
	}
	at := nanos(t)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, fmt.Errorf("the log is closed: %w", gust.ErrClosing)
	}
	seq = l.next
	l.next++
	was := len(l.active.data)
	if was+len(l.flushing.rest())+recordHeader+len(payload) > maxBuffer && was > 0 {
		l.dropped++
		l.lost++
		l.mu.Unlock()
		return 0, ErrDropped
	}
	l.active.data = appendRecord(l.active.data, seq, at, payload)
	now := len(l.active.data)
	waiters := l.waiters
	l.waiters = nil
	l.mu.Unlock()
	for _, w := range waiters {
		close(w)
	}
	if was == 0 || was < writeAhead && now >= writeAhead {
		select {
		case l.work <- struct{}{}:
		default:
		}
	}
	return seq, nil
}

// Sync returns when everything that was appended before it is synced.
func (l *Log) Sync() error {
	done := make(chan error, 1)
	select {
	case l.syncs <- done:
		return <-done
	case <-l.closing:
		return fmt.Errorf("sync the log: %w", gust.ErrClosing)
	}
}

// Close writes and syncs what was appended, and ends all followers.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.closing)
	l.writer.Wait()
	err := l.flush(true)
	if g := l.current(); g != nil {
		l.detach(g)
	}
	if err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}

// write is the writer: it sleeps while nothing is appended.
func (l *Log) write() {
	defer l.writer.Done()
	house := time.NewTimer(0) // looks for what is too old
	defer house.Stop()
	sync := time.NewTimer(time.Hour)
	sync.Stop()
	defer sync.Stop()
	armed := false
	for {
		var err error
		select {
		case <-l.closing:
			return
		case done := <-l.syncs:
			if err = l.flush(true); err == nil {
				err = l.unsynced
			}
			l.unsynced = nil
			done <- err
			armed = false
			sync.Stop()
		case <-sync.C:
			armed = false
			err = l.flush(true)
		case <-house.C:
			err = l.flush(true)
			house.Reset(min(l.opts.MaxAge/8, time.Hour))
		case <-l.work:
			if l.waiting() >= writeAhead && !l.broken.Load() {
				err = l.flush(false)
			}
			if !armed {
				armed = true
				sync.Reset(l.opts.SyncEvery)
			}
		}
		l.report(err)
		if err != nil && !armed {
			armed = true
			sync.Reset(l.opts.SyncEvery)
		}
	}
}

func (l *Log) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.active.data) + len(l.flushing.rest())
}

// report tells of trouble once, and of its end with what it cost.
func (l *Log) report(err error) {
	if err != nil {
		if !l.broken.Swap(true) {
			l.log.Error("log records cannot be written; they are kept in memory, and dropped when there are too many", "err", err)
		}
		return
	}
	was := l.broken.Swap(false)
	l.mu.Lock()
	n := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if was || n > 0 {
		l.log.Warn("log records are written again", "dropped", n)
	}
	if n > 0 && l.opts.Dropped != nil {
		l.opts.Dropped(n)
	}
}

// flush writes what was appended, and syncs it if sync is set. Writer only, or
// after it has ended.
func (l *Log) flush(sync bool) error {
	now := l.opts.Now()
	l.age(now)
	g := l.current()
	for {
		batch := l.batch()
		if len(batch) == 0 {
			break
		}
		var n int
		if g != nil {
			n = fit(batch, l.opts.SegmentBytes-g.size)
		}
		if n == 0 && (g == nil || g.size > segmentHeader) {
			var err error
			if g, err = l.roll(g, batch, now); err != nil {
				return err
			}
			n = fit(batch, l.opts.SegmentBytes-g.size)
		}
		if n == 0 { // one record that is larger than a segment should be
			_, n = peek(batch)
		}
		if err := l.put(g, batch[:n]); err != nil {
			return err
		}
	}
	l.retire(now)
	if sync && g != nil {
		if err := g.file.Sync(); err != nil {
			// What a failed sync has left on the disk is unknown, and a second
			// one would not tell: go on in a new segment.
			l.detach(g)
			l.unsynced = fmt.Errorf("sync %s: %w", g.path, err)
			return l.unsynced
		}
	}
	return nil
}

// current is the segment that is written, or nil.
func (l *Log) current() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 && l.segments[n-1].file != nil {
		return l.segments[n-1]
	}
	return nil
}

// batch is what is to be written next.
func (l *Log) batch() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.flushing.rest()) == 0 {
		free := l.flushing.data[:0]
		if cap(free) > 2*writeAhead { // after a burst
			free = nil
		}
		l.flushing, l.active = l.active, buffer{data: free}
	}
	return l.flushing.rest()
}

// fit is how many bytes of whole records at the start of b have room.
func fit(b []byte, room int64) int {
	if int64(len(b)) <= room {
		return len(b)
	}
	n := 0
	for n < len(b) {
		_, size := peek(b[n:])
		if int64(n+size) > room {
			break
		}
		n += size
	}
	return n
}

// roll begins a new segment, for the records of batch.
func (l *Log) roll(g *segment, batch []byte, now time.Time) (*segment, error) {
	first, _ := peek(batch)
	fresh, err := l.rotate(first, now)
	if err != nil {
		return nil, fmt.Errorf("begin a log segment: %w", err)
	}
	if err := l.seal(g); err != nil {
		l.log.Error("a log segment could not be synced; its end may be lost in a crash", "file", g.path, "err", err)
	}
	l.mu.Lock()
	l.segments = append(l.segments, fresh)
	l.mu.Unlock()
	return fresh, nil
}

// put writes the next records of the batch.
func (l *Log) put(g *segment, b []byte) error {
	_, err := g.file.WriteAt(b, g.size)
	if err == nil {
		l.mu.Lock()
		g.size += int64(len(b))
		l.flushing.done += len(b)
		l.mu.Unlock()
		return nil
	}
	if !errors.Is(err, syscall.ENOSPC) {
		// Try again in another file. A part of the records may stand twice
		// then; their numbers tell.
		_ = g.file.Truncate(g.size)
		l.detach(g)
	}
	return fmt.Errorf("write %s: %w", g.path, err)
}

// seal ends a segment.
func (l *Log) seal(g *segment) error {
	if g == nil {
		return nil
	}
	err := g.file.Sync()
	l.detach(g)
	return err
}

// detach lets go of a segment's file.
func (l *Log) detach(g *segment) {
	f := g.file
	l.mu.Lock()
	g.file = nil
	l.ended = nanos(l.opts.Now())
	l.mu.Unlock()
	if err := f.Close(); err != nil {
		l.log.Warn("a log segment could not be closed", "file", g.path, "err", err)
	}
}

// age ends a segment that has been written for so long that its first records
// would be kept past their time.
func (l *Log) age(now time.Time) {
	g := l.current()
	if g == nil || now.Sub(time.Unix(0, g.created)) < l.opts.MaxAge/8 {
		return
	}
	if err := l.seal(g); err != nil {
		l.log.Error("a log segment could not be synced; its end may be lost in a crash", "file", g.path, "err", err)
	}
}
