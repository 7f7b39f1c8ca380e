//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
)

// Rules are two tables. The gate's, in the node's namespace of interfaces,
// judges what an environment sends, by sets that are keyed by its interface;
// the host's lets through what the gate has let through, and nothing to the
// host itself. See DESIGN.md for each rule's reason.

// tableOwned is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h.
const tableOwned = 0x2

// table is a table of the kernel's packet filter and the socket that owns it:
// when the socket closes, with the node or by Close, the kernel removes it.
type table struct {
	*nftables.Table
	mu   sync.Mutex // from the first word of a change to its last
	conn *nftables.Conn
	sets uint32 // numbered here: the library counts for all, without a lock
}

// newTable makes one in the namespace of the calling thread.
func newTable(family nftables.TableFamily, name string) (*table, error) {
	var sock *netlink.Conn
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		sock = c
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("open the packet filter's socket: %w", err)
	}
	t := &table{conn: conn, Table: &nftables.Table{Family: family, Name: name}}
	if err := t.own(sock); err != nil {
		conn.CloseLasting()
		return nil, fmt.Errorf("make the table %s of the packet filter (nf_tables): %w", name, err)
	}
	return t, nil
}

// own makes the table with the flag that ties it to the socket, which the
// library leaves out.
func (t *table) own(sock *netlink.Conn) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: []byte(t.Name + "\x00")},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(tableOwned)},
	})
	if err != nil {
		return err
	}
	message := func(kind netlink.HeaderType, flags netlink.HeaderFlags, family byte, resource uint16, data []byte) netlink.Message {
		head := binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
		return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | flags}, Data: append(head, data...)}
	}
	const newTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE
	if _, err := sock.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
		message(newTable, netlink.Acknowledge|netlink.Create|netlink.Excl, byte(t.Family), 0, attrs),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
	}); err != nil {
		return err
	}
	_, err = sock.Receive()
	return err
}

func (t *table) close() { t.conn.CloseLasting() }

func (t *table) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority int32, policy nftables.ChainPolicy) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.Table, Type: kind, Hooknum: hook, Priority: nftables.ChainPriorityRef(nftables.ChainPriority(priority)), Policy: &policy})
}

// rule appends one; each part is an expr.Any or a list of them.
func (t *table) rule(c *nftables.Chain, parts ...any) {
	var es []expr.Any
	for _, p := range parts {
		switch p := p.(type) {
		case expr.Any:
			es = append(es, p)
		case []expr.Any:
			es = append(es, p...)
		}
	}
	t.conn.AddRule(&nftables.Rule{Table: t.Table, Chain: c, Exprs: es})
}

func (t *table) set(s *nftables.Set, elements ...nftables.SetElement) (*nftables.Set, error) {
	t.sets++
	s.Table, s.ID = t.Table, t.sets
	return s, t.conn.AddSet(s, elements)
}

// reg is where what is looked at is loaded; three in a row are what a
// concatenation of three is looked up by.
const reg = unix.NFT_REG32_00

func load(key expr.MetaKey, at uint32) expr.Any { return &expr.Meta{Key: key, Register: at} }

func payload(base expr.PayloadBase, offset, n, at uint32) expr.Any {
	return &expr.Payload{DestRegister: at, Base: base, Offset: offset, Len: n}
}

func saddr(at uint32) expr.Any { return payload(expr.PayloadBaseNetworkHeader, 12, 4, at) }
func daddr(at uint32) expr.Any { return payload(expr.PayloadBaseNetworkHeader, 16, 4, at) }
func dport(at uint32) expr.Any { return payload(expr.PayloadBaseTransportHeader, 2, 2, at) }

func is(load expr.Any, data []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}}
}

func isNot(load expr.Any, data []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data}}
}

func in(s *nftables.Set, loads ...expr.Any) []expr.Any {
	return append(loads, &expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID})
}

