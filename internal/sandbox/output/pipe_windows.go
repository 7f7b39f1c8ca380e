package output

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var peekNamedPipe = windows.NewLazySystemDLL("kernel32.dll").NewProc("PeekNamedPipe")

// suits takes every pipe.
func suits(syscall.RawConn) error { return nil }

// How long nothing may be in a pipe until it is looked at again: soon after
// there was something, and less often then.
const (
	lookSoon = time.Millisecond
	lookLate = 20 * time.Millisecond
)

// await calls ready again and again until it returns true: nothing tells when
// an anonymous pipe has something to read.
func (p *Pipe) await(ready func(fd uintptr) bool) error {
	pause := lookSoon
	for {
		done, had := false, false
		err := p.raw.Control(func(fd uintptr) {
			n, err := available(fd)
			had = err == nil && n > 0
			done = ready(fd)
		})
		if err != nil || done {
			return err
		}
		if had {
			pause = lookSoon
		}
		time.Sleep(pause)
		pause = min(2*pause, lookLate)
	}
}

// available is how many bytes can be read now.
func available(fd uintptr) (int, error) {
	var n uint32
	ok, _, err := peekNamedPipe.Call(fd, 0, 0, 0, uintptr(unsafe.Pointer(&n)), 0)
	if ok == 0 {
		return 0, err
	}
	return int(n), nil
}

// read reads what there is; 0 is the end.
func read(fd uintptr, space []byte) (int, error) {
	n, err := available(fd)
	switch {
	case err == windows.ERROR_BROKEN_PIPE:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, errNothing
	}
	var done uint32
	err = windows.ReadFile(windows.Handle(fd), space[:min(n, len(space))], &done, nil)
	return int(done), err
}
