//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/process"
)

// hello builds the function that is measured and returns its code folder.
func hello(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "code")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "bootstrap"), "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build the function: %v\n%s", err, out)
	}
	return dir
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

func newBackend(tb testing.TB, spares int) *process.Backend {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("the process sandbox needs root")
	}
	dir := tb.TempDir()
	b, err := process.New(process.Options{Dir: dir, RunDir: filepath.Join(dir, "run"), Spares: spares})
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

func invoke(tb testing.TB, e sandbox.Environment) {
	tb.Helper()
	_, err := e.Invoke(context.Background(), &gust.Invocation{
		RequestID: "00000000-0000-0000-0000-000000000000", Payload: []byte("{}"), Deadline: time.Now().Add(time.Minute),
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkBareExec is the floor: the program alone, to its first output.
func BenchmarkBareExec(b *testing.B) {
	code := hello(b)
	for b.Loop() {
		if err := exec.Command(filepath.Join(code, "bootstrap")).Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkColdStart is from Start to the first answer. The stop is not
// measured.
func BenchmarkColdStart(b *testing.B) {
	code := hello(b)
	for name, spares := range map[string]int{"miss": 0, "hit": process.DefaultSpares} {
		b.Run(name, func(b *testing.B) {
			backend := newBackend(b, spares)
			warm(b, backend, code)
			for b.Loop() {
				e, err := backend.Start(b.Context(), helloSpec(code))
				if err != nil {
					b.Fatal(err)
				}
				invoke(b, e)
				b.StopTimer()
				e.Stop(0)
				settle(backend)
				b.StartTimer()
			}
		})
	}
}

func warm(b *testing.B, backend *process.Backend, code string) {
	e, err := backend.Start(b.Context(), helloSpec(code))
	if err != nil {
		b.Fatal(err)
	}
	invoke(b, e)
	e.Stop(0)
	settle(backend)
}

func settle(*process.Backend) { time.Sleep(30 * time.Millisecond) }

// BenchmarkBurst starts 200 environments at once, each to its first answer.
func BenchmarkBurst(b *testing.B) {
	code := hello(b)
	backend := newBackend(b, 0)
	warm(b, backend, code)
	for b.Loop() {
		var wg sync.WaitGroup
		envs := make([]sandbox.Environment, 200)
		for i := range envs {
			wg.Go(func() {
				e, err := backend.Start(b.Context(), helloSpec(code))
				if err != nil {
					b.Error(err)
					return
				}
				invoke(b, e)
				envs[i] = e
			})
		}
		wg.Wait()
		b.StopTimer()
		t := time.Now()
		for _, e := range envs {
			if e != nil {
				wg.Go(func() { e.Stop(0) })
			}
		}
		wg.Wait()
		b.ReportMetric(float64(time.Since(t).Milliseconds()), "stop-ms")
		b.StartTimer()
	}
}

// BenchmarkFreezeThaw is one of each.
func BenchmarkFreezeThaw(b *testing.B) {
	backend := newBackend(b, 0)
	e, err := backend.Start(b.Context(), helloSpec(hello(b)))
	if err != nil {
		b.Fatal(err)
	}
	invoke(b, e)
	for b.Loop() {
		if err := e.Freeze(); err != nil {
			b.Fatal(err)
		}
		if err := e.Thaw(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUsage is one look at what an idle environment uses.
func BenchmarkUsage(b *testing.B) {
	backend := newBackend(b, 0)
	e, err := backend.Start(b.Context(), helloSpec(hello(b)))
	if err != nil {
		b.Fatal(err)
	}
	invoke(b, e)
	for b.Loop() {
		e.Usage()
	}
}
