package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// standard is s as encoding/json writes it without HTML escaping.
func standard(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var awkward = []string{
	"", "a", `"`, `\`, "\x00\x01\x1f\x7f", "\b\f\n\r\t", "<&>", "é", "日本", "\u2028\u2029\u202a", "😀",
	"\xff", "a\xc3", "\xed\xa0\x80", "ok\xf0\x9f\x98", "\ufffd", strings.Repeat("x", 5000) + "\n",
}

func TestAppendQuoted(t *testing.T) {
	for _, s := range awkward {
		if got := string(appendQuoted(nil, s)); got != standard(t, s) {
			t.Errorf("%q is %s, encoding/json writes %s", s, got, standard(t, s))
		}
	}
}

func FuzzAppendQuoted(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := standard(t, s)
		if got := string(appendQuoted(nil, s)); got != want {
			t.Errorf("%q is %s, encoding/json writes %s", s, got, want)
		}
		if got := string(appendQuoted([]byte("x"), []byte(s))); got != "x"+want {
			t.Errorf("as bytes %q is %s, encoding/json writes %s", s, got, want)
		}
	})
}

// accepts reports whether the scanner takes data as one JSON text.
func accepts(data []byte) bool {
	s := scanner{data: data}
	if _, err := s.value(); err != nil {
		return false
	}
	return s.end() == nil
}

func TestScannerAcceptsJSON(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, ` [ ] `: true, `null`: true, `true`: true, `false`: true, `0`: true, `-0`: true, `-1.5e+10`: true, `1E5`: true,
		`"a\u00e9\"\\\/\b\f\n\r\t"`: true, `{"a":[1,{"b":null}],"c":""}`: true, "\t\r\n 1\n": true,
		``: false, ` `: false, `{`: false, `{]`: false, `{"a"}`: false, `{"a":}`: false, `{"a":1,}`: false, `{a:1}`: false, `[1,]`: false,
		`[1 2]`: false, `01`: false, `1.`: false, `.5`: false, `-`: false, `1e`: false, `+1`: false, `nul`: false, `nulls`: false, `tru`: false,
		`"`: false, `"\"`: false, `"\x"`: false, `"\u12g4"`: false, `"\u12`: false, "\"\n\"": false, "\"\x00\"": false, `1 1`: false, `{}x`: false, "\x00": false,
		`{"a":1 "b":2}`: false, `'a'`: false, `NaN`: false, "\ufeff{}": false,
		strings.Repeat("[", 9000) + strings.Repeat("]", 9000): true,
		strings.Repeat("[", 10002):                            false,
		strings.Repeat("[", 1e6) + strings.Repeat("]", 1e6):   false,
	} {
		if got := accepts([]byte(text)); got != want {
			t.Errorf("%.60q accepted: %v", text, got)
		}
		if got := json.Valid([]byte(text)); got != want {
			t.Errorf("encoding/json accepts %.60q: %v", text, got)
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e3,true,false,null,"x\u0041\ud83d\ude00\ud800"]}`))
	f.Add([]byte(`"\ud83d\u0041"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		valid := json.Valid(data)
		if accepts(data) != valid {
			t.Fatalf("%q: accepted %v, encoding/json %v", data, !valid, valid)
		}
		var want string
		if !valid || json.Unmarshal(data, &want) != nil || bytes.TrimSpace(data)[0] != '"' {
			return
		}
		s := scanner{data: data}
		s.peek()
		v, err := s.string()
		if err != nil {
			t.Fatal(err)
		}
		// Bytes that are not UTF-8 are passed on here and replaced there.
		if got := v.String(); got != want && utf8.Valid(data) {
			t.Fatalf("%q means %q, encoding/json says %q", data, got, want)
		}
		if !v.is(v.String()) {
			t.Fatalf("%q is not itself", data)
		}
	})
}
