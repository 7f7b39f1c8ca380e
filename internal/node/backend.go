package node

import (
	"fmt"
	"net/netip"
	"path/filepath"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox/none"
	"github.com/gust-dev/gust/internal/sandbox/process"
)

// spares is how many environments wait prepared: what a person or a test opens
// at once. A burst needs more than can wait.
const spares = 6

// openRuntimes opens the roots, which take no more of the disk than the store can
// spare.
func (n *Node) openRuntimes() (err error) {
	n.runtimes, err = runtimes.Open(runtimes.Options{
		Dir: filepath.Join(n.config.Data, "roots"), Isolated: n.config.Sandbox != "none", Logger: n.logger, Now: n.store.Now, Free: n.store.Free,
		Pinned: func() map[gust.Digest][]string { return n.catalog.Snapshot().Roots() },
	})
	if err != nil {
		return err
	}
	n.onClose(n.runtimes.Close)
	return nil
}

func (n *Node) openBackend() (err error) {
	run := filepath.Join(n.config.Data, "run")
	switch n.config.Sandbox {
	case "process":
		var b *process.Backend
		b, err = process.New(process.Options{
			Root: n.runtimes.Base, RunDir: run, Spares: spares, PoolMemory: poolMemory(n.config), Scratch: n.scratch(), Ports: n.ports(), Logger: n.logger,
		})
		if err == nil {
			n.backend, n.permits, n.backendWarnings = b, b.Permits, b.Warnings()
		}
	case "none":
		n.backend, err = none.New(none.Options{Dir: run, Logger: n.logger})
		n.permits = func(gust.Network) error { return nil }
		n.backendWarnings = []string{"functions run without isolation (--sandbox none): each can read and change what the node's user can, and reach what the node can, whatever its network declares"}
	default:
		err = fmt.Errorf("--sandbox %s is not known", n.config.Sandbox)
	}
	if err != nil {
		return err
	}
	n.onClose(n.backend.Close)
	return nil
}

// ports are those that the node listens on.
func (n *Node) ports() (ports []uint16) {
	for _, a := range []string{n.usersAddr, n.apisAddr} {
		if at, err := netip.ParseAddrPort(a); err == nil {
			ports = append(ports, at.Port())
		}
	}
	return ports
}

// scratch is what all /tmp may take, so that functions cannot fill the disk
// that the store keeps its promises on.
func (n *Node) scratch() int64 {
	if n.config.Scratch > 0 {
		return int64(n.config.Scratch)
	}
	free, _ := n.store.Free()
	return max(free/2, 256*gust.MB) // on a full disk a few small ones still fit
}
