//go:build linux && (amd64 || arm64)

package process

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// The root of environments is an allow-list: the folders that are mounted
// over, a few files of configuration, and of the host's files the C library
// with its loader, the C++ runtime, certificates, time zones, a shell and what
// scripts take for granted. What the host does not have is left out: a static
// program needs none of it.
//
// It is copied, not bound, so the host's updates do not change it under a
// running function, and kept in <data>/roots by the digest of all that is in
// it, which is checked at every start of a node.

// emptyFolder and emptyFile are in the root to hide others with.
const (
	emptyFolder = "/var/empty"
	emptyFile   = "/var/nothing"
)

// rootFolders are made whatever the host has. /bin and /lib are the host's,
// often links.
var rootFolders = []string{"/dev", "/etc", "/opt", "/proc", "/tmp", "/usr", "/var", emptyFolder, "/var/task"}

var rootFiles = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/:/bin/false\nsandbox:x:1000:1000:sandbox:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":         "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"/etc/hosts":         "127.0.0.1\tlocalhost gust\n::1\tlocalhost gust\n",
	"/etc/resolv.conf":   "nameserver " + gust.Resolver + "\n",
	emptyFile:            "",
}

// rootTrees are copied with all that is below them.
var rootTrees = []string{"/usr/share/zoneinfo"}

// rootPaths are files, where the host has them: certificates where OpenSSL, Go
// and Rust look, on the usual distributions.
var rootPaths = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/openssl.cnf",
	"/usr/lib/ssl/cert.pem",
	"/usr/lib/ssl/openssl.cnf",
}

// rootPrograms are taken with the libraries they are linked to.
var rootPrograms = strings.Fields(`sh bash env
	[ awk base64 basename cat chmod cksum comm cp curl cut date dd df diff dirname du echo expr false
	find fold grep gzip head hostname id join kill ln ls md5sum mkdir mkfifo mktemp mv nl nproc od
	paste printenv printf pwd readlink realpath rm rmdir sed seq sha1sum sha256sum sha512sum shuf
	sleep sort split stat tac tail tar tee test timeout touch tr true truncate tty uname uniq wc
	which xargs yes`)

// rootLibraries are what compiled programs and runtimes load by name.
var rootLibraries = strings.Fields(`libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1
	libresolv.so.2 libutil.so.1 libanl.so.1 libnss_files.so.2 libnss_dns.so.2 libcrypt.so.1
	libgcc_s.so.1 libstdc++.so.6 libatomic.so.1 libgomp.so.1 libz.so.1`)

// maxRootFile keeps something odd at one of the paths from being copied.
const maxRootFile = 64 * gust.MB

// entry is one thing in the root.
type entry struct {
	mode   fs.FileMode // type and permissions
	target string      // of a link
	text   string      // of a file of ours
	host   string      // where a file comes from, "" for ours
	sum    string      // of a file's content
}

// root is the list of what is in one.
type root map[string]entry

