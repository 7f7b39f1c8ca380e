//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// TestVersion1Alone: where the unified hierarchy is not mounted, the freezer and
// the accounting of version 1 stand in for it.
func TestVersion1Alone(t *testing.T) {
	needRoot(t)
	mounts, err := cgroupMounts("/")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := mounts["freezer"]; !ok {
		t.Skip("no freezer of cgroup version 1 is mounted here")
	}
	// The same machine, seen without the unified hierarchy.
	root := t.TempDir()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var v1 strings.Builder
	for line := range strings.Lines(string(info)) {
		if !strings.Contains(line, " - cgroup2 ") {
			v1.WriteString(line)
		}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	tree(t, root, map[string]string{"proc/self/mountinfo": v1.String(), "proc/self/cgroup": string(own)})
	if err := os.Symlink("/sys", filepath.Join(root, "sys")); err != nil {
		t.Fatal(err)
	}
	b, err := open(options(t, 1), root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if b.cgroups.unified != "" {
		t.Fatal("the unified hierarchy is used")
	}
	for _, end := range []struct {
		name string
		do   func(sandbox.Environment)
	}{
		{"stopped politely", func(e sandbox.Environment) { e.Stop(time.Minute) }},
		{"killed", func(e sandbox.Environment) { e.Stop(0) }},
		{"timed out", func(e sandbox.Environment) {
			_, err := e.Invoke(t.Context(), &gust.Invocation{RequestID: "x", Deadline: time.Now().Add(50 * time.Millisecond)})
			var fe *gust.FunctionError
			if !errors.As(err, &fe) || fe.Outcome != gust.OutcomeTimeout {
				t.Errorf("a frozen environment answers %v", err)
			}
			<-e.Done()
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			e := start(t, b, helloSpec(hello(t)))
			invoke(t, e)
			used := e.Usage()
			if used.CPU <= 0 || used.Memory <= 0 {
				t.Errorf("it has used %+v", used)
			}
			for range 3 {
				if err := e.Freeze(); err != nil {
					t.Fatal(err)
				}
				if err := e.Thaw(); err != nil {
					t.Fatal(err)
				}
				invoke(t, e)
			}
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
			end.do(e)
		})
	}
}

func TestStrictQuota(t *testing.T) {
	b := newBackend(t, options(t, 0))
	spec := helloSpec(hello(t))
	spec.CPU = gust.CPUStrict
	e := start(t, b, spec)
	invoke(t, e)
	var g *group
	b.mu.Lock()
	for p := range b.envs {
		g = p.cell.group
	}
	b.mu.Unlock()
	read := func() string {
		if b.cgroups.v2 {
			return content(t, g.dir("cpu"), "cpu.max")
		}
		return content(t, g.dir("cpu"), "cpu.cfs_quota_us") + content(t, g.dir("cpu"), "cpu.shares")
	}
	before := read()
	for _, init := range []bool{false, false, true, false} {
		if err := e.SetInit(init); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); got == before || !strings.HasPrefix(got, "14471") {
		t.Errorf("the quota of 256 MB is %q, before %q; want 14471 us of 100 ms", got, before)
	}
}

// TestZygoteIsReplaced: it may be killed, like anything.
func TestZygoteIsReplaced(t *testing.T) {
	b := newBackend(t, options(t, 0))
	first := start(t, b, helloSpec(hello(t)))
	z := b.roots.current[b.base.path]
	unix.Kill(z.pid, unix.SIGKILL)
	eventually(t, "the zygote ends", z.dead)
	second := start(t, b, helloSpec(hello(t)))
	invoke(t, second)
	invoke(t, first) // which it forked
}

// TestSparesDie: a spare that is gone is not given to anybody.
func TestSparesDie(t *testing.T) {
	b := newBackend(t, options(t, 2))
	invoke(t, start(t, b, helloSpec(hello(t))))
	var pids []int
	eventually(t, "spares are made", func() bool {
		b.spares.mu.Lock()
		defer b.spares.mu.Unlock()
		pids = pids[:0]
		for _, c := range b.spares.cells {
			pids = append(pids, c.pid)
		}
		return len(pids) == 2
	})
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGKILL)
	}
	for range 3 {
		invoke(t, start(t, b, helloSpec(hello(t))))
	}
}

// TestSparesAreUsedOnce and of the size that is asked for.
func TestSparesOfAnotherSize(t *testing.T) {
	b := newBackend(t, options(t, 2))
	for _, size := range []int64{512 * gust.MB, 1024 * gust.MB, 1024 * gust.MB, 10240 * gust.MB, 512 * gust.MB} {
		spec := helloSpec(hello(t))
		spec.Ephemeral = size
		e := start(t, b, spec)
		invoke(t, e)
		b.mu.Lock()
		for p := range b.envs {
			if p.id == spec.ID && p.volume.size != size {
				t.Errorf("it got a /tmp of %d bytes, want %d", p.volume.size, size)
			}
		}
		b.mu.Unlock()
		eventually(t, "spares are made", func() bool {
			b.spares.mu.Lock()
			defer b.spares.mu.Unlock()
			return len(b.spares.cells) == 2 && len(b.spares.volumes) == 2 && b.spares.volumes[0].size == size
		})
	}
}

