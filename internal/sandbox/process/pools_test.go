//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// interpreter makes a root that has testdata/hello for an interpreter.
func interpreter(tb testing.TB, b *Backend) string {
	tb.Helper()
	root := filepath.Join(tb.TempDir(), "root")
	copyRoot(tb, ready(tb, b), root, "interpreted")
	program, err := os.ReadFile(filepath.Join(hello(tb), "bootstrap"))
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/hello"), program, 0o755); err != nil {
		tb.Fatal(err)
	}
	return root
}

// late is helloSpec for what can be bound late.
func late(tb testing.TB, root string, words ...string) sandbox.Spec {
	spec := helloSpec(hello(tb))
	spec.Root = root
	spec.Command = append([]string{"/usr/bin/hello"}, words...)
	spec.Boot, spec.BootEnv = spec.Command, []string{"GOMAXPROCS=1"}
	return spec
}

func waiting(b *Backend) int {
	b.pools.mu.Lock()
	defer b.pools.mu.Unlock()
	return len(b.pools.wait)
}

// pooled makes a backend with an interpreter, of which one waits.
func pooled(t *testing.T, logs io.Writer) (*Backend, sandbox.Spec) {
	t.Helper()
	o := options(t, 1)
	o.PoolMemory = 512 * gust.MB
	o.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b := newBackend(t, o)
	spec := late(t, interpreter(t, b))
	b.Prepare([]sandbox.Spec{spec})
	eventually(t, "one waits", func() bool { return waiting(b) == 1 })
	return b, spec
}

// anew is spec under another name.
func anew(spec sandbox.Spec) sandbox.Spec {
	spec.ID = helloSpec(spec.Code).ID
	return spec
}

func TestPool(t *testing.T) {
	b, spec := pooled(t, t.Output())
	before := b.pools.wait[0].cell.pid
	e := start(t, b, spec)
	if !e.Pooled() {
		t.Error("it is not out of the pool")
	}
	invoke(t, e)
	if u := e.Usage(); u.CPU < 0 || u.CPU > 50*time.Millisecond || u.Memory <= 0 {
		t.Errorf("it has used %+v", u)
	}
	eventually(t, "another one waits", func() bool { return waiting(b) == 1 })
	if after := b.pools.wait[0].cell.pid; after == before {
		t.Error("the one that was taken still waits")
	}
	if p := b.Pools(); len(p) != 1 || p[0].Waiting != 1 || p[0].Boots != 2 || p[0].Failures != 0 || p[0].Memory <= 0 ||
		p[0].Interpreter != "hello" || p[0].Root != "root" {
		t.Errorf("the figures are %+v", p)
	}

	// What it was not booted for starts plainly.
	for name, change := range map[string]func(*sandbox.Spec){
		"nothing to boot":     func(s *sandbox.Spec) { s.Boot = nil },
		"other words":         func(s *sandbox.Spec) { s.Boot = append(slices.Clone(s.Boot), "more") },
		"another environment": func(s *sandbox.Spec) { s.BootEnv = nil },
		"another root":        func(s *sandbox.Spec) { s.Root = interpreter(t, b) },
		"a larger /tmp":       func(s *sandbox.Spec) { s.Ephemeral = gust.GB },
		"no UTF-8":            func(s *sandbox.Spec) { s.Env = append(s.Env, "A=\xff") },
		"a variable twice":    func(s *sandbox.Spec) { s.Env = append(s.Env, "A=1", "A=2") },
		"a word for variable": func(s *sandbox.Spec) { s.Env = append(s.Env, "A") },
	} {
		t.Run(name, func(t *testing.T) {
			spec := anew(spec)
			change(&spec)
			e := start(t, b, spec)
			if e.Pooled() {
				t.Error("it is out of the pool")
			}
			invoke(t, e)
			e.Stop(0)
		})
	}
	b.Prepare(nil)
	b.pools.mu.Lock()
	for _, d := range b.pools.size.kinds {
		d.asked = time.Time{} // for long
		d.peak = 0
	}
	b.pools.mu.Unlock()
	eventually(t, "nobody wants any", func() bool { b.pools.nudge(); return waiting(b) == 0 })
}

