package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
)

// node is a gust process on a data folder of its own.
type node struct {
	binary string
	data   string
	cmd    *exec.Cmd
	exited chan error // gets what the process ended with
	ended  bool
	log    *buffer
	client *api.Client
	http   string // http://host:port, for users' traffic
}

// startNode starts a node and waits until it says that it is ready.
func startNode(ctx context.Context, binary, sandbox string) (_ *node, err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "gust-demo-")
	if err != nil {
		return nil, err
	}
	n := &node{binary: binary, data: data, exited: make(chan error, 1), log: new(buffer)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.discard())
		}
	}()
	args := []string{"up", "--data", data, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sandbox", sandbox}
	fmt.Printf("$ gust %s\n", strings.Join(args, " "))
	ready := &announcement{to: os.Stdout, seen: make(chan struct{})}
	n.cmd = exec.Command(binary, args...)
	n.cmd.Env = environ()
	n.cmd.Stdout, n.cmd.Stderr = ready, n.log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which stops the node
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return nil, fmt.Errorf("starting %s: %w; `make build` makes it", binary, err)
	}
	go func() { n.exited <- n.cmd.Wait() }()

	select {
	case <-ready.seen:
	case err := <-n.exited:
		n.ended = true
		hint := ""
		if sandbox == "process" {
			hint = "\n\nIf this machine refuses isolation, the demo can go on without it:\n  make demo SANDBOX=none"
		}
		return nil, fmt.Errorf("the node did not start (%w):\n%s%s", err, n.log.String(), hint)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	address, err := api.ReadAddress(data)
	if err != nil {
		return nil, err
	}
	key, err := access.ReadRootKey(data)
	if err != nil {
		return nil, err
	}
	n.http = "http://" + address.HTTP
	n.client, err = address.Client(key)
	return n, err
}

// environ is this process's, without what would change what the demo shows.
func environ() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GUST_") {
			env = append(env, v)
		}
	}
	return env
}

// gust runs a subcommand, shows it and what it prints, and returns the latter.
// How it ends has to be as wanted.
func (n *node) gust(ctx context.Context, wantStatus int, args ...string) (string, error) {
	fmt.Printf("$ gust %s\n", quote(args))
	cmd := n.command(ctx, args)
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = os.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if status := cmd.ProcessState.ExitCode(); status != wantStatus {
		return "", fmt.Errorf("gust %s ended with status %d, not %d", quote(args), status, wantStatus)
	}
	fmt.Println()
	return out.String(), nil
}

// quiet runs a subcommand and returns what it prints.
func (n *node) quiet(ctx context.Context, args ...string) (string, error) {
	cmd := n.command(ctx, args)
	cmd.Stderr = os.Stdout
	out, err := cmd.Output()
	return string(out), err
}

func (n *node) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.binary, args...)
	cmd.Env = append(environ(), "GUST_DATA="+n.data)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// quote writes arguments as a shell takes them.
func quote(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if quoted[i] = a; strings.ContainsAny(a, " {}\"*") {
			quoted[i] = "'" + a + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// stop asks the node to end and waits for it.
func (n *node) stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-n.exited:
		n.ended = true
		return err
	case <-time.After(40 * time.Second): // beyond its own limit for draining
		return errors.New("the node did not end within 40 s of SIGTERM")
	}
}

// discard ends the process, if it is still there, and removes the data folder.
func (n *node) discard() error {
	if n.client != nil {
		n.client.Close()
	}
	var errs []error
	if n.cmd != nil && !n.ended {
		if err := n.stop(); err != nil {
			errs = append(errs, err)
		}
		if !n.ended {
			errs = append(errs, n.cmd.Process.Kill())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(n.data))...)
}

// announcement passes on what is written, and tells when the node has said that
// it is ready.
type announcement struct {
	to   io.Writer
	once sync.Once
	seen chan struct{}
}

func (f *announcement) Write(p []byte) (int, error) {
	n, err := f.to.Write(p)
	if bytes.Contains(p, []byte("is ready after")) {
		f.once.Do(func() { close(f.seen) })
	}
	return n, err
}

// buffer keeps what is written, for many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
