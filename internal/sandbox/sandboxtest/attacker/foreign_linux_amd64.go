package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// int80 makes a 32-bit system call without arguments.
func int80(nr uint32) int32

// foreignCalls: a filter that only knows the 64-bit numbers is passed by the
// 32-bit and the x32 entries, whose numbers mean something else. Each is tried
// in a child, because the right answer is to end it.
func foreignCalls(f *findings, _ wire.Event) {
	for _, how := range []string{"int80", "x32"} {
		status, err := outcome(again(how))
		switch {
		case err != nil:
			f.gained("%s could not be tried: %v", how, err)
		case status.Signaled():
			f.refused("%s: ended by %v", how, status.Signal())
		case status.ExitStatus() == 38:
			f.refused("%s: ENOSYS", how)
		default:
			f.gained("%s answered, status %d", how, status.ExitStatus())
		}
	}
}

// foreignChild makes getpid in a foreign way and ends with 38 for ENOSYS, 1 for
// another error and 0 for a success.
func foreignChild(how string) int {
	resetSignal(unix.SIGSYS)
	resetSignal(unix.SIGSEGV)
	var n int64
	switch how {
	case "int80":
		n = int64(int80(20))
	case "x32":
		r, _, errno := unix.RawSyscall(unix.SYS_GETPID|0x40000000, 0, 0, 0)
		n = int64(r)
		if errno != 0 {
			n = -int64(errno)
		}
	}
	fmt.Println(how, n)
	switch {
	case n == -int64(unix.ENOSYS):
		return 38
	case n < 0:
		return 1
	}
	return 0
}

// oldCalls are refused system calls that only this processor has.
func oldCalls(f *findings) {
	f.call("iopl", unix.SYS_IOPL, 3)
	f.call("ioperm", unix.SYS_IOPERM, 0x70, 1, 1)
	f.call("modify_ldt", unix.SYS_MODIFY_LDT, 0, 0, 0)
	f.call("uselib", unix.SYS_USELIB, 0)
	f.call("_sysctl", unix.SYS__SYSCTL, 0)
	f.call("nfsservctl", unix.SYS_NFSSERVCTL, 0)
	f.call("create_module", unix.SYS_CREATE_MODULE, 0)
	f.call("ustat", unix.SYS_USTAT, 0, 0)
	f.call("sysfs", unix.SYS_SYSFS, 3)
}
