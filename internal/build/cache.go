package build

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/singleflight"
)

// The cache has three folders: in artifacts/ are zips by their digests, in deps/
// folders of installed dependencies by the hash of all that they were installed
// from, in pythons/ where a version of Python was found. What stands under its name is whole: it is made under a name that begins
// with a dot, and renamed. Two builds that install the same at once both do, and
// the first one's stays.

// key is the hash that names what it was made from.
type key struct{ hash.Hash }

// keyVersion is changed when what is made of the same input changes.
const keyVersion = "1"

func newKey(words ...string) key {
	k := key{sha256.New()}
	k.add(keyVersion)
	for _, w := range words {
		k.add(w)
	}
	return k
}

// add adds a text, so that no two lists of texts are the same.
func (k key) add(text string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(text)))
	k.Write(n[:])
	k.Write([]byte(text))
}

func (k key) String() string { return hex.EncodeToString(k.Sum(nil)) }

// installs lets one build install the same dependencies once.
type installs struct{ singleflight.Group }

// dependencies returns the folder that install makes for a key, made now or
// before. The folder must not be changed.
func (b *builder) dependencies(ctx context.Context, k key, install func(dir string) error) (string, error) {
	name := k.String()
	dir, err := filepath.Abs(filepath.Join(b.CacheDir, "deps", name))
	if err != nil {
		return "", err
	}
	_, err, _ = b.installs.Do(name, func() (any, error) { return nil, b.installOnce(dir, install) })
	if err != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		err = b.installOnce(dir, install) // another one's end, not ours
	}
	return dir, err
}

func (b *builder) installOnce(dir string, install func(dir string) error) (err error) {
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err == nil { // it is there, and in use
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".tmp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := install(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil { // another build was first
			return nil
		}
		return fmt.Errorf("keep what was installed: %w", err)
	}
	return nil
}

// writeFile writes a small file whole or not at all.
func writeFile(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

const (
	pruneEvery = 24 * time.Hour
	pruneOlder = 7 * 24 * time.Hour
)

// prune removes, once a day, what nobody built for a week, and what was left
// half made.
func (b *builder) prune() error {
	marker := filepath.Join(b.CacheDir, "pruned")
	if info, err := os.Stat(marker); err == nil && time.Since(info.ModTime()) < pruneEvery {
		return nil
	}
	if err := os.WriteFile(marker, nil, 0o644); err != nil {
		return err
	}
	now := time.Now()
	if err := os.Chtimes(marker, now, now); err != nil {
		return err
	}
	for _, folder := range []string{"artifacts", "deps", "pythons"} {
		folder = filepath.Join(b.CacheDir, folder)
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && now.Sub(info.ModTime()) > pruneOlder {
				err = os.RemoveAll(filepath.Join(folder, e.Name()))
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // another build prunes too
				return err
			}
		}
	}
	return nil
}
