package eventstreamtest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/eventstream"
)

// decode reads one message.
func decode(b []byte) (headers []eventstream.Header, payload, rest []byte, err error) {
	r := bytes.NewReader(b)
	m, err := NewReader(r).Next()
	if err != nil {
		return nil, nil, nil, err
	}
	return m.Headers, m.Payload, b[len(b)-r.Len():], nil
}

// all is a message with a header of each type.
var all = []eventstream.Header{
	{Name: "true", Value: true}, {Name: "false", Value: false}, {Name: "byte", Value: int8(-1)}, {Name: "short", Value: int16(-2)}, {Name: "integer", Value: int32(-3)}, {Name: "long", Value: int64(-4)},
	{Name: "bytes", Value: []byte{0, 255}}, {Name: "string", Value: "\u00e4\U0001f32c"}, {Name: "timestamp", Value: time.UnixMilli(8675309).UTC()}, {Name: "uuid", Value: [16]byte{1, 2, 15: 9}},
}

// TestReadVectors are messages that AWS publishes with the format, in the suites
// of its SDKs.
func TestReadVectors(t *testing.T) {
	for _, c := range []struct {
		name, message string
		headers       []eventstream.Header
		payload       string
	}{
		{"nothing", "000000100000000005c248eb7d98c8ff", nil, ""},
		{"a payload", "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", nil, "{'foo':'bar'}"},
		{"an integer", "0000002d0000001041c424b80a6576656e742d747970650400 00a00c7b27666f6f273a27626172277d36f480a0", []eventstream.Header{{Name: "event-type", Value: int32(40972)}}, "{'foo':'bar'}"},
		{"a string", "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1",
			[]eventstream.Header{{Name: "content-type", Value: "application/json"}}, "{'foo':'bar'}"},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.message, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		headers, payload, rest, err := decode(b)
		if err != nil || len(rest) > 0 || string(payload) != c.payload || !reflect.DeepEqual(headers, c.headers) {
			t.Errorf("%s: %v %q, %d left, %v", c.name, headers, payload, len(rest), err)
		}
		if again, err := eventstream.Append(nil, c.headers, []byte(c.payload)); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s is written as %x, %v", c.name, again, err)
		}
	}
}

func TestReader(t *testing.T) {
	b, err := eventstream.Append(nil, all, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = eventstream.Append(b, []eventstream.Header{{Name: ":event-type", Value: "second"}}, bytes.Repeat([]byte("x"), 3*firstRead)); err != nil {
		t.Fatal(err)
	}
	r := NewReader(iotest.OneByteReader(bytes.NewReader(b)))
	m, err := r.Next()
	if err != nil || string(m.Payload) != "one" || !reflect.DeepEqual(m.Headers, all) {
		t.Fatalf("%+v, %v", m, err)
	}
	if m, err = r.Next(); err != nil || m.Headers[0].Value != "second" || len(m.Payload) != 3*firstRead {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err = r.Next(); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
	for n := 1; n < 40; n++ {
		if _, err := NewReader(bytes.NewReader(b[:n])).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// message makes one whose checksums are right, whatever stands in it.
func message(total, headers uint32, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, total)
	b = binary.BigEndian.AppendUint32(b, headers)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(b, rest...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func TestReaderRefuses(t *testing.T) {
	header := func(b ...byte) []byte { return message(uint32(16+len(b)), uint32(len(b)), b) }
	flip := func(at int) []byte {
		b := header(1, 'n', typeTrue)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want error
		text string
	}{
		{"the checksum of the lengths", flip(9), gust.ErrInvalid, "lengths"},
		{"the checksum", flip(18), gust.ErrInvalid, "checksum"},
		{"less than a message", message(15, 0, nil), gust.ErrInvalid, "cannot hold"},
		{"headers over the end", message(20, 5, make([]byte, 4)), gust.ErrInvalid, "cannot hold its headers of 5"},
		{"headers over the limit", message(1<<20, eventstream.MaxHeaders+1, nil), gust.ErrTooLarge, "131072"},
		{"a payload over the limit", message(eventstream.MaxPayload+17, 0, nil), gust.ErrTooLarge, "16777216"},
		{"a header without a name", header(0, typeTrue), gust.ErrInvalid, "name"},
		{"a name over the end", header(5, 'n', typeTrue), gust.ErrInvalid, "name of 5"},
		{"a type that is none", header(1, 'n', 10), gust.ErrInvalid, "type 10"},
		{"half a length", header(1, 'n', typeString, 0), gust.ErrInvalid, "before its value"},
		{"half a value", header(1, 'n', typeString, 0, 2, 'x'), gust.ErrInvalid, "value of 2"},
		{"half a number", header(1, 'n', typeLong, 1), gust.ErrInvalid, "value of 8"},
		{"a value over the limit", header(1, 'n', typeBytes, 0x80, 0), gust.ErrTooLarge, "32767"},
	} {
		if _, err := NewReader(bytes.NewReader(c.in)).Next(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestReaderTakesNoMemoryForPromises: a length alone costs nothing.
func TestReaderTakesNoMemoryForPromises(t *testing.T) {
	in := message(eventstream.MaxPayload, 0, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := NewReader(bytes.NewReader(in)).Next(); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 4*firstRead {
		t.Errorf("a promise of %d bytes took %d", eventstream.MaxPayload, n)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("name", "value", []byte("payload"), 3)
	f.Add("", "", []byte(nil), -1)
	f.Fuzz(func(t *testing.T, name, value string, payload []byte, flip int) {
		in := []eventstream.Header{{Name: name, Value: value}, {Name: ":event-type", Value: value}}
		b, err := eventstream.Append(nil, in, payload)
		if err != nil {
			if name != "" && len(name) <= 255 && len(value) <= maxHeaderValue {
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

func FuzzReader(f *testing.F) {
	b, err := eventstream.Append(nil, all, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(message(20, 4, []byte{1, 'n', typeShort, 0}))
	f.Add(message(eventstream.MaxPayload, 0, nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for stream := NewReader(r); ; {
			left := r.Len()
			m, err := stream.Next()
			if err != nil {
				return
			}
			read := in[len(in)-left : len(in)-r.Len()]
			if again, err := eventstream.Append(nil, m.Headers, m.Payload); err != nil || !bytes.Equal(again, read) {
				t.Fatalf("%x came back as %x: %v", read, again, err)
			}
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	headers := []eventstream.Header{{Name: ":message-type", Value: "event"}, {Name: ":event-type", Value: "PayloadChunk"}, {Name: ":content-type", Value: "application/octet-stream"}}
	payload := make([]byte, 256)
	message, err := eventstream.Append(nil, headers, payload)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(message)))
		for buf := []byte(nil); b.Loop(); {
			if buf, err = eventstream.Append(buf[:0], headers, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(message)))
		in := bytes.NewReader(message)
		r := NewReader(in)
		for b.Loop() {
			in.Reset(message)
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
