// Package cbor reads and writes CBOR (RFC 8949) as the protocol Smithy RPC v2
// CBOR has it: keys are text, the only tag is that of times (1), and numbers have
// 64 bits at most. A Reader gives a document value by value, so that whoever
// knows its type takes them, and knows where he is when one is wrong.
package cbor

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
)

// ContentType is the media type of documents.
const ContentType = "application/cbor"

// MaxDepth bounds lists and maps in one another.
const MaxDepth = 128

// Kind is what a value is.
type Kind uint8

const (
	Null Kind = iota // undefined counts as null
	Bool
	Int
	Float
	Bytes
	Text
	List
	Map
	Time
)

func (k Kind) String() string {
	return [...]string{"null", "a boolean", "an integer", "a floating-point number", "bytes", "text", "a list", "a map", "a time"}[k]
}

// The major types, and arguments that mean something of their own.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorList
	majorMap
	majorTag
	majorSimple

	simpleFalse     = 20
	simpleTrue      = 21
	simpleNull      = 22
	simpleUndefined = 23
	float16         = 25
	float32bits     = 26
	float64bits     = 27
	indefinite      = 31

	tagTime = 1
	stop    = 0xff // ends what has no length
)

// Reader reads one document that is all in memory. What is no document that it
// takes is gust.ErrInvalid, with the byte where it stands; nothing can be read
// after that. It takes memory for bytes that have come, never for a length that a
// document only claims.
type Reader struct {
	b   []byte
	pos int
	// open are the lists and maps that are being read: how many items or pairs
	// are left, or -1 where a stop ends them.
	open []int
}

// NewReader reads b, which stays as it is.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

func (r *Reader) invalid(at int, format string, args ...any) error {
	return fmt.Errorf("%w: the CBOR document has at byte %d %s", gust.ErrInvalid, at, fmt.Sprintf(format, args...))
}

// head is how every item begins: a type, and an argument.
type head struct {
	at    int
	major byte
	info  byte // the argument's own form
	arg   uint64
}

func (r *Reader) head() (head, error) {
	h := head{at: r.pos}
	if r.pos >= len(r.b) {
		return h, r.invalid(h.at, "its end, where a value should stand")
	}
	h.major, h.info = r.b[r.pos]>>5, r.b[r.pos]&31
	r.pos++
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
	case h.info <= float64bits:
		n := 1 << (h.info - 24)
		if len(r.b)-r.pos < n {
			return h, r.invalid(h.at, "the beginning of a value, and its end is missing")
		}
		for _, c := range r.b[r.pos : r.pos+n] {
			h.arg = h.arg<<8 | uint64(c)
		}
		r.pos += n
	case h.info == indefinite && h.major >= majorBytes && h.major <= majorMap:
	case h.info == indefinite && h.major == majorSimple:
		return h, r.invalid(h.at, "a stop, where a value should stand")
	default:
		return h, r.invalid(h.at, "the byte %#02x, with which no value begins", r.b[h.at])
	}
	return h, nil
}

// kind tells what begins with h.
func (r *Reader) kind(h head) (Kind, error) {
	switch h.major {
	case majorUint, majorNegative:
		return Int, nil
	case majorBytes:
		return Bytes, nil
	case majorText:
		return Text, nil
	case majorList:
		return List, nil
	case majorMap:
		return Map, nil
	case majorTag:
		if h.arg != tagTime {
			return 0, r.invalid(h.at, "tag %d, and takes tag 1 alone, of times in seconds", h.arg)
		}
		return Time, nil
	}
	switch h.info {
	case simpleFalse, simpleTrue:
		return Bool, nil
	case simpleNull, simpleUndefined:
		return Null, nil
	case float16, float32bits, float64bits:
		return Float, nil
	}
	return 0, r.invalid(h.at, "the simple value %d, which means nothing", h.arg)
}

// Peek tells what comes next, and takes nothing.
func (r *Reader) Peek() (Kind, error) {
	at := r.pos
	h, err := r.head()
	r.pos = at
	if err != nil {
		return 0, err
	}
	return r.kind(h)
}

// take reads a head that has to begin a value of this kind.
func (r *Reader) take(want Kind) (head, error) {
	h, err := r.head()
	if err != nil {
		return h, err
	}
	got, err := r.kind(h)
	if err == nil && got != want {
		err = r.invalid(h.at, "%s, where %s should stand", got, want)
	}
	return h, err
}

// Null reads a null, if that is what comes next.
func (r *Reader) Null() (bool, error) {
	if k, err := r.Peek(); err != nil || k != Null {
		return false, err
	}
	_, err := r.head()
	return true, err
}

// Bool reads a boolean.
func (r *Reader) Bool() (bool, error) {
	h, err := r.take(Bool)
	return h.info == simpleTrue, err
}

// Int reads an integer of 64 bits with a sign.
func (r *Reader) Int() (int64, error) {
	h, err := r.take(Int)
	if err != nil {
		return 0, err
	}
	return r.int(h)
}

func (r *Reader) int(h head) (int64, error) {
	if h.arg > math.MaxInt64 {
		return 0, r.invalid(h.at, "an integer that does not fit 64 bits")
	}
	if h.major == majorNegative {
		return -1 - int64(h.arg), nil
	}
	return int64(h.arg), nil
}

// Float reads a number: a floating-point number, or an integer that one of 64
// bits holds exactly.
func (r *Reader) Float() (float64, error) {
	h, err := r.head()
	if err != nil {
		return 0, err
	}
	return r.float(h)
}

