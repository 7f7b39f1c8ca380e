package gust

import "testing"

func TestClip(t *testing.T) {
	for s, want := range map[string]string{"": "", "12345678": "12345678", "123456789": "12345...", "1234\u00e46789": "1234...", "\xff\xff3456789": "\xff\xff345..."} {
		if got := Clip(s, 8); got != want {
			t.Errorf("%q is clipped to %q, want %q", s, got, want)
		}
	}
}
