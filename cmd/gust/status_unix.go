//go:build unix

package main

import (
	"os"
	"syscall"
)

// exitStatus is a process's status as shells say it.
func exitStatus(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}
