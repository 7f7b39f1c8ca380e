package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	gust "github.com/gust-dev/gust"
)

// stripes is how many locks the partitions share. A lock is held only while a
// transition decides, so a collision costs little, and idle partitions cost
// nothing.
const stripes = 1024

type stripe struct {
	sync.Mutex
	// unsynced counts the transitions that are applied, or about to be, and
	// not known to be synced.
	unsynced atomic.Int32
	_        [64 - 12]byte // a cache line each
}

var seed = maphash.MakeSeed()

func (s *Store) stripe(p Partition) *stripe {
	return &s.locks[maphash.String(seed, string(p))%stripes]
}

// Tx is one transition: it reads the partition's latest state and its own
// writes, and writes one atomic batch. It is valid only during the call of the
// function it was given to, and for that goroutine.
type Tx struct {
	reader
	store *Store
	batch *pebble.Batch
	now   time.Time // zero until somebody asks
	key   []byte    // scratch
	due   []due     // timers set, to wake who waits for them
}

// Update runs fn while no other transition of the partition decides, applies
// what fn wrote as one atomic batch, and returns when it is synced (under
// DurabilityInterval: when it is applied). Everything that an error-free Update
// or View saw is synced when it returns, so no answer stands on what a crash
// can take back.
//
// When fn returns an error nothing is applied and Update returns that error.
// fn must neither call Update or View nor wait for anything else.
//
// An error that wraps gust.ErrNoSpace, gust.ErrTooLarge or gust.ErrInvalid means
// that nothing was applied. Any other error from the store itself means that
// the transition's fate is unknown: the disk failed, OnFatal is called, and only
// the next start can tell.
func (s *Store) Update(ctx context.Context, p Partition, fn func(*Tx) error) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	if err := s.failed(); err != nil {
		return err
	}

	b := s.db.NewIndexedBatch()
	s.witness(b)
	st := s.stripe(p)
	seen, applied, err := s.transition(st, p, b, fn)
	switch {
	case !applied:
		b.Close()
		if seen && s.opts.Durability == DurabilityAlways {
			if berr := s.barrier(); err == nil {
				err = berr
			}
		}
		return err
	case err == nil && s.opts.Durability == DurabilityAlways:
		if err = b.SyncWait(); err == nil {
			s.syncedTo(b)
		} else {
			s.fail(fmt.Errorf("sync the log: %w", explain(err)))
		}
	}
	st.unsynced.Add(-1)
	if ferr := s.failed(); ferr != nil {
		return ferr // the batch stays with the engine
	}
	if err != nil {
		return err
	}
	b.Close()
	s.soil()
	return nil
}

// transition is the part of Update under the lock. seen tells that fn may have
// read what is not synced yet.
func (s *Store) transition(st *stripe, p Partition, b *pebble.Batch, fn func(*Tx) error) (seen, applied bool, err error) {
	st.Lock()
	defer st.Unlock()
	tx := txs.Get().(*Tx)
	defer tx.release()
	tx.store, tx.batch = s, b
	tx.reader.source, tx.reader.partition = b, p
	seen = st.unsynced.Load() > 0
	if err = fn(tx); err == nil {
		err = tx.err
	}
	if err != nil {
		return seen, false, err
	}
	if b.Count() == 0 {
		return seen, false, nil
	}
	if b.Len() > MaxTransition {
		return seen, false, fmt.Errorf("%w: a transition of partition %.60q writes %d bytes, at most %d are allowed", gust.ErrTooLarge, p, b.Len(), MaxTransition)
	}
	if err := s.space.admit(b.Len()); err != nil {
		return seen, false, err
	}
	st.unsynced.Add(1)
	if s.opts.Durability == DurabilityInterval {
		err = s.db.Apply(b, pebble.NoSync)
	} else {
		err = s.db.ApplyNoSyncWait(b, pebble.Sync)
	}
	if err != nil {
		s.fail(fmt.Errorf("apply a transition: %w", explain(err)))
		return seen, true, err
	}
	if s.failed() == nil {
		s.timers.set(tx.due)
	}
	return seen, true, nil
}

