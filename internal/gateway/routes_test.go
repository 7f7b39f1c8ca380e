package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
)

// lookupRoute matches a path as the gateway does, and returns "key name=value ...",
// "405 methods", "404", or "400".
func lookupRoute(t *table, method, path string) string {
	segs, err := splitPath(nil, path)
	if err != nil {
		return "400"
	}
	tg, params := t.root.match(segs, method, nil)
	if tg == nil {
		if allow := t.allow(segs); allow != "" {
			return "405 " + allow
		}
		return "404"
	}
	got := tg.route.Key()
	for i, name := range tg.names {
		got += " " + strings.Trim(name, `":`) + "=" + params[i]
	}
	return got
}

func TestRoutes(t *testing.T) {
	cat := declare(
		"GET /", "GET /hello/{name}", "GET /hello/world", "POST /hello/{name}", "* /any",
		"GET /files/{path...}", "GET /files/index", "GET /files/", "PUT /files/{a}/{b}",
		"GET /a/{x}/c", "GET /{y}/b/d", "GET /café", "GET /plain é", "DELETE /hello/world",
		"HEAD /headed", "GET /headed", "GET /deep/{a}/{b}/{c...}",
	)
	table := compile(cat.Snapshot(), gustPlace)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/", "GET /"},
		{"GET", "/hello/you", "GET /hello/{name} name=you"},
		{"GET", "/hello/world", "GET /hello/world"},
		// The more specific route answers only its own methods.
		{"POST", "/hello/world", "POST /hello/{name} name=world"},
		{"GET", "/hello", "404"},
		{"GET", "/hello/", "404"},
		{"GET", "/hello/a/b", "404"},
		// HEAD is GET's unless it has a route.
		{"HEAD", "/hello/you", "GET /hello/{name} name=you"},
		{"HEAD", "/headed", "HEAD /headed"},
		{"PATCH", "/any", "* /any"},
		{"HEAD", "/any", "* /any"},
		{"PATCH", "/hello/world", "405 DELETE, GET, HEAD, POST"},
		{"PUT", "/", "405 GET, HEAD"},
		// The rest of a path may be empty, but its slash is there.
		{"GET", "/files/a/b/c", "GET /files/{path...} path=a/b/c"},
		{"GET", "/files/a/", "GET /files/{path...} path=a/"},
		{"GET", "/files/index", "GET /files/index"},
		{"GET", "/files/", "GET /files/"},
		{"GET", "/files", "404"},
		{"PUT", "/files/a/b", "PUT /files/{a}/{b} a=a b=b"},
		{"PUT", "/files/a/", "405 GET, HEAD"},
		{"GET", "/deep/1/2/", "GET /deep/{a}/{b}/{c...} a=1 b=2 c="},
		{"GET", "/deep/1/2", "404"},
		// A literal that leads nowhere gives way.
		{"GET", "/a/b/c", "GET /a/{x}/c x=b"},
		{"GET", "/a/b/d", "GET /{y}/b/d y=a"},
		// Escapes are undone by the segment.
		{"GET", "/caf%C3%A9", "GET /café"},
		{"GET", "/caf%c3%a9", "GET /café"},
		{"GET", "/café", "GET /café"},
		{"GET", "/plain%20%C3%A9", "GET /plain é"},
		{"GET", "/h%65llo/w%6Frld", "GET /hello/world"},
		{"GET", "/hello/a%2Fb", "GET /hello/{name} name=a/b"},
		{"GET", "/a%2Fb", "404"},
		{"GET", "/hello%2Fworld", "404"},
		{"GET", "/hello/a+b;c=d", "GET /hello/{name} name=a+b;c=d"},
		{"GET", "/HELLO/world", "404"},
		// Nothing leads around a route.
		{"GET", "//hello/world", "400"},
		{"GET", "/hello//world", "400"},
		{"GET", "/files/a//", "400"},
		{"GET", "/files/../hello/world", "400"},
		{"GET", "/files/%2e%2E/hello/world", "400"},
		{"GET", "/files/./a", "400"},
		{"GET", "/files/..", "400"},
		{"GET", "/files/..%2fhello", "400"},
		{"GET", "/files/a%2F..%2Fb", "400"},
		{"GET", `/files/..\hello`, "400"},
		{"GET", "/files/..%5Chello", "400"},
		{"GET", "/files/..;a=b/hello", "400"},
		{"GET", "/files/.;/hello", "400"},
		{"GET", "/files/%zz", "400"},
		{"GET", "/files/%2", "400"},
		{"GET", "*", "400"},
		{"GET", "", "400"},
		{"CONNECT", "example.com:443", "400"},
		{"GET", "/files/...", "GET /files/{path...} path=..."},
		{"GET", "/files/.hidden/a..b/c.", "GET /files/{path...} path=.hidden/a..b/c."},
	} {
		if got := lookupRoute(table, c.method, c.path); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}

// TestRouteKeys: the event spells a route as API Gateway does.
func TestRouteKeys(t *testing.T) {
	for key, want := range map[string]string{
		"GET /a/{b}": "GET /a/{b}", "* /a": "ANY /a", "GET /f/{rest...}": "GET /f/{rest+}", "* /{all...}": "ANY /{all+}", "GET /": "GET /",
	} {
		head, context := fixed(route(key), gustPlace)
		if !strings.Contains(string(head), `"routeKey":"`+want+`"`) || !strings.Contains(string(context), `"routeKey":"`+want+`"`) {
			t.Errorf("%s is %s %s", key, head, context)
		}
	}
}

