// Package eventstream writes messages in the AWS event stream encoding
// (application/vnd.amazon.eventstream), in which the AWS APIs stream answers.
//
// A message is: its length and that of its headers, four bytes each, most
// significant first; the CRC-32 of these eight; the headers; the payload; the
// CRC-32 of all before it. A header is a length byte and a name, a type byte, and
// a value, which two bytes of length precede when it is a string or bytes.
package eventstream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	gust "github.com/gust-dev/gust"
)

// ContentType is the media type of a stream of messages.
const ContentType = "application/vnd.amazon.eventstream"

// Limits of the encoding.
const (
	MaxPayload     = 16 * gust.MB
	MaxHeaders     = 128 * gust.KB
	maxHeaderName  = 255
	maxHeaderValue = 1<<15 - 1
)

const (
	preludeLen = 12 // two lengths and their checksum
	crcLen     = 4
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

// Header is a header of a message. Its value is a bool, int8, int16, int32,
// int64, []byte, string, time.Time (in milliseconds) or [16]byte (a UUID).
type Header struct {
	Name  string
	Value any
}

// Append appends a message to dst. What does not fit the encoding is
// gust.ErrTooLarge, and dst comes back as it was.
func Append(dst []byte, headers []Header, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return dst, fmt.Errorf("%w: an event stream message's payload of %d bytes is over the limit of %d", gust.ErrTooLarge, len(payload), MaxPayload)
	}
	start := len(dst)
	b := append(dst, make([]byte, preludeLen)...)
	for _, h := range headers {
		var err error
		if b, err = appendHeader(b, h); err != nil {
			return dst, err
		}
		if n := len(b) - start - preludeLen; n > MaxHeaders {
			return dst, fmt.Errorf("%w: an event stream message's headers of %d bytes are over the limit of %d", gust.ErrTooLarge, n, MaxHeaders)
		}
	}
	size := len(b) - start - preludeLen
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start+crcLen))
	binary.BigEndian.PutUint32(b[start+4:], uint32(size))
	binary.BigEndian.PutUint32(b[start+8:], crc32.ChecksumIEEE(b[start:start+8]))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:])), nil
}

func appendHeader(b []byte, h Header) ([]byte, error) {
	size := 0
	switch v := h.Value.(type) {
	case string:
		size = len(v)
	case []byte:
		size = len(v)
	}
	if h.Name == "" || len(h.Name) > maxHeaderName || size > maxHeaderValue {
		return b, fmt.Errorf("%w: an event stream header takes a name of 1 to %d bytes and a value of up to %d, not %.80q of %d",
			gust.ErrTooLarge, maxHeaderName, maxHeaderValue, h.Name, size)
	}
	b = append(b, byte(len(h.Name)))
	b = append(b, h.Name...)
	switch v := h.Value.(type) {
	case bool:
		if v {
			return append(b, typeTrue), nil
		}
		return append(b, typeFalse), nil
	case int8:
		return append(b, typeByte, byte(v)), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(b, typeShort), uint16(v)), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(b, typeInteger), uint32(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(b, typeLong), uint64(v)), nil
	case []byte:
		return append(binary.BigEndian.AppendUint16(append(b, typeBytes), uint16(size)), v...), nil
	case string:
		return append(binary.BigEndian.AppendUint16(append(b, typeString), uint16(size)), v...), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, typeTimestamp), uint64(v.UnixMilli())), nil
	case [16]byte:
		return append(append(b, typeUUID), v[:]...), nil
	}
	return b, fmt.Errorf("%w: an event stream header has no type for a %T, as %q has it", gust.ErrInvalid, h.Value, h.Name)
}
