package suggest_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/suggest"
)

func TestWord(t *testing.T) {
	known := map[string]bool{"memory": true, "timeout": true, "env": true, "source": true}
	for got, want := range map[string]string{
		"memroy": "memory", "memor": "memory", "Memory": "memory", "TIMEOUT": "timeout", "evn": "env", "en": "env", "sauce": "source",
		"mmry": "", "x": "", "": "", "disk": "", strings.Repeat("x", 100): "",
	} {
		if want != "" {
			want = `, did you mean "` + want + `"?`
		}
		if s := suggest.Word(got, maps.Keys(known)); s != want {
			t.Errorf("%q suggests %q, want %q", got, s, want)
		}
	}
}
