package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// node is a gust process on a data folder.
type node struct {
	bin, data string
	cmd       *exec.Cmd
	http, api string
	ready     time.Duration // from its start to its first readiness
	logs      bytes.Buffer
}

// startNode starts a node and waits until it is ready.
func startNode(bin, data string, flags ...string) (*node, error) {
	n := &node{bin: bin, data: data}
	_ = os.Remove(filepath.Join(data, "node.json"))
	n.cmd = exec.Command(bin, append([]string{"up", "--data", data, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"}, flags...)...)
	n.cmd.Stdout, n.cmd.Stderr = &n.logs, &n.logs
	start := time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- n.cmd.Wait() }()
	for ; ; time.Sleep(200 * time.Microsecond) {
		select {
		case err := <-exited:
			return nil, fmt.Errorf("the node ended: %w\n%s", err, n.logs.String())
		default:
		}
		if time.Since(start) > 30*time.Second {
			_ = n.cmd.Process.Kill()
			return nil, fmt.Errorf("the node was not ready in 30 s")
		}
		data, err := os.ReadFile(filepath.Join(n.data, "node.json"))
		if err != nil {
			continue
		}
		var at struct{ HTTP, API string }
		if json.Unmarshal(data, &at) != nil {
			continue
		}
		resp, err := http.Get("http://" + at.API + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			n.ready, n.http, n.api = time.Since(start), at.HTTP, at.API
			return n, nil
		}
	}
}

func (n *node) stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return n.wait(40 * time.Second)
}

// kill ends the node as a power cut would.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.wait(10 * time.Second)
}

// wait waits until the process is gone; who started it reaps it.
func (n *node) wait(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if n.cmd.Process.Signal(syscall.Signal(0)) != nil {
			return nil
		}
	}
	// What it is doing instead is worth more than its end.
	_ = n.cmd.Process.Signal(syscall.SIGQUIT)
	time.Sleep(time.Second)
	_ = n.cmd.Process.Kill()
	return fmt.Errorf("the node did not stop in %v:\n%s", d, n.logs.String())
}

// deploy deploys the folder dir, and starts nothing of it: that is for what is
// measured.
func (n *node) deploy(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, n.bin, "deploy", dir, "--no-start", "--data", n.data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("gust deploy: %w\n%s", err, out)
	}
	return nil
}

// rss is the node's resident memory in bytes.
func (n *node) rss() (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS")
}
