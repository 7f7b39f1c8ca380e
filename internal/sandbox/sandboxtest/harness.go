package sandboxtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// patience bounds everything that has to happen, but for no particular time. It
// is long because a slow machine is no error of a backend.
const patience = 20 * time.Second

// suite is one run: a backend's maker, the program, and what lies on the host
// for attacks to find.
type suite struct {
	newBackend func(*testing.T) sandbox.Backend
	caps       Capabilities
	// mark names this run in every environment's id, in every program's
	// environment and in every path.
	mark string
	dir  string // world-readable, removed after the test
	code string // the attacking program as a function's code
	root string // with the program as an interpreter, if caps.Pool is set
	next atomic.Uint32

	doors doors
}

func newSuite(t *testing.T, newBackend func(*testing.T) sandbox.Backend, caps Capabilities) *suite {
	t.Helper()
	var b [6]byte
	rand.Read(b[:])
	s := &suite{newBackend: newBackend, caps: caps, mark: hex.EncodeToString(b[:])}
	// Not t.TempDir, whose parent only the owner may enter: permissions must
	// not be what keeps a program out.
	dir, err := os.MkdirTemp("", "gust-sandboxtest-"+s.mark+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.dir, s.code = dir, filepath.Join(dir, "code")
	s.build(t)
	if caps.Pool != nil {
		s.root = caps.Pool.Root(t, filepath.Join(s.code, "bootstrap"))
	}
	return s
}

// build makes the code folder: the attacking program, and a file beside it.
func (s *suite) build(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(s.code, 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(s.code, "bootstrap")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out,
		"github.com/gust-dev/gust/internal/sandbox/sandboxtest/attacker")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the attacking program does not build: %v\n%s", err, text)
	}
	if err := os.WriteFile(filepath.Join(s.code, "data.txt"), bytes.Repeat([]byte("data"), 4096), 0o644); err != nil {
		t.Fatal(err)
	}
}

// backend makes one that is closed at the end of the test.
func (s *suite) backend(t *testing.T) sandbox.Backend {
	t.Helper()
	b := s.newBackend(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the backend: %v", err)
		}
	})
	return b
}

