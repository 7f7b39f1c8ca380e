package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// bind waits until it is known for which function this process is, as
// internal/runtimes/DESIGN.md has it for interpreters that are booted ahead.
func bind() {
	const node = 3
	if _, err := unix.Write(node, []byte("1")); err != nil {
		fatal(70, "tell that it is booted: %v", err)
	}
	var doc []byte
	for {
		var b [4096]byte
		n, err := unix.Read(node, b[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			fatal(70, "wait for a function: %v", err)
		}
		if n == 0 {
			break
		}
		doc = append(doc, b[:n]...)
	}
	unix.Close(node)
	if len(doc) == 0 {
		os.Exit(0)
	}
	var told struct{ Env map[string]string }
	if err := json.Unmarshal(doc, &told); err != nil {
		fatal(70, "read what the function is: %v", err)
	}
	os.Clearenv()
	for name, value := range told.Env {
		os.Setenv(name, value)
	}
	if err := os.Chdir("/var/task"); err != nil {
		fatal(70, "go to the code: %v", err)
	}
	rename(told.Env[wire.ID])
}

// rename writes the environment's id into the variable that this process was
// booted with, where the suite finds processes by it (/proc/<pid>/environ).
func rename(id string) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		fatal(70, "%v", err)
	}
	// The fields after the name, which is the second: env_start is the 50th.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var from, to uintptr
	fmt.Sscan(fields[50-3], &from)
	fmt.Sscan(fields[51-3], &to)
	environ, err := os.ReadFile("/proc/self/environ")
	if err != nil || uintptr(len(environ)) != to-from {
		fatal(70, "the environment has %d bytes from %#x to %#x, %v", len(environ), from, to, err)
	}
	at := strings.Index(string(environ), wire.ID+"=")
	if at < 0 {
		return
	}
	from += uintptr(at + len(wire.ID) + 1)
	room := strings.IndexByte(string(environ[at+len(wire.ID)+1:]), 0)
	for i := range min(len(id), room) {
		*(*byte)(addressed(from + uintptr(i))) = id[i]
	}
}

// addressed is the memory at an address that the kernel has told.
func addressed(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// before looks for what can be left of the time when it was not known for which
// function this process is.
func before(f *findings, ev wire.Event) {
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			f.gained("%s cannot be read: %v", dir, err)
		}
		for _, e := range entries {
			f.gained("%s has %s", dir, e.Name())
		}
		f.refused("%s is empty", dir)
	}
	mine := family()
	for _, pid := range pids() {
		found := false
		for _, p := range mine {
			found = found || p == pid
		}
		if !found {
			f.gained("there is a process %s", pid)
		}
	}
	f.refused("there is no other process")
	environ, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		f.gained("%v", err)
	}
	// What it was booted with says nothing of any function but this one's id,
	// which it has put there itself.
	for variable := range strings.SplitSeq(strings.TrimSuffix(string(environ), "\x00"), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case name == wire.ID && strings.HasPrefix(value, os.Getenv(wire.ID)):
		case name == wire.Mark, name == "PATH", name == "LANG", name == "GUST_BOOT", name == "AWS_LAMBDA_RUNTIME_API":
		default:
			f.gained("it was booted with %s", variable)
		}
	}
	f.refused("it was booted with nothing of a function")
	for _, path := range []string{"/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"} {
		if text, err := os.ReadFile(path); err == nil && strings.Count(string(text), "\n") > 1 {
			f.gained("%s has %s", path, text)
		}
	}
	f.refused("nothing is shared")
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &usage); err != nil || usage.Maxrss != 0 {
		f.gained("it has had children: %+v, %v", usage, err)
	}
	f.refused("it has had no children")
	if secret := ev.Text; secret != "" {
		for _, dir := range []string{"/tmp/", "/dev/shm/"} {
			if err := os.WriteFile(dir+secret, []byte(secret), 0o666); err != nil {
				f.gained("%v", err)
			}
		}
	}
}
