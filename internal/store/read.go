package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	gust "github.com/gust-dev/gust"
)

// Snapshot is a consistent view of one partition. It is valid only during the
// call of the function it was given to, and for that goroutine.
type Snapshot struct{ reader }

// View runs fn on a consistent view of a partition that no transition changes
// meanwhile. What fn saw is synced when View returns without an error.
func (s *Store) View(p Partition, fn func(*Snapshot) error) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := s.begin(context.Background()); err != nil {
		return err
	}
	defer s.end()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	// A transition counts itself before it can be seen, so none that the
	// snapshot holds is missed here.
	seen := s.stripe(p).unsynced.Load() > 0
	v := &Snapshot{reader{source: snap, partition: p}}
	err := fn(v)
	if err == nil {
		err = v.err
	}
	if seen && s.opts.Durability == DurabilityAlways {
		if berr := s.barrier(); err == nil {
			err = berr
		}
	}
	return err
}

// Partitions lists the partitions that hold anything and whose names start with
// prefix, in order.
func (s *Store) Partitions(prefix string) ([]Partition, error) {
	if err := s.begin(context.Background()); err != nil {
		return nil, err
	}
	defer s.end()
	low := append([]byte{spacePartition}, prefix...)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: after(low)})
	if err != nil {
		return nil, explain(err)
	}
	defer it.Close()
	var names []Partition
	for ok := it.First(); ok; {
		p, _, _, err := splitPartition(it.Key())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
		}
		names = append(names, p)
		ok = it.SeekGE(after(appendPartition(nil, p)))
	}
	return names, explain(it.Error())
}

// source is what can be read: a batch over the database, or a snapshot of it.
type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(*pebble.IterOptions) (*pebble.Iterator, error)
}

type reader struct {
	source    source
	partition Partition
	err       error
}

// fail keeps the first error, so that Update and View fail even when their
// function forgot to look at it.
func (r *reader) fail(err error) error {
	if err != nil && r.err == nil {
		r.err = err
	}
	return err
}

// Err is the first error that reading or writing met, gust.ErrNotFound not
// counted. Update and View look at it themselves; a function has to when it acts
// on the end of a Scan.
func (r *reader) Err() error { return r.err }

// Get returns a copy of a key's value, or gust.ErrNotFound.
func (r *reader) Get(key []byte) ([]byte, error) {
	return r.get(appendDataKey(make([]byte, 0, 128), r.partition, key))
}

func (r *reader) get(k []byte) ([]byte, error) {
	v, c, err := r.source.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, gust.ErrNotFound
	}
	if err != nil {
		return nil, r.fail(fmt.Errorf("read partition %.60q: %w", r.partition, explain(err)))
	}
	out := bytes.Clone(v)
	if out == nil {
		out = []byte{}
	}
	if err := c.Close(); err != nil {
		return nil, r.fail(explain(err))
	}
	return out, nil
}

// Scan yields the keys that start with prefix, whole, and their values, in
// order. Both slices are only valid until the next turn of the loop, and must
// not be changed. A loop that ended early by an error shows it in Err.
func (r *reader) Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return r.ScanFrom(prefix, prefix)
}

// ScanFrom is Scan without the keys before from, which starts with prefix: it
// costs nothing to begin far behind the first.
func (r *reader) ScanFrom(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		low := appendDataKey(nil, r.partition, from)
		skip := len(low) - len(from)
		high := after(appendDataKey(nil, r.partition, prefix))
		r.scan(low, high, func(k, v []byte) bool { return yield(k[skip:], v) })
	}
}

func (r *reader) scan(low, high []byte, yield func(k, v []byte) bool) {
	it, err := r.source.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		r.fail(explain(err))
		return
	}
	defer func() {
		if err := it.Close(); err != nil {
			r.fail(fmt.Errorf("read partition %.60q: %w", r.partition, explain(err)))
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			r.fail(fmt.Errorf("read partition %.60q: %w", r.partition, explain(err)))
			return
		}
		if !yield(it.Key(), v) {
			return
		}
	}
}

// Timer returns the timer with the id, or gust.ErrNotFound.
func (r *reader) Timer(id string) (Timer, error) {
	at, kind, payload, err := r.timer(id)
	if err != nil {
		return Timer{}, err
	}
	return Timer{ID: id, At: time.Unix(0, at), Kind: string(kind), Payload: payload}, nil
}

func (r *reader) timer(id string) (at int64, kind, payload []byte, err error) {
	v, err := r.get(appendTimerKey(nil, r.partition, id))
	if err != nil {
		return 0, nil, nil, err
	}
	if at, kind, payload, err = parseTimer(v); err != nil {
		return 0, nil, nil, r.fail(fmt.Errorf("%w: timer %.60q of partition %.60q: %w", gust.ErrCorrupt, id, r.partition, err))
	}
	return at, kind, payload, nil
}

var clockKey = []byte{spaceOwn, 'c', 'l', 'o', 'c', 'k'}

// resumeClock takes up the time that the last run believed.
func (s *Store) resumeClock() error {
	v, c, err := s.db.Get(clockKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", explain(err))
	}
	defer c.Close()
	if len(v) != 8 {
		return fmt.Errorf("%w: the store's clock record has %d bytes", gust.ErrCorrupt, len(v))
	}
	s.clock.resume(time.Unix(0, unsortable(binary.BigEndian.Uint64(v))))
	return nil
}

func appendUint64(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }
