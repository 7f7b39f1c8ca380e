package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open opens a store and closes it at the test's end.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := tryOpen(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// tryOpen opens a store that the caller closes.
func tryOpen(t testing.TB, o Options) (*Store, error) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.Dir == "" {
		if o.FS == nil {
			o.Dir = t.TempDir()
		} else {
			o.Dir = "/data"
		}
	}
	return Open(o)
}

func set(t testing.TB, s *Store, p Partition, k, v string) {
	t.Helper()
	if err := put(s, p, k, v); err != nil {
		t.Fatalf("set %s/%s: %v", p, k, err)
	}
}

func put(s *Store, p Partition, k, v string) error {
	return s.Update(context.Background(), p, func(tx *Tx) error { return tx.Set([]byte(k), []byte(v)) })
}

func get(s *Store, p Partition, k string) (v string, err error) {
	err = s.View(p, func(r *Snapshot) error {
		b, err := r.Get([]byte(k))
		v = string(b)
		return err
	})
	return v, err
}

func dump(t testing.TB, s *Store, p Partition) map[string]string {
	t.Helper()
	m := map[string]string{}
	if err := s.View(p, func(r *Snapshot) error {
		for k, v := range r.Scan(nil) {
			m[string(k)] = string(v)
		}
		return r.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTransitionIsAtomicAndKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	err := s.Update(ctx, "a", func(tx *Tx) error {
		if err := tx.Set([]byte("k1"), []byte("v1")); err != nil {
			return err
		}
		got, err := tx.Get([]byte("k1"))
		if err != nil || string(got) != "v1" {
			t.Errorf("a transition reads %q, %v of what it wrote", got, err)
		}
		return tx.Set([]byte("k2"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	refuse := errors.New("no")
	err = s.Update(ctx, "a", func(tx *Tx) error {
		tx.Set([]byte("k1"), []byte("changed"))
		tx.Delete([]byte("k2"))
		tx.SetTimer(Timer{ID: "t", At: time.Unix(1, 0), Kind: "x"})
		return refuse
	})
	if !errors.Is(err, refuse) {
		t.Fatalf("want the function's error, got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir})
	want := map[string]string{"k1": "v1", "k2": ""}
	if got := dump(t, s, "a"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after reopening: %v, want %v", got, want)
	}
	if err := s.View("a", func(v *Snapshot) error { _, err := v.Timer("t"); return err }); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a refused transition left its timer: %v", err)
	}
	if _, err := get(s, "a", "nothing"); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a missing key gives %v", err)
	}
}

func TestPartitionsDoNotMix(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	names := []Partition{"a", "a/b", "ab", "a\x01", "b", "\xff", "\xff\xff"}
	for _, p := range names {
		set(t, s, p, "key", string(p))
		set(t, s, p, "", "empty key of "+string(p))
	}
	for _, p := range names {
		want := map[string]string{"key": string(p), "": "empty key of " + string(p)}
		if got := dump(t, s, p); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("partition %q holds %v, want %v", p, got, want)
		}
	}
	for prefix, want := range map[string]string{
		"": `["a" "a\x01" "a/b" "ab" "b" "\xff" "\xff\xff"]`, "a": `["a" "a\x01" "a/b" "ab"]`, "a/": `["a/b"]`,
		"\xff": `["\xff" "\xff\xff"]`, "c": `[]`,
	} {
		got, err := s.Partitions(prefix)
		if err != nil || fmt.Sprintf("%q", got) != want {
			t.Errorf("partitions %q: %q, %v, want %s", prefix, got, err, want)
		}
	}
}

func TestScan(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	for _, k := range []string{"a", "b/1", "b/2", "b0", "b\xff", "c"} {
		set(t, s, "p", k, "v"+k)
	}
	scan := func(prefix string, stop int) (got []string) {
		if err := s.View("p", func(v *Snapshot) error {
			for k, val := range v.Scan([]byte(prefix)) {
				got = append(got, string(k)+"="+string(val))
				if len(got) == stop {
					break
				}
			}
			return v.Err()
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := fmt.Sprintf("%q", scan("b/", 0)); got != `["b/1=vb/1" "b/2=vb/2"]` {
		t.Error(got)
	}
	if got := fmt.Sprintf("%q", scan("b\xff", 0)); got != `["b\xff=vb\xff"]` {
		t.Error(got)
	}
	if got := len(scan("", 0)); got != 6 {
		t.Errorf("the whole partition has %d keys", got)
	}
	if got := len(scan("", 2)); got != 2 {
		t.Errorf("a loop that breaks got %d keys", got)
	}
	// A transition scans its own writes too.
	err := s.Update(context.Background(), "p", func(tx *Tx) error {
		tx.Delete([]byte("b/1"))
		tx.Set([]byte("b/3"), []byte("new"))
		var got []string
		for k := range tx.Scan([]byte("b/")) {
			got = append(got, string(k))
		}
		if fmt.Sprint(got) != "[b/2 b/3]" {
			t.Errorf("a transition sees %v", got)
		}
		return tx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLimitsNameThemselves(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	ctx := context.Background()
	big := bytes.Repeat([]byte("x"), MaxValue+1)
	for name, tc := range map[string]struct {
		p    Partition
		fn   func(*Tx) error
		want error
		text string
	}{
		"no partition":     {"", nil, gust.ErrInvalid, "no name"},
		"partition length": {Partition(big[:MaxPartition+1]), nil, gust.ErrTooLarge, "512"},
		"NUL":              {"a\x00b", nil, gust.ErrInvalid, "NUL"},
		"key":              {"p", func(tx *Tx) error { return tx.Set(big[:MaxKey+1], nil) }, gust.ErrTooLarge, "4096"},
		"value":            {"p", func(tx *Tx) error { return tx.Set([]byte("k"), big) }, gust.ErrTooLarge, "16777216"},
		"unseen error":     {"p", func(tx *Tx) error { tx.Set([]byte("k"), big); return nil }, gust.ErrTooLarge, "16777216"},
		"transition": {"p", func(tx *Tx) error {
			for i := range 5 {
				tx.Set([]byte{byte(i)}, big[:MaxValue])
			}
			return nil
		}, gust.ErrTooLarge, "67108864"},
		"timer without id":   {"p", func(tx *Tx) error { return tx.SetTimer(Timer{Kind: "k"}) }, gust.ErrInvalid, "no ID"},
		"timer without kind": {"p", func(tx *Tx) error { return tx.SetTimer(Timer{ID: "k"}) }, gust.ErrInvalid, "kind"},
		"timer of year 3000": {"p", func(tx *Tx) error {
			return tx.SetTimer(Timer{ID: "k", Kind: "k", At: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)})
		}, gust.ErrInvalid, "2261"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.fn == nil {
				tc.fn = func(*Tx) error { return nil }
			}
			err := s.Update(ctx, tc.p, tc.fn)
			if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.text) {
				t.Errorf("got %v, want %v naming %s", err, tc.want, tc.text)
			}
		})
	}
	if got := dump(t, s, "p"); len(got) != 0 {
		t.Errorf("refused transitions left %d keys", len(got))
	}
}

func TestOneFailureFailsItsCallerAlone(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	var wg sync.WaitGroup
	var failed, done sync.Map
	for i := range 64 {
		wg.Go(func() {
			err := s.Update(context.Background(), "counter", func(tx *Tx) error {
				v, err := tx.Get([]byte("n"))
				if err != nil && !errors.Is(err, gust.ErrNotFound) {
					return err
				}
				if i%4 == 0 {
					return fmt.Errorf("caller %d gives up", i)
				}
				return tx.Set([]byte("n"), append(v, 'x'))
			})
			if err != nil {
				failed.Store(i, err)
			} else {
				done.Store(i, true)
			}
		})
	}
	wg.Wait()
	count := func(m *sync.Map) (n int) { m.Range(func(any, any) bool { n++; return true }); return n }
	if count(&failed) != 16 || count(&done) != 48 {
		t.Errorf("%d failed and %d succeeded, want 16 and 48", count(&failed), count(&done))
	}
	if v, err := get(s, "counter", "n"); err != nil || len(v) != 48 {
		t.Errorf("48 increments gave %d (%v)", len(v), err)
	}
}

func TestPanicInATransitionLeavesNothing(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		s.Update(context.Background(), "p", func(tx *Tx) error { tx.Set([]byte("k"), nil); panic("bug") })
	}()
	if got := dump(t, s, "p"); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
	set(t, s, "p", "k", "v") // and the partition is not locked
}

func TestCloseRefusesByName(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := put(s, "p", "k", "v"); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("Update: %v", err)
	}
	if _, err := get(s, "p", "k"); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("View: %v", err)
	}
	if _, err := s.Partitions(""); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("Partitions: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone home"))
	if err := s.Update(ctx, "p", func(*Tx) error { return nil }); err == nil || err.Error() != "gone home" {
		t.Errorf("a cancelled context gives %v", err)
	}
}

// TestALockIsWaitedFor: for a second, while the kernel ends who was killed.
func TestALockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		killed, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		var in *InUseError
		if _, err := Lock(dir); !errors.As(err, &in) {
			t.Fatalf("got %v", err)
		}
		done := make(chan error)
		go func() {
			lock, err := Lock(dir)
			if err == nil {
				err = lock.Close()
			}
			done <- err
		}()
		synctest.Wait()
		if err := killed.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLookingKeepsNobodyOut: who looks whether the folder is in use has its lock
// for a moment.
func TestLookingKeepsNobodyOut(t *testing.T) {
	dir, stop := t.TempDir(), make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := InUse(dir); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		lock, err := Lock(dir)
		if err != nil {
			t.Error(err)
			break
		}
		lock.Close()
	}
	close(stop)
	looking.Wait()
}

func TestSecondOpenIsRefusedWithThePID(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	_, err := tryOpen(t, Options{Dir: dir})
	var in *InUseError
	if !errors.As(err, &in) || in.PID != os.Getpid() || in.Dir != dir {
		t.Fatalf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // looking takes it from nobody
		if used, err := InUse(dir); err != nil || !used {
			t.Errorf("in use: %v, %v", used, err)
		}
	}
	s = open(t, Options{Dir: dir, Lock: lock})
	s.Close()
	if _, err := Lock(dir); !errors.As(err, &in) {
		t.Errorf("Close gave back a lock that is not its own: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, t.TempDir()} {
		if used, err := InUse(dir); err != nil || used {
			t.Errorf("in use: %v, %v", used, err)
		}
	}
}
