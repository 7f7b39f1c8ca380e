//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// judge runs the filter on one call, in a machine of classic BPF.
func judge(t *testing.T, goarch string, audit, nr uint32, args ...uint64) verdict {
	t.Helper()
	prog, err := filter(goarch)
	if err != nil {
		t.Fatal(err)
	}
	var ins []bpf.Instruction
	for _, f := range prog {
		ins = append(ins, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}.Disassemble())
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatal(err)
	}
	// struct seccomp_data, its words in the order that this machine reads.
	data := make([]byte, 64)
	be := binary.BigEndian
	be.PutUint32(data[dataNR:], nr)
	be.PutUint32(data[dataArch:], audit)
	for i, a := range args {
		be.PutUint32(data[dataArgs+8*i:], uint32(a))
		be.PutUint32(data[dataArgs+8*i+4:], uint32(a>>32))
	}
	v, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return verdict(uint32(v))
}

var processors = map[string]*arch.Info{"amd64": arch.X86_64, "arm64": arch.AARCH64}

func TestFilterByArguments(t *testing.T) {
	const high = 1 << 32 // what the kernel does not look at
	for _, c := range []struct {
		call string
		args []uint64
		want verdict
	}{
		{"read", nil, allow},
		{"execve", nil, allow},
		{"clone", []uint64{uint64(unix.SIGCHLD)}, allow},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, allow},
		{"clone", []uint64{unix.CLONE_NEWUSER}, refuse},
		{"clone", []uint64{unix.CLONE_NEWNS | uint64(unix.SIGCHLD)}, refuse},
		{"clone", []uint64{unix.CLONE_NEWCGROUP | high}, refuse},
		{"clone3", []uint64{0, 88}, absent},
		{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, allow},
		{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, 0}, allow},
		{"socket", []uint64{unix.AF_INET6, unix.SOCK_DGRAM, 0}, allow},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, refuse},
		{"socket", []uint64{unix.AF_NETLINK | high, unix.SOCK_RAW, unix.NETLINK_AUDIT | high}, refuse},
		{"socket", []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, refuse},
		{"socket", []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, refuse},
		{"socket", []uint64{unix.AF_ALG, 5, 0}, refuse},
		{"socketpair", []uint64{unix.AF_UNIX}, allow},
		{"socketpair", []uint64{unix.AF_TIPC}, refuse},
		{"ioctl", []uint64{0, unix.TCGETS}, allow},
		{"ioctl", []uint64{0, unix.TIOCINQ}, allow},
		{"ioctl", []uint64{0, unix.TIOCSTI}, refuse},
		{"ioctl", []uint64{0, unix.TIOCSTI | high}, refuse},
		{"ioctl", []uint64{0, unix.TIOCLINUX}, refuse},
		{"personality", []uint64{0xffffffff}, allow},
		{"personality", []uint64{0x40000}, refuse},
		{"io_uring_setup", nil, refuse},
		{"io_setup", nil, refuse},
		{"userfaultfd", nil, refuse},
		{"bpf", nil, refuse},
		{"perf_event_open", nil, refuse},
		{"ptrace", nil, refuse},
		{"process_vm_readv", nil, refuse},
		{"process_vm_writev", nil, refuse},
		{"kcmp", nil, refuse},
		{"pidfd_getfd", nil, refuse},
		{"keyctl", nil, refuse},
		{"add_key", nil, refuse},
		{"request_key", nil, refuse},
		{"mount", nil, refuse},
		{"umount2", nil, refuse},
		{"fsopen", nil, refuse},
		{"move_mount", nil, refuse},
		{"open_tree", nil, refuse},
		{"mount_setattr", nil, refuse},
		{"pivot_root", nil, refuse},
		{"chroot", nil, refuse},
		{"unshare", nil, refuse},
		{"setns", nil, refuse},
		{"open_by_handle_at", nil, refuse},
		{"name_to_handle_at", nil, refuse},
		{"init_module", nil, refuse},
		{"finit_module", nil, refuse},
		{"kexec_load", nil, refuse},
		{"reboot", nil, refuse},
		{"sync", nil, refuse},
	} {
		for goarch, info := range processors {
			nr, ok := info.SyscallNames[c.call]
			if !ok {
				t.Errorf("%s does not know %s", goarch, c.call)
				continue
			}
			if got := judge(t, goarch, uint32(info.ID), uint32(nr), c.args...); got != c.want {
				t.Errorf("%s: %s(%x) is judged %#x, want %#x", goarch, c.call, c.args, uint32(got), uint32(c.want))
			}
		}
	}
}

// TestFilterByNumber: every number there is, and some there are not.
func TestFilterByNumber(t *testing.T) {
	for goarch, info := range processors {
		want := map[uint32]verdict{}
		for _, name := range allowed {
			if nr, ok := info.SyscallNames[name]; ok {
				want[uint32(nr)] = allow
			}
		}
		skip := map[uint32]bool{} // judged by their arguments
		for name := range judged {
			skip[uint32(info.SyscallNames[name])] = true
		}
		for nr := range uint32(700) {
			if skip[nr] {
				continue
			}
			w, ok := want[nr]
			if !ok {
				w = refuse
			}
			if got := judge(t, goarch, uint32(info.ID), nr); got != w {
				t.Errorf("%s: call %d (%s) is judged %#x, want %#x", goarch, nr, info.SyscallNumbers[int(nr)], uint32(got), uint32(w))
			}
		}
		for _, nr := range []uint32{1000, 1 << 20, 1<<30 - 1} {
			if got := judge(t, goarch, uint32(info.ID), nr); got != refuse {
				t.Errorf("%s: call %d is judged %#x", goarch, nr, uint32(got))
			}
		}
	}
}

func TestFilterKillsForeignCalls(t *testing.T) {
	for _, c := range []struct {
		goarch string
		audit  uint32
		nr     uint32
	}{
		{"amd64", unix.AUDIT_ARCH_I386, 3},
		{"amd64", unix.AUDIT_ARCH_AARCH64, 63},
		{"amd64", unix.AUDIT_ARCH_X86_64, x32Bit},
		{"amd64", unix.AUDIT_ARCH_X86_64, x32Bit | 512},
		{"amd64", unix.AUDIT_ARCH_X86_64, 0xffffffff},
		{"arm64", unix.AUDIT_ARCH_ARM, 3},
		{"arm64", unix.AUDIT_ARCH_X86_64, 0},
		{"arm64", 0, 63},
	} {
		if got := judge(t, c.goarch, c.audit, c.nr); got != kill {
			t.Errorf("%s: call %#x of processor %#x is judged %#x, want a kill", c.goarch, c.nr, c.audit, uint32(got))
		}
	}
}

// TestFilterNames: a name that no processor knows is a slip of the pen.
func TestFilterNames(t *testing.T) {
	names := append(slices.Clone(allowed), slices.Collect(maps.Keys(judged))...)
	for _, name := range names {
		known := false
		for _, info := range processors {
			_, ok := info.SyscallNames[name]
			known = known || ok
		}
		if !known {
			t.Errorf("no processor has the system call %s", name)
		}
	}
	if _, err := filter("riscv17"); err == nil {
		t.Error("there is a filter for a processor that does not exist")
	}
}
