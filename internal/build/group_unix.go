//go:build unix

package build

import (
	"os/exec"
	"syscall"
)

// group has what a tool starts end with it, when its context does.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
