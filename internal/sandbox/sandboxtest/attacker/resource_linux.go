package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// child is what this program does when it starts itself again.
func child(words []string) int {
	switch words[0] {
	case "identity":
		fmt.Println(identity())
		return 0
	case "wait":
		forever()
	case "fault":
		resetSignal(unix.SIGSEGV)
		fault()
	case "nothing":
		return 0
	case "int80", "x32":
		return foreignChild(words[0])
	case "eat":
		// Until the memory is over.
		for {
			held = append(held, touched(4<<20))
		}
	case "connect":
		connectChild()
	case "orphan":
		// Leaves a grandchild behind that outlives it by a moment.
		again("nothing").Start()
		return 0
	case "daemon":
		// The second fork of the classical two; its child belongs to nobody.
		cmd := again("daemonised")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Stdout, cmd.Stderr = nil, nil
		if cmd.Start() != nil {
			return 1
		}
		return 0
	case "daemonised":
		resetIgnored()
		forever()
	}
	return 64
}

func resetIgnored() {
	// struct kernel_sigaction with SIG_IGN.
	for sig := unix.Signal(1); sig < 32; sig++ {
		action := [4]uint64{1}
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}

// forks makes processes until it gets no more, N at most, and answers how many
// it had; with the text "hang" it stays with them instead of answering.
func forks(f *findings, ev wire.Event) {
	var n int
	for ; n < ev.N; n++ {
		pid, errno := fork(0, true)
		if errno != 0 {
			f.refused("fork %d: %v", n, errno)
			break
		}
		_ = pid
	}
	f.fact("processes", int64(n))
	if ev.Text == "hang" {
		forever()
	}
}

// threads makes threads until the program ends of it: Go's runtime gives up
// when it gets none.
func threads(f *findings, ev wire.Event) {
	ready := make(chan struct{})
	for range ev.N {
		go func() {
			runtime.LockOSThread()
			ready <- struct{}{}
			forever()
		}()
		<-ready
	}
	f.gained("%d threads", ev.N)
}

// memory takes Size bytes, in this process.
func memory(f *findings, ev wire.Event) {
	for n := int64(0); n < ev.Size; n += 4 << 20 {
		held = append(held, touched(4<<20))
	}
	f.gained("%d bytes", ev.Size)
}

// memoryChildren lets N children take what they can get, and reports how they
// ended if it is still there to do so.
func memoryChildren(f *findings, ev wire.Event) {
	cmds := make([]*exec.Cmd, ev.N)
	for i := range cmds {
		cmds[i] = again("eat")
		if err := cmds[i].Start(); err != nil {
			f.refused("child %d: %v", i, err)
			cmds[i] = nil
		}
	}
	for i, cmd := range cmds {
		if cmd != nil {
			f.refused("child %d: %v", i, cmd.Wait())
		}
	}
	fmt.Println("all children ended")
	os.Exit(9)
}

// memoryShm fills /dev/shm, where a file is memory.
func memoryShm(f *findings, ev wire.Event) {
	file, err := os.Create("/dev/shm/fill")
	if err != nil {
		f.refused("%v", err)
		return
	}
	f.write(file, ev.Size)
}

// memoryMemfd fills a file without a name.
func memoryMemfd(f *findings, ev wire.Event) {
	fd, err := unix.MemfdCreate("fill", 0)
	if err != nil {
		f.refused("%v", err)
		return
	}
	f.write(os.NewFile(uintptr(fd), "memfd"), ev.Size)
}

// memorySysV fills segments of shared memory, which outlive a process.
func memorySysV(f *findings, ev wire.Event) {
	const segment = 8 << 20
	for n := int64(0); n < ev.Size; n += segment {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, segment, 0o600|unix.IPC_CREAT)
		if err != nil {
			f.refused("%v", err)
			return
		}
		b, err := unix.SysvShmAttach(id, 0, 0)
		if err != nil {
			f.refused("%v", err)
			return
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	f.gained("%d bytes of shared memory", ev.Size)
}

// memoryPipes keeps memory of the kernel's: full pipes and sockets.
func memoryPipes(f *findings, ev wire.Event) {
	var got int64
	chunk := make([]byte, 64<<10)
	for got < ev.Size {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_NONBLOCK); err != nil {
			f.refused("%d bytes in pipes: %v", got, err)
			break
		}
		unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20)
		for {
			n, err := unix.Write(p[1], chunk)
			if err != nil {
				break
			}
			got += int64(n)
		}
	}
	f.fact("bytes", got)
	f.refused("%d bytes", got)
}

