// Package scaffold writes the beginning of an app: a function, the manifest that
// declares it, and a test of it that passes.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// Runtimes are what an app can begin with. node and python may be followed by a
// version: node@22.
var Runtimes = []string{"go", "node", "typescript", "python", "http"}

// files has a folder for each of Runtimes. In names and texts {{name}} stands for
// the app's name, in texts {{runtime}} for the manifest's word; the ending .embed
// is left out: a folder with a go.mod could not be embedded.
//
//go:embed all:_files
var files embed.FS

// Write writes an app into the folder dir, which it makes, and returns the
// files, relative to dir. A file that is there already is left alone, and so are
// all others then.
func Write(dir, name, runtime string) ([]string, error) {
	if !regexp.MustCompile(rules.AppNamePattern).MatchString(name) {
		return nil, fmt.Errorf("%q is no name for an app: want 1 to 64 of a-z, 0-9, - and _, such as my-app: %w", name, gust.ErrInvalid)
	}
	kind, version, versioned := strings.Cut(runtime, "@")
	if !slices.Contains(Runtimes, kind) || versioned && (version == "" || kind == "go" || kind == "http") {
		return nil, fmt.Errorf("there is no beginning for the runtime %q; want %s, or one of node, typescript and python with a version, such as node@22: %w",
			runtime, strings.Join(Runtimes, ", "), gust.ErrInvalid)
	}
	fill := strings.NewReplacer("{{name}}", name, "{{runtime}}", strings.Replace(runtime, "typescript", "node", 1))
	texts := make(map[string]string)
	var names []string
	root, err := fs.Sub(files, "_files/"+kind)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		path = fill.Replace(strings.TrimSuffix(path, ".embed"))
		names = append(names, path)
		texts[path] = fill.Replace(string(text))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, path := range names {
		if _, err := os.Lstat(filepath.Join(dir, path)); err == nil {
			return nil, fmt.Errorf("%s is there already; nothing was written: %w", filepath.Join(dir, path), fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, path := range names {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := write(file, texts[path]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// write makes a new file.
func write(file, text string) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}
