//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
)

// victimEnv makes the test's binary a node that starts environments and waits
// to be killed; its value is a folder. See TestRecoverAfterKill.
const victimEnv = "GUST_PROCESS_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		fmt.Println(victim(dir))
		os.Exit(1)
	}
	if code, moved := networktest.Move(); moved {
		os.Exit(code)
	}
	var err error
	if rootsDir, err = os.MkdirTemp("", "gust-roots-"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	for _, dir := range []string{helloDir, rootsDir} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

var (
	helloDir string // removed by TestMain
	rootsDir string // too; roots are made once for all tests
)

var buildHello = sync.OnceValue(func() error {
	var err error
	if helloDir, err = os.MkdirTemp("", "gust-hello-"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(helloDir, "bootstrap"), "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the function: %w\n%s", err, out)
	}
	return os.Chmod(helloDir, 0o755)
})

// hello returns the code folder of testdata/hello.
func hello(tb testing.TB) string {
	tb.Helper()
	if err := buildHello(); err != nil {
		tb.Fatal(err)
	}
	return helloDir
}

func helloSpec(code string) sandbox.Spec {
	var id [16]byte
	rand.Read(id[:])
	return sandbox.Spec{
		ID: hex.EncodeToString(id[:]), Function: "hello", Runtime: gust.RuntimeProvided,
		Code: code, Command: []string{"./bootstrap"}, Env: []string{"GOMAXPROCS=1"},
		Memory: 256 * gust.MB, Ephemeral: gust.MinEphemeral, CPU: gust.CPUShared,
		Processes: gust.MaxProcesses, Concurrency: 1, Output: func([]byte) {},
	}
}

// needRoot skips where the sandbox cannot run.
func needRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("the process sandbox needs root")
	}
}

// base is the root of environments that name none.
func base(ctx context.Context) (string, error) {
	l, err := library()
	if err != nil {
		return "", err
	}
	return l.Base(ctx)
}

// options are of a node of its own, with spares or without.
func options(tb testing.TB, spares int) Options {
	return Options{Root: base, RunDir: filepath.Join(tb.TempDir(), "run"), Spares: spares}
}

// newBackend makes one that is closed at the end of the test.
func newBackend(tb testing.TB, o Options) *Backend {
	tb.Helper()
	needRoot(tb)
	b, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func start(tb testing.TB, b *Backend, spec sandbox.Spec) sandbox.Environment {
	tb.Helper()
	e, err := b.Start(context.Background(), spec)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func invoke(tb testing.TB, e sandbox.Environment) {
	tb.Helper()
	_, err := e.Invoke(context.Background(), &gust.Invocation{
		RequestID: "00000000-0000-0000-0000-000000000000", Payload: []byte("{}"), Deadline: time.Now().Add(time.Minute),
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// eventually asks until it is so: for what the kernel does in its own time.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not within 20 s: %s", what)
		}
	}
}
