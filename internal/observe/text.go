package observe

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
)

// The lines that Lambda writes about an invocation, in its words and with its
// tabs.

func appendStartLine(dst []byte, requestID string, version uint64) []byte {
	dst = append(append(dst, "START RequestId: "...), requestID...)
	return strconv.AppendUint(append(dst, " Version: "...), version, 10)
}

func appendEndLine(dst []byte, requestID string) []byte {
	return append(append(dst, "END RequestId: "...), requestID...)
}

func appendReportLine(dst []byte, requestID string, r *gust.Report) []byte {
	dst = append(append(dst, "REPORT RequestId: "...), requestID...)
	dst = appendMillis(append(dst, "\tDuration: "...), r.Duration)
	dst = strconv.AppendInt(append(dst, "\tBilled Duration: "...), int64((r.Billed+time.Millisecond-1)/time.Millisecond), 10)
	dst = strconv.AppendInt(append(dst, " ms\tMemory Size: "...), r.MemorySize/gust.MB, 10)
	dst = strconv.AppendInt(append(dst, " MB\tMax Memory Used: "...), (r.MemoryUsed+gust.MB-1)/gust.MB, 10)
	dst = append(dst, " MB\t"...)
	if r.Init > 0 {
		dst = append(appendMillis(append(dst, "Init Duration: "...), r.Init), '\t')
	}
	switch r.Outcome {
	case gust.OutcomeOK, gust.OutcomeError:
	case gust.OutcomeTimeout:
		dst = append(dst, "Status: timeout\t"...)
	default:
		dst = append(append(append(dst, "Status: error\tError Type: "...), r.ErrorType...), '\t')
	}
	return dst
}

func appendMillis(dst []byte, d time.Duration) []byte {
	dst = strconv.AppendFloat(dst, float64(d)/float64(time.Millisecond), 'f', 2, 64)
	return append(dst, " ms"...)
}

// appendFailure appends what Lambda writes, before the END, of an invocation that
// its program did not end: with the newlines.
func appendFailure(dst []byte, now time.Time, r *gust.Report) []byte {
	switch r.Outcome {
	case gust.OutcomeOK, gust.OutcomeError:
		return dst
	case gust.OutcomeTimeout:
		dst = now.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
		dst = append(dst, ' ')
		if !strings.HasPrefix(r.ErrorMessage, r.RequestID) {
			dst = append(append(dst, r.RequestID...), ' ')
		}
		return append(append(dst, r.ErrorMessage...), "\n\n"...)
	default:
		dst = append(append(dst, "RequestId: "...), r.RequestID...)
		dst = append(append(dst, " Error: "...), r.ErrorMessage...)
		return append(append(append(dst, '\n'), r.ErrorType...), '\n')
	}
}

// AppendText appends r as one line for people, with its newline: the time, the
// function, the environment's first characters, and then what Lambda's log would
// show. Control characters are shown as escapes, so that a program's output
// cannot steer the reader's terminal.
func AppendText(dst []byte, r *Record) []byte {
	dst = r.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(append(dst, ' '), r.Function...)
	if r.Environment != "" {
		dst = append(append(dst, ' '), r.Environment[:min(len(r.Environment), 8)]...)
	}
	dst = append(dst, ' ')
	switch r.Kind {
	case KindStart:
		dst = appendStartLine(dst, r.RequestID, r.Version)
	case KindEnd:
		dst = appendEndLine(dst, r.RequestID)
	case KindReport:
		if r.Report == nil {
			break
		}
		dst = appendReportLine(dst, r.RequestID, r.Report)
		if r.Report.Cold != "" {
			dst = append(append(dst, "Cold Start: "...), r.Report.Cold...)
			if r.Report.Pooled {
				dst = append(dst, ", pooled"...)
			}
			dst = append(dst, '\t')
		}
		dst = append(append(dst, "Outcome: "...), r.Report.Outcome...)
		if message := r.Report.ErrorMessage; message != "" {
			dst = appendVisible(append(dst, '\t'), r.Report.ErrorType+": "+message)
		}
	case KindDropped:
		if r.Dropped == nil {
			break
		}
		dst = strconv.AppendUint(append(dst, "DROPPED "...), r.Dropped.Lines, 10)
		dst = strconv.AppendUint(append(dst, " lines, "...), r.Dropped.Bytes, 10)
		dst = append(dst, " bytes: over the limit of what may be logged"...)
	case KindInitError:
		dst = appendVisible(append(dst, "INIT_ERROR "...), r.Message)
	default:
		dst = appendVisible(dst, r.Message)
	}
	return append(dst, '\n')
}

// appendVisible appends s with every control character but tab as Go writes it.
func appendVisible(dst []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(c rune) bool { return hidden(c) || c == utf8.RuneError }) {
		return append(dst, s...)
	}
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && n == 1: // also C1 controls of an 8-bit terminal
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'x', digits[s[i]>>4], digits[s[i]&15])
		case hidden(c):
			quoted := strconv.AppendQuoteRune(nil, c)
			dst = append(dst, quoted[1:len(quoted)-1]...)
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

// hidden are controls and the marks that reorder text.
func hidden(c rune) bool {
	return c < ' ' && c != '\t' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x2028 || c == 0x2029
}
