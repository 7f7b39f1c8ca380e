package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/scratch"
)

// debugWish is a function to debug, and where its debugger listens.
type debugWish struct {
	function string
	port     int // 0 is the debugger's usual one, or one that is free
	address  string
}

// parseDebug reads what --debug says: FN or FN:PORT.
func parseDebug(args []string) ([]debugWish, error) {
	var wishes []debugWish
	for _, arg := range args {
		name, port, given := strings.Cut(arg, ":")
		w := debugWish{function: name}
		if given {
			n, err := strconv.Atoi(port)
			if err != nil || n < 1 || n > 65535 {
				return nil, fmt.Errorf("--debug %s: port %q is outside 1 to 65535", arg, port)
			}
			w.port = n
		}
		if name == "" {
			return nil, fmt.Errorf("--debug %q names no function; want FN or FN:PORT", arg)
		}
		for _, other := range wishes {
			if other.function == name {
				return nil, fmt.Errorf("--debug names %s twice", name)
			}
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

// debugger is a kind of debugger.
type debugger int

const (
	noDebugger  debugger = iota
	nodeInspect          // node --inspect
	debugpy
	delve
)

// usualPort is where editors look for it.
func (k debugger) usualPort() int {
	return map[debugger]int{nodeInspect: 9229, debugpy: 5678, delve: 2345}[k]
}

// debuggerFor is what a function can be debugged with.
func debuggerFor(f *gust.Function) debugger {
	program := string(f.Runtime)
	if f.Runtime == gust.RuntimeHTTP {
		program = "go" // what gust builds of a folder without a command
		if len(f.Command) > 0 {
			program = path.Base(f.Command[0])
		}
	}
	switch {
	case program == "node":
		return nodeInspect
	case strings.HasPrefix(program, "python"):
		return debugpy
	case program == "go":
		return delve
	}
	return noDebugger
}

// debuggers opens the doors of what is to be debugged, and says how it is run.
func (d *dev) debuggers(app *gust.App) (_ map[string]*invoke.Debug, err error) {
	debug := make(map[string]*invoke.Debug)
	defer func() {
		if err != nil {
			for _, open := range debug {
				open.Listener.Close()
			}
		}
	}()
	for i := range d.debug {
		w := &d.debug[i]
		f := app.Functions[w.function]
		if f == nil {
			return nil, fmt.Errorf("--debug %s: the app has no such function; it has %s", w.function, strings.Join(app.FunctionNames(), ", "))
		}
		kind := debuggerFor(f)
		debugging := &invoke.Debug{}
		switch kind {
		case nodeInspect:
			debugging.Command = inspect(d.debugBreak)
		case debugpy:
			debugging.Command = listen(d.debugBreak)
		case delve:
			if debugging.Attach, err = d.attach(w.function); err != nil {
				return nil, fmt.Errorf("--debug %s: %w", w.function, err)
			}
		default:
			return nil, fmt.Errorf("--debug %s: gust knows no debugger for its program; it does for functions in Node, Python and Go", w.function)
		}
		address := fmt.Sprintf("127.0.0.1:%d", w.port)
		if w.port == 0 {
			address = scratch.Door(fmt.Sprintf("127.0.0.1:%d", kind.usualPort()))
		}
		if debugging.Listener, err = net.Listen("tcp", address); err != nil {
			return nil, fmt.Errorf("--debug %s: %w; choose another port", w.function, err)
		}
		w.address = debugging.Listener.Addr().String()
		debug[w.function] = debugging
	}
	return debug, nil
}

// inspect has node listen for a debugger.
func inspect(wait bool) func(command, env []string, port int) ([]string, []string) {
	flag := "--inspect="
	if wait {
		flag = "--inspect-brk="
	}
	return func(command, env []string, port int) ([]string, []string) {
		return slices.Insert(slices.Clone(command), afterProgram(command, "node"), fmt.Sprintf("%s127.0.0.1:%d", flag, port)), env
	}
}

// listen has debugpy run a Python program and listen. It stands behind Python's
// own flags.
func listen(wait bool) func(command, env []string, port int) ([]string, []string) {
	return func(command, env []string, port int) ([]string, []string) {
		at := afterProgram(command, "python")
		for at < len(command) && strings.HasPrefix(command[at], "-") && command[at] != "-m" && command[at] != "-c" {
			at++
		}
		// Where the standard library is frozen into it, breakpoints could be missed.
		words := []string{"-Xfrozen_modules=off", "-m", "debugpy", "--listen", fmt.Sprintf("127.0.0.1:%d", port)}
		if wait {
			words = append(words, "--wait-for-client")
		}
		return slices.Insert(slices.Clone(command), at, words...), env
	}
}

// afterProgram is where an interpreter's flags begin: behind it, before which a
// wrapper may stand.
func afterProgram(command []string, interpreter string) int {
	at := slices.IndexFunc(command, func(word string) bool { return strings.HasPrefix(path.Base(filepath.ToSlash(word)), interpreter) })
	return max(at, 0) + 1
}

// attach has delve watch a Go program from beside it: inside a sandbox it could
// not.
func (d *dev) attach(function string) (func(ctx context.Context, pid int, code string, port int) error, error) {
	program, err := exec.LookPath("dlv")
	if err != nil {
		return nil, errors.New("delve is not in PATH; install it with: go install github.com/go-delve/delve/cmd/dlv@latest")
	}
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && os.Getuid() != 0 && string(bytes.TrimSpace(scope)) != "0" {
		return nil, errors.New("this machine lets nobody but root attach a debugger; allow it with: sudo sysctl kernel.yama.ptrace_scope=0")
	}
	return func(ctx context.Context, pid int, code string, port int) error {
		args := []string{"attach", strconv.Itoa(pid), filepath.Join(code, "bootstrap"), "--headless", "--accept-multiclient", "--api-version=2",
			fmt.Sprintf("--listen=127.0.0.1:%d", port)}
		if !d.debugBreak {
			args = append(args, "--continue")
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Second
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("delve of %s: %w: %s", function, err, strings.TrimSpace(out.String()))
		}
		return nil
	}, nil
}

// alone gives a function one environment that is always there: a debugger is
// attached to one. Who comes meanwhile waits.
func alone(f *gust.Function) {
	one := 1
	f.Concurrency.Reserved, f.Concurrency.Provisioned = &one, 1
	if f.Concurrency.Queue == (gust.Queue{}) {
		f.Concurrency.Queue = gust.Queue{Size: gust.MaxQueueSize, Wait: gust.MaxQueueWait}
	}
}

// hasDebugpy refuses a Python function that is to be debugged and brings no
// debugpy, where its interpreter has none either.
func (d *dev) hasDebugpy(f *gust.Function, source, artifact string) error {
	z, err := zip.OpenReader(artifact)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, file := range z.File {
		if strings.HasSuffix(path.Dir(file.Name), "debugpy") {
			return nil
		}
	}
	python := "python3"
	if runtime.GOOS == "windows" {
		python = "python"
	}
	if d.node.Sandbox() == "none" && exec.Command(python, "-c", "import debugpy").Run() == nil {
		return nil
	}
	return fmt.Errorf("--debug %s: the function has no debugpy; add it with: echo debugpy >> %s", f.Name,
		shellWord(path.Join(filepath.ToSlash(d.dir), source, "requirements.txt")))
}
