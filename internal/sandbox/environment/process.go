// Package environment composes what every backend has in common into a
// [sandbox.Environment]: the protocol to the program (runtimeapi or httpapp),
// its output, deadlines, and the one wording of how a program ended. A backend
// only brings a [Process] (start, kill, freeze, usage, wait), the read end of
// the pipe that is the program's standard output and error, and a way to reach
// it:
//
//	env := environment.New(environment.Parts{
//		Spec:     spec,
//		Process:  p,      // already started
//		Output:   reader, // read end; the backend has closed its write end
//		Listener: ln,     // the Runtime API's, made where the program can reach it
//		Dial:     dial,   // instead of Listener, for an http program
//	})
//
// The listener exists before the program starts (its backlog keeps what comes
// early), and New takes over everything in Parts: it serves, reads, waits,
// and calls Process.Release when all has ended. What follows:
//
//   - Process.Wait returns, the rest of the output is delivered, everybody who
//     waits for an answer gets the right error, the listener and the output are
//     closed, Process.Release runs, Done closes.
//   - An invocation whose deadline passes, or whose program breaks the
//     protocol, calls Process.Kill and returns when the program has ended (or
//     after a second, should the kernel not let it die).
//   - An Exit that follows Kill or Stop has OutcomeOK, unless the program was
//     out of memory: the node wanted it so.
package environment

import (
	"context"
	"net"

	"github.com/gust-dev/gust/internal/sandbox"
)

// Process is one program that was started, with all its descendants. Its
// methods may be called by many goroutines at once and at any time, also after
// its end, when they do nothing.
type Process interface {
	// Terminate asks the program to end (SIGTERM).
	Terminate()
	// Kill ends the program and all its descendants at once, frozen or not.
	Kill()
	// Freeze stops all of it from running, Thaw lets it run. Idempotent.
	Freeze() error
	Thaw() error
	// SetInit says whether CPU limits wait.
	SetInit(bool) error
	// Usage is what it has used so far, or had used when it ended.
	Usage() sandbox.Usage
	// BytesOut is what it has sent to its network, likewise.
	BytesOut() int64
	// PID is its first process on the host, and Dial connects to a port of its
	// loopback, both for debuggers: an error when it has ended.
	PID() (int, error)
	Dial(ctx context.Context, port int) (net.Conn, error)
	// Wait blocks until the program's first process has ended, ends all that
	// it left behind, and tells how it ended: OutcomeExit with its status,
	// OutcomeCrash with its signal, OutcomeMemory, or OutcomeSandbox. It is
	// called once.
	Wait() sandbox.Exit
	// Release gives back everything the environment had (cgroup, mounts,
	// folders, uids). It is called once, after Wait and after the last line of
	// output.
	Release()
}
