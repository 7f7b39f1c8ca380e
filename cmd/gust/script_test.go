package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gust-dev/gust/internal/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gust": main})
}

// TestScripts runs the command as people do, against real nodes. A script finds
// $HELLO, a bootstrap that greets and can be told to fail (examples/hello/api),
// and $EXAMPLE, the folder examples/hello. Beside testscript's own commands there are:
//
//	node start [ARG...]   runs `gust up`, waits until it is ready, and sets
//	                      $HTTP and $API; what it prints is in node.out, and
//	                      node.rest when it has ended, what it logs in node.err
//	node stop|kill        asks it to end (and it has to end well), or kills it
//	node signal SIGNAL    sends it a signal; node ended STATUS waits for its end
//	exits STATUS CMD...   runs a command that has to end with this status
//	http PATH [STATUS]    asks for $HTTP/PATH; the body is the output
//	follow REGEXP CMD...  runs a command, waits for a line like this, interrupts
//	                      it, and it has to end well
//	background CMD...     runs a command; background wait STATUS waits for it
//	dev start [ARG...]    runs `gust dev`, waits until it has deployed, and sets
//	                      $HTTP, and $GUST_DATA so that gust finds its node
//	dev says REGEXP       waits for a line like this that it prints after those
//	                      already waited for
//	dev stop              interrupts it; it has to end well. All that it printed
//	                      is in dev.out
//	until REGEXP CMD...   runs a command again and again until its output matches
func TestScripts(t *testing.T) {
	hello := buildHello(t)
	example, err := filepath.Abs("../../examples/hello")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HELLO", hello)
			env.Setenv("EXAMPLE", example)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("GORACE", goRace)
			env.Setenv("GUST_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("GUST_SANDBOX", "none")
			env.Setenv("GUST_HTTP", "127.0.0.1:0")
			env.Setenv("GUST_API", "127.0.0.1:0")
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "SSL_CERT_FILE"} {
				if value := goEnv(name); value != "" {
					env.Setenv(name, value)
				}
			}
			p := &processes{}
			env.Values[processesKey{}] = p
			env.Defer(p.end)
			return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": cmdNode, "exits": cmdExits, "http": cmdHTTP, "follow": cmdFollow, "background": cmdBackground, "until": cmdUntil, "dev": cmdDev,
		},
	})
}

// goRace spares each command the second that the race detector waits at its
// end.
const goRace = "atexit_sleep_ms=10"

var goEnv = sync.OnceValue(func() func(string) string {
	values := make(map[string]string)
	out, err := exec.Command("go", "env").Output()
	if err == nil {
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = strings.Trim(value, "'\"")
		}
	}
	return func(name string) string {
		if v, ok := os.LookupEnv(name); ok {
			return v
		}
		return values[name]
	}
})()

// buildHello builds the function of examples/hello once.
func buildHello(t *testing.T) string {
	t.Helper()
	bootstrap := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.Command("go", "build", "-o", bootstrap, "./api")
	cmd.Dir = "../../examples/hello"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building examples/hello: %v\n%s", err, out)
	}
	return bootstrap
}

type processesKey struct{}

// processes are a script's node and the command in its background.
type processes struct {
	node, background, dev *process
	said                  *said // by dev
}

func (p *processes) end() {
	for _, proc := range []*process{p.node, p.background, p.dev} {
		if proc != nil {
			_ = proc.cmd.Process.Kill() // it may have ended
			<-proc.done
			if proc.out != nil {
				<-proc.out
			}
		}
	}
}

// process is a running command; err is valid once done is closed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	out  chan error // of a node: gets a value when its output has been kept
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// deadline bounds every wait: far above what anything takes.
const deadline = 60 * time.Second