func protocol(p byte) []expr.Any     { return is(load(expr.MetaKeyL4PROTO, reg), []byte{p}) }
func from(index int) []expr.Any      { return is(load(expr.MetaKeyIIF, reg), number(index)) }
func to(index int) []expr.Any        { return is(load(expr.MetaKeyOIF, reg), number(index)) }
func notTo(index int) []expr.Any     { return isNot(load(expr.MetaKeyOIF, reg), number(index)) }
func verdict(k expr.VerdictKind) any { return &expr.Verdict{Kind: k} }
func jump(c *nftables.Chain) any     { return &expr.Verdict{Kind: expr.VerdictJump, Chain: c.Name} }
func follow(c *nftables.Chain) any   { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.Name} }

var (
	accept = verdict(expr.VerdictAccept)
	drop   = verdict(expr.VerdictDrop)
)

func number(n int) []byte { return binaryutil.NativeEndian.PutUint32(uint32(n)) }

// known matches packets of connections that have been let through.
func known() []expr.Any { return state(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED) }

func state(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}
}

// refusal makes a chain that refuses at once, so that programs do not wait.
func (t *table) refusal() *nftables.Chain {
	c := t.conn.AddChain(&nftables.Chain{Name: "refuse", Table: t.Table})
	t.rule(c, protocol(unix.IPPROTO_TCP), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	if t.Family == nftables.TableFamilyINet {
		t.rule(c, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED})
	} else {
		t.rule(c, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 13}) // administratively prohibited
	}
	return c
}

// span is a prefix as two elements of a set of intervals.
func span(p netip.Prefix) []nftables.SetElement {
	first := nftables.SetElement{Key: p.Masked().Addr().AsSlice()}
	if end := lastOf(p).Next(); end.IsValid() {
		return []nftables.SetElement{first, {Key: end.AsSlice(), IntervalEnd: true}}
	}
	return []nftables.SetElement{first}
}

// lastOf is the last address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) | uint32(1<<(32-p.Bits())-1)
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

func spans(ps []netip.Prefix) (es []nftables.SetElement) {
	for _, p := range ps {
		es = append(es, span(p)...)
	}
	return es
}

