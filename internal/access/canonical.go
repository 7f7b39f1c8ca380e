package access

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// buffers holds room for canonical requests.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// hashCanonical is the SHA-256 of the canonical request.
func hashCanonical(r *http.Request, auth *authorization, payload string) ([sha256.Size]byte, error) {
	buf := buffers.Get().(*[]byte)
	canonical, err := appendCanonical((*buf)[:0], r, auth, payload)
	sum := sha256.Sum256(canonical)
	if cap(canonical) <= 64<<10 { // a huge one is not worth keeping
		*buf = canonical
	}
	buffers.Put(buf)
	return sum, err
}

// appendCanonical appends the canonical request: method, path, query, headers,
// their names and the payload's hash, each on its line. It errs when the query
// has an escape that means nothing, or a signed header is not there.
func appendCanonical(dst []byte, r *http.Request, auth *authorization, payload string) ([]byte, error) {
	dst = append(append(dst, r.Method...), '\n')
	var err error
	if dst, err = appendPath(dst, wirePath(r), auth.scope.service); err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	if dst, err = appendQuery(dst, r.URL.RawQuery); err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	for _, name := range auth.headers {
		dst = append(append(dst, name...), ':')
		if dst, err = appendHeader(dst, r, name); err != nil {
			return dst, err
		}
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	dst = append(append(dst, auth.signed...), '\n')
	return append(dst, payload...), nil
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
// value, in the order of their bytes. A plus sign is a plus sign.
func appendQuery(dst []byte, query string) ([]byte, error) {
	if query == "" {
		return dst, nil
	}
	type parameter struct{ name, value string }
	var room [8]parameter
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
	values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
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

// presigned tells whether a query carries a signature.
func presigned(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.PathUnescape(name); err == nil && (name == "X-Amz-Signature" || name == "X-Amz-Algorithm") {
			return true
		}
	}
	return false
}
