package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/record"
)

func FuzzKeys(f *testing.F) {
	f.Add("p", "q", []byte("key"), "id", "kind", int64(5))
	f.Add("p", "p/x", []byte{0}, "\x00", "k", int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, p, q string, key []byte, id, kind string, at int64) {
		a, b := Partition(p), Partition(q)
		if a.check() != nil || b.check() != nil || checkTimer(Timer{ID: id, Kind: kind}) != nil {
			return
		}
		if a != b && bytes.HasPrefix(appendPartition(nil, a), appendPartition(nil, b)) {
			t.Errorf("partition %q is inside %q", a, b)
		}
		if got, tag, rest, err := splitPartition(appendDataKey(nil, a, key)); err != nil || got != a || tag != tagData || !bytes.Equal(rest, key) {
			t.Errorf("data key of %q %q comes back as %q %c %q, %v", a, key, got, tag, rest, err)
		}
		if got, tag, rest, err := splitPartition(appendTimerKey(nil, a, id)); err != nil || got != a || tag != tagTimer || string(rest) != id {
			t.Errorf("timer key of %q %q comes back as %q %c %q, %v", a, id, got, tag, rest, err)
		}
		k, n, got, gotID, err := splitDue(appendDueKey(nil, kind, at, a, id))
		if err != nil || k != kind || n != at || got != a || gotID != id {
			t.Errorf("due key comes back as %q %d %q %q, %v", k, n, got, gotID, err)
		}
		if n, k, payload, err := parseTimer(appendTimer(nil, at, kind, key)); err != nil || n != at || string(k) != kind || !bytes.Equal(payload, key) {
			t.Errorf("timer comes back as %d %q %q, %v", n, k, payload, err)
		}
		if at < math.MaxInt64 && bytes.Compare(appendDueKey(nil, kind, at, a, id), appendDueKey(nil, kind, at+1, b, id)) >= 0 {
			t.Errorf("time %d is not before %d", at, at+1)
		}
		if end := after(key); end != nil && (bytes.Compare(append(bytes.Clone(key), 0xff, 0xff), end) >= 0 || bytes.Compare(key, end) >= 0) {
			t.Errorf("%x is said to be after all that starts with %x", end, key)
		}
	})
}

func FuzzStoredRecords(f *testing.F) {
	f.Add(appendDataKey(nil, "p", []byte("k")))
	f.Add(appendDueKey(nil, "kind", 1, "p", "id"))
	f.Add(appendTimer(nil, 1, "kind", []byte("payload")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, tag, rest, err := splitPartition(b); err == nil {
			again := appendDataKey(nil, p, rest)
			if tag == tagTimer {
				again = appendTimerKey(nil, p, string(rest))
			}
			if !bytes.Equal(again, b) {
				t.Errorf("%x comes back as %x", b, again)
			}
		}
		if kind, at, p, id, err := splitDue(b); err == nil && !bytes.Equal(appendDueKey(nil, kind, at, p, id), b) {
			t.Errorf("%x does not come back", b)
		}
		if at, kind, payload, err := parseTimer(b); err == nil && !bytes.Equal(appendTimer(nil, at, string(kind), payload), b) {
			t.Errorf("%x does not come back", b)
		}
		_ = parseFormat(string(b), "file")
		editHead(b)
		batchHead(b)
	})
}

// writtenLog is a log as the engine writes it.
func writtenLog(records ...string) []byte {
	var b bytes.Buffer
	w := record.NewLogWriter(&b, 7, record.LogWriterConfig{
		WriteWALSyncOffsets: func() bool { return true },
		QueueSemChan:        make(chan struct{}, 10),
	})
	for _, r := range records {
		w.WriteRecord([]byte(r))
	}
	w.Close()
	return b.Bytes()
}

func writtenManifest(t testing.TB, records ...string) []byte {
	var b bytes.Buffer
	w := record.NewWriter(&b)
	for _, r := range records {
		if _, err := w.WriteRecord([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What the engine writes is read as it was written; this breaks when another
// version of it changes its format.
func TestChunksAreReadAsTheEngineWritesThem(t *testing.T) {
	records := []string{"a", "", strings.Repeat("b", 100_000), "c", strings.Repeat("d", blockSize-300), "e", "f"}
	for size := blockSize - 120; size < blockSize-20; size++ {
		records = append(records, strings.Repeat("x", size-blockSize/2))
	}
	for _, c := range []*chunks{
		{data: writtenLog(records...), log: 7},
		{data: writtenManifest(t, records...), manifest: true},
	} {
		var got []string
		if _, bad := c.scan(func(b []byte) { got = append(got, string(b)) }); bad >= 0 {
			t.Errorf("manifest %v: bad at %d of %d", c.manifest, bad, len(c.data))
		}
		if strings.Join(got, "|") != strings.Join(records, "|") {
			t.Errorf("manifest %v: %d records come back as %d others", c.manifest, len(records), len(got))
		}
		// Any single flipped bit of a sound chunk is seen as one.
		off := 0
		for i := 0; i < 60; i++ {
			bit := off*8 + i*53%(8*200)
			c.data[bit/8] ^= 1 << (bit % 8)
			if _, bad := c.scan(func([]byte) {}); bad >= 0 && !c.flipped(bad) {
				t.Errorf("manifest %v: bit %d is not found at %d", c.manifest, bit, bad)
			}
			c.data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func FuzzChunks(f *testing.F) {
	f.Add(writtenLog("a", "bb", strings.Repeat("c", 40_000)), false)
	f.Add(writtenManifest(f, "a", "bb", strings.Repeat("c", 40_000)), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, manifest bool) {
		c := &chunks{data: data, log: 7, manifest: manifest}
		end, bad := c.scan(func([]byte) {})
		if end > len(data) || bad > len(data) || bad >= 0 && bad < end {
			t.Errorf("%d bytes end at %d, bad at %d", len(data), end, bad)
		}
		c.later(0, func(chunk) bool { return true })
		if bad >= 0 && bad < len(data) {
			c.flipped(bad)
		}
		scanLog(data, 7)
	})
}

func TestSyndrome(t *testing.T) {
	b := []byte("the checksum of a message is linear in its bits")
	sum := crc32.Checksum(b, castagnoli)
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		at, n, ok := syndrome(sum^crc32.Checksum(b, castagnoli), len(b))
		if !ok || at != bit/8 || n != bit%8 {
			t.Errorf("bit %d is found as %d/%d %v", bit, at, n, ok)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	if unmasked(masked(sum)) != sum {
		t.Error("mask")
	}
}

func TestNanos(t *testing.T) {
	for _, tm := range []time.Time{time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC), noon, time.Date(2261, 12, 31, 0, 0, 0, 1, time.UTC)} {
		if n, err := nanos(tm); err != nil || !time.Unix(0, n).Equal(tm) {
			t.Errorf("%v: %d, %v", tm, n, err)
		}
	}
	if n := int64(binary.BigEndian.Uint64(binary.BigEndian.AppendUint64(nil, uint64(unsortable(sortable(-5)))))); n != -5 {
		t.Error(n)
	}
}
