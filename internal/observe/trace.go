package observe

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Trace is the context of a distributed trace.
type Trace struct {
	// ID names the trace. In AWS's form, its first 4 bytes are the Unix time
	// of the root.
	ID [16]byte
	// Parent is the span that asks.
	Parent  [8]byte
	Sampled bool
	// rest are the fields of an X-Amzn-Trace-Id that only AWS knows (Lineage),
	// each with its semicolon before it.
	rest string
}

const (
	traceHeader       = "X-Amzn-Trace-Id"
	traceparentHeader = "Traceparent"
	maxTraceHeader    = 512
	maxTraceRest      = 128
)

// NewTrace is the root of a trace that nobody samples.
func NewTrace(now time.Time) (t Trace) {
	binary.BigEndian.PutUint32(t.ID[:], uint32(now.Unix()))
	binary.BigEndian.PutUint32(t.ID[4:], rand.Uint32())
	binary.BigEndian.PutUint64(t.ID[8:], rand.Uint64())
	t.Parent = newSpan()
	return t
}

func newSpan() (s [8]byte) {
	binary.BigEndian.PutUint64(s[:], max(rand.Uint64(), 1)) // zero is no span
	return s
}

// TraceFrom is the trace context of a request in both forms, AWS's for
// X-Amzn-Trace-Id and _X_AMZN_TRACE_ID, and W3C's for traceparent. A valid
// traceparent that came in is passed on, else a valid X-Amzn-Trace-Id; without
// either it is a new root.
func TraceFrom(h http.Header) (traceID, traceparent string) {
	var t Trace
	ok := false
	if v := h[traceparentHeader]; len(v) == 1 {
		t, ok = ParseTraceparent(v[0])
	}
	if v := h[traceHeader]; !ok && len(v) == 1 {
		t, ok = ParseTraceID(v[0])
	}
	if !ok {
		t = NewTrace(time.Now())
	}
	return t.String(), t.Traceparent()
}

// String is t in AWS's form: Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1>.
func (t Trace) String() string {
	b := make([]byte, 0, 96+len(t.rest))
	b = append(b, "Root=1-"...)
	b = hex.AppendEncode(b, t.ID[:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.ID[4:])
	b = append(b, ";Parent="...)
	b = hex.AppendEncode(b, t.Parent[:])
	b = append(b, ";Sampled=0"...)
	if t.Sampled {
		b[len(b)-1] = '1'
	}
	return string(append(b, t.rest...))
}

// Traceparent is t as "Trace Context" (W3C, level 1) writes it.
func (t Trace) Traceparent() string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.Parent[:])
	b = append(b, "-00"...)
	if t.Sampled {
		b[len(b)-1] = '1'
	}
	return string(b)
}

// ParseTraceID reads an X-Amzn-Trace-Id. Root has to be there; without a Parent
// it gets a new one. A sampling decision that is left to us ("?") is no.
func ParseTraceID(s string) (t Trace, ok bool) {
	if len(s) > maxTraceHeader {
		return Trace{}, false
	}
	root, parent := false, false
	for field := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Root":
			if root || len(value) != 35 || value[:2] != "1-" || value[10] != '-' ||
				!unhex(t.ID[:4], strings.ToLower(value[2:10])) || !unhex(t.ID[4:], strings.ToLower(value[11:])) {
				return Trace{}, false
			}
			root = true
		case "Parent":
			if parent || !unhex(t.Parent[:], strings.ToLower(value)) {
				return Trace{}, false
			}
			parent = true
		case "Sampled":
			t.Sampled = value == "1"
		case "Self", "": // of a load balancer, about itself
		default:
			if plainField(name) && plainField(value) && len(t.rest)+len(name)+len(value)+2 <= maxTraceRest {
				t.rest += ";" + name + "=" + value
			}
		}
	}
	if !root || t.ID == ([16]byte{}) {
		return Trace{}, false
	}
	if t.Parent == ([8]byte{}) {
		t.Parent = newSpan()
	}
	return t, true
}

func plainField(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("-_.:|/+", c) < 0 {
			return false
		}
	}
	return s != ""
}

// ParseTraceparent reads a W3C traceparent of version 00, or the part of a later
// version that version 00 knows.
func ParseTraceparent(s string) (t Trace, ok bool) {
	var version, flags [1]byte
	if len(s) < 55 || len(s) > maxTraceHeader || s[2] != '-' || s[35] != '-' || s[52] != '-' ||
		!unhex(version[:], s[:2]) || !unhex(t.ID[:], s[3:35]) || !unhex(t.Parent[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return Trace{}, false
	}
	if version[0] == 0xff || len(s) > 55 && (version[0] == 0 || s[55] != '-') ||
		t.ID == ([16]byte{}) || t.Parent == ([8]byte{}) {
		return Trace{}, false
	}
	t.Sampled = flags[0]&1 != 0
	return t, true
}

// parsePlainTrace reads exactly what String writes of a trace without other
// fields.
func parsePlainTrace(s string) (t Trace, ok bool) {
	const form = "Root=1-........-........................;Parent=................;Sampled="
	if len(s) != len(form)+1 || s[:7] != form[:7] || s[15] != '-' || s[40:48] != form[40:48] || s[64:73] != form[64:] ||
		!unhex(t.ID[:4], s[7:15]) || !unhex(t.ID[4:], s[16:40]) || !unhex(t.Parent[:], s[48:64]) {
		return Trace{}, false
	}
	switch s[73] {
	case '0':
	case '1':
		t.Sampled = true
	default:
		return Trace{}, false
	}
	return t, true
}
