//go:build linux && (amd64 || arm64)

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
)

// victim is a node with three environments (idle, frozen, without a first
// answer), spares and an interpreter that waits. It says when they are there,
// and waits.
func victim(dir string) error {
	root := func(context.Context) (string, error) { return os.Getenv(victimEnv + "_ROOT"), nil }
	b, err := New(Options{Root: root, RunDir: filepath.Join(dir, "run"), Spares: 2, PoolMemory: 512 * gust.MB})
	if err != nil {
		return err
	}
	boot := []string{"/usr/bin/hello"}
	b.Prepare([]sandbox.Spec{{Root: os.Getenv(victimEnv + "_ROOT"), Boot: boot, Ephemeral: gust.MinEphemeral}})
	for waiting(b) == 0 {
		<-time.After(time.Millisecond)
	}
	for i := range 3 {
		spec := helloSpec(os.Getenv(victimEnv + "_CODE"))
		spec.Env = append(spec.Env, "VICTIM="+dir)
		spec.Network = gust.Network{Mode: gust.NetworkInternet}
		e, err := b.Start(context.Background(), spec)
		if err != nil {
			return err
		}
		<-e.Ready()
		if i == 1 {
			if err := e.Freeze(); err != nil {
				return err
			}
		}
	}
	fmt.Println("started")
	select {}
}

// groupProcs are the processes in an environment's groups below these folders.
func groupProcs(dirs []string) []string {
	var pids []string
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "cgroup.procs" {
				b, _ := os.ReadFile(p)
				pids = append(pids, strings.Fields(string(b))...)
			}
			return nil
		})
	}
	return pids
}

func TestRecoverAfterKill(t *testing.T) {
	needRoot(t)
	networktest.New(t)
	forwards := func() bool {
		b, err := os.ReadFile("/proc/sys/net/ipv4/conf/wan0/forwarding")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b)) == "1"
	}
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	first := newBackend(t, options(t, 0))
	root := interpreter(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir, victimEnv+"_CODE="+hello(t), victimEnv+"_ROOT="+root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "started\n" {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("the node says %q", line)
	}
	b, err := os.ReadFile(filepath.Join(run, notesFile))
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	if err := json.Unmarshal(b, &dirs); err != nil {
		t.Fatal(err)
	}
	if n := len(groupProcs(dirs)); n < 8 {
		t.Errorf("%d processes are in its cgroups, want 8 at least", n)
	}
	if len(networktest.Left(t)) == 0 || !forwards() {
		t.Error("the node has made no network")
	}
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "its processes end with it", func() bool { return len(groupProcs(dirs)) == 0 })
	eventually(t, "its interfaces and rules end with it", func() bool { return len(networktest.Left(t)) == 0 })

	other := newBackend(t, options(t, 0)) // what it changed of the host is any node's to undo
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if forwards() {
		t.Error("the host forwards on")
	}
	again := newBackend(t, Options{Root: base, RunDir: run})
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				t.Errorf("the cgroup %s is left", filepath.Join(d, e.Name()))
			}
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		if file, _ := os.ReadFile(l); strings.HasPrefix(string(file), dir) && !strings.Contains(string(file), "deleted") {
			t.Errorf("%s still has %s", l, file)
		}
	}
	e := start(t, again, helloSpec(hello(t)))
	invoke(t, e)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if forwards() {
		t.Error("the host forwards on")
	}
	left, err := os.ReadDir(run)
	if err != nil || len(left) != 0 {
		t.Errorf("the run folder has %v, %v", left, err)
	}
	for _, d := range dirs {
		if _, err := os.Stat(d); !os.IsNotExist(err) {
			t.Errorf("the cgroup %s is left: %v", d, err)
		}
	}
}

// TestRecoverEndsWhatOutlived: should the kernel not have ended a process with
// its node, it is ended by its cgroup; what is not the node's is not touched,
// whatever the notes say.
func TestRecoverEndsWhatOutlived(t *testing.T) {
	needRoot(t)
	run := t.TempDir()
	c, err := openCgroups("/", "gust-outlived")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := openCgroups("/", "gust-foreign")
	if err != nil {
		t.Fatal(err)
	}
	sleeper := func(c *cgroups) (*exec.Cmd, *group) {
		if err := c.create(); err != nil {
			t.Fatal(err)
		}
		g, err := c.newGroup("7")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); g.remove(); c.remove() })
		if err := g.join(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		return cmd, g
	}
	ours, g := sleeper(c)
	theirs, _ := sleeper(foreign)
	if err := g.freeze(); err != nil {
		t.Fatal(err)
	}
	notes, _ := json.Marshal(append(append([]string{"/sys/fs/cgroup", "/"}, foreign.paths...), c.paths...))
	if err := os.WriteFile(filepath.Join(run, notesFile), notes, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, formatPrefix+"123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The zombie stays in its group until it is waited for.
	waited := make(chan error, 1)
	go func() { waited <- ours.Wait() }()
	if err := recoverRun(run, "gust-outlived", c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("what outlived ended with %v, want a kill", err)
	}
	if err := theirs.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("what belongs to others: %v", err)
	}
	for _, d := range c.paths {
		if _, err := os.Stat(d); !os.IsNotExist(err) {
			t.Errorf("the cgroup %s is left: %v", d, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(run, formatPrefix+"*")); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(theirs.Process.Pid)); err != nil {
		t.Error(err)
	}
}

func TestRecoverWithDamagedNotes(t *testing.T) {
	needRoot(t)
	o := options(t, 0)
	tree(t, o.RunDir, map[string]string{notesFile: "{nonsense"})
	newBackend(t, o)
}
