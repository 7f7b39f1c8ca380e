// Package eventstream writes messages in the AWS event stream encoding
// (application/vnd.amazon.eventstream), in which the AWS APIs stream their
// answers.
//
// A message is: its length and that of its headers, four bytes each, most
// significant first; the CRC-32 of these eight; the headers; the payload; the
// CRC-32 of all before it. A header is a length byte and a name, a type byte,
// and for a string (7), the only type written here, two bytes of length and the
// value.
package eventstream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

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
	typeString = 7
)

// Header is a header of a message, a string.
type Header struct{ Name, Value string }

// Append appends a message to dst. What does not fit the encoding is
// gust.ErrTooLarge, and dst comes back as it was.
func Append(dst []byte, headers []Header, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return dst, fmt.Errorf("%w: an event stream message's payload of %d bytes is over the limit of %d", gust.ErrTooLarge, len(payload), MaxPayload)
	}
	size := 0
	for _, h := range headers {
		if h.Name == "" || len(h.Name) > maxHeaderName || len(h.Value) > maxHeaderValue {
			return dst, fmt.Errorf("%w: an event stream header takes a name of 1 to %d bytes and a value of up to %d, not %.80q of %d",
				gust.ErrTooLarge, maxHeaderName, maxHeaderValue, h.Name, len(h.Value))
		}
		size += 1 + len(h.Name) + 1 + 2 + len(h.Value)
	}
	if size > MaxHeaders {
		return dst, fmt.Errorf("%w: an event stream message's headers of %d bytes are over the limit of %d", gust.ErrTooLarge, size, MaxHeaders)
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(preludeLen+size+len(payload)+crcLen))
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
	for _, h := range headers {
		dst = append(dst, byte(len(h.Name)))
		dst = append(dst, h.Name...)
		dst = append(dst, typeString)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Value)))
		dst = append(dst, h.Value...)
	}
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:])), nil
}

// AppendEvent appends a message that is an event of an API: its name, and the
// media type of its payload.
func AppendEvent(dst []byte, event, contentType string, payload []byte) ([]byte, error) {
	return Append(dst, []Header{{":message-type", "event"}, {":event-type", event}, {":content-type", contentType}}, payload)
}
