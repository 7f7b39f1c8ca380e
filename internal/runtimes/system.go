package runtimes

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var pythonForm = regexp.MustCompile(`^python3(?:\.[0-9]+)?$`)

// discover asks the interpreters of a kind in the folders of a PATH what they
// are. Of two of the same name the first counts, as in a shell.
func discover(ctx context.Context, kind, paths string, log *slog.Logger) map[string]*interpreter {
	found := map[string]*interpreter{}
	asked := map[string]bool{} // by what links lead to
	for _, dir := range filepath.SplitList(paths) {
		if !filepath.IsAbs(dir) {
			continue // of the folder that the node happens to be started in
		}
		for _, program := range candidates(kind, dir) {
			real, err := filepath.EvalSymlinks(program)
			named := nameOf(kind, strings.TrimPrefix(filepath.Base(program), kind)) // python3.11 is python@3.11
			if err != nil || asked[real] || found[named] != nil {
				continue
			}
			asked[real] = true
			i, err := ask(ctx, kind, program)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				log.Debug("a program in PATH is not taken as a runtime", "error", err)
				continue
			}
			asked[i.program] = true
			name := nameOf(kind, i.version)
			if _, _, err := ParseName(name); err == nil && found[name] == nil {
				found[name] = i
			}
		}
	}
	return found
}

// candidates are the programs in a folder that may be interpreters of a kind.
func candidates(kind, dir string) (list []string) {
	if kind == kindNode {
		return []string{filepath.Join(dir, "node")}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // PATH may name what is not there
	}
	for _, e := range entries {
		if pythonForm.MatchString(e.Name()) {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) }) // python3 is mostly one of the others
	return list
}
