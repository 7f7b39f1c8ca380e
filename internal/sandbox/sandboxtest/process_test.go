//go:build linux && (amd64 || arm64)

package sandboxtest_test

import (
	"crypto/rand"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	id := strings.ToLower(rand.Text()[:12])
	sandboxtest.Run(t, func(t *testing.T) sandbox.Backend {
		dir := t.TempDir()
		b, err := process.New(process.Options{
			Dir: dir, RunDir: filepath.Join(dir, "run"), NodeID: id, Spares: 2,
			Ports: []uint16{7080}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(networktest.Upstream + ":53")},
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, sandboxtest.Capabilities{
		Isolation: true, Memory: true, Processes: true, Ephemeral: true,
		Freeze: true, Usage: true, Detached: true, Network: true,
		Marks: []string{id},
	})
}
