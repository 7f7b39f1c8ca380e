//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// scratch makes the environments' /tmp: an ext4 file system in a sparse file
// on a loop device, of exactly the size that was asked for. A quota on a
// directory would be simpler, but needs a file system and a kernel with project
// quotas, which few machines have.
//
// The files have no names (O_TMPFILE), the devices free themselves when they
// are unmounted (LO_FLAGS_AUTOCLEAR) and the mounts are in the environments'
// namespaces, so nothing is left when the node dies.
type scratch struct {
	dir string

	full atomic.Bool // over the bound, see watchScratch

	mu        sync.Mutex
	templates map[int64]*template
}

// template is a formatted file, made once for each size and copied after that:
// mkfs takes 20 ms, a copy of the 60 KB it wrote 0.1 ms.
type template struct {
	once  sync.Once
	parts []part
	err   error
}

// part is one stretch of the file that is not a hole.
type part struct {
	at   int64
	data []byte
}

// volume is one mounted /tmp.
type volume struct {
	size  int64
	mount int      // the detached mount
	root  int      // its root folder, to drop unwritten data at the end
	image *os.File // to tell how much it holds
}

func newScratch(dir string) *scratch {
	return &scratch{dir: dir, templates: map[int64]*template{}}
}

// formatPrefix begins the name of a file that mkfs works on.
const formatPrefix = "format-"

// mkfs is needed once for each size.
func mkfs() (string, error) {
	path, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		for _, p := range []string{"/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
			if _, serr := os.Stat(p); serr == nil {
				return p, nil
			}
		}
		return "", errors.New("mkfs.ext4, which makes the functions' /tmp, is not installed: install e2fsprogs")
	}
	return path, nil
}

func (s *scratch) template(ctx context.Context, size int64) ([]part, error) {
	s.mu.Lock()
	t := s.templates[size]
	if t == nil {
		t = &template{}
		s.templates[size] = t
	}
	s.mu.Unlock()
	t.once.Do(func() { t.parts, t.err = s.format(context.WithoutCancel(ctx), size) })
	if t.err != nil { // may be over next time
		s.mu.Lock()
		if s.templates[size] == t {
			delete(s.templates, size)
		}
		s.mu.Unlock()
	}
	return t.parts, t.err
}

// The file is larger than the /tmp in it by the file system's own tables and
// what the kernel keeps back, up to 3.9 % (measured from 512 MB to 10 GB). What
// is too much of that is reserved for root, so that exactly what was declared
// can be written.
const (
	block         = 4096
	reservedField = 1024 + 8 // s_r_blocks_count_lo in the superblock
)

func fileSize(size int64) int64 {
	return (size + size/1000*39 + block - 1) / block * block
}

// format makes a file system and keeps what mkfs wrote.
func (s *scratch) format(ctx context.Context, size int64) ([]part, error) {
	tool, err := mkfs()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, formatPrefix)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := f.Truncate(fileSize(size)); err != nil {
		return nil, err
	}
	// No journal: nothing here outlives a crash. No reserved blocks yet, and
	// nothing that would write to a file that should stay sparse.
	cmd := exec.CommandContext(ctx, tool, "-q", "-F", "-m", "0", "-b", strconv.Itoa(block), "-I", "256",
		"-O", "^has_journal,^resize_inode,^huge_file,^metadata_csum,sparse_super2",
		"-E", "lazy_itable_init=1,nodiscard", f.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format a /tmp of %d MB with %s: %w: %s", size/gust.MB, tool, err, out)
	}
	// What would be done to each copy is done once: the folder lost+found goes,
	// and everybody may write.
	v := &volume{size: size, mount: -1, root: -1, image: f}
	if err := v.attach(); err != nil {
		return nil, err
	}
	err = unix.Unlinkat(v.root, "lost+found", unix.AT_REMOVEDIR)
	if err == nil || err == unix.ENOENT {
		err = unix.Fchmod(v.root, 0o1777)
	}
	if err == nil {
		err = unix.Syncfs(v.root)
	}
	var free unix.Statfs_t
	if err == nil {
		err = unix.Fstatfs(v.root, &free)
	}
	unix.Close(v.root)
	unix.Close(v.mount) // unmounts it, and marks it as clean
	if err != nil {
		return nil, err
	}
	over := int64(free.Bavail)*free.Bsize - size
	if over < 0 {
		return nil, fmt.Errorf("a /tmp of %d MB lacks %d bytes of it", size/gust.MB, -over)
	}
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, uint32(over/block)), reservedField); err != nil {
		return nil, err
	}
	return parts(f, fileSize(size))
}

