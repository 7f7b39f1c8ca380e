package environment

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"os"

	"github.com/gust-dev/gust/internal/sandbox"
)

// ErrWrongRuntime: Invoke was called on an http environment, or RoundTrip on
// one that speaks the Runtime API.
var ErrWrongRuntime = errors.New("the environment's runtime has no such call")

// Parts is what a backend hands over for one started program.
type Parts struct {
	Spec    sandbox.Spec
	Process Process
	// Output is the read end of the pipe that is the program's standard
	// output and standard error, as os.Pipe makes it (non-blocking). The
	// backend has closed its copy of the write end.
	Output *os.File
	// Listener is where the Runtime API is served; nil for an http program.
	Listener net.Listener
	// API and Token are for Spec.API, if it is set.
	API   net.Listener
	Token [sha256.Size]byte
	// Dial connects to an http program; nil for others. It is only called
	// while the environment lives.
	Dial func(context.Context) (net.Conn, error)
	// Pooled tells that the program had been booted ahead.
	Pooled bool
	// Logger gets what is wrong with the node, never what is wrong with the
	// program. Nil means slog.Default().
	Logger *slog.Logger
}
