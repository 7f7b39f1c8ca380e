package build

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// selects reports whether a pattern of a manifest's build takes a file or folder
// of the source: * and ? stand for parts of one name.
func selects(pattern, name string) bool {
	ok, err := path.Match(path.Clean(pattern), name)
	return err == nil && ok
}

// checkPatterns refuses patterns that select nothing, which are mistakes.
func (b *builder) checkPatterns(patterns []string, key string) error {
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(b.source, filepath.FromSlash(path.Clean("/"+p))))
		switch {
		case err != nil || strings.HasPrefix(path.Clean(p), "../") || path.IsAbs(p):
			return fmt.Errorf("build.%s: %q is no path in the source: want one such as templates or docs/*.md: %w", key, p, gust.ErrInvalid)
		case len(found) == 0 && key == "include":
			return fmt.Errorf("build.%s: there is no %s in %s: %w", key, p, b.name, gust.ErrInvalid)
		}
	}
	return nil
}

// included are the files of the source that stand beside a bundle.
func (b *builder) included(patterns []string) (artifact.Tree, error) {
	return artifact.Tree{Dir: b.source, Skip: func(name string) bool {
		taken := false // it, or a folder that it is in
		for at := name; at != "."; at = path.Dir(at) {
			taken = taken || slices.ContainsFunc(patterns, func(p string) bool { return selects(p, at) })
		}
		if taken {
			return false
		}
		// A folder is walked when something in it may be meant.
		info, err := os.Stat(filepath.Join(b.source, filepath.FromSlash(name)))
		return err != nil || !info.IsDir() || !slices.ContainsFunc(patterns, func(p string) bool {
			depth := strings.Count(name, "/") + 1
			segments := strings.Split(path.Clean(p), "/")
			return len(segments) > depth && selects(strings.Join(segments[:depth], "/"), name)
		})
	}}, b.checkPatterns(patterns, "include")
}

// whole is the source folder without what skip and the manifest leave out.
func (b *builder) whole(skip func(name string) bool) (artifact.Tree, error) {
	exclude := b.build.Exclude
	return artifact.Tree{Dir: b.source, Skip: func(name string) bool {
		return skip != nil && skip(name) || slices.ContainsFunc(exclude, func(p string) bool { return selects(p, name) })
	}}, b.checkPatterns(exclude, "exclude")
}
