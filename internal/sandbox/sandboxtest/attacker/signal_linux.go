package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fault writes to address 0.
func fault()

// resetSignal gives a signal its default action behind the back of Go's
// runtime.
func resetSignal(sig syscall.Signal) {
	// struct kernel_sigaction: handler, flags, restorer, mask.
	var action [4]uint64
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

// fork makes a copy of this thread alone and runs nothing of Go in it: the copy
// waits for ever, or ends at once. clone's flags are the caller's.
//
//go:norace
//go:nosplit
func fork(flags uintptr, wait bool) (int, syscall.Errno) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	for wait {
		// ppoll of nothing without a timeout sleeps until a signal.
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}