// barrier returns when everything that was applied before it is synced.
func (s *Store) barrier() error {
	b := s.db.NewBatch()
	defer b.Close()
	s.witness(b)
	if err := s.db.Apply(b, pebble.Sync); err != nil {
		s.fail(fmt.Errorf("sync the log: %w", explain(err)))
	}
	return s.failed()
}

// witness makes b say which sequence number was known to be synced before it.
// The audit at the next start compares: what is damaged and has a later witness
// was acknowledged, and no torn write. It is the first record of the batch, and
// only in the log.
func (s *Store) witness(b *pebble.Batch) {
	var w [1 + 8]byte
	w[0] = witnessMark
	binary.LittleEndian.PutUint64(w[1:], s.synced.Load())
	_ = b.LogData(w[:], nil) // never fails
}

const witnessMark = 'w'

// syncedTo notes that b, and with it all before b, is synced.
func (s *Store) syncedTo(b *pebble.Batch) {
	last := uint64(b.SeqNum()) + uint64(b.Count()) - 1
	for {
		was := s.synced.Load()
		if was >= last || s.synced.CompareAndSwap(was, last) {
			return
		}
	}
}

var txs = sync.Pool{New: func() any { return new(Tx) }}

func (tx *Tx) release() {
	*tx = Tx{key: tx.key[:0], due: tx.due[:0]}
	txs.Put(tx)
}

// Now is the transition's time, the same at every call: the believed time, see
// Store.Now.
func (tx *Tx) Now() time.Time {
	if tx.now.IsZero() {
		tx.now = tx.store.clock.now()
	}
	return tx.now
}

// Set writes a value. Both slices may be changed after the call.
func (tx *Tx) Set(key, value []byte) error {
	if err := tx.checkKey(key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return tx.fail(fmt.Errorf("%w: the value of key %.60q in partition %.60q has %d bytes, at most %d are allowed", gust.ErrTooLarge, key, tx.partition, len(value), MaxValue))
	}
	tx.key = appendDataKey(tx.key[:0], tx.partition, key)
	return tx.fail(tx.batch.Set(tx.key, value, nil))
}

// Delete removes a key; one that is not there is no error.
func (tx *Tx) Delete(key []byte) error {
	if err := tx.checkKey(key); err != nil {
		return err
	}
	tx.key = appendDataKey(tx.key[:0], tx.partition, key)
	return tx.fail(tx.batch.Delete(tx.key, nil))
}

func (tx *Tx) checkKey(key []byte) error {
	if len(key) > MaxKey {
		return tx.fail(fmt.Errorf("%w: key %.60q... in partition %.60q has %d bytes, at most %d are allowed", gust.ErrTooLarge, key, tx.partition, len(key), MaxKey))
	}
	return nil
}

// SetTimer sets a timer of the partition, or moves the one with the same ID.
func (tx *Tx) SetTimer(t Timer) error {
	if err := checkTimer(t); err != nil {
		return tx.fail(err)
	}
	at, err := nanos(t.At)
	if err != nil {
		return tx.fail(fmt.Errorf("timer %.60q: %w", t.ID, err))
	}
	if err := tx.DeleteTimer(t.ID); err != nil {
		return err
	}
	tx.key = appendTimerKey(tx.key[:0], tx.partition, t.ID)
	if err := tx.fail(tx.batch.Set(tx.key, appendTimer(nil, at, t.Kind, t.Payload), nil)); err != nil {
		return err
	}
	tx.key = appendDueKey(tx.key[:0], t.Kind, at, tx.partition, t.ID)
	if err := tx.fail(tx.batch.Set(tx.key, nil, nil)); err != nil {
		return err
	}
	tx.due = append(tx.due, due{t.Kind, at})
	return nil
}

// DeleteTimer removes a timer; one that is not there is no error.
func (tx *Tx) DeleteTimer(id string) error {
	if id == "" || len(id) > MaxKey {
		return tx.fail(checkTimerID(id))
	}
	at, kind, _, err := tx.timer(id)
	if errors.Is(err, gust.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.key = appendDueKey(tx.key[:0], string(kind), at, tx.partition, id)
	if err := tx.fail(tx.batch.Delete(tx.key, nil)); err != nil {
		return err
	}
	tx.key = appendTimerKey(tx.key[:0], tx.partition, id)
	return tx.fail(tx.batch.Delete(tx.key, nil))
}
