package logfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is one file. Its fields but file are guarded by Log.mu.
type segment struct {
	path    string
	first   uint64 // the first sequence number it may hold
	created int64  // when it was begun; 0 when the header does not say
	size    int64  // bytes of header and records, written
	file    File   // nil unless it is the one that is written; owned by the writer
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d.log", first) }

// segmentFirst is the sequence number in a file's name.
func segmentFirst(name string) (uint64, bool) {
	n, ok := strings.CutSuffix(name, ".log")
	first, err := strconv.ParseUint(n, 10, 64)
	return first, ok && err == nil && len(n) == 20
}

// list finds the folder's segments, in order. It reads their headers only.
func list(fsys FS, dir string) ([]*segment, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var all []*segment
	for _, name := range names {
		first, ok := segmentFirst(name)
		if !ok {
			continue
		}
		g := &segment{path: filepath.Join(dir, name), first: first}
		if err := g.stat(fsys); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return all, nil
}

func (g *segment) stat(fsys FS) error {
	f, err := fsys.Open(g.path)
	if err != nil {
		return err
	}
	g.size, err = f.Size()
	if err == nil {
		var head [segmentHeader]byte
		if n, _ := f.ReadAt(head[:], 0); n == len(head) {
			if first, created, ok := parseHeader(head[:]); ok && first == g.first {
				g.created = created
			}
		}
	}
	return errors.Join(err, f.Close())
}

// recover looks at the newest segment after a restart: it cuts what was not
// written whole, and returns the next sequence number. A segment whose header is
// not whole is removed when it is the newest; it never held a synced record.
func (l *Log) recover() (next uint64, err error) {
	next = 1
	for len(l.segments) > 0 {
		g := l.segments[len(l.segments)-1]
		next = max(next, g.first)
		if g.size < segmentHeader {
			if err := l.fs.Remove(g.path); err != nil {
				return 0, err
			}
			l.segments = l.segments[:len(l.segments)-1]
			continue
		}
		f, err := l.fs.OpenWrite(g.path)
		if err != nil {
			return 0, err
		}
		if err := l.cut(g, f, &next); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		// It is written no more: the next record begins a new segment, so that
		// nothing that was synced once is ever touched again.
		return next, f.Close()
	}
	return next, nil
}

// cut removes the end of the segment that holds no whole record.
func (l *Log) cut(g *segment, f File, next *uint64) error {
	data := make([]byte, g.size)
	if n, err := f.ReadAt(data, 0); int64(n) < g.size {
		return fmt.Errorf("read %s: %w", g.path, err)
	}
	end := segmentHeader
	for end < len(data) {
		r, _, ok := parse(data[end:])
		if ok && r.seq >= *next {
			*next = r.seq + 1
			end += r.size
			continue
		}
		skip := resync(data[end:], *next)
		if skip < 0 {
			break
		}
		end += skip // damage, with records behind it: reading reports it
	}
	if lost := int64(len(data) - end); lost > 0 {
		if err := f.Truncate(int64(end)); err != nil {
			return fmt.Errorf("cut %s: %w", g.path, err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("cut %s: %w", g.path, err)
		}
		l.log.Warn("the log was not closed: its unwritten end was cut", "file", g.path, "bytes", lost)
		g.size = int64(end)
	}
	return nil
}

// rotate begins a new segment for records from first on. Writer only.
func (l *Log) rotate(first uint64, now time.Time) (*segment, error) {
	g := &segment{path: filepath.Join(l.dir, segmentName(first)), first: first, created: nanos(now), size: segmentHeader}
	f, err := l.fs.Create(g.path)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(appendHeader(nil, first, g.created), 0)
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(g.path))
	}
	g.file = f
	return g, nil
}

// retire removes the oldest segments while there are too many bytes, or while
// they are too old. The segment that is written stays. Writer only.
func (l *Log) retire(now time.Time) {
	for {
		l.mu.Lock()
		var total int64
		for _, g := range l.segments {
			total += g.size
		}
		var old *segment
		if len(l.segments) > 1 || len(l.segments) == 1 && l.segments[0].file == nil {
			g := l.segments[0]
			if total > l.opts.MaxBytes || l.until(0).Before(now.Add(-l.opts.MaxAge)) {
				old = g
				l.segments = l.segments[1:]
			}
		}
		l.mu.Unlock()
		if old == nil {
			return
		}
		if err := l.fs.Remove(old.path); err != nil {
			l.log.Warn("an old log segment could not be removed; it stays until the next start", "file", old.path, "err", err)
		}
	}
}

// timeSlack is how far a record's time may be from the clock at which it was
// appended without being missed by a query by time.
const timeSlack = time.Minute

// until bounds the times of segment i from above: nothing in it was appended
// after the next one was begun. The caller holds mu.
func (l *Log) until(i int) time.Time {
	if i+1 < len(l.segments) && l.segments[i+1].created != 0 {
		return time.Unix(0, l.segments[i+1].created)
	}
	if i+1 == len(l.segments) && l.segments[i].file == nil && l.ended != 0 {
		return time.Unix(0, l.ended)
	}
	return l.opts.Now()
}
