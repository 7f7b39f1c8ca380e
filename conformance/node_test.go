package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what has to happen, but at no particular time.
const patience = time.Minute

// node is the gust process that all tests share.
type node struct {
	binary, data string
	cmd          *exec.Cmd
	log          *logBuffer
	// HTTP and API are host:port.
	HTTP string `json:"http"`
	API  string `json:"api"`
	// env is what `gust env` prints.
	env map[string]string
}

var shared *node

func TestMain(m *testing.M) {
	status := func() int {
		n, err := startNode(nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			return 1
		}
		shared = n
		status := m.Run()
		if err := n.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "conformance: stopping the node:", err)
			status = 1
		}
		if status != 0 {
			fmt.Fprintf(os.Stderr, "the end of the node's log:\n%s", n.log.tail())
		}
		return status
	}()
	os.Exit(status)
}

// startNode builds gust from the checkout and starts it: with isolation where
// the machine can, or as GUST_SANDBOX says. flags are for it, and wrap the words of
// a command that starts it.
func startNode(flags []string, wrap ...string) (_ *node, err error) {
	data, err := os.MkdirTemp("", "gust-conformance-")
	if err != nil {
		return nil, err
	}
	n := &node{data: filepath.Join(data, "data"), binary: filepath.Join(data, "gust"), log: &logBuffer{ready: make(chan struct{})}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.stop())
		}
	}()
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", n.binary, "./cmd/gust")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return n, fmt.Errorf("gust does not build: %w\n%s", err, out)
	}
	args := append(wrap, n.binary, "up", "--data", n.data, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0")
	args = append(args, flags...)
	n.cmd = exec.Command(args[0], args[1:]...)
	n.cmd.Env = n.environ()
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return n, err
	}
	select {
	case <-n.log.ready:
	case <-time.After(patience):
		return n, fmt.Errorf("the node is not ready after %v:\n%s", patience, n.log.tail())
	}
	address, err := os.ReadFile(filepath.Join(n.data, "node.json"))
	if err != nil {
		return n, fmt.Errorf("the node did not come up: %w\n%s", err, n.log.tail())
	}
	if err := json.Unmarshal(address, n); err != nil {
		return n, fmt.Errorf("%s: %w", address, err)
	}
	out, err := n.gust(context.Background(), "env", "--json")
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(out, &n.env)
}

// environ is this process's environment without what would lead clients
// elsewhere; only GUST_SANDBOX is passed on.
func (n *node) environ() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && (!strings.HasPrefix(v, "GUST_") || strings.HasPrefix(v, "GUST_SANDBOX=")) {
			env = append(env, v)
		}
	}
	return append(env, "GUST_DATA="+n.data)
}

// gust runs a subcommand and returns its standard output.
func (n *node) gust(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.binary, args...)
	cmd.Env = n.environ()
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("gust %s: %w\n%s", strings.Join(args, " "), err, problems.Bytes())
	}
	return out.Bytes(), nil
}

// stop ends the node as somebody would who types ^C.
func (n *node) stop() error {
	if n.cmd != nil {
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		hung := time.AfterFunc(patience, func() { n.cmd.Process.Kill() })
		defer hung.Stop()
		if err := n.cmd.Wait(); err != nil {
			return err
		}
		n.cmd = nil
	}
	return os.RemoveAll(filepath.Dir(n.data))
}

// deploy deploys the app in a folder and removes it at the end of the test.
func deploy(t *testing.T, dir, app string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := shared.gust(ctx, "deploy", dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := shared.gust(context.Background(), "rm", app); err != nil {
			t.Error(err)
		}
	})
}

// manifest writes an app's manifest beside its sources.
func manifest(t *testing.T, dir, text string) {
	t.Helper()
	write(t, filepath.Join(dir, "gust.yaml"), []byte(text), 0o644)
}

func write(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

// run runs a program that has to succeed.
func run(t *testing.T, dir string, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(shared.environ(), env...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, problems.Bytes())
	}
	return out
}

// need skips where a tool is missing that install.sh would have brought.
func need(t *testing.T, path string) string {
	t.Helper()
	found, err := exec.LookPath(path)
	if err != nil {
		t.Skipf("%s is missing; conformance/install.sh installs it", path)
	}
	found, err = filepath.Abs(found)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// cache is a folder of the checkout that outlives the tests.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".cache", "conformance", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// logBuffer keeps what the node prints, and tells when it says that it is
// ready.
type logBuffer struct {
	mu    sync.Mutex
	text  []byte
	once  sync.Once
	ready chan struct{}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if bytes.Contains(b.text, []byte("is ready")) {
		b.once.Do(func() { close(b.ready) })
	}
	return len(p), nil
}

func (b *logBuffer) tail() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text[max(0, len(b.text)-16<<10):])
}

func readAll(t *testing.T, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sandboxed says that functions run isolated.
func (n *node) sandboxed() bool { return os.Getenv("GUST_SANDBOX") != "none" }
