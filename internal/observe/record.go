package observe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Kind says what a Record tells.
type Kind string

const (
	// KindLine is a line that a program printed.
	KindLine Kind = "line"
	// KindStart: an environment was given an invocation.
	KindStart Kind = "start"
	// KindEnd: the invocation is over, and all its lines stand before.
	KindEnd Kind = "end"
	// KindReport follows each KindEnd and holds the Report.
	KindReport Kind = "report"
	// KindDropped: lines before it are missing, Dropped tells how many.
	KindDropped Kind = "dropped"
	// KindLost: records are missing from the log here, or cannot be read;
	// Message says why. Whose they were is not known.
	KindLost Kind = "lost"
	// KindInitError: an environment did not come up; Message says why.
	KindInitError Kind = "init_error"
)

// Record is one entry of the log.
type Record struct {
	// Seq orders records; an end and its report share one.
	Seq  uint64 `json:"seq"`
	Kind Kind   `json:"kind"`
	// Time is the node's, when it learned of what the record tells.
	Time     time.Time `json:"time"`
	App      string    `json:"app"`
	Function string    `json:"function"`
	Version  uint64    `json:"version"`
	// Environment is empty where none is concerned.
	Environment string `json:"environment,omitempty"`
	// RequestID and TraceID are empty for what was printed outside of any
	// invocation, and where it is not known in which.
	RequestID string `json:"request_id,omitempty"`
	TraceID   string `json:"trace_id,omitempty"`
	// Level and Timestamp are what a line in JSON says of itself.
	Level     string       `json:"level,omitempty"`
	Timestamp time.Time    `json:"timestamp,omitzero"`
	Message   string       `json:"message,omitempty"`
	Report    *gust.Report `json:"report,omitempty"`
	Dropped   *Dropped     `json:"dropped,omitempty"`
}

// Dropped counts what is missing.
type Dropped struct {
	Lines uint64 `json:"lines"`
	Bytes uint64 `json:"bytes"`
}

// A record is stored as
//
//	tag          1 byte: the format's version (4 bits), the kind (4 bits)
//	function     text
//	app          text
//	version      uvarint
//	environment  id
//	request id   id
//	trace id     trace
//	...          by kind
//
// text is a length byte and as many bytes. An id is a text of up to 127 bytes,
// or idHex or idUUID and the 16 bytes that it prints. A trace is traceNone,
// tracePacked or tracePackedSampled and the 24 bytes that it prints, or traceText
// and a text. Names stand first, so that a filter need not decode what it leaves
// out. Nothing refers to another record: the oldest are dropped, and a damaged one
// must not take others with it.
const (
	formatVersion = 1 << 4
	kindMask      = 0x0f

	tagLine      = formatVersion | 1
	tagStart     = formatVersion | 2
	tagReport    = formatVersion | 6 // decodes to an end and a report
	tagReport1   = formatVersion | 3 // the same, of before there were pools and networks
	tagDropped   = formatVersion | 4
	tagInitError = formatVersion | 5

	idHex  = 0x80
	idUUID = 0x81

	traceNone          = 0
	tracePacked        = 1
	tracePackedSampled = 2
	traceText          = 3

	lineLevel     = 1 << 0 // a text follows
	lineTimestamp = 1 << 1 // varint nanoseconds since 1970 follow

	reportPooled = 1 << 0

	maxText    = 255
	maxID      = 127
	maxMessage = 8 * gust.KB // of an error; a line has its own bound
)

func appendText(dst []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(append(dst, byte(len(s))), s...)
}

