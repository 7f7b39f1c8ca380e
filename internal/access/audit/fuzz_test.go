package audit

import (
	"strings"
	"testing"
)

// A head is read back as it was written, and what is none is refused.
func FuzzParseLink(f *testing.F) {
	f.Add("")
	f.Add("7:")
	f.Add(link{7, hash{1}}.String())
	f.Add(link{1<<64 - 1, hash{}}.String() + "0")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := parseLink(s)
		if err != nil {
			return
		}
		if again, err := parseLink(k.String()); err != nil || again != k || len(strings.TrimLeft(s, "0")) > len(k.String())+1 {
			t.Errorf("%q is read as %v, and that as %v, %v", s, k, again, err)
		}
	})
}

// What is damaged on the disk is an error and no panic, and a record that can be
// read is written again to the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(stored{hash{1}, hash{2}, []byte(`{"seq":1,"kind":"call","time":"2026-01-31T12:00:00Z"}`)}.bytes())
	f.Add(stored{body: []byte(`{"seq":-1}`)}.bytes())
	f.Fuzz(func(t *testing.T, value []byte) {
		s, whole := parseStored(value)
		if whole && string(s.bytes()) != string(value) {
			t.Errorf("%x is written again as %x", value, s.bytes())
		}
		if r, err := decode(1, value); err == nil && (r == nil || !whole) {
			t.Errorf("%x is a record", value)
		}
	})
}
