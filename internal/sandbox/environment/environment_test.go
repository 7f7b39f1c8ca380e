//go:build unix

package environment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/environment"
)

func TestWording(t *testing.T) {
	for _, c := range []struct {
		got  *gust.FunctionError
		want string
	}{
		{environment.Timeout("id", 3*time.Second), "timeout Sandbox.Timedout: id Task timed out after 3.00 seconds"},
		{environment.Timeout("id", 1499900*time.Microsecond), "timeout Sandbox.Timedout: id Task timed out after 1.50 seconds"},
		{environment.Timeout("", time.Minute), "timeout Sandbox.Timedout: Task timed out after 60.00 seconds"},
		{environment.Ended("id", sandbox.Exit{Outcome: gust.OutcomeExit, Status: 2}, 0), "exit Runtime.ExitError: RequestId: id Error: Runtime exited with error: exit status 2"},
		{environment.Ended("id", sandbox.Exit{Outcome: gust.OutcomeExit}, 0), "exit Runtime.ExitError: RequestId: id Error: Runtime exited without providing a reason"},
		{environment.Ended("id", sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGSEGV)}, 0), "crash Runtime.ExitError: RequestId: id Error: Runtime exited with error: signal: segmentation fault"},
		{environment.Ended("id", sandbox.Exit{Outcome: gust.OutcomeMemory, Status: 9}, 128*gust.MB), "out_of_memory Runtime.OutOfMemory: RequestId: id Error: Runtime exited with error: signal: killed: out of memory, its limit is 128 MB"},
		{environment.Ended("", sandbox.Exit{Outcome: gust.OutcomeOK}, 0), "sandbox_error Sandbox.Stopped: Error: the environment was stopped before the invocation was done"},
		{environment.Ended("", sandbox.Exit{Outcome: gust.OutcomeSandbox}, 0), "sandbox_error Sandbox.Failure: Error: the environment failed before the invocation was done"},
		{environment.NotStarted(sandbox.Exit{Outcome: gust.OutcomeExit, Status: 1}, 0, []byte("o")), "init_error Runtime.ExitError: Error: Runtime exited with error: exit status 1"},
		{environment.NotStarted(sandbox.Exit{Outcome: gust.OutcomeMemory}, 256*gust.MB, nil), "out_of_memory Runtime.OutOfMemory: Error: Runtime exited with error: signal: killed: out of memory, its limit is 256 MB"},
		{environment.InvalidEntrypoint(errors.New("fork/exec /var/task/bootstrap: permission denied")), "init_error Runtime.InvalidEntrypoint: Error: fork/exec /var/task/bootstrap: permission denied"},
	} {
		if got := fmt.Sprintf("%s %v", c.got.Outcome, c.got); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// fake is a program that ends when the test says so, or when it is killed,
// and records what is asked of it.
type fake struct {
	exit     chan sandbox.Exit
	immortal bool
	write    *os.File // its end of the output

	mu    sync.Mutex
	asked []string
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
}

func (f *fake) notes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fake) end(e sandbox.Exit) {
	select {
	case f.exit <- e:
	default: // it has ended
	}
}

func (f *fake) Terminate() { f.note("terminate") }
func (f *fake) Kill() {
	f.note("kill")
	if !f.immortal {
		f.end(sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGKILL)})
	}
}
func (f *fake) Freeze() error         { f.note("freeze"); return nil }
func (f *fake) Thaw() error           { f.note("thaw"); return nil }
func (f *fake) SetInit(on bool) error { f.note(fmt.Sprint("init ", on)); return nil }
func (f *fake) BytesOut() int64       { return 0 }
func (f *fake) Usage() sandbox.Usage  { return sandbox.Usage{Memory: 1} }
func (f *fake) PID() (int, error)     { return os.Getpid(), nil }
func (f *fake) Dial(context.Context, int) (net.Conn, error) {
	return nil, net.ErrClosed
}
func (f *fake) Wait() sandbox.Exit {
	e := <-f.exit
	f.note("ended")
	f.write.Close()
	return e
}
func (f *fake) Release() { f.note("release") }

type program struct {
	*fake
	env   *environment.Environment
	addr  string
	lines []string // read after Done
}

func start(t *testing.T) *program {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{fake: &fake{exit: make(chan sandbox.Exit, 1), write: w}, addr: ln.Addr().String()}
	p.env, err = environment.New(environment.Parts{
		Spec:     sandbox.Spec{ID: "e", Memory: 128 * gust.MB, Concurrency: 1, Output: func(b []byte) { p.lines = append(p.lines, string(b)) }},
		Process:  p.fake,
		Output:   r,
		Listener: ln,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.immortal = false
		p.env.Stop(0)
	})
	return p
}

// next asks for an event and returns its request id.
func (p *program) next(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + p.addr + "/2018-06-01/runtime/invocation/next")
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
}

// ask asks for an event, and never reads it.
func (p *program) ask(t *testing.T) {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n")
	<-p.env.Ready()
}

func (p *program) invoke(t *testing.T, within time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.env.Invoke(t.Context(), &gust.Invocation{RequestID: "r1", Payload: []byte("{}"), Deadline: time.Now().Add(within)})
		done <- err
	}()
	return done
}

func want(t *testing.T, err error, outcome gust.Outcome, message string) {
	t.Helper()
	var fe *gust.FunctionError
	if !errors.As(err, &fe) || fe.Outcome != outcome || !strings.Contains(fe.Message, message) {
		t.Errorf("got %v, want %s: %s", err, outcome, message)
	}
}