func (p *process) status(ts *testscript.TestScript) int {
	select {
	case <-p.done:
	case <-time.After(deadline):
		ts.Fatalf("%v did not end", p.cmd.Args)
	}
	if p.out != nil {
		ts.Check(<-p.out)
		p.out = nil
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		ts.Fatalf("%v: %v", p.cmd.Args, p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func subprocess(ts *testscript.TestScript, args []string) *exec.Cmd {
	name, err := exec.LookPath(args[0]) // testscript's commands are on this process's path
	ts.Check(err)
	cmd := exec.Command(name, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir, "GORACE="+goRace)
	for _, name := range []string{"HOME", "PATH", "GUST_DATA", "GUST_SANDBOX", "GUST_HTTP", "GUST_API", "GUST_KEY", "GUST_DRAIN",
		"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(processesKey{}).(*processes)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: node start|stop|kill|signal|ended")
	}
	switch args[0] {
	case "start":
		startNode(ts, p, args[1:])
	case "stop":
		ts.Check(p.node.cmd.Process.Signal(syscall.SIGTERM))
		if status := p.node.status(ts); status != 0 {
			ts.Fatalf("the node ended with status %d:\n%s", status, ts.ReadFile("node.err"))
		}
	case "kill":
		ts.Check(p.node.cmd.Process.Kill())
		<-p.node.done
	case "signal":
		s := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT}[args[1]]
		ts.Check(p.node.cmd.Process.Signal(s))
	case "ended":
		if want, got := args[1], strconv.Itoa(p.node.status(ts)); want != got {
			ts.Fatalf("the node ended with status %s, want %s", got, want)
		}
	default:
		ts.Fatalf("node %s is unknown", args[0])
	}
}

func startNode(ts *testscript.TestScript, p *processes, args []string) {
	cmd := subprocess(ts, append([]string{"gust", "up"}, args...))
	out, err := os.Create(ts.MkAbs("node.out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs("node.err"))
	ts.Check(err)
	defer errs.Close()
	r, w, err := os.Pipe()
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = w, errs
	p.node, err = startProcess(cmd)
	w.Close()
	ts.Check(err)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fmt.Fprintln(out, lines.Text())
		if strings.HasPrefix(lines.Text(), "  sandbox") { // the last line
			p.node.out = make(chan error, 1)
			go keep(r, lines, ts.MkAbs("node.rest"), p.node.out)
			a, err := api.ReadAddress(dataFolder(ts, args))
			ts.Check(err)
			ts.Setenv("HTTP", a.HTTP)
			ts.Setenv("API", a.API)
			return
		}
	}
	r.Close()
	status := p.node.status(ts)
	ts.Fatalf("the node did not start (status %d):\n%s", status, ts.ReadFile("node.err"))
}

// keep writes what else comes into a file, until there is no more.
func keep(r io.Closer, lines *bufio.Scanner, file string, done chan<- error) {
	var b bytes.Buffer
	for lines.Scan() {
		fmt.Fprintln(&b, lines.Text())
	}
	done <- errors.Join(lines.Err(), r.Close(), os.WriteFile(file, b.Bytes(), 0o644))
}

func dataFolder(ts *testscript.TestScript, args []string) string {
	for i, a := range args {
		if a == "--data" {
			return ts.MkAbs(args[i+1])
		}
	}
	return ts.Getenv("GUST_DATA")
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS CMD...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Check(err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v ended with status %d, want %d", args[1:], got, want)
	}
}

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: http PATH [STATUS]")
	}
	want := "200"
	if len(args) == 2 {
		want = args[1]
	}
	client := http.Client{Timeout: deadline}
	resp, err := client.Get("http://" + ts.Getenv("HTTP") + args[0])
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if got := strconv.Itoa(resp.StatusCode); got != want {
		ts.Fatalf("GET %s answered %s, want %s", args[0], got, want)
	}
}

func cmdFollow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: follow REGEXP CMD...")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	cmd := subprocess(ts, args[1:])
	r, w, err := os.Pipe()
	ts.Check(err)
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	p, err := startProcess(cmd)
	w.Close()
	ts.Check(err)
	late := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var seen bytes.Buffer
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fmt.Fprintln(&seen, lines.Text())
		if re.MatchString(lines.Text()) {
			ts.Check(cmd.Process.Signal(os.Interrupt))
			if status := p.status(ts); status != 0 {
				ts.Fatalf("%v ended with status %d after an interrupt", args[1:], status)
			}
			return
		}
	}
	ts.Fatalf("%v ended with status %d before a line like %q:\n%s", args[1:], p.status(ts), args[0], seen.String())
}

func cmdBackground(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(processesKey{}).(*processes)
	if len(args) == 2 && args[0] == "wait" {
		if got := strconv.Itoa(p.background.status(ts)); got != args[1] {
			ts.Fatalf("it ended with status %s, want %s:\n%s", got, args[1], ts.ReadFile("background.out"))
		}
		return
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: background CMD...")
	}
	out, err := os.Create(ts.MkAbs("background.out"))
	ts.Check(err)
	defer out.Close()
	cmd := subprocess(ts, args)
	cmd.Stdout, cmd.Stderr = out, out
	p.background, err = startProcess(cmd)
	ts.Check(err)
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP CMD...")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for {
		cmd := subprocess(ts, args[1:])
		out, _ := cmd.CombinedOutput() // it may fail until it does not
		if re.Match(out) {
			return
		}
		if ctx.Err() != nil {
			ts.Fatalf("%v never printed %q; the last was:\n%s", args[1:], args[0], out)
		}
	}
}
