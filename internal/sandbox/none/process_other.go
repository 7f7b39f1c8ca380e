//go:build unix && !linux

package none

import (
	"runtime"
	"syscall"

	"github.com/gust-dev/gust/internal/sandbox"
)

// maxrssUnit is what getrusage counts memory in, in bytes: macOS alone counts
// bytes.
var maxrssUnit = map[bool]int64{true: 1, false: 1024}[runtime.GOOS == "darwin"]

// attributes put the program in a group of its own. Only Linux can have it die
// with the node.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit leaves the waiting to who follows, and says so: without Linux's
// WNOWAIT the group's id is only safe as long as the system does not reuse it
// at once, which none does.
func awaitExit(int) bool { return false }

// awaitStop does not: no other system can tell without taking the news from who
// waits for the end.
func awaitStop(int) {}

// running is unknown before the end.
func running(int) sandbox.Usage { return sandbox.Usage{} }