// where is a destination as the sets have it: who (an interface's number in
// the gate, an address on the host), address, port.
func where(who []byte, a netip.Addr, port uint16) []byte {
	b := append(append([]byte{}, who...), a.AsSlice()...)
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

// gate is the table that judges environments.
type gate struct {
	*table
	live     *nftables.Set // interface . mark of its connections
	internet *nftables.Set // interfaces
	listed   *nftables.Set // interface . address . port, for a time
	inside   *nftables.Set // interface . prefix . port, of private ranges
	outside  *nftables.Set // ... of all others
	count    *nftables.Set // interfaces and the connections they have; the kernel keeps it
}

// maxConnectionsOut bounds one environment's connections at once: what the
// kernel remembers of them it remembers for the whole machine.
const maxConnectionsOut = 1024

// newGate makes the table in the calling thread's namespace, where up leads to
// the host.
func newGate(up int) (g *gate, err error) {
	t, err := newTable(nftables.TableFamilyINet, "gust")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	g = &gate{table: t}
	destination := nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIPAddr, nftables.TypeInetService)
	never, private, protocols := new(nftables.Set), new(nftables.Set), new(nftables.Set)
	for _, s := range []struct {
		at       **nftables.Set
		set      nftables.Set
		elements []nftables.SetElement
	}{
		{&never, nftables.Set{Name: "never", KeyType: nftables.TypeIPAddr, Interval: true}, spans(gust.NeverReached())},
		{&private, nftables.Set{Name: "private", KeyType: nftables.TypeIPAddr, Interval: true}, spans(gust.PrivateRanges())},
		{&protocols, nftables.Set{Name: "protocols", KeyType: nftables.TypeInetProto},
			[]nftables.SetElement{{Key: []byte{unix.IPPROTO_TCP}}, {Key: []byte{unix.IPPROTO_UDP}}, {Key: []byte{unix.IPPROTO_ICMP}}}},
		{&g.live, nftables.Set{Name: "live", KeyType: nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeMark)}, nil},
		{&g.internet, nftables.Set{Name: "internet", KeyType: nftables.TypeIFIndex}, nil},
		{&g.listed, nftables.Set{Name: "listed", KeyType: destination, HasTimeout: true}, nil},
		{&g.inside, nftables.Set{Name: "inside", KeyType: destination, Interval: true, Concatenation: true}, nil},
		{&g.count, nftables.Set{Name: "count", KeyType: nftables.TypeIFIndex, Dynamic: true, Size: 1 << 20}, nil},
		{&g.outside, nftables.Set{Name: "outside", KeyType: destination, Interval: true, Concatenation: true}, nil},
	} {
		if *s.at, err = t.set(&s.set, s.elements...); err != nil {
			return nil, err
		}
	}
	refuse := t.refusal()
	take := t.conn.AddChain(&nftables.Chain{Name: "take", Table: t.Table})
	t.rule(take, load(expr.MetaKeyIIF, reg), &expr.Dynset{SrcRegKey: reg, SetName: g.count.Name, SetID: g.count.ID, Operation: uint32(unix.NFT_DYNSET_OP_ADD),
		Exprs: []expr.Any{&expr.Connlimit{Count: maxConnectionsOut, Flags: expr.NFT_CONNLIMIT_F_INV}}}, follow(refuse))
	t.rule(take, load(expr.MetaKeyIIF, reg), &expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true}, accept)

	ported := t.conn.AddChain(&nftables.Chain{Name: "ported", Table: t.Table})
	iif, to3 := load(expr.MetaKeyIIF, reg), func(s *nftables.Set) []expr.Any {
		return in(s, load(expr.MetaKeyIIF, reg), daddr(reg+1), dport(reg+2))
	}
	t.rule(ported, to3(g.listed), follow(take))
	t.rule(ported, to3(g.inside), follow(take))
	t.rule(ported, in(private, daddr(reg)), verdict(expr.VerdictReturn))
	t.rule(ported, to3(g.outside), follow(take))

	v6 := is(load(expr.MetaKeyNFPROTO, reg), []byte{unix.NFPROTO_IPV6})
	mark := &expr.Ct{Key: expr.CtKeyMARK, Register: reg + 1}
	fwd := t.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, 0, nftables.ChainPolicyDrop)
	t.rule(fwd, v6, drop)
	t.rule(fwd, state(expr.CtStateBitINVALID), drop)
	t.rule(fwd, from(up), known(), in(g.live, load(expr.MetaKeyOIF, reg), mark), accept)
	t.rule(fwd, from(up), drop)
	t.rule(fwd, in(never, daddr(reg)), follow(refuse))
	t.rule(fwd, notTo(up), follow(refuse))
	t.rule(fwd, known(), in(g.live, iif, mark), accept)
	t.rule(fwd, protocol(unix.IPPROTO_TCP), jump(ported))
	t.rule(fwd, protocol(unix.IPPROTO_UDP), jump(ported))
	t.rule(fwd, in(private, daddr(reg)), follow(refuse))
	t.rule(fwd, in(g.internet, iif), in(protocols, load(expr.MetaKeyL4PROTO, reg)), follow(take))
	t.rule(fwd, follow(refuse))

	input := t.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, 0, nftables.ChainPolicyDrop)
	dns := is(daddr(reg), netip.MustParseAddr(gust.Resolver).AsSlice())
	t.rule(input, v6, drop)
	t.rule(input, from(up), drop)
	for _, p := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		t.rule(input, dns, protocol(p), is(dport(reg), []byte{0, 53}), accept)
	}
	t.rule(input, follow(refuse))
	if err := t.conn.Flush(); err != nil {
		return nil, fmt.Errorf("make the rules of the packet filter (nf_tables): %w", err)
	}
	return g, nil
}

// elements are some of a set's.
type elements struct {
	set *nftables.Set
	es  []nftables.SetElement
}

