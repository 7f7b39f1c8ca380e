package build

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestTheCacheHoldsWhatIsWhole: two processes (here two builders that know
// nothing of each other) that install the same at once, an installation that
// fails, and what a killed one left.
func TestTheCacheHoldsWhatIsWhole(t *testing.T) {
	cache := t.TempDir()
	key := newKey("test")
	started, both := make(chan struct{}, 2), make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			b := &builder{Options: Options{CacheDir: cache, installs: &installs{}}}
			dir, err := b.dependencies(t.Context(), key, func(dir string) error {
				started <- struct{}{}
				<-both
				return errors.Join(os.WriteFile(filepath.Join(dir, "one"), nil, 0o644), os.WriteFile(filepath.Join(dir, "two"), nil, 0o644))
			})
			if err != nil {
				t.Error(err)
				return
			}
			for _, name := range []string{"one", "two"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-started
	<-started
	close(both)
	wg.Wait()

	b := &builder{Options: Options{CacheDir: cache, installs: &installs{}}}
	broken := errors.New("broken")
	if _, err := b.dependencies(t.Context(), newKey("other"), func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), broken)
	}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := b.dependencies(t.Context(), key, func(string) error { return broken }); err != nil {
		t.Errorf("what is there is installed again: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(cache, "deps"))
	if err != nil || len(left) != 1 || left[0].Name() != key.String() {
		t.Errorf("in the cache are %v, %v", left, err)
	}

	killed, unused := filepath.Join(cache, "deps", ".tmp-killed"), filepath.Join(cache, "deps", "unused")
	old := time.Now().Add(-8 * 24 * time.Hour)
	for _, dir := range []string{killed, unused} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "x"), 0o755), os.Chtimes(dir, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.prune(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{killed: false, unused: false, filepath.Join(cache, "deps", key.String()): true} {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) == want {
			t.Errorf("after a week %s: %v", filepath.Base(dir), err)
		}
	}
}

// TestAToolEndsWithItsChildren: when a build is given up, nothing of it runs on.
// Whatever runs holds the pipe open; the kernel closes it before the process is
// seen to be gone.
func TestAToolEndsWithItsChildren(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	done := make(chan error)
	go func() {
		done <- tool{path: "/bin/sh", args: []string{"-c", "exec 3>" + path + "; sleep 1000 & echo started >&3; wait"}, doing: "sleeping", in: "."}.run(ctx)
	}()
	alive, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if said, err := bufio.NewReader(alive).ReadString('\n'); said != "started\n" {
		t.Fatal(said, err)
	}
	cancel(stop)
	if err := <-done; !errors.Is(err, stop) {
		t.Error(err)
	}
	if err := alive.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the child runs on: %v", err)
	}
}

// TestAToolSaysWhatItWasTold: its words come first, then what to do.
func TestAToolSaysWhatItWasTold(t *testing.T) {
	err := tool{path: "/bin/sh", args: []string{"-c", "echo out; echo err >&2; exit 3"}, doing: "npm ci", in: "./api", hint: "do this"}.run(t.Context())
	if want := "npm ci in ./api failed:\nout\nerr\ndo this"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := find("no-such-program", "x is installed by it", "install it"); err == nil || !strings.HasPrefix(err.Error(), "x is installed by it, and there is no no-such-program in PATH: install it") {
		t.Error(err)
	}
}
