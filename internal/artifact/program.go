package artifact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// checkProgram refuses a file that the node could not run: only programs for its
// system on its processor run, and scripts. On systems without a sandbox no more
// is looked at than what kind of program it is.
func (in Inspector) checkProgram(a *archive, e *entry) error {
	name := quote(e.name)
	head, err := a.read(e, 0, 256)
	if err != nil {
		return err
	}
	switch {
	case in.GOOS == "darwin" && isMachO(head) && e.exec, in.GOOS == "windows" && bytes.HasPrefix(head, []byte("MZ")):
		return nil
	case in.GOOS == "darwin" && bytes.HasPrefix(head, []byte("\x7fELF")), in.GOOS == "windows" && len(head) > 0:
		return invalid("%s is no program for %s, which this node runs on: build it with GOOS=%s", name, in.GOOS, in.GOOS)
	case len(head) == 0:
		return invalid("%s is empty: it has to be a program for Linux or a script", name)
	case !e.exec:
		return invalid("%s is not executable: run chmod +x %s before it is zipped", name, path.Base(e.name))
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return in.checkELF(a, e, head)
	case bytes.HasPrefix(head, []byte("#!")):
		return checkScript(name, head)
	case bytes.HasPrefix(head, []byte("MZ")):
		return invalid("%s is a Windows program (PE): build it with GOOS=linux, or for the target %s", name, in.target())
	case isMachO(head):
		return invalid("%s is a macOS program (Mach-O): build it with GOOS=linux, or for the target %s", name, in.target())
	case bytes.HasPrefix(head, []byte("!<arch>")):
		return invalid("%s is a library and no program: build package main", name)
	}
	return invalid("%s is no program for Linux (ELF), and no script that begins with #!", name)
}

func isMachO(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := le32(head)
	return slices.Contains([]uint32{0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xbebafeca, 0xcafebabe}, magic)
}

func checkScript(name string, head []byte) error {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	switch {
	case bytes.HasSuffix(line, []byte("\r")):
		return invalid("%s is a script with Windows line ends: save it with Unix line ends", name)
	case len(words) == 0 || !path.IsAbs(words[0]):
		return invalid("%s is a script whose first line does not name its interpreter: want #! and an absolute path", name)
	}
	return nil
}

// The parts of an ELF header that matter here (System V ABI, chapter 4).
const (
	elfHeader   = 64
	elfSegment  = 56
	maxSegments = 512
	ptInterp    = 3
)

// processors are ELF's numbers of the processors in Go's names.
var processors = map[uint16]string{
	3: "386", 8: "mips", 20: "ppc", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64",
}

// target names what in runs, as compilers other than Go's call it.
func (in Inspector) target() string {
	switch in.GOARCH {
	case "amd64":
		return "x86_64-unknown-linux-gnu"
	case "arm64":
		return "aarch64-unknown-linux-gnu"
	}
	return in.GOARCH + "-linux"
}

func (in Inspector) checkELF(a *archive, e *entry, head []byte) error {
	name := quote(e.name)
	if len(head) < elfHeader {
		return invalid("%s is cut off: its ELF header is not whole", name)
	}
	const (
		class64, little     = 2, 1
		systemV, linux      = 0, 3
		executable, dynamic = 2, 3
	)
	order := binary.ByteOrder(binary.LittleEndian)
	if head[5] != little {
		order = binary.BigEndian
	}
	machine := processors[order.Uint16(head[18:])]
	if machine == "" {
		machine = fmt.Sprintf("processor %d", order.Uint16(head[18:]))
	}
	switch kind := le16(head[16:]); {
	case head[4] != class64 || head[5] != little || machine != in.GOARCH:
		if head[4] != class64 {
			machine = "32-bit " + machine
		}
		return invalid("%s is built for %s, but this node runs %s: build it with GOARCH=%s, or for the target %s", name, machine, in.GOARCH, in.GOARCH, in.target())
	case head[7] != systemV && head[7] != linux:
		return invalid("%s is built for another system than Linux (ELF OS/ABI %d): build it with GOOS=linux", name, head[7])
	case kind != executable && kind != dynamic:
		return invalid("%s is an ELF file of type %d and no program: link it", name, kind)
	}
	offset, size, count := le64(head[32:]), le16(head[54:]), le16(head[56:])
	if size != elfSegment || count == 0 || count > maxSegments || offset > uint64(e.size) {
		return invalid("%s has a damaged ELF header", name)
	}
	table, err := a.read(e, int64(offset), elfSegment*int(count))
	if err != nil {
		return err
	}
	if len(table) != elfSegment*int(count) {
		return invalid("%s is cut off: its ELF header names more than there is", name)
	}
	for segment := range slices.Chunk(table, elfSegment) {
		if le32(segment) != ptInterp {
			continue
		}
		at, length := le64(segment[8:]), le64(segment[32:])
		if at > uint64(e.size) || length == 0 || length > maxPath {
			return invalid("%s has a damaged ELF header", name)
		}
		loader, err := a.read(e, int64(at), int(length))
		if err != nil {
			return err
		}
		return in.checkLoader(a, name, strings.TrimRight(string(loader), "\x00"))
	}
	return nil
}

// checkLoader refuses a program whose loader the sandbox does not have.
func (in Inspector) checkLoader(a *archive, name, loader string) error {
	if slices.Contains(in.Loaders, loader) {
		return nil
	}
	if own, ok := strings.CutPrefix(path.Clean(loader), taskRoot+"/"); ok {
		if e := a.find(own); e != nil && !e.dir && e.exec {
			return nil
		}
		return invalid("%s needs the loader %s, but the artifact has no executable %s", name, quote(loader), quote(own))
	}
	instead := "link it statically (Go: CGO_ENABLED=0)"
	if len(in.Loaders) > 0 {
		instead += ", or for " + strings.Join(in.Loaders, " or ")
	}
	return invalid("%s is linked to the loader %s, which a sandbox does not have: %s", name, quote(loader), instead)
}

// taskRoot is where a function finds its artifact.
const taskRoot = "/var/task"

// find returns the entry of a name, or nil.
func (a *archive) find(name string) *entry {
	for i := range a.entries {
		if a.entries[i].name == name {
			return &a.entries[i]
		}
	}
	return nil
}

// read returns up to n bytes of an entry's contents from an offset on.
func (a *archive) read(e *entry, offset int64, n int) ([]byte, error) {
	r := a.open(e)
	if _, err := io.CopyN(io.Discard, r, offset); err != nil && err != io.EOF {
		return nil, err
	}
	p := make([]byte, n)
	n, err := io.ReadFull(r, p)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return p[:n], nil
}
