//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

//go:generate sh starter/build.sh

// sealedStarter is a copy of the starter in memory that nobody can change, not
// even through /proc/<pid>/exe of a process that runs it.
func sealedStarter() (*os.File, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("gust-starter", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 every memory file is executable
		fd, err = unix.MemfdCreate("gust-starter", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make a memory file for the starter: %w", err)
	}
	f := os.NewFile(uintptr(fd), "gust-starter")
	if _, err := f.Write(starterImage); err != nil {
		f.Close()
		return nil, fmt.Errorf("copy the starter to memory: %w", err)
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the starter: %w", err)
	}
	return f, nil
}

// keeper is an operating system thread that lives as long as the backend. It
// is the parent of every process the backend starts, because the kernel ends
// them when the thread that started them ends (PR_SET_PDEATHSIG), and Go's
// other threads come and go.
type keeper struct {
	work chan func()
	done chan struct{}
}

func newKeeper() *keeper {
	k := &keeper{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(k.done)
		runtime.LockOSThread() // never unlocked: the thread ends with us
		for f := range k.work {
			f()
		}
	}()
	return k
}

func (k *keeper) do(f func()) {
	done := make(chan struct{})
	k.work <- func() { defer close(done); f() }
	<-done
}

func (k *keeper) close() {
	close(k.work)
	<-k.done
}

// start runs the starter with nothing but /dev/null and the socket.
func (k *keeper) start(image *os.File, socket int) (int, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	path := fmt.Sprintf("/proc/self/fd/%d", image.Fd())
	var pid int
	k.do(func() {
		pid, err = syscall.ForkExec(path, []string{"gust-starter"}, &syscall.ProcAttr{
			Env:   []string{},
			Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(socket)},
			Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
	})
	if err != nil {
		return 0, fmt.Errorf("start the starter: %w", err)
	}
	return pid, nil
}