// TestPoolGivesEachOnce: many who come together get different environments, each
// with its own variables and nobody else's.
func TestPoolGivesEachOnce(t *testing.T) {
	b, spec := pooled(t, t.Output())
	const n = 24
	var hits atomic.Int32
	for range 3 {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				own := fmt.Sprintf("= variable OWN=%d", i)
				var mu sync.Mutex
				var variables []string
				spec := anew(spec)
				spec.Env = []string{"SHOW=1", fmt.Sprintf("OWN=%d", i)}
				spec.Output = func(line []byte) {
					mu.Lock()
					defer mu.Unlock()
					if strings.HasPrefix(string(line), "= variable ") {
						variables = append(variables, string(line))
					}
				}
				e, err := b.Start(t.Context(), spec)
				if err != nil {
					t.Error(err)
					return
				}
				if e.Pooled() {
					hits.Add(1)
				}
				invoke(t, e)
				e.Stop(0)
				mu.Lock()
				defer mu.Unlock()
				slices.Sort(variables)
				if want := []string{"= variable " + runtimeVariable, own, "= variable SHOW=1"}; !slices.Equal(variables, want) {
					t.Errorf("its variables are %q, want %q", variables, want)
				}
			})
		}
		wg.Wait()
		eventually(t, "some wait", func() bool { return waiting(b) >= 8 })
	}
	if got := hits.Load(); got < 10 {
		t.Errorf("%d of %d were out of the pool", got, 3*n)
	}
}

// TestPooledDie: one that died is replaced and given to nobody.
func TestPooledDie(t *testing.T) {
	b, spec := pooled(t, t.Output())
	for name, die := range map[string]func(*booted){
		"the interpreter": func(w *booted) { pidfdSignal(w.pidfd, unix.SIGKILL); waitEnded(w.pidfd) },
		"its init":        func(w *booted) { unix.Kill(w.cell.pid, unix.SIGKILL); waitEnded(w.cell.pidfd) },
	} {
		t.Run(name, func(t *testing.T) {
			b.pools.mu.Lock()
			for _, w := range b.pools.wait {
				die(w)
			}
			b.pools.mu.Unlock()
			for range 3 {
				invoke(t, start(t, b, anew(spec)))
			}
			eventually(t, "others wait", func() bool {
				b.pools.nudge()
				b.pools.mu.Lock()
				defer b.pools.mu.Unlock()
				return len(b.pools.wait) > 0 && !slices.ContainsFunc(b.pools.wait, (*booted).dead)
			})
		})
	}
}

// TestPoolRootIsReplaced: what was booted in a root that is another one by now is
// given to nobody.
func TestPoolRootIsReplaced(t *testing.T) {
	b, spec := pooled(t, t.Output())
	if err := os.RemoveAll(spec.Root); err != nil {
		t.Fatal(err)
	}
	copyRoot(t, interpreter(t, b), spec.Root, "new")
	if e := start(t, b, anew(spec)); e.Pooled() {
		t.Error("it is of the root that was")
	}
	eventually(t, "one of the new root waits", func() bool { return waiting(b) == 1 })
	if e := start(t, b, anew(spec)); !e.Pooled() {
		t.Error("it is not out of the pool")
	}
}