// write fills a file up to a size.
func (f *findings) write(file *os.File, size int64) {
	chunk := bytes.Repeat([]byte("fill"), 256<<10)
	var n int64
	for n < size {
		k, err := file.Write(chunk[:min(int64(len(chunk)), size-n)])
		n += int64(k)
		if err != nil {
			f.refused("%v", err)
			f.fact("bytes", n)
			f.noSpace(err)
			return
		}
	}
	f.fact("bytes", n)
	f.gained("%d bytes in %s", n, file.Name())
}

// noSpace tells apart the refusal of a full disk from any other.
func (f *findings) noSpace(err error) {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		f.fact("no-space", 1)
	}
}

// fillTmp writes until /tmp is full, Size bytes at most, and then shows that it
// can be used again once there is space.
func fillTmp(f *findings, ev wire.Event) {
	file, err := os.Create("/tmp/fill")
	if err != nil {
		f.gained("no file in /tmp: %v", err)
		return
	}
	f.write(file, ev.Size)
	file.Close()
	if err := os.Remove("/tmp/fill"); err != nil {
		f.gained("the file cannot be removed: %v", err)
	}
	if err := os.WriteFile("/tmp/after", []byte("after"), 0o600); err != nil {
		f.gained("/tmp is of no use after it was full: %v", err)
	}
}

// inodes makes empty files until there are no more, N at most.
func inodes(f *findings, ev wire.Event) {
	var n int
	for ; n < ev.N; n++ {
		if n%1000 == 0 {
			os.Mkdir(fmt.Sprintf("/tmp/i%d", n/1000), 0o755)
		}
		fd, err := unix.Open(fmt.Sprintf("/tmp/i%d/%d", n/1000, n), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			f.refused("file %d: %v", n, err)
			f.noSpace(err)
			break
		}
		unix.Close(fd)
	}
	f.fact("files", int64(n))
}

// flood prints without end: lines, or with the text "line" one line.
func flood(f *findings, ev wire.Event) {
	chunk := []byte(strings.Repeat(strings.Repeat("flood ", 20)+"\n", 500))
	if ev.Text == "line" {
		chunk = bytes.Repeat([]byte("flood "), 10_000)
	}
	for {
		if _, err := os.Stdout.Write(chunk); err != nil {
			f.gained("the output is closed: %v", err)
			return
		}
	}
}

// openFiles opens what it can get.
func openFiles(f *findings, ev wire.Event) {
	var fds []int
	for range ev.N {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			f.refused("%v", err)
			break
		}
		fds = append(fds, fd)
	}
	f.fact("open", int64(len(fds)))
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// daemon leaves a process behind that belongs to nobody, hears no signal and
// holds no descriptor of ours; with N other than 0 the program then ends.
func daemon(f *findings, ev wire.Event) {
	if _, err := outcome(again("daemon")); err != nil {
		f.gained("no daemon could be made: %v", err)
		return
	}
	if ev.N != 0 {
		os.Exit(ev.N)
	}
}

// orphans makes N short processes whose parent is gone when they end, and
// counts the dead that nobody has buried.
func orphans(f *findings, ev wire.Event) {
	for i := range ev.N {
		if ws, err := outcome(again("orphan")); err != nil || ws != 0 {
			f.gained("after %d orphans no process can be made: %v, %v", i, err, ws)
			return
		}
	}
	// The last ones may take a moment.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		dead := zombies()
		f.fact("zombies", int64(dead))
		if dead == 0 {
			f.refused("all %d were buried", ev.N)
			return
		}
		if time.Now().After(deadline) {
			f.gained("%d dead processes stay", dead)
			return
		}
	}
}

func zombies() int {
	n := 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data[bytes.LastIndexByte(data, ')')+1:]), " Z ") {
			n++
		}
	}
	return n
}

// hog keeps many threads busy for so long.
func hog(f *findings, ev wire.Event) {
	done := make(chan struct{})
	for range ev.N {
		go func() {
			runtime.LockOSThread()
			burn(time.Duration(ev.Millis) * time.Millisecond)
			done <- struct{}{}
		}()
	}
	for range ev.N {
		<-done
	}
}
