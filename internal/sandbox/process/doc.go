// Package process runs each environment as processes of the Linux kernel in
// namespaces, a cgroup and a file system of their own. DESIGN.md tells how it
// is built and why; docs/THREAT-MODEL.md against whom it holds.
//
// It needs Linux 5.12 or newer on amd64 or arm64, and root. Where something is
// missing New says what, and never runs anything with less isolation.
package process

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/gust-dev/gust/internal/sandbox"
)

// DefaultSpares is how many environments are kept prepared when nobody says
// otherwise.
const DefaultSpares = 4

// ErrScratch: all /tmp together take as much disk as the node gives them.
var ErrScratch = errors.New("the functions' /tmp are full together")

// Options configure a backend.
type Options struct {
	// Root finds the root of environments that name none, which is also the one
	// that is made ready for before anything has started. It is called once, in
	// the background; the first such environment waits for it.
	Root func(context.Context) (string, error)
	// RunDir is a folder for what lives as long as the node, on a disk: the
	// environments' /tmp lie there. What another backend, which was killed,
	// left behind and noted there is removed by New.
	RunDir string
	// NodeID tells this node's cgroups and user ids from those of others on
	// the machine; empty derives it from RunDir.
	NodeID string
	// Spares is how many environments are prepared ahead, without a function
	// yet; 0 is none. One costs about 0.5 MB of the kernel's memory, and saves
	// a cold start between 1 and 10 ms.
	Spares int
	// PoolMemory bounds the bytes of memory of interpreters that wait, booted,
	// for a function; 0 is none. See Prepare.
	PoolMemory int64
	// Scratch bounds the bytes of disk that all /tmp take together; 0 is no
	// bound. They are sparse, so what functions declare may be far more. Over
	// it no environment is started, and the one whose /tmp takes most is
	// ended. That is looked at twice a second: leave so much free as the disk
	// writes in that time.
	Scratch int64
	// Ports are the node's own, which no environment reaches.
	Ports []uint16
	// Upstreams are the resolvers that are asked for environments; none are
	// the host's.
	Upstreams []netip.AddrPort
	// Logger gets what is wrong with the node; nil means slog.Default().
	Logger *slog.Logger
}

// Pool is what waits of one kind.
type Pool struct {
	Root        string // the beginning of the name of the root's folder
	Interpreter string // its command line, by the names of its files
	Waiting     int
	Memory      int64  // bytes that those use together
	Boots       uint64 // so far
	Failures    uint64 // boots that failed
}

var _ sandbox.Backend = (*Backend)(nil)
