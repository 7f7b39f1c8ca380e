package sandboxtest_test

import (
	"log/slog"
	"runtime"
	"testing"

	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/none"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest"
)

// TestNone runs the functional part against the backend without isolation, and
// the harmless attacks as a control: there they succeed.
func TestNone(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) sandbox.Backend {
		b, err := none.New(none.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, sandboxtest.Capabilities{Freeze: true, Usage: runtime.GOOS == "linux"})
}
