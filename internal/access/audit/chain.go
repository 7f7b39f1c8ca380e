package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// partition holds all of the log:
//
//	"record/" seq(8) -> hash(32) hash-of-the-one-before(32) JSON
//	"open/" seq(8)   -> (empty), for each call that began and has not ended
//	"head"           -> seq(8) hash(32) bytes(8): the newest record, and the size of all
//	"anchor"         -> seq(8) hash(32): the record before the oldest, which was trimmed
//	"trim"           -> seq(8): the newest record of KindTrim
//
// A record's hash is the SHA-256 of the hash before it and its JSON, and the
// JSON has its number.
const partition store.Partition = "audit"

var (
	recordPrefix = []byte("record/")
	openPrefix   = []byte("open/")
	headKey      = []byte("head")
	anchorKey    = []byte("anchor")
	trimKey      = []byte("trim")
)

func recordKey(seq uint64) []byte { return numbered(recordPrefix, seq) }
func openKey(seq uint64) []byte   { return numbered(openPrefix, seq) }

func numbered(prefix []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, len(prefix)+8), prefix...), seq)
}

// seqOf is the number in a key, or false for one that has none.
func seqOf(prefix, key []byte) (uint64, bool) {
	if len(key) != len(prefix)+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[len(prefix):]), true
}

type hash [sha256.Size]byte

// link is one place in the chain.
type link struct {
	seq  uint64
	hash hash
}

// String is a link as people keep it: "17:5f70bf18...".
func (k link) String() string {
	return strconv.FormatUint(k.seq, 10) + ":" + hex.EncodeToString(k.hash[:])
}

// parseLink reads what String wrote.
func parseLink(s string) (link, error) {
	number, digest, ok := strings.Cut(s, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	sum, herr := hex.DecodeString(digest)
	if !ok || err != nil || herr != nil || len(sum) != sha256.Size {
		return link{}, invalid("%q is no head of an audit log; want NUMBER:HASH, as verifying printed it", gust.Clip(s, 120))
	}
	return link{seq, hash(sum)}, nil
}

// stored is a record as it is kept.
type stored struct {
	hash, before hash
	body         []byte
}

func (s stored) bytes() []byte {
	return append(append(append(make([]byte, 0, 2*sha256.Size+len(s.body)), s.hash[:]...), s.before[:]...), s.body...)
}

func parseStored(value []byte) (stored, bool) {
	if len(value) < 2*sha256.Size {
		return stored{}, false
	}
	return stored{hash(value), hash(value[sha256.Size:]), value[2*sha256.Size:]}, true
}

// sum is what the hash of a record has to be.
func sum(before hash, body []byte) hash {
	h := sha256.New()
	h.Write(before[:])
	h.Write(body)
	return hash(h.Sum(nil))
}

// head is the newest record, and the size of all that are kept.
type head struct {
	link
	bytes int64
}

type getter interface {
	Get([]byte) ([]byte, error)
}

// readHead is the zero head where nothing was ever recorded.
func readHead(g getter) (head, error) {
	k, rest, err := readLink(g, headKey, 8)
	if err != nil || rest == nil {
		return head{}, err
	}
	return head{k, int64(binary.BigEndian.Uint64(rest))}, nil
}

// readLink reads a link and the bytes behind it; there is neither where there
// is no such key.
func readLink(g getter, key []byte, behind int) (link, []byte, error) {
	v, err := g.Get(key)
	switch {
	case errors.Is(err, gust.ErrNotFound):
		return link{}, nil, nil
	case err != nil:
		return link{}, nil, err
	case len(v) != 8+sha256.Size+behind:
		return link{}, nil, fmt.Errorf("%w: the %s of the audit log has %d bytes, not %d", gust.ErrCorrupt, key, len(v), 8+sha256.Size+behind)
	}
	return link{binary.BigEndian.Uint64(v), hash(v[8:])}, v[8+sha256.Size:], nil
}

func (k link) bytes() []byte {
	return append(binary.BigEndian.AppendUint64(nil, k.seq), k.hash[:]...)
}

// chain is the end of the log within one transition.
type chain struct {
	tx   *store.Tx
	head head
	now  time.Time // by the machine's clock
	// newest is that of the record at the head.
	newest time.Time
}

// update runs fn at the end of the log, and returns when what it did is synced.
func (l *Log) update(ctx context.Context, fn func(*chain) error) error {
	var size int64
	err := l.store.Update(ctx, partition, func(tx *store.Tx) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		c := &chain{tx: tx, head: h, now: l.Now()}
		// It is for finding records by time: one that was changed so that it cannot
		// be read stops none that follow.
		if r, err := read(tx, h.seq); err == nil {
			c.newest = r.newest()
		} else if !errors.Is(err, gust.ErrNotFound) && !errors.Is(err, gust.ErrCorrupt) {
			return err
		}
		if err := fn(c); err != nil {
			return err
		}
		size = c.head.bytes
		if c.head == h {
			return nil
		}
		return tx.Set(headKey, binary.BigEndian.AppendUint64(c.head.link.bytes(), uint64(size)))
	})
	if err != nil {
		return err
	}
	l.size.Store(size)
	l.tell()
	if size > l.MaxSize {
		l.rouse()
	}
	return nil
}

