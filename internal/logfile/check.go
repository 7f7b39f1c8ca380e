package logfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	gust "github.com/gust-dev/gust"
)

// Check reads every segment in a folder that no log has open. report is called
// for each file, with nil when it is sound and with an error that says where it is
// damaged otherwise; the last segment may end in the middle of a record. The
// error is gust.ErrCorrupt when any was damaged.
func Check(ctx context.Context, dir string, report func(file string, err error)) error {
	return check(ctx, Disk{}, dir, report)
}

func check(ctx context.Context, fsys FS, dir string, report func(file string, err error)) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the log: %w", err)
	}
	for _, name := range names {
		if _, ok := segmentFirst(name); !ok {
			report(filepath.Join(dir, name), fmt.Errorf("%w: it is no log segment", gust.ErrCorrupt))
			err = gust.ErrCorrupt
		}
	}
	segments, lerr := list(fsys, dir)
	if lerr != nil {
		return fmt.Errorf("check the log: %w", lerr)
	}
	var next uint64
	for i, g := range segments {
		if cerr := context.Cause(ctx); cerr != nil {
			return cerr
		}
		bad := checkSegment(fsys, g, i == len(segments)-1, &next)
		report(g.path, bad)
		if bad != nil {
			err = gust.ErrCorrupt
		}
	}
	if err != nil {
		return fmt.Errorf("%w: the log in %s is damaged", err, dir)
	}
	return nil
}

func checkSegment(fsys FS, g *segment, last bool, next *uint64) error {
	f, err := fsys.Open(g.path)
	if err != nil {
		return err
	}
	defer f.Close()
	data := make([]byte, g.size)
	if n, err := f.ReadAt(data, 0); int64(n) < g.size {
		return fmt.Errorf("read it: %w", err)
	}
	if len(data) < segmentHeader && last {
		return nil // begun when the node ended
	}
	if first, _, ok := parseHeader(data); !ok || first != g.first {
		return fmt.Errorf("%w: its header is damaged", gust.ErrCorrupt)
	}
	off := segmentHeader
	for off < len(data) {
		r, _, ok := parse(data[off:])
		if !ok {
			if last && resync(data[off:], *next) < 0 {
				return nil
			}
			return fmt.Errorf("%w: the record at byte %d is damaged", gust.ErrCorrupt, off)
		}
		if r.seq >= *next {
			*next = r.seq + 1
		}
		off += r.size
	}
	return nil
}
