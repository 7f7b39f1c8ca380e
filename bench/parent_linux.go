package main

import "syscall"

// diesWithParent ends a child that is left alone.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
