//go:build linux && (amd64 || arm64)

package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/process"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest"
)

// TestSuite is what every sandbox has to pass.
func TestSuite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the process sandbox needs root")
	}
	data := t.TempDir()
	sandboxtest.Run(t, func(t *testing.T) sandbox.Backend {
		b, err := process.New(process.Options{Dir: data, RunDir: filepath.Join(t.TempDir(), "run"), Spares: 2})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, sandboxtest.Capabilities{
		Isolation: true, Memory: true, Processes: true, Ephemeral: true,
		Freeze: true, Usage: true, Detached: true,
	})
}
