//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"hash/fnv"
	"sync"
)

// Every environment has two user and group ids of the host's of its own: one
// for its init and one for its function. They come from a range that nothing
// else uses: above what systemd gives to containers (up to 1,879,048,191), and
// below 2^31, which some file systems and programs cannot pass.
const (
	firstUID   = 1_879_048_192
	uidsOfNode = 16384
	nodeRanges = (1<<31 - 1 - firstUID) / uidsOfNode

	initID     = 0    // inside
	functionID = 1000 // inside
)

// uids hands the node's range out, the longest unused first.
type uids struct {
	base int
	mu   sync.Mutex
	free []uint16 // a queue
	next int      // never used from here on
}

// newUIDs gives each node of a machine its own range, as far as a hash can.
func newUIDs(node string) *uids {
	h := fnv.New32a()
	h.Write([]byte(node))
	return &uids{base: firstUID + int(h.Sum32()%nodeRanges)*uidsOfNode}
}

// take returns the first of a pair.
func (u *uids) take() (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.next < uidsOfNode/2:
		u.next++
		return u.base + 2*(u.next-1), nil
	case len(u.free) > 0:
		slot := u.free[0]
		u.free = u.free[1:]
		return u.base + 2*int(slot), nil
	}
	return 0, fmt.Errorf("%d environments are all that a node can have at once", uidsOfNode/2)
}

func (u *uids) give(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.free = append(u.free, uint16((id-u.base)/2))
}
