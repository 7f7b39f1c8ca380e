package runtimes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	gust "github.com/gust-dev/gust"
)

// A root stands in a folder that is named by its digest, and its record beside
// it. The folder comes first and goes last: what has no record is half made or
// half removed.
const recordSuffix = ".json"

// record is what is kept of a root.
type record struct {
	Runtime
	// Fingerprint is that of the files of the host that it was made of.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// readRecords reads all in dir. One whose folder is gone is of no use.
func readRecords(dir string) ([]record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+recordSuffix))
	if err != nil {
		return nil, err
	}
	var list []record
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil || string(r.Digest) != strings.TrimSuffix(filepath.Base(name), recordSuffix) || r.Name == "" {
			return nil, fmt.Errorf("%w: %s is not the record of a runtime; remove it and the folder beside it, and add the runtime again", gust.ErrCorrupt, name)
		}
		r.Path, r.Client = filepath.Join(dir, string(r.Digest)), clientFolder
		if _, err := os.Stat(r.Path); err == nil {
			list = append(list, r)
		}
	}
	return list, nil
}

// save writes the record, whole or not at all.
func (r record) save(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, halfMade)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.file(dir)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func (r record) file(dir string) string { return filepath.Join(dir, string(r.Digest)+recordSuffix) }

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// halfMade begins the names of what is being made or removed.
const halfMade = "tmp-"

// leftovers are what an earlier run left half made or half removed in dir.
func leftovers(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		name := e.Name()
		if digest, ok := strings.CutSuffix(name, recordSuffix); ok {
			if _, err := os.Stat(filepath.Join(dir, digest)); err == nil {
				continue
			}
		} else if _, err := gust.ParseDigest(name); err == nil {
			if _, err := os.Stat(filepath.Join(dir, name+recordSuffix)); err == nil {
				continue
			}
		} else if !strings.HasPrefix(name, halfMade) {
			continue
		}
		list = append(list, filepath.Join(dir, name))
	}
	return list, nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// explain names a full disk.
func explain(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", gust.ErrNoSpace, err)
	}
	return err
}
