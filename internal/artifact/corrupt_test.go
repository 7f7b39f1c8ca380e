package artifact_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/store"
)

// One flipped bit in an artifact as it is kept: it is not unpacked, the error
// names the file, and uploading it again heals it.
func TestCacheRefusesACorruptedBlob(t *testing.T) {
	dir := tempDir(t)
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	zip := forge(t, bootstrap)
	d, _, err := s.Blobs().Put(t.Context(), bytes.NewReader(zip), gust.MaxArtifact)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	err = filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if strings.HasSuffix(path, string(d)) {
			name = path
		}
		return err
	})
	if err != nil || name == "" {
		t.Fatal("the blob's file is not found", err)
	}
	flipped := bytes.Clone(zip)
	flipped[50] ^= 1
	if err := os.WriteFile(name, flipped, 0o600); err != nil {
		t.Fatal(err)
	}

	c, err := artifact.OpenCache(filepath.Join(dir, "code"), s.Blobs())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err = c.Acquire(t.Context(), d); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "code")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, _, err := s.Blobs().Put(t.Context(), bytes.NewReader(zip), gust.MaxArtifact); err != nil {
		t.Fatal(err)
	}
	_, release, err := c.Acquire(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
