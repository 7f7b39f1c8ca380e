package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// A real file system of 48 MB, filled by a neighbour and by the store itself.
func TestARealFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("gust-test", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("no file system can be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "data")
	s, err := tryOpen(t, Options{Dir: data, Reserve: 8 << 20, OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	value := strings.Repeat("x", 32<<10)
	n := 0
	for ; n < 10_000; n++ {
		if err = put(s, "p", fmt.Sprintf("%05d", n), value); err != nil {
			break
		}
	}
	if !errors.Is(err, gust.ErrNoSpace) || n < 50 {
		t.Fatalf("after %d values of 32 KB: %v", n, err)
	}
	// A neighbour takes the rest, to the last byte.
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	f.Close()
	if err := put(s, "p", "more", value); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("on a full disk: %v", err)
	}
	if got := len(dump(t, s, "p")); got != n {
		t.Errorf("%d of %d values can be read", got, n)
	}
	// The node is restarted on the full disk.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = tryOpen(t, Options{Dir: data, Reserve: 8 << 20, OnFatal: func(err error) { t.Error(err) }}); err != nil {
		t.Fatalf("opening on a full disk: %v", err)
	}
	if got := len(dump(t, s, "p")); got != n {
		t.Errorf("%d of %d values are there after a restart", got, n)
	}
	// What it gave back by starting anew is used up, and refused again.
	for ; n < 10_000; n++ {
		if err = put(s, "p", fmt.Sprintf("%05d", n), value); err != nil {
			break
		}
	}
	if !errors.Is(err, gust.ErrNoSpace) {
		t.Fatalf("on a full disk, after a restart: %v", err)
	}
	if got := len(dump(t, s, "p")); got != n {
		t.Errorf("%d of %d values are there", got, n)
	}
	// The neighbour takes that too, until a start finds nothing to give back.
	for range 5 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(data, "reserve")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if f, err = os.OpenFile(filler, os.O_WRONLY|os.O_APPEND, 0); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1 << 20, 4096} {
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, size))
			}
		}
		f.Close()
		var again *Store
		if again, err = tryOpen(t, Options{Dir: data, Reserve: 8 << 20}); err != nil {
			break
		}
		s = again
	}
	if !errors.Is(err, gust.ErrNoSpace) || !strings.Contains(err.Error(), " 0 KB are free") {
		t.Fatalf("opening without a byte left: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if s, err = tryOpen(t, Options{Dir: data, Reserve: 8 << 20}); err != nil {
		t.Fatalf("opening when there is space again: %v", err)
	}
	if got := len(dump(t, s, "p")); got != n {
		t.Errorf("%d of %d values are there after all", got, n)
	}
	if err := put(s, "p", "more", value); err != nil {
		t.Errorf("when there is space again: %v", err)
	}
}

func TestAReadOnlyFolderIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("gust-test", dir, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
		t.Skip("no file system can be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{dir, filepath.Join(dir, "data")} {
		if s, err := tryOpen(t, Options{Dir: d}); err == nil || !strings.Contains(err.Error(), "read-only") {
			if err == nil {
				s.Close()
			}
			t.Errorf("%s: %v", d, err)
		}
	}
}