func (r *Reader) float(h head) (float64, error) {
	k, err := r.kind(h)
	if err != nil {
		return 0, err
	}
	switch {
	case k == Int:
		n, err := r.int(h)
		if f := float64(n); err != nil || int64(f) == n && f < math.MaxInt64 {
			return f, err
		}
		return 0, r.invalid(h.at, "an integer that no floating-point number holds exactly")
	case k != Float:
		return 0, r.invalid(h.at, "%s, where a number should stand", k)
	case h.info == float16:
		return half(uint16(h.arg)), nil
	case h.info == float32bits:
		return float64(math.Float32frombits(uint32(h.arg))), nil
	}
	return math.Float64frombits(h.arg), nil
}

// half is the value of a floating-point number of 16 bits (RFC 8949, appendix D).
func half(b uint16) float64 {
	exponent, mantissa := int(b>>10&31), float64(b&1023)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(mantissa, -24)
	case 31:
		if mantissa != 0 {
			return math.NaN()
		}
		f = math.Inf(1)
	default:
		f = math.Ldexp(mantissa+1024, exponent-25)
	}
	if b>>15 != 0 {
		return -f
	}
	return f
}

// maxSeconds bounds times to the years that every protocol can write: up to the
// end of 9999, and as far back as the beginning of year 1.
const (
	maxSeconds = 253402300799
	minSeconds = -62135596800
)

// Time reads a time: seconds since 1970 under their tag, whole or not; what is
// finer than a millisecond is rounded, as the protocol has it.
func (r *Reader) Time() (time.Time, error) {
	if _, err := r.take(Time); err != nil {
		return time.Time{}, err
	}
	h, err := r.head()
	if err != nil {
		return time.Time{}, err
	}
	s, err := r.float(h)
	if err != nil {
		return time.Time{}, err
	}
	if !(s >= minSeconds && s <= maxSeconds) { // NaN is neither
		return time.Time{}, r.invalid(h.at, "a time outside the years 1 to 9999")
	}
	whole := math.Floor(s)
	return time.Unix(int64(whole), 0).Add(time.Duration(math.Round((s-whole)*1000)) * time.Millisecond).UTC(), nil
}

// Bytes reads bytes, which are the document's own where they stand in one piece.
func (r *Reader) Bytes() ([]byte, error) {
	h, err := r.take(Bytes)
	if err != nil {
		return nil, err
	}
	return r.string(h)
}

// Text reads text, which has to be UTF-8.
func (r *Reader) Text() (string, error) {
	h, err := r.take(Text)
	if err != nil {
		return "", err
	}
	b, err := r.string(h)
	if err == nil && !utf8.Valid(b) {
		err = r.invalid(h.at, "text that is not UTF-8")
	}
	return string(b), err
}

// string reads what follows the head of bytes or text.
func (r *Reader) string(h head) ([]byte, error) {
	if h.info != indefinite {
		return r.piece(h)
	}
	var b []byte
	for {
		if r.pos < len(r.b) && r.b[r.pos] == stop {
			r.pos++
			return b, nil
		}
		next, err := r.head()
		if err != nil {
			return nil, err
		}
		if next.major != h.major || next.info == indefinite {
			return nil, r.invalid(next.at, "something else between the pieces of one string")
		}
		p, err := r.piece(next)
		if err != nil {
			return nil, err
		}
		if h.major == majorText && !utf8.Valid(p) { // each piece has to be whole
			return nil, r.invalid(next.at, "text that is not UTF-8")
		}
		b = append(b, p...)
	}
}

func (r *Reader) piece(h head) ([]byte, error) {
	if h.arg > uint64(len(r.b)-r.pos) {
		return nil, r.invalid(h.at, "a length of %d, and %d bytes follow", h.arg, len(r.b)-r.pos)
	}
	p := r.b[r.pos : r.pos+int(h.arg) : r.pos+int(h.arg)]
	r.pos += int(h.arg)
	return p, nil
}

// List begins a list. Its items are read as long as More says so.
func (r *Reader) List() error { return r.begin(List, 1) }

// Map begins a map. As long as More says so, a Key is read and then its value.
func (r *Reader) Map() error { return r.begin(Map, 2) }

func (r *Reader) begin(kind Kind, each uint64) error {
	h, err := r.take(kind)
	if err != nil {
		return err
	}
	if len(r.open) == MaxDepth {
		return r.invalid(h.at, "lists and maps more than %d deep", MaxDepth)
	}
	if h.info == indefinite {
		r.open = append(r.open, -1)
		return nil
	}
	if left := uint64(len(r.b) - r.pos); h.arg > left/each {
		return r.invalid(h.at, "%s of %d, and %d bytes follow", kind, h.arg, left)
	}
	r.open = append(r.open, int(h.arg))
	return nil
}

// More says whether the list or map that was begun last has another item; when it
// has none it is over, and the one around it goes on.
func (r *Reader) More() bool {
	last := len(r.open) - 1
	switch {
	case r.open[last] > 0:
		r.open[last]--
		return true
	case r.open[last] < 0 && (r.pos >= len(r.b) || r.b[r.pos] != stop):
		return true // at the end of the document, the next value says that it is missing
	case r.open[last] < 0:
		r.pos++
	}
	r.open = r.open[:last]
	return false
}

// Key reads the key of a pair.
func (r *Reader) Key() ([]byte, error) {
	h, err := r.take(Text)
	if err != nil {
		return nil, err
	}
	b, err := r.string(h)
	if err == nil && !utf8.Valid(b) {
		err = r.invalid(h.at, "a key that is not UTF-8")
	}
	return b, err
}

// End says what is wrong when something follows the document.
func (r *Reader) End() error {
	if r.pos < len(r.b) {
		return r.invalid(r.pos, "more, after its end")
	}
	return nil
}
