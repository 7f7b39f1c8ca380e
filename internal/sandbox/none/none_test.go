//go:build unix

package none_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/none"
)

// started is an environment with what it printed.
type started struct {
	sandbox.Environment
	t   *testing.T
	dir string

	mu    sync.Mutex
	lines []string
}

func (s *started) output() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

var ids struct {
	sync.Mutex
	n int
}

// start runs this test binary as the program named.
func start(t *testing.T, program string, change ...func(*sandbox.Spec)) *started {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &started{t: t, dir: t.TempDir()}
	b, err := none.New(none.Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ids.Lock()
	ids.n++
	id := fmt.Sprintf("%032x", ids.n)
	ids.Unlock()
	spec := sandbox.Spec{
		ID: id, Function: "f", Runtime: gust.RuntimeProvided, Code: filepath.Dir(self), Command: []string{self},
		Env:    []string{"PROGRAM=" + program, "PATH=" + os.Getenv("PATH"), "LAMBDA_TASK_ROOT=/var/task"},
		Memory: 128 * gust.MB, Ephemeral: 512 * gust.MB, Processes: 1024, Concurrency: 1,
		Output: func(line []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lines = append(s.lines, string(line))
		},
	}
	for _, f := range change {
		f(&spec)
	}
	env, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Environment = env
	return s
}

func isHTTP(s *sandbox.Spec) { s.Runtime, s.Concurrency = gust.RuntimeHTTP, 10 }

func (s *started) invoke(id string, do string, n int, within time.Duration) (*gust.Result, error) {
	return s.Invoke(s.t.Context(), &gust.Invocation{
		RequestID: id, Payload: fmt.Appendf(nil, `{"do":%q,"n":%d}`, do, n), Deadline: time.Now().Add(within), ARN: "arn:f",
	})
}

func (s *started) wantError(err error, outcome gust.Outcome, kind, message string) *gust.FunctionError {
	s.t.Helper()
	var fe *gust.FunctionError
	if !errors.As(err, &fe) {
		s.t.Fatalf("got %v, want a function's error", err)
	}
	if fe.Outcome != outcome || fe.Type != kind || fe.Message != message {
		s.t.Errorf("got %s %s: %q\nwant %s %s: %q", fe.Outcome, fe.Type, fe.Message, outcome, kind, message)
	}
	return fe
}

func (s *started) wantExit(outcome gust.Outcome, status int) {
	s.t.Helper()
	<-s.Done()
	if got := s.Exit(); got.Outcome != outcome || got.Status != status {
		s.t.Errorf("exit %+v, want %s %d", got, outcome, status)
	}
	left, err := os.ReadDir(s.dir)
	if err != nil || len(left) > 0 {
		s.t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInvoke(t *testing.T) {
	s := start(t, "lambda")
	for _, id := range []string{"cold", "warm", "warm-again"} {
		deadline := time.Now().Add(20 * time.Second).Truncate(time.Millisecond)
		r, err := s.Invoke(t.Context(), &gust.Invocation{
			RequestID: id, Payload: []byte(`{"do":"context"}`), Deadline: deadline, ARN: "arn:aws:lambda:f",
			TraceID: "Root=1-2-3;Sampled=1", ClientContext: `{"custom":{"a":"b"}}`, CognitoIdentity: `{"cognitoIdentityId":"me"}`,
		})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(r.Payload, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"id": id, "arn": "arn:aws:lambda:f", "deadline": float64(deadline.UnixMilli()),
			"trace": "Root=1-2-3;Sampled=1", "client": map[string]any{"a": "b"}, "identity": "me",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if r.ContentType != "application/json" {
			t.Errorf("content type %q", r.ContentType)
		}
	}
	if _, err := s.RoundTrip(&http.Request{}); err == nil {
		t.Error("RoundTrip did not fail")
	}
	s.Stop(0)
	s.wantExit(gust.OutcomeOK, int(syscall.SIGKILL))
	if _, err := s.invoke("late", "", 0, time.Second); !errors.Is(err, sandbox.ErrGone) {
		t.Errorf("after the end: %v", err)
	}
}

func TestLinesAreThereWhenInvokeReturns(t *testing.T) {
	s := start(t, "lambda")
	for i := range 20 {
		if _, err := s.invoke(strconv.Itoa(i), "print", 100, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := len(s.output()); n != 100*(i+1) {
			t.Fatalf("%d lines, want %d", n, 100*(i+1))
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		do            string
		n             int
		outcome       gust.Outcome
		kind, message string
		goesOn        bool
		exit          gust.Outcome
		status        int
	}{
		{do: "error", outcome: gust.OutcomeError, kind: "errorString", message: "it did not work", goesOn: true},
		{do: "panic", outcome: gust.OutcomeError, kind: "string", message: "it broke", exit: gust.OutcomeExit, status: 1},
		{do: "exit", n: 2, outcome: gust.OutcomeExit, kind: "Runtime.ExitError", message: "RequestId: r1 Error: Runtime exited with error: exit status 2", exit: gust.OutcomeExit, status: 2},
		{do: "exit", n: 0, outcome: gust.OutcomeExit, kind: "Runtime.ExitError", message: "RequestId: r1 Error: Runtime exited without providing a reason", exit: gust.OutcomeExit},
		{do: "kill", outcome: gust.OutcomeExit, kind: "Runtime.ExitError", message: "RequestId: r1 Error: Runtime exited with error: exit status 2", exit: gust.OutcomeExit, status: 2}, // Go's runtime turns SIGSEGV into 2
		{do: "sleep", n: 60_000, outcome: gust.OutcomeTimeout, kind: "Sandbox.Timedout", message: "r1 Task timed out after 0.20 seconds", exit: gust.OutcomeOK, status: 9},
		{do: "big", n: gust.MaxSyncPayload, outcome: gust.OutcomeSize, kind: "Function.ResponseSizeTooLarge", message: "Response payload size (6291458 bytes) exceeded maximum allowed payload size (6291456 bytes).", exit: gust.OutcomeExit, status: 1},
	} {
		t.Run(fmt.Sprint(c.do, c.n), func(t *testing.T) {
			s := start(t, "lambda")
			<-s.Ready()
			within := 20 * time.Second
			if c.outcome == gust.OutcomeTimeout {
				within = 200 * time.Millisecond
			}
			_, err := s.invoke("r1", c.do, c.n, within)
			s.wantError(err, c.outcome, c.kind, c.message)
			if c.do == "exit" {
				if out := s.output(); !reflect.DeepEqual(out, []string{"last words"}) {
					t.Errorf("output %q", out)
				}
			}
			if !c.goesOn {
				s.wantExit(c.exit, c.status)
			} else if _, err := s.invoke("r2", "echo", 0, within); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInitFailures(t *testing.T) {
	for _, c := range []struct {
		program, kind, message, output string
		status                         int
	}{
		{"init-panic", "Runtime.ExitError", "Error: Runtime exited with error: exit status 2", "panic: cannot begin", 2},
		{"init-error", "Config.Missing", "there is no configuration", "reading the configuration", 1},
	} {
		t.Run(c.program, func(t *testing.T) {
			s := start(t, c.program)
			_, err := s.invoke("r1", "", 0, 20*time.Second)
			fe := s.wantError(err, gust.OutcomeInit, c.kind, c.message)
			if !strings.Contains(fe.Output, c.output) {
				t.Errorf("the output is %q", fe.Output)
			}
			<-s.Ready()
			if got := s.InitError(); got == nil || got.Message != fe.Message {
				t.Errorf("got %v", got)
			}
			s.wantExit(gust.OutcomeExit, c.status)
		})
	}
}

func TestProgramThatNeverBecomesReady(t *testing.T) {
	s := start(t, "silent")
	_, err := s.invoke("r1", "", 0, 100*time.Millisecond)
	s.wantError(err, gust.OutcomeTimeout, "Sandbox.Timedout", "r1 Task timed out after 0.10 seconds")
	s.wantExit(gust.OutcomeOK, int(syscall.SIGKILL))
	if s.InitError() == nil {
		t.Error("it counts as ready")
	}
}

func TestProgramsThatCannotBeExecuted(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"not-executable": "#!/bin/sh\n", "not-a-program": "hello"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), map[string]os.FileMode{"not-executable": 0o600}[name]|0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(dir, "not-a-program"), 0o700)
	temp := t.TempDir()
	b, err := none.New(none.Options{Dir: temp})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []struct{ command, message string }{
		{"./not-executable", "permission denied"},
		{"not-a-program", "exec format error"},
		{"missing", "no such file or directory"},
	} {
		_, err := b.Start(t.Context(), sandbox.Spec{ID: "x", Function: "f", Runtime: gust.RuntimeProvided, Code: dir, Command: []string{c.command}, Output: func([]byte) {}})
		var fe *gust.FunctionError
		if !errors.As(err, &fe) || fe.Type != "Runtime.InvalidEntrypoint" || !strings.Contains(fe.Message, c.message) {
			t.Errorf("%s: got %v", c.command, err)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s: left behind: %v", c.command, left)
		}
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	b, err := none.New(none.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	good := sandbox.Spec{ID: "x", Runtime: gust.RuntimeGo, Code: "/", Command: []string{"true"}, Output: func([]byte) {}}
	for name, change := range map[string]func(*sandbox.Spec){
		"no id":      func(s *sandbox.Spec) { s.ID = "" },
		"id":         func(s *sandbox.Spec) { s.ID = "../x" },
		"no command": func(s *sandbox.Spec) { s.Command = nil },
		"code":       func(s *sandbox.Spec) { s.Code = "here" },
		"output":     func(s *sandbox.Spec) { s.Output = nil },
		"layers":     func(s *sandbox.Spec) { s.Layers = []string{"/layer"} },
	} {
		spec := good
		change(&spec)
		if _, err := b.Start(t.Context(), spec); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Start(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.Close()
	if _, err := b.Start(t.Context(), good); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("got %v", err)
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		program string
		grace   time.Duration
		frozen  bool
		status  int
		output  []string
	}{
		{program: "lambda", grace: 20 * time.Second, status: int(syscall.SIGTERM)},
		{program: "sigterm", grace: 20 * time.Second, output: []string{"asked to end"}},
		{program: "sigterm", grace: 20 * time.Second, frozen: true, output: []string{"asked to end"}},
		{program: "stubborn", grace: 50 * time.Millisecond, status: int(syscall.SIGKILL)},
		{program: "stubborn", status: int(syscall.SIGKILL), frozen: true},
	} {
		t.Run(fmt.Sprint(c.program, c.frozen, c.grace), func(t *testing.T) {
			s := start(t, c.program)
			<-s.Ready()
			if err := s.InitError(); err != nil {
				t.Fatal(err)
			}
			if c.frozen {
				if err := s.Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			s.Stop(c.grace)
			s.Stop(c.grace)
			s.wantExit(gust.OutcomeOK, c.status)
			if out := s.output(); !reflect.DeepEqual(out, c.output) {
				t.Errorf("output %q", out)
			}
		})
	}
}

func TestStopEndsWhatIsUnderWay(t *testing.T) {
	s := start(t, "lambda")
	<-s.Ready()
	done := make(chan error)
	go func() {
		_, err := s.invoke("r1", "sleep", 60_000, 60*time.Second)
		done <- err
	}()
	s.Stop(20 * time.Second)
	err := <-done
	if errors.Is(err, sandbox.ErrGone) {
		return // Stop was first
	}
	s.wantError(err, gust.OutcomeSandbox, "Sandbox.Stopped", "RequestId: r1 Error: the environment was stopped before the invocation was done")
}

func TestFreeze(t *testing.T) {
	s := start(t, "lambda")
	if _, err := s.invoke("r1", "echo", 0, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.invoke("r2", "echo", 0, 20*time.Second)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("a frozen program answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	for range 2 {
		if err := s.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Stop(0)
	if err := errors.Join(s.Freeze(), s.Thaw(), s.SetInit(false)); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func TestCancelledInvocationEndsTheEnvironment(t *testing.T) {
	s := start(t, "lambda")
	<-s.Ready()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("nobody waits any more")
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	_, err := s.Invoke(ctx, &gust.Invocation{RequestID: "r1", Payload: []byte(`{"do":"sleep","n":60000}`), Deadline: time.Now().Add(time.Minute)})
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	s.wantExit(gust.OutcomeOK, int(syscall.SIGKILL))
}

// The token is the node's user's alone, and beside the folder that the program
// may empty. What is looked for at home is not looked for in everybody's /tmp.
func TestItsOwnFiles(t *testing.T) {
	var sum [sha256.Size]byte
	s := start(t, "lambda", func(s *sandbox.Spec) {
		s.Env = append(s.Env, "HOME=/tmp")
		s.API = func(ln net.Listener, token [sha256.Size]byte) io.Closer { sum = token; return ln }
	})
	r, err := s.invoke("r1", "variables", 0, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(r.Payload, &got); err != nil {
		t.Fatal(err)
	}
	file := got["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
	token, err := os.ReadFile(file)
	if err != nil || sha256.Sum256(token) != sum || len(token) != 64 {
		t.Errorf("the token is %q, %v", token, err)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, info, err, want)
		}
	}
	if tmp := got["TMPDIR"]; got["HOME"] != tmp || filepath.Dir(tmp) != filepath.Dir(file) {
		t.Errorf("HOME=%s, TMPDIR=%s, the token is %s", got["HOME"], tmp, file)
	}
	s.Stop(0)
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	s := start(t, "lambda")
	r, err := s.invoke("r1", "tmp", 0, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(r.Payload), `"`+s.dir) {
		t.Errorf("TMPDIR/file is %s", r.Payload)
	}
	if r, err = s.invoke("r2", "orphan", 0, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(r.Payload))
	if err != nil {
		t.Fatal(err)
	}
	s.invoke("r3", "exit", 0, 20*time.Second)
	s.wantExit(gust.OutcomeExit, 0)
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("its child is still there:\n%s", status)
	}
}

func TestStreams(t *testing.T) {
	s := start(t, "lambda")
	r, err := s.invoke("r1", "stream", 10_000, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Stream)
	if err != nil || strings.Count(string(b), "\n") != 10_000 || !strings.HasSuffix(string(b), "part 9999\n") {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	if out := s.output(); len(out) != 1 {
		t.Errorf("output %q", out)
	}
	r.Stream.Close()

	if r, err = s.invoke("r2", "stream-error", 0, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(r.Stream)
	if string(b) != "half" {
		t.Errorf("got %q", b)
	}
	s.wantError(err, gust.OutcomeError, "errorString", "the other half is missing")
	r.Stream.Close()

	if r, err = s.invoke("r3", "stream", 20_000, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	r.Stream.Close() // early: the rest is taken, and the environment goes on
	if _, err = s.invoke("r4", "echo", 0, 20*time.Second); err != nil {
		t.Error(err)
	}

	if r, err = s.invoke("r5", "stream-stall", 0, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r.Stream)
	s.wantError(err, gust.OutcomeTimeout, "Sandbox.Timedout", "r5 Task timed out after 0.20 seconds")
	r.Stream.Close()
	s.wantExit(gust.OutcomeOK, int(syscall.SIGKILL))
}

// A stream that nobody reads does not keep its program past the deadline.
func TestUnreadStreamEndsAtItsDeadline(t *testing.T) {
	s := start(t, "lambda")
	<-s.Ready()
	r, err := s.invoke("r1", "stream-stall", 0, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	s.wantExit(gust.OutcomeOK, int(syscall.SIGKILL))
	r.Stream.Close()
}

func TestConcurrentInvocations(t *testing.T) {
	s := start(t, "lambda", func(spec *sandbox.Spec) {
		spec.Concurrency = 4
		spec.Env = append(spec.Env, "AWS_LAMBDA_MAX_CONCURRENCY=4")
	})
	var all sync.WaitGroup
	begin := time.Now()
	for i := range 4 {
		all.Go(func() {
			if _, err := s.invoke(fmt.Sprint("r", i), "sleep", 300, 20*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	t.Logf("4 sleeps of 300 ms took %v", time.Since(begin))
}

func TestUsage(t *testing.T) {
	s := start(t, "lambda")
	if _, err := s.invoke("r1", "allocate", 64*gust.MB, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	s.Stop(0)
	if u := s.Usage(); u.PeakMemory < 64*gust.MB || u.CPU <= 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := none.New(none.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var envs []sandbox.Environment
	for i := range 3 {
		env, err := b.Start(t.Context(), sandbox.Spec{
			ID: fmt.Sprint("c", i), Runtime: gust.RuntimeGo, Code: "/", Command: []string{self}, Env: []string{"PROGRAM=stubborn"}, Output: func([]byte) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		envs = append(envs, env)
	}
	b.Close()
	for _, env := range envs {
		select {
		case <-env.Done():
		default:
			t.Error("an environment is still there")
		}
	}
}

func (s *started) get(path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.RoundTrip(req)
}

func TestHTTP(t *testing.T) {
	s := start(t, "http", isHTTP, func(spec *sandbox.Spec) { spec.Ready = "/ready" })
	resp, err := s.get("http://shop.example/echo?a=b", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Method, Host, Path, Body string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if got.Method != "POST" || got.Host != "shop.example" || got.Path != "/echo?a=b" || got.Body != "hello" {
		t.Errorf("got %+v", got)
	}
	if out := s.output(); !reflect.DeepEqual(out, []string{"echo"}) {
		t.Errorf("output %q", out)
	}
	if _, err := s.Invoke(t.Context(), &gust.Invocation{}); err == nil {
		t.Error("Invoke did not fail")
	}

	resp, err = s.get("/half", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if string(b) != "half" {
		t.Errorf("got %q", b)
	}
	s.wantError(err, gust.OutcomeExit, "Runtime.ExitError", "Error: Runtime exited with error: exit status 3")
	s.wantExit(gust.OutcomeExit, 3)
	if _, err := s.get("/echo", nil); !errors.Is(err, sandbox.ErrGone) {
		t.Errorf("after the end: %v", err)
	}
}

func TestHTTPExit(t *testing.T) {
	s := start(t, "http", isHTTP)
	_, err := s.get("/exit", strings.NewReader("x"))
	s.wantError(err, gust.OutcomeExit, "Runtime.ExitError", "Error: Runtime exited with error: exit status 3")
	s.wantExit(gust.OutcomeExit, 3)
}

func TestHTTPInitFailure(t *testing.T) {
	s := start(t, "init-panic", isHTTP)
	_, err := s.get("/", nil)
	fe := s.wantError(err, gust.OutcomeInit, "Runtime.ExitError", "Error: Runtime exited with error: exit status 2")
	if !strings.Contains(fe.Output, "cannot begin") {
		t.Errorf("output %q", fe.Output)
	}
}
