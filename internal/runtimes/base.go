package runtimes

import (
	"context"
	"io/fs"
	"path"
	"strings"

	gust "github.com/gust-dev/gust"
)

// The base of every root is an allow-list: the folders that are mounted over, a
// few files of configuration, and of the tree's files the C library with its
// loader, the C++ runtime, certificates, time zones, a locale, a shell and what
// scripts take for granted. What the tree does not have is left out: a static program
// needs none of it.

// EmptyFolder and EmptyFile are in every root to hide others with.
const (
	EmptyFolder = "/var/empty"
	EmptyFile   = "/var/nothing"
)

// clientFolder is where a root has Gust's runtime clients.
const clientFolder = "/var/runtime"

// baseFolders are made whatever the tree has. /bin and /lib are the tree's,
// often links. The folders for libraries below those that are mounted over are
// for interpreters that are booted ahead: the C library's loader remembers which
// folders of its path were not there.
var baseFolders = []string{"/dev", "/etc", "/opt", "/opt/lib", "/proc", "/tmp", "/usr", "/var", EmptyFolder, "/var/task", "/var/task/lib", clientFolder}

var baseFiles = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/:/bin/false\nsandbox:x:1000:1000:sandbox:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":         "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"/etc/hosts":         "127.0.0.1\tlocalhost gust\n::1\tlocalhost gust\n",
	"/etc/resolv.conf":   "nameserver " + gust.Resolver + "\n",
	EmptyFile:            "",
}

const zones = "/usr/share/zoneinfo"

// locale is what LANG names in every environment. Without its files the C library
// falls back to ASCII, in which Java and others then read and write text.
const locale = "/usr/lib/locale/C.utf8"

// certificates are where OpenSSL, Go and Rust look for them, on the usual
// distributions; OpenSSL's configuration stands beside them.
var certificates = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/usr/lib/ssl/cert.pem",
	"/etc/ssl/openssl.cnf",
	"/usr/lib/ssl/openssl.cnf",
}

// programs are taken with the libraries they are linked to.
var programs = strings.Fields(`sh bash env
	[ awk base64 basename cat chmod cksum comm cp curl cut date dd df diff dirname du echo expr false
	find fold grep gzip head hostname id join kill ln ls md5sum mkdir mkfifo mktemp mv nl nproc od
	paste printenv printf pwd readlink realpath rm rmdir sed seq sha1sum sha256sum sha512sum shuf
	sleep sort split stat tac tail tar tee test timeout touch tr true truncate tty uname uniq wc
	which xargs yes`)

// libraries are what compiled programs and runtimes load by name.
var libraries = strings.Fields(`libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1
	libresolv.so.2 libutil.so.1 libanl.so.1 libnss_files.so.2 libnss_dns.so.2 libcrypt.so.1
	libgcc_s.so.1 libstdc++.so.6 libatomic.so.1 libgomp.so.1 libz.so.1`)

// collectBase begins a root with what all of them have.
func collectBase(ctx context.Context, t tree) (*collector, error) {
	c := &collector{tree: t, root: root{"/": folder()}}
	for _, name := range programs {
		_ = c.file(path.Join("/usr/bin", name)) || c.file(path.Join("/bin", name))
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	// /bin/sh and /usr/bin/env are named by scripts, wherever they are.
	for _, p := range []string{"/bin/sh", "/bin/bash", "/usr/bin/env"} {
		c.file(p)
	}
	for _, name := range libraries {
		c.library(name, nil, nil)
	}
	for _, p := range certificates {
		c.file(p)
	}
	c.all(ctx, zones, func(p string, d fs.DirEntry) bool {
		// The same zones again, and with leap seconds.
		return d.IsDir() && (d.Name() == "posix" || d.Name() == "right")
	})
	c.all(ctx, locale, func(string, fs.DirEntry) bool { return false })
	for _, p := range baseFolders {
		c.folder(p)
	}
	for p, text := range baseFiles {
		c.root.addText(p, text)
	}
	return c, c.err
}
