package runtimes

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// interpreter is one in a tree.
type interpreter struct {
	kind    string
	version string // its own; empty when it has not been asked
	program string
	modules []string // the folders of Python's standard library
}

// askTimeout bounds how long an interpreter may take to say what it is.
const askTimeout = time.Minute

// The questions that an interpreter on the host is asked: who and where it is.
// A program in PATH may be a script that only leads to it.
const (
	askNode   = `JSON.stringify({program: require('fs').realpathSync(process.execPath), version: process.versions.node})`
	askPython = `import json, os, sys, sysconfig
print(json.dumps({"program": os.path.realpath(sys._base_executable), "version": "%d.%d.%d" % sys.version_info[:3],
  "modules": [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("DESTSHARED") or ""]}))`
)

// ask asks the program at a path of the host.
func ask(ctx context.Context, kind, program string) (*interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	argv := []string{"-p", askNode}
	if kind == kindPython {
		argv = []string{"-I", "-S", "-c", askPython}
	}
	cmd := exec.CommandContext(ctx, program, argv...)
	cmd.WaitDelay = time.Second
	out, err := output(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var said struct {
		Program, Version string
		Modules          []string
	}
	if err := json.Unmarshal(out, &said); err != nil || !path.IsAbs(said.Program) || !versionForm.MatchString(said.Version) {
		return nil, invalid("%s does not answer as %s does: %q", program, kind, shorten(string(out)))
	}
	modules := slices.DeleteFunc(said.Modules, func(p string) bool { return !path.IsAbs(p) })
	return &interpreter{kind: kind, version: said.Version, program: said.Program, modules: modules}, nil
}

var versionForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+){1,3}$`)

// maxAnswer bounds what an interpreter may print.
const maxAnswer = 256 * gust.MB

// output runs a command and returns what it printed, or as an error how it
// failed and the end of what it said about that.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out, said bounded
	out.most, said.most = maxAnswer, 64*gust.KB
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", cmd.Path, context.Cause(ctx))
	case out.over:
		return nil, invalid("%s prints more than %d bytes", cmd.Path, out.most)
	case err != nil:
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return nil, invalid("%s does not run: %s", cmd.Path, strings.TrimSpace(err.Error()+" "+shorten(lines[len(lines)-1])))
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// bounded keeps the first bytes of what is written.
type bounded struct {
	bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		b.over = true
		b.Buffer.Write(p[:b.most-b.Len()])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// interpreter looks for one in a tree that is not the host's own, by where
// tarballs and images have it.
func (t tree) interpreter(kind, version string) (*interpreter, error) {
	names, dirs := []string{"node", "nodejs"}, []string{local + "/bin", "/usr/bin", "/bin", "/nodejs/bin"}
	if kind == kindPython {
		names = []string{"python" + version, "python3"}
	}
	for _, dir := range dirs {
		for _, name := range names {
			p, st, _, err := t.find(path.Join(dir, name))
			if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
				continue
			}
			i := &interpreter{kind: kind, program: p}
			if kind == kindPython {
				prefix := path.Dir(path.Dir(p))
				for _, lib := range []string{"lib", "lib64"} {
					i.modules = append(i.modules, path.Join(prefix, lib, "python"+version))
				}
			}
			return i, nil
		}
	}
	return nil, invalid("it has no %s in %s", strings.Join(names, " or "), strings.Join(dirs, ", "))
}

// collect takes the interpreter with just what it needs, and Gust's client.
func (i *interpreter) collect(ctx context.Context, c *collector) error {
	if !c.file(i.program) {
		return fmt.Errorf("%s is not a program of at most %d MB", i.program, maxFile/gust.MB)
	}
	names := []string{"node"}
	switch i.kind {
	case kindPython:
		names = []string{"python", "python3", path.Base(i.program)}
		for n, dir := range i.modules {
			if at, _, _, err := c.find(dir); err == nil {
				i.modules[n] = at
			}
			c.all(ctx, dir, skipModule)
		}
		c.compiled()
	case kindNode:
		// Where a distribution keeps modules of Node.js itself outside of it.
		for _, name := range []string{"acorn", "acorn-walk", "cjs-module-lexer", "minimatch", "undici"} {
			c.all(ctx, "/usr/share/nodejs/"+name, func(string, fs.DirEntry) bool { return false })
		}
	}
	bin := c.folder(local + "/bin")
	for _, name := range names {
		if p := path.Join(bin, name); c.root[p] == nil {
			c.root[p] = link(i.program)
		}
	}
	return errors.Join(c.err, addClients(c.root, clientFolder))
}

// skipModule leaves out of Python's standard library what no function runs:
// tests, what needs a screen, installers, what to link an interpreter of, and
// what was installed for this host.
func skipModule(p string, d fs.DirEntry) bool {
	name := d.Name()
	if d.IsDir() {
		return strings.HasPrefix(name, "config-") || slices.Contains([]string{"__pycache__", "test", "tests", "idlelib",
			"tkinter", "turtledemo", "ensurepip", "site-packages", "dist-packages"}, name)
	}
	if path.Base(path.Dir(p)) == "lib-dynload" {
		for _, prefix := range []string{"_test", "_ctypes_test", "_xxtest", "xxlimited", "xxsubtype", "_tkinter"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return name == "sitecustomize.py" || name == "usercustomize.py" || name == "EXTERNALLY-MANAGED" || strings.HasSuffix(name, ".a")
}

// compiledHeader is what a compiled module begins with (PEP 552).
const compiledHeader = 16

// compiled takes the compiled forms of modules, as far as they are of the
// sources that are here. They say so by the source's time of change, which a
// root does not keep; in the root they are believed unasked (PEP 552's unchecked
// form), because nothing there ever changes.
func (c *collector) compiled() {
	for _, p := range slices.Collect(maps.Keys(c.root)) {
		stem, ok := strings.CutSuffix(path.Base(p), ".py")
		src := c.root[p]
		if !ok || src.host == "" {
			continue
		}
		dir := path.Join(path.Dir(p), "__pycache__")
		entries, err := os.ReadDir(c.on(dir))
		if err != nil {
			continue
		}
		for _, d := range entries {
			if tag, ok := strings.CutPrefix(d.Name(), stem+".cpython-"); !ok || strings.Contains(tag, ".opt-") {
				continue
			}
			at := path.Join(dir, d.Name())
			st, err := d.Info()
			source, err2 := os.Stat(src.host)
			if err != nil || err2 != nil || !st.Mode().IsRegular() {
				continue
			}
			header := make([]byte, compiledHeader)
			if !readHeader(c.on(at), header) || binary.LittleEndian.Uint32(header[4:]) != 0 ||
				binary.LittleEndian.Uint32(header[8:]) != uint32(source.ModTime().Unix()) ||
				binary.LittleEndian.Uint32(header[12:]) != uint32(source.Size()) {
				continue
			}
			c.folders(dir)
			c.root[at] = &entry{mode: 0o644, text: string(header[:4]) + "\x01" + strings.Repeat("\x00", 11),
				host: c.on(at), was: identify(st), size: st.Size()}
		}
	}
}

func readHeader(name string, header []byte) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = io.ReadFull(f, header)
	return err == nil
}

// tryPython is run in a new root. It says what the interpreter is, fails when
// one of the modules that need libraries finds one missing, and compiles the
// modules whose paths it reads: the root cannot be written to later.
const tryPython = `import sys, json, marshal, importlib.util
for name in "_ssl", "_hashlib", "_sqlite3", "_ctypes", "_lzma", "_bz2", "zlib", "_decimal", "_uuid", "pyexpat":
    if importlib.util.find_spec(name): __import__(name)
