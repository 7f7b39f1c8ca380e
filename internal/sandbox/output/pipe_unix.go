//go:build unix

package output

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// suits refuses a pipe that cannot be read without blocking.
func suits(raw syscall.RawConn) (err error) {
	var flags int
	if cerr := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); cerr != nil {
		err = cerr
	}
	if err == nil && flags&unix.O_NONBLOCK == 0 {
		err = errors.New("the pipe is in blocking mode, want one as os.Pipe makes it")
	}
	return err
}

// await calls ready whenever there may be something to read, until it returns
// true.
func (p *Pipe) await(ready func(fd uintptr) bool) error { return p.raw.Read(ready) }

// available is how many bytes can be read now.
func available(fd uintptr) (int, error) { return unix.IoctlGetInt(int(fd), fionread) }

// read reads what there is; 0 is the end.
func read(fd uintptr, space []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), space)
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errNothing
		default:
			return n, err
		}
	}
}
