//go:build linux && (amd64 || arm64)

package sandboxtest_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
	"github.com/gust-dev/gust/internal/sandbox/process"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Main(m)) }

// TestProcess runs the whole suite against the process sandbox.
func TestProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the process sandbox makes namespaces and cgroups, which needs root")
	}
	run(t, nil)
}

// TestPooled runs it with a program that had been booted ahead in each
// environment, before it was one of the suite's functions. What is not pooled
// is run by TestProcess alone: http programs are their functions' own.
func TestPooled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the process sandbox makes namespaces and cgroups, which needs root")
	}
	run(t, &sandboxtest.Pool{
		Root: func(t *testing.T, program string) string {
			base, err := library(t).Base(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			root := filepath.Join(t.TempDir(), "root")
			if out, err := exec.Command("cp", "-al", base, root).CombinedOutput(); err != nil {
				t.Fatalf("copy the root: %v: %s", err, out)
			}
			text, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, sandboxtest.Interpreter), text, 0o755); err != nil {
				t.Fatal(err)
			}
			return root
		},
		Await: func(t *testing.T, b sandbox.Backend, spec sandbox.Spec) {
			pools := b.(*process.Backend)
			pools.Prepare([]sandbox.Spec{spec})
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			// Of every kind: with a network and without.
			for deadline := time.Now().Add(20 * time.Second); slices.ContainsFunc(pools.Pools(), func(p process.Pool) bool { return p.Waiting == 0 }); <-tick.C {
				if time.Now().After(deadline) {
					t.Fatal("no interpreter waits within 20 s")
				}
			}
		},
	})
}

// library has the root without an interpreter.
func library(t *testing.T) *runtimes.Roots {
	roots, err := runtimes.Open(runtimes.Options{Dir: t.TempDir(), Isolated: true, Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { roots.Close() })
	return roots
}

func run(t *testing.T, pool *sandboxtest.Pool) {
	id, nodes := strings.ToLower(rand.Text()[:12]), 0
	roots := library(t)
	sandboxtest.Run(t, func(t *testing.T) sandbox.Backend {
		dir := t.TempDir()
		nodes++
		o := process.Options{
			Root: roots.Base, RunDir: filepath.Join(dir, "run"), NodeID: fmt.Sprint(id, nodes), Spares: 2,
			Ports: []uint16{7080}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(networktest.Upstream + ":53")},
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		if pool != nil {
			o.PoolMemory = 256 * gust.MB
		}
		b, err := process.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, sandboxtest.Capabilities{
		Isolation: true, Memory: true, Processes: true, Ephemeral: true,
		Freeze: true, Usage: true, Detached: true, Network: true,
		Pool: pool, Marks: []string{id},
	})
}
