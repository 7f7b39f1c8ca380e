package artifact

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	gust "github.com/gust-dev/gust"
)

// The structures of a zip file (APPNOTE.TXT 6.3.10, section 4.3).
const (
	localSignature     = 0x04034b50
	centralSignature   = 0x02014b50
	endSignature       = 0x06054b50
	end64Signature     = 0x06064b50
	locator64Signature = 0x07064b50

	localSize     = 30
	centralSize   = 46
	endSize       = 22
	end64Size     = 56
	locator64Size = 20
	maxComment    = math.MaxUint16

	methodStore   = 0
	methodDeflate = 8

	// Flags: encrypted, patched, strongly encrypted, masked.
	refusedFlags   = 1<<0 | 1<<5 | 1<<6 | 1<<13
	flagDescriptor = 1 << 3

	descriptorSignature = 0x08074b50
	descriptorSize      = 12 // at least: without signature and 64-bit sizes

	extraZip64 = 1
)

// entry is one file or folder of an archive.
type entry struct {
	name string // without the slash at a folder's end
	dir  bool
	exec bool

	method       uint16
	descriptor   bool // its sizes are repeated behind its contents
	crc          uint32
	packed, size int64
	offset, data int64 // of its local header, and of its contents
}

// archive is a zip whose structure and names have been checked.
type archive struct {
	ra      io.ReaderAt
	entries []entry // in the order of the archive's directory
}

// openArchive reads and checks an archive's directory and every entry's header.
// Whether the contents are what the directory says is checked when they are
// read.
func openArchive(ra io.ReaderAt, size int64) (*archive, error) {
	if size > gust.MaxArtifact {
		return nil, tooLarge("the artifact has %d bytes, above the maximum of %d", size, int64(gust.MaxArtifact))
	}
	start, length, count, err := findDirectory(ra, size)
	if err != nil {
		return nil, err
	}
	if count > gust.MaxArtifactFiles {
		return nil, tooLarge("the artifact has %d entries, above the maximum of %d", count, gust.MaxArtifactFiles)
	}
	if length > maxDirectory {
		return nil, tooLarge("the artifact's directory has %d bytes, above the maximum of %d", length, maxDirectory)
	}
	a := &archive{ra: ra, entries: make([]entry, 0, count)}
	r := bufio.NewReaderSize(io.NewSectionReader(ra, start, length), 64*gust.KB)
	var total int64
	for range count {
		e, err := readCentral(r)
		if err != nil {
			return nil, err
		}
		if total += e.size; total > gust.MaxUnpacked {
			return nil, tooLarge("the artifact unpacks to more than the maximum of %d bytes", int64(gust.MaxUnpacked))
		}
		a.entries = append(a.entries, e)
	}
	if _, err := r.ReadByte(); err == nil {
		return nil, damaged("its directory holds more entries than it says")
	}
	if total > minBomb && total > maxRatio*size {
		return nil, tooLarge("the artifact unpacks to %d times its size, above the maximum of %d for what is larger than %d bytes",
			total/size, maxRatio, minBomb)
	}
	if err := a.checkHeaders(start); err != nil {
		return nil, err
	}
	return a, checkNames(a.entries)
}

func damaged(format string, args ...any) error {
	return invalid("the artifact is no valid zip: "+format, args...)
}

// findDirectory finds where the directory is: where it starts, how long it is
// and how many entries it has. It must end where the records about it begin, and
// those where the file ends, so there is only one way to read the file.
func findDirectory(ra io.ReaderAt, size int64) (start, length, count int64, err error) {
	tail := make([]byte, min(size, endSize+maxComment))
	if _, err := ra.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, 0, fmt.Errorf("read the artifact: %w", err)
	}
	at := len(tail) - endSize
	for ; at >= 0; at-- {
		if le32(tail[at:]) == endSignature && at+endSize+int(le16(tail[at+20:])) == len(tail) {
			break
		}
	}
	if at < 0 {
		return 0, 0, 0, damaged("it does not end like one; it may be cut off, or another kind of file")
	}
	end := tail[at:]
	if le16(end[4:]) != 0 || le16(end[6:]) != 0 || le16(end[8:]) != le16(end[10:]) {
		return 0, 0, 0, damaged("it is one part of several")
	}
	records := size - int64(len(end)) // where the records about the directory begin
	count, length, start = int64(le16(end[10:])), int64(le32(end[12:])), int64(le32(end[16:]))

	if locator := records - locator64Size; locator >= end64Size {
		var buf [end64Size]byte
		if err := readAt(ra, buf[:locator64Size], locator); err != nil {
			return 0, 0, 0, err
		}
		if le32(buf[:]) == locator64Signature {
			offset := le64(buf[8:])
			if offset > uint64(locator-end64Size) {
				return 0, 0, 0, damaged("its 64-bit end record is out of place")
			}
			if err := readAt(ra, buf[:], int64(offset)); err != nil {
				return 0, 0, 0, err
			}
			if le32(buf[:]) != end64Signature || le64(buf[4:]) != uint64(locator)-offset-12 ||
				le32(buf[16:]) != 0 || le32(buf[20:]) != 0 || le64(buf[24:]) != le64(buf[32:]) {
				return 0, 0, 0, damaged("its 64-bit end record is wrong")
			}
			n, l, s := le64(buf[32:]), le64(buf[40:]), le64(buf[48:])
			if max(n, l, s) > uint64(size) {
				return 0, 0, 0, damaged("its 64-bit end record is wrong")
			}
			agree := func(short, full int64, limit int64) bool { return short == full || short == limit }
			if !agree(count, int64(n), math.MaxUint16) || !agree(length, int64(l), math.MaxUint32) || !agree(start, int64(s), math.MaxUint32) {
				return 0, 0, 0, damaged("its end records disagree")
			}
			records, count, length, start = int64(offset), int64(n), int64(l), int64(s)
		}
	}
	if start+length != records || count*centralSize > length {
		return 0, 0, 0, damaged("its directory is out of place; there may be something before or within the zip")
	}
	return start, length, count, nil
}

