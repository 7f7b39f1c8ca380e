package sandboxtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// machine is what a run could leave behind.
type machine struct {
	// things are described in words: processes, mounts, cgroups, loop devices
	// and files that bear the run's mark or belong to this process.
	things []string
	// descriptors are this process's own, goroutines too.
	descriptors, goroutines int
}

// observe looks at all that this run can have left, and only at that: other
// tests run on the same machine.
func (s *suite) observe(t *testing.T) machine {
	t.Helper()
	var m machine
	add := func(format string, args ...any) { m.things = append(m.things, fmt.Sprintf(format, args...)) }
	marks := append([]string{s.mark}, s.caps.Marks...)
	marked := func(text string) bool {
		return slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(text, mark) })
	}
	for _, p := range s.processes("") {
		add("the process %s", p)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(mounts)) {
			if marked(line) {
				add("the mount %s", strings.TrimSpace(line))
			}
		}
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && marked(path) {
			add("the cgroup %s", path)
		}
		return nil
	})
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, path := range loops {
		if file, err := os.ReadFile(path); err == nil && marked(string(file)) {
			add("the loop device %s on %s", path, bytes.TrimSpace(file))
		}
	}
	for _, root := range []string{os.TempDir(), "/dev/shm", "/run", "/var/run", "/var/tmp"} {
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == s.dir {
				return fs.SkipDir
			}
			if strings.Count(path[len(root):], "/") > 3 {
				return fs.SkipDir
			}
			if strings.Contains(path, s.mark) {
				add("the file %s", path)
			}
			return nil
		})
	}
	if s.caps.Network {
		for _, thing := range networktest.Left(t) {
			add("%s", thing)
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	m.descriptors, m.goroutines = len(fds), runtime.NumGoroutine()
	return m
}

// processes lists the run's processes that bear this mark in their environment
// (an empty one: this run's), and the children of this process that a backend
// has started.
func (s *suite) processes(id string) []string {
	var found []string
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + entry.Name() + "/environ")
		line, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		state, parent := stat(pid)
		switch {
		case id != "" && bytes.Contains(env, []byte(wire.Mark+"="+s.mark)) && bytes.Contains(env, []byte(wire.ID+"="+id)):
		case id == "" && bytes.Contains(env, []byte(wire.Mark+"="+s.mark)):
		case id == "" && parent == os.Getpid():
		default:
			continue
		}
		found = append(found, fmt.Sprintf("%d (%s, child of %d) %q", pid, state, parent, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return found
}

// stat is a process's state and its parent.
func stat(pid int) (string, int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return fields[0], parent
}

// gone asserts that no process of an environment that has ended is there.
func (s *suite) gone(t *testing.T, e *env) {
	t.Helper()
	if left := s.processes(e.spec.ID); len(left) != 0 {
		t.Errorf("Done is closed and there are still %s", strings.Join(left, "; "))
	}
}

// processOf is a process of the environment, as the host numbers it; 0 if it
// cannot be found.
func (s *suite) processOf(e *env) int {
	pid := 0
	if found := s.processes(e.spec.ID); len(found) != 0 {
		fmt.Sscan(found[0], &pid)
	}
	return pid
}

// nothingLeft compares with what there was before.
func (s *suite) nothingLeft(t *testing.T, before machine) {
	var after machine
	clean := func() bool {
		after = s.observe(t)
		return len(s.new(before, after)) == 0
	}
	if !eventually(t.Context(), clean) {
		for _, thing := range s.new(before, after) {
			t.Errorf("left behind: %s", thing)
		}
	}
}

func (s *suite) new(before, after machine) []string {
	var left []string
	for _, thing := range after.things {
		if !slices.Contains(before.things, thing) {
			left = append(left, thing)
		}
	}
	if after.descriptors > before.descriptors+2 { // the runtime's own poller
		left = append(left, fmt.Sprintf("%d open descriptors, there were %d", after.descriptors, before.descriptors))
	}
	if after.goroutines > before.goroutines+1 { // this subtest
		stacks := make([]byte, 64<<10)
		left = append(left, fmt.Sprintf("%d goroutines, there were %d:\n%s", after.goroutines, before.goroutines,
			stacks[:runtime.Stack(stacks, true)]))
	}
	return left
}

// handle is the host's handle of a file.
func handle(t *testing.T, path string) ([]byte, int32) {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Logf("no file handle of %s: %v", path, err)
		return make([]byte, 8), 1
	}
	return h.Bytes(), h.Type()
}

// setFileCapabilities gives a program every capability there is, as setcap
// does: version 2, effective, all permitted.
func setFileCapabilities(t *testing.T, path string) {
	t.Helper()
	attr := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(path, "security.capability", attr, 0); err != nil {
		t.Logf("no file capabilities on %s: %v", path, err)
	}
}

func descriptors() int {
	fds, _ := os.ReadDir("/proc/self/fd")
	return len(fds)
}

// hostAffords asserts that the node itself still gets what an environment has
// taken all of.
func (s *suite) hostAffords(t *testing.T, what string) {
	t.Helper()
	var err error
	switch what {
	case "inotify":
		var fd int
		if fd, err = unix.InotifyInit1(unix.IN_CLOEXEC); err == nil {
			unix.Close(fd)
		}
	case "aio":
		var ctx uintptr
		_, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 64, uintptr(unsafe.Pointer(&ctx)), 0)
		if errno != 0 {
			err = errno
		} else {
			unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
		}
	case "timers":
		var id int32
		_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id)))
		if errno != 0 {
			err = errno
		} else {
			unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0)
		}
	}
	if err != nil {
		t.Errorf("%s: the node gets none: %v", what, err)
	}
}

// userOf is the host's user id of an environment's program, -1 if it cannot be
// found.
func (s *suite) userOf(e *env) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.processOf(e)))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(data)) {
		var uid int
		if n, _ := fmt.Sscanf(line, "Uid: %d", &uid); n == 1 {
			return uid
		}
	}
	return -1
}
