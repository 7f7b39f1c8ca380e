package cbor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// value reads whatever comes next.
func value(r *Reader) (any, error) {
	k, err := r.Peek()
	if err != nil {
		return nil, err
	}
	switch k {
	case Null:
		_, err := r.Null()
		return nil, err
	case Bool:
		return r.Bool()
	case Int:
		return r.Int()
	case Float:
		return r.Float()
	case Bytes:
		return r.Bytes()
	case Text:
		return r.Text()
	case Time:
		return r.Time()
	case List:
		list := []any{}
		for err = r.List(); err == nil && r.More(); {
			var v any
			if v, err = value(r); err == nil {
				list = append(list, v)
			}
		}
		return list, err
	}
	m := map[string]any{}
	for err = r.Map(); err == nil && r.More(); {
		var key []byte
		if key, err = r.Key(); err == nil {
			m[string(key)], err = value(r)
		}
	}
	return m, err
}

func read(b []byte) (any, error) {
	r := NewReader(b)
	v, err := value(r)
	if err == nil {
		err = r.End()
	}
	return v, err
}

// write appends what value returns.
func write(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xf6)
	case bool:
		return AppendBool(dst, v)
	case int64:
		return AppendInt(dst, v)
	case float32:
		return AppendFloat32(dst, v)
	case float64:
		return AppendFloat(dst, v)
	case []byte:
		return AppendBytes(dst, v)
	case string:
		return AppendText(dst, v)
	case time.Time:
		return AppendTime(dst, v)
	case []any:
		dst = AppendList(dst, len(v))
		for _, item := range v {
			dst = write(dst, item)
		}
		return dst
	case map[string]any:
		dst = AppendOpenMap(dst)
		for key, item := range v {
			dst = write(AppendText(dst, key), item)
		}
		return AppendEnd(dst)
	}
	panic(fmt.Sprintf("%T", v))
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors are the examples of RFC 8949, appendix A, for what the protocol
// has.
func TestVectors(t *testing.T) {
	long := make([]any, 25)
	for i := range long {
		long[i] = int64(i + 1)
	}
	inner := map[string]any{"a": int64(1), "b": []any{int64(2), int64(3)}}
	for _, c := range []struct {
		in   string
		want any
		same bool // it is written like this too
	}{
		{"00", int64(0), true}, {"01", int64(1), true}, {"0a", int64(10), true}, {"17", int64(23), true}, {"1818", int64(24), true},
		{"1819", int64(25), true}, {"1864", int64(100), true}, {"1903e8", int64(1000), true}, {"1a000f4240", int64(1000000), true},
		{"1b000000e8d4a51000", int64(1000000000000), true}, {"20", int64(-1), true}, {"29", int64(-10), true}, {"3863", int64(-100), true},
		{"3903e7", int64(-1000), true}, {"1b7fffffffffffffff", int64(math.MaxInt64), true}, {"3b7fffffffffffffff", int64(math.MinInt64), true},
		{"1b0000000000000001", int64(1), false},
		{"f90000", 0.0, false}, {"f93c00", 1.0, false}, {"fb3ff199999999999a", 1.1, true}, {"f93e00", 1.5, false}, {"f97bff", 65504.0, false},
		{"fa47c35000", 100000.0, false}, {"fa7f7fffff", 3.4028234663852886e+38, false}, {"fb7e37e43c8800759c", 1.0e+300, true},
		{"f90001", 5.960464477539063e-8, false}, {"f90400", 0.00006103515625, false}, {"f9c400", -4.0, false}, {"fbc010666666666666", -4.1, true},
		{"f97c00", math.Inf(1), false}, {"f9fc00", math.Inf(-1), false}, {"fa7f800000", math.Inf(1), false}, {"fb7ff0000000000000", math.Inf(1), true},
		{"f4", false, true}, {"f5", true, true}, {"f6", nil, true}, {"f7", nil, false},
		{"c11a514b67b0", time.Unix(1363896240, 0).UTC(), true}, {"c1fb41d452d9ec200000", time.UnixMilli(1363896240500).UTC(), true},
		{"c120", time.Unix(-1, 0).UTC(), true}, {"d80100", time.Unix(0, 0).UTC(), false}, {"c1fbbfe0000000000000", time.UnixMilli(-500).UTC(), true},
		{"40", []byte{}, true}, {"4401020304", []byte{1, 2, 3, 4}, true}, {"60", "", true}, {"6161", "a", true}, {"6449455446", "IETF", true},
		{"62225c", `"\`, true}, {"62c3bc", "\u00fc", true}, {"63e6b0b4", "\u6c34", true}, {"64f0908591", "\U00010151", true},
		{"80", []any{}, true}, {"83010203", []any{int64(1), int64(2), int64(3)}, true},
		{"8301820203820405", []any{int64(1), []any{int64(2), int64(3)}, []any{int64(4), int64(5)}}, true},
		{"98190102030405060708090a0b0c0d0e0f101112131415161718181819", long, true}, {"9fff", []any{}, false},
		{"9f018202039f0405ffff", []any{int64(1), []any{int64(2), int64(3)}, []any{int64(4), int64(5)}}, false},
		{"a0", map[string]any{}, false}, {"a26161016162820203", inner, false}, {"bf61610161629f0203ffff", inner, false},
		{"826161a161626163", []any{"a", map[string]any{"b": "c"}}, false}, {"826161bf61626163ff", []any{"a", map[string]any{"b": "c"}}, true},
		{"5f42010243030405ff", []byte{1, 2, 3, 4, 5}, false}, {"7f657374726561646d696e67ff", "streaming", false},
		{"a17f61616162ff01", map[string]any{"ab": int64(1)}, false},
	} {
		got, err := read(unhex(t, c.in))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is %#v, %v; want %#v", c.in, got, err, c.want)
		}
		if out := hex.EncodeToString(write(nil, c.want)); c.same && out != c.in {
			t.Errorf("%#v is written as %s, want %s", c.want, out, c.in)
		}
	}
	if f, err := read(unhex(t, "f97e00")); err != nil || !math.IsNaN(f.(float64)) {
		t.Errorf("NaN is %v, %v", f, err)
	}
	if got := hex.EncodeToString(write(nil, float32(100000))); got != "fa47c35000" {
		t.Errorf("a number of 32 bits is written as %s", got)
	}
	if got := hex.EncodeToString(AppendMap(nil, 2)); got != "a2" {
		t.Errorf("a map of two is %s", got)
	}
	if got, err := read(AppendText(nil, "a\xffb")); err != nil || got != "a\uFFFDb" {
		t.Errorf("what is not UTF-8 is written as %q, %v", got, err)
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string]float64{"01": 1, "20": -1, "f93e00": 1.5, "1b0020000000000000": 1 << 53} {
		if got, err := NewReader(unhex(t, in)).Float(); err != nil || got != want {
			t.Errorf("%s is %v, %v", in, got, err)
		}
	}
	for in, what := range map[string]string{"1b0020000000000001": "exactly", "1b7fffffffffffffff": "exactly", "f5": "a boolean"} {
		if _, err := NewReader(unhex(t, in)).Float(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s as a number: %v", in, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for in, what := range map[string]string{
		"":                             "byte 0 its end",
		"19ff":                         "its end is missing",
		"1c":                           "0x1c",
		"1f":                           "0x1f",
		"ff":                           "a stop",
		"f0":                           "simple value 16",
		"f818":                         "simple value 24",
		"1b8000000000000000":           "64 bits",
		"3b8000000000000000":           "64 bits",
		"c249010000000000000000":       "tag 2",
		"c074323031332d30332d32315432": "tag 0",
		"d9d9f700":                     "tag 55799",
		"c119":                         "its end is missing",
		"c16161":                       "text, where a number",
		"c1c100":                       "a time, where a number",
		"c1fb7ff8000000000000":         "years",
		"c11b7fffffffffffffff":         "exactly",
		"c11b0000ffffffffffff":         "years",
		"61ff":                         "not UTF-8",
		"6261":                         "length of 2, and 1 bytes follow",
		"5bffffffffffffffff":           "length of 18446744073709551615",
		"7f61c3":                       "not UTF-8",
		"7f4161ff":                     "pieces",
		"7f7f6161ffff":                 "pieces",
		"7f6161":                       "its end",
		"9bffffffffffffffff":           "a list of 18446744073709551615, and 0",
		"9a00100000":                   "a list of 1048576",
		"bb7fffffffffffffff":           "a map of 9223372036854775807",
		"a201":                         "a map of 2",
		"a10102":                       "an integer, where text",
		"a161ff01":                     "key",
		"bf6161ff":                     "a stop",
		"bf":                           "its end",
		"9f":                           "its end",
		"8201":                         "a list of 2, and 1 bytes",
		"0001":                         "more, after its end",
	} {
		b := unhex(t, in)
		_, err := read(b)
		if !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want %q", in, err, what)
		}
	}
	for _, c := range []struct {
		in   string
		read func(*Reader) error
		what string
	}{
		{"6161", func(r *Reader) error { _, err := r.Int(); return err }, "text, where an integer"},
		{"01", func(r *Reader) error { _, err := r.Text(); return err }, "an integer, where text"},
		{"6161", func(r *Reader) error { _, err := r.Bytes(); return err }, "text, where bytes"},
		{"80", func(r *Reader) error { return r.Map() }, "a list, where a map"},
		{"a0", func(r *Reader) error { return r.List() }, "a map, where a list"},
		{"00", func(r *Reader) error { _, err := r.Bool(); return err }, "an integer, where a boolean"},
		{"00", func(r *Reader) error { _, err := r.Time(); return err }, "an integer, where a time"},
		{"f93c00", func(r *Reader) error { _, err := r.Int(); return err }, "a floating-point number, where an integer"},
	} {
		if err := c.read(NewReader(unhex(t, c.in))); err == nil || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v, want %q", c.in, err, c.what)
		}
	}
}

// TestBombs: what claims much, or is deep, is refused before it costs anything.
func TestBombs(t *testing.T) {
	for name, in := range map[string][]byte{
		"lists in lists":         bytes.Repeat([]byte{0x81}, 1<<20),
		"endless lists in lists": bytes.Repeat([]byte{0x9f}, 1<<20),
		"endless maps in maps":   bytes.Repeat([]byte{0xbf, 0x60}, 1<<20),
		"tags on tags":           bytes.Repeat([]byte{0xc1}, 1<<20),
		"a length of bytes":      {0x5b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a length of a list":     {0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a length of a map":      {0xbb, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff},
		"empty pieces":           append(bytes.Repeat([]byte{0x40}, 1<<20), 0x41),
	} {
		if name == "empty pieces" {
			in[0] = 0x5f
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := read(in)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 64<<10 {
			t.Errorf("%s: %v, and %d bytes were taken", name, err, n)
		}
	}
	deep := append(bytes.Repeat([]byte{0x81}, MaxDepth), 0x01)
	if _, err := read(deep); err != nil {
		t.Errorf("%d deep: %v", MaxDepth, err)
	}
	if _, err := read(append([]byte{0x81}, deep...)); err == nil || !strings.Contains(err.Error(), "128 deep") {
		t.Errorf("%d deep: %v", MaxDepth+1, err)
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{"a26161016162820203", "bf61610161629f0203ffff", "c1fb41d452d9ec200000", "7f657374726561646d696e67ff", "5f42010243030405ff",
		"f97e00", "9bffffffffffffffff", "83f4f6f7", "a3616d19012c616efa47c35000616f20"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := read(in)
		if err != nil {
			return
		}
		// Written, read and written again it is what it was: NaN equals nothing.
		again, err := read(write(nil, v))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(v) {
			t.Fatalf("%x is %v, and then %v, %v", in, v, again, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	in := write(nil, map[string]any{"Namespace": "shop", "MetricData": []any{map[string]any{"MetricName": "orders", "Value": 1.0, "Timestamp": time.UnixMilli(1700000000500),
		"Dimensions": []any{map[string]any{"Name": "zone", "Value": "a"}}}}})
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := read(in); err != nil {
			b.Fatal(err)
		}
	}
}
