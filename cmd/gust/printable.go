package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Whatever a server or a function says can hold characters that a screen obeys:
// all that is printed of it goes through one of these.

// printable is s for one line of a screen: what would steer the terminal, or turn
// the order in which it shows text, is shown as what it is. Tabs are kept.
func printable(s string) string {
	return escape(s, steers, func(r rune) string {
		if r < 0x100 {
			return fmt.Sprintf(`\x%02x`, r)
		}
		return fmt.Sprintf(`\u%04x`, r)
	})
}

// printableJSON does the same to JSON, which means the same afterwards. Ends of
// lines are kept, as those of Unix.
func printableJSON(s string) string {
	return escape(strings.ReplaceAll(s, "\r\n", "\n"), steersLines, func(r rune) string { return fmt.Sprintf(`\u%04x`, r) })
}

func escape(s string, which func(rune) bool, as func(rune) string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if strings.IndexFunc(s, which) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if which(r) {
			b.WriteString(as(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// steers tells of the control characters (C0 and C1 of ECMA-48), and of those that
// override and isolate the direction of text (UAX #9).
func steers(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func steersLines(r rune) bool { return r != '\n' && steers(r) }

// json prints values as JSON, each in one write.
func (t *terminal) json() *json.Encoder {
	e := json.NewEncoder(jsonWriter{t})
	e.SetEscapeHTML(false)
	return e
}

// jsonWriter takes whole values.
type jsonWriter struct{ to io.Writer }

func (w jsonWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, printableJSON(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// answer prints what a function answers as it comes: a file or a pipe gets it as
// it is, a screen only what it does not obey.
func (t *terminal) answer(from io.Reader) error {
	if !t.screen {
		_, err := io.Copy(t, from)
		return err
	}
	in, out := bufio.NewReader(from), bufio.NewWriter(t)
	for held := ""; ; {
		r, _, err := in.ReadRune()
		if held != "" && (err != nil || r != '\n') { // a return that ends no line
			out.WriteString(printable(held))
		}
		held = ""
		switch {
		case err == io.EOF:
			return out.Flush()
		case err != nil:
			out.Flush() //nolint:errcheck // the first error counts
			return err
		case r == '\r':
			held = "\r"
		case r == '\n':
			out.WriteByte('\n')
		default:
			out.WriteString(printable(string(r)))
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
