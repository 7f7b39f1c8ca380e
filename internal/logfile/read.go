package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"sort"
	"time"

	gust "github.com/gust-dev/gust"
)

// Entry is one record.
type Entry struct {
	Seq  uint64
	Time time.Time
	// Payload is only valid until the next turn of the loop, and must not be
	// changed.
	Payload []byte
}

// Position says where a reader begins; the zero Position is the oldest record.
type Position struct {
	// Seq is the first record's number; Log.Next is the end. When older
	// records are asked for than there are, the missing ones are reported.
	Seq uint64
	// Time leaves out the records before it.
	Time time.Time
}

// LostError says that records are missing. A reader that gets it can go on.
type LostError struct {
	// First is the number of the first missing record, Records how many there
	// are.
	First, Records uint64
	// File is where they were found damaged; empty when they were removed, or
	// never written because the disk was full or the node was killed.
	File string
}

func (e *LostError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("%d log records from number %d on are missing", e.Records, e.First)
	}
	return fmt.Sprintf("%d log records from number %d on are missing: %s is damaged", e.Records, e.First, e.File)
}

// Unwrap makes damage gust.ErrCorrupt.
func (e *LostError) Unwrap() error {
	if e.File != "" {
		return gust.ErrCorrupt
	}
	return nil
}

// Read yields records in order, those included that are not synced yet. Where
// records are missing it yields a *LostError and goes on; any other error is the
// last it yields. With follow it waits for new records until ctx ends or the log
// is closed, and ends with that as its error; a follower that is slower than
// records are removed loses them, and is told.
func (l *Log) Read(ctx context.Context, from Position, follow bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := &walk{log: l, next: from.Seq, told: from.Seq > 0, since: math.MinInt64, yield: yield}
		if !from.Time.IsZero() {
			w.since = nanos(from.Time)
			w.skipTo(from.Time)
		}
		defer w.close()
		if err := w.run(ctx, follow); err != nil && !errors.Is(err, errStop) {
			yield(Entry{}, err)
		}
	}
}

// errStop ends a walk whose reader has enough.
var errStop = errors.New("stop")

// walk is one reader's way through the log: first the files, up to what was
// written when it looked, then the memory behind them.
type walk struct {
	log   *Log
	yield func(Entry, error) bool
	next  uint64 // the number that is expected
	told  bool   // a gap before the next record is a loss
	since int64
	read  uint64 // the files are read up to this number

	path string // the file that is read ...
	file File
	off  int64  // ... and how far
	bad  string // the file in which damage was met since the last record
	buf  []byte
}

func (w *walk) run(ctx context.Context, follow bool) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		v := w.look(follow)
		switch {
		case v.files != nil:
			if err := w.disk(ctx, v.files); err != nil {
				return err
			}
			w.read = v.memory
		case v.tail != nil:
			if err := w.records(v.tail); err != nil {
				return err
			}
			w.read = w.next
		case v.wait != nil:
			select {
			case <-v.wait:
			case <-ctx.Done():
			case <-w.log.closing:
			}
		case follow:
			return fmt.Errorf("follow the log: %w", gust.ErrClosing)
		default:
			return w.gap(v.end)
		}
	}
}

// view is one look at the log.
type view struct {
	files  []segment // to be read next, up to their sizes
	memory uint64    // the number of the first record in memory
	tail   []byte    // a copy of the records in memory, or
	wait   chan struct{}
	end    uint64
}

func (w *walk) look(follow bool) (v view) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	v.memory, v.end = l.next, l.next
	for _, b := range [][]byte{l.flushing.rest(), l.active.data} {
		for len(b) > 0 {
			seq, size := peek(b)
			v.memory = min(v.memory, seq)
			if seq >= w.next {
				v.tail = append(v.tail, b...)
				break
			}
			b = b[size:]
		}
	}
	if w.next < v.memory && w.read < v.memory && len(l.segments) > 0 {
		i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > w.next })
		for _, g := range l.segments[max(i-1, 0):] {
			v.files = append(v.files, segment{path: g.path, size: g.size})
		}
		return v
	}
	if v.tail == nil && follow && !l.closed {
		v.wait = make(chan struct{})
		l.waiters = append(l.waiters, v.wait)
	}
	return v
}

// records delivers what was copied from memory.
func (w *walk) records(b []byte) error {
	for len(b) > 0 {
		r, _, _ := parse(b)
		if err := w.deliver(r); err != nil {
			return err
		}
		b = b[r.size:]
	}
	return nil
}

// deliver yields a record, and what is missing before it.
func (w *walk) deliver(r record) error {
	if r.seq < w.next {
		return nil // written twice, or before where the reader begins
	}
	if err := w.gap(r.seq); err != nil {
		return err
	}
	w.next, w.told = r.seq+1, true
	if r.time >= w.since && !w.yield(Entry{Seq: r.seq, Time: time.Unix(0, r.time), Payload: r.payload}, nil) {
		return errStop
	}
	return nil
}

// gap yields what is missing before the number.
func (w *walk) gap(seq uint64) error {
	first, bad := w.next, w.bad
	w.next, w.bad = seq, ""
	if first < seq && w.told && !w.yield(Entry{}, &LostError{First: first, Records: seq - first, File: bad}) {
		return errStop
	}
	return nil
}

// disk delivers what the files hold.
func (w *walk) disk(ctx context.Context, files []segment) error {
	for _, g := range files {
		if w.path != g.path {
			w.close()
			f, err := w.log.fs.Open(g.path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile; the gap tells
			}
			if err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			w.path, w.file, w.off = g.path, f, segmentHeader
		}
		if err := w.segment(ctx, g.size); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) close() {
	if w.file != nil {
		_ = w.file.Close() // it was only read
		w.path, w.file = "", nil
	}
}

const window = 256 << 10

// segment delivers what the open file holds up to size.
func (w *walk) segment(ctx context.Context, size int64) error {
	want := int64(window)
	for w.off < size {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b, err := w.window(min(want, size-w.off))
		if err != nil {
			return err
		}
		want = window
		for len(b) > 0 {
			r, need, ok := parse(b)
			if ok {
				w.off += int64(r.size)
				if err := w.deliver(r); err != nil {
					return err
				}
				b = b[r.size:]
				continue
			}
			if need > 0 && w.off+int64(need) <= size {
				want = max(window, int64(need))
				break // its end is behind the window
			}
			if err := w.damage(size); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// window reads n bytes at the walk's place.
func (w *walk) window(n int64) ([]byte, error) {
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	b := w.buf[:n]
	if k, err := w.file.ReadAt(b, w.off); k < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			// The file is shorter than what was written into it.
			clear(b[k:])
			return b, nil
		}
		return nil, fmt.Errorf("read %s: %w", w.path, err)
	}
	return b, nil
}

// damage goes on to the next whole record of the file, if there is one.
func (w *walk) damage(size int64) error {
	w.bad = w.path
	b, err := w.window(size - w.off)
	if err != nil {
		return err
	}
	if skip := resync(b[1:], w.next); skip >= 0 {
		w.off += 1 + int64(skip)
	} else {
		w.off = size
	}
	return nil
}

// skipTo leaves out the segments that end before t.
func (w *walk) skipTo(t time.Time) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.segments), func(i int) bool { return !l.until(i).Add(timeSlack).Before(t) })
	if i > 0 && i < len(l.segments) && l.segments[i].first > w.next {
		w.next, w.told = l.segments[i].first, false
	}
}
