package artifact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkName refuses a path that is not plainly one inside the artifact.
func checkName(name string) error {
	switch {
	case name == "":
		return invalid("an entry of the artifact has no name")
	case !utf8.ValidString(name):
		return invalid("%s: the name is not UTF-8", quote(name))
	case len(name) > maxPath:
		return invalid("%s: the name has %d bytes, above the maximum of %d", quote(name), len(name), maxPath)
	case strings.HasPrefix(name, "/"):
		return invalid("%s is absolute: entries are relative to the artifact's root", quote(name))
	}
	for _, r := range name {
		if r == '\\' {
			return invalid("%s holds a backslash: folders are separated by /", quote(name))
		}
		if unicode.IsControl(r) {
			return invalid("%s holds the control character %U", quote(name), r)
		}
	}
	for seg := range strings.SplitSeq(name, "/") {
		switch {
		case seg == "..":
			return invalid("%s leads out of the artifact: .. is not allowed", quote(name))
		case seg == "." || seg == "":
			return invalid("%s has an empty or a . segment: write the plain path", quote(name))
		case len(seg) > maxSegment:
			return invalid("%s has a segment of %d bytes, above the maximum of %d", quote(name), len(seg), maxSegment)
		}
	}
	return nil
}

// checkNames refuses names that stand for two things at once, here or on a
// system that does not tell upper from lower case.
func checkNames(entries []entry) error {
	// seen holds every file and folder, those that are only part of a path
	// too, by its name in lower case.
	type node struct {
		name     string
		dir      bool
		declared bool
	}
	seen := make(map[string]*node, len(entries))
	for i := range entries {
		e := &entries[i]
		if err := checkName(e.name); err != nil {
			return err
		}
		for end := 0; end < len(e.name); {
			if next := strings.IndexByte(e.name[end+1:], '/'); next < 0 {
				end = len(e.name)
			} else {
				end += 1 + next
			}
			path, whole := e.name[:end], end == len(e.name)
			dir := !whole || e.dir
			fold := strings.ToLower(path)
			n := seen[fold]
			switch {
			case n == nil:
				seen[fold] = &node{name: path, dir: dir, declared: whole}
				continue
			case n.name != path:
				return invalid("%s and %s differ in case alone: rename one", quote(n.name), quote(path))
			case n.dir != dir:
				return invalid("%s is a file and a folder at once", quote(path))
			case whole && n.declared:
				return invalid("%s stands in the artifact twice", quote(path))
			}
			n.declared = n.declared || whole
		}
	}
	return nil
}
