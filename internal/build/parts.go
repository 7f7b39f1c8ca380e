package build

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/artifact"
)

// Part is what stands together in an artifact: a package, a folder or a file at
// its top.
type Part struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // unpacked, in bytes
}

// measure says how large an artifact is unpacked, and of what. Inside are files
// that are made of others, by their sizes.
func (a *Artifact) measure(contents []artifact.Content, inside map[string]map[string]int64) {
	sizes := make(map[string]int64)
	for _, c := range contents {
		a.Files++
		a.Unpacked += c.Size
		made, ok := inside[c.Name]
		if !ok {
			sizes[partOf(c.Name)] += c.Size
		}
		for part, n := range made {
			sizes[part] += n
		}
	}
	for name, size := range sizes {
		a.Parts = append(a.Parts, Part{name, size})
	}
	slices.SortFunc(a.Parts, func(x, y Part) int {
		return cmp.Or(cmp.Compare(y.Size, x.Size), cmp.Compare(x.Name, y.Name))
	})
}

// partOf is the part that a file belongs to.
func partOf(file string) string {
	for strings.HasPrefix(file, "../") {
		file = file[len("../"):]
	}
	if pkg := packageOf(file); pkg != "" {
		return "node_modules/" + nameIn(pkg)
	}
	// In a layer the packages stand below a folder that all layers have.
	for _, folder := range []string{"python/", "nodejs/"} {
		if rest, ok := strings.CutPrefix(file, folder); ok {
			return folder + partOf(rest)
		}
	}
	if top, _, deeper := strings.Cut(file, "/"); deeper {
		return top + "/"
	}
	return file
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