// readCentral reads one entry of the directory.
func readCentral(r *bufio.Reader) (entry, error) {
	var h [centralSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return entry{}, cutOff(err)
	}
	if le32(h[:]) != centralSignature {
		return entry{}, damaged("its directory is damaged")
	}
	nameLength, extraLength, commentLength := int(le16(h[28:])), int(le16(h[30:])), int(le16(h[32:]))
	rest := make([]byte, nameLength+extraLength)
	if _, err := io.ReadFull(r, rest); err != nil {
		return entry{}, cutOff(err)
	}
	if _, err := r.Discard(commentLength); err != nil {
		return entry{}, cutOff(err)
	}
	name := string(rest[:nameLength])
	e := entry{name: name, method: le16(h[10:]), crc: le32(h[16:])}
	packed, size, offset := uint64(le32(h[20:])), uint64(le32(h[24:])), uint64(le32(h[42:]))
	if err := widen(rest[nameLength:], &size, &packed, &offset); err != nil {
		return entry{}, invalid("%s: %v", quote(name), err)
	}
	if max(size, packed, offset) > math.MaxInt64/4 {
		return entry{}, tooLarge("%s declares %d bytes; all of an artifact may have %d", quote(name), size, int64(gust.MaxUnpacked))
	}
	e.packed, e.size, e.offset = int64(packed), int64(size), int64(offset)

	flags := le16(h[8:])
	e.descriptor = flags&flagDescriptor != 0
	switch {
	case flags&refusedFlags != 0:
		return entry{}, invalid("%s is encrypted or patched: zip it plainly", quote(name))
	case e.method != methodStore && e.method != methodDeflate:
		return entry{}, invalid("%s is compressed by method %d: gust reads what is stored (0) or deflated (8)", quote(name), e.method)
	case e.method == methodStore && e.packed != e.size:
		return entry{}, invalid("%s is stored in %d bytes but declares %d", quote(name), e.packed, e.size)
	case e.method == methodDeflate && e.size > e.packed*deflateRatio:
		return entry{}, invalid("%s declares %d bytes, more than its %d can unpack to", quote(name), e.size, e.packed)
	}
	if err := e.kind(h[5], le32(h[38:])); err != nil {
		return entry{}, err
	}
	return e, nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("its directory is cut off")
	}
	return fmt.Errorf("read the artifact: %w", err)
}

// kind reads from the host system's attributes what the entry is.
func (e *entry) kind(host byte, attributes uint32) error {
	const (
		hostUnix, hostDarwin = 3, 19
		typeMask             = 0xf000
		fifo, char, dir      = 0x1000, 0x2000, 0x4000
		block, regular, link = 0x6000, 0x8000, 0xa000
		socket               = 0xc000
	)
	e.dir = len(e.name) > 0 && e.name[len(e.name)-1] == '/'
	if host == hostUnix || host == hostDarwin {
		mode := attributes >> 16
		e.exec = mode&0o111 != 0
		switch what := mode & typeMask; what {
		case 0, regular, dir:
			if what == regular && e.dir || what == dir && !e.dir {
				return invalid("%s is a folder by its name or by its mode, but not by both", quote(e.name))
			}
		case link:
			return invalid("%s is a symbolic link: an artifact holds only files and folders; zip what it points to", quote(e.name))
		case fifo:
			return invalid("%s is a named pipe: an artifact holds only files and folders", quote(e.name))
		case char, block:
			return invalid("%s is a device: an artifact holds only files and folders", quote(e.name))
		case socket:
			return invalid("%s is a socket: an artifact holds only files and folders", quote(e.name))
		default:
			return invalid("%s has the unknown mode %o", quote(e.name), mode)
		}
	}
	if e.dir {
		if e.size != 0 {
			return invalid("%s is a folder, but has contents", quote(e.name))
		}
		e.name, e.exec = e.name[:len(e.name)-1], false
	}
	return nil
}

