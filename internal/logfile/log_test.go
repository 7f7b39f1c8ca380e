package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func open(t testing.TB, o Options) *Log {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "logs")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		seq, err := l.Append(epoch.Add(time.Duration(i)*time.Second), fmt.Appendf(nil, "record %d", i))
		if err != nil || seq != uint64(i) {
			t.Fatalf("append %d: %d, %v", i, seq, err)
		}
	}
}

// read is what a reader gets, in short: runs of numbers, losses and errors.
func read(l *Log, from Position) string {
	var out []string
	first, last := uint64(0), uint64(0)
	end := func() {
		if first > 0 {
			out = append(out, fmt.Sprintf("%d-%d", first, last))
		}
		first = 0
	}
	for e, err := range l.Read(context.Background(), from, false) {
		var lost *LostError
		switch {
		case errors.As(err, &lost):
			end()
			s := fmt.Sprintf("lost %d-%d", lost.First, lost.First+lost.Records-1)
			if lost.File != "" {
				s += " damaged"
			}
			out = append(out, s)
		case err != nil:
			end()
			out = append(out, err.Error())
		case string(e.Payload) != fmt.Sprintf("record %d", e.Seq):
			out = append(out, fmt.Sprintf("%d is %q", e.Seq, e.Payload))
		default:
			if first == 0 {
				first = e.Seq
			}
			last = e.Seq
		}
	}
	end()
	return strings.Join(out, ", ")
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWhatIsAppendedIsReadAtOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	l := open(t, Options{Dir: dir, SegmentBytes: 2000, SyncEvery: time.Hour})
	if got := read(l, Position{}); got != "" {
		t.Errorf("an empty log gives %q", got)
	}
	add(t, l, 1, 100)
	if got := read(l, Position{}); got != "1-100" {
		t.Errorf("unsynced: %s", got)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	add(t, l, 101, 50)
	for from, want := range map[Position]string{
		{}:                                    "1-150",
		{Seq: 1}:                              "1-150",
		{Seq: 70}:                             "70-150",
		{Seq: 120}:                            "120-150",
		{Seq: 151}:                            "",
		{Time: epoch}:                         "1-150",
		{Time: epoch.Add(33 * time.Second)}:   "33-150",
		{Time: epoch.Add(140 * time.Second)}:  "140-150",
		{Time: epoch.Add(time.Hour)}:          "",
		{Seq: 50, Time: epoch.Add(time.Hour)}: "",
	} {
		if got := read(l, from); got != want {
			t.Errorf("from %+v: %s, want %s", from, got, want)
		}
	}
	if n := len(segments(t, dir)); n < 2 {
		t.Errorf("%d segments of 2000 bytes for 4 KB", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(epoch, nil); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("appending to a closed log: %v", err)
	}
	if err := l.Sync(); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("syncing a closed log: %v", err)
	}
	l = open(t, Options{Dir: dir})
	add(t, l, 151, 1)
	if got := read(l, Position{}); got != "1-151" {
		t.Errorf("after reopening: %s", got)
	}
	for _, f := range segments(t, dir) {
		if st, err := os.Stat(f); err != nil || st.Size() > 2100 {
			t.Errorf("segment %s: %v, %v", f, st.Size(), err)
		}
	}
}

func TestFollow(t *testing.T) {
	l := open(t, Options{SegmentBytes: 3000, SyncEvery: time.Millisecond})
	add(t, l, 1, 10)
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	const n = 2000
	var followers, all sync.WaitGroup
	for _, from := range []uint64{0, 5, l.Next()} {
		all.Add(1)
		followers.Go(func() {
			want := max(from, 1)
			var last error
			for e, err := range l.Read(ctx, Position{Seq: from}, true) {
				if last = err; err == nil && e.Seq != want {
					t.Errorf("follower from %d got %d, want %d", from, e.Seq, want)
				}
				if want++; want == n+1 {
					all.Done()
				}
			}
			if !errors.Is(last, enough) {
				t.Errorf("follower from %d ended with %v", from, last)
			}
		})
	}
	var appenders sync.WaitGroup
	for range 4 {
		appenders.Go(func() {
			for seq := uint64(0); seq < n; {
				var err error
				if seq, err = l.Append(epoch, []byte("line")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appenders.Wait()
	all.Wait()
	cancel(enough)
	followers.Wait()
}

func TestFollowersEndWithTheLog(t *testing.T) {
	l := open(t, Options{})
	add(t, l, 1, 1)
	saw, ended := make(chan bool), make(chan error)
	go func() {
		for _, err := range l.Read(context.Background(), Position{}, true) {
			if err != nil {
				ended <- err
				return
			}
			saw <- true
		}
	}()
	<-saw
	l.Close()
	if err := <-ended; !errors.Is(err, gust.ErrClosing) {
		t.Error(err)
	}
}

func TestTornTailIsCut(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	l := open(t, Options{Dir: whole})
	add(t, l, 1, 20)
	l.Close()
	file := segments(t, whole)[0]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	size := recordHeader + len("record 20")
	for cut := 1; cut < 2*size; cut++ {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(cut))
		os.MkdirAll(dir, 0o700)
		path := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(path, data[:len(data)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		left := 20 - (cut+size-1)/size
		if err := Check(context.Background(), dir, func(file string, err error) {}); err != nil {
			t.Errorf("cut %d: the check takes a torn tail for damage: %v", cut, err)
		}
		l := open(t, Options{Dir: dir})
		add(t, l, left+1, 2)
		if got, want := read(l, Position{}), fmt.Sprintf("1-%d", left+2); got != want {
			t.Errorf("cut %d: %s, want %s", cut, got, want)
		}
		l.Close()
		l = open(t, Options{Dir: dir})
		if got, want := read(l, Position{}), fmt.Sprintf("1-%d", left+2); got != want {
			t.Errorf("cut %d, opened again: %s, want %s", cut, got, want)
		}
		l.Close()
	}
}

func TestDamageIsSkippedAndCounted(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	l := open(t, Options{Dir: src, SegmentBytes: 1000})
	add(t, l, 1, 60)
	l.Close()
	files := segments(t, src)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, file := range files[:len(files)-1] {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			at := rng.IntN(len(data))
			dir := filepath.Join(t.TempDir(), "logs")
			if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
				t.Fatal(err)
			}
			bad := append([]byte(nil), data...)
			bad[at] ^= 1 << rng.IntN(8)
			path := filepath.Join(dir, filepath.Base(file))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			var named string
			if err := Check(context.Background(), dir, func(f string, err error) {
				if err != nil {
					named = f
				}
			}); !errors.Is(err, gust.ErrCorrupt) || named != path {
				t.Errorf("byte %d of %s: the check gives %v and names %s", at, file, err, named)
			}
			l := open(t, Options{Dir: dir})
			seen, lost := uint64(0), uint64(0)
			for e, err := range l.Read(context.Background(), Position{Seq: 1}, false) {
				var gap *LostError
				if errors.As(err, &gap) {
					if lost += gap.Records; gap.File != path || !errors.Is(err, gust.ErrCorrupt) {
						t.Errorf("the loss names %q, want %q", gap.File, path)
					}
					continue
				}
				if err != nil || string(e.Payload) != fmt.Sprintf("record %d", e.Seq) {
					t.Fatalf("byte %d: record %d is %q, %v", at, e.Seq, e.Payload, err)
				}
				seen++
			}
			if seen+lost != 60 || lost > 1 || lost == 0 && at >= segmentHeader {
				t.Errorf("byte %d of %s: %d seen and %d lost", at, filepath.Base(file), seen, lost)
			}
			l.Close()
		}
	}
}

func TestDamageInTheNewestSegmentBeforeItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	l := open(t, Options{Dir: dir})
	add(t, l, 1, 10)
	l.Close()
	file := segments(t, dir)[0]
	data, _ := os.ReadFile(file)
	data[segmentHeader+3*(recordHeader+8)+4] ^= 0xff // the length of record 4
	os.WriteFile(file, data, 0o600)
	l = open(t, Options{Dir: dir})
	if got := read(l, Position{Seq: 1}); got != "1-3, lost 4-4 damaged, 5-10" {
		t.Error(got)
	}
	// Damage that comes while the log is open is met by the next reader.
	data[segmentHeader+9*(recordHeader+8)+recordHeader] ^= 1
	os.WriteFile(file, data, 0o600)
	if got := read(l, Position{Seq: 6}); got != "6-9, lost 10-10 damaged" {
		t.Error(got)
	}
}

func TestKeptBySizeAndByAge(t *testing.T) {
	var now atomic.Int64
	now.Store(epoch.UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	dir := filepath.Join(t.TempDir(), "logs")
	l := open(t, Options{Dir: dir, SegmentBytes: 1000, MaxBytes: 5000, MaxAge: 8 * time.Hour, Now: clock})
	for i := range 40 {
		add(t, l, 1+i*10, 10)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, f := range segments(t, dir) {
			st, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			total += st.Size()
		}
		if total > 5000 {
			t.Fatalf("%d bytes are kept, 5000 are allowed", total)
		}
	}
	got := read(l, Position{})
	if !strings.HasSuffix(got, "-400") || strings.Contains(got, "lost") {
		t.Error(got)
	}
	if got := read(l, Position{Seq: 1}); !strings.HasPrefix(got, "lost 1-") {
		t.Errorf("who asks for removed records is told %s", got)
	}
	now.Add(int64(10 * time.Hour))
	add(t, l, 401, 1)
	l.Sync()
	now.Add(int64(9 * time.Hour))
	add(t, l, 402, 1)
	l.Sync()
	if got := read(l, Position{}); got != "401-402" {
		t.Errorf("after 19 hours: %s", got)
	}
}

// faults is a disk that fails when it is told to.
type faults struct {
	Disk
	mu    sync.Mutex
	write func() error
	sync  func() error
}

func (f *faults) set(write, sync error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write, f.sync = func() error { return write }, func() error { return sync }
}

func (f *faults) Create(name string) (File, error) {
	file, err := f.Disk.Create(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

type faultFile struct {
	File
	f *faults
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.write != nil {
		if err := f.f.write(); err != nil {
			n, _ := f.File.WriteAt(p[:len(p)/2], off) // by half
			return n, err
		}
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Sync() error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.sync != nil {
		if err := f.f.sync(); err != nil {
			return err
		}
	}
	return f.File.Sync()
}

func TestAFullDiskDropsAndSaysSo(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			disk := &faults{}
			dir := filepath.Join(t.TempDir(), "logs")
			var reported, records, refused atomic.Uint64
			var l *Log
			l = open(t, Options{Dir: dir, FS: disk, SyncEvery: time.Millisecond, Dropped: func(n uint64) {
				reported.Add(n)
				if _, err := l.Append(epoch, fmt.Appendf(nil, "dropped %d", n)); err == nil {
					records.Add(1)
				} else { // there was not room for that either, yet
					refused.Add(1)
				}
			}})
			add(t, l, 1, 10)
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			disk.set(cause, nil)
			line := make([]byte, 1<<20)
			kept, dropped := uint64(10), uint64(0)
			for range 40 {
				_, err := l.Append(epoch, line)
				switch {
				case errors.Is(err, ErrDropped) && errors.Is(err, gust.ErrNoSpace):
					dropped++
				case err != nil:
					t.Fatal(err)
				default:
					kept++
				}
			}
			if dropped == 0 || l.Dropped() != dropped {
				t.Errorf("%d of 40 MB were dropped, and the log says %d", dropped, l.Dropped())
			}
			if err := l.Sync(); !errors.Is(err, cause) {
				t.Errorf("Sync says %v", err)
			}
			disk.set(nil, nil)
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := l.Sync(); err != nil { // the writer has reported by now
				t.Fatal(err)
			}
			dropped += refused.Load()
			if reported.Load() != dropped {
				t.Errorf("%d drops were reported, want %d", reported.Load(), dropped)
			}
			kept += records.Load()
			count := func() (n, lost uint64) {
				for _, err := range l.Read(context.Background(), Position{Seq: 1}, false) {
					var gap *LostError
					if errors.As(err, &gap) {
						lost += gap.Records
					} else if err != nil {
						t.Fatal(err)
					} else {
						n++
					}
				}
				return n, lost
			}
			if n, lost := count(); n != kept || lost != dropped {
				t.Errorf("%d read and %d lost, want %d and %d", n, lost, kept, dropped)
			}
			l.Close()
			l = open(t, Options{Dir: dir})
			if n, lost := count(); n != kept || lost != dropped {
				t.Errorf("opened again: %d read and %d lost, want %d and %d", n, lost, kept, dropped)
			}
		})
	}
}

func TestAFailedSyncGoesOnInANewSegment(t *testing.T) {
	disk := &faults{}
	dir := filepath.Join(t.TempDir(), "logs")
	l := open(t, Options{Dir: dir, FS: disk, SyncEvery: time.Hour})
	add(t, l, 1, 5)
	disk.set(nil, syscall.EIO)
	if err := l.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	disk.set(nil, nil)
	add(t, l, 6, 5)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := len(segments(t, dir)); n != 2 {
		t.Errorf("%d segments", n)
	}
	if got := read(l, Position{}); got != "1-10" {
		t.Error(got)
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	l := open(t, Options{})
	if _, err := l.Append(epoch, make([]byte, MaxPayload+1)); !errors.Is(err, gust.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(MaxPayload)) {
		t.Error(err)
	}
	if _, err := l.Append(epoch, make([]byte, MaxPayload)); err != nil {
		t.Error(err)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	l := open(t, Options{SyncEvery: time.Hour})
	line := make([]byte, 200)
	for range 10000 {
		l.Append(epoch, line)
	}
	l.Sync()
	if n := testing.AllocsPerRun(500, func() { l.Append(epoch, line) }); n > 0.1 {
		t.Errorf("%v allocations a record", n)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add(appendRecord(nil, 7, 1, []byte("payload")), uint64(7))
	f.Add(append(make([]byte, 5), appendRecord(appendRecord(nil, 7, 1, nil), 8, 2, []byte("x"))...), uint64(3))
	f.Add(appendHeader(nil, 3, 4), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, seq uint64) {
		if r, need, ok := parse(b); ok {
			if again := appendRecord(nil, r.seq, r.time, r.payload); string(again) != string(b[:r.size]) {
				t.Errorf("%x is read as a record that is written as %x", b[:r.size], again)
			}
		} else if need > 0 && need <= len(b) {
			t.Errorf("%d bytes are said to be too few, %d are needed", len(b), need)
		}
		if i := resync(b, seq); i >= 0 {
			if r, _, ok := parse(b[i:]); !ok || r.seq < seq {
				t.Errorf("resync found %d", i)
			}
		}
		if first, created, ok := parseHeader(b); ok && string(appendHeader(nil, first, created)) != string(b[:segmentHeader]) {
			t.Errorf("header %x does not come back", b[:segmentHeader])
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, Options{MaxBytes: 256 << 20})
	line := make([]byte, 300)
	now := time.Now()
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		l.Append(now, line)
	}
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
}

func BenchmarkRead(b *testing.B) {
	l := open(b, Options{})
	line := make([]byte, 300)
	for range 20000 {
		l.Append(epoch, line)
	}
	l.Sync()
	b.SetBytes(20000 * 300)
	for b.Loop() {
		n := 0
		for range l.Read(context.Background(), Position{}, false) {
			n++
		}
		if n != 20000 {
			b.Fatal(n)
		}
	}
}
