package artifact

import (
	"archive/zip"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// PackOptions configures Pack.
type PackOptions struct {
	// Skip, if set, leaves files and folders out, by their slash-separated
	// paths in the folder.
	Skip func(name string) bool
}

// epoch is the time of every entry: the first that a zip can hold.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Pack writes a folder's files as a zip. The same names, contents and executable
// bits make the same bytes, whatever the files' times and owners, and in every
// version of Gust. Empty folders and everything named .git are left out.
//
// A symbolic link to a file in the folder is packed as that file. One to a
// folder, or that leads outside, is refused, as is everything that is neither
// file nor folder, and what Inspect would refuse by its name or size.
func Pack(ctx context.Context, w io.Writer, dir string, opts PackOptions) error {
	return PackTrees(ctx, w, Tree{Dir: dir, Skip: opts.Skip})
}

// Tree is a folder, or a part of one, that is packed into a place of its own.
type Tree struct {
	Dir string
	// At is where its files are in the artifact: "" or a path such as
	// "nodejs/node_modules".
	At string
	// Skip is as in PackOptions.
	Skip func(name string) bool
}

// PackTrees is Pack of several folders at once. Of files of one name the last
// tree's is packed.
func PackTrees(ctx context.Context, w io.Writer, trees ...Tree) error {
	l := &listing{ctx: ctx, at: make(map[string]int)}
	for _, t := range trees {
		root, err := os.OpenRoot(t.Dir)
		if err != nil {
			return err
		}
		defer root.Close()
		if err := l.add(root, t); err != nil {
			return err
		}
	}
	slices.SortFunc(l.files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	entries := make([]entry, len(l.files))
	for i, f := range l.files {
		entries[i].name = f.name
	}
	if err := checkNames(entries); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range l.files {
		if err := f.pack(ctx, z); err != nil {
			return err
		}
	}
	return z.Close()
}

// file is one file to pack.
type file struct {
	name string // in the artifact
	root *os.Root
	path string // in root
	exec bool
	size int64
}

// listing gathers what is to be packed.
type listing struct {
	ctx   context.Context
	files []file
	at    map[string]int // in files, by name
	total int64
}

// add finds the files of one tree.
func (l *listing) add(root *os.Root, t Tree) error {
	ctx, skip := l.ctx, t.Skip
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case name == ".":
			return nil
		case path.Base(name) == ".git" || skip != nil && skip(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := root.Stat(name) // through links, but not out of root
		link := d.Type()&fs.ModeSymlink != 0
		switch {
		case err != nil && link:
			return invalid("%s is a symbolic link that leads nowhere, or out of the folder: replace it by what it points to", quote(name))
		case err != nil:
			return err
		case info.IsDir():
			return invalid("%s is a symbolic link to a folder: replace it by the folder", quote(name))
		case !info.Mode().IsRegular():
			return invalid("%s is neither a file nor a folder: an artifact cannot hold it", quote(name))
		}
		f := file{name: path.Join(t.At, name), root: root, path: name, exec: info.Mode()&0o111 != 0, size: info.Size()}
		if err := checkName(f.name); err != nil {
			return err
		}
		l.total += f.size
		if i, there := l.at[f.name]; there {
			l.total -= l.files[i].size
			l.files[i] = f
		} else {
			l.at[f.name] = len(l.files)
			l.files = append(l.files, f)
		}
		if l.total > gust.MaxArtifact {
			return tooLarge("the folder's files have more than the %d bytes that an artifact may have", int64(gust.MaxArtifact))
		}
		if len(l.files) > gust.MaxArtifactFiles {
			return tooLarge("the folder has more than the %d files that an artifact may have", gust.MaxArtifactFiles)
		}
		return nil
	})
}

func (f file) pack(ctx context.Context, z *zip.Writer) (err error) {
	in, err := f.root.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	header := &zip.FileHeader{Name: f.name, Method: zip.Store, Modified: epoch}
	header.SetMode(0o644)
	if f.exec {
		header.SetMode(0o755)
	}
	out, err := z.CreateHeader(header)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(&cancelable{ctx, in}, f.size+1))
	if err != nil {
		return fmt.Errorf("pack %s: %w", quote(f.name), err)
	}
	if n != f.size {
		return fmt.Errorf("pack %s: it changed while it was read", quote(f.name))
	}
	return nil
}

// cancelable is a reader that ends with its context.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
