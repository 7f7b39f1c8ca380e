//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// The starter's protocol, the same as in starter/start.c.
const (
	controlFD = 3
	listAt    = 0x10000000
	listSize  = 192 << 10
	maxFDs    = 16
	maxOps    = 256

	opEnd  = 0xffff0000
	opReap = 0xffff0001

	mayFail        = 1
	skipIfPositive = 2

	exitAfter = 1
	silent    = 2

	headSize  = 16
	opSize    = 56
	replySize = 16
)

// result names what an earlier op of the same list returned, received a
// descriptor that comes with it. Both may be arguments of later ops.
type (
	result   int
	received int
)

// list is a list of system calls for the starter. Its memory is laid out as it
// is sent: the head, then the data (strings, structures), then the ops. Since
// the starter reads it to a known address, an address in it is just a number.
type list struct {
	data  []byte
	ops   []op
	names []string
	fds   []int
	flags uint32
}

type op struct {
	nr    uint32
	flags uint8
	refs  uint8
	skip  uint16
	arg   [6]uint64
}

func newList() *list { return &list{data: make([]byte, headSize, 2048)} }

// bytes places b, aligned to 8, and returns its address.
func (l *list) bytes(b []byte) uint64 {
	for len(l.data)%8 != 0 {
		l.data = append(l.data, 0)
	}
	at := len(l.data)
	l.data = append(l.data, b...)
	return listAt + uint64(at)
}

// zeros places n zero bytes for the kernel to write to.
func (l *list) zeros(n int) uint64 { return l.bytes(make([]byte, n)) }

// str places s as a C string.
func (l *list) str(s string) uint64 {
	at := len(l.data)
	l.data = append(append(l.data, s...), 0)
	return listAt + uint64(at)
}

// strs places a NULL-terminated array of C strings, as execve takes it.
func (l *list) strs(ss []string) uint64 {
	at := make([]uint64, len(ss)+1)
	for i, s := range ss {
		at[i] = l.str(s)
	}
	return l.words(at...)
}

// words places 64-bit numbers, one after the other.
func (l *list) words(ws ...uint64) uint64 {
	b := make([]byte, 0, 8*len(ws))
	for _, w := range ws {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return l.bytes(b)
}

// fd makes f come with the list.
func (l *list) fd(f int) received {
	l.fds = append(l.fds, f)
	return received(len(l.fds) - 1)
}

// call appends a system call. what names it in errors ("mount /proc").
// Arguments are numbers, addresses, strings (placed as C strings), results and
// received descriptors.
func (l *list) call(what string, nr uintptr, args ...any) result {
	o := op{nr: uint32(nr)}
	for i, a := range args {
		switch a := a.(type) {
		case int:
			o.arg[i] = uint64(a)
		case uint64:
			o.arg[i] = a
		case uintptr:
			o.arg[i] = uint64(a)
		case string:
			o.arg[i] = l.str(a)
		case result:
			o.arg[i] = uint64(maxFDs + int(a))
			o.refs |= 1 << i
		case received:
			o.arg[i] = uint64(a)
			o.refs |= 1 << i
		default:
			panic(fmt.Sprintf("process: an argument of %s is a %T", what, a))
		}
	}
	l.ops = append(l.ops, o)
	l.names = append(l.names, what)
	return result(len(l.ops) - 1)
}

// try appends a call that may fail: what it would give up is then left as it
// is.
func (l *list) try(what string, nr uintptr, args ...any) result {
	r := l.call(what, nr, args...)
	l.ops[r].flags |= mayFail
	return r
}

// fork appends a clone. The child carries out what child appends, and must
// not get past it; the parent goes on behind that.
func (l *list) fork(what string, nr uintptr, child func(), args ...any) result {
	r := l.call(what, nr, args...)
	from := len(l.ops)
	child()
	l.ops[r].flags |= skipIfPositive
	l.ops[r].skip = uint16(len(l.ops) - from)
	return r
}

// end ends the list with a result.
func (l *list) end(r any) { l.call("end", opEnd, r) }

// encode returns the message.
func (l *list) encode() ([]byte, error) {
	for len(l.data)%8 != 0 {
		l.data = append(l.data, 0)
	}
	size := len(l.data) + opSize*len(l.ops)
	switch {
	case len(l.ops) > maxOps:
		return nil, fmt.Errorf("%d system calls are more than the starter takes at once (%d)", len(l.ops), maxOps)
	case len(l.fds) > maxFDs:
		return nil, fmt.Errorf("%d descriptors are more than the starter takes at once (%d)", len(l.fds), maxFDs)
	case size > listSize:
		return nil, fmt.Errorf("the command and its environment variables need %d bytes, at most %d fit", size, listSize)
	}
	at := len(l.data)
	b := l.data
	ne := binary.NativeEndian
	for i := range l.ops {
		o := &l.ops[i]
		b = ne.AppendUint32(b, o.nr)
		b = append(b, o.flags, o.refs)
		b = ne.AppendUint16(b, o.skip)
		for _, a := range o.arg {
			b = ne.AppendUint64(b, a)
		}
	}
	ne.PutUint32(b[0:], uint32(at))
	ne.PutUint32(b[4:], uint32(len(l.ops)))
	ne.PutUint32(b[8:], l.flags)
	l.data = b[:at]
	return b, nil
}

// reply is what the starter answers to a list.
type reply struct {
	op     uint32
	errno  syscall.Errno
	result int64
}

func parseReply(b []byte) (reply, error) {
	if len(b) != replySize {
		return reply{}, fmt.Errorf("the starter's answer has %d bytes, want %d", len(b), replySize)
	}
	ne := binary.NativeEndian
	return reply{
		op:     ne.Uint32(b),
		errno:  syscall.Errno(ne.Uint32(b[4:])),
		result: int64(ne.Uint64(b[8:])),
	}, nil
}

// OpError is a system call of a list that the kernel refused.
type OpError struct {
	What  string // "mount /proc"
	Errno syscall.Errno
}

func (e *OpError) Error() string { return e.What + ": " + e.Errno.Error() }
func (e *OpError) Unwrap() error { return e.Errno }

// err is the failure that r tells, nil for none.
func (l *list) err(r reply) error {
	if r.errno == 0 {
		return nil
	}
	what := "carry out the list"
	if int(r.op) < len(l.names) {
		what = l.names[r.op]
	}
	return &OpError{What: what, Errno: r.errno}
}
