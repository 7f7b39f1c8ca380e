package artifact

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// anyPlatform finds a platform's name in a path: packages that carry libraries
// for several platforms name them so, and load the one that fits.
var anyPlatform = regexp.MustCompile(`(?i)(^|[^a-z0-9])(x64|x86_64|amd64|ia32|i686|x86|arm64|aarch64|armv?[5-8]l?|darwin|macosx?|win32|windows|linux|musl|android|freebsd|openbsd|s390x|ppc64(le)?|riscv64|loong64|mips64el)([^a-z0-9]|$)`)

// extension finds the Python that a module in C is for (PEP 3149):
// "spam.cpython-311-x86_64-linux-gnu.so".
var extension = regexp.MustCompile(`\.cpython-3([0-9]+)-[^/]*\.so$`)

// checkNatives refuses libraries that interpreter, "" for one that is not known,
// could not load here: native modules of Node.js, and Python's modules in C.
func (in Inspector) checkNatives(a *archive, interpreter string) error {
	family, version, _ := strings.Cut(interpreter, "@")
	for i := range a.entries {
		e := &a.entries[i]
		node, python := strings.HasSuffix(e.name, ".node"), extension.FindStringSubmatch(e.name)
		switch {
		case e.dir || !node && !strings.HasSuffix(e.name, ".so"):
			continue
		case python == nil && anyPlatform.MatchString(e.name):
			continue
		}
		if err := in.checkLibrary(a, e); err != nil {
			return err
		}
		minor, known := strings.CutPrefix(version, "3.")
		if python != nil && family == "python" && known && python[1] != minor && !a.hasOther(e.name, minor) {
			return invalid("%s is built for Python 3.%s, and the function asks for python@%s: let gust install it from requirements.txt, or install it with pip --python-version %s",
				quote(e.name), python[1], version, version)
		}
		if node && family == "node" {
			if err := checkNodeABI(a, e, version); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasOther reports whether a module in C is there for another Python 3 too, or
// for all.
func (a *archive) hasOther(name, minor string) bool {
	at := extension.FindStringIndex(name)
	return slices.ContainsFunc(a.entries, func(e entry) bool {
		rest, ok := strings.CutPrefix(e.name, name[:at[0]])
		return ok && (rest == ".so" || rest == ".abi3.so" || strings.HasPrefix(rest, ".cpython-3"+minor+"-"))
	})
}

// checkLibrary refuses a library of another system or processor.
func (in Inspector) checkLibrary(a *archive, e *entry) error {
	name := quote(e.name)
	head, err := a.read(e, 0, elfHeader)
	if err != nil {
		return err
	}
	again := fmt.Sprintf("install it for linux on %s (let gust do it, or npm with --os=linux --cpu=%s, or pip with --platform manylinux2014_%s --only-binary=:all:)",
		in.GOARCH, in.nodeArch(), in.unameArch())
	switch {
	case isMachO(head):
		return invalid("%s is a library for macOS, but this node runs linux: %s", name, again)
	case bytes.HasPrefix(head, []byte("MZ")):
		return invalid("%s is a library for Windows, but this node runs linux: %s", name, again)
	case !bytes.HasPrefix(head, []byte("\x7fELF")):
		return nil // a linker script, a text: whoever loads it says what it is
	case len(head) < elfHeader:
		return invalid("%s is cut off: its ELF header is not whole", name)
	}
	const class64, little = 2, 1
	order := binary.ByteOrder(binary.LittleEndian)
	if head[5] != little {
		order = binary.BigEndian
	}
	machine := processors[order.Uint16(head[18:])]
	if head[4] == class64 && head[5] == little && machine == in.GOARCH {
		return nil
	}
	if machine == "" {
		machine = fmt.Sprintf("processor %d", order.Uint16(head[18:]))
	}
	if head[4] != class64 {
		machine = "32-bit " + machine
	}
	return invalid("%s is built for %s, but this node runs %s: %s", name, machine, in.GOARCH, again)
}

// nodeArch and unameArch are the processor in Node.js' and in Linux's names.
func (in Inspector) nodeArch() string {
	if in.GOARCH == "amd64" {
		return "x64"
	}
	return in.GOARCH
}

func (in Inspector) unameArch() string {
	switch in.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return in.GOARCH
}

// nodeABIs are Node.js' NODE_MODULE_VERSION by its major version
// (nodejs/node, doc/abi_version_registry.json).
var nodeABIs = map[string]string{"16": "93", "18": "108", "20": "115", "22": "127", "24": "137"}

// abiSymbol is what a native module exports that is bound to one ABI of Node.js
// (NODE_MODULE_INIT in node.h). Those on Node-API have no such symbol, and run
// on all.
var abiSymbol = []byte("node_register_module_v")

// checkNodeABI refuses a native module that is compiled for another major
// version of Node.js than the function asks for.
func checkNodeABI(a *archive, e *entry, version string) error {
	want := nodeABIs[version]
	if want == "" {
		return nil
	}
	abis, err := abisOf(bufio.NewReaderSize(a.open(e), 256*gust.KB))
	if err != nil || len(abis) == 0 || slices.Contains(abis, want) {
		return err
	}
	is := "another version of Node.js"
	for major, abi := range nodeABIs {
		if abi == abis[0] {
			is = "node@" + major
		}
	}
	return invalid("%s is compiled for %s (ABI %s), and the function asks for node@%s (ABI %s): build with node %s first in PATH, or ask for the other version",
		quote(e.name), is, abis[0], version, want, version)
}

// abisOf finds the ABIs in a native module's symbols.
func abisOf(r io.Reader) ([]string, error) {
	var abis []string
	// The end of a chunk is looked at again with the next one.
	keep := len(abiSymbol) + 8
	buf := make([]byte, 0, 128*gust.KB)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for rest := buf; ; {
			i := bytes.Index(rest, abiSymbol)
			if i < 0 {
				break
			}
			rest = rest[i+len(abiSymbol):]
			end := 0
			for end < len(rest) && end < 8 && rest[end] >= '0' && rest[end] <= '9' {
				end++
			}
			if abi := string(rest[:end]); end > 0 && end < len(rest) && !slices.Contains(abis, abi) {
				abis = append(abis, abi)
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return abis, nil
		}
		if err != nil {
			return nil, err
		}
		kept := copy(buf[:keep], buf[len(buf)-keep:])
		buf = buf[:kept]
	}
}
