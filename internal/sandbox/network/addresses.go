package network

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"net/netip"
	"sync"
)

// poolBits is the length of the prefix that a node's environments share.
const poolBits = 18

// pools are where it may be, in the order in which they are tried: ranges that
// are for nobody's machines in particular first. Where in a range a node begins
// depends on its name, so that two seldom want the same.
func pools(nodeID string) []netip.Prefix {
	h := fnv.New32a()
	h.Write([]byte(nodeID))
	var ps []netip.Prefix
	for _, r := range []string{"198.18.0.0/15", "100.64.0.0/10", "10.192.0.0/10"} {
		p := netip.MustParsePrefix(r)
		n := uint32(1) << (poolBits - p.Bits())
		first := p.Addr().As4()
		base := binary.BigEndian.Uint32(first[:])
		for i := range min(n, 16) {
			ps = append(ps, netip.PrefixFrom(offset(base, (h.Sum32()+i)%n<<(32-poolBits)), poolBits))
		}
	}
	return ps
}

func offset(base, n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+n)))
}

// The first addresses of a pool are the two ends of the pair between the host
// and the gate.
const (
	hostEnd = 1
	gateEnd = 2
	firstOf = 4
)

// addresses gives out a pool's. The one that has been free for longest is next,
// so that nothing of its last use is about any more.
type addresses struct {
	base uint32
	mu   sync.Mutex
	next uint32 // never given out yet
	free []uint32
}

// errNoAddress: there are more environments than addresses.
var errNoAddress = errors.New("all addresses for environments are given out")

func newAddresses(p netip.Prefix) *addresses {
	first := p.Addr().As4()
	return &addresses{base: binary.BigEndian.Uint32(first[:]), next: firstOf}
}

func (a *addresses) at(n uint32) netip.Addr { return offset(a.base, n) }

func (a *addresses) take() (uint32, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next < 1<<(32-poolBits)-1 {
		a.next++
		return a.next - 1, nil
	}
	if len(a.free) == 0 {
		return 0, errNoAddress
	}
	n := a.free[0]
	a.free = a.free[1:]
	return n, nil
}

func (a *addresses) give(n uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, n)
}