// widen replaces what does not fit into 32 bits by what the extra field says.
func widen(extra []byte, fields ...*uint64) error {
	for len(extra) >= 4 {
		id, length := le16(extra), int(le16(extra[2:]))
		if length > len(extra)-4 {
			break // what other programs put here is none of ours
		}
		body := extra[4 : 4+length]
		extra = extra[4+length:]
		if id != extraZip64 {
			continue
		}
		for _, f := range fields {
			if *f != math.MaxUint32 {
				continue
			}
			if len(body) < 8 {
				return errors.New("its 64-bit sizes are missing")
			}
			*f = le64(body)
			body = body[8:]
		}
		return nil
	}
	return nil
}

// checkHeaders checks that each entry's own header says what the directory
// says, and that no two entries share a byte.
func (a *archive) checkHeaders(directory int64) error {
	order := make([]*entry, len(a.entries))
	for i := range a.entries {
		order[i] = &a.entries[i]
	}
	slices.SortFunc(order, func(x, y *entry) int { return cmp.Compare(x.offset, y.offset) })
	for i, e := range order {
		limit, other := directory, "the directory"
		if i+1 < len(order) {
			limit, other = order[i+1].offset, quote(order[i+1].name)
		}
		name := e.name
		if e.dir {
			name += "/"
		}
		if e.offset+localSize+int64(len(name)) > limit {
			return invalid("%s overlaps with %s", quote(e.name), other)
		}
		h := make([]byte, localSize+len(name))
		if err := readAt(a.ra, h, e.offset); err != nil {
			return err
		}
		if le32(h) != localSignature || le16(h[8:]) != e.method || le16(h[6:])&refusedFlags != 0 ||
			int(le16(h[26:])) != len(name) || !bytes.Equal(h[localSize:], []byte(name)) {
			return invalid("%s: its own header does not say what the directory says", quote(e.name))
		}
		e.data = e.offset + localSize + int64(len(name)) + int64(le16(h[28:]))
		after := e.data + e.packed
		if e.descriptor {
			after += descriptorSize
		}
		if after > limit {
			return invalid("%s overlaps with %s", quote(e.name), other)
		}
		if e.descriptor {
			if err := a.checkDescriptor(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDescriptor checks that what stands behind an entry's contents agrees with
// the directory.
func (a *archive) checkDescriptor(e *entry) error {
	var d [descriptorSize]byte
	if err := readAt(a.ra, d[:], e.data+e.packed); err != nil {
		return err
	}
	crc := le32(d[:])
	if crc == descriptorSignature {
		crc = le32(d[4:])
	}
	if crc != e.crc {
		return invalid("%s is damaged: two checksums are given for it", quote(e.name))
	}
	return nil
}

// open reads an entry's contents. The reader ends with io.EOF only if they are
// what the directory says, in length and by checksum.
func (a *archive) open(e *entry) io.Reader {
	var r io.Reader = io.NewSectionReader(a.ra, e.data, e.packed)
	if e.method == methodDeflate {
		r = flate.NewReader(r)
	}
	return &contents{r: r, e: e}
}

type contents struct {
	r   io.Reader
	e   *entry
	n   int64
	crc uint32
}

func (c *contents) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	var corrupt flate.CorruptInputError
	switch {
	case c.n > c.e.size:
		return 0, invalid("%s unpacks to more than the %d bytes it declares", quote(c.e.name), c.e.size)
	case errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, invalid("%s is damaged: its contents cannot be unpacked", quote(c.e.name))
	case errors.Is(err, io.EOF) && c.n != c.e.size:
		return n, invalid("%s unpacks to %d bytes but declares %d", quote(c.e.name), c.n, c.e.size)
	case errors.Is(err, io.EOF) && c.crc != c.e.crc:
		return n, invalid("%s is damaged: its contents do not match their checksum", quote(c.e.name))
	}
	return n, err
}

func readAt(ra io.ReaderAt, p []byte, off int64) error {
	if n, err := ra.ReadAt(p, off); n < len(p) {
		if errors.Is(err, io.EOF) {
			return damaged("it is cut off")
		}
		return fmt.Errorf("read the artifact: %w", err)
	}
	return nil
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
