//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newStarter runs one that is told what to do by the test.
func newStarter(t *testing.T) (*control, int) {
	t.Helper()
	image, err := sealedStarter()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	k := newKeeper()
	c, peer, err := newControl()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := k.start(image, peer)
	unix.Close(peer)
	if err != nil {
		t.Fatal(err)
	}
	c.deadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() {
		c.close()
		unix.Kill(pid, unix.SIGKILL)
		wait4(pid)
		k.close()
	})
	return c, pid
}

func TestStarterCarriesOutLists(t *testing.T) {
	pipe := func(t *testing.T) (*os.File, *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	for name, c := range map[string]struct {
		build func(t *testing.T, l *list)
		want  int64
		err   string
	}{
		"a result": {func(t *testing.T, l *list) {
			l.end(l.call("umask", unix.SYS_UMASK, 0o027))
		}, 0o022, ""},
		"no end": {func(t *testing.T, l *list) {
			l.call("umask", unix.SYS_UMASK, 0o027)
		}, 0, ""},
		"an empty list": {func(t *testing.T, l *list) {}, 0, ""},
		"a failure is named": {func(t *testing.T, l *list) {
			l.call("umask", unix.SYS_UMASK, 0o027)
			l.call("open the gates", unix.SYS_OPENAT, atCWD, "/nowhere", unix.O_RDONLY, 0)
			l.end(5)
		}, 0, "open the gates: no such file or directory"},
		"a failure that may be": {func(t *testing.T, l *list) {
			l.end(l.try("open", unix.SYS_OPENAT, atCWD, "/nowhere", unix.O_RDONLY, 0))
		}, -int64(unix.ENOENT), ""},
		"results are arguments": {func(t *testing.T, l *list) {
			f := l.call("open", unix.SYS_OPENAT, atCWD, "/proc/self/comm", unix.O_RDONLY, 0)
			buf := l.zeros(64)
			l.end(l.call("read", unix.SYS_READ, f, buf, 64))
		}, int64(len("N\n")), ""},
		"descriptors come along": {func(t *testing.T, l *list) {
			_, w := pipe(t)
			l.end(l.call("write", unix.SYS_WRITE, l.fd(int(w.Fd())), "hello", 5))
		}, 5, ""},
		"a child": {func(t *testing.T, l *list) {
			child := l.fork("fork", unix.SYS_CLONE, func() {
				l.call("exit", unix.SYS_EXIT_GROUP, 7)
			}, unix.CLONE_VFORK|int(unix.SIGCHLD), 0, 0, 0, 0)
			l.end(l.call("reap", opReap, child))
		}, 7 << 8, ""},
		"a child that fails": {func(t *testing.T, l *list) {
			l.fork("fork", unix.SYS_CLONE, func() {
				l.call("execute", unix.SYS_EXECVE, "/nowhere", l.strs(nil), l.strs(nil))
			}, unix.CLONE_VFORK|int(unix.SIGCHLD), 0, 0, 0, 0)
			l.flags = exitAfter
		}, 0, "execute: no such file or directory"},
		"nobody to reap": {func(t *testing.T, l *list) {
			l.end(l.call("reap", opReap, 1))
		}, 0, "reap: no child processes"},
		"a result that is not there yet is 0": {func(t *testing.T, l *list) {
			l.end(result(3))
		}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctl, _ := newStarter(t)
			l := newList()
			c.build(t, l)
			got, _, err := ctl.do(l)
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "" && (err == nil || err.Error() != c.err):
				t.Fatalf("the error is %v, want %s", err, c.err)
			case name == "results are arguments":
				if got < 2 {
					t.Fatalf("it read %d bytes", got)
				}
			case got != c.want:
				t.Fatalf("the result is %d, want %d", got, c.want)
			}
		})
	}
}

