package eventstream

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// TestVectors are the messages that AWS publishes with the format, in
// aws-c-event-stream and the SDKs' test suites.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []Header
		payload string
		want    string
	}{
		{"nothing", nil, "", "000000100000000005c248eb7d98c8ff"},
		{"a payload", nil, `{'foo':'bar'}`, "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"},
	} {
		got, err := Append([]byte("before"), c.headers, []byte(c.payload))
		if err != nil {
			t.Fatal(err)
		}
		if g := hex.EncodeToString(got[len("before"):]); g != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, g, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	many := make([]Header, 5)
	for i := range many {
		many[i] = Header{fmt.Sprint("n", i), strings.Repeat("v", maxHeaderValue)}
	}
	for _, c := range []struct {
		name    string
		headers []Header
		payload int
	}{
		{"payload", nil, MaxPayload + 1},
		{"no name", []Header{{"", "v"}}, 0},
		{"name", []Header{{strings.Repeat("n", 256), ""}}, 0},
		{"value", []Header{{"n", strings.Repeat("v", maxHeaderValue+1)}}, 0},
		{"headers", many, 0},
	} {
		b, err := Append([]byte("x"), c.headers, make([]byte, c.payload))
		if !errors.Is(err, gust.ErrTooLarge) || string(b) != "x" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := Append(nil, many[:3], make([]byte, MaxPayload)); err != nil {
		t.Error("at the limits:", err)
	}
}
