package invoke

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke/scale"
	"github.com/gust-dev/gust/internal/logfile"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/store"
)

// handler is what a fake environment runs.
type handler func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error)

// fakeBackend runs Go functions as environments. It is there to inject what no
// real program does on command.
type fakeBackend struct {
	mu      sync.Mutex
	handle  map[string]handler
	boot    map[string]func(*fakeEnv) *gust.FunctionError // nil: ready at once
	started []*fakeEnv
	web     func(*http.Request) (*http.Response, error)
	events  chan string // what happens to environments, for tests to wait on
}

func (b *fakeBackend) Name() string { return "process" }
func (b *fakeBackend) Close() error { return nil }

func (b *fakeBackend) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Environment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &fakeEnv{backend: b, spec: spec, ready: make(chan struct{}), done: make(chan struct{}), handle: b.handle[spec.Function]}
	b.started = append(b.started, e)
	boot := b.boot[spec.Function]
	go func() {
		if boot != nil {
			e.initError = boot(e)
		}
		close(e.ready)
	}()
	b.events <- "start " + spec.Function
	return e, nil
}

type fakeEnv struct {
	backend   *fakeBackend
	spec      sandbox.Spec
	handle    handler
	ready     chan struct{}
	done      chan struct{}
	once      sync.Once
	initError *gust.FunctionError
}

// noInterpreters is what a node without isolation has for functions of which
// each brings its own.
type noInterpreters struct{ runtimes.Library }

func (noInterpreters) Acquire(context.Context, *gust.Function) (runtimes.Runtime, func(), error) {
	return runtimes.Runtime{}, func() {}, nil
}

func (e *fakeEnv) Pooled() bool                   { return false }
func (e *fakeEnv) Ready() <-chan struct{}         { return e.ready }
func (e *fakeEnv) InitError() *gust.FunctionError { return e.initError }
func (e *fakeEnv) Invoke(_ context.Context, inv *gust.Invocation) (*gust.Result, error) {
	select {
	case <-e.done:
		return nil, sandbox.ErrGone
	default:
	}
	return e.handle(e, inv)
}
func (e *fakeEnv) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.backend.web == nil {
		return nil, sandbox.ErrGone
	}
	return e.backend.web(r)
}
func (e *fakeEnv) Freeze() error        { e.backend.events <- "freeze " + e.spec.Function; return nil }
func (e *fakeEnv) Thaw() error          { e.backend.events <- "thaw " + e.spec.Function; return nil }
func (e *fakeEnv) SetInit(bool) error   { return nil }
func (e *fakeEnv) BytesOut() int64      { return 0 }
func (e *fakeEnv) Usage() sandbox.Usage { return sandbox.Usage{Memory: gust.MB, PeakMemory: gust.MB} }
func (e *fakeEnv) Stop(time.Duration) {
	e.once.Do(func() { e.backend.events <- "stop " + e.spec.Function; close(e.done) })
}
func (e *fakeEnv) die()                  { e.once.Do(func() { close(e.done) }) }
func (e *fakeEnv) Done() <-chan struct{} { return e.done }
func (e *fakeEnv) Exit() sandbox.Exit    { return sandbox.Exit{Outcome: gust.OutcomeOK} }

// bed is an Invoker over a real store and catalog, with fake environments.
type bed struct {
	t       *testing.T
	dir     string
	iv      *Invoker
	catalog *catalog.Catalog
	store   *store.Store
	rec     *observe.Recorder
	backend *fakeBackend
	digest  gust.Digest
	close   func()
}

