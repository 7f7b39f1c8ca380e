package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/store"
)

// Whoever can write to the store can change the log, and Verify says which
// record it was.
func TestTampering(t *testing.T) {
	get := func(tx *store.Tx, seq uint64) stored {
		v, err := tx.Get(recordKey(seq))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := parseStored(v)
		return s
	}
	put := func(tx *store.Tx, seq uint64, s stored) { tx.Set(recordKey(seq), s.bytes()) }
	// edit changes what a record says.
	edit := func(s stored, f func(*Record)) stored {
		var r Record
		if err := json.Unmarshal(s.body, &r); err != nil {
			t.Fatal(err)
		}
		f(&r)
		s.body, _ = json.Marshal(&r)
		return s
	}
	mallory := func(r *Record) { r.Principal = "arn:aws:iam::000000000000:user/mallory" }
	set := func(tx *store.Tx, h head) {
		tx.Set(headKey, append(h.link.bytes(), byte(h.bytes>>56), byte(h.bytes>>48), byte(h.bytes>>40), byte(h.bytes>>32), byte(h.bytes>>24), byte(h.bytes>>16), byte(h.bytes>>8), byte(h.bytes)))
	}
	// rewrite makes the chain true again from a record on, as somebody who
	// knows how would.
	rewrite := func(tx *store.Tx, from uint64) {
		h, _ := readHead(tx)
		before := get(tx, from).before
		for seq := from; seq <= h.seq; seq++ {
			s := get(tx, seq)
			s.before, s.hash = before, sum(before, s.body)
			put(tx, seq, s)
			before = s.hash
		}
		h.hash = before
		set(tx, h)
	}

	// The log: what was trimmed through record 5 by 16, calls 6/7 and 8/9, and
	// calls that read, to 20.
	tests := []struct {
		name   string
		tamper func(tx *store.Tx)
		want   string // the first problem; "" is none without the head that was kept
		kept   string // and with it
	}{
		{"nothing", func(*store.Tx) {}, "", ""},
		{"a word", func(tx *store.Tx) { put(tx, 12, edit(get(tx, 12), mallory)) }, "12: its hash is not that of what it says: it was changed", ""},
		{"a word and its hash", func(tx *store.Tx) {
			s := edit(get(tx, 12), mallory)
			s.hash = sum(s.before, s.body)
			put(tx, 12, s)
		}, "13: it does not follow on record 12", ""},
		{"garbage", func(tx *store.Tx) { tx.Set(recordKey(12), []byte("x")) }, "12: it cannot be read", ""},
		{"the last one, and its hash", func(tx *store.Tx) {
			s := edit(get(tx, 20), mallory)
			s.hash = sum(s.before, s.body)
			put(tx, 20, s)
		}, "20: it is not the record that was written last", ""},
		{"one is removed", func(tx *store.Tx) { tx.Delete(recordKey(12)) }, "12: it is missing: it was removed", ""},
		{"some are removed", func(tx *store.Tx) {
			for seq := uint64(12); seq < 15; seq++ {
				tx.Delete(recordKey(seq))
			}
		}, "12: it is missing, with all up to 14", ""},
		{"one is removed, and the others move up", func(tx *store.Tx) {
			for seq := uint64(12); seq < 20; seq++ {
				put(tx, seq, get(tx, seq+1))
			}
			tx.Delete(recordKey(20))
		}, "12: it says that it is record 13", ""},
		{"the newest are removed", func(tx *store.Tx) { tx.Delete(recordKey(19)); tx.Delete(recordKey(20)) }, "19: the newest records are missing, up to 20", ""},
		{"the oldest are removed", func(tx *store.Tx) { tx.Delete(recordKey(6)); tx.Delete(recordKey(7)) }, "6: it is missing, with all up to 7", ""},
		{"the oldest are removed, and the anchor moves", func(tx *store.Tx) {
			tx.Delete(recordKey(6))
			tx.Delete(recordKey(7))
			tx.Set(anchorKey, link{7, get(tx, 8).before}.bytes())
		}, "20: all records have", ""},
		{"the oldest are removed, and all is set right but the log", func(tx *store.Tx) {
			h, _ := readHead(tx)
			for seq := uint64(6); seq <= 7; seq++ {
				h.bytes -= int64(len(recordKey(seq)) + len(get(tx, seq).bytes()))
				tx.Delete(recordKey(seq))
			}
			tx.Set(anchorKey, link{7, get(tx, 8).before}.bytes())
			set(tx, h)
		}, "7: the oldest records were removed through this one, and the log says that it was \"5:", ""},
		{"two change places", func(tx *store.Tx) {
			a, b := get(tx, 12), get(tx, 13)
			put(tx, 12, b)
			put(tx, 13, a)
		}, "12: it says that it is record 13", ""},
		{"two change places and numbers", func(tx *store.Tx) {
			a, b := get(tx, 12), get(tx, 13)
			put(tx, 12, edit(b, func(r *Record) { r.Seq = 12 }))
			put(tx, 13, edit(a, func(r *Record) { r.Seq = 13 }))
		}, "12: its hash is not", ""},
		{"one is put in behind", func(tx *store.Tx) {
			s := edit(get(tx, 20), func(r *Record) { r.Seq = 21; mallory(r) })
			s.before = get(tx, 20).hash
			s.hash = sum(s.before, s.body)
			put(tx, 21, s)
		}, "21: it is behind the newest record", ""},
		{"one is put in before", func(tx *store.Tx) { put(tx, 3, get(tx, 12)) }, "3: it stands before the oldest", ""},
		{"one is put in beside", func(tx *store.Tx) { tx.Set([]byte("record/x"), nil) }, "the key", ""},
		{"the end of a call goes, and all is written anew", func(tx *store.Tx) {
			put(tx, 9, edit(get(tx, 12), func(r *Record) { r.Seq = 9 }))
			rewrite(tx, 9)
		}, "8: the call began, and its end is missing", ""},
		{"all is written anew", func(tx *store.Tx) {
			put(tx, 12, edit(get(tx, 12), func(r *Record) { r.Code = "x" }))
			h, _ := readHead(tx)
			h.bytes += int64(len(`,"code":"x"`))
			set(tx, h)
			rewrite(tx, 12)
		}, "", "20: it is not the record of the head that was kept"},
		{"the log is set back", func(tx *store.Tx) {
			h, _ := readHead(tx)
			for seq := uint64(19); seq <= 20; seq++ {
				h.bytes -= int64(len(recordKey(seq)) + len(get(tx, seq).bytes()))
				tx.Delete(recordKey(seq))
			}
			h.link = link{18, get(tx, 18).hash}
			set(tx, h)
		}, "", "20: the head that was kept is of a newer record than the newest, 18"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c clock
			c.at.Store(time.Now().UnixNano())
			s := openStore(t, store.Options{Now: c.now, Steady: c.steady})
			l := open(t, s, Options{MaxAge: time.Hour})
			for i := range 5 {
				ok(t, l.Add(t.Context(), do(fmt.Sprint("a:Gone", i))))
			}
			c.advance(2 * time.Hour)
			for range 2 {
				e, err := l.Begin(t.Context(), do("a:Call"))
				ok(t, err)
				ok(t, e.End(t.Context(), OK, "", nil))
			}
			for i := range 10 {
				if i == 6 {
					ok(t, l.trim(t.Context())) // record 16
				} else {
					ok(t, l.Add(t.Context(), do("a:Read")))
				}
			}
			ok(t, l.Add(t.Context(), do("a:Read")))
			sum := whole(t, l)
			if !strings.HasPrefix(sum.Head, "20:") || sum.Trimmed != 5 {
				t.Fatalf("%+v", sum)
			}
			ok(t, s.Update(t.Context(), partition, func(tx *store.Tx) error { tt.tamper(tx); return nil }))
			for _, look := range []struct{ head, want string }{{"", tt.want}, {sum.Head, max(tt.want, tt.kept)}} {
				got, err := l.Verify(t.Context(), look.head)
				ok(t, err)
				var lines []string
				for _, p := range got.Problems {
					lines = append(lines, fmt.Sprintf("%d: %s", p.Record, p.Text))
				}
				text := strings.Join(lines, "\n")
				if look.want == "" && text != "" || !strings.Contains(text, look.want) {
					t.Errorf("with the head %.10q it finds\n%s\nwant %q", look.head, text, look.want)
				}
			}
		})
	}
}

