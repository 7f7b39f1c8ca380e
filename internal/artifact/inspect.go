package artifact

import (
	"debug/elf"
	"io"
	"path"
	"runtime"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Inspector judges artifacts for one kind of node.
type Inspector struct {
	// GOOS is the node's system, in Go's names; empty is linux.
	GOOS string
	// GOARCH is the node's processor, in Go's names.
	GOARCH string
	// Loaders are the dynamic loaders that a sandbox has, by their paths. A
	// program that is linked to another one cannot run.
	Loaders []string
}

// DefaultInspector judges for nodes with the processor goarch of which no more
// is known: the loaders of both usual C libraries are taken.
func DefaultInspector(goarch string) Inspector {
	in := Inspector{GOARCH: goarch}
	switch goarch {
	case "amd64":
		in.Loaders = []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"}
	case "arm64":
		in.Loaders = []string{"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"}
	}
	return in
}

// shell is the program whose loader a sandbox has: its root is made of this
// machine's files, and holds what the shell needs.
const shell = "/bin/sh"

// HostInspector judges for this machine. Where it has no shell that says which
// loader it is linked to, only static programs are taken.
func HostInspector() Inspector {
	in := Inspector{GOOS: runtime.GOOS, GOARCH: runtime.GOARCH}
	f, err := elf.Open(shell)
	if err != nil {
		return in
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz <= maxPath {
			if loader, err := io.ReadAll(p.Open()); err == nil {
				in.Loaders = append(in.Loaders, strings.TrimRight(string(loader), "\x00"))
			}
		}
	}
	return in
}

// Inspect reads a whole artifact and says whether this machine could run f from
// it. What is wrong with it is a gust.ErrInvalid or a gust.ErrTooLarge that
// names the entry and says what would be right.
func Inspect(ra io.ReaderAt, size int64, f *gust.Function) error {
	return HostInspector().Inspect(ra, size, f)
}

// Inspect is like the function of this name, for in's kind of node.
func (in Inspector) Inspect(ra io.ReaderAt, size int64, f *gust.Function) error {
	a, err := openArchive(ra, size)
	if err != nil {
		return err
	}
	// The program first: what is wrong with it is told even if some other
	// file takes long to read.
	if err := in.checkEntryPoint(a, f); err != nil {
		return err
	}
	return in.checkContents(a, f.Interpreter)
}

// InspectLayer is Inspect for a layer, which has no program to start with, and
// of which it is not known what will load it.
func (in Inspector) InspectLayer(ra io.ReaderAt, size int64) error {
	a, err := openArchive(ra, size)
	if err != nil {
		return err
	}
	return in.checkContents(a, "")
}

// Content is a file of an artifact.
type Content struct {
	Name string
	Size int64 // unpacked
}

// Contents lists an artifact's files in the order of the archive. What Inspect
// refuses of the archive itself is refused here too, but for damaged contents,
// which are not read.
func Contents(ra io.ReaderAt, size int64) ([]Content, error) {
	a, err := openArchive(ra, size)
	if err != nil {
		return nil, err
	}
	list := make([]Content, 0, len(a.entries))
	for _, e := range a.entries {
		if !e.dir {
			list = append(list, Content{e.name, e.size})
		}
	}
	return list, nil
}

// checkContents reads every file, and looks at the libraries among them.
func (in Inspector) checkContents(a *archive, interpreter string) error {
	if err := in.checkNatives(a, interpreter); err != nil {
		return err
	}
	for i := range a.entries {
		if _, err := io.Copy(io.Discard, a.open(&a.entries[i])); err != nil {
			return err
		}
	}
	return nil
}

// Bootstrap is what a function's program is called that has no command. Windows
// starts nothing without the ending.
func Bootstrap(goos string) string {
	if goos == "windows" {
		return "bootstrap.exe"
	}
	return "bootstrap"
}

// isInterpreter reports whether a command's first word is the interpreter that a
// function asks for, by a name that it goes by: python, python3, python3.12.
func isInterpreter(word, interpreter string) bool {
	family, _, _ := strings.Cut(interpreter, "@")
	version, ok := strings.CutPrefix(word, family)
	return ok && family != "" && strings.Trim(version, "0123456789.") == ""
}

// checkEntryPoint looks at the program that f starts with.
func (in Inspector) checkEntryPoint(a *archive, f *gust.Function) error {
	if f.Runtime == gust.RuntimeNode || f.Runtime == gust.RuntimePython {
		return checkHandler(a, f)
	}
	name := Bootstrap(in.GOOS)
	if len(f.Command) > 0 {
		if path.IsAbs(f.Command[0]) || isInterpreter(f.Command[0], f.Interpreter) {
			// Beside the code there is only what the sandbox has.
			return nil
		}
		name = path.Clean(f.Command[0])
	}
	e := a.find(name)
	switch {
	case e == nil && len(f.Command) > 0:
		return invalid("the artifact has no file %s, which the function's command starts", quote(name))
	case e == nil:
		hint := ""
		for i := range a.entries {
			if path.Base(a.entries[i].name) == name {
				hint = ", but " + quote(a.entries[i].name) + ": zip the folder's contents, not the folder"
				break
			}
		}
		return invalid("the artifact has no file %s at its root%s", quote(name), hint)
	case e.dir:
		return invalid("%s is a folder: it has to be the program that is started", quote(name))
	}
	return in.checkProgram(a, e)
}