func newBed(t *testing.T, dir string, handlers map[string]handler) *bed {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := &bed{t: t, dir: dir, backend: &fakeBackend{handle: handlers, boot: map[string]func(*fakeEnv) *gust.FunctionError{}, events: make(chan string, 10000)}}
	var err error
	b.store, err = store.Open(store.Options{Dir: dir, Durability: store.DurabilityAlways})
	must(err)
	log, err := logfile.Open(logfile.Options{Dir: dir + "/logs"})
	must(err)
	b.rec = observe.New(observe.Options{Log: log})
	b.catalog, err = catalog.Open(t.Context(), b.store, catalog.Options{})
	must(err)
	code, err := artifact.OpenCache(dir+"/code", b.store.Blobs())
	must(err)
	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	h := &zip.FileHeader{Name: "bootstrap"}
	h.SetMode(0o755)
	w, err := zw.CreateHeader(h)
	must(err)
	_, err = io.WriteString(w, "#!/bin/sh\n")
	must(err)
	must(zw.Close())
	b.digest, _, err = b.store.Blobs().Put(t.Context(), &z, gust.MaxArtifact)
	must(err)
	b.iv = New(Options{
		Catalog: b.catalog, Backend: b.backend, Code: code, Runtimes: noInterpreters{}, Recorder: b.rec, Store: b.store, Place: gust.DefaultPlace,
		Limits: scale.Limits{Concurrency: 100, Starts: 4, Memory: gust.GB, Grace: time.Minute}, Logger: slog.New(logged{events: b.backend.events}),
	})
	b.close = sync.OnceFunc(func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("no patience"))
		b.iv.Close(ctx) //nolint:errcheck // what is cut off is the test's doing
		must(b.rec.Close())
		must(log.Close())
		must(b.catalog.Close())
		must(b.store.Close())
	})
	t.Cleanup(b.close)
	return b
}

// logged puts errors among what happens.
type logged struct {
	slog.Handler
	events chan string
}

func (logged) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	l.events <- "log " + r.Message
	return nil
}

func (b *bed) deploy(fns ...*gust.Function) {
	b.t.Helper()
	app := &gust.App{Name: "app", Functions: map[string]*gust.Function{}}
	for _, f := range fns {
		f.Artifact = b.digest
		app.Functions[f.Name] = f
	}
	if _, err := b.catalog.Apply(b.t.Context(), app, catalog.ApplyOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) wait(event string) {
	b.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case got := <-b.backend.events:
			if got == event {
				return
			}
		case <-timeout:
			b.t.Fatalf("%q did not happen", event)
		}
	}
}

func fn(name string, change ...func(*gust.Function)) *gust.Function {
	f := &gust.Function{
		Name: name, App: "app", Runtime: gust.RuntimeProvided, Memory: gust.DefaultMemory, Timeout: time.Minute,
		Ephemeral: gust.DefaultEphemeral, CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkNone}, Idle: time.Hour,
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func echo(_ *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
	return &gust.Result{Payload: inv.Payload}, nil
}

func TestInvokeRunsAndReports(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		e.spec.Output([]byte("a line"))
		return echo(e, inv)
	}})
	b.deploy(fn("f"))
	r, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Payload: []byte(`{"a":1}`), Source: "invoke", Tail: true})
	if err != nil || r.Error != nil || string(r.Result.Payload) != `{"a":1}` || r.Version != 1 {
		t.Fatal(r, err)
	}
	for _, want := range []string{"START RequestId: " + r.RequestID, "a line", "END RequestId", "REPORT RequestId", "Init Duration"} {
		if !strings.Contains(string(r.LogTail), want) {
			t.Errorf("the log has no %q:\n%s", want, r.LogTail)
		}
	}
	var report *gust.Report
	for rec, err := range b.rec.Query(t.Context(), observe.Query{RequestID: r.RequestID}) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Report != nil {
			report = rec.Report
		}
	}
	if report == nil || report.Cold != gust.ColdFirst || report.Outcome != gust.OutcomeOK || report.MemoryUsed != gust.MB {
		t.Fatalf("%+v", report)
	}
}

// TestAnEnvironmentHoldsItsLayers: their folders are there in the order of the
// declaration for as long as an environment is, and are given back with it.
func TestAnEnvironmentHoldsItsLayers(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	layer := func(file string) gust.Layer {
		var z bytes.Buffer
		zw := zip.NewWriter(&z)
		_, err := zw.Create(file)
		if err = errors.Join(err, zw.Close()); err != nil {
			t.Fatal(err)
		}
		digest, _, err := b.store.Blobs().Put(t.Context(), &z, gust.MaxArtifact)
		if err != nil {
			t.Fatal(err)
		}
		return gust.Layer{Name: file, Artifact: digest}
	}
	b.deploy(fn("f", func(f *gust.Function) { f.Layers = []gust.Layer{layer("one"), layer("two")} }))
	if _, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	env := b.backend.started[0]
	if len(env.spec.Layers) != 2 {
		t.Fatalf("the layers are %q", env.spec.Layers)
	}
	for i, file := range []string{"one", "two"} {
		if _, err := os.Stat(filepath.Join(env.spec.Layers[i], file)); err != nil {
			t.Error(err)
		}
	}
	sweep := func() (left int) {
		if err := b.iv.Code.Sweep(func(gust.Digest) bool { return false }); err != nil {
			t.Fatal(err)
		}
		for _, dir := range append(env.spec.Layers, env.spec.Code) {
			if _, err := os.Stat(dir); err == nil {
				left++
			}
		}
		return left
	}
	if left := sweep(); left != 3 {
		t.Errorf("%d of 3 folders are left of a running environment", left)
	}
	b.close()
	if left := sweep(); left != 0 {
		t.Errorf("%d folders are held by nobody", left)
	}
}

