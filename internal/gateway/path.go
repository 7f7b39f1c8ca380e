package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// rawPath is the path as the client sent it, escapes and all.
func rawPath(r *http.Request) string {
	if uri := r.RequestURI; strings.HasPrefix(uri, "/") {
		path, _, _ := strings.Cut(uri, "?")
		return path
	}
	// The absolute form, or a request that did not come from a wire.
	return r.URL.EscapedPath()
}

// splitPath appends the segments of a raw path to segs, each unescaped on its
// own, so that %2F stays within its segment. "/" has one empty segment, and
// "/a/" two, the last one empty.
//
// Paths that somebody behind the gateway could read as another path than the
// gateway did are refused, so that no route is reached around another: dot
// segments in any spelling ("..", "%2e%2e", "..%2f", "..\", "..;x"), and empty
// segments but for the last.
func splitPath(segs []string, raw string) ([]string, error) {
	if raw == "" || raw[0] != '/' {
		return segs, fmt.Errorf("the request target %.80q is no path: it has to begin with a slash", raw)
	}
	escaped := strings.IndexByte(raw, '%') >= 0
	dots := escaped || strings.IndexByte(raw, '.') >= 0
	for rest, more := raw[1:], true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if seg == "" && more {
			return segs, fmt.Errorf("the path %.80q has an empty segment: \"//\" is not allowed", raw)
		}
		if escaped {
			plain, err := url.PathUnescape(seg)
			if err != nil {
				return segs, fmt.Errorf("the path %.80q has a wrong escape: %w", raw, err)
			}
			seg = plain
		}
		if dots && hasDots(seg) {
			return segs, fmt.Errorf("the path %.80q has a dot segment: send it resolved", raw)
		}
		segs = append(segs, seg)
	}
	return segs, nil
}

// hasDots reports whether an unescaped segment is or holds a dot segment in the
// eyes of anybody who takes an escaped slash or a backslash for a slash, or
// drops parameters after a semicolon.
func hasDots(seg string) bool {
	if strings.IndexByte(seg, '.') < 0 {
		return false
	}
	for more := true; more; {
		elem := seg
		if i := strings.IndexAny(seg, `/\`); i >= 0 {
			elem, seg = seg[:i], seg[i+1:]
		} else {
			more = false
		}
		elem, _, _ = strings.Cut(elem, ";")
		if elem == "." || elem == ".." {
			return true
		}
	}
	return false
}
