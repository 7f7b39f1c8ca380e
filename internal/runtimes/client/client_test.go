package client_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes/client"
	"github.com/gust-dev/gust/internal/sandbox/runtimeapi"
)

// language is an interpreter with its client and the handlers of testdata.
type language struct {
	program   string // as it is looked for
	bootstrap string
	handlers  string
}

var (
	node   = language{"node", "bootstrap.cjs", "testdata/node"}
	python = language{"python3", "bootstrap.py", "testdata/python"}
)

// program is an interpreter that runs a handler of testdata on a real Runtime
// API session.
type program struct {
	*runtimeapi.Session
	t      *testing.T
	task   string
	client string
	env    map[string]string
	lines  chan string   // what it printed
	exited chan struct{} // closed when it has ended
	status int
	seq    int
}

// prepare makes the folders of a program that is not started yet.
func prepare(t *testing.T, l language, handler string, concurrency int) (*program, *exec.Cmd) {
	t.Helper()
	path, err := exec.LookPath(l.program)
	if err != nil {
		t.Skipf("%s is not installed here: its client is not tested", l.program)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &program{
		t: t, task: filepath.Join(dir, "task"), client: filepath.Join(dir, "client"),
		lines: make(chan string, 1000), exited: make(chan struct{}),
		Session: runtimeapi.New(ln, runtimeapi.Options{Concurrency: concurrency}),
	}
	if err := errors.Join(os.CopyFS(p.client, client.Files), os.CopyFS(p.task, os.DirFS(l.handlers))); err != nil {
		t.Fatal(err)
	}
	p.env = map[string]string{
		"PATH": os.Getenv("PATH"), "TZ": "UTC", "LAMBDA_TASK_ROOT": p.task, "_HANDLER": handler,
		"AWS_LAMBDA_RUNTIME_API": ln.Addr().String(), "AWS_LAMBDA_LOG_FORMAT": "JSON",
		"AWS_LAMBDA_FUNCTION_NAME": "fn", "AWS_LAMBDA_FUNCTION_VERSION": "3", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fn", "AWS_LAMBDA_LOG_STREAM_NAME": "a/stream",
	}
	cmd := exec.Command(path, filepath.Join(p.client, l.bootstrap))
	cmd.Dir = p.task
	return p, cmd
}

// run starts the program. At the test's end it is gone.
func (p *program) run(cmd *exec.Cmd) {
	p.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	w.Close()
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for s := bufio.NewReader(r); ; {
			line, err := s.ReadString('\n')
			if line != "" {
				p.lines <- strings.TrimSuffix(line, "\n")
			}
			if err != nil {
				close(p.lines)
				return
			}
		}
	}()
	go func() {
		defer close(p.exited)
		cmd.Wait() //nolint:errcheck // the status says it
		p.status = cmd.ProcessState.ExitCode()
		p.Fail(&gust.FunctionError{Outcome: gust.OutcomeExit, Type: "Runtime.ExitError", Message: fmt.Sprintf("exit status %d", p.status)})
	}()
	p.t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.exited
		<-printed
		r.Close()
	})
}

// start runs a handler, with variables NAME=value beside those that all have.
func start(t *testing.T, l language, handler string, env ...string) *program {
	t.Helper()
	p, cmd := prepare(t, l, handler, 1)
	cmd.Env = p.environ(env)
	p.run(cmd)
	return p
}

func (p *program) environ(more []string) []string {
	for _, v := range more {
		name, value, _ := strings.Cut(v, "=")
		p.env[name] = value
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(p.env)) {
		out = append(out, name+"="+p.env[name])
	}
	return out
}

const patience = 10 * time.Second

// invoke runs an event, and returns the answer or the error.
func (p *program) invoke(event string) (string, *gust.FunctionError) {
	p.t.Helper()
	return p.invokeAs(gust.Invocation{Payload: []byte(event)})
}

func (p *program) invokeAs(inv gust.Invocation) (string, *gust.FunctionError) {
	p.t.Helper()
	p.seq++
	inv.RequestID = fmt.Sprintf("request-%d", p.seq)
	inv.Deadline = deadline()
	result, err := p.Invoke(p.t.Context(), &inv)
	var fe *gust.FunctionError
	switch {
	case errors.As(err, &fe):
		return "", fe
	case err != nil:
		p.t.Fatalf("%.80s: %v", inv.Payload, err)
	case result.Stream != nil:
		p.t.Fatalf("%.80s: the answer is streamed", inv.Payload)
	}
	return string(result.Payload), nil
}

