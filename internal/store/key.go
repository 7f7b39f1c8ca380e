package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Limits on what one transition writes. Larger values belong into blobs.
const (
	// MaxPartition bounds a partition's name, in bytes.
	MaxPartition = 512
	// MaxKey bounds a key within its partition, and a timer's id, in bytes.
	MaxKey = 4 << 10
	// MaxValue bounds one value, and a timer's payload, in bytes.
	MaxValue = 16 << 20
	// MaxTransition bounds all that one transition writes, in bytes.
	MaxTransition = 64 << 20
	// MaxKind bounds a timer's kind, in bytes.
	MaxKind = 64
)

// Partition is the unit of order: transitions of one partition run one after
// the other, and every key belongs to exactly one. Its name has 1 to
// MaxPartition bytes, none of them NUL.
type Partition string

// The keyspace; see DESIGN.md. Names hold no NUL, so the NUL behind a name ends
// it and no partition's prefix is a prefix of another's.
//
//	0x01 partition 0x00 'd' key -> value
//	0x01 partition 0x00 't' id  -> timer
//	0x02 kind 0x00 at(8) partition 0x00 id -> (empty), derived from the timer
//	0x03 name -> the store's own records
const (
	spacePartition = 0x01
	spaceDue       = 0x02
	spaceOwn       = 0x03

	tagData  = 'd'
	tagTimer = 't'
)

func (p Partition) check() error {
	return checkName("partition", string(p), MaxPartition)
}

func checkName(what, s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s has no name", gust.ErrInvalid, what)
	case len(s) > limit:
		return fmt.Errorf("%w: the name of %s %.40q... has %d bytes, at most %d are allowed", gust.ErrTooLarge, what, s, len(s), limit)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w: the name of %s %.40q holds a NUL byte", gust.ErrInvalid, what, s)
	}
	return nil
}

func appendPartition(b []byte, p Partition) []byte {
	b = append(b, spacePartition)
	b = append(b, p...)
	return append(b, 0)
}

func appendDataKey(b []byte, p Partition, key []byte) []byte {
	b = append(appendPartition(b, p), tagData)
	return append(b, key...)
}

func appendTimerKey(b []byte, p Partition, id string) []byte {
	b = append(appendPartition(b, p), tagTimer)
	return append(b, id...)
}

func appendDuePrefix(b []byte, kind string) []byte {
	b = append(b, spaceDue)
	b = append(b, kind...)
	return append(b, 0)
}

func appendDueKey(b []byte, kind string, at int64, p Partition, id string) []byte {
	b = appendDuePrefix(b, kind)
	b = binary.BigEndian.AppendUint64(b, sortable(at))
	b = append(b, p...)
	b = append(b, 0)
	return append(b, id...)
}

// sortable maps signed to unsigned numbers in order.
func sortable(n int64) uint64   { return uint64(n) ^ 1<<63 }
func unsortable(n uint64) int64 { return int64(n ^ 1<<63) }

// splitPartition takes a key of the partition space apart.
func splitPartition(k []byte) (p Partition, tag byte, rest []byte, err error) {
	if len(k) == 0 || k[0] != spacePartition {
		return "", 0, nil, fmt.Errorf("key %.60q is in no partition", k)
	}
	name, rest, ok := bytes.Cut(k[1:], []byte{0})
	if !ok || len(name) == 0 || len(name) > MaxPartition || len(rest) == 0 {
		return "", 0, nil, fmt.Errorf("key %.60q does not start with a partition", k)
	}
	if rest[0] != tagData && rest[0] != tagTimer || rest[0] == tagTimer && len(rest) == 1 {
		return "", 0, nil, fmt.Errorf("key %.60q is neither data nor a timer", k)
	}
	return Partition(name), rest[0], rest[1:], nil
}

// splitDue takes a key of the due index apart.
func splitDue(k []byte) (kind string, at int64, p Partition, id string, err error) {
	bad := func() (string, int64, Partition, string, error) {
		return "", 0, "", "", fmt.Errorf("key %.60q is no entry of the due index", k)
	}
	if len(k) == 0 || k[0] != spaceDue {
		return bad()
	}
	kb, rest, ok := bytes.Cut(k[1:], []byte{0})
	if !ok || len(kb) == 0 || len(kb) > MaxKind || len(rest) < 8 {
		return bad()
	}
	at = unsortable(binary.BigEndian.Uint64(rest))
	name, idb, ok := bytes.Cut(rest[8:], []byte{0})
	if !ok || len(name) == 0 || len(name) > MaxPartition || len(idb) == 0 {
		return bad()
	}
	return string(kb), at, Partition(name), string(idb), nil
}

// after is the first key that is greater than every key with the prefix; nil
// means that there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// A stored timer: at(8) len(kind)(1) kind payload.
func appendTimer(b []byte, at int64, kind string, payload []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, sortable(at))
	b = append(b, byte(len(kind)))
	b = append(b, kind...)
	return append(b, payload...)
}

func parseTimer(v []byte) (at int64, kind, payload []byte, err error) {
	if len(v) < 9 || v[8] == 0 || int(v[8]) > MaxKind || len(v) < 9+int(v[8]) {
		return 0, nil, nil, fmt.Errorf("timer record of %d bytes is malformed", len(v))
	}
	n := 9 + int(v[8])
	kind = v[9:n]
	if bytes.IndexByte(kind, 0) >= 0 {
		return 0, nil, nil, fmt.Errorf("timer record names kind %q, which holds a NUL byte", kind)
	}
	return unsortable(binary.BigEndian.Uint64(v)), kind, v[n:], nil
}

// nanos is t as it is stored.
func nanos(t time.Time) (int64, error) {
	const second = int64(time.Second)
	if s := t.Unix(); s <= math.MinInt64/second || s >= math.MaxInt64/second {
		return 0, fmt.Errorf("%w: time %v is outside of the years 1678 to 2261", gust.ErrInvalid, t)
	}
	return t.UnixNano(), nil
}
