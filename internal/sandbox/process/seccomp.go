//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// The filter of system calls denies by default: what is not in the table
// (syscalls.go) is answered with EPERM, unknown numbers too. Calls of a
// foreign architecture, which would be other calls by the same numbers, end
// the process. The architectures' tables of names come from go-seccomp-bpf;
// the assembler does not, because that one cannot kill for x32, and compares
// the numbers one after the other, where this one searches.

// verdict is what becomes of a call: a SECCOMP_RET_* value.
type verdict uint32

const (
	allow  verdict = unix.SECCOMP_RET_ALLOW
	refuse         = verdict(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	absent         = verdict(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	kill   verdict = unix.SECCOMP_RET_KILL_PROCESS
)

// x32Bit marks the calls of amd64's 32-bit pointer ABI.
const x32Bit = 0x40000000

// Offsets into struct seccomp_data. The processors are little-endian, so a low
// word comes first.
const (
	dataNR   = 0
	dataArch = 4
	dataArgs = 16
)

// Instructions of classic BPF.
const (
	bpfLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	bpfReturn = unix.BPF_RET | unix.BPF_K
	bpfGo     = unix.BPF_JMP | unix.BPF_JA
	bpfIfEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	bpfIfGe   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	bpfIfSet  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
)

func ret(v verdict) unix.SockFilter { return unix.SockFilter{Code: bpfReturn, K: uint32(v)} }

// loadArg loads the low word of an argument: all that the kernel looks at in
// the arguments that are judged here, which are ints.
func loadArg(n int) unix.SockFilter {
	return unix.SockFilter{Code: bpfLoad, K: uint32(dataArgs + 8*n)}
}

// The judgements of calls that are allowed with some arguments only. Each ends
// in a verdict.

// oneOf allows argument arg to be one of values.
func oneOf(arg int, values ...uint32) []unix.SockFilter {
	code := []unix.SockFilter{loadArg(arg)}
	for i, v := range values {
		code = append(code, unix.SockFilter{Code: bpfIfEq, K: v, Jt: uint8(len(values) - i)})
	}
	return append(code, ret(refuse), ret(allow))
}

// noneOf allows argument arg to be anything but one of values.
func noneOf(arg int, values ...uint32) []unix.SockFilter {
	code := oneOf(arg, values...)
	code[len(code)-2], code[len(code)-1] = ret(allow), ret(refuse)
	return code
}

// noBits allows argument arg if it has none of these bits.
func noBits(arg int, bits uint32) []unix.SockFilter {
	return []unix.SockFilter{
		loadArg(arg),
		{Code: bpfIfSet, K: bits, Jt: 1},
		ret(allow),
		ret(refuse),
	}
}

// always is a verdict whatever the arguments are.
func always(v verdict) []unix.SockFilter { return []unix.SockFilter{ret(v)} }

// filter assembles the program for a processor, by Go's name of it.
func filter(goarch string) ([]unix.SockFilter, error) {
	info, err := arch.GetInfo(goarch)
	if err != nil {
		return nil, fmt.Errorf("the system calls of %s are not known: %w", goarch, err)
	}
	code := map[uint32][]unix.SockFilter{}
	set := func(name string, c []unix.SockFilter) error {
		nr, ok := info.SyscallNames[name]
		if !ok {
			return nil // an old call that this processor never had
		}
		if _, twice := code[uint32(nr)]; twice {
			return fmt.Errorf("the filter judges %s twice", name)
		}
		code[uint32(nr)] = c
		return nil
	}
	for _, name := range allowed {
		if err := set(name, always(allow)); err != nil {
			return nil, err
		}
	}
	for name, c := range judged {
		if err := set(name, c); err != nil {
			return nil, err
		}
	}

	// Ranges of numbers that are judged alike, from 0.
	type span struct {
		from uint32
		code []unix.SockFilter
	}
	spans := []span{{0, always(refuse)}}
	add := func(from uint32, c []unix.SockFilter) {
		last := &spans[len(spans)-1]
		switch {
		case slices.Equal(last.code, c):
		case last.from == from:
			last.code = c
		default:
			spans = append(spans, span{from, c})
		}
	}
	next := uint32(0)
	for _, nr := range slices.Sorted(func(yield func(uint32) bool) {
		for nr := range code {
			if !yield(nr) {
				return
			}
		}
	}) {
		if nr > next {
			add(next, always(refuse))
		}
		add(nr, code[nr])
		next = nr + 1
	}
	add(next, always(refuse))

	// A binary search.
	var search func(spans []span) []unix.SockFilter
	search = func(spans []span) []unix.SockFilter {
		if len(spans) == 1 {
			return spans[0].code
		}
		mid := len(spans) / 2
		low, high := search(spans[:mid]), search(spans[mid:])
		var out []unix.SockFilter
		if len(low) <= 255 {
			out = append(out, unix.SockFilter{Code: bpfIfGe, K: spans[mid].from, Jt: uint8(len(low))})
		} else {
			out = append(out, unix.SockFilter{Code: bpfIfGe, K: spans[mid].from, Jf: 1},
				unix.SockFilter{Code: bpfGo, K: uint32(len(low))})
		}
		return append(append(out, low...), high...)
	}
	prog := []unix.SockFilter{
		{Code: bpfLoad, K: dataArch},
		{Code: bpfIfEq, K: uint32(info.ID), Jt: 1},
		ret(kill),
		{Code: bpfLoad, K: dataNR},
	}
	if goarch == "amd64" {
		prog = append(prog, unix.SockFilter{Code: bpfIfGe, K: x32Bit, Jf: 1}, ret(kill))
	}
	prog = append(prog, search(spans)...)
	if len(prog) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("the filter has %d instructions, at most %d fit", len(prog), unix.BPF_MAXINSNS)
	}
	return prog, nil
}

// nativeFilter is the filter as the kernel reads it.
func nativeFilter() ([]byte, error) {
	prog, err := filter(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, in := range prog {
		b = binary.NativeEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	return b, nil
}
