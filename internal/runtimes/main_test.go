package runtimes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	gust "github.com/gust-dev/gust"
)

// victimEnv makes the test's binary a node that adds a runtime and is killed
// meanwhile; see TestKilledWhileAdding.
const victimEnv = "GUST_RUNTIMES_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		fmt.Println(victim(dir))
		os.Exit(1)
	}
	code := m.Run()
	if fakeDir != "" {
		os.RemoveAll(fakeDir)
	}
	os.Exit(code)
}

var fakeDir string // removed by TestMain

var buildFake = sync.OnceValue(func() error {
	var err error
	if fakeDir, err = os.MkdirTemp("", "gust-fakenode-"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(fakeDir, "node"), "./testdata/fakenode")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build a node: %w\n%s", err, out)
	}
	return nil
})

// fakeNode is a program that answers as the Node.js of a version does.
func fakeNode(tb testing.TB, version string) string {
	tb.Helper()
	if err := buildFake(); err != nil {
		tb.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(fakeDir, "node"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(program) + "\n" + version
}

// plant writes files below dir; programs are executable.
func plant(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			tb.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "\x7fELF") || strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			tb.Fatal(err)
		}
	}
}

// needRoot skips where no root can be tried.
func needRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("trying an interpreter in its root needs root")
	}
}

// system is a host of a test's own with a Node.js in its PATH.
type system struct {
	tb        testing.TB
	host, bin string
}

func newSystem(tb testing.TB, version string) *system {
	tb.Helper()
	needRoot(tb)
	s := &system{tb: tb, host: fakeHost(tb), bin: tb.TempDir()}
	if version != "" {
		s.install(version)
	}
	return s
}

// install is an upgrade of the host.
func (s *system) install(version string) {
	s.tb.Helper()
	program := fakeNode(s.tb, version)
	// It is asked where it is, and collected from the host.
	plant(s.tb, "/", map[string]string{s.bin + "/node": program})
	plant(s.tb, s.host, map[string]string{s.bin + "/node": program})
}

func (s *system) options(dir string) Options {
	return Options{Dir: dir, Isolated: true, Path: s.bin, host: s.host}
}

// open opens roots that are closed at the end of the test.
func open(tb testing.TB, o Options) *Roots {
	tb.Helper()
	l, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

var quiet = slog.New(slog.DiscardHandler)

func resolve(tb testing.TB, l *Roots, name string) Runtime {
	tb.Helper()
	r, err := l.Resolve(name)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func acquire(l *Roots, root gust.Digest, interpreter string) (Runtime, error) {
	r, release, err := l.Acquire(context.Background(), &gust.Function{Name: "api", Root: root, Interpreter: interpreter})
	if err == nil {
		release()
	}
	return r, err
}

func wantError(tb testing.TB, err, kind error, text string) {
	tb.Helper()
	if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), text) {
		tb.Errorf("the error is\n%v, want a %v with\n%s", err, kind, text)
	}
}
