package store

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// The engine's log and manifest are sequences of records, cut into chunks that
// never cross a block of 32 KB. A chunk is
//
//	crc(4) length(2) type(1) [log number(4) [synced offset(8)]] payload
//
// The manifest has none of the optional fields (types 1 to 4), the log both
// (types 9 to 12; an older format has only the log number, 5 to 8). See Pebble's
// record package. This reader is stricter than Pebble's: it never takes damage
// for the end when it can know better.
const (
	blockSize      = 32 << 10
	manifestHeader = 7
	oldLogHeader   = 11
	logHeader      = 19
)

// position is where in its record a chunk stands.
type position byte

const (
	chunkFull position = iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// chunks reads one file. log is its number; manifests have none.
type chunks struct {
	data     []byte
	log      uint32
	manifest bool
}

type chunk struct {
	pos     position
	synced  uint64 // the log was synced up to here when it was written
	payload []byte
	size    int
}

// header is the size of a type's header, 0 for a type that is not this file's.
func (c *chunks) header(kind byte) int {
	switch {
	case kind >= 1 && kind <= 4 && c.manifest:
		return manifestHeader
	case kind >= 5 && kind <= 8 && !c.manifest:
		return oldLogHeader
	case kind >= 9 && kind <= 12 && !c.manifest:
		return logHeader
	}
	return 0
}

// block is what is left of the block at an offset.
func (c *chunks) block(off int) []byte {
	return c.data[off:min((off/blockSize+1)*blockSize, len(c.data))]
}

// parse reads the chunk at the start of b.
func (c *chunks) parse(b []byte) (k chunk, ok bool) {
	if len(b) < manifestHeader {
		return k, false
	}
	kind := b[6]
	head := c.header(kind)
	k.size = head + int(binary.LittleEndian.Uint16(b[4:]))
	if head == 0 || k.size > len(b) || binary.LittleEndian.Uint32(b) != masked(crc32.Checksum(b[6:k.size], castagnoli)) {
		return k, false
	}
	if head > manifestHeader && binary.LittleEndian.Uint32(b[7:]) != c.log {
		return k, false
	}
	if head == logHeader {
		k.synced = binary.LittleEndian.Uint64(b[11:])
	}
	k.pos = position((kind - 1) % 4)
	k.payload = b[head:k.size]
	return k, true
}

// padding is the end of a block that is too short for a chunk: zeros. It returns
// the length, or -1 when another chunk stands here.
func (c *chunks) padding(b []byte, off int) (n int, sound bool) {
	rest := blockSize - off%blockSize
	room := manifestHeader
	if !c.manifest {
		room = logHeader
	}
	if rest >= room || !c.manifest && rest >= oldLogHeader && c.trailer(b) {
		return -1, true
	}
	ones := 0
	for _, x := range b {
		ones += bits.OnesCount8(x)
	}
	if rest < manifestHeader {
		return len(b), true // nobody reads it
	}
	return len(b), ones == 0
}

// trailer tells whether a log was closed here.
func (c *chunks) trailer(b []byte) bool {
	return !c.manifest && len(b) >= oldLogHeader && binary.LittleEndian.Uint32(b) == 0 &&
		binary.LittleEndian.Uint16(b[4:]) == 0 && b[6] == 5 && binary.LittleEndian.Uint32(b[7:]) == c.log+1
}

// scan calls record for every whole record from the start on. It returns where
// the last of them ends, and where the first chunk that is none is; bad is -1
// when the file ends, or was closed, right after a record.
func (c *chunks) scan(record func(payload []byte)) (end, bad int) {
	var whole []byte
	inside := false
	for off := 0; off < len(c.data); {
		b := c.block(off)
		if n, sound := c.padding(b, off); n >= 0 {
			if !sound {
				return end, off
			}
			off += n
			if !inside {
				end = off
			}
			continue
		}
		if !inside && c.trailer(b) {
			return end, -1
		}
		k, ok := c.parse(b)
		if !ok || inside != (k.pos == chunkMiddle || k.pos == chunkLast) {
			return end, off
		}
		off += k.size
		switch k.pos {
		case chunkFull:
			record(k.payload)
			end = off
		case chunkFirst:
			whole, inside = append(whole[:0], k.payload...), true
		case chunkMiddle:
			whole = append(whole, k.payload...)
		case chunkLast:
			whole, inside = append(whole, k.payload...), false
			record(whole)
			end = off
		}
	}
	if inside {
		return end, len(c.data)
	}
	return end, -1
}

// later calls found for every sound chunk that begins at off or behind, wherever
// it is, until found returns false.
func (c *chunks) later(off int, found func(k chunk) bool) {
	for ; off+manifestHeader <= len(c.data); off++ {
		b := c.block(off)
		if len(b) < manifestHeader {
			continue
		}
		head := c.header(b[6])
		if head == 0 || len(b) < head || head > manifestHeader && binary.LittleEndian.Uint32(b[7:]) != c.log {
			continue
		}
		if k, ok := c.parse(b); ok {
			if !found(k) {
				return
			}
			off += k.size - 1
		}
	}
}

// flipped tells whether the chunk at off is a sound one but for a single bit: no
// torn write looks so.
func (c *chunks) flipped(off int) bool {
	b := append([]byte(nil), c.block(off)...)
	if n, sound := c.padding(b, off); n >= 0 {
		return !sound && blockOnes(b) == 1
	}
	sound := func() bool { _, ok := c.parse(b); return ok }
	// The length and the checksum are not covered by the checksum.
	for i := range min(6*8, len(b)*8) {
		b[i/8] ^= 1 << (i % 8)
		if sound() {
			return true
		}
		b[i/8] ^= 1 << (i % 8)
	}
	if len(b) < manifestHeader {
		return false
	}
	n := int(binary.LittleEndian.Uint16(b[4:]))
	for _, head := range []int{manifestHeader, oldLogHeader, logHeader} {
		if head+n > len(b) {
			continue
		}
		covered := b[6 : head+n]
		want := unmasked(binary.LittleEndian.Uint32(b)) ^ crc32.Checksum(covered, castagnoli)
		at, bit, ok := syndrome(want, len(covered))
		if !ok {
			continue
		}
		covered[at] ^= 1 << bit
		if sound() {
			return true
		}
		covered[at] ^= 1 << bit
	}
	return false
}

func blockOnes(b []byte) (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// syndrome finds the single bit of n bytes whose change changes their CRC by
// diff. The CRC is linear: a bit's effect depends only on how far it is from the
// end.
func syndrome(diff uint32, n int) (at, bit int, ok bool) {
	var effect [8]uint32
	for i := range effect {
		effect[i] = castagnoli[1<<i]
	}
	for at = n - 1; at >= 0; at-- {
		for i, e := range effect {
			if e == diff {
				return at, i, true
			}
			effect[i] = castagnoli[byte(e)] ^ e>>8
		}
	}
	return 0, 0, false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A stored checksum is rotated and shifted, so that the checksum of data that
// holds checksums is of use.
const maskDelta = 0xa282ead8

func masked(c uint32) uint32   { return bits.RotateLeft32(c, 17) + maskDelta }
func unmasked(v uint32) uint32 { return bits.RotateLeft32(v-maskDelta, -17) }
