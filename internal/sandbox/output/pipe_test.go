//go:build unix

package output_test

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/output"
)

// lines collects what a pipe delivers; read it after Close only.
type lines struct{ got []string }

func (l *lines) add(b []byte) { l.got = append(l.got, string(b)) }

func open(t testing.TB, emit func([]byte)) (*output.Pipe, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := output.New(r, emit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); p.Close() })
	return p, w
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", gust.MaxLogLine)
	for _, c := range []struct {
		name, written string
		want          []string
	}{
		{"nothing", "", nil},
		{"one line", "a\n", []string{"a"}},
		{"empty lines", "\n\na\n\n", []string{"", "", "a", ""}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"carriage returns are the program's", "a\r\n", []string{"a\r"}},
		{"longer than a buffer", long[:100_000] + "\nb\n", []string{long[:100_000], "b"}},
		{"exactly the limit", long + "\nb\n", []string{long, "b"}},
		{"exactly the limit, then an empty line", long + "\n\nb\n", []string{long, "", "b"}},
		{"over the limit comes in pieces", long + "yz\nb\n", []string{long, "yz", "b"}},
		{"twice the limit", long + long + "\nb", []string{long, long, "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l lines
			p, w := open(t, l.add)
			if _, err := w.WriteString(c.written); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(l.got, c.want) {
				t.Errorf("got %s, want %s", brief(l.got), brief(c.want))
			}
		})
	}
}

func brief(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "[%d]%.20q ", len(l), l)
	}
	return b.String()
}

func TestDrainDeliversWhatWasWrittenBeforeIt(t *testing.T) {
	var n atomic.Int64
	p, w := open(t, func([]byte) { n.Add(1) })
	for i := int64(1); i <= 2000; i++ {
		fmt.Fprintf(w, "line %d\n", i)
		p.Drain()
		if got := n.Load(); got != i {
			t.Fatalf("after Drain %d lines were delivered, want %d", got, i)
		}
	}
}

func TestDrainKeepsAnUnfinishedLine(t *testing.T) {
	var l lines
	p, w := open(t, l.add)
	w.WriteString("half")
	p.Drain()
	w.WriteString(" and half\n")
	w.Close()
	p.Close()
	if want := []string{"half and half"}; !reflect.DeepEqual(l.got, want) {
		t.Errorf("got %q, want %q", l.got, want)
	}
}

// A writer that never pauses cannot keep Drain, Tail or Close from returning.
func TestFlood(t *testing.T) {
	var n atomic.Int64
	p, w := open(t, func(line []byte) { n.Add(int64(len(line)) + 1) })
	stop, stopped, started := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		block := bytes.Repeat([]byte("flood flood flood\n"), 1000)
		w.Write(block)
		close(started)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}()
	<-started
	for range 50 {
		p.Drain()
		p.Tail()
	}
	p.Close() // with the writer still writing: it gets EPIPE
	close(stop)
	<-stopped
	if n.Load() == 0 {
		t.Error("nothing of the flood was delivered")
	}
}

func TestEndlessLineHoldsOneBufferAtMost(t *testing.T) {
	var total, longest int
	p, w := open(t, func(line []byte) { total += len(line); longest = max(longest, len(line)) })
	block := bytes.Repeat([]byte("z"), 64*gust.KB)
	for range 64 {
		w.Write(block)
	}
	w.Close()
	p.Close()
	if want := 64 * len(block); total != want || longest != gust.MaxLogLine {
		t.Errorf("delivered %d bytes in pieces of at most %d, want %d in at most %d", total, longest, want, gust.MaxLogLine)
	}
}

func TestTail(t *testing.T) {
	p, w := open(t, func([]byte) {})
	if got := p.Tail(); len(got) != 0 {
		t.Errorf("before any output: %q", got)
	}
	var all strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&all, "line %d\n", i)
		if i%7 == 0 || i == 2999 {
			s := all.String()
			fmt.Fprint(w, s[len(s)-min(len(s), 9):]) // pieces of odd lengths
			p.Drain()
		}
	}
	w.WriteString(strings.Repeat("-", 5000) + "the end")
	w.Close()
	p.Close()
	if got, want := string(p.Tail()), strings.Repeat("-", 4096-7)+"the end"; got != want {
		t.Errorf("the tail is %d bytes, ending in %q", len(got), got[max(0, len(got)-10):])
	}
}

func TestCloseIsTheEnd(t *testing.T) {
	var l lines
	p, w := open(t, l.add)
	w.WriteString("last words")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.Drain()
	p.Close()
	if want := []string{"last words"}; !reflect.DeepEqual(l.got, want) {
		t.Errorf("got %q, want %q", l.got, want)
	}
	if _, err := w.WriteString("too late"); err == nil {
		t.Error("writing to a closed pipe did not fail")
	}
}

func TestBlockingPipeIsRefused(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	r.Fd() // puts it in blocking mode
	if _, err := output.New(r, func([]byte) {}); err == nil || !strings.Contains(err.Error(), "blocking") {
		t.Errorf("got %v, want an error about blocking mode", err)
	}
}

// FuzzLines checks that whatever the pieces are, the lines are those of the
// whole.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), uint8(1))
	f.Add([]byte("\n\n"), uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		if len(data) > 60_000 { // must fit the pipe: nobody reads in parallel
			return
		}
		var l lines
		p, w := open(t, l.add)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			w.Write(rest[:n])
			rest = rest[n:]
			if piece%2 == 0 {
				runtime.Gosched()
			} else {
				p.Drain()
			}
		}
		w.Close()
		p.Close()
		want := strings.Split(string(data), "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		if strings.Join(l.got, "\n") != strings.Join(want, "\n") || len(l.got) != len(want) {
			t.Errorf("got %q, want %q", l.got, want)
		}
	})
}

func BenchmarkDrain(b *testing.B) {
	p, w := open(b, func([]byte) {})
	line := []byte("START RequestId: 6f0c4c1e-7f1e-4b6e-9b2e-2a54c7f7a3c1\n")
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Drain()
		}
	})
	b.Run("line", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Write(line)
			p.Drain()
		}
	})
}
