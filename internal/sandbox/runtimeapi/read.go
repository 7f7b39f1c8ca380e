package runtimeapi

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// Limits of what is buffered of a message, for each connection.
const (
	// baseBuffer is what a connection always has.
	baseBuffer = 4 << 10
	// maxLine bounds one line of a head: a request line or a header.
	maxLine = 16 << 10
	// maxHead bounds the whole head, but for the X-Ray error cause.
	maxHead = 64 << 10
	// maxSkipped bounds the X-Ray error cause, which clients send in a header
	// of up to 1 MB and which is read over without being buffered.
	maxSkipped = 2 << 20
	// maxTrailer bounds the trailers, which carry an error document in
	// base64.
	maxTrailer = 512 << 10
	// maxChunkLine bounds a chunk's size line with its extensions.
	maxChunkLine = 1 << 10
)

var (
	errLineTooLong = errors.New("a line is too long")
	errMalformed   = errors.New("malformed")
)

// reader is a buffered reader whose buffer grows for a long line and shrinks
// afterwards. The slices it returns are valid until its next call.
type reader struct {
	src  net.Conn
	buf  []byte
	r, w int
}

// fill reads once, making room first. The buffer grows up to limit.
func (b *reader) fill(limit int) error {
	if b.r > 0 && b.r == b.w {
		b.r, b.w = 0, 0
		if len(b.buf) > baseBuffer {
			b.buf = nil
		}
	}
	switch {
	case b.buf == nil:
		b.buf = make([]byte, baseBuffer)
	case b.w < len(b.buf):
	case b.r > 0:
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	case len(b.buf) >= limit:
		return errLineTooLong
	default:
		grown := make([]byte, min(2*len(b.buf), limit))
		b.w = copy(grown, b.buf[:b.w])
		b.buf = grown
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// line returns the next line without its CRLF. A line that ends in a bare LF
// is malformed. If the line does not fit limit, what there is of it is left
// unread. io.EOF means that nothing of a line came, io.ErrUnexpectedEOF that
// it is not whole.
func (b *reader) line(limit int) ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(b.buf[b.r+seen:b.w], '\n'); i >= 0 {
			end := b.r + seen + i
			line := b.buf[b.r:end]
			b.r = end + 1
			if len(line) > limit {
				return nil, errLineTooLong
			}
			if len(line) == 0 || line[len(line)-1] != '\r' {
				return nil, errMalformed
			}
			return line[:len(line)-1], nil
		}
		seen = b.w - b.r
		if seen > limit {
			return nil, errLineTooLong
		}
		if err := b.fill(max(limit+2, baseBuffer)); err != nil {
			if err == io.EOF && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// skipLine reads over the rest of a line of at most limit bytes.
func (b *reader) skipLine(limit int) error {
	for {
		if i := bytes.IndexByte(b.buf[b.r:b.w], '\n'); i >= 0 {
			b.r += i + 1
			return nil
		}
		if limit -= b.w - b.r; limit < 0 {
			return errLineTooLong
		}
		b.r = b.w
		if err := b.fill(baseBuffer); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// pending is what has been read and not used yet.
func (b *reader) pending() []byte { return b.buf[b.r:b.w] }

// Read is for bodies: large ones go past the buffer.
func (b *reader) Read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= baseBuffer {
			return b.src.Read(p)
		}
		if err := b.fill(baseBuffer); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}
