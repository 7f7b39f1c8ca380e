package store

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
)

// gated is a store whose log's syncs wait while it is told so.
func gated(t *testing.T) (s *Store, waiting chan struct{}, shut func() (release func())) {
	var gate atomic.Pointer[chan struct{}]
	waiting = make(chan struct{}, 100)
	s = open(t, Options{FS: hooked(vfs.NewMem(), func(op errorfs.Op) error {
		if g := gate.Load(); g != nil && isSync(op.Kind) && strings.HasSuffix(op.Path, ".log") {
			waiting <- struct{}{}
			<-*g
		}
		return nil
	})})
	return s, waiting, func() func() {
		g := make(chan struct{})
		gate.Store(&g)
		return func() { gate.Store(nil); close(g) }
	}
}

// What a reader, or a transition that writes nothing, or one that refuses, has
// seen is synced when it returns.
func TestNoAnswerStandsOnWhatIsNotSynced(t *testing.T) {
	refuse := errors.New("it is there already")
	for name, ask := range map[string]func(s *Store, saw chan string) error{
		"view": func(s *Store, saw chan string) error {
			return s.View("p", func(v *Snapshot) error {
				b, err := v.Get([]byte("k"))
				saw <- string(b)
				return err
			})
		},
		"nothing to write": func(s *Store, saw chan string) error {
			return s.Update(context.Background(), "p", func(tx *Tx) error {
				b, err := tx.Get([]byte("k"))
				saw <- string(b)
				return err
			})
		},
		"refusal": func(s *Store, saw chan string) error {
			err := s.Update(context.Background(), "p", func(tx *Tx) error {
				b, _ := tx.Get([]byte("k"))
				saw <- string(b)
				return refuse
			})
			if !errors.Is(err, refuse) {
				return errors.New("the refusal is lost")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, waiting, shut := gated(t)
			set(t, s, "p", "k", "old")
			release := shut()
			written, answered, saw := make(chan error, 1), make(chan error, 1), make(chan string, 1)
			go func() { written <- put(s, "p", "k", "new") }()
			<-waiting
			// The log is written before readers see what stands in it: until then
			// what they see is the synced old.
			for seen := false; !seen; runtime.Gosched() {
				value, c, err := s.db.Get(appendDataKey(nil, "p", []byte("k")))
				if err != nil {
					t.Fatal(err)
				}
				seen = bytes.Contains(value, []byte("new"))
				c.Close()
			}
			go func() { answered <- ask(s, saw) }()
			if got := <-saw; got != "new" {
				t.Errorf("it saw %q", got)
			}
			select {
			case err := <-answered:
				t.Errorf("it answered (%v) before the sync", err)
			case err := <-written:
				t.Errorf("the write was acknowledged (%v) before the sync", err)
			case <-time.After(20 * time.Millisecond):
			}
			release()
			if err := errors.Join(<-answered, <-written); err != nil {
				t.Error(err)
			}
		})
	}
}

// The partition's next transition decides while one waits for its sync.
func TestTheLockIsNotHeldWhileSyncing(t *testing.T) {
	s, waiting, shut := gated(t)
	release := shut()
	first, second := make(chan error, 1), make(chan error, 1)
	decided := make(chan struct{})
	go func() { first <- put(s, "p", "a", "1") }()
	<-waiting
	go func() {
		second <- s.Update(context.Background(), "p", func(tx *Tx) error {
			defer close(decided)
			_, err := tx.Get([]byte("a"))
			return errors.Join(err, tx.Set([]byte("b"), []byte("2")))
		})
	}()
	<-decided
	release()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
}

func TestIntervalLosesOnlyTheEndAndNothingByHalf(t *testing.T) {
	const steps = 120
	for percent := range 3 {
		mem := vfs.NewCrashableMem()
		s := open(t, Options{FS: mem, Durability: DurabilityInterval, Interval: time.Hour, tune: busy})
		for i := range steps {
			if err := step(s, i); err != nil {
				t.Fatal(err)
			}
			if i == steps/2 {
				s.seal() // as the keeper does every interval
			}
		}
		cut := mem.CrashClone(cfg(50*percent, 11))
		s.Close()
		closed := mem.CrashClone(vfs.CrashCloneCfg{})
		s = open(t, Options{FS: cut, tune: busy})
		if err := verify(s, steps/2+1, steps); err != nil {
			t.Errorf("%d %%: %v", 50*percent, err)
		}
		s.Close()
		s = open(t, Options{FS: closed, tune: busy})
		if err := verify(s, steps, steps); err != nil {
			t.Errorf("after Close: %v", err)
		}
		s.Close()
	}
	if _, err := tryOpen(t, Options{FS: vfs.NewMem(), Durability: "sometimes"}); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), `"interval"`) {
		t.Error(err)
	}
}

func TestFormats(t *testing.T) {
	for content, want := range map[string]string{
		"gust 1\n": "", "gust 2\n": "use a newer gust", "gust 1": "want", "gust 01\n": "want", "gust -1\n": "want",
		"": "want", "gust 1\nx": "want", strings.Repeat("x", 100): "larger",
	} {
		mem := vfs.NewMem()
		if err := makeDir(mem, "/data"); err != nil {
			t.Fatal(err)
		}
		if err := writeSmall(mem, "/data", formatFile, []byte(content)); err != nil {
			t.Fatal(err)
		}
		s, err := tryOpen(t, Options{FS: mem})
		if err == nil {
			s.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	mem := vfs.NewMem()
	if err := errors.Join(makeDir(mem, "/data"), writeSmall(mem, "/data", "holiday.jpg", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, Options{FS: mem}); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "holiday.jpg") {
		t.Errorf("a folder of something else: %v", err)
	}
}