func TestTableFollowsTheCatalog(t *testing.T) {
	cat := declare("GET /old")
	g := New(Options{Catalog: cat, Invoker: answers("1"), Logger: quiet()}).(*gateway)
	before := g.routes()
	if g.routes() != before {
		t.Error("the same snapshot was compiled twice")
	}
	old := cat.Snapshot()
	next := &catalog.Snapshot{Revision: 2, Functions: old.Functions, Routes: []gust.Route{route("GET /new"), {App: "shop", Method: "GET", Path: "/gone", Function: "none"}}}
	cat.Store(next)
	after := g.routes()
	for path, want := range map[string]string{"/new": "GET /new", "/old": "404", "/gone": "404"} {
		if got := lookupRoute(after, "GET", path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// reference is the matching rule in its plainest form: of all routes that match
// path and method the one whose segments are the most specific from the left.
func reference(routes []gust.Route, method, path string) string {
	segs, err := splitPath(nil, path)
	if err != nil {
		return "400"
	}
	type found struct {
		route gust.Route
		rank  string // a letter a segment, the lower the better
	}
	var all []found
	var allow []string
	for _, r := range routes {
		rank, ok := "", true
		pattern := strings.Split(strings.TrimPrefix(r.Path, "/"), "/")
		for i, p := range pattern {
			switch {
			case strings.HasSuffix(p, "...}"):
				ok = ok && i < len(segs)
				rank += "c"
			case strings.HasPrefix(p, "{"):
				ok = ok && i < len(segs) && segs[i] != ""
				rank += "b"
			default:
				ok = ok && i < len(segs) && segs[i] == p
				rank += "a"
			}
		}
		if !ok || !strings.HasSuffix(r.Path, "...}") && len(pattern) != len(segs) {
			continue
		}
		allow = append(allow, r.Method)
		if r.Method == "GET" {
			allow = append(allow, "HEAD")
		}
		switch {
		case r.Method == method:
			rank += "1"
		case r.Method == "GET" && method == "HEAD":
			rank += "2"
		case r.Method == "*":
			rank += "3"
		default:
			continue
		}
		all = append(all, found{r, rank})
	}
	if len(all) == 0 {
		if len(allow) == 0 {
			return "404"
		}
		slices.Sort(allow)
		return "405 " + strings.Join(slices.Compact(allow), ", ")
	}
	best := slices.MinFunc(all, func(a, b found) int { return strings.Compare(a.rank, b.rank) })
	return best.route.Key()
}

func FuzzRoutes(f *testing.F) {
	f.Add("GET /a/{b} PUT /a/c * /{d...}", "GET", "/a/c")
	f.Add("GET /a/{x}/c GET /{y}/b/d", "HEAD", "/a/b/d")
	f.Add("GET / * /{r...}", "PUT", "/")
	f.Fuzz(func(t *testing.T, declared, method, path string) {
		words := strings.Fields(declared)
		var routes []gust.Route
		shapes := map[string]bool{}
		for i := 0; i+1 < len(words) && len(routes) < 20; i += 2 {
			r := gust.Route{App: "shop", Function: "api", Method: words[i], Path: words[i+1]}
			if shape, ok := wellFormed(r); ok && !shapes[shape] {
				shapes[shape] = true
				routes = append(routes, r)
			}
		}
		s := &catalog.Snapshot{Functions: map[string]*gust.Function{"api": {Name: "api"}}, Routes: routes}
		got, want := lookupRoute(compile(s, gustPlace), method, path), reference(routes, method, path)
		if !strings.HasPrefix(got, "405 ") { // leave out the parameters
			got = strings.Join(strings.Fields(got)[:min(2, len(strings.Fields(got)))], " ")
		}
		if got != want {
			t.Errorf("%s %s with %v: %s, want %s", method, path, routes, got, want)
		}
	})
}

// wellFormed reports whether a catalog would take a route, and what it matches.
func wellFormed(r gust.Route) (shape string, ok bool) {
	if r.Path == "" || r.Path[0] != '/' || strings.ContainsAny(r.Path, "=") || strings.ContainsAny(r.Method, "=") {
		return "", false
	}
	shape = r.Method
	segs := strings.Split(r.Path[1:], "/")
	for i, s := range segs {
		inner, braced := strings.CutPrefix(s, "{")
		switch {
		case !braced && !strings.ContainsAny(s, "{}"):
			shape += "/" + s
		case braced && strings.HasSuffix(s, "...}") && i == len(segs)-1 && !strings.ContainsAny(inner[:len(inner)-4], "{}."):
			shape += "/{...}"
		case braced && strings.HasSuffix(s, "}") && !strings.ContainsAny(inner[:len(inner)-1], "{}."):
			shape += "/{}"
		default:
			return "", false
		}
	}
	return shape, true
}

func TestManyRoutes(t *testing.T) {
	keys := make([]string, gust.MaxRoutes)
	for i := range keys {
		keys[i] = fmt.Sprintf("GET /shop%d/{id}/part%d", i%100, i)
	}
	table := compile(declare(keys...).Snapshot(), gustPlace)
	for _, i := range []int{0, 99, 100, 19999} {
		path := fmt.Sprintf("/shop%d/x/part%d", i%100, i)
		if got := lookupRoute(table, "GET", path); got != keys[i]+" id=x" {
			t.Errorf("%s: %s", path, got)
		}
	}
	var segs, params [8]string
	if n := testing.AllocsPerRun(100, func() {
		s, _ := splitPath(segs[:0], "/shop7/x/part7")
		table.root.match(s, "GET", params[:0])
	}); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}