func TestWhatIsNotThereOrTooLargeIsRefused(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	b.deploy(fn("f"))
	for _, c := range []struct {
		r    Request
		want error
	}{
		{Request{Function: "g"}, gust.ErrNotFound},
		{Request{Function: "f", Qualifier: "7"}, gust.ErrNotFound},
		{Request{Function: "f", Payload: make([]byte, gust.MaxSyncPayload+1)}, gust.ErrTooLarge},
	} {
		if _, err := b.iv.Invoke(t.Context(), &c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.r.Function, err)
		}
	}
	if _, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "f", Payload: make([]byte, gust.MaxAsyncPayload+1)}); !errors.Is(err, gust.ErrTooLarge) {
		t.Error(err)
	}
}

func TestAnEnvironmentThatDiedWhileIdleCostsNobodyAnInvocation(t *testing.T) {
	var first sync.Once
	died := make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		var err error
		first.Do(func() { close(died); e.die(); err = sandbox.ErrGone })
		if err != nil {
			return nil, err
		}
		return echo(e, inv)
	}})
	b.deploy(fn("f"))
	r, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Payload: []byte("1")})
	<-died
	if err != nil || r.Error != nil {
		t.Fatal(r, err)
	}
	if tot := b.iv.Totals(); tot.Running != 0 || tot.Concurrency != 0 {
		t.Fatalf("%+v", tot)
	}
}

func TestAFunctionThatCannotStartSaysWhy(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"bad": echo, "good": echo})
	b.backend.boot["bad"] = func(e *fakeEnv) *gust.FunctionError {
		e.die()
		return &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "NoDatabase", Message: "no database", Output: "last words"}
	}
	b.deploy(fn("bad"), fn("good"))
	for i := range 4 {
		r, err := b.iv.Invoke(t.Context(), &Request{Function: "bad"})
		if err != nil || r.Error == nil || r.Error.Type != "NoDatabase" || r.Error.Output != "last words" {
			t.Fatal(i, r, err)
		}
	}
	if n := len(b.backend.started); n > 3 {
		t.Errorf("%d starts: no back-off", n)
	}
	if r, err := b.iv.Invoke(t.Context(), &Request{Function: "good"}); err != nil || r.Error != nil {
		t.Fatal(r, err)
	}
}

func TestThrottlingNamesItsLimit(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		running <- struct{}{}
		<-release
		return echo(e, inv)
	}})
	one := 1
	b.deploy(fn("f", func(f *gust.Function) { f.Concurrency.Reserved = &one }))
	var wg sync.WaitGroup
	wg.Go(func() {
		if r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"}); err != nil || r.Error != nil {
			t.Error(r, err)
		}
	})
	<-running
	var throttled *gust.ThrottledError
	if _, err := b.iv.Invoke(t.Context(), &Request{Function: "f"}); !errors.As(err, &throttled) || throttled.Reason != gust.ThrottleFunction {
		t.Error(err)
	}
	close(release)
	wg.Wait()
}

func TestDeployRunsOnTheOldVersionWhatHasBegun(t *testing.T) {
	running, release := make(chan struct{}, 10), make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		if string(inv.Payload) == "wait" {
			running <- struct{}{}
			<-release
		}
		return &gust.Result{Payload: []byte(strings.Join(e.spec.Env, "\n"))}, nil
	}})
	with := func(v string) *gust.Function {
		return fn("f", func(f *gust.Function) { f.Env = map[string]string{"V": v} })
	}
	b.deploy(with("1"))
	var wg sync.WaitGroup
	wg.Go(func() {
		r, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Payload: []byte("wait")})
		if err != nil || r.Error != nil || !strings.Contains(string(r.Result.Payload), "\nV=1") {
			t.Error(r, err)
		}
	})
	<-running
	b.deploy(with("2"))
	r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"})
	if err != nil || r.Error != nil || !strings.Contains(string(r.Result.Payload), "\nV=2") || r.Version != 2 {
		t.Error("the deploy was acknowledged, and the old version ran:", r, err)
	}
	close(release)
	wg.Wait()
	b.wait("stop f")
}