// collectRoot reads the host. dir is "/" but for tests.
func collectRoot(ctx context.Context, dir string) (root, error) {
	r := root{"/": {mode: fs.ModeDir | 0o755}}
	h := host{dir: dir, root: r}
	for _, name := range rootPrograms {
		for _, bin := range []string{"/usr/bin", "/bin"} {
			if h.add(path.Join(bin, name), 0) {
				break
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	// /bin/sh and /usr/bin/env are named by scripts, wherever they are.
	for _, p := range []string{"/bin/sh", "/bin/bash", "/usr/bin/env"} {
		h.add(p, 0)
	}
	for _, name := range rootLibraries {
		h.library(name)
	}
	for _, p := range rootPaths {
		h.add(p, 0)
	}
	for _, t := range rootTrees {
		if err := h.tree(ctx, t); err != nil {
			return nil, err
		}
	}
	for _, d := range rootFolders {
		h.folders(d)
		r[d] = entry{mode: fs.ModeDir | 0o755}
	}
	for p, text := range rootFiles {
		sum := sha256.Sum256([]byte(text))
		r[p] = entry{mode: 0o644, text: text, sum: hex.EncodeToString(sum[:])}
	}
	return r, h.err
}

// host is what is being collected from it.
type host struct {
	dir  string
	root root
	err  error
}

func (h *host) lstat(p string) (fs.FileInfo, error) { return os.Lstat(filepath.Join(h.dir, p)) }

// folders makes sure that the folder p is there, as the host has it: a folder,
// or a link to one.
func (h *host) folders(p string) string {
	if p == "/" {
		return p
	}
	parent := h.folders(path.Dir(p))
	p = path.Join(parent, path.Base(p))
	if e, ok := h.root[p]; ok {
		if e.mode&fs.ModeSymlink != 0 {
			return h.folders(resolve(p, e.target))
		}
		return p
	}
	if st, err := h.lstat(p); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		if target, err := os.Readlink(filepath.Join(h.dir, p)); err == nil {
			h.root[p] = entry{mode: fs.ModeSymlink | 0o777, target: target}
			return h.folders(resolve(p, target))
		}
	}
	h.root[p] = entry{mode: fs.ModeDir | 0o755}
	return p
}

func resolve(link, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(path.Dir(link), target)
}

// add takes a file of the host, what it links to, and the libraries it needs.
// It reports whether the host has it.
func (h *host) add(p string, links int) bool {
	if links > 10 {
		return false
	}
	if _, err := os.Stat(filepath.Join(h.dir, p)); err != nil {
		return false
	}
	p = path.Join(h.folders(path.Dir(p)), path.Base(p))
	if _, ok := h.root[p]; ok {
		return true
	}
	full := filepath.Join(h.dir, p)
	st, err := os.Lstat(full)
	switch {
	case err != nil:
		return false
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		if err != nil || !h.add(resolve(p, target), links+1) {
			return false
		}
		h.root[p] = entry{mode: fs.ModeSymlink | 0o777, target: target}
		return true
	case !st.Mode().IsRegular() || st.Size() > maxRootFile:
		return false
	}
	sum, err := sumFile(full)
	if err != nil {
		h.err = errors.Join(h.err, err)
		return false
	}
	mode := fs.FileMode(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	h.root[p] = entry{mode: mode, host: full, sum: sum}
	h.needs(full)
	return true
}

// needs takes the loader and the libraries of a program.
func (h *host) needs(full string) {
	f, err := elf.Open(full)
	if err != nil {
		return // a script, or no program at all
	}
	defer f.Close()
	if f.Machine != processor {
		return
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err == nil {
				h.add(strings.TrimRight(string(b), "\x00"), 0)
			}
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return
	}
	for _, name := range libs {
		h.library(name)
	}
}

// library takes one by its name, from where the loader looks.
func (h *host) library(name string) bool {
	triple := map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}[processor]
	for _, dir := range []string{"/lib/" + triple, "/usr/lib/" + triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		p := path.Join(dir, name)
		f, err := elf.Open(filepath.Join(h.dir, p))
		if err != nil {
			continue
		}
		ours := f.Machine == processor
		f.Close()
		if ours && h.add(p, 0) {
			return true
		}
	}
	return false
}

// tree takes a folder of plain files and links within it.
func (h *host) tree(ctx context.Context, dir string) error {
	full := filepath.Join(h.dir, dir)
	if _, err := os.Stat(full); err != nil {
		return nil
	}
	return filepath.WalkDir(full, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := path.Join(dir, strings.TrimPrefix(p, full))
		switch {
		case d.IsDir() && (d.Name() == "posix" || d.Name() == "right"):
			return fs.SkipDir // the same zones again, and with leap seconds
		case d.IsDir():
			h.folders(rel)
		case d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0:
			h.add(rel, 0)
		}
		return ctx.Err()
	})
}

func sumFile(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, _, err := gust.DigestOf(f)
	return string(d), err
}

// digest names the root by all that is in it.
func (r root) digest() string {
	sum := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(r)) {
		e := r[p]
		fmt.Fprintf(sum, "%q %o %q %s\n", p, uint32(e.mode), e.target, e.sum)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// readRoot lists a root that was built, reading all of it.
func readRoot(dir string) (root, error) {
	r := root{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: st.Mode() & (fs.ModeType | fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)}
		switch {
		case e.mode&fs.ModeSymlink != 0:
			e.target, err = os.Readlink(p)
		case e.mode.IsRegular():
			e.sum, err = sumFile(p)
		}
		r["/"+strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")] = e
		return err
	})
	return r, err
}

// build writes the root to a new folder.
func (r root) build(ctx context.Context, dir string) error {
	for _, p := range slices.Sorted(maps.Keys(r)) { // a folder before what is in it
		if err := ctx.Err(); err != nil {
			return err
		}
		e, full := r[p], filepath.Join(dir, p)
		var err error
		switch {
		case p == "/":
			err = os.Chmod(dir, e.mode.Perm())
		case e.mode.IsDir():
			if err = os.Mkdir(full, e.mode.Perm()); err == nil {
				err = os.Chmod(full, e.mode.Perm())
			}
		case e.mode&fs.ModeSymlink != 0:
			err = os.Symlink(e.target, full)
		default:
			err = e.write(full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e entry) write(full string) error {
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.mode.Perm())
	if err != nil {
		return err
	}
	defer f.Close()
	if e.host == "" {
		_, err = f.WriteString(e.text)
	} else {
		var src *os.File
		if src, err = os.Open(e.host); err != nil {
			return err
		}
		defer src.Close()
		_, err = io.Copy(f, src)
	}
	if err == nil {
		err = f.Chmod(e.mode.Perm()) // whatever the umask is
	}
	return errors.Join(err, f.Close())
}

// ensureRoot returns the folder of the root below dir, building it of host's
// files if it is not there or not what it should be. Other roots, of before the
// host was updated, are removed: nothing runs in them when a node starts.
func ensureRoot(ctx context.Context, host, dir string) (string, error) {
	r, err := collectRoot(ctx, host)
	if err != nil {
		return "", fmt.Errorf("collect the files of the functions' root: %w", err)
	}
	digest := r.digest()
	full := filepath.Join(dir, digest)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != digest {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return "", fmt.Errorf("remove an old root: %w", err)
			}
		}
	}
	if have, err := readRoot(full); err == nil && have.digest() == digest {
		return full, nil
	}
	if err := os.RemoveAll(full); err != nil {
		return "", fmt.Errorf("remove a damaged root: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := r.build(ctx, tmp); err != nil {
		return "", fmt.Errorf("build the functions' root: %w", err)
	}
	if have, err := readRoot(tmp); err != nil || have.digest() != digest {
		return "", fmt.Errorf("build the functions' root: the host's files change meanwhile (%v)", err)
	}
	if err := os.Rename(tmp, full); err != nil {
		return "", fmt.Errorf("build the functions' root: %w", err)
	}
	return full, nil
}
