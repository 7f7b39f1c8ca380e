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
	for name, obstacle := range map[string]func(*Config) (remove func(), named string){
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
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Data = filepath.Join(t.TempDir(), "data")
			c.HTTP, c.API, c.Sandbox = free(), free(), "none"
			remove, named := obstacle(&c)
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
