package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/logfile"
)

// Check verifies a data folder that no node uses, and changes nothing: the
// format, the engine's logs, manifest and every block of its tables, the order
// of its keys and what each of them must look like, that every timer has its
// entry in the due index and the other way round, every blob by its SHA-256, and
// every log segment. report is called for every file that was verified, with nil
// when it is sound. The error is gust.ErrCorrupt when anything is damaged, and
// *InUseError when a process has the folder open.
func Check(ctx context.Context, dir string, report func(file string, err error)) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("check the data folder: %w", err)
	}
	if err := CheckFormat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is no data folder: it has no %s", gust.ErrNotFound, dir, formatFile)
	}
	lock, err := Lock(dir)
	if err != nil {
		return err
	}
	return errors.Join(check(ctx, vfs.Default, dir, report), lock.Close())
}

func check(ctx context.Context, fsys vfs.FS, dir string, report func(file string, err error)) error {
	bad := 0
	count := func(file string, err error) {
		if err != nil {
			bad++
		}
		report(file, err)
	}
	err := checkFormat(fsys, dir)
	if err != nil && !errors.Is(err, gust.ErrCorrupt) {
		return err
	}
	count(fsys.PathJoin(dir, formatFile), err)
	if err := checkEngine(ctx, fsys, fsys.PathJoin(dir, "store"), count); err != nil && !errors.Is(err, gust.ErrCorrupt) {
		return fmt.Errorf("check the store: %w", explain(err))
	}
	if err := checkBlobs(ctx, fsys, fsys.PathJoin(dir, "blobs"), count); err != nil {
		return fmt.Errorf("check the blobs: %w", explain(err))
	}
	if fsys == vfs.Default {
		if err := logfile.Check(ctx, fsys.PathJoin(dir, "logs"), count); err != nil && !errors.Is(err, gust.ErrCorrupt) {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d problems in the data folder %s", gust.ErrCorrupt, bad, dir)
	}
	return nil
}

// checkEngine verifies the engine's folder. Its error is gust.ErrCorrupt when
// something was reported, and another one when it could not be verified.
func checkEngine(ctx context.Context, fsys vfs.FS, dir string, report func(file string, err error)) error {
	if _, err := fsys.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		report(dir, fmt.Errorf("%w: it is not there", gust.ErrCorrupt))
		return gust.ErrCorrupt
	}
	if err := audit(fsys, dir); err != nil {
		if errors.Is(err, gust.ErrCorrupt) {
			report(dir, err)
		}
		return err
	}
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "OPTIONS-") {
			report(fsys.PathJoin(dir, name), nil) // by the audit
		}
	}
	o := engineFormat(fsys)
	o.ReadOnly = true
	o.Logger = engineLog{slog.New(slog.DiscardHandler), func(error) {}}
	o.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
	db, err := openPebble(dir, o)
	if err == nil {
		err = errors.Join(checkDB(ctx, db, fsys, dir, report), db.Close())
	} else if err = explain(missing(err)); errors.Is(err, gust.ErrCorrupt) {
		report(dir, err)
	}
	return err
}

// checkDB verifies the tables that the manifest names, and what is in them.
// Others are left over from a flush that did not end.
func checkDB(ctx context.Context, db *pebble.DB, fsys vfs.FS, dir string, report func(file string, err error)) error {
	levels, err := db.SSTables()
	if err != nil {
		return explain(missing(err))
	}
	bad := false
	for _, tables := range levels {
		for _, t := range tables {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			path := fsys.PathJoin(dir, fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))
			err := checkTable(ctx, fsys, path)
			report(path, err)
			bad = bad || err != nil
		}
	}
	if bad {
		return gust.ErrCorrupt
	}
	err = checkKeys(ctx, db)
	if err == nil || errors.Is(err, gust.ErrCorrupt) {
		report(dir, err)
	}
	return err
}

// checkTable verifies the checksum of every block.
func checkTable(ctx context.Context, fsys vfs.FS, path string) error {
	f, err := fsys.Open(path)
	if err != nil {
		return explain(err)
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(explain(err), f.Close())
	}
	o := engineFormat(fsys)
	o.EnsureDefaults()
	r, err := sstable.NewReader(ctx, readable, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(explain(missing(err)), readable.Close())
	}
	err = r.ValidateBlockChecksums()
	if err != nil {
		err = explain(missing(err))
	}
	return errors.Join(err, r.Close())
}

// checkKeys reads all keys.
func checkKeys(ctx context.Context, db *pebble.DB) error {
	if err := db.CheckLevels(nil); err != nil {
		return explain(missing(err))
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return explain(err)
	}
	defer it.Close()
	var timers, dues int
	for ok := it.First(); ok; ok = it.Next() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return explain(missing(err))
		}
		if err := checkRecord(db, it.Key(), v, &timers, &dues); err != nil {
			return fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
		}
	}
	if err := it.Error(); err != nil {
		return explain(missing(err))
	}
	if timers != dues {
		return fmt.Errorf("%w: there are %d timers and %d entries in the due index", gust.ErrCorrupt, timers, dues)
	}
	return nil
}

func checkRecord(db *pebble.DB, k, v []byte, timers, dues *int) error {
	switch k[0] {
	case spacePartition:
		p, tag, rest, err := splitPartition(k)
		if err != nil || tag == tagData {
			return err
		}
		*timers++
		at, kind, _, err := parseTimer(v)
		if err != nil {
			return fmt.Errorf("timer %.60q of partition %.60q: %w", rest, p, err)
		}
		_, c, err := db.Get(appendDueKey(nil, string(kind), at, p, string(rest)))
		if errors.Is(err, pebble.ErrNotFound) {
			return fmt.Errorf("timer %.60q of partition %.60q is not in the due index", rest, p)
		}
		if err != nil {
			return err
		}
		return c.Close()
	case spaceDue:
		*dues++
		_, _, _, _, err := splitDue(k)
		return err
	case spaceOwn:
		return nil
	}
	return fmt.Errorf("key %.60q belongs to nothing", k)
}

func checkBlobs(ctx context.Context, fsys vfs.FS, dir string, report func(file string, err error)) error {
	all, err := listBlobs(fsys, dir, func(path string) {
		report(path, fmt.Errorf("%w: it is no blob", gust.ErrCorrupt))
	})
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		path := fsys.PathJoin(dir, string(d[:2]), string(d))
		f, _, err := openChecked(fsys, path, d)
		if err == nil {
			err = f.Close()
		}
		report(path, explain(err))
	}
	return nil
}