// TestManyAtOnce, starting, answering and stopping across each other.
func TestManyAtOnce(t *testing.T) {
	b := newBackend(t, options(t, 2))
	code := hello(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			e, err := b.Start(t.Context(), helloSpec(code))
			if err != nil {
				t.Error(err)
				return
			}
			if i%4 != 0 { // else it is stopped while it begins
				invoke(t, e)
			}
			if i%3 == 0 {
				if err := e.Freeze(); err != nil {
					t.Error(err)
				}
			}
			if i%5 != 0 { // else Close has to end it
				e.Stop(time.Duration(i%2) * time.Second)
			}
			e.Usage()
		})
	}
	wg.Wait()
}

// TestCloseMeanwhile: Start and Close across each other leave nothing.
func TestCloseMeanwhile(t *testing.T) {
	needRoot(t)
	b, err := New(options(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	code := hello(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			e, err := b.Start(t.Context(), helloSpec(code))
			if err == nil {
				<-e.Done()
			} else if !errors.Is(err, gust.ErrClosing) {
				t.Errorf("Start beside Close: %v", err)
			}
		})
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestFailuresLeaveNothing: whatever step fails, it is named, and all before it
// is taken back.
func TestFailuresLeaveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Backend)
		want  string
	}{
		"in the cell":       {func(b *Backend) { b.proc.masked = append(b.proc.masked, "/proc/nonsense") }, "mask /proc/nonsense: no such file or directory"},
		"in init":           {func(b *Backend) { b.lastCap = 63 }, "drop capabilities: invalid argument"},
		"in the function":   {func(b *Backend) { b.filter = b.filter[:8] }, "install the system call filter: invalid argument"},
		"in the zygote":     {func(b *Backend) { b.base.path = "/nowhere" }, "open /nowhere as a mount: no such file or directory"},
		"in the zygote (2)": {func(b *Backend) { b.base.path = b.run }, "mount /dev: no such file or directory"},
		"of /tmp":           {func(b *Backend) { b.scratch.dir = "/nowhere" }, "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, options(t, 0))
			invoke(t, start(t, b, helloSpec(hello(t)))) // takes the first volume
			files := func() int {
				fds, err := os.ReadDir("/proc/self/fd")
				if err != nil {
					t.Fatal(err)
				}
				return len(fds)
			}
			before := files()
			c.spoil(b)
			for range 3 {
				_, err := b.Start(t.Context(), helloSpec(hello(t)))
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("the error is %v, want %q in it", err, c.want)
				}
			}
			if after := files(); after > before {
				t.Errorf("%d files are open, before %d", after, before)
			}
			for _, dir := range b.cgroups.paths {
				entries, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				groups := 0
				for _, e := range entries {
					if e.IsDir() {
						groups++
					}
				}
				if groups != 1 {
					t.Errorf("%s has %d groups, want that of the one that runs", dir, groups)
				}
			}
		})
	}
}

func TestStartCancelled(t *testing.T) {
	b := newBackend(t, options(t, 0))
	ctx, cancel := context.WithCancelCause(t.Context())
	because := errors.New("nobody waits any more")
	cancel(because)
	if _, err := b.Start(ctx, helloSpec(hello(t))); !errors.Is(err, because) {
		t.Errorf("the error is %v, want %v", err, because)
	}
}

