// Package eventstreamtest reads the AWS event stream encoding, as clients do, for
// tests of what writes it.
package eventstreamtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/eventstream"
)

// Message is one message of a stream.
type Message struct {
	Headers []eventstream.Header
	Payload []byte
}

const (
	preludeLen     = 12 // two lengths and their checksum
	crcLen         = 4
	maxHeaderValue = 1<<15 - 1
)

// The types of headers.
const (
	typeTrue = iota
	typeFalse
	typeByte
	typeShort
	typeInteger
	typeLong
	typeBytes
	typeString
	typeTimestamp // milliseconds since 1970
	typeUUID
)

// firstRead is how much is taken for a message before any of it has come: its
// length is only what a client says.
const firstRead = 16 << 10

// Reader reads a stream's messages.
type Reader struct {
	r   io.Reader
	buf []byte
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next message, which is good until the one after it is read.
// At the end of the stream it is io.EOF, and io.ErrUnexpectedEOF when the stream
// ends within a message. What is no message is gust.ErrInvalid, and what is over
// a limit gust.ErrTooLarge; nothing can be read after them.
func (r *Reader) Next() (*Message, error) {
	if err := r.read(0, preludeLen); err != nil {
		return nil, err
	}
	total, size := binary.BigEndian.Uint32(r.buf), binary.BigEndian.Uint32(r.buf[4:])
	if crc32.ChecksumIEEE(r.buf[:8]) != binary.BigEndian.Uint32(r.buf[8:]) {
		return nil, invalid("the checksum of a message's lengths is wrong")
	}
	if size > eventstream.MaxHeaders {
		return nil, fmt.Errorf("%w: an event stream message's headers of %d bytes are over the limit of %d", gust.ErrTooLarge, size, eventstream.MaxHeaders)
	}
	if uint64(total) < preludeLen+uint64(size)+crcLen {
		return nil, invalid("a message of %d bytes cannot hold its headers of %d", total, size)
	}
	if n := int64(total) - preludeLen - int64(size) - crcLen; n > eventstream.MaxPayload {
		return nil, fmt.Errorf("%w: an event stream message's payload of %d bytes is over the limit of %d", gust.ErrTooLarge, n, eventstream.MaxPayload)
	}
	for got := preludeLen; got < int(total); {
		next := min(int(total), max(firstRead, 2*got))
		if err := r.read(got, next); err != nil {
			return nil, err
		}
		got = next
	}
	end := int(total) - crcLen
	if crc32.ChecksumIEEE(r.buf[:end]) != binary.BigEndian.Uint32(r.buf[end:]) {
		return nil, invalid("a message's checksum is wrong")
	}
	headers, err := readHeaders(r.buf[preludeLen : preludeLen+size])
	if err != nil {
		return nil, err
	}
	return &Message{Headers: headers, Payload: r.buf[preludeLen+size : end : end]}, nil
}

// read fills the buffer from byte from up to byte to.
func (r *Reader) read(from, to int) error {
	if to > cap(r.buf) {
		grown := make([]byte, to)
		copy(grown, r.buf[:from])
		r.buf = grown
	}
	r.buf = r.buf[:to]
	_, err := io.ReadFull(r.r, r.buf[from:])
	if from > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: not in the event stream encoding: %s", gust.ErrInvalid, fmt.Sprintf(format, args...))
}

func readHeaders(b []byte) ([]eventstream.Header, error) {
	var headers []eventstream.Header
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || len(b) < 1+n+1 {
			return nil, invalid("a header's name of %d bytes does not fit", n)
		}
		h := eventstream.Header{Name: string(b[1 : 1+n])}
		kind := b[1+n]
		b = b[2+n:]
		var size int
		switch kind {
		case typeTrue, typeFalse:
		case typeByte:
			size = 1
		case typeShort:
			size = 2
		case typeInteger:
			size = 4
		case typeLong, typeTimestamp:
			size = 8
		case typeUUID:
			size = 16
		case typeBytes, typeString:
			if len(b) < 2 {
				return nil, invalid("header %q ends before its value", h.Name)
			}
			if size = int(binary.BigEndian.Uint16(b)); size > maxHeaderValue {
				return nil, fmt.Errorf("%w: event stream header %q of %d bytes is over the limit of %d", gust.ErrTooLarge, h.Name, size, maxHeaderValue)
			}
			b = b[2:]
		default:
			return nil, invalid("header %q has type %d, and types end at %d", h.Name, kind, typeUUID)
		}
		if len(b) < size {
			return nil, invalid("header %q ends before its value of %d bytes", h.Name, size)
		}
		v := b[:size]
		b = b[size:]
		switch kind {
		case typeTrue, typeFalse:
			h.Value = kind == typeTrue
		case typeByte:
			h.Value = int8(v[0])
		case typeShort:
			h.Value = int16(binary.BigEndian.Uint16(v))
		case typeInteger:
			h.Value = int32(binary.BigEndian.Uint32(v))
		case typeLong:
			h.Value = int64(binary.BigEndian.Uint64(v))
		case typeBytes:
			h.Value = append([]byte{}, v...)
		case typeString:
			h.Value = string(v)
		case typeTimestamp:
			h.Value = time.UnixMilli(int64(binary.BigEndian.Uint64(v))).UTC()
		case typeUUID:
			h.Value = [16]byte(v)
		}
		headers = append(headers, h)
	}
	return headers, nil
}
