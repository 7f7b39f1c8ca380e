package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// hoard takes of something that the kernel counts for a user, or for the whole
// machine, as much as there is, N at most, and keeps it. How many it got is the
// fact "held".
func hoard(f *findings, ev wire.Event) {
	take := hoards[ev.Text]
	if take == nil {
		f.gained("nothing is called %s", ev.Text)
		return
	}
	var n int
	for ; n < ev.N; n++ {
		if err := take(n); err != nil {
			f.refused("%s %d: %v", ev.Text, n, err)
			break
		}
	}
	f.fact("held", int64(n))
}

var hoards = map[string]func(i int) error{
	// Instances are counted for a user: fs.inotify.max_user_instances.
	"inotify": func(int) error {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		return err
	},
	// Contexts are counted for the machine: fs.aio-max-nr.
	"aio": func(int) error {
		var ctx uintptr
		_, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 512, uintptr(unsafe.Pointer(&ctx)), 0)
		return errnoOrNil(errno)
	},
	// Their bytes are counted for a user: RLIMIT_MSGQUEUE.
	"message queues": func(i int) error {
		name := []byte(fmt.Sprintf("q%d\x00", i))
		attr := [8]int64{0, 10, 4096}
		_, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_CREAT|unix.O_RDWR, 0o600,
			uintptr(unsafe.Pointer(&attr)), 0, 0)
		return errnoOrNil(errno)
	},
	// Each has a signal that is counted for a user: RLIMIT_SIGPENDING.
	"timers": func(int) error {
		var id int32
		_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id)))
		return errnoOrNil(errno)
	},
	// Counted for a user: RLIMIT_MEMLOCK.
	"locked memory": func(int) error {
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		return unix.Mlock(b)
	},
	// Their watches are counted for a user: fs.epoll.max_user_watches.
	"epoll": func(int) error {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return err
		}
		return unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, 1, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: 1})
	},
	// Their pages are counted for a user: fs.pipe-user-pages-hard.
	"pipes": func(int) error {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		_, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20)
		return err
	},
}

// memoryTCP keeps memory of the kernel's in the buffers of connections to
// itself, which an old cgroup counts apart or not at all.
func memoryTCP(f *findings, ev wire.Event) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.refused("%v", err)
		return
	}
	defer l.Close()
	chunk := make([]byte, 256<<10)
	var got int64
	var keep []net.Conn
	defer func() {
		for _, c := range keep {
			c.Close()
		}
	}()
	for got < ev.Size && len(keep) < 600 {
		out, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			f.refused("%d bytes in %d connections: %v", got, len(keep)/2, err)
			break
		}
		in, err := l.Accept()
		if err != nil {
			break
		}
		keep = append(keep, in, out)
		in.(*net.TCPConn).SetReadBuffer(8 << 20)
		out.(*net.TCPConn).SetWriteBuffer(8 << 20)
		out.SetWriteDeadline(time.Now().Add(4 * time.Millisecond))
		for {
			n, err := out.Write(chunk)
			got += int64(n)
			if err != nil {
				break
			}
		}
	}
	f.fact("bytes", got)
	f.refused("%d bytes in %d connections", got, len(keep)/2)
}

// connections opens as many as it gets to the node, from N processes, and holds
// them. Each costs the node a descriptor, if the node lets it.
func connections(f *findings, ev wire.Event) {
	for range ev.N {
		cmd := again("connect")
		cmd.Stdout = nil
		out, err := cmd.StdoutPipe()
		if err != nil {
			f.gained("no pipe: %v", err)
			return
		}
		if err := cmd.Start(); err != nil {
			f.refused("%v", err)
			return
		}
		line := make([]byte, 64)
		n, _ := out.Read(line)
		f.refused("a child had %s connections", strings.TrimSpace(string(line[:n])))
	}
}

// connectChild holds connections to the node: some say nothing, some half of a
// head.
func connectChild() {
	var keep []net.Conn
	for range 900 {
		conn, err := dialAPI()
		if err != nil {
			break
		}
		keep = append(keep, conn)
		if len(keep)%2 == 0 {
			io.WriteString(conn, "POST /2018-06-01/runtime/invocation/")
		}
	}
	fmt.Println(len(keep))
	forever()
}

// uploads sends N large bodies at once that nobody asked for, all but their last
// bytes, and waits until the node has read what it wants of them.
func uploads(f *findings, ev wire.Event) {
	var wg sync.WaitGroup
	var sent atomic.Int64
	chunk := make([]byte, 256<<10)
	for i := range ev.N {
		wg.Go(func() {
			conn, err := dialAPI()
			if err != nil {
				return
			}
			target := []string{"invocation/00000000-0000-4000-8000-000000000000/response", "init/error",
				"invocation/00000000-0000-4000-8000-000000000000/error", "nowhere"}[i%4]
			fmt.Fprintf(conn, "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", target, ev.Size)
			conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			for left := ev.Size - 16; left > 0; {
				n, err := conn.Write(chunk[:min(left, int64(len(chunk)))])
				sent.Add(int64(n))
				left -= int64(n)
				if err != nil {
					break
				}
			}
		})
	}
	wg.Wait()
	f.fact("bytes", sent.Load())
	f.refused("%d bytes were taken", sent.Load())
}

// churn makes short processes all the time, behind its answer.
func churn(inv *invocation) {
	for range 4 {
		go func() {
			for {
				if pid, errno := fork(0, false); errno == 0 {
					var ws unix.WaitStatus
					unix.Wait4(pid, &ws, 0, nil)
				}
			}
		}()
	}
	inv.answer("churning")
}

// stopped leaves processes that are stopped, and one that waits in vfork for
// another that is.
func stopped(inv *invocation) {
	for range 4 {
		cmd := again("wait")
		if err := cmd.Start(); err == nil {
			cmd.Process.Signal(unix.SIGSTOP)
		}
	}
	go func() {
		// CLONE_VFORK: the parent sleeps in the kernel until the child ends.
		if pid, errno := fork(unix.CLONE_VFORK, true); errno != 0 {
			fmt.Fprintln(os.Stderr, "vfork", pid, errno)
		}
	}()
	inv.answer("stopped")
}