func TestSpecIsChecked(t *testing.T) {
	b := newBackend(t, options(t, 0))
	for name, c := range map[string]struct {
		change func(*sandbox.Spec)
		want   string
	}{
		"no command":         {func(s *sandbox.Spec) { s.Command = nil }, "no command"},
		"empty word":         {func(s *sandbox.Spec) { s.Command = []string{""} }, "no command"},
		"relative code":      {func(s *sandbox.Spec) { s.Code = "code" }, "not absolute"},
		"no code":            {func(s *sandbox.Spec) { s.Code = "/nowhere" }, "/nowhere"},
		"no memory":          {func(s *sandbox.Spec) { s.Memory = 0 }, "limits above zero"},
		"no disk":            {func(s *sandbox.Spec) { s.Ephemeral = 0 }, "limits above zero"},
		"odd disk":           {func(s *sandbox.Spec) { s.Ephemeral++ }, "4096"},
		"no processes":       {func(s *sandbox.Spec) { s.Processes = -1 }, "limits above zero"},
		"CPU mode":           {func(s *sandbox.Spec) { s.CPU = "turbo" }, `"turbo"`},
		"no output":          {func(s *sandbox.Spec) { s.Output = nil }, "output"},
		"zero byte":          {func(s *sandbox.Spec) { s.Env = []string{"A=\x00"} }, "zero byte"},
		"large environment":  {func(s *sandbox.Spec) { s.Env = []string{"A=" + strings.Repeat("x", listSize)} }, "at most 196608 fit"},
		"missing program":    {func(s *sandbox.Spec) { s.Command = []string{"missing"} }, "Runtime.InvalidEntrypoint: Error: fork/exec /var/task/missing: no such file or directory"},
		"program outside":    {func(s *sandbox.Spec) { s.Command = []string{"/bin/missing"} }, "fork/exec /bin/missing: no such file"},
		"folder for program": {func(s *sandbox.Spec) { s.Command = []string{"."} }, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := helloSpec(hello(t))
			c.change(&spec)
			_, err := b.Start(t.Context(), spec)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestShellScript: a bootstrap is often one.
func TestShellScript(t *testing.T) {
	b := newBackend(t, options(t, 0))
	code := t.TempDir()
	os.Chmod(code, 0o755)
	script := `#!/bin/sh
set -eu
echo "in $(pwd) as $(id -u) of $(hostname 2>/dev/null || echo gust)"
test -w /tmp; test ! -w /var/task; test -r /etc/passwd
df -k /tmp | tail -n 1 | awk '{ print "tmp", $2 }'
exec ./hello
`
	if err := os.WriteFile(filepath.Join(code, "bootstrap"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(hello(t), "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(code, "hello"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var lines []string
	spec := helloSpec(code)
	spec.Env = append(spec.Env, "PATH=/usr/bin:/bin")
	spec.Output = func(line []byte) { mu.Lock(); lines = append(lines, string(line)); mu.Unlock() }
	e := start(t, b, spec)
	_, err = e.Invoke(t.Context(), &gust.Invocation{RequestID: "x", Deadline: time.Now().Add(time.Minute)})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		t.Fatalf("%v; it printed %q", err, lines)
	}
	if len(lines) != 2 || lines[0] != "in /var/task as 1000 of gust" {
		t.Errorf("it printed %q", lines)
	}
	var kb int64
	if _, err := fmt.Sscanf(lines[1], "tmp %d", &kb); err != nil || kb*1024 < gust.MinEphemeral*99/100 || kb*1024 > gust.MinEphemeral*105/100 {
		t.Errorf("its /tmp has %d KB (%q), want nearly 512 MB", kb, lines[1])
	}
}

// TestScratchBound: all /tmp together are bounded, and the largest pays.
func TestScratchBound(t *testing.T) {
	o := options(t, 0)
	o.Scratch = 64 * gust.MB
	b := newBackend(t, o)
	small := start(t, b, helloSpec(hello(t)))
	invoke(t, small)
	code := t.TempDir()
	os.Chmod(code, 0o755)
	script := "#!/bin/sh\ndd if=/dev/zero of=/tmp/large bs=1M count=100 conv=fsync 2>/dev/null\nexec sleep 1000\n"
	if err := os.WriteFile(filepath.Join(code, "bootstrap"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := helloSpec(code)
	spec.Env = append(spec.Env, "PATH=/usr/bin:/bin")
	large := start(t, b, spec)
	<-large.Done()
	if got := large.Exit(); got.Outcome != gust.OutcomeSandbox {
		t.Errorf("the large one ended as %+v, want %s", got, gust.OutcomeSandbox)
	}
	eventually(t, "there is room again", func() bool {
		e, err := b.Start(t.Context(), helloSpec(hello(t)))
		if err != nil {
			if !errors.Is(err, ErrScratch) {
				t.Fatal(err)
			}
			return false
		}
		invoke(t, e)
		return true
	})
	invoke(t, small)
}

// TestScratchIsWatchedWhileEnvironmentsEnd: looking at all /tmp and giving one
// back want each other's locks.
func TestScratchIsWatchedWhileEnvironmentsEnd(t *testing.T) {
	b := newBackend(t, options(t, 0))
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-done:
				return
			default:
				b.boundScratch(gust.GB)
			}
		}
	}()
	for range 20 {
		e := start(t, b, helloSpec(hello(t)))
		e.Stop(0)
	}
	close(done)
	<-watched
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{RunDir: "run"}); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("a relative folder: %v", err)
	}
	if os.Geteuid() != 0 {
		_, err := New(options(t, 0))
		if err == nil || !strings.Contains(err.Error(), "root") || !strings.Contains(err.Error(), "--sandbox none") {
			t.Errorf("without root: %v", err)
		}
	}
}
