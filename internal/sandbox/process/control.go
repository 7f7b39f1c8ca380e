//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errStarterEnded: it was killed, by the kernel for memory or by somebody.
var errStarterEnded = errors.New("the starter ended before it answered")

// control is the node's end of a starter's socket. It is used by one goroutine
// at a time.
type control struct {
	file *os.File
	raw  syscall.RawConn
}

// newControl makes a socket pair; the second descriptor is the starter's, and
// the caller's to close.
func newControl() (*control, int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, -1, err
	}
	f := os.NewFile(uintptr(p[0]), "starter")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		unix.Close(p[1])
		return nil, -1, err
	}
	return &control{file: f, raw: raw}, p[1], nil
}

func (c *control) close() { c.file.Close() }

// send hands a list over; its answer is read by receive.
func (c *control) send(l *list) error {
	b, err := l.encode()
	if err != nil {
		return err
	}
	var oob []byte
	if len(l.fds) > 0 {
		oob = unix.UnixRights(l.fds...)
	}
	werr := c.raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendmsg(int(fd), b, oob, nil, unix.MSG_NOSIGNAL)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if werr != nil {
		err = werr
	}
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return errStarterEnded
	case err != nil:
		return fmt.Errorf("send to the starter: %w", err)
	}
	return nil
}

// receive reads one answer and the descriptor that may come with it (or -1).
// io.EOF means that the starter is gone.
func (c *control) receive() (reply, int, error) {
	var (
		buf [replySize + 1]byte
		oob [64]byte
		n   int
		on  int
		err error
	)
	rerr := c.raw.Read(func(fd uintptr) bool {
		for {
			n, on, _, _, err = unix.Recvmsg(int(fd), buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case rerr != nil:
		return reply{}, -1, rerr
	case errors.Is(err, unix.ECONNRESET):
		return reply{}, -1, io.EOF // it died with something unread
	case err != nil:
		return reply{}, -1, fmt.Errorf("hear from the starter: %w", err)
	case n == 0:
		return reply{}, -1, io.EOF
	}
	got := -1
	if on > 0 {
		msgs, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil {
			return reply{}, -1, fmt.Errorf("hear from the starter: %w", err)
		}
		for _, m := range msgs {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				continue
			}
			for _, fd := range fds {
				if got >= 0 {
					unix.Close(fd)
					continue
				}
				got = fd
			}
		}
	}
	r, err := parseReply(buf[:n])
	if err != nil {
		if got >= 0 {
			unix.Close(got)
		}
		return reply{}, -1, err
	}
	return r, got, nil
}

// do sends a list and waits for its answer and its descriptor, -1 for none.
func (c *control) do(l *list) (int64, int, error) {
	if err := c.send(l); err != nil {
		return 0, -1, err
	}
	return c.answer(l)
}

// answer waits for the next answer to l.
func (c *control) answer(l *list) (int64, int, error) {
	r, fd, err := c.receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errStarterEnded
		}
		return 0, -1, err
	}
	if err := l.err(r); err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return 0, -1, err
	}
	return r.result, fd, nil
}

// deadline bounds what follows; the zero time takes the bound away.
func (c *control) deadline(t time.Time) error { return c.file.SetDeadline(t) }
