package runtimeapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
)

// errTooLong: a body is over its limit.
var errTooLong = errors.New("the body is too long")

// body is a message's body, in either framing.
type body struct {
	src     *reader
	left    int64 // of the body, or of the current chunk
	chunked bool
	inChunk bool // the current chunk's CRLF is still to come
	done    bool

	// Set once a chunked body is done, if its trailers say so.
	errorType string
	errorBody []byte
}

func newBody(src *reader, h *head) body {
	return body{src: src, left: h.length, chunked: h.chunked, done: !h.chunked && h.length == 0}
}

// next tells how many bytes can be read before it has to be called again, 0 at
// the end. A body that stops short is io.ErrUnexpectedEOF.
func (b *body) next() (int64, error) {
	if b.left > 0 || b.done {
		return b.left, nil
	}
	if !b.chunked {
		b.done = true
		return 0, nil
	}
	if b.inChunk {
		line, err := b.src.line(2)
		if err != nil {
			return 0, short(err)
		}
		if len(line) != 0 {
			return 0, errMalformed
		}
		b.inChunk = false
	}
	line, err := b.src.line(maxChunkLine)
	if err != nil {
		return 0, short(err)
	}
	if b.left, err = chunkSize(line); err != nil {
		return 0, err
	}
	if b.left > 0 {
		b.inChunk = true
		return b.left, nil
	}
	if err := b.trailers(); err != nil {
		return 0, short(err)
	}
	b.done = true
	return 0, nil
}

func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// chunkSize parses a chunk's size line; extensions are ignored.
func chunkSize(line []byte) (int64, error) {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	if len(line) == 0 || len(line) > 15 {
		return 0, errMalformed
	}
	var n int64
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errMalformed
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}

func (b *body) trailers() error {
	for total := 0; ; {
		line, err := b.src.line(maxTrailer)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if total += len(line); total > maxTrailer {
			return errLineTooLong
		}
		name, value, err := field(line)
		if err != nil {
			return err
		}
		switch {
		case fold(name, "lambda-runtime-function-error-type"):
			b.errorType = string(value)
		case fold(name, "lambda-runtime-function-error-body"):
			doc, err := base64.StdEncoding.AppendDecode(nil, value)
			if err != nil {
				return errMalformed
			}
			b.errorBody = doc
		}
	}
}

// Read returns io.EOF at the end, after the trailers.
func (b *body) Read(p []byte) (int, error) {
	left, err := b.next()
	if err != nil {
		return 0, err
	}
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.src.Read(p)
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, short(err)
}

// all reads the whole body. Memory grows with what has arrived, never with
// what was announced. A body over limit is errTooLong, with what came before
// the piece that exceeds it.
func (b *body) all(limit int64) ([]byte, error) {
	const step = 256 << 10
	var data []byte
	for {
		left, err := b.next()
		if err != nil {
			return nil, err
		}
		if left == 0 {
			return data, nil
		}
		if int64(len(data))+left > limit {
			return data, errTooLong
		}
		for left > 0 {
			switch {
			case data == nil:
				data = make([]byte, 0, min(left, step))
			case len(data) == cap(data):
				data = slices.Grow(data, int(min(left, step)))
			}
			n, err := b.Read(data[len(data):min(cap(data), len(data)+int(left))])
			if err != nil {
				return nil, err
			}
			data = data[:len(data)+n]
			left -= int64(n)
		}
	}
}

// discard reads the rest of the body and forgets it, up to limit bytes, and
// returns how many there were.
func (b *body) discard(limit int64) (int64, error) {
	if b.done {
		return 0, nil
	}
	scratch := make([]byte, 16<<10)
	var total int64
	for {
		n, err := b.Read(scratch)
		total += int64(n)
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case total > limit:
			return total, errTooLong
		}
	}
}
