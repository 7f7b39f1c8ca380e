package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	gust "github.com/gust-dev/gust"
)

// audit reads the engine's log and manifest before the engine does. Pebble takes
// a damaged manifest record for the manifest's end, and forgets the tables that
// came after it; a damaged log record for the log's end unless a later chunk says
// that it was synced, which its count of synced bytes often misses; and a log
// number that grew by one for a clean end. Here, whatever is damaged and cannot
// be a torn write is refused with gust.ErrCorrupt, naming the file. Nothing is
// changed.
func audit(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, explain(err))
	}
	manifest, err := atomicfs.ReadMarker(fsys, dir, "manifest")
	if err != nil {
		return fmt.Errorf("%w: the store in %s: %w", gust.ErrCorrupt, dir, err)
	}
	if manifest == "" {
		for _, name := range names {
			if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".sst") {
				return fmt.Errorf("%w: the store in %s holds %s, but nothing names its manifest", gust.ErrCorrupt, dir, name)
			}
		}
		return nil
	}
	manifest = fsys.PathJoin(dir, manifest)
	live, next, err := auditManifest(fsys, manifest)
	if err != nil {
		return err
	}
	if err := auditOptions(fsys, dir, names); err != nil {
		return err
	}
	begun := false
	for _, n := range logNumbers(names) {
		if n < live {
			continue // all of it is in tables
		}
		end, err := auditLog(fsys, fsys.PathJoin(dir, logName(n)), n)
		if err != nil {
			return err
		}
		if !begun && end.first > next {
			return fmt.Errorf("%w: %s knows transitions before number %d, and the logs begin at %d: the disk lost what it had synced",
				gust.ErrCorrupt, manifest, next, end.first)
		}
		begun = begun || end.first > 0
	}
	return nil
}

func logName(n uint64) string { return fmt.Sprintf("%06d.log", n) }

