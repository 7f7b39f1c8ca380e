package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// A program that asks for its first event and ends is not started for ever.
func TestAProgramThatIsAlwaysGoneIsAnError(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, _ *gust.Invocation) (*gust.Result, error) {
		e.die()
		return nil, sandbox.ErrGone
	}})
	b.deploy(fn("f"))
	r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"})
	if err != nil || r.Error == nil {
		t.Fatal(r, err)
	}
	b.backend.mu.Lock()
	started := len(b.backend.started)
	b.backend.mu.Unlock()
	if started != triesGone {
		t.Fatalf("started %d times", started)
	}
	if n := b.iv.Totals().Running; n != 0 {
		t.Fatal("running", n)
	}
}

// An event never reaches a program that serves HTTP, nor the other way round.
func TestEventsAndRequestsAreNotMixedUp(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"web": echo, "f": echo})
	b.deploy(fn("web", func(f *gust.Function) { f.Runtime = gust.RuntimeHTTP }), fn("f"))
	if _, err := b.iv.Invoke(t.Context(), &Request{Function: "web"}); !errors.Is(err, ErrHTTPOnly) || !errors.Is(err, gust.ErrInvalid) {
		t.Error(err)
	}
	if _, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "web"}); !errors.Is(err, ErrHTTPOnly) {
		t.Error(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	if err := b.iv.ServeHTTP(w, r, &Request{Function: "f"}); !errors.Is(err, gust.ErrInvalid) {
		t.Error(err)
	}
	if len(b.backend.started) != 0 {
		t.Error("something was started")
	}
}

// Two events with the same identity are not one: the second would take the
// first one's place.
func TestAnEventIsNotReplaced(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		close(running)
		<-release
		return echo(e, inv)
	}})
	b.deploy(fn("f"))
	r := Request{Function: "f", RequestID: "5f3b1d9e-0000-4000-8000-000000000001"}
	if _, err := b.iv.InvokeAsync(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	<-running
	if _, err := b.iv.InvokeAsync(t.Context(), &r); !errors.Is(err, gust.ErrConflict) {
		t.Fatal(err)
	}
	close(release)
}

// Several invocations of a frozen environment: each waits until it runs.
func TestEveryInvocationAwakens(t *testing.T) {
	env := &fakeEnv{backend: &fakeBackend{events: make(chan string, 10)}, done: make(chan struct{})}
	x := &environment{sandbox: env, fn: fn("f")}
	iv := &Invoker{}
	x.frozen.Store(true)
	iv.freeze(x)
	x.frozen.Store(false) // dispatched
	for range 2 {
		if err := x.awaken(); err != nil {
			t.Fatal(err)
		}
	}
	iv.freeze(x) // one that is late
	x.frozen.Store(true)
	x.stop()
	iv.freeze(x) // one that is later still
	close(env.backend.events)
	var got []string
	for e := range env.backend.events {
		got = append(got, strings.TrimSpace(e))
	}
	if fmt.Sprint(got) != "[freeze thaw stop]" {
		t.Fatal(got)
	}
}

// What has no environment yet ends when the drain limit cuts it off.
func TestCloseEndsWhatWaits(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	hang := make(chan struct{})
	b.backend.boot["f"] = func(*fakeEnv) *gust.FunctionError { <-hang; return nil }
	defer close(hang)
	b.deploy(fn("f", func(f *gust.Function) {
		one := 1
		f.Concurrency.Reserved, f.Concurrency.Queue = &one, gust.Queue{Size: 5, Wait: time.Minute}
	}))
	ended := make(chan error, 2)
	for range 2 { // one waits for the start, one in the queue
		go func() {
			r, err := b.iv.Invoke(context.Background(), &Request{Function: "f"})
			if err == nil {
				err = r.Error
			}
			ended <- err
		}()
	}
	b.wait("start f")
	for b.iv.Totals().Queued != 1 {
		b.iv.nudge()
	}
	b.close()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("it ran")
		}
	}
}