// TestBindFails: the function is started plainly, and told of nothing.
func TestBindFails(t *testing.T) {
	var logs lockedBuffer
	b, spec := pooled(t, &logs)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := b.pools.wait[0]
	tmp := w.volume.mount
	w.volume.mount = null
	e := start(t, b, anew(spec))
	unix.Close(tmp)
	if e.Pooled() {
		t.Error("it is out of the pool")
	}
	invoke(t, e)
	if !strings.Contains(logs.String(), "could not be bound") || !strings.Contains(logs.String(), "mount /tmp: invalid argument") {
		t.Errorf("the log is %q", logs.String())
	}
	eventually(t, "one waits", func() bool { return waiting(b) >= 1 })
	spec.Layers = []string{"/nowhere"}
	if _, err := b.Start(t.Context(), anew(spec)); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("with a layer that is not there: %v", err)
	}
}

// TestBootFails: it is told once, and functions start by themselves.
func TestBootFails(t *testing.T) {
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"no such program":  {[]string{"/usr/bin/nothing"}, "execute the program: no such file or directory"},
		"it ends":          {[]string{"/usr/bin/hello", "exit"}, "it ended before it was booted; it printed \\\"leaving\\\\n\\\""},
		"it knows not how": {[]string{"/bin/sh", "-c", "printf x >&3; sleep 100"}, "GUST_BOOT is not heeded"},
	} {
		t.Run(name, func(t *testing.T) {
			var logs lockedBuffer
			b, spec := pooled(t, &logs)
			spec.Boot = c.argv
			b.Prepare([]sandbox.Spec{spec})
			failures := func() (n uint64) {
				for _, p := range b.Pools() {
					n += p.Failures
				}
				return n
			}
			eventually(t, "it fails twice", func() bool { b.pools.nudge(); return failures() >= 2 })
			if got := logs.String(); strings.Count(got, "does not boot ahead") != 1 || !strings.Contains(got, c.want) {
				t.Errorf("the log is %s, want one line with %s", got, c.want)
			}
			if e := start(t, b, anew(spec)); e.Pooled() {
				t.Error("it is out of the pool")
			} else {
				invoke(t, e)
			}
		})
	}
}

// TestPrintedBefore: what an interpreter prints before it is a function's is the
// node's to tell, and not the function's.
func TestPrintedBefore(t *testing.T) {
	var logs lockedBuffer
	b, spec := pooled(t, &logs)
	spec = late(t, spec.Root, "print")
	b.Prepare([]sandbox.Spec{spec})
	eventually(t, "it waits", func() bool {
		return slices.ContainsFunc(b.Pools(), func(p Pool) bool { return p.Interpreter == "hello print" && p.Waiting == 1 })
	})
	spec.Output = func(line []byte) { t.Errorf("it printed %q", line) }
	e := start(t, b, spec)
	if !e.Pooled() {
		t.Error("it is not out of the pool")
	}
	invoke(t, e)
	if !strings.Contains(logs.String(), `output="before\n"`) {
		t.Errorf("the log is %q", logs.String())
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// state is what there is to see of an environment, from inside (testdata/hello's
// show) and of its init from outside, without what is another in each.
func state(t *testing.T, b *Backend, spec sandbox.Spec) []string {
	t.Helper()
	var mu sync.Mutex
	var printed []string
	spec.Env = append(spec.Env, "SHOW=1")
	spec.Output = func(line []byte) { mu.Lock(); printed = append(printed, string(line)); mu.Unlock() }
	e := start(t, b, spec)
	if want := len(spec.Boot) > 0; e.Pooled() != want {
		t.Fatalf("it is out of the pool: %v, want %v", e.Pooled(), want)
	}
	invoke(t, e)
	mu.Lock()
	lines := slices.Clone(printed)
	mu.Unlock()

	var p *program
	b.mu.Lock()
	for q := range b.envs {
		if q.id == spec.ID {
			p = q
		}
	}
	b.mu.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cell.pid))
	if err != nil {
		t.Fatal(err)
	}
	lines = append(append(lines, "= init/status"), strings.Split(string(status), "\n")...)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cell.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.cell.pid, fd.Name()))
		lines = append(lines, "= /proc/self/fd of init: "+fd.Name()+" "+target)
	}
	lines = append(lines, "= limits")
	for dir, files := range map[string][]string{
		"memory": {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes", "memory.max", "memory.swap.max"},
		"pids":   {"pids.max"}, "cpu": {"cpu.shares", "cpu.cfs_quota_us", "cpu.weight", "cpu.max"},
	} {
		for _, file := range files {
			if text, err := os.ReadFile(filepath.Join(p.cell.group.dir(dir), file)); err == nil {
				lines = append(lines, file+" "+string(text))
			}
		}
	}
	e.Stop(0)

	for _, r := range [][2]string{
		{`^\d+ \d+ \d+:\d+ (/.* - )`, "$1"},                // a mount's numbers
		{`/dev/loop\d+`, "loop"},                           // its device
		{`/proc/self/fd/\d+:/proc/self/fd/\d+`, "folders"}, // the node's
		{`\b[12]\d{9}\b`, "host"},                          // ids again
		{`^((Tgid|Pid|PPid|NStgid|NSpid|NSpgid|NSsid):).*`, "$1"},
		{`(pipe|socket):\[\d+\]`, "$1"},
		{`^((monotonic|boottime) +)-\d+ +\d+`, "$1"},
		{`^(\d+ \(hello\)) . (\d+ \d+ \d+ \d+).*`, "$1 $2"}, // what it has used
		{`^(= /proc/thread-self \d+/task/)\d+`, "$1"},
		{`^(= /proc/self/ns/\w+).*`, "$1"},
		{`^(State|Vm\w+|Rss\w+|Hugetlb\w+|\w*voluntary_ctxt_switches|Threads|FDSize):.*`, "$1"},
	} {
		re := regexp.MustCompile(r[0])
		for i, l := range lines {
			lines[i] = re.ReplaceAllString(l, r[1])
		}
	}
	slices.Sort(lines) // mounts stand in the order in which they were made
	return lines
}

