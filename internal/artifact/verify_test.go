package artifact_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What a disk or a hand has changed of an unpacked artifact while no node ran
// is not used: it is unpacked again.
func TestCacheUnpacksAgainWhatWasDamaged(t *testing.T) {
	contents := bytes.Repeat([]byte("all of it\n"), 1000)
	tests := map[string]func(dir string) error{
		"a flipped bit": func(dir string) error {
			changed := bytes.Clone(contents)
			changed[5000] ^= 8
			return rewrite(filepath.Join(dir, "lib", "data"), changed, 0o444)
		},
		"a file that is cut off": func(dir string) error { return rewrite(filepath.Join(dir, "lib", "data"), contents[:100], 0o444) },
		"another mode":           func(dir string) error { return os.Chmod(filepath.Join(dir, "bootstrap"), 0o777) },
		"a file that is gone":    func(dir string) error { return os.Remove(filepath.Join(dir, "lib", "data")) },
		"a file too many":        func(dir string) error { return os.WriteFile(filepath.Join(dir, "lib", "more"), nil, 0o444) },
		"a link for a file": func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "lib", "data")); err != nil {
				return err
			}
			return os.Symlink("/etc/passwd", filepath.Join(dir, "lib", "data"))
		},
		"a folder for a file": func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "lib", "data")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(dir, "lib", "data"), 0o755)
		},
		"nothing left": os.RemoveAll,
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			b := &blobs{}
			d := b.put(t, forge(t, bootstrap, file{name: "lib/data", body: string(contents)}))
			dir := tempDir(t)
			for range 2 {
				c := openCache(t, dir, b)
				path, release, err := c.Acquire(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				release()
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(path, "lib", "data"))
				if err != nil || !bytes.Equal(got, contents) {
					t.Errorf("lib/data has %d bytes, %v", len(got), err)
				}
				if names, err := os.ReadDir(filepath.Join(path, "lib")); err != nil || len(names) != 1 {
					t.Errorf("lib holds %v, %v", names, err)
				}
				if st, err := os.Stat(filepath.Join(path, "bootstrap")); err != nil || st.Mode() != 0o555 {
					t.Errorf("bootstrap is %v, %v", st, err)
				}
				for _, writable := range []string{path, filepath.Join(path, "lib")} {
					if err := os.Chmod(writable, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// rewrite changes a file that may not be writable.
func rewrite(name string, data []byte, mode os.FileMode) error {
	if err := os.Chmod(name, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}
