package observe

import (
	"context"
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
// Follow until ctx is done. A damaged part of the log, or a record that this
// version cannot read, comes as an error between the records (gust.ErrCorrupt),
// and going on skips it.
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
		for entry, err := range r.log.Read(ctx, from, q.Follow) {
			if err == nil && entry.Seq > last {
				return
			}
			if err == nil && (entry.Time.Before(q.Since) || !f.match(entry.Payload)) {
				continue
			}
			if err == nil {
				records, err = decode(records[:0], entry.Seq, entry.Time, entry.Payload)
			}
			if err != nil {
				if !yield(Record{}, err) {
					return
				}
				continue
			}
			for _, record := range records[min(surplus, len(records)):] {
				if !yield(record, nil) {
					return
				}
			}
			surplus = 0
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
		if ctx.Err() != nil {
			return window{}, context.Cause(ctx)
		}
		if err != nil || entry.Time.Before(q.Since) || !f.match(entry.Payload) {
			continue // the second look tells of what is damaged
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
	if w.entries = len(ring) - head; w.entries > 0 {
		w.first = ring[head].seq
		w.surplus = max(total-q.Limit, 0)
	}
	return w, nil
}
