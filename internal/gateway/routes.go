package gateway

import (
	"fmt"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
)

// table is the routes of one snapshot, compiled: a tree with a level for each
// segment of a path. It is never changed.
type table struct {
	snapshot *catalog.Snapshot
	root     node
}

// node is where the segments read so far lead.
type node struct {
	literals map[string]*node
	param    *node // {name}: any one segment but the empty one
	here     []*target
	rest     []*target // {name...}: whatever is left, at least one segment
}

// target is one route, with what of its events never changes.
type target struct {
	route    gust.Route
	function *gust.Function
	// names are its parameters from left to right, each as `"name":`.
	names []string
	// hasRest says that the last parameter takes the rest of the path.
	hasRest bool
	// head and context begin an event and its requestContext.
	head, context []byte
}

// compile builds the table of a snapshot. Where two routes are the same but
// for the names of their parameters, the first one stays; the catalog refuses
// such routes, as it does functions that are not there.
func compile(s *catalog.Snapshot, place gust.Place) *table {
	t := &table{snapshot: s}
	for _, r := range s.Routes {
		if f := s.Functions[r.Function]; f != nil {
			t.add(r, f, place)
		}
	}
	return t
}

func (t *table) add(r gust.Route, f *gust.Function, place gust.Place) {
	tg := &target{route: r, function: f}
	n := &t.root
	list := &n.here
	for seg := range strings.SplitSeq(strings.TrimPrefix(r.Path, "/"), "/") {
		if name, ok := strings.CutPrefix(seg, "{"); ok && strings.HasSuffix(name, "}") {
			name = strings.TrimSuffix(name, "}")
			name, tg.hasRest = strings.CutSuffix(name, "...")
			tg.names = append(tg.names, string(appendQuoted(nil, name))+":")
			if tg.hasRest {
				list = &n.rest
				break
			}
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
		} else {
			// Text is text as it reads when it is not escaped.
			child := n.literals[seg]
			if child == nil {
				child = &node{}
				if n.literals == nil {
					n.literals = make(map[string]*node)
				}
				n.literals[seg] = child
			}
			n = child
		}
		list = &n.here
	}
	if find(*list, r.Method) == nil {
		tg.head, tg.context = fixed(r, place)
		*list = append(*list, tg)
	}
}

// find returns the target for exactly this method.
func find(list []*target, method string) *target {
	for _, tg := range list {
		if tg.route.Method == method {
			return tg
		}
	}
	return nil
}

// choose returns the target that answers method: its own, for HEAD that of
// GET, and else that of any method.
func choose(list []*target, method string) *target {
	if len(list) == 0 {
		return nil
	}
	if tg := find(list, method); tg != nil {
		return tg
	}
	if method == "HEAD" {
		if tg := find(list, "GET"); tg != nil {
			return tg
		}
	}
	return find(list, "*")
}

// match finds the most specific route for a path and a method: at each segment
// from the left a literal goes before {name}, and that before {name...}. A
// route that does not answer the method is passed over. The values of the
// route's parameters are appended to params.
func (n *node) match(segs []string, method string, params []string) (*target, []string) {
	if len(segs) == 0 {
		return choose(n.here, method), params
	}
	if child := n.literals[segs[0]]; child != nil {
		if tg, params := child.match(segs[1:], method, params); tg != nil {
			return tg, params
		}
	}
	if n.param != nil && segs[0] != "" {
		if tg, params := n.param.match(segs[1:], method, append(params, segs[0])); tg != nil {
			return tg, params
		}
	}
	if tg := choose(n.rest, method); tg != nil {
		return tg, append(params, strings.Join(segs, "/"))
	}
	return nil, params
}

// methods appends the methods of every route that matches a path.
func (n *node) methods(segs []string, into []string) []string {
	if len(segs) == 0 {
		return appendMethods(into, n.here)
	}
	if child := n.literals[segs[0]]; child != nil {
		into = child.methods(segs[1:], into)
	}
	if n.param != nil && segs[0] != "" {
		into = n.param.methods(segs[1:], into)
	}
	return appendMethods(into, n.rest)
}

func appendMethods(into []string, list []*target) []string {
	for _, tg := range list {
		into = append(into, tg.route.Method)
		if tg.route.Method == "GET" {
			into = append(into, "HEAD")
		}
	}
	return into
}

// allow is the Allow header for a path that is there for other methods, or
// empty when the path is not there.
func (t *table) allow(segs []string) string {
	all := t.root.methods(segs, nil)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// fixed is what all events of a route have in common: the event's beginning up
// to rawPath's value, and requestContext's beginning up to domainName's. The
// key is spelled as API Gateway spells it: ANY for any method, {name+} for the
// rest of a path. The API is the app.
func fixed(r gust.Route, place gust.Place) (head, context []byte) {
	method := r.Method
	if method == "*" {
		method = "ANY"
	}
	path := r.Path
	if base, ok := strings.CutSuffix(path, "...}"); ok {
		path = base + "+}"
	}
	key := appendQuoted(nil, method+" "+path)
	head = fmt.Appendf(nil, `{"version":"2.0","routeKey":%s,"rawPath":`, key)
	context = fmt.Appendf(nil, `,"requestContext":{"accountId":%s,"apiId":%s,"routeKey":%s,"stage":"$default","domainName":`,
		appendQuoted(nil, place.Account), appendQuoted(nil, r.App), key)
	return head, context
}