// parts reads all of f that is neither a hole nor zero.
func parts(f *os.File, size int64) ([]part, error) {
	const block = 4096
	var zero [block]byte
	var ps []part
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, err
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		data := make([]byte, to-from)
		if _, err := io.ReadFull(io.NewSectionReader(f, from, to-from), data); err != nil {
			return nil, err
		}
		for len(data) > 0 {
			n := min(block, len(data))
			switch last := len(ps) - 1; {
			case bytes.Equal(data[:n], zero[:n]):
			case last >= 0 && ps[last].at+int64(len(ps[last].data)) == from:
				ps[last].data = append(ps[last].data, data[:n]...)
			default:
				ps = append(ps, part{from, bytes.Clone(data[:n])})
			}
			data, from = data[n:], from+int64(n)
		}
		at = to
	}
	return ps, nil
}

// newVolume makes a /tmp of size bytes.
func (s *scratch) newVolume(ctx context.Context, size int64) (*volume, error) {
	ps, err := s.template(ctx, size)
	if err != nil {
		return nil, err
	}
	v := &volume{size: size, mount: -1, root: -1}
	if err := v.open(s.dir, ps); err != nil {
		v.close()
		return nil, fmt.Errorf("make a /tmp of %d MB: %w", size/gust.MB, err)
	}
	return v, nil
}

func (v *volume) open(dir string, ps []part) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make a file without a name in %s: %w", dir, err)
	}
	v.image = os.NewFile(uintptr(fd), filepath.Join(dir, "tmp"))
	if err := v.image.Truncate(fileSize(v.size)); err != nil {
		return err
	}
	for _, p := range ps {
		if _, err := v.image.WriteAt(p.data, p.at); err != nil {
			return err
		}
	}
	return v.attach()
}

// attach mounts the image.
func (v *volume) attach() error {
	device, path, err := attachLoop(v.image)
	if err != nil {
		return err
	}
	defer device.Close() // the mount keeps it
	v.mount, err = newFS("ext4", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOATIME,
		[2]string{"source", path}, [2]string{"noinit_itable", ""}, [2]string{"nobarrier", ""},
		[2]string{"discard", ""}, [2]string{"errors", "continue"})
	if err != nil {
		return err
	}
	if v.root, err = unix.Openat(v.mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		unix.Close(v.mount)
		v.mount = -1
	}
	return err
}

// own gives the file system to a host uid and gid.
func (v *volume) own(id int) error { return unix.Fchown(v.root, id, id) }

// used is how many bytes of the disk it takes.
func (v *volume) used() int64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(v.image.Fd()), &st); err != nil {
		return 0
	}
	return st.Blocks * 512
}

// ext4Shutdown is EXT4_IOC_SHUTDOWN, and 2 EXT4_GOING_FLAGS_NOLOGFLUSH: what is
// not written yet never will be.
const ext4Shutdown = 0x8004587d

// close gives it back. If there is much in it, what is not yet on the disk is
// not written any more, as nobody could read it; for little that is not worth
// the line it leaves in the kernel's log.
func (v *volume) close() {
	const much = 16 * gust.MB
	var fs unix.Statfs_t
	if v.root >= 0 && unix.Fstatfs(v.root, &fs) == nil && int64(fs.Blocks-fs.Bfree)*fs.Bsize > much {
		flag := uint32(2)
		unix.Syscall(unix.SYS_IOCTL, uintptr(v.root), ext4Shutdown, uintptr(unsafe.Pointer(&flag))) // else it is written in vain
	}
	if v.root >= 0 {
		unix.Close(v.root)
	}
	if v.mount >= 0 {
		unix.Close(v.mount)
	}
	if v.image != nil {
		v.image.Close()
	}
	v.root, v.mount, v.image = -1, -1, nil
}

// watchScratch keeps all volumes together below a bound until the backend is
// closed. The disk is the store's too, and a sparse file takes what is written
// to it without asking.
func (b *Backend) watchScratch(bound int64) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			return
		}
		b.boundScratch(bound)
	}
}

// boundScratch looks at all volumes once.
func (b *Backend) boundScratch(bound int64) {
	// A program that is released holds its own lock and asks for b's, so
	// they are looked at without it.
	b.mu.Lock()
	all := slices.Collect(maps.Keys(b.envs))
	b.mu.Unlock()
	var sum, most int64
	var worst *program
	for _, p := range all {
		n := p.scratchUsed()
		if sum += n; n > most {
			worst, most = p, n
		}
	}
	b.scratch.full.Store(sum >= bound)
	if sum >= bound && worst != nil {
		worst.overScratch(most, bound)
	}
}

// attachLoop gives f a loop device, which frees itself after its last user.
func attachLoop(f *os.File) (*os.File, string, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, "", err
	}
	defer ctl.Close()
	for range 1000 { // others may take the free one first
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, "", fmt.Errorf("get a free loop device: %w", err)
		}
		path := "/dev/loop" + strconv.Itoa(n)
		device, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
			continue // somebody has just removed it
		}
		if err != nil {
			return nil, "", err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
			Fd:   uint32(f.Fd()),
			Size: 4096,
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return device, path, nil
		}
		device.Close()
		if err != unix.EBUSY {
			return nil, "", fmt.Errorf("attach %s: %w", path, err)
		}
	}
	return nil, "", errors.New("get a free loop device: others were faster a thousand times")
}
