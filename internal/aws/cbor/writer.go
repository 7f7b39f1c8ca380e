package cbor

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// appendHead appends a head in the shortest form.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	major <<= 5
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), arg)
}

// AppendBool appends a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, majorSimple<<5|simpleTrue)
	}
	return append(dst, majorSimple<<5|simpleFalse)
}

// AppendInt appends an integer in its shortest form.
func AppendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, majorNegative, uint64(-1-v))
	}
	return appendHead(dst, majorUint, uint64(v))
}

// AppendFloat appends a floating-point number of 64 bits.
func AppendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, majorSimple<<5|float64bits), math.Float64bits(v))
}

// AppendFloat32 appends a floating-point number of 32 bits.
func AppendFloat32(dst []byte, v float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, majorSimple<<5|float32bits), math.Float32bits(v))
}

// AppendTime appends a time in seconds since 1970, to the millisecond.
func AppendTime(dst []byte, t time.Time) []byte {
	dst = appendHead(dst, majorTag, tagTime)
	if ms := t.UnixMilli(); ms%1000 != 0 {
		return AppendFloat(dst, float64(ms)/1000)
	}
	return AppendInt(dst, t.UnixMilli()/1000)
}

// AppendBytes appends bytes.
func AppendBytes(dst, v []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(v))), v...)
}

// AppendText appends text. What is not UTF-8 in it becomes U+FFFD, as in JSON.
func AppendText(dst []byte, v string) []byte {
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD")
	}
	return append(appendHead(dst, majorText, uint64(len(v))), v...)
}

// AppendList begins a list of n items, which follow.
func AppendList(dst []byte, n int) []byte { return appendHead(dst, majorList, uint64(n)) }

// AppendMap begins a map of n pairs, which follow: each a text and a value.
func AppendMap(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }

// AppendOpenMap begins a map of as many pairs as stand before AppendEnd.
func AppendOpenMap(dst []byte) []byte { return append(dst, majorMap<<5|indefinite) }

// AppendEnd ends what AppendOpenMap began.
func AppendEnd(dst []byte) []byte { return append(dst, stop) }
