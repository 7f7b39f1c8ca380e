package runtimes

import (
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	gust "github.com/gust-dev/gust"
)

// tree is the file system that a root is collected from: the host's, or an
// unpacked image's, in the folder dir. If prefix is not empty, that folder stands
// at /usr/local of it, in the place of what is there: an unpacked tarball, whose
// libraries come before the host's.
type tree struct{ dir, prefix string }

// local is where a tarball's files stand in a root.
const local = "/usr/local"

// on is where a path of the tree is on the host.
func (t tree) on(p string) string {
	if rest, ok := strings.CutPrefix(p, local); ok && t.prefix != "" && (rest == "" || rest[0] == '/') {
		return filepath.Join(t.prefix, rest)
	}
	return filepath.Join(t.dir, p)
}

// maxLinks is how many symbolic links a path may lead through, as on Linux.
const maxLinks = 40

// find follows p through the tree, and never out of it: the path without any
// link, what is there, and the links that were passed with their targets.
func (t tree) find(p string) (string, fs.FileInfo, map[string]string, error) {
	links := map[string]string{}
	at, rest := "/", p
	for hops := 0; rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		if name == "" || name == "." {
			continue
		}
		next := path.Join(at, name) // of "/", ".." is "/"
		st, err := os.Lstat(t.on(next))
		if err != nil {
			return "", nil, nil, err
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			if at = next; rest != "" && !st.IsDir() {
				return "", nil, nil, &fs.PathError{Op: "find", Path: p, Err: syscall.ENOTDIR}
			}
			continue
		}
		target, err := os.Readlink(t.on(next))
		if hops++; err == nil && hops > maxLinks {
			err = &fs.PathError{Op: "find", Path: p, Err: errors.New("too many symbolic links, or a circle of them")}
		}
		if err != nil {
			return "", nil, nil, err
		}
		links[next] = target
		rest = target + "/" + rest
		if path.IsAbs(target) {
			at = "/"
		}
	}
	st, err := os.Lstat(t.on(at))
	return at, st, links, err
}

// processor is what programs and libraries have to be for.
func processor() elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
}

// libraryFolders are where the loader looks without being told.
func libraryFolders() []string {
	triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return []string{"/lib/" + triple, "/usr/lib/" + triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

// maxFile keeps something odd at one of the paths from being copied; it is far
// above the largest interpreter.
const maxFile = 512 * gust.MB

// collector takes files of a tree into a root.
type collector struct {
	tree
	root root
	err  error
}

// folders makes sure that the folder p, which has no links in it, is there.
func (c *collector) folders(p string) {
	if c.root[p] == nil {
		c.folders(path.Dir(p))
		c.root[p] = folder()
	}
}

// folder takes a folder, empty, and the links that lead to it; one that the tree
// does not have is made. It returns its path without links.
func (c *collector) folder(p string) string {
	at, st, links, err := c.find(p)
	if err != nil || !st.IsDir() {
		at, links = path.Join(c.folder(path.Dir(p)), path.Base(p)), nil
	}
	c.links(links)
	c.folders(at)
	return at
}

func (c *collector) links(links map[string]string) {
	for p, target := range links {
		c.folders(path.Dir(p))
		c.root[p] = link(target)
	}
}

// file takes a file, the links that lead to it, and the libraries that it needs.
// It reports whether the tree has it.
func (c *collector) file(p string) bool { return c.take(p, nil) }

func (c *collector) take(p string, rpath []string) bool {
	at, st, links, err := c.find(p)
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		return false
	}
	c.links(links)
	if c.root[at] != nil {
		return true
	}
	c.folders(path.Dir(at))
	mode := fs.FileMode(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	c.root[at] = &entry{mode: mode, host: c.on(at), was: identify(st), size: st.Size()}
	if st.Mode()&0o111 != 0 || strings.Contains(path.Base(at), ".so") {
		c.needs(at, rpath)
	}
	return true
}

// needs takes the loader and the libraries of a program or of a library. Rpath
// is where what loads it looks.
func (c *collector) needs(at string, rpath []string) {
	f, err := elf.Open(c.on(at))
	if err != nil {
		return // a script, or no program at all
	}
	defer f.Close()
	if f.Machine != processor() {
		return
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err == nil {
				c.file(strings.TrimRight(string(b), "\x00"))
			}
		}
	}
	// ld.so(8): the folders of RUNPATH are for a file's own needs, those of
	// RPATH, which counts only without a RUNPATH, for its needs' needs too.
	runpath, _ := f.DynString(elf.DT_RUNPATH) // without one there is none
	dirs := expand(runpath, path.Dir(at))
	if len(dirs) == 0 {
		own, _ := f.DynString(elf.DT_RPATH)
		rpath = append(expand(own, path.Dir(at)), rpath...)
		dirs = rpath
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return
	}
	for _, name := range names {
		c.library(name, dirs, rpath)
	}
}

// expand reads what a RUNPATH or RPATH says in a file in dir.
func expand(list []string, dir string) (dirs []string) {
	for _, l := range list {
		for d := range strings.SplitSeq(l, ":") {
			d = strings.NewReplacer("$ORIGIN", dir, "${ORIGIN}", dir).Replace(d)
			if path.IsAbs(d) {
				dirs = append(dirs, path.Clean(d))
			}
		}
	}
	return dirs
}

// library takes one by its name, from where the loader would look.
func (c *collector) library(name string, dirs, rpath []string) bool {
	if strings.Contains(name, "/") {
		return c.take(name, rpath)
	}
	for _, dir := range append(dirs, libraryFolders()...) {
		p := path.Join(dir, name)
		at, st, _, err := c.find(p)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		if c.root[at] == nil {
			f, err := elf.Open(c.on(at))
			if err != nil {
				continue
			}
			ours := f.Machine == processor()
			f.Close()
			if !ours {
				continue
			}
		}
		if c.take(p, rpath) {
			return true
		}
	}
	return false
}

// all takes a folder of files and of links to files, but for the folders and
// files that skip names.
func (c *collector) all(ctx context.Context, dir string, skip func(p string, d fs.DirEntry) bool) {
	at, st, links, err := c.find(dir)
	if err != nil || !st.IsDir() {
		return
	}
	c.links(links)
	full := c.on(at)
	err = filepath.WalkDir(full, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := path.Join(at, strings.TrimPrefix(p, full))
		switch {
		case rel != at && skip(rel, d):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			c.folders(rel)
		case d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0:
			c.file(rel)
		}
		return ctx.Err()
	})
	c.err = errors.Join(c.err, err)
}
