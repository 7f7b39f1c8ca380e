package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestKilledInTheMiddle kills a node 20 times in the middle of deploys and of
// load. After each start every deploy that was acknowledged is there, none is
// half there, and nothing that the dead one ran is left.
func TestKilledInTheMiddle(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	h := newHouse(t)
	acknowledged := 0
	for round := range rounds {
		n := h.start()
		h.leftovers()
		h.generation(n, acknowledged)
		acknowledged = h.disturb(n, acknowledged, 2+rand.N(30))
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	n := h.start()
	h.generation(n, acknowledged)
	if acknowledged == 0 {
		t.Error("no deploy was acknowledged: the test showed nothing")
	}
	n.stop()
	h.leftovers()
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil && bytes.Contains(data, []byte(h.data)) {
		t.Errorf("mounts are left:\n%s", data)
	}
}

// house is a data folder, and the programs to live in it.
type house struct {
	t         *testing.T
	bin       string
	app, data string
	sandbox   string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, bin: filepath.Join(dir, "gust"), app: filepath.Join(dir, "app"), data: filepath.Join(dir, "data"), sandbox: "process"}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		h.sandbox = "none"
	}
	if err := os.MkdirAll(filepath.Join(h.app, "f"), 0o755); err != nil {
		t.Fatal(err)
	}
	for out, pkg := range map[string]string{h.bin: "../../cmd/gust", filepath.Join(h.app, "f", "bootstrap"): "./testdata/generation"} {
		cmd := exec.Command("go", "build", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
	}
	return h
}

// marker is in the environment of every function of this test.
func (h *house) marker() string { return "TEST_MARKER=" + filepath.Base(filepath.Dir(h.data)) + h.data }

type process struct {
	h    *house
	cmd  *exec.Cmd
	log  lockedBuffer
	done chan struct{}
	http string
	api  string
	key  string
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

// start starts a node and waits until it has said that it is ready.
func (h *house) start(flags ...string) *process {
	h.t.Helper()
	p := &process{h: h, done: make(chan struct{})}
	p.cmd = exec.Command(h.bin, append([]string{"up", "--data", h.data, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sandbox", h.sandbox}, flags...)...)
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = io.MultiWriter(&p.log, in), &p.log
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		var seen bytes.Buffer
		buf := make([]byte, 4096)
		for once := true; ; {
			n, err := out.Read(buf)
			seen.Write(buf[:n])
			if once && bytes.Contains(seen.Bytes(), []byte("sandbox")) {
				once = false
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		_ = p.cmd.Wait()
		in.Close()
		close(p.done)
	}()
	h.t.Cleanup(p.kill)
	select {
	case <-ready:
	case <-p.done:
		h.t.Fatalf("the node did not start:\n%s", p.log.String())
	}
	var address struct{ API, HTTP string }
	var key struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	for file, v := range map[string]any{"node.json": &address, "root.key": &key} {
		data, err := os.ReadFile(filepath.Join(h.data, file))
		if err == nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	p.http, p.api, p.key = address.HTTP, address.API, key.ID+"."+key.Secret
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) stop() {
	p.h.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	if !p.cmd.ProcessState.Success() {
		p.h.t.Errorf("the node ended with %v:\n%s", p.cmd.ProcessState, p.log.String())
	}
}

// gust runs the command on the house's data folder.
func (h *house) gust(args ...string) (string, error) {
	out, err := exec.Command(h.bin, append(args, "--data", h.data)...).CombinedOutput()
	return string(out), err
}

// deploy deploys a generation: two functions that have to agree on it.
func (h *house) deploy(generation int) error {
	f := fmt.Sprintf("{runtime: provided, source: ./f, timeout: 20s, env: {GENERATION: %q, %s}}", strconv.Itoa(generation), strings.Replace(h.marker(), "=", ": ", 1))
	manifest := fmt.Sprintf("app: generations\nfunctions:\n  one: %s\n  two: %s\nroutes:\n  GET /one: one\n  GET /two: two\n", f, f)
	if err := os.WriteFile(filepath.Join(h.app, "gust.yaml"), []byte(manifest), 0o644); err != nil {
		return err
	}
	out, err := h.gust("deploy", h.app)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// generation checks that what is declared and what runs is one generation, and
// no older than the last one that was acknowledged.
func (h *house) generation(n *process, acknowledged int) {
	h.t.Helper()
	got := map[string]string{}
	for _, f := range []string{"one", "two"} {
		resp, err := http.Get("http://" + n.http + "/" + f)
		if err != nil {
			h.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			h.t.Fatal(err)
		case resp.StatusCode == http.StatusNotFound && acknowledged == 0:
			got[f] = "0"
		case resp.StatusCode != http.StatusOK:
			h.t.Fatalf("%s answers %d: %s\n%s", f, resp.StatusCode, body, n.log.String())
		default:
			got[f] = strings.Trim(string(body), "\"\n ")
		}
	}
	g, err := strconv.Atoi(got["one"])
	if err != nil || got["one"] != got["two"] {
		h.t.Errorf("a deploy is half there: %v", got)
	}
	if g < acknowledged {
		h.t.Errorf("generation %d was acknowledged, and %d is there", acknowledged, g)
	}
}

// disturb deploys and invokes, and kills the node after so many of either were
// done. It returns the last generation that was acknowledged.
func (h *house) disturb(n *process, generation, events int) (acknowledged int) {
	var left, last atomic.Int64
	left.Store(int64(events))
	last.Store(int64(generation))
	happened := func() {
		if left.Add(-1) == 0 {
			_ = n.cmd.Process.Kill()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for g := generation + 1; left.Load() > 0; g++ {
			if h.deploy(g) != nil {
				return // it was killed
			}
			last.Store(int64(g))
			happened()
		}
	})
	for _, f := range []string{"one", "two"} {
		wg.Go(func() {
			for left.Load() > 0 {
				resp, err := http.Get("http://" + n.http + "/" + f)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					happened()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		h.t.Errorf("nothing happens any more:\n%s", n.log.String())
	}
	n.kill()
	<-done
	return int(last.Load())
}

// leftovers looks for processes of functions that nobody runs.
func (h *house) leftovers() {
	h.t.Helper()
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, file := range environs {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(h.marker())) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			h.t.Errorf("process %s is left: %q", file, cmdline)
		}
	}
}
