package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/suggest"
)

// Methods are the HTTP methods that a route can have, beside AnyMethod.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// AnyMethod is the method of a route that takes what no other route of the same
// path takes.
const AnyMethod = "*"

// maxPath bounds a route's path in bytes.
const maxPath = 1024

func (c *checker) routes(app *gust.App) {
	if n := len(app.Routes); n > gust.MaxRoutes {
		c.add("routes", fmt.Sprintf("%d routes are above the maximum of %d in one app", n, gust.MaxRoutes))
	}
	shapes := make(map[string]gust.Route, len(app.Routes))
	for _, r := range app.Routes {
		at := Join("routes", r.Key())
		if r.App != app.Name && app.Name != "" {
			c.add(at, fmt.Sprintf("the route says that it belongs to app %s, but stands in app %s", Quote(r.App), Quote(app.Name)))
		}
		if _, ok := app.Functions[r.Function]; !ok {
			c.add(at, fmt.Sprintf("the app has no function named %s%s", Quote(r.Function), c.suggest(r.Function, app)))
		}
		method, path := CheckMethod(r.Method), CheckPath(r.Path)
		c.add(at, method)
		c.add(at, path)
		if method != "" || path != "" {
			continue
		}
		shape := Shape(r)
		if other, taken := shapes[shape]; taken {
			if other.Path == r.Path {
				c.add(at, "the route is declared twice: keep one")
			} else {
				c.add(at, fmt.Sprintf("it matches the same requests as %q: keep one", other.Key()))
			}
			continue
		}
		shapes[shape] = r
	}
}

// CheckMethod says what is wrong with a route's method, or returns "".
func CheckMethod(method string) string {
	if method == AnyMethod || slices.Contains(Methods, method) {
		return ""
	}
	return fmt.Sprintf("%s is no method: want ANY or one of %s%s", Quote(method), strings.Join(Methods, ", "),
		suggest.Word(strings.ToUpper(method), slices.Values(Methods)))
}

// CheckPath says what is wrong with a route's path, or returns "".
//
// A path is segments between slashes. A segment is text as it reads when it is
// not escaped, or {name} for any one segment, or, at the end, {name...} for
// whatever is left. A slash at the end is one more, empty, segment.
func CheckPath(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Sprintf("the path %s has to begin with a slash", Quote(path))
	case len(path) > maxPath:
		return fmt.Sprintf("the path has %d bytes, above the maximum of %d", len(path), maxPath)
	}
	segments := strings.Split(path[1:], "/")
	var names []string
	for i, seg := range segments {
		last := i == len(segments)-1
		switch {
		case seg == "" && !last:
			return fmt.Sprintf("the path %s has an empty segment", Quote(path))
		case seg == "." || seg == "..":
			return fmt.Sprintf("the path %s has a segment %q, which no request ever has", Quote(path), seg)
		case !strings.ContainsAny(seg, "{}"):
			if text := checkLiteral(seg); text != "" {
				return text
			}
			continue
		}
		name, rest, ok := parameter(seg)
		switch {
		case !ok:
			return fmt.Sprintf("%s is neither text nor a parameter: want {name} for a whole segment, or {name...} at the end", Quote(seg))
		case rest && !last:
			return fmt.Sprintf("%s stands before the end of the path: only the last segment can take the rest", Quote(seg))
		case slices.Contains(names, name):
			return fmt.Sprintf("the parameter {%s} stands twice: give one of them another name", name)
		}
		names = append(names, name)
	}
	return ""
}

// parameter takes {name} and {name...} apart.
func parameter(seg string) (name string, rest, ok bool) {
	name, ok = strings.CutPrefix(seg, "{")
	if !ok {
		return "", false, false
	}
	if name, ok = strings.CutSuffix(name, "}"); !ok {
		return "", false, false
	}
	name, rest = strings.CutSuffix(name, "...")
	ok = name != "" && len(name) <= gust.MaxNameLength
	for i := range len(name) {
		ok = ok && (name[i] == '_' || isAlnum(name[i]) && (i > 0 || name[i] > '9'))
	}
	return name, rest, ok
}

func checkLiteral(seg string) string {
	for _, r := range seg {
		switch {
		case r == '%':
			return fmt.Sprintf("%s holds an escape: write the path as it reads, not escaped", Quote(seg))
		case r == '?' || r == '#':
			return fmt.Sprintf("%s holds %q: a route is chosen by its path alone, without query and fragment", Quote(seg), r)
		case r == unicode.ReplacementChar || !unicode.IsPrint(r) || strings.ContainsRune(" \\\"<>^`|*", r):
			return fmt.Sprintf("%s holds %q, which a route's path cannot", Quote(seg), r)
		}
	}
	return ""
}

// Shape is what a route matches, whatever its parameters are called: two routes
// of one shape match the same requests. It is only for valid routes.
//
// Routes of different shapes may match the same request and are never
// ambiguous: at each segment from the left text goes before {name}, and that
// before {name...}; for one path a method goes before any method.
func Shape(r gust.Route) string {
	if !strings.Contains(r.Path, "{") {
		return r.Key()
	}
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte(' ')
	for seg := range strings.SplitSeq(r.Path[1:], "/") {
		b.WriteByte('/')
		if !strings.HasPrefix(seg, "{") {
			b.WriteString(seg)
		} else if strings.HasSuffix(seg, "...}") {
			b.WriteString("{...}")
		} else {
			b.WriteString("{}")
		}
	}
	return b.String()
}

// ParseRoute reads "GET /orders/{id}" or "ANY /orders/{id}" into a route's
// method and path. The error says what would be right; the method and the path
// themselves are for CheckMethod and CheckPath.
func ParseRoute(s string) (method, path string, err error) {
	words := strings.Fields(s)
	if len(words) != 2 || !strings.HasPrefix(words[1], "/") {
		return "", "", fmt.Errorf("want a method and a path such as GET /hello/{name}, got %s", Quote(s))
	}
	if words[0] == "ANY" {
		words[0] = AnyMethod
	}
	return words[0], words[1], nil
}
