package observe

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/gust-dev/gust/internal/logfile"
)

// Query says which records are asked for. What is zero does not matter.
type Query struct {
	Function, App, RequestID string
	Since                    time.Time
	// Limit keeps the newest so many of the records that are there.
	Limit int
	// Follow goes on with the records that come, which Limit does not count.
	Follow bool
}

// Query returns records, the oldest first, until there are no more, or with
// Follow until ctx is done or the log is closed, which is its error then. An
// error is the last that comes. Records that are missing or cannot be read have
// one of KindLost in their place, whatever is asked for.
func (r *Recorder) Query(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := newFilter(q)
		from := logfile.Position{Time: q.Since}
		last := uint64(math.MaxUint64)
		surplus := 0
		if q.Limit > 0 {
			n, err := r.newest(ctx, q, &f)
			if err != nil {
				yield(Record{}, err)
				return
			}
			if n.entries == 0 && !q.Follow {
				return
			}
			from, surplus = logfile.Position{Seq: n.first}, n.surplus
			if !q.Follow {
				last = n.last
			}
		}
		var records []Record
		at := q.Since // of the last entry
		for entry, err := range r.log.Read(ctx, from, q.Follow) {
			if lost := (*logfile.LostError)(nil); errors.As(err, &lost) {
				records = append(records[:0], Record{Seq: lost.First, Kind: KindLost, Time: at.UTC(), Message: err.Error()})
			} else if err != nil {
				yield(Record{}, err)
				return
			} else if entry.Seq > last {
				return
			} else if at = entry.Time; at.Before(q.Since) || !f.match(entry.Payload) {
				continue
			} else if records, err = decode(records[:0], entry.Seq, at, entry.Payload); err != nil {
				records = append(records[:0], Record{Seq: entry.Seq, Kind: KindLost, Time: at.UTC(), Message: err.Error()})
			}
			for _, record := range records[min(surplus, len(records)-1):] {
				if !yield(record, nil) {
					return
				}
			}
			if records[0].Kind != KindLost {
				surplus = 0
			}
		}
	}
}

// window is the part of the log that holds the newest records of a query.
type window struct {
	entries     int
	first, last uint64 // sequence numbers
	surplus     int    // records of the first entry that are too many
}

// newest looks through the log for where the newest q.Limit records begin. It
// keeps numbers, not records, so a large Limit costs little.
func (r *Recorder) newest(ctx context.Context, q Query, f *filter) (window, error) {
	type found struct {
		seq     uint64
		records int
	}
	var ring []found // from head, the oldest
	head, total := 0, 0
	w := window{first: r.log.Next()}
	for entry, err := range r.log.Read(ctx, logfile.Position{Time: q.Since}, false) {
		if err != nil || entry.Time.Before(q.Since) || !f.match(entry.Payload) {
			continue // the second look tells of what is wrong
		}
		n := found{entry.Seq, recordsIn(entry.Payload)}
		total += n.records
		for head < len(ring) && total-ring[head].records >= q.Limit {
			total -= ring[head].records
			head++
		}
		if head > len(ring)/2 && head >= 1024 { // half of it is done with
			ring = ring[:copy(ring, ring[head:])]
			head = 0
		}
		ring = append(ring, n)
		w.last = entry.Seq
	}
	if err := context.Cause(ctx); err != nil {
		return window{}, err
	}
	if w.entries = len(ring) - head; w.entries > 0 {
		w.first = ring[head].seq
		w.surplus = max(total-q.Limit, 0)
	}
	return w, nil
}
