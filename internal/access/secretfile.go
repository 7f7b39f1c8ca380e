package access

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// SealKeyFile is the name in the data folder of the key that seals what the
// node keeps of others' secrets.
const SealKeyFile = "seal.key"

// OpenSealKey reads the key that seals secrets before they are stored, and makes
// one when there is none, with the care of OpenRootKey: mode 0600, synced, never
// replaced. A store without its seal.key has lost what was sealed, and one that
// somebody copied without it tells nothing.
//
// The caller holds the lock of the data folder.
func OpenSealKey(dir string) (key [32]byte, created bool, err error) {
	path := filepath.Join(dir, SealKeyFile)
	data, err := ReadSecret("seal key", path)
	if errors.Is(err, gust.ErrNotFound) {
		rand.Read(key[:]) // never fails
		if err := WriteSecret(path, []byte(hex.EncodeToString(key[:])+"\n")); err != nil {
			return [32]byte{}, false, fmt.Errorf("making the seal key: %w", err)
		}
		return key, true, nil
	}
	if err != nil {
		return key, false, err
	}
	text := strings.TrimSuffix(string(data), "\n")
	if len(text) != 2*len(key) || !all(text, lowerHex) {
		return key, false, fmt.Errorf("the seal key %s is %w: it is not %d lower-case hexadecimal characters; put back the one that this data folder had, since nothing else opens what is sealed",
			path, gust.ErrCorrupt, 2*len(key))
	}
	hex.Decode(key[:], []byte(text)) // it was looked at
	return key, false, nil
}

// ReadSecret reads a file of the node's that its owner alone may use, who is root
// or the user that the node runs as; gust.ErrNotFound if there is none. What is
// what errors call it.
func ReadSecret(what, path string) ([]byte, error) {
	return readSecret(what, path, 0, os.Geteuid())
}

// readSecret is ReadSecret for a file that belongs to one of owners, or without
// them to anybody.
func readSecret(what, path string, owners ...int) ([]byte, error) {
	info, err := os.Stat(path) // before opening: opening a pipe would wait
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, lerr := os.Lstat(path); lerr == nil {
			return nil, fmt.Errorf("the %s %s is a link to a file that is not there", what, path)
		}
		return nil, fmt.Errorf("the %s %s: %w", what, path, gust.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("looking for the %s: %w", what, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the %s %s is not a regular file but %s", what, path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	// On Windows the folder's access list tells, and the mode is made up.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the %s %s has mode %04o, so that others than its owner can use it: "+
			"run `chmod 600 %s`, and replace the key if somebody may have read it", what, path, mode, path)
	}
	if owner, known := ownerOf(info); known && len(owners) > 0 && !slices.Contains(owners, owner) {
		return nil, fmt.Errorf("the %s %s belongs to user %d, who is neither root nor the one that gust runs as (%d), and can read and replace it: "+
			"run `chown %d %s`, and replace the key if it may be known", what, path, owner, os.Geteuid(), os.Geteuid(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, 64*gust.KB))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	return data, nil
}

// WriteSecret writes a file that its owner alone may read, with mode 0600 and
// whole and synced (its folder too) before it has its name.
func WriteSecret(path string, data []byte) (err error) {
	temp := path + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was cut off
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o600) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
