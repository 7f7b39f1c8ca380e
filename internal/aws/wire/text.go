package wire

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"time"
)

// Formats of times, as the models call them.
const (
	isoTime  = "iso8601"
	unixTime = "unixTimestamp"
	httpTime = "rfc822"
)

var timeExample = map[string]string{
	isoTime: "2006-01-02T15:04:05Z", unixTime: "seconds since 1970", httpTime: "Mon, 02 Jan 2006 15:04:05 GMT",
}

// appendTime appends a time, to the millisecond.
func appendTime(dst []byte, format string, t time.Time) []byte {
	t = t.UTC().Truncate(time.Millisecond)
	switch format {
	case unixTime:
		ms := t.UnixMilli()
		if ms%1000 == 0 {
			return strconv.AppendInt(dst, ms/1000, 10)
		}
		return strconv.AppendFloat(dst, float64(ms)/1000, 'f', 3, 64)
	case httpTime:
		return t.AppendFormat(dst, http.TimeFormat)
	}
	if t.Nanosecond() == 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// parseTime reads a time of one of the years 1 to 9999.
func parseTime(format, s string) (time.Time, bool) {
	var t time.Time
	var err error
	switch format {
	case unixTime:
		var f float64
		if f, err = parseFloat(s, 64); err == nil {
			return timeOf(f)
		}
	case httpTime:
		t, err = http.ParseTime(s)
	default:
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return time.Time{}, false
	}
	return written(t)
}

// timeOf is the time of seconds since 1970, to the millisecond.
func timeOf(seconds float64) (time.Time, bool) {
	if !(math.Abs(seconds) < 1e12) { // NaN is not, either
		return time.Time{}, false
	}
	return written(time.UnixMilli(int64(math.Round(seconds * 1000))))
}

// written is t in UTC, if every protocol can write it there: of one of the years
// 1 to 9999.
func written(t time.Time) (time.Time, bool) {
	t = t.UTC()
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// parseFloat reads a number as the models have them.
func parseFloat(s string, bits int) (float64, error) {
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	for i := range len(s) { // ParseFloat takes more: 0x1p-2, 1_000, inf
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseFloat(s, bits)
}

// appendFloat appends a number as the models have them; odd ones in words.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// quoted is s for an error, not too long.
func quoted(s string) string { return fmt.Sprintf("%.120q", s) }

// write answers with a whole body.
func (x *exchange) write(status int, contentType string, body []byte) {
	h := x.w.Header()
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	if x.r.Method != http.MethodHead || len(h["Content-Length"]) == 0 { // the answer to HEAD says how long another would be
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.w.WriteHeader(status)
	x.w.Write(body) //nolint:errcheck // whoever asked has gone
}

// detail is the further members of an error.
func (s *service) detail(e *Error) (*structure, reflect.Value, bool) {
	if e.Detail == nil {
		return nil, reflect.Value{}, false
	}
	v := reflect.Indirect(reflect.ValueOf(e.Detail))
	plan := s.details[v.Type()]
	return plan, v, plan != nil
}

// speak sets the protocol of an exchange.
func (x *exchange) speak(p Protocol) {
	x.protocol = p
	switch p {
	case Query:
		x.codec = queryCodec{}
	case JSON10:
		x.codec = jsonCodec{contentType: "application/x-amz-json-1.0"}
	case RESTJSON:
		x.codec = restJSON{}
	case RESTXML:
		x.codec = restXML{}
	case CBOR:
		x.codec = cborCodec{}
	default:
		x.codec = jsonCodec{contentType: "application/x-amz-json-1.1"}
	}
}
