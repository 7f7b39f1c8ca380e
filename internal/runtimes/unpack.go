package runtimes

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	gust "github.com/gust-dev/gust"
)

// What a tarball may hold. Those of Node.js and Python have a tenth of it.
const (
	maxUnpacked = 2 * gust.GB
	maxEntries  = 100_000
	maxPath     = 1024
	// maxWindow is how far back a compressed tarball may point, and so the
	// memory that reading it takes.
	maxWindow = 256 * gust.MB
)

// openTarball reads a file as a tarball, compressed by gzip, zstd or not at all.
func openTarball(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := decompress(f, name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// decompress tells by its first bytes how r is compressed; name is for errors.
func decompress(r io.Reader, name string) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64*gust.KB)
	magic, _ := b.Peek(262) // what is shorter is no tarball, as it will turn out
	switch begins := func(s string) bool { return bytes.HasPrefix(magic, []byte(s)) }; {
	case begins("\x1f\x8b"):
		return gzip.NewReader(b)
	case begins("\x28\xb5\x2f\xfd"):
		return zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	case begins("\xfd7zXZ\x00"), begins("BZh"):
		return nil, invalid("%s is compressed by xz or bzip2, which gust does not read; unpack it (mkdir DIR && tar -xf %s -C DIR) and give the folder: --from DIR", name, name)
	case len(magic) == 262 && string(magic[257:]) == "ustar":
		return b, nil
	}
	return nil, invalid("%s is no tarball: want .tar, .tar.gz or .tar.zst, or a folder", name)
}

// unpack writes a tarball's files into the folder dir, and nothing anywhere
// else: whatever its paths and links say, every one is taken within the folder.
// Devices and the like are refused, and what is over the limits.
func unpack(ctx context.Context, r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxUnpacked)
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF && n > 0:
			return nil
		case err == io.EOF:
			return invalid("the tarball is empty")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return invalid("the tarball ends too early: it is not whole")
		case err != nil:
			return invalid("the tarball cannot be read: %v", err)
		case n == maxEntries:
			return fmt.Errorf("%w: the tarball has over %d entries", gust.ErrTooLarge, maxEntries)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if left -= h.Size; h.Size < 0 || left < 0 {
			return fmt.Errorf("%w: the tarball holds over %d MB", gust.ErrTooLarge, maxUnpacked/gust.MB)
		}
		if err := unpackEntry(root, h, tr); err != nil {
			var pe *fs.PathError
			var le *os.LinkError
			if (errors.As(err, &pe) || errors.As(err, &le)) && !isFull(err) {
				err = invalid("%q of the tarball cannot be made: %v", shorten(h.Name), err)
			}
			return err
		}
	}
}

// unpackEntry makes one file, folder or link.
func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name := path.Clean(h.Name)
	if !filepath.IsLocal(name) || len(name) > maxPath || strings.ContainsRune(name, 0) {
		return invalid("%q is no path within a tarball of at most %d bytes", shorten(h.Name), maxPath)
	}
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if h.Mode&0o111 != 0 {
			mode = 0o755
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		n, err := io.Copy(f, content)
		if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = invalid("the tarball ends too early, within %q", shorten(h.Name))
			}
			return err
		}
		if n != h.Size {
			return invalid("%q of the tarball has %d bytes, and says that it has %d", shorten(h.Name), n, h.Size)
		}
		// A compiled module names the time of its source.
		return root.Chtimes(name, h.ModTime, h.ModTime)
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.ContainsRune(h.Linkname, 0) {
			return invalid("%q of the tarball links to no path of at most %d bytes", shorten(h.Name), maxPath)
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		target := path.Clean(h.Linkname)
		if !filepath.IsLocal(target) {
			return invalid("%q of the tarball links to %q, which is outside of it", shorten(h.Name), shorten(h.Linkname))
		}
		return root.Link(target, name)
	}
	return invalid("%q of the tarball is neither a file, a folder nor a link", shorten(h.Name))
}

// prefixIn finds the folder of an unpacked tarball that has bin/node or
// bin/python3: at its top as in a prefix, in its only folder as nodejs.org and
// python-build-standalone have it, or in install/ of that.
func prefixIn(dir string) (string, error) {
	dirs := []string{dir}
	for _, pattern := range []string{"*", "*/install"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		dirs = append(dirs, found...)
	}
	for _, d := range dirs {
		for _, program := range []string{"node", "python3"} {
			if _, err := os.Lstat(filepath.Join(d, "bin", program)); err == nil {
				return d, nil
			}
		}
	}
	return "", invalid("there is neither bin/node nor bin/python3 in it, nor in a folder of it: want what nodejs.org or python-build-standalone pack, or an image with usr/bin")
}
