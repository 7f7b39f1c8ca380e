//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

func newVolume(t *testing.T, s *scratch, size int64) *volume {
	t.Helper()
	v, err := s.newVolume(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)
	return v
}

func TestVolume(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	s := newScratch(dir)
	for _, size := range []int64{gust.MinEphemeral, gust.MinEphemeral + gust.MB, gust.MaxEphemeral} {
		v := newVolume(t, s, size)
		var fs unix.Statfs_t
		if err := unix.Fstatfs(v.root, &fs); err != nil {
			t.Fatal(err)
		}
		if got := int64(fs.Bavail) * fs.Bsize; got < size || got >= size+2*block {
			t.Errorf("of %d bytes %d are free", size, got)
		}
		var st unix.Stat_t
		if err := unix.Fstat(v.root, &st); err != nil || st.Mode&0o7777 != 0o1777 {
			t.Errorf("the mode is %o, %v", st.Mode, err)
		}
		if n := v.used(); n > 4*gust.MB {
			t.Errorf("an empty /tmp of %d bytes takes %d of the disk", size, n)
		}
		fd, err := unix.Openat(v.root, ".", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		folder := os.NewFile(uintptr(fd), "tmp")
		names, err := folder.Readdirnames(-1)
		folder.Close()
		if err != nil || len(names) != 0 {
			t.Errorf("it has %v, %v", names, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files with names: %v", left)
	}
}

// TestVolumesAreApart: what is written to one is in no other, and is gone with
// it; two made at once do not get the same device.
func TestVolumesAreApart(t *testing.T) {
	needRoot(t)
	s := newScratch(t.TempDir())
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			v, err := s.newVolume(t.Context(), gust.MinEphemeral)
			if err != nil {
				t.Error(err)
				return
			}
			defer v.close()
			fd, err := unix.Openat(v.root, "mine", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				t.Errorf("volume %d: %v", i, err)
				return
			}
			defer unix.Close(fd)
			if _, err := unix.Write(fd, []byte("mine")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestVolumeFreesTheDisk(t *testing.T) {
	needRoot(t)
	v := newVolume(t, newScratch(t.TempDir()), gust.MinEphemeral)
	empty := v.used()
	fd, err := unix.Openat(v.root, "large", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, gust.MB)
	for i := range chunk {
		chunk[i] = byte(i)
	}
	for range 16 {
		if _, err := unix.Write(fd, chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	if full := v.used(); full < empty+15*gust.MB {
		t.Errorf("16 MB take %d bytes", full-empty)
	}
	unix.Close(fd)
	if err := unix.Unlinkat(v.root, "large", 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Syncfs(v.root); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is removed is given back to the disk", func() bool { return v.used() < empty+8*gust.MB })
}

func TestScratchErrors(t *testing.T) {
	needRoot(t)
	t.Run("no folder", func(t *testing.T) {
		if _, err := newScratch("/nowhere").newVolume(t.Context(), gust.MinEphemeral); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("no mkfs", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := mkfs(); err != nil && !strings.Contains(err.Error(), "e2fsprogs") {
			t.Errorf("the error is %v, want the package's name", err)
		}
	})
	t.Run("too small", func(t *testing.T) {
		_, err := newScratch(t.TempDir()).newVolume(t.Context(), 4096)
		if err == nil || !strings.Contains(err.Error(), "mkfs.ext4") {
			t.Errorf("the error is %v, want the tool's name and its words", err)
		}
	})
	t.Run("a failure is not kept", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		s := newScratch(dir)
		if _, err := s.newVolume(t.Context(), gust.MinEphemeral); err == nil {
			t.Fatal("it has no folder")
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		newVolume(t, s, gust.MinEphemeral)
	})
}
