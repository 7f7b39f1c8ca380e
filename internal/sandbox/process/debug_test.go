//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gust-dev/gust/internal/sandbox/environment"
)

// A debugger finds the program on the host, and reaches the ports of its own
// loopback: here that of the Runtime API, which no other network has.
func TestDebuggersReachPrograms(t *testing.T) {
	b := newBackend(t, options(t, 1))
	e := start(t, b, helloSpec(hello(t))).(*environment.Environment)
	invoke(t, e)
	pid, err := e.PID()
	if err != nil {
		t.Fatal(err)
	}
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || filepath.Base(program) != "bootstrap" {
		t.Errorf("process %d runs %q (%v), want the function's bootstrap", pid, program, err)
	}
	_, text, err := net.SplitHostPort(runtimeAddress)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := e.Dial(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := e.Dial(t.Context(), 1); err == nil {
		conn.Close()
		t.Error("somebody listens on port 1 of the environment's loopback")
	}

	e.Stop(0)
	if _, err := e.PID(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := e.Dial(t.Context(), port); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after its end it can be reached: %v", err)
	}
}
