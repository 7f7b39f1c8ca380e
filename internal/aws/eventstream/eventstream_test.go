package eventstream

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// decode reads one message.
func decode(b []byte) (headers []Header, payload, rest []byte, err error) {
	r := bytes.NewReader(b)
	m, err := NewReader(r, 0).Next()
	if err != nil {
		return nil, nil, nil, err
	}
	return m.Headers, m.Payload, b[len(b)-r.Len():], nil
}

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

func TestEvent(t *testing.T) {
	b, err := AppendEvent(nil, "PayloadChunk", "application/octet-stream", []byte("abc"))
	if err != nil {
		t.Fatal(err)
	}
	headers, payload, rest, err := decode(b)
	if err != nil || len(rest) > 0 || string(payload) != "abc" {
		t.Fatal(payload, rest, err)
	}
	want := []Header{{":message-type", "event"}, {":event-type", "PayloadChunk"}, {":content-type", "application/octet-stream"}}
	if !slices.Equal(headers, want) {
		t.Error(headers)
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

func FuzzAppend(f *testing.F) {
	f.Add("name", "value", []byte("payload"), 3)
	f.Add("", "", []byte(nil), -1)
	f.Fuzz(func(t *testing.T, name, value string, payload []byte, flip int) {
		in := []Header{{name, value}, {":event-type", value}}
		b, err := Append(nil, in, payload)
		if err != nil {
			if name != "" && len(name) <= maxHeaderName && len(value) <= maxHeaderValue {
				t.Fatal(err)
			}
			return
		}
		headers, got, rest, err := decode(b)
		if err != nil || len(rest) > 0 || !bytes.Equal(got, payload) || !slices.Equal(headers, in) {
			t.Fatalf("%q %q %q came back as %v %q: %v", name, value, payload, headers, got, err)
		}
		if flip >= 0 && flip < 8*len(b) {
			b[flip/8] ^= 1 << (flip % 8)
			if _, _, _, err := decode(b); err == nil {
				t.Fatalf("a flipped bit %d was not noticed", flip)
			}
		}
	})
}