// appendLong is a text with a uvarint for its length, cut at maxMessage.
func appendLong(dst []byte, s string) []byte {
	s = s[:min(len(s), maxMessage)]
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendID(dst []byte, id string) []byte {
	var raw [16]byte
	switch {
	case unhex(raw[:], id):
		return append(append(dst, idHex), raw[:]...)
	case len(id) == 36 && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' &&
		unhex(raw[:4], id[:8]) && unhex(raw[4:6], id[9:13]) && unhex(raw[6:8], id[14:18]) &&
		unhex(raw[8:10], id[19:23]) && unhex(raw[10:], id[24:]):
		return append(append(dst, idUUID), raw[:]...)
	}
	id = id[:min(len(id), maxID)]
	return append(append(dst, byte(len(id))), id...)
}

func appendTrace(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, traceNone)
	}
	if t, ok := parsePlainTrace(s); ok {
		tag := byte(tracePacked)
		if t.Sampled {
			tag = tracePackedSampled
		}
		dst = append(append(dst, tag), t.ID[:]...)
		return append(dst, t.Parent[:]...)
	}
	return appendText(append(dst, traceText), s)
}

// unhex decodes exactly len(dst) bytes of lower-case hexadecimal.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		hi, lo := nibbles[s[2*i]], nibbles[s[2*i+1]]
		if hi|lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// nibbles has the value of each lower-case hexadecimal digit, and 0xff else.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(strings.IndexByte("0123456789abcdef", byte(i)))
	}
	return t
}()

// appendHead appends what all records of an environment have in common, without
// the tag.
func appendHead(dst []byte, f *gust.Function, environment string) []byte {
	dst = appendText(appendText(dst, f.Name), f.App)
	return appendID(binary.AppendUvarint(dst, f.Version), environment)
}

func appendReport(dst []byte, r *gust.Report) []byte {
	dst = appendText(dst, r.Source)
	dst = binary.AppendVarint(dst, r.Start.UnixNano())
	dst = appendText(dst, string(r.Cold))
	for _, v := range [...]int64{int64(r.Init), int64(r.Queue), int64(r.Duration), int64(r.Billed), r.MemoryUsed, r.MemorySize} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = appendText(appendText(dst, string(r.Outcome)), r.ErrorType)
	dst = appendLong(dst, r.ErrorMessage)
	var flags byte
	if r.Pooled {
		flags |= reportPooled
	}
	return binary.AppendVarint(append(dst, flags), r.BytesOut)
}

// decoder takes a record apart. After the first thing that does not fit, all it
// gives is zero, and bad is set.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.bad, d.data = true, nil
		return nil
	}
	out := d.data[:n]
	d.data = d.data[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) raw() []byte     { return d.take(uint64(d.byte())) }
func (d *decoder) text() string    { return string(d.raw()) }
func (d *decoder) long() string    { return string(d.take(d.uvarint())) }
func (d *decoder) rest() string    { return string(d.take(uint64(len(d.data)))) }
func (d *decoder) time() time.Time { return time.Unix(0, d.varint()).UTC() }

// rawID is an id as it is stored.
func (d *decoder) rawID() []byte {
	start := d.data
	switch n := d.byte(); {
	case n <= maxID:
		d.take(uint64(n))
	case n == idHex, n == idUUID:
		d.take(16)
	default:
		d.bad, d.data = true, nil
	}
	return start[:len(start)-len(d.data)]
}

func (d *decoder) id() string {
	b := d.rawID()
	if d.bad {
		return ""
	}
	switch b[0] {
	case idHex:
		return hex.EncodeToString(b[1:])
	case idUUID:
		var s [36]byte
		hex.Encode(s[:8], b[1:5])
		hex.Encode(s[9:13], b[5:7])
		hex.Encode(s[14:18], b[7:9])
		hex.Encode(s[19:23], b[9:11])
		hex.Encode(s[24:], b[11:])
		s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
		return string(s[:])
	default:
		return string(b[1:])
	}
}

func (d *decoder) trace() string {
	switch tag := d.byte(); tag {
	case traceNone:
		return ""
	case traceText:
		return d.text()
	case tracePacked, tracePackedSampled:
		t := Trace{Sampled: tag == tracePackedSampled}
		copy(t.ID[:], d.take(16))
		copy(t.Parent[:], d.take(8))
		if d.bad {
			return ""
		}
		return t.String()
	default:
		d.bad = true
		return ""
	}
}