// A deploy ends the starts of the version before.
func TestDeployEndsStartsThatHang(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	var starts atomic.Int32
	hang := make(chan struct{})
	defer close(hang)
	b.backend.boot["f"] = func(*fakeEnv) *gust.FunctionError {
		if starts.Add(1) == 1 {
			<-hang
		}
		return nil
	}
	b.deploy(fn("f"))
	answered := make(chan error, 1)
	go func() {
		r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"})
		if err == nil && r.Version != 2 {
			err = fmt.Errorf("version %d, %v", r.Version, r.Error)
		}
		answered <- err
	}()
	b.wait("start f")
	b.deploy(fn("f", func(f *gust.Function) { f.Env = map[string]string{"V": "2"} }))
	b.wait("stop f")
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

// A stream that nobody reads or closes stops counting when its time is over.
func TestAStreamNobodyReadsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		s := newStream(io.NopCloser(strings.NewReader("never read")), time.Minute, gust.ErrClosing, func(err error) { ended <- err })
		begin := time.Now()
		err := <-ended
		if took := time.Since(begin); err != gust.ErrClosing || took != time.Minute+streamGrace {
			t.Fatal(err, took)
		}
		s.Close()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("it ended twice")
		}
	})
}

// A panic in the answer's way costs one invocation and no concurrency.
func TestAPanicLeaksNothing(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"web": echo})
	b.backend.web = func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader("x"))}, nil
	}
	b.deploy(fn("web", func(f *gust.Function) { f.Runtime = gust.RuntimeHTTP }))
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Error(v)
			}
		}()
		b.iv.ServeHTTP(panicking{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil), &Request{Function: "web"}) //nolint:errcheck // it panics
	}()
	if tot := b.iv.Totals(); tot.Running != 0 || tot.Concurrency != 0 {
		t.Fatalf("%+v", tot)
	}
}

type panicking struct{ *httptest.ResponseRecorder }

func (panicking) Write([]byte) (int, error) { panic("boom") }

// Events wait in the store, not in memory, and pass by their function's queue.
func TestEventsDoNotQueueInMemory(t *testing.T) {
	running, release := make(chan string, 10), make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		running <- string(inv.Payload)
		<-release
		return echo(e, inv)
	}})
	defer close(release)
	b.deploy(fn("f", func(f *gust.Function) {
		one := 1
		f.Concurrency.Reserved, f.Concurrency.Queue = &one, gust.Queue{Size: 5, Wait: time.Minute}
	}))
	go b.iv.Invoke(context.Background(), &Request{Function: "f", Payload: []byte("sync")}) //nolint:errcheck // it is cut off
	<-running
	r := &Request{Function: "f", RequestID: "5f3b1d9e-0000-4000-8000-000000000002", app: "app", load: func() ([]byte, error) {
		t.Error("its payload was read")
		return nil, nil
	}}
	var throttled *gust.ThrottledError
	if _, err := b.iv.Invoke(t.Context(), r); !errors.As(err, &throttled) || b.iv.Totals().Queued != 0 {
		t.Fatal(err, b.iv.Totals())
	}
}

// What only the store makes fail is done when it can be, a full disk or not,
// and given up when the invoker ends or the store closes.
func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iv := &Invoker{Options: Options{Logger: slog.New(slog.DiscardHandler)}}
		tries, begin := 0, time.Now()
		iv.persist(t.Context(), "f", func() error {
			if tries++; tries < 4 {
				return gust.ErrNoSpace
			}
			return nil
		})
		if took := time.Since(begin); tries != 4 || took != 700*time.Millisecond {
			t.Errorf("%d tries in %v", tries, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		tries = 0
		iv.persist(ctx, "f", func() error { tries++; return gust.ErrNoSpace })
		if tries < 60 || tries > 75 { // ever more seldom, up to once a minute
			t.Errorf("%d tries in an hour", tries)
		}
		tries = 0
		iv.persist(t.Context(), "f", func() error { tries++; return gust.ErrClosing })
		if tries != 1 {
			t.Errorf("%d tries at a store that is closed", tries)
		}
	})
}