func TestProvisionedStartAtDeploy(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	b.deploy(fn("f", func(f *gust.Function) { f.Concurrency.Provisioned = 2 }))
	b.wait("start f")
	b.wait("start f")
}

func TestAWarmUpTellsHowItsEnvironmentCameUp(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo, "bad": echo})
	b.backend.boot["bad"] = func(*fakeEnv) *gust.FunctionError {
		return &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "NoDatabase", Message: "no database", Output: "last words"}
	}
	b.deploy(fn("f"), fn("bad"))
	up, err := b.iv.Warm(t.Context(), "f")
	if err != nil || up.Function != "f" || up.Version != 1 || up.Cause != gust.ColdWarmUp || up.Init <= 0 || len(up.Environment) != 32 {
		t.Fatal(up, err)
	}
	again, err := b.iv.Warm(t.Context(), "f")
	if err != nil || *again != *up {
		t.Fatal("another one:", again, err)
	}
	if r, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Payload: []byte("1")}); err != nil || r.Error != nil || len(b.backend.started) != 1 {
		t.Fatal(r, err)
	}
	for range 3 { // tried twice, then backed off
		var fe *gust.FunctionError
		if _, err := b.iv.Warm(t.Context(), "bad"); !errors.As(err, &fe) || fe.Type != "NoDatabase" || fe.Output != "last words" {
			t.Fatal(err)
		}
	}
	if n := len(b.backend.started); n != 3 {
		t.Errorf("%d starts", n)
	}
	if _, err := b.iv.Warm(t.Context(), "nobody"); !errors.Is(err, gust.ErrNotFound) {
		t.Error(err)
	}
	b.close()
	if _, err := b.iv.Warm(t.Context(), "f"); !errors.Is(err, gust.ErrClosing) {
		t.Error(err)
	}
}

// What was learnt of when a function is used survives a restart; what is damaged,
// or is about nobody, is forgotten.
func TestWhatIsLearntSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	kept := func(b *bed) (last byte, names string) {
		err := b.store.View(learnedPartition, func(s *store.Snapshot) error {
			for key, value := range s.Scan(nil) {
				names += string(key) + " "
				if string(key) == "f" {
					last = value[len(value)-1]
				}
			}
			return s.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		return last, names
	}
	invoke := func(b *bed) {
		if r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"}); err != nil || r.Error != nil {
			t.Fatal(r, err)
		}
	}
	b := newBed(t, dir, map[string]handler{"f": echo})
	auto := func(f *gust.Function) { f.Concurrency.Prewarm = gust.PrewarmAuto }
	b.deploy(fn("f", auto), fn("g", auto))
	invoke(b)
	invoke(b)
	b.iv.remember(t.Context())
	if n, names := kept(b); n != 1 || names != "f " { // one pause, of less than a minute
		t.Fatalf("%d pauses, of %s", n, names)
	}
	err := b.store.Update(t.Context(), learnedPartition, func(tx *store.Tx) error {
		return errors.Join(tx.Set([]byte("nobody"), []byte{1, 0, 0, 0}), tx.Set([]byte("g"), []byte("damaged")))
	})
	if err != nil {
		t.Fatal(err)
	}
	invoke(b)
	b.close()
	b = newBed(t, dir, map[string]handler{"f": echo})
	if n, names := kept(b); n != 2 || names != "f " {
		t.Fatalf("%d pauses, of %s", n, names)
	}
	invoke(b) // after the third pause
	b.iv.remember(t.Context())
	if n, _ := kept(b); n != 3 {
		t.Fatalf("%d pauses: the restart forgot", n)
	}
}

// Who waits for a warm-up does not hold a node that drains.
func TestDrainingEndsWarmUps(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo})
	hang := make(chan struct{})
	defer close(hang)
	b.backend.boot["f"] = func(*fakeEnv) *gust.FunctionError { <-hang; return nil }
	b.deploy(fn("f"))
	ended := make(chan error, 1)
	go func() {
		_, err := b.iv.Warm(context.Background(), "f")
		ended <- err
	}()
	b.wait("start f")
	b.close()
	if err := <-ended; !errors.Is(err, gust.ErrClosing) {
		t.Error(err)
	}
}