func TestStarterGoesOnAfterAFailure(t *testing.T) {
	ctl, _ := newStarter(t)
	bad := newList()
	bad.call("chdir", unix.SYS_CHDIR, "/nowhere")
	if _, _, err := ctl.do(bad); !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("got %v", err)
	}
	good := newList()
	good.end(7)
	if n, _, err := ctl.do(good); n != 7 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestStarterKeepsNoDescriptor(t *testing.T) {
	ctl, pid := newStarter(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := newList()
	l.fd(int(w.Fd()))
	l.end(0)
	if _, _, err := ctl.do(l); err != nil {
		t.Fatal(err)
	}
	w.Close()
	again := newList() // answered after the first list's descriptors are closed
	again.end(0)
	if _, _, err := ctl.do(again); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the pipe has a writer: %d, %v", n, err)
	}
	fds, err := os.ReadDir("/proc/" + itoa(pid) + "/fd")
	if err != nil || len(fds) != 4 {
		t.Fatalf("it has %d descriptors, want 4 (%v)", len(fds), err)
	}
}

func TestStarterSendsDescriptors(t *testing.T) {
	ctl, _ := newStarter(t)
	l := newList()
	f := l.call("open", unix.SYS_OPENAT, atCWD, "/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	l.call("number", unix.SYS_DUP3, f, 10, unix.O_CLOEXEC)
	l.sendFD("send", l.rights(10))
	l.flags = silent
	_, fd, err := ctl.do(l)
	if err != nil || fd < 0 {
		t.Fatalf("got %d, %v", fd, err)
	}
	file := os.NewFile(uintptr(fd), "status")
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil || !strings.Contains(string(text), "Pid:") {
		t.Fatalf("got %q, %v", text, err)
	}
}

func TestStarterEndsWithTheSocket(t *testing.T) {
	ctl, pid := newStarter(t)
	f, err := openPidfd(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctl.close()
	waitPidfd(f) // or the test hangs
}

// TestStarterRefusesNonsense: the node is the only one to send lists; all the
// same a list that is cut must not make it run wild.
func TestStarterRefusesNonsense(t *testing.T) {
	ctl, _ := newStarter(t)
	l := newList()
	l.end(0)
	good, err := l.encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, v byte) []byte {
		b := append([]byte{}, good...)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"short":        {1, 2, 3},
		"cut":          good[:len(good)-1],
		"many ops":     change(5, 0xff),
		"ops far away": change(2, 0xff),
		"odd offset":   change(0, 17),
	} {
		t.Run(name, func(t *testing.T) {
			ctl.raw.Write(func(fd uintptr) bool { err = unix.Sendto(int(fd), b, 0, nil); return true })
			if err != nil {
				t.Fatal(err)
			}
			r, _, err := ctl.receive()
			if err != nil || r.errno != syscall.EINVAL {
				t.Fatalf("got %+v, %v; want EINVAL", r, err)
			}
		})
	}
	if _, _, err := ctl.do(l); err != nil {
		t.Fatalf("and then: %v", err)
	}
}

func TestListLimits(t *testing.T) {
	for name, c := range map[string]struct {
		build func(*list)
		want  string
	}{
		"ops": {func(l *list) {
			for range maxOps + 1 {
				l.call("x", 0)
			}
		}, "257 system calls"},
		"fds": {func(l *list) {
			for range maxFDs + 1 {
				l.fd(0)
			}
		}, "17 descriptors"},
		"data": {func(l *list) { l.str(strings.Repeat("x", listSize)) }, "at most 196608 fit"},
	} {
		l := newList()
		c.build(l)
		if _, err := l.encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %s", name, err, c.want)
		}
	}
	// The largest there may be arrives.
	ctl, _ := newStarter(t)
	l := newList()
	l.str(strings.Repeat("x", listSize-headSize-2*opSize-64))
	l.end(9)
	if n, _, err := ctl.do(l); n != 9 || err != nil {
		t.Errorf("the largest list: %d, %v", n, err)
	}
}

func TestParseReply(t *testing.T) {
	for _, n := range []int{0, 1, 15, 17} {
		if _, err := parseReply(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are taken for an answer", n)
		}
	}
}

func TestSealedStarter(t *testing.T) {
	f, err := sealedStarter()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("writing to it: %v, want EPERM", err)
	}
	if err := f.Truncate(0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("truncating it: %v, want EPERM", err)
	}
	if w, err := os.OpenFile("/proc/self/fd/"+itoa(int(f.Fd())), os.O_WRONLY, 0); err == nil {
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("it can be written through /proc")
		}
		w.Close()
	}
}
