package artifact

import (
	"path"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Module is the path, without its ending, of the module that a handler of
// runtime node or python is in, as Lambda's own clients read it: for node what
// is before the first dot of the last segment, for python what is before the
// last dot, in which dots and slashes are the same. "" is a handler without a
// module.
func Module(runtime gust.Runtime, handler string) string {
	if runtime == gust.RuntimePython {
		i := strings.LastIndexByte(handler, '.')
		if i < 0 {
			return ""
		}
		return strings.ReplaceAll(handler[:i], ".", "/")
	}
	dir, base := path.Split(handler)
	name, _, found := strings.Cut(base, ".")
	if !found || name == "" {
		return ""
	}
	return dir + name
}

// modules are the files that a module can be, in the order in which they are
// looked for.
func modules(runtime gust.Runtime, module string) []string {
	if runtime == gust.RuntimePython {
		return []string{module + ".py", module + "/__init__.py"}
	}
	return []string{module + ".js", module + ".mjs", module + ".cjs"}
}

// checkHandler looks for the module that f's handler is in. In which functions
// there are in it only its interpreter can tell.
func checkHandler(a *archive, f *gust.Function) error {
	module := Module(f.Runtime, f.Handler)
	switch {
	case module == "":
		return invalid("the handler %s names no module: want one such as index.handler", quote(f.Handler))
	case path.IsAbs(module):
		return nil // in a layer
	}
	module = path.Clean(module)
	names := modules(f.Runtime, module)
	for _, name := range append(names, module) { // the file as it is named, too
		if e := a.find(name); e != nil && !e.dir {
			return nil
		}
	}
	for _, e := range a.entries {
		// A module in C, or a package that a layer has a part of.
		if f.Runtime == gust.RuntimePython && strings.HasPrefix(e.name, module+".") && strings.HasSuffix(e.name, ".so") {
			return nil
		}
	}
	if len(f.Layers) > 0 {
		return nil // it may be there
	}
	hint := ""
	for _, e := range a.entries {
		if !e.dir && slices.ContainsFunc(names, func(name string) bool { return path.Base(name) == path.Base(e.name) }) && !strings.Contains(e.name, "node_modules/") {
			hint = ", but " + quote(e.name) + ": write its path into the handler, or name its folder as the source"
			break
		}
	}
	return invalid("the artifact has no file %s, which the handler %s names%s", either(names), quote(f.Handler), hint)
}

// either joins names: "a, b or c".
func either(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
