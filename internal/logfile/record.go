package logfile

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A record, all numbers little-endian:
//
//	crc(4)  CRC-32C of all that follows
//	len(4)  bytes of payload
//	seq(8)  consecutive over all segments; a gap is a loss
//	time(8) nanoseconds since 1970
//	payload
const (
	recordHeader = 24
	// MaxPayload bounds one record's payload, in bytes.
	MaxPayload = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(b []byte, seq uint64, t int64, payload []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(t))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

type record struct {
	seq     uint64
	time    int64
	payload []byte
	size    int // bytes in the segment
}

// parse reads the record at the start of b. When it is not whole, need is how
// many bytes b must have to tell; when it is damaged, need is 0 and ok false.
func parse(b []byte) (r record, need int, ok bool) {
	if len(b) < recordHeader {
		return record{}, recordHeader, false
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > MaxPayload {
		return record{}, 0, false
	}
	r.size = recordHeader + n
	if len(b) < r.size {
		return record{}, r.size, false
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:r.size], castagnoli) {
		return record{}, 0, false
	}
	r.seq = binary.LittleEndian.Uint64(b[8:])
	r.time = int64(binary.LittleEndian.Uint64(b[16:]))
	r.payload = b[recordHeader:r.size:r.size]
	return r, 0, true
}

// peek reads the number and the size of a record that is known to be whole.
func peek(b []byte) (seq uint64, size int) {
	return binary.LittleEndian.Uint64(b[8:]), recordHeader + int(binary.LittleEndian.Uint32(b[4:]))
}

// resync finds the first whole record in b whose sequence number is at least
// seq, and returns where it starts; -1 means that there is none. A sequence
// number that b has not the bytes for is no candidate, which makes the search
// cheap.
func resync(b []byte, seq uint64) int {
	most := seq + uint64(len(b))
	for i := 0; i+recordHeader <= len(b); i++ {
		if s := binary.LittleEndian.Uint64(b[i+8:]); s < seq || s > most {
			continue
		}
		if _, _, ok := parse(b[i:]); ok {
			return i
		}
	}
	return -1
}

// A segment starts with a header:
//
//	magic(8) first sequence number(8) time of creation(8) CRC-32C of these(4) zero(4)
const segmentHeader = 32

const magic = "gustlog1"

func appendHeader(b []byte, first uint64, created int64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint64(b, uint64(created))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, 0, 0, 0, 0)
}

func parseHeader(b []byte) (first uint64, created int64, ok bool) {
	if len(b) < segmentHeader || string(b[:8]) != magic ||
		binary.LittleEndian.Uint32(b[24:]) != crc32.Checksum(b[:24], castagnoli) || binary.LittleEndian.Uint32(b[28:]) != 0 {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:])), true
}

// nanos is t as a record keeps it; times outside of the years 1678 to 2261 are
// kept as the nearest one inside.
func nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < -9223372036:
		return -1 << 63
	case s > 9223372035:
		return 1<<63 - 1
	}
	return t.UnixNano()
}
