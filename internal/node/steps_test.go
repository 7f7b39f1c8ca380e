package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/store"
)

// obstacle makes a step of Open fail. It says how to put that right, and what
// the error has to name.
type obstacle func(t *testing.T, c *Config) (remove func(), named string)

// file stands where a folder belongs, or is not what belongs there.
func file(name string) obstacle {
	return func(t *testing.T, c *Config) (func(), string) {
		path := filepath.Join(c.Data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() { os.Remove(path) }, filepath.Base(name)
	}
}

// record is one that makes no sense, in a partition of the store.
func record(partition store.Partition, key, named string) obstacle {
	return func(t *testing.T, c *Config) (func(), string) {
		change := func(change func(*store.Tx) error) {
			t.Helper()
			s, err := store.Open(store.Options{Dir: c.Data, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Update(t.Context(), partition, change), s.Close()); err != nil {
				t.Fatal(err)
			}
		}
		change(func(tx *store.Tx) error { return tx.Set([]byte(key), []byte("x")) })
		return func() { change(func(tx *store.Tx) error { return tx.Delete([]byte(key)) }) }, named
	}
}

// taken is an address where somebody else listens.
func taken(addr func(*Config) *string) obstacle {
	return func(t *testing.T, c *Config) (func(), string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*addr(c) = ln.Addr().String()
		return func() { ln.Close() }, ln.Addr().String()
	}
}

// open lets others change what is in the folder.
func open(mode os.FileMode) obstacle {
	return func(t *testing.T, c *Config) (func(), string) {
		if err := errors.Join(os.MkdirAll(c.Data, 0o700), os.Chmod(c.Data, mode)); err != nil {
			t.Fatal(err)
		}
		return func() { os.Chmod(c.Data, mode&^0o022) }, "chmod go-w " + c.Data
	}
}

// Whichever step fails, Open says what is wrong and where, and leaves nothing:
// once the cause is gone the same folder and the same addresses open.
func TestEachStepThatFailsIsUndone(t *testing.T) {
	for name, obstacle := range map[string]obstacle{
		"folder": func(t *testing.T, c *Config) (func(), string) {
			if err := os.WriteFile(c.Data, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(c.Data) }, "--data"
		},
		"folder that all write to":       open(0o777),
		"folder that all put files into": open(0o777 | os.ModeSticky),
		"folder that a group writes to":  open(0o770),
		"lock": func(t *testing.T, c *Config) (func(), string) {
			other := *c
			other.HTTP, other.API = "127.0.0.1:0", "127.0.0.1:0"
			n, err := Open(t.Context(), other, api.Build{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := n.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}, c.Data
		},
		"http address": taken(func(c *Config) *string { return &c.HTTP }),
		"api address":  taken(func(c *Config) *string { return &c.API }),
		"root key":     file("root.key"),
		"seal key":     file("seal.key"),
		"key of another user": func(t *testing.T, c *Config) (func(), string) {
			if os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			path := filepath.Join(c.Data, access.RootKeyFile)
			err := os.MkdirAll(c.Data, 0o700)
			if err == nil {
				_, _, err = access.OpenRootKey(c.Data)
			}
			if err = errors.Join(err, os.Chown(path, 65534, -1)); err != nil {
				t.Fatal(err)
			}
			return func() { os.Chown(path, 0, -1) }, "chown 0 " + path
		},
		"certificate": func(t *testing.T, c *Config) (func(), string) {
			c.TLS = "self"
			return file("tls/cert.pem")(t, c)
		},
		"format":    file("FORMAT"),
		"blobs":     file("blobs"),
		"logs":      file("logs"),
		"catalog":   record("catalog", "revision", "catalog"),
		"audit log": record("audit", "head", "audit log"),
		"directory": record("identity", "entity/x", "identities"),
		"code":      file("code"),
		"roots":     file("roots"),
		"run":       file("run"),
		"node.json": func(t *testing.T, c *Config) (func(), string) {
			path := filepath.Join(c.Data, "node.json")
			if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
			return func() { os.RemoveAll(path) }, "node.json"
		},
	} {
		dir := t.TempDir // whose name does not tell the step's
		t.Run(name, func(t *testing.T) {
			// A port that was free may be another's a moment later; one that Open
			// has left open is in use each time.
			for range 5 {
				if !errors.Is(undone(t, dir(), obstacle), syscall.EADDRINUSE) {
					return
				}
			}
			t.Error("an address is in use after a step failed")
		})
	}
}

// undone opens a node before and after an obstacle is removed; an error is the
// second one's.
func undone(t *testing.T, dir string, obstacle obstacle) error {
	c := Default()
	c.Data = filepath.Join(dir, "data")
	c.HTTP, c.API, c.Sandbox = free(t), free(t), "none"
	remove, named := obstacle(t, &c)
	n, err := Open(t.Context(), c, api.Build{}, slog.New(slog.DiscardHandler))
	if err == nil {
		n.Close(context.Background()) //nolint:errcheck // it should not be there
		t.Fatal("it opened")
	}
	used := errors.Is(err, syscall.EADDRINUSE) && !strings.Contains(err.Error(), named)
	if !used && !strings.Contains(err.Error(), named) {
		t.Errorf("the error does not name %s: %v", named, err)
	}
	remove()
	if used {
		return err
	}
	n, err = Open(t.Context(), c, api.Build{}, slog.New(slog.DiscardHandler))
	if errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	if err != nil {
		t.Fatalf("after it was put right: %v", err)
	}
	if err := n.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.Data, "node.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("node.json is left")
	}
	return nil
}

// free is an address that nobody listened on a moment ago.
func free(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