func logNumbers(names []string) (all []uint64) {
	for _, name := range names {
		if n, ok := strings.CutSuffix(name, ".log"); ok {
			if n, err := strconv.ParseUint(n, 10, 64); err == nil {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all
}

// auditOptions reads the newest options as the engine will; they have no
// checksum, and matter only where the engine would refuse them.
func auditOptions(fsys vfs.FS, dir string, names []string) error {
	var newest string
	for _, name := range names {
		if strings.HasPrefix(name, "OPTIONS-") && (len(name) > len(newest) || len(name) == len(newest) && name > newest) {
			newest = name
		}
	}
	if newest == "" {
		return nil
	}
	path := fsys.PathJoin(dir, newest)
	text, err := readFile(fsys, path)
	if err != nil {
		return fmt.Errorf("read the store's options: %w", explain(err))
	}
	o := engineFormat(fsys)
	o.EnsureDefaults()
	if err := o.CheckCompatibility(dir, string(text)); err != nil {
		return fmt.Errorf("%w: %s is damaged, or of another program: %w", gust.ErrCorrupt, path, err)
	}
	return nil
}

// auditManifest checks a manifest, and returns the number of the first log that
// is not all in tables, and the sequence number that the first transition in the
// logs has at most.
//
// A manifest's record is synced before the next one is begun. So a damaged chunk
// with a later beginning of a record is no torn write.
func auditManifest(fsys vfs.FS, path string) (live, next uint64, err error) {
	data, err := readFile(fsys, path)
	if err != nil {
		return 0, 0, fmt.Errorf("read the store's manifest: %w", explain(missing(err)))
	}
	const firstSeq = 10 // the engine keeps those before it for itself
	next = firstSeq
	c := &chunks{data: data, manifest: true}
	records := 0
	_, bad := c.scan(func(edit []byte) {
		records++
		l, s := editHead(edit)
		live, next = max(live, l), max(next, s+1)
	})
	if bad < 0 && records > 0 {
		return live, next, nil
	}
	later := false
	c.later(max(bad, 0), func(k chunk) bool {
		later = k.pos == chunkFull || k.pos == chunkFirst
		return !later
	})
	if records == 0 || later || c.flipped(bad) {
		return 0, 0, fmt.Errorf("%w: %s is damaged at byte %d of %d", gust.ErrCorrupt, path, max(bad, 0), len(data))
	}
	return live, next, nil
}

// editHead reads the fields at the start of a manifest's record that it needs:
// the first log that is live, and the last sequence number; 0 when it has none.
func editHead(b []byte) (live, last uint64) {
	read := func() (n uint64, ok bool) {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return 0, false
		}
		b = b[k:]
		return n, true
	}
	for {
		tag, ok := read()
		n, more := read()
		if !ok || !more {
			return live, last
		}
		switch tag {
		case 1: // comparer
			if n > uint64(len(b)) {
				return live, last
			}
			b = b[n:]
		case 2: // first live log
			live = n
		case 4: // last sequence number
			last = n
		case 3, 9, 106: // next file, previous log, removed backing
		case 105: // created backing
			if _, ok := read(); !ok {
				return live, last
			}
		default:
			return live, last
		}
	}
}

// logEnd is what the audit found of a log.
type logEnd struct {
	data  []byte // up to where the last whole record ends
	first uint64 // its first sequence number, 0 when it has none
	last  uint64 // its last one
	bad   int    // where it goes on, but not with a whole record; -1 when it does not
}

func scanLog(data []byte, number uint64) (e logEnd) {
	c := &chunks{data: data, log: uint32(number)}
	end, bad := c.scan(func(batch []byte) {
		if seq, count, _, ok := batchHead(batch); ok && count > 0 {
			e.last = seq + uint64(count) - 1
			if e.first == 0 {
				e.first = seq
			}
		}
	})
	e.data, e.bad = data[:end], bad
	return e
}

// auditLog checks one log.
func auditLog(fsys vfs.FS, path string, number uint64) (logEnd, error) {
	data, err := readFile(fsys, path)
	if err != nil {
		return logEnd{}, fmt.Errorf("read the store's log: %w", explain(err))
	}
	e := scanLog(data, number)
	if e.bad < 0 {
		return e, nil
	}
	c := &chunks{data: data, log: uint32(number)}
	// What was synced, as far as what is behind the bad chunk knows.
	var synced uint64      // bytes
	var acked uint64       // sequence number
	var first = ^uint64(0) // sequence number of the first batch behind it
	c.later(e.bad, func(k chunk) bool {
		synced = max(synced, k.synced)
		if k.pos == chunkFull || k.pos == chunkFirst {
			if seq, count, witness, ok := batchHead(k.payload); ok {
				acked = max(acked, witness)
				if count > 0 {
					first = min(first, seq)
				}
			}
		}
		return true
	})
	if synced > uint64(e.bad) || acked >= first || e.last > 0 && acked > e.last || c.flipped(e.bad) {
		return logEnd{}, fmt.Errorf("%w: %s is damaged at byte %d of %d", gust.ErrCorrupt, path, e.bad, len(data))
	}
	return e, nil
}

// batchHead reads the start of a batch in the log: its first sequence number,
// how many it takes, and the witness that Update and its kin put first.
func batchHead(b []byte) (seq uint64, count uint32, witness uint64, ok bool) {
	const head = 12 // the engine's header; then kind, length, mark, number
	if len(b) < head {
		return 0, 0, 0, false
	}
	seq, count = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
	if len(b) >= head+2+9 && b[head] == byte(pebble.InternalKeyKindLogData) && b[head+1] == 9 && b[head+2] == witnessMark {
		witness = binary.LittleEndian.Uint64(b[head+3:])
	}
	return seq, count, witness, true
}

// readFile reads a whole file.
func readFile(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	data := make([]byte, st.Size())
	n, err := io.ReadFull(io.NewSectionReader(f, 0, st.Size()), data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return data[:n], f.Close()
}

// newEngine makes the folder of a new store, in the newest format from the
// start: Pebble begins a new store's first log in its oldest one.
func newEngine(fsys vfs.FS, dir string) error {
	if err := makeDir(fsys, dir); err != nil {
		return err
	}
	names, err := fsys.List(dir)
	if err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "marker.") || strings.HasPrefix(n, "MANIFEST-") }) {
		return err
	}
	m, _, err := atomicfs.LocateMarker(fsys, dir, "format-version")
	if err != nil {
		return err
	}
	return errors.Join(m.Move(pebble.FormatNewest.String()), m.Close())
}