func (d *decoder) report(tag byte) *gust.Report {
	r := &gust.Report{Source: d.text(), Start: d.time(), Cold: gust.ColdCause(d.text())}
	for _, v := range [...]*time.Duration{&r.Init, &r.Queue, &r.Duration, &r.Billed} {
		*v = time.Duration(d.varint())
	}
	r.MemoryUsed, r.MemorySize = d.varint(), d.varint()
	r.Outcome, r.ErrorType, r.ErrorMessage = gust.Outcome(d.text()), d.text(), d.long()
	if tag == tagReport1 {
		return r
	}
	flags := d.byte()
	r.Pooled = flags&reportPooled != 0
	if flags&^reportPooled != 0 {
		d.bad = true
	}
	r.BytesOut = d.varint()
	return r
}

// decode appends the records that payload holds: one, or an end and its report.
func decode(dst []Record, seq uint64, t time.Time, payload []byte) ([]Record, error) {
	d := decoder{data: payload}
	tag := d.byte()
	r := Record{Seq: seq, Time: t.UTC(), Function: d.text(), App: d.text(), Version: d.uvarint(), Environment: d.id(), RequestID: d.id(), TraceID: d.trace()}
	switch tag {
	case tagLine:
		r.Kind = KindLine
		flags := d.byte()
		if flags&lineLevel != 0 {
			r.Level = d.text()
		}
		if flags&lineTimestamp != 0 {
			r.Timestamp = d.time()
		}
		if flags&^(lineLevel|lineTimestamp) != 0 {
			d.bad = true
		}
		r.Message = d.rest()
	case tagStart:
		r.Kind = KindStart
	case tagReport, tagReport1:
		r.Kind = KindReport
		r.Report = d.report(tag)
		r.Report.App, r.Report.Function, r.Report.Version, r.Report.Environment = r.App, r.Function, r.Version, r.Environment
		r.Report.RequestID, r.Report.TraceID = r.RequestID, r.TraceID
	case tagDropped:
		r.Kind = KindDropped
		r.Dropped = &Dropped{Lines: d.uvarint(), Bytes: d.uvarint()}
	case tagInitError:
		r.Kind = KindInitError
		r.Message = d.long()
	default:
		return dst, fmt.Errorf("log record %d: %w: it is of no kind that this version knows (tag %#02x)", seq, gust.ErrCorrupt, tag)
	}
	if d.bad || len(d.data) > 0 {
		return dst, fmt.Errorf("log record %d: %w: it is not what a record of kind %s looks like", seq, gust.ErrCorrupt, r.Kind)
	}
	if r.Kind == KindReport {
		end := r
		end.Kind, end.Report = KindEnd, nil
		dst = append(dst, end)
	}
	return append(dst, r), nil
}

// recordsIn is how many records decode gives for payload.
func recordsIn(payload []byte) int {
	if len(payload) > 0 && (payload[0] == tagReport || payload[0] == tagReport1) {
		return 2
	}
	return 1
}

// filter is what a query leaves in, as it is stored.
type filter struct {
	function, app string
	request       []byte // an id; empty means any
}

func newFilter(q Query) filter {
	f := filter{function: q.Function, app: q.App}
	if q.RequestID != "" {
		f.request = appendID(nil, q.RequestID)
	}
	return f
}

// match looks at no more of payload than it has to, and allocates nothing. What
// is damaged before its names end matches: decode will say so.
func (f *filter) match(payload []byte) bool {
	d := decoder{data: payload}
	d.byte()
	if function := d.raw(); !d.bad && f.function != "" && string(function) != f.function {
		return false
	}
	if app := d.raw(); !d.bad && f.app != "" && string(app) != f.app {
		return false
	}
	if f.request == nil {
		return true
	}
	d.uvarint()
	d.rawID()
	request := d.rawID()
	return d.bad || slices.Equal(request, f.request)
}
