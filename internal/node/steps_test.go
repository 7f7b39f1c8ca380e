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
	"testing"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
)

// Whichever step fails, Open says what is wrong and where, and leaves nothing:
// once the cause is gone the same folder and the same addresses open.
func TestEachStepThatFailsIsUndone(t *testing.T) {
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	// A file stands where a folder belongs, or the other way round.
	file := func(name string) func(*Config) (func(), string) {
		return func(c *Config) (func(), string) {
			path := filepath.Join(c.Data, name)
			if err := os.MkdirAll(c.Data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(path) }, name
		}
	}
	taken := func(addr func(*Config) string) func(*Config) (func(), string) {
		return func(c *Config) (func(), string) {
			ln, err := net.Listen("tcp", addr(c))
			if err != nil {
				t.Fatal(err)
			}
			return func() { ln.Close() }, addr(c)
		}
	}
	// Others could change what is in the folder.
	open := func(mode os.FileMode) func(*Config) (func(), string) {
		return func(c *Config) (func(), string) {
			if err := errors.Join(os.MkdirAll(c.Data, 0o700), os.Chmod(c.Data, mode)); err != nil {
				t.Fatal(err)
			}
			return func() { os.Chmod(c.Data, mode&^0o022) }, "chmod go-w " + c.Data
		}
	}
	for name, obstacle := range map[string]func(*Config) (remove func(), named string){
		"folder that all write to":       open(0o777),
		"folder that all put files into": open(0o777 | os.ModeSticky),
		"folder that a group writes to":  open(0o770),
		"folder": func(c *Config) (func(), string) {
			if err := os.WriteFile(c.Data, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(c.Data) }, "--data"
		},
		"lock": func(c *Config) (func(), string) {
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
		"http address": taken(func(c *Config) string { return c.HTTP }),
		"api address":  taken(func(c *Config) string { return c.API }),
		"key":          file("root.key"),
		"format":       file("FORMAT"),
		"blobs":        file("blobs"),
		"logs":         file("logs"),
		"code":         file("code"),
		"run":          file("run"),
		"node.json": func(c *Config) (func(), string) {
			path := filepath.Join(c.Data, "node.json")
			if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
			return func() { os.RemoveAll(path) }, "node.json"
		},
		"key of another user": func(c *Config) (func(), string) {
			if os.Geteuid() != 0 {
				return nil, "only root gives files away"
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
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Data = filepath.Join(t.TempDir(), "data")
			c.HTTP, c.API, c.Sandbox = free(), free(), "none"
			remove, named := obstacle(&c)
			if remove == nil {
				t.Skip(named)
			}
			n, err := Open(t.Context(), c, api.Build{}, slog.New(slog.DiscardHandler))
			if err == nil {
				n.Close(context.Background()) //nolint:errcheck // it should not be there
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), named) {
				t.Errorf("the error does not name %s: %v", named, err)
			}
			remove()
			n, err = Open(t.Context(), c, api.Build{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("after %s was put right: %v", name, err)
			}
			if err := n.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(c.Data, "node.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("node.json is left")
			}
		})
	}
}