// answers runs an event that succeeds.
func (p *program) answers(event, want string) {
	p.t.Helper()
	got, fe := p.invoke(event)
	if fe != nil {
		p.t.Errorf("%.80s: %v", event, fe)
	} else if got != want {
		p.t.Errorf("%.80s: got %.200s, want %.200s", event, got, want)
	}
}

// line is the next line that the program printed.
func (p *program) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatal("the program has ended and printed no more")
		}
		return line
	case <-time.After(patience):
		p.t.Fatal("the program printed no more")
	}
	panic("unreachable")
}

// ends waits for the program's end.
func (p *program) ends(status int) {
	p.t.Helper()
	select {
	case <-p.exited:
		if p.status != status {
			p.t.Errorf("exit status %d, want %d", p.status, status)
		}
	case <-time.After(patience):
		p.t.Fatal("the program goes on")
	}
}

// failsToStart waits for the error that init ended with.
func (p *program) failsToStart() *gust.FunctionError {
	p.t.Helper()
	select {
	case <-p.Ready():
	case <-time.After(patience):
		p.t.Fatal("neither ready nor an error")
	}
	fe := p.InitError()
	if fe == nil {
		p.t.Fatal("it came up")
	}
	return fe
}

// golden compares an error with its file in testdata/golden. UPDATE=1 writes it.
func (p *program) golden(name string, fe *gust.FunctionError) {
	p.t.Helper()
	var doc any
	if err := json.Unmarshal(fe.Document(), &doc); err != nil {
		p.t.Fatalf("%s: %v in %s", name, err, fe.Document())
	}
	got, err := json.MarshalIndent(p.plain(doc), "", "  ")
	if err != nil {
		p.t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata/golden", name+".json")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		p.t.Errorf("%s: got %swant %s", name, got, want)
	}
}

// inner are lines of a stack that differ from one version of an interpreter to
// the next.
var inner = regexp.MustCompile(`^    at .*(node:|/var/runtime/)|^  File "[^"]*(importlib|/var/runtime/)|^    at new Promise|Require stack|^- /var/runtime`)

// plain names folders as they are in an environment, and leaves what is no
// business of the function out of stacks.
func (p *program) plain(v any) any {
	switch v := v.(type) {
	case string:
		return strings.NewReplacer(p.task, "/var/task", p.client, "/var/runtime").Replace(v)
	case []any:
		out := []any{}
		for _, item := range v {
			item = p.plain(item)
			if s, ok := item.(string); !ok || !inner.MatchString(s) {
				out = append(out, item)
			}
		}
		return out
	case map[string]any:
		for key, item := range v {
			v[key] = p.plain(item)
		}
	}
	return v
}

// record is a line in JSON.
func (p *program) record() map[string]any {
	p.t.Helper()
	line := p.line()
	var r map[string]any
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		p.t.Fatalf("%v in %s", err, line)
	}
	if s, ok := r["timestamp"].(string); ok {
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			p.t.Errorf("%s: %v", line, err)
		}
	}
	delete(r, "timestamp")
	return r
}

// logs compares the next records, without their times, with what they should be.
func (p *program) logs(want ...string) {
	p.t.Helper()
	for _, w := range want {
		got, err := json.Marshal(p.plain(p.record()))
		if err != nil {
			p.t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal([]byte(w), &doc); err != nil {
			p.t.Fatal(err)
		}
		if w, _ := json.Marshal(doc); !bytes.Equal(got, w) {
			p.t.Errorf("got  %s\nwant %s", got, w)
		}
	}
}

// stream runs an event whose answer is streamed, and reads it.
func (p *program) stream(event string) (body, contentType string, err error) {
	p.t.Helper()
	p.seq++
	result, err := p.Invoke(p.t.Context(), &gust.Invocation{
		RequestID: fmt.Sprintf("request-%d", p.seq), Payload: []byte(event), Deadline: deadline(),
	})
	if err != nil {
		return "", "", err
	}
	if result.Stream == nil {
		p.t.Fatalf("%s: the answer is not streamed: %.80s", event, result.Payload)
	}
	data, err := io.ReadAll(result.Stream)
	result.Stream.Close()
	return string(data), result.ContentType, err
}

func deadline() time.Time { return time.Now().Add(patience) }