// clockTolerance is how far the store's time may be from the machine's without
// being worth a word: the store follows the machine's clock as far as that.
const clockTolerance = 2 * time.Second

// append writes the next record.
func (c *chain) append(r *Record) error {
	r.Seq, r.Time, r.Believed, r.Newest = c.head.seq+1, c.now.UTC(), time.Time{}, time.Time{}
	if r.Time.Before(c.newest) {
		r.Newest = c.newest.UTC()
	}
	c.newest = r.newest()
	if believed := c.tx.Now().UTC(); believed.Sub(r.Time).Abs() > clockTolerance {
		r.Believed = believed
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	s := stored{sum(c.head.hash, body), c.head.hash, body}
	key, value := recordKey(r.Seq), s.bytes()
	if err := c.tx.Set(key, value); err != nil {
		return err
	}
	c.head = head{link{r.Seq, s.hash}, c.head.bytes + int64(len(key)+len(value))}
	return nil
}

// end writes the record with which a call ends.
func (c *chain) end(r *Record) error {
	if err := c.append(r); err != nil {
		return err
	}
	return c.tx.Delete(openKey(r.Began))
}

// check refuses a log that cannot be gone on with: what would be written over
// is lost.
func (l *Log) check() error {
	return l.store.View(partition, func(v *store.Snapshot) error {
		h, err := readHead(v)
		if err != nil {
			return err
		}
		for key := range v.ScanFrom(recordPrefix, recordKey(h.seq+1)) {
			seq, _ := seqOf(recordPrefix, key)
			return fmt.Errorf("%w: the audit log's head is record %d, and there is a record %d behind it: the head was removed or set back; "+
				"restore a backup, or move the data folder away and keep it", gust.ErrCorrupt, h.seq, seq)
		}
		l.size.Store(h.bytes)
		trim, err := v.Get(trimKey)
		switch {
		case errors.Is(err, gust.ErrNotFound):
			return v.Err()
		case err != nil:
			return err
		case len(trim) != 8:
			return fmt.Errorf("%w: the %s of the audit log has %d bytes, not 8", gust.ErrCorrupt, trimKey, len(trim))
		}
		r, err := read(v, binary.BigEndian.Uint64(trim))
		if err != nil { // there is nothing to lose yet, and the node had better start
			l.Logger.Error("the audit log was changed: its newest record of a removal cannot be read; verifying it tells more", "error", err)
			return nil
		}
		l.early.Store(r.Parameters[earlyParam] != "")
		return nil
	})
}

// cutOff ends the calls that a former run left open.
func (l *Log) cutOff(ctx context.Context) error {
	return l.update(ctx, func(c *chain) error {
		var open []uint64
		for key := range c.tx.Scan(openPrefix) {
			seq, ok := seqOf(openPrefix, key)
			if !ok {
				return fmt.Errorf("%w: the audit log has the key %.60q", gust.ErrCorrupt, key)
			}
			open = append(open, seq)
		}
		for _, seq := range open {
			r, err := read(c.tx, seq)
			if errors.Is(err, gust.ErrNotFound) { // it was trimmed
				r, err = &Record{}, nil
			}
			if err != nil {
				return err
			}
			r.Kind, r.Began, r.Start, r.Result = KindEnd, seq, r.Time, CutOff
			if err := c.end(r); err != nil {
				return err
			}
		}
		return c.tx.Err()
	})
}

// read is one record, or gust.ErrNotFound.
func read(g getter, seq uint64) (*Record, error) {
	value, err := g.Get(recordKey(seq))
	if err != nil {
		return nil, err
	}
	return decode(seq, value)
}

func decode(seq uint64, value []byte) (*Record, error) {
	s, ok := parseStored(value)
	r := new(Record)
	if !ok || json.Unmarshal(s.body, r) != nil {
		return nil, fmt.Errorf("%w: record %d of the audit log cannot be read; verifying it tells more", gust.ErrCorrupt, seq)
	}
	return r, nil
}

// trimAtOnce is how many records one transition removes, and roomier how much
// of its bound a log has after it was too large: it is not trimmed all the time.
const (
	trimAtOnce = 1000
	roomier    = 0.9
)

// earlyParam is of a trim how many records went before their age.
const earlyParam = "early"

// trim removes the oldest records, while they are too old or all are too much,
// and notes in the log through which. The newest stays.
func (l *Log) trim(ctx context.Context) error {
	large := l.size.Load() > l.MaxSize
	for {
		n, err := l.trimSome(ctx, large)
		if err != nil || n < trimAtOnce {
			return err
		}
	}
}

func (l *Log) trimSome(ctx context.Context, large bool) (n int, err error) {
	early := 0
	err = l.update(ctx, func(c *chain) error {
		anchor, _, err := readLink(c.tx, anchorKey, 0)
		if err != nil {
			return err
		}
		old := c.tx.Now().Add(-l.MaxAge)
		room := int64(roomier * float64(l.MaxSize))
		var keys [][]byte
		for key, value := range c.tx.ScanFrom(recordPrefix, recordKey(anchor.seq+1)) {
			seq, _ := seqOf(recordPrefix, key)
			s, ok := parseStored(value)
			var r struct{ Time, Believed time.Time }
			if !ok || json.Unmarshal(s.body, &r) != nil || seq != anchor.seq+1 {
				return fmt.Errorf("%w: record %d of the audit log cannot be read; verifying it tells more", gust.ErrCorrupt, anchor.seq+1)
			}
			if r.Believed.IsZero() {
				r.Believed = r.Time
			}
			tooOld, tooMuch := r.Believed.Before(old), large && c.head.bytes > room
			if !tooOld && !tooMuch || seq == c.head.seq || len(keys) == trimAtOnce {
				break
			}
			if !tooOld {
				early++
			}
			anchor = link{seq, s.hash}
			c.head.bytes -= int64(len(key) + len(value))
			keys = append(keys, recordKey(seq))
		}
		if err := c.tx.Err(); err != nil {
			return err
		}
		if n = len(keys); n == 0 {
			return nil
		}
		for _, key := range keys {
			if err := c.tx.Delete(key); err != nil {
				return err
			}
		}
		if err := c.tx.Set(anchorKey, anchor.bytes()); err != nil {
			return err
		}
		r := &Record{Kind: KindTrim, Count: uint64(n), Parameters: map[string]string{"through": anchor.String()}}
		if early > 0 {
			r.Parameters[earlyParam] = strconv.Itoa(early)
		}
		if err := c.append(r); err != nil {
			return err
		}
		return c.tx.Set(trimKey, binary.BigEndian.AppendUint64(nil, r.Seq))
	})
	if err == nil && n > 0 { // what goes at its age shows that the log reaches that far again
		l.early.Store(early > 0)
	}
	return n, err
}
