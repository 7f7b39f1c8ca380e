package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	gust "github.com/gust-dev/gust"
)

// AddressFile is the name in the data folder of what says where its node
// listens; it is there while the node runs.
const AddressFile = "node.json"

// Address says where a node listens.
type Address struct {
	API  string `json:"api"`  // host:port
	HTTP string `json:"http"` // host:port
	PID  int    `json:"pid"`
}

// WriteAddress puts the address into the data folder dir, whole or not at all.
func WriteAddress(dir string, a Address) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, AddressFile)
	temp := path + ".tmp"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("saying where the node listens: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("saying where the node listens: %w", err)
	}
	return nil
}

// RemoveAddress takes the address out of the data folder dir again.
func RemoveAddress(dir string) error {
	err := os.Remove(filepath.Join(dir, AddressFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no longer saying where the node listened: %w", err)
	}
	return nil
}

// ReadAddress finds where the node on the data folder dir listens, or listened
// if it was killed; gust.ErrNotFound where none runs.
func ReadAddress(dir string) (Address, error) {
	path := filepath.Join(dir, AddressFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Address{}, fmt.Errorf("%s: %w", path, gust.ErrNotFound)
	}
	if err != nil {
		return Address{}, err
	}
	var a Address
	if err := json.Unmarshal(data, &a); err != nil || a.API == "" {
		return Address{}, fmt.Errorf("%s does not hold a node's address (%w); the node writes it anew when it starts", path, gust.ErrCorrupt)
	}
	return a, nil
}