func TestHeadsThatAreNone(t *testing.T) {
	l := open(t, openStore(t, store.Options{}), Options{})
	for _, head := range []string{"x", "1", "1:", ":00", "1:zz", "1:00", "-1:" + strings.Repeat("0", 64), "1:" + strings.Repeat("0", 66)} {
		if _, err := l.Verify(t.Context(), head); err == nil || !strings.Contains(err.Error(), "NUMBER:HASH") {
			t.Errorf("%q: %v", head, err)
		}
	}
}

// A log whose head is gone or set back is not written over.
func TestALostHeadIsRefused(t *testing.T) {
	s := openStore(t, store.Options{})
	l := open(t, s, Options{})
	ok(t, l.Add(t.Context(), do("a:B")))
	ok(t, l.Close())
	ok(t, s.Update(t.Context(), partition, func(tx *store.Tx) error { return tx.Delete(headKey) }))
	if _, err := Open(t.Context(), s, Options{}); err == nil || !strings.Contains(err.Error(), "head was removed") {
		t.Errorf("it opens: %v", err)
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"*", "x", true}, {"a*c", "abbc", true}, {"a*c", "abcd", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"**", "x", true}, {"a", "b", false}, {"a", "ab", false}, {"*b*b", "abb", true}, {"*ab", "aab", true}, {"iam:*", "iam:X", true},
	} {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}
