package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
)

// programs is the folder with the binaries that the tests run, built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gust-node-")
	if err != nil {
		return "", err
	}
	for out, pkg := range map[string]string{"gust": "../../cmd/gust", "actor": "./testdata/actor"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" { // whatever came of it
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// goCache is where this machine's builds are, so that those of deploys need not
// begin with the standard library.
var goCache = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// patience is how long the tests wait for what has to happen: far above what
// anything takes.
const patience = time.Minute

// until looks again and again until ok. It is for what other processes do, who
// signal nobody.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("in %v it never happened: %s", patience, what)
		}
	}
}

// house is a data folder and an app to deploy, with the programs to live in it.
type house struct {
	t         *testing.T
	bin       string
	app, data string
	sandbox   string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	h := &house{t: t, bin: filepath.Join(dir, "gust"), app: filepath.Join(home, "app"), data: filepath.Join(home, "data"), sandbox: "process"}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		h.sandbox = "none"
	}
	h.source("f", filepath.Join(dir, "actor"))
	return h
}

// isolated skips what only the process sandbox can show.
func (h *house) isolated() {
	h.t.Helper()
	if h.sandbox != "process" {
		h.t.Skip("the process sandbox needs Linux and root")
	}
}

// source makes a folder of the app with a program as its bootstrap.
func (h *house) source(name, program string) {
	h.t.Helper()
	dir := filepath.Join(h.app, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(dir, "bootstrap")); err != nil {
		data, err := os.ReadFile(program)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "bootstrap"), data, 0o755)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// manifest writes the app's.
func (h *house) manifest(text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.app, "gust.yaml"), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// deploy deploys a manifest, which has to succeed.
func (h *house) deploy(manifest string, flags ...string) {
	h.t.Helper()
	h.manifest(manifest)
	if out, status := h.gust(append([]string{"deploy", h.app}, flags...)...); status != 0 {
		h.t.Fatalf("gust deploy ended with status %d:\n%s", status, out)
	}
}