// TestPooledIsLikePlain: an environment out of the pool has the rights, mounts,
// descriptors, limits and surroundings of any other, and so has its init.
func TestPooledIsLikePlain(t *testing.T) {
	b, spec := pooled(t, t.Output())
	layers := t.TempDir()
	tree(t, layers, map[string]string{"one/a": "a", "two/b": "b"})
	spec.Layers = []string{filepath.Join(layers, "one"), filepath.Join(layers, "two")}
	spec.Memory, spec.Processes, spec.CPU = 333*gust.MB, 77, gust.CPUStrict
	for _, network := range []gust.NetworkMode{gust.NetworkNone, gust.NetworkInternet} {
		t.Run(string(network), func(t *testing.T) {
			spec := anew(spec)
			spec.Network.Mode = network
			if err := b.Permits(spec.Network); err != nil {
				t.Skip(err)
			}
			b.Prepare([]sandbox.Spec{spec})
			k, _ := bootKindOf(spec)
			eventually(t, "one waits", func() bool {
				b.pools.mu.Lock()
				defer b.pools.mu.Unlock()
				return slices.ContainsFunc(b.pools.wait, func(w *booted) bool { return w.kind == k })
			})
			pooled := state(t, b, spec)
			spec.Boot = nil
			same(t, state(t, b, anew(spec)), pooled)
		})
	}
}

// same compares the state of a plain start with that of one out of the pool.
func same(t *testing.T, plain, pooled []string) {
	t.Helper()
	if len(plain) < 200 {
		t.Errorf("only %d lines of state", len(plain))
	}
	for _, l := range plain {
		if !slices.Contains(pooled, l) {
			t.Errorf("only plain:  %q", l)
		}
	}
	for _, l := range pooled {
		if !slices.Contains(plain, l) {
			t.Errorf("only pooled: %q", l)
		}
	}
	if len(plain) != len(pooled) {
		t.Errorf("there are %d lines, and of a plain start %d", len(pooled), len(plain))
	}
}
