package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// buffers holds room for canonical requests.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// appendCanonical appends the canonical request without its last line, the
// payload's hash: method, path, query, headers and their names, each on its line.
// It errs when the query is too long or has an escape that means nothing, or a
// signed header is not there.
func appendCanonical(dst []byte, r *http.Request, auth *authorization) ([]byte, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return dst, fmt.Errorf("the query is longer than %d bytes", maxQuery)
	}
	dst = append(append(dst, r.Method...), '\n')
	var err error
	if dst, err = appendPath(dst, wirePath(r), auth.scope.service); err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	if dst, err = appendQuery(dst, r.URL.RawQuery, auth.query); err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	for name := range auth.headers {
		dst = append(append(dst, name...), ':')
		if dst, err = appendHeader(dst, r, name); err != nil {
			return dst, err
		}
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	return append(append(dst, auth.signed...), '\n'), nil
}

// wirePath is the path as it was sent.
func wirePath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	if path := r.URL.EscapedPath(); path != "" { // http://host/path, or a request that is not a server's
		return path
	}
	return "/"
}

// appendPath appends the canonical path: without empty, "." and ".." segments,
// then encoded once more than it was sent. S3 alone wants it as it is, encoded
// once.
func appendPath(dst []byte, path, service string) ([]byte, error) {
	if service == "s3" {
		raw, err := url.PathUnescape(path)
		if err != nil {
			return dst, errors.New("the path has an invalid escape")
		}
		return appendEncoded(dst, raw, true), nil
	}
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return appendEncoded(dst, path, true), nil
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	for _, segment := range kept {
		dst = appendEncoded(append(dst, '/'), segment, true)
	}
	if len(kept) == 0 || strings.HasSuffix(path, "/") {
		dst = append(dst, '/')
	}
	return dst, nil
}

// appendQuery appends the parameters, encoded anew and sorted by name and then
// value, in the order of their bytes. A plus sign is a plus sign. A presigned
// request's signature cannot be part of what it signs.
func appendQuery(dst []byte, query string, presigned bool) ([]byte, error) {
	if query == "" {
		return dst, nil
	}
	type parameter struct{ name, value string }
	var room [16]parameter
	parameters := room[:0]
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err := recode(name)
		if err != nil {
			return dst, err
		}
		if presigned && n == "X-Amz-Signature" {
			continue
		}
		v, err := recode(value)
		if err != nil {
			return dst, err
		}
		parameters = append(parameters, parameter{n, v})
	}
	slices.SortFunc(parameters, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	for i, p := range parameters {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(append(append(dst, p.name...), '='), p.value...)
	}
	return dst, nil
}

// recode gives a part of a query its one canonical encoding.
func recode(s string) (string, error) {
	if all(s, unreserved) {
		return s, nil
	}
	raw, err := url.PathUnescape(s) // QueryUnescape would take plus for space
	if err != nil {
		return "", errors.New("the query has an invalid escape")
	}
	return string(appendEncoded(nil, raw, false)), nil
}

// appendHeader appends the values of a header with commas between, each without
// the spaces around it and with one for several inside. The server keeps some
// headers elsewhere than in r.Header.
func appendHeader(dst []byte, r *http.Request, name string) ([]byte, error) {
	if name == "host" {
		return appendTrimmed(dst, r.Host), nil
	}
	var room [64]byte // in which the name is spelled as net/http has it
	values := r.Header[string(appendHeaderKey(room[:0], name))]
	if len(values) == 0 {
		switch {
		case name == "content-length" && r.ContentLength >= 0:
			return strconv.AppendInt(dst, r.ContentLength, 10), nil
		case name == "transfer-encoding" && len(r.TransferEncoding) > 0:
			values = r.TransferEncoding
		default:
			return dst, errors.New("a signed header is not in the request: " + strconv.Quote(name))
		}
	}
	for i, value := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTrimmed(dst, value)
	}
	return dst, nil
}

// appendHeaderKey appends the spelling that net/http gives to a header's name in
// lower case.
func appendHeaderKey(dst []byte, name string) []byte {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = c == '-'
		dst = append(dst, c)
	}
	return dst
}

func appendTrimmed(dst []byte, s string) []byte {
	s = strings.Trim(s, " \t\r\n")
	for {
		i := strings.Index(s, "  ")
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i+1]...)
		s = strings.TrimLeft(s[i:], " ")
	}
}

func unreserved(c byte) bool {
	return alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendEncoded percent-encodes all but unreserved characters, and slashes
// unless keep.
func appendEncoded(dst []byte, s string, keepSlash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; unreserved(c) || c == '/' && keepSlash {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