// edit carries out an atomic change: what is removed is removed first.
func (t *table) edit(remove, add []elements) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	for _, e := range remove {
		err = errors.Join(err, t.conn.SetDeleteElements(e.set, e.es))
	}
	for _, e := range add {
		err = errors.Join(err, t.conn.SetAddElements(e.set, e.es))
	}
	if err = errors.Join(err, t.conn.Flush()); err != nil {
		return fmt.Errorf("change the rules of the packet filter (nf_tables): %w", err)
	}
	return nil
}

// renew makes the kernel forget elements only after their timeout from now,
// whether or not it has them: kernels before 6.12 keep the old time of what
// they have.
func (t *table) renew(s *nftables.Set, es []nftables.SetElement) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := errors.Join(t.conn.SetAddElements(s, es), t.conn.SetDeleteElements(s, es), t.conn.SetAddElements(s, es))
	if err = errors.Join(err, t.conn.Flush()); err != nil {
		return fmt.Errorf("change the rules of the packet filter (nf_tables): %w", err)
	}
	return nil
}

// between is an element of a set of concatenated intervals.
func between(who []byte, d gust.Destination) nftables.SetElement {
	return nftables.SetElement{Key: where(who, d.Prefix.Addr(), d.Port), KeyEnd: where(who, lastOf(d.Prefix), d.Port)}
}

// hostRules is the table in the host's namespace.
type hostRules struct {
	*table
	local  *nftables.Set // address of an environment . one of the host's . port
	closed *nftables.Set // interfaces that forward because of us, and nothing else
}

const hostTable = "gust-"

// newHostRules makes the table. gust is the interface that leads to the gate,
// ports are the node's own.
func newHostRules(name string, dev int, envs netip.Prefix, ports []uint16) (h *hostRules, err error) {
	t, err := newTable(nftables.TableFamilyIPv4, hostTable+name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	h = &hostRules{table: t}
	three := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetService)
	if h.local, err = t.set(&nftables.Set{Name: "local", KeyType: three, Interval: true, Concatenation: true}); err != nil {
		return nil, err
	}
	if h.closed, err = t.set(&nftables.Set{Name: "closed", KeyType: nftables.TypeIFIndex}); err != nil {
		return nil, err
	}
	var own []nftables.SetElement
	for _, p := range ports {
		own = append(own, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	nodes, err := t.set(&nftables.Set{Name: "node", KeyType: nftables.TypeInetService}, own...)
	if err != nil {
		return nil, err
	}
	refuse := t.refusal()
	// Before the host translates addresses: a port of its own that it has put
	// somewhere else, as Docker does, is still its own.
	const before = -150
	input := t.chain("input", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, before, nftables.ChainPolicyAccept)
	t.rule(input, isNot(load(expr.MetaKeyIIF, reg), number(dev)), accept)
	t.rule(input, isNot(&expr.Fib{Register: reg, ResultADDRTYPE: true, FlagDADDR: true}, number(unix.RTN_LOCAL)), accept)
	for _, p := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		t.rule(input, protocol(p), in(nodes, dport(reg)), follow(refuse))
		t.rule(input, protocol(p), in(h.local, saddr(reg), daddr(reg+1), dport(reg+2)), accept)
	}
	t.rule(input, follow(refuse))
	fwd := t.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, before, nftables.ChainPolicyAccept)
	t.rule(fwd, from(dev), accept)
	t.rule(fwd, to(dev), known(), accept)
	t.rule(fwd, to(dev), drop)
	t.rule(fwd, in(h.closed, load(expr.MetaKeyIIF, reg)), drop)
	nat := t.chain("nat", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100, nftables.ChainPolicyAccept)
	t.rule(nat, saddr(reg), &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4,
		Mask: netmask(envs), Xor: make([]byte, 4)}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: envs.Addr().AsSlice()},
		notTo(dev), &expr.Masq{})
	if err := t.conn.Flush(); err != nil {
		return nil, fmt.Errorf("make the rules of the packet filter (nf_tables): %w", err)
	}
	return h, nil
}

func netmask(p netip.Prefix) []byte {
	return binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
}