// spec is what a plain function of 128 MB has.
func (s *suite) spec(out *recorder) sandbox.Spec {
	var b [8]byte
	rand.Read(b[:])
	id := s.mark + fmt.Sprintf("%04x", s.next.Add(1)) + hex.EncodeToString(b[:])
	return sandbox.Spec{
		ID: id, API: s.doors.at(id),
		Function: "attacker", Runtime: gust.RuntimeProvided,
		Code: s.code, Command: []string{"./bootstrap"},
		Env:    []string{wire.Mark + "=" + s.mark, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"},
		Memory: gust.MinMemory, Ephemeral: gust.MinEphemeral, CPU: gust.CPUShared,
		Processes: gust.MaxProcesses, Concurrency: 1,
		Output: out.line,
	}
}

// pooled makes a spec one of the program as an interpreter that is booted ahead.
func (s *suite) pooled(spec *sandbox.Spec) {
	spec.Root, spec.Command = s.root, []string{Interpreter}
	spec.Boot = spec.Command
	// In the place of the id the program puts its own.
	spec.BootEnv = append(slices.Clone(spec.Env), wire.ID+"="+strings.Repeat("0", 32))
}

// env is an environment under test and what it printed.
type env struct {
	sandbox.Environment
	spec sandbox.Spec
	out  *recorder
}

// start starts an environment that the end of the test stops.
func (s *suite) start(t *testing.T, b sandbox.Backend, changes ...func(*sandbox.Spec)) *env {
	t.Helper()
	spec, out := s.changed(changes)
	if len(spec.Boot) > 0 {
		s.caps.Pool.Await(t, b, spec)
	}
	e, err := s.startSpec(t, b, spec, out)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	if want := len(spec.Boot) > 0; e.Pooled() != want {
		t.Errorf("its interpreter had been booted ahead: %v, want %v", e.Pooled(), want)
	}
	return e
}

// tryStart is start that may fail, and waits for nothing.
func (s *suite) tryStart(t *testing.T, b sandbox.Backend, changes ...func(*sandbox.Spec)) (*env, error) {
	t.Helper()
	spec, out := s.changed(changes)
	return s.startSpec(t, b, spec, out)
}

// changed is a spec with changes. What is not the program itself is not booted
// ahead.
func (s *suite) changed(changes []func(*sandbox.Spec)) (sandbox.Spec, *recorder) {
	out := &recorder{changed: make(chan struct{})}
	spec := s.spec(out)
	if s.root != "" {
		s.pooled(&spec)
	}
	for _, change := range changes {
		change(&spec)
	}
	if !slices.Equal(spec.Command, spec.Boot) {
		spec.Boot = nil
	}
	spec.Env = append(spec.Env, wire.ID+"="+spec.ID)
	return spec, out
}

func (s *suite) startSpec(t *testing.T, b sandbox.Backend, spec sandbox.Spec, out *recorder) (*env, error) {
	t.Helper()
	inner, err := b.Start(t.Context(), spec)
	if err != nil {
		return nil, err
	}
	e := &env{inner, spec, out}
	t.Cleanup(func() {
		stopped := make(chan struct{})
		go func() { defer close(stopped); e.Stop(0) }()
		within(t, "Stop(0)", stopped)
		within(t, "Done after Stop", e.Done())
		if t.Failed() {
			t.Logf("its output:\n%s", out.tail())
		}
	})
	return e, nil
}

// ready starts an environment and waits until it is ready.
func (s *suite) ready(t *testing.T, b sandbox.Backend, changes ...func(*sandbox.Spec)) *env {
	t.Helper()
	e := s.start(t, b, changes...)
	within(t, "Ready", e.Ready())
	if err := e.InitError(); err != nil {
		t.Fatalf("the program did not come up: %v\n%s", err, e.out.tail())
	}
	return e
}

// invocation makes one with a deadline.
func invocation(ev wire.Event, within time.Duration) *gust.Invocation {
	doc, err := json.Marshal(ev)
	if err != nil {
		panic(err) // plain fields always marshal
	}
	return &gust.Invocation{
		RequestID: uuid.NewString(), Payload: doc, Deadline: time.Now().Add(within),
		ARN:     gust.DefaultPlace.FunctionARN("attacker"),
		TraceID: "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
	}
}

// ask runs an event that has to be answered and decodes the answer.
func ask[T any](t *testing.T, e *env, ev wire.Event) T {
	t.Helper()
	var v T
	res, err := e.Invoke(t.Context(), invocation(ev, patience))
	if err != nil {
		t.Fatalf("%s: %v\n%s", ev.Do, err, e.out.tail())
	}
	if res.Stream != nil {
		t.Fatalf("%s: the answer is a stream", ev.Do)
	}
	if err := json.Unmarshal(res.Payload, &v); err != nil {
		t.Fatalf("%s: the answer %.200q: %v", ev.Do, res.Payload, err)
	}
	return v
}

// echo shows that an environment is alive and well.
func echo(t *testing.T, e *env) {
	t.Helper()
	want := rand.Text()
	if got := ask[map[string]string](t, e, wire.Event{Do: "echo", Text: want}); got["text"] != want {
		t.Fatalf("the echo is %v, want %q", got, want)
	}
}

// fails runs an event that has to end in an error of one of these outcomes.
func fails(t *testing.T, e *env, ev wire.Event, deadline time.Duration, want ...gust.Outcome) *gust.FunctionError {
	t.Helper()
	res, err := e.Invoke(t.Context(), invocation(ev, deadline))
	var f *gust.FunctionError
	switch {
	case err == nil:
		t.Fatalf("%s: answered %.500s, want the outcome %v", ev.Do, res.Payload, want)
	case !errors.As(err, &f):
		t.Fatalf("%s: %v (%T), want a *gust.FunctionError with the outcome %v\n%s", ev.Do, err, err, want, e.out.tail())
	case !slices.Contains(want, f.Outcome):
		t.Fatalf("%s: the outcome is %s (%v), want %v\n%s", ev.Do, f.Outcome, f, want, e.out.tail())
	case f.Error() == "":
		t.Fatalf("%s: the error of outcome %s says nothing", ev.Do, f.Outcome)
	}
	return f
}

// ended waits for the end and asserts how it came. Status -1 is any.
func ended(t *testing.T, e *env, want gust.Outcome, status int) {
	t.Helper()
	within(t, "Done", e.Done())
	if got := e.Exit(); got.Outcome != want || status >= 0 && got.Status != status {
		t.Fatalf("it ended as %+v, want %s with status %d\n%s", got, want, status, e.out.tail())
	}
}

func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come within %v", what, patience)
	}
}

// eventually asks again and again: for what the kernel does in its own time and
// tells nobody.
func eventually(ctx context.Context, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return done()
		}
	}
	return true
}

// recorder keeps what an environment printed, up to a bound.
type recorder struct {
	mu      sync.Mutex
	lines   []string
	kept    int
	total   int64
	longest int
	changed chan struct{} // closed and replaced with each line
	inside  atomic.Int32
	overlap atomic.Bool
}

const keptOutput = 4 << 20

func (r *recorder) line(b []byte) {
	if r.inside.Add(1) != 1 {
		r.overlap.Store(true)
	}
	defer r.inside.Add(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total += int64(len(b))
	r.longest = max(r.longest, len(b))
	if r.kept < keptOutput {
		r.kept += len(b) + 1
		r.lines = append(r.lines, string(b))
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// all is every line so far.
func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func (r *recorder) tail() string {
	lines := r.all()
	text := strings.Join(lines[max(0, len(lines)-20):], "\n")
	return text[max(0, len(text)-4096):]
}

// wait returns when a line with this text is there.
func (r *recorder) wait(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		found := slices.ContainsFunc(r.lines, func(l string) bool { return strings.Contains(l, text) })
		changed := r.changed
		r.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no line with %q came; there is:\n%s", text, r.tail())
		}
	}
}
