package runtimes

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// TestFullDisk: a root that does not fit is refused by name, before it is made
// where the node knows, and while it is made where it does not.
func TestFullDisk(t *testing.T) {
	s := newSystem(t, "20.1.0")
	o := s.options(t.TempDir())
	free := int64(2 * gust.MB)
	o.Free = func() (int64, int64) { return free, gust.MB }
	l := open(t, o)
	_, err := l.Resolve("node@20")
	wantError(t, err, gust.ErrNoSpace, "the root takes 2 MB, and the disk has 2 MB free, 1 of them kept for the store")
	free = gust.GB // somebody cleans up
	resolve(t, l, "node@20")

	small := t.TempDir()
	if err := unix.Mount("small", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("a small file system cannot be mounted:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	l = open(t, s.options(filepath.Join(small, "roots")))
	_, err = l.Add(t.Context(), "node@20", "")
	wantError(t, err, gust.ErrNoSpace, "add the system's node@20: make the root: no space left")
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, name := range []string{"tmp-*", "*.json"} {
		if names, err := filepath.Glob(filepath.Join(small, "roots", name)); err != nil || len(names) > 1 {
			t.Errorf("there are %v, %v", names, err)
		}
	}
}