func TestTheEndComesInOrder(t *testing.T) {
	p := start(t)
	done := p.invoke(t, time.Minute)
	p.next(t)
	io.WriteString(p.write, "a line\nthe last words")
	p.end(sandbox.Exit{Outcome: gust.OutcomeExit, Status: 7})
	want(t, <-done, gust.OutcomeExit, "RequestId: r1 Error: Runtime exited with error: exit status 7")
	<-p.env.Done()
	if want := []string{"a line", "the last words"}; !slices.Equal(p.lines, want) {
		t.Errorf("output %q", p.lines)
	}
	if want := []string{"ended", "release"}; !slices.Equal(p.notes(), want) {
		t.Errorf("asked for %q", p.notes())
	}
	if got := p.env.Exit(); got != (sandbox.Exit{Outcome: gust.OutcomeExit, Status: 7}) {
		t.Errorf("exit %+v", got)
	}
	p.env.Stop(time.Minute) // again, when there is nothing left
}

func TestOutOfMemoryIsToldEvenOfWhatWasKilled(t *testing.T) {
	p := start(t)
	p.immortal = true
	p.ask(t)
	done := p.invoke(t, 50*time.Millisecond)
	for !slices.Contains(p.notes(), "kill") {
		p.env.Usage()
	}
	p.end(sandbox.Exit{Outcome: gust.OutcomeMemory, Status: 9})
	want(t, <-done, gust.OutcomeTimeout, "r1 Task timed out after 0.05 seconds")
	<-p.env.Done()
	if got := p.env.Exit().Outcome; got != gust.OutcomeMemory {
		t.Errorf("exit %s", got)
	}
}

// A process that the kernel does not let die does not hold its invocation.
func TestTimeoutOfAProgramThatDoesNotDie(t *testing.T) {
	p := start(t)
	p.immortal = true
	p.ask(t)
	done := p.invoke(t, 50*time.Millisecond)
	want(t, <-done, gust.OutcomeTimeout, "")
	select {
	case <-p.env.Done():
		t.Error("it counts as ended")
	default:
	}
	if _, err := p.env.Invoke(t.Context(), &gust.Invocation{RequestID: "r2", Deadline: time.Now().Add(time.Millisecond)}); err == nil {
		t.Error("it took another invocation")
	}
	p.end(sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGKILL)})
	<-p.env.Done()
	if got := p.env.Exit(); got.Outcome != gust.OutcomeOK {
		t.Errorf("exit %+v", got)
	}
}

// cutOff begins an answer that never ends.
func (p *program) cutOff(t *testing.T, id string) net.Conn {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf", id)
	return c
}

func TestBreakingTheProtocolEndsTheEnvironment(t *testing.T) {
	t.Run("by a program that goes on", func(t *testing.T) {
		p := start(t)
		done := p.invoke(t, time.Minute)
		p.cutOff(t, p.next(t)).Close()
		want(t, <-done, gust.OutcomeProtocol, "before the whole response")
		<-p.env.Done()
		if got := p.env.Exit().Outcome; got != gust.OutcomeOK {
			t.Errorf("exit %s", got)
		}
	})
	t.Run("by a program that was ending", func(t *testing.T) {
		p := start(t)
		done := p.invoke(t, time.Minute)
		c := p.cutOff(t, p.next(t))
		p.end(sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(syscall.SIGBUS)})
		c.Close()
		want(t, <-done, gust.OutcomeCrash, "RequestId: r1 Error: Runtime exited with error: signal: bus error")
	})
}

func TestInitErrorHasTheOutput(t *testing.T) {
	p := start(t)
	io.WriteString(p.write, "no configuration")
	resp, err := http.Post("http://"+p.addr+"/2018-06-01/runtime/init/error", "", strings.NewReader(`{"errorMessage":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-p.env.Ready()
	if got := p.env.InitError(); got.Message != "m" || got.Output != "no configuration" || got.Outcome != gust.OutcomeInit {
		t.Errorf("got %+v", got)
	}
}

func TestStop(t *testing.T) {
	p := start(t)
	p.env.Freeze()
	stopped := make(chan struct{})
	go func() { p.env.Stop(time.Minute); close(stopped) }()
	for !slices.Contains(p.notes(), "thaw") {
		p.env.Usage()
	}
	p.end(sandbox.Exit{Outcome: gust.OutcomeExit, Status: 143})
	<-stopped
	if want := []string{"freeze", "terminate", "thaw", "ended", "release"}; !slices.Equal(p.notes(), want) {
		t.Errorf("asked for %q", p.notes())
	}
	if got := p.env.Exit(); got != (sandbox.Exit{Outcome: gust.OutcomeOK, Status: 143}) {
		t.Errorf("exit %+v", got)
	}
}

func TestBrokenPartsLeaveNothing(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Fd() // makes it blocking, which the output cannot be
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{exit: make(chan sandbox.Exit, 1), write: w}
	env, err := environment.New(environment.Parts{Process: f, Output: r, Listener: ln})
	if err == nil || env != nil {
		t.Fatalf("got %v, %v", env, err)
	}
	if want := []string{"kill", "ended", "release"}; !slices.Equal(f.notes(), want) {
		t.Errorf("asked for %q", f.notes())
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v", err)
	}
}
