//go:build !unix

package main

import "os"

// exitStatus is a process's status: there are no signals here.
func exitStatus(s *os.ProcessState) int { return s.ExitCode() }