// gust runs the command on the house's data folder, and gives all it printed
// and its exit status.
func (h *house) gust(args ...string) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.bin, append(args, "--data", h.data)...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(filepath.Dir(h.bin), "cache"), "GOCACHE="+goCache())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error(), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// process is a running node.
type process struct {
	h      *house
	cmd    *exec.Cmd
	log    lockedBuffer
	done   chan struct{}
	http   string // host:port
	api    string
	key    *access.Key
	web    *http.Client
	client *api.Client
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// tryStart starts a node and waits until it has said that it is ready; if it
// ends instead, the result is nil and what it printed.
func (h *house) tryStart(flags ...string) (*process, string) {
	h.t.Helper()
	p := &process{h: h, done: make(chan struct{})}
	p.cmd = exec.Command(h.bin, append([]string{"up", "--data", h.data, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sandbox", h.sandbox}, flags...)...)
	ready := &signalWriter{word: "  sandbox ", seen: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = io.MultiWriter(&p.log, ready), &p.log
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	h.t.Cleanup(p.kill)
	select {
	case <-ready.seen:
	case <-p.done:
		return nil, p.log.String()
	case <-time.After(patience):
		h.t.Fatalf("the node does not start:\n%s", p.log.String())
	}
	address, err := api.ReadAddress(h.data)
	if err != nil {
		h.t.Fatal(err)
	}
	p.http, p.api = address.HTTP, address.API
	if p.key, _, err = access.OpenRootKey(h.data); err != nil {
		h.t.Fatal(err)
	}
	if p.client, err = address.Client(p.key); err != nil {
		h.t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	p.web = &http.Client{Transport: transport, Timeout: patience}
	h.t.Cleanup(func() { p.client.Close(); transport.CloseIdleConnections() })
	return p, ""
}

// start is tryStart that has to succeed.
func (h *house) start(flags ...string) *process {
	h.t.Helper()
	p, out := h.tryStart(flags...)
	if p == nil {
		h.t.Fatalf("the node did not start:\n%s", out)
	}
	return p
}

// signalWriter closes seen when word was written.
type signalWriter struct {
	word string
	buf  []byte
	seen chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	if w.word != "" {
		if w.buf = append(w.buf, p...); bytes.Contains(w.buf, []byte(w.word)) {
			w.word = ""
			close(w.seen)
		}
	}
	return len(p), nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s os.Signal) {
	p.h.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.h.t.Fatal(err)
	}
}

// ended waits for the node's end and gives its exit status.
func (p *process) ended() int {
	p.h.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT) // it says where it is
		<-p.done
		p.h.t.Fatalf("the node does not end:\n%s", p.log.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) stop() {
	p.h.t.Helper()
	p.signal(syscall.SIGTERM)
	if status := p.ended(); status != 0 {
		p.h.t.Errorf("the node ended with status %d:\n%s", status, p.log.String())
	}
}

// reply is an answer, whole.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // there was none, or not all of it
}

// said is the body as the actor's answer.
func (r reply) said() (a struct {
	Generation, Version, Environment, Request, Trace, Text string
	Headers                                                map[string]string
	Processes                                              int
}) {
	_ = json.Unmarshal([]byte(r.body), &a) // what is no answer has no fields
	return a
}

func (p *process) do(req *http.Request, err error) reply {
	if err != nil {
		return reply{err: err}
	}
	resp, err := p.web.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

// get asks for a path of the users' port; headers are pairs.
func (p *process) get(path string, headers ...string) reply {
	req, err := http.NewRequest("GET", "http://"+p.http+path, nil)
	for i := 0; err == nil && i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return p.do(req, err)
}

// invoke calls the Lambda API; headers are pairs.
func (p *process) invoke(function, event string, headers ...string) reply {
	req, err := http.NewRequest("POST", "http://"+p.api+"/2015-03-31/functions/"+function+"/invocations", strings.NewReader(event))
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+p.key.Token())
	}
	for i := 0; err == nil && i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return p.do(req, err)
}

// send is an asynchronous invocation.
func (p *process) send(function, event string) reply {
	return p.invoke(function, event, "X-Amz-Invocation-Type", "Event")
}

// environments lists the function's.
func (p *process) environments(function string) []invoke.Environment {
	p.h.t.Helper()
	list, err := p.client.Environments(context.Background(), "", function)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return list
}

// logged waits for a record that ok accepts.
func (p *process) logged(q api.LogQuery, what string, ok func(*observe.Record) bool) *observe.Record {
	p.h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q.Follow = true
	for r, err := range p.client.Logs(ctx, q) {
		if err != nil {
			p.h.t.Fatalf("looking in the log for %s: %v", what, err)
		}
		if ok(r) {
			return r
		}
	}
	p.h.t.Fatalf("the log never showed %s", what)
	return nil
}

// begun waits until the actor has said that it was given this.
func (p *process) begun(function, say string) {
	p.h.t.Helper()
	p.logged(api.LogQuery{Function: function}, "begun "+say, func(r *observe.Record) bool {
		return r.Kind == observe.KindLine && strings.HasPrefix(r.Message, "begun ") && strings.HasSuffix(r.Message, " "+say)
	})
}

// metrics are the node's figures.
func (p *process) metrics() string {
	p.h.t.Helper()
	r, err := p.client.Metrics(context.Background())
	if err != nil {
		p.h.t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return string(data)
}

// pids are the processes of a function of the house, by the name that the program
// has in its environment. The manifest has to give it TEST_MARKER.
func (h *house) pids(name string) (pids []int) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, file := range environs {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		env := strings.Split(string(data), "\x00")
		if slices.Contains(env, "TEST_MARKER="+h.data) &&
			(slices.Contains(env, "AWS_LAMBDA_FUNCTION_NAME="+name) || slices.Contains(env, "K_SERVICE="+name)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				h.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// canLetGo skips what cannot let go of what it holds: processes are found by /proc.
func (h *house) canLetGo() {
	h.t.Helper()
	if runtime.GOOS != "linux" {
		h.t.Skip("functions' processes can be found on Linux alone")
	}
}

// letGo ends what a function's processes wait for (do=wait). They are found by
// TEST_MARKER, which the manifest has to give them.
func (h *house) letGo(function string) {
	h.t.Helper()
	for _, pid := range h.pids(function) {
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			h.t.Fatal(err)
		}
	}
}

// hold has so many invocations of a function run until they are let go, which
// they then all have to end well after. It returns when they run.
func (p *process) hold(function string, times int) (letGo func()) {
	p.h.t.Helper()
	answers := make(chan reply, times)
	for range times {
		go func() { answers <- p.invoke(function, `{"do": "wait"}`) }()
	}
	until(p.h.t, fmt.Sprintf("%s runs %d times", function, times), func() bool {
		running := 0
		for _, e := range p.environments(function) {
			running += e.Running
		}
		return running == times
	})
	return func() {
		p.h.t.Helper()
		p.h.letGo(function)
		for range times {
			if r := <-answers; r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
				p.h.t.Errorf("%s was held, and ended with %d %s %v", function, r.status, r.body, r.err)
			}
		}
	}
}