cafile = ""
if importlib.util.find_spec("_ssl"):
    import ssl
    cafile = ssl.get_default_verify_paths().openssl_cafile
out = sys.stdout.buffer
def frame(data): out.write(len(data).to_bytes(4, "big") + data)
frame(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "cafile": cafile}).encode())
for p in sys.stdin.read().split("\n"):
    if not p: continue
    source = open(p, "rb").read()
    try: code = compile(source, p, "exec", dont_inherit=True, optimize=0)
    except Exception: continue
    frame(importlib.util.cache_from_source(p).encode())
    frame(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(source) + marshal.dumps(code))
`

// try runs the interpreter in a root that was written to dir: what it says its
// version is, and what is to be added to the root.
func (i *interpreter) try(ctx context.Context, r root, dir string) (more root, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	if i.kind == kindNode {
		out, err := output(ctx, inside(ctx, dir, i.program, "-p", "process.versions.node"))
		i.version = string(out)
		if err == nil && !versionForm.MatchString(i.version) {
			err = invalid("%s does not answer as node does: %q", i.program, shorten(i.version))
		}
		return nil, err
	}
	cmd := inside(ctx, dir, i.program, "-s", "-S", "-B", "-c", tryPython)
	cmd.Stdin = strings.NewReader(strings.Join(i.uncompiled(r), "\n"))
	out, err := output(ctx, cmd)
	if err != nil {
		return nil, err
	}
	next := func() (data []byte) {
		if len(out) < 4 || int64(len(out)-4) < int64(binary.BigEndian.Uint32(out)) {
			out = nil
			return nil
		}
		n := 4 + int(binary.BigEndian.Uint32(out))
		data, out = out[4:n], out[n:]
		return data
	}
	var said struct{ Version, Cafile string }
	if err := json.Unmarshal(next(), &said); err != nil || !versionForm.MatchString(said.Version) {
		return nil, invalid("%s does not answer as python does", i.program)
	}
	i.version = said.Version
	more = root{}
	for len(out) > 0 {
		name, data := string(next()), next()
		if path.Base(path.Dir(name)) == "__pycache__" && r[path.Dir(path.Dir(name))] != nil && r[name] == nil && path.Clean(name) == name {
			if r[path.Dir(name)] == nil {
				more[path.Dir(name)] = folder()
			}
			more[name] = textFile(string(data))
		}
	}
	i.trust(r, more, said.Cafile)
	return more, nil
}

// uncompiled are the modules of the root, Gust's own among them, that have no
// compiled form in it.
func (i *interpreter) uncompiled(r root) (list []string) {
	has := map[string]bool{}
	for p := range r {
		if dir, name := path.Split(p); strings.HasSuffix(name, ".pyc") {
			stem, _, _ := strings.Cut(name, ".")
			has[path.Join(path.Dir(path.Clean(dir)), stem+".py")] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(r)) {
		within := func(dir string) bool { return strings.HasPrefix(p, dir+"/") }
		if strings.HasSuffix(p, ".py") && !has[p] && (within(clientFolder) || slices.ContainsFunc(i.modules, within)) {
			list = append(list, p)
		}
	}
	return list
}

// trust leads the place where an interpreter's own OpenSSL looks for
// certificates to those that the root has.
func (i *interpreter) trust(r, more root, cafile string) {
	if !path.IsAbs(cafile) || path.Clean(cafile) != cafile || r[cafile] != nil {
		return
	}
	for _, p := range certificates {
		if e := r[p]; e != nil && e.mode.IsRegular() {
			dirs := []string{}
			for dir := path.Dir(cafile); r[dir] == nil; dir = path.Dir(dir) {
				dirs = append(dirs, dir)
			}
			for at := path.Dir(cafile); at != "/"; at = path.Dir(at) {
				if e := r[at]; e != nil && !e.mode.IsDir() {
					return // a link: what it leads to is looked at as it is
				}
			}
			for _, dir := range dirs {
				more[dir] = folder()
			}
			more[cafile] = link(p)
			return
		}
	}
}