func TestCloseLetsWhatRunsFinish(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		close(running)
		<-release
		return echo(e, inv)
	}})
	b.deploy(fn("f"))
	var wg sync.WaitGroup
	wg.Go(func() {
		if r, err := b.iv.Invoke(t.Context(), &Request{Function: "f"}); err != nil || r.Error != nil {
			t.Error(r, err)
		}
	})
	<-running
	closed := make(chan error)
	go func() { closed <- b.iv.Close(t.Context()) }()
	for { // until closing has begun
		if _, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "f"}); errors.Is(err, gust.ErrClosing) {
			break
		}
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestAsynchronousEventsRunOnceTheyAreKept(t *testing.T) {
	got := make(chan string, 10)
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		got <- inv.RequestID + " " + string(inv.Payload)
		return echo(e, inv)
	}})
	b.deploy(fn("f"))
	id, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "f", Payload: []byte("hi")})
	if err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != id+" hi" {
		t.Fatal(s)
	}
}

// leftRunning has a node end while its function f runs on an event that nobody
// waits for, and returns what that node was and the event's ID.
func leftRunning(t *testing.T, dir, payload string) (was *bed, id string) {
	t.Helper()
	running, release := make(chan struct{}), make(chan struct{})
	b := newBed(t, dir, map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		close(running)
		<-release
		return nil, &gust.FunctionError{Outcome: gust.OutcomeExit, Message: "the node ended"}
	}})
	b.deploy(fn("f"))
	id, err := b.iv.InvokeAsync(t.Context(), &Request{Function: "f", Payload: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	<-running
	go b.close()
	<-b.iv.ctx.Done()
	close(release)
	b.close()
	return b, id
}

func TestAsynchronousEventsSurviveARestartWhileTheyRun(t *testing.T) {
	dir := t.TempDir()
	_, id := leftRunning(t, dir, "hi")

	got := make(chan string, 10)
	newBed(t, dir, map[string]handler{"f": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		got <- inv.RequestID
		return echo(e, inv)
	}})
	if again := <-got; again != id {
		t.Fatal(again)
	}
}

func TestStreamHoldsItsEnvironmentUntilItIsRead(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": func(*fakeEnv, *gust.Invocation) (*gust.Result, error) {
		return &gust.Result{Stream: io.NopCloser(strings.NewReader("abc"))}, nil
	}})
	b.deploy(fn("f"))
	r, err := b.iv.Invoke(t.Context(), &Request{Function: "f", Tail: true})
	if err != nil || r.Error != nil {
		t.Fatal(r, err)
	}
	if n := b.iv.Totals().Running; n != 1 {
		t.Fatal("running", n)
	}
	if data, err := io.ReadAll(r.Result.Stream); string(data) != "abc" || err != nil {
		t.Fatal(string(data), err)
	}
	r.Result.Stream.Close()
	if n := b.iv.Totals().Running; n != 0 || !strings.Contains(string(r.LogTail), "REPORT") {
		t.Fatal("running", n, string(r.LogTail))
	}
}

// TestHammer invokes, deploys and cancels at once; -race and the scaler's books
// are the judges.
func TestHammer(t *testing.T) {
	b := newBed(t, t.TempDir(), map[string]handler{"f": echo, "g": func(e *fakeEnv, inv *gust.Invocation) (*gust.Result, error) {
		if inv.RequestID[0] < '4' {
			e.die()
			return nil, &gust.FunctionError{Outcome: gust.OutcomeExit, Message: "exit"}
		}
		return echo(e, inv)
	}})
	b.deploy(fn("f"), fn("g"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 150 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%7 == 0 {
					go cancel()
				}
				_, err := b.iv.Invoke(ctx, &Request{Function: []string{"f", "g"}[(i+n)%2], Payload: []byte("x")})
				cancel()
				var throttled *gust.ThrottledError
				if err != nil && !errors.Is(err, context.Canceled) && !errors.As(err, &throttled) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 100 {
			var fe *gust.FunctionError
			var throttled *gust.ThrottledError
			if _, err := b.iv.Warm(t.Context(), []string{"f", "g"}[n%2]); err != nil && !errors.As(err, &fe) && !errors.As(err, &throttled) {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for v := range 20 {
			b.deploy(fn("f", func(f *gust.Function) { f.Env = map[string]string{"V": fmt.Sprint(v)} }), fn("g"))
		}
	})
	wg.Wait()
	if tot := b.iv.Totals(); tot.Running != 0 || tot.Waiting != 0 || tot.Concurrency != 0 {
		t.Fatalf("%+v", tot)
	}
}
