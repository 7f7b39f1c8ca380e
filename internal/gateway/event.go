package gateway

import (
	"encoding/base64"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// clf is how the event writes the time of the request.
const clf = "02/Jan/2006:15:04:05 -0700"

// call is one request on its way to a function.
type call struct {
	r         *http.Request
	target    *target
	path      string   // as it was sent
	params    []string // the values of the route's parameters, unescaped
	body      []byte
	requestID string
	traceID   string
	now       time.Time
}

// appendEvent appends the request as Lambda's HTTP event, payload format
// version 2.0, as API Gateway's HTTP APIs make it.
func (c *call) appendEvent(dst []byte, s *scratch) []byte {
	r := c.r
	dst = append(dst, c.target.head...)
	dst = appendQuoted(dst, c.path)
	dst = append(dst, `,"rawQueryString":`...)
	dst = appendQuoted(dst, r.URL.RawQuery)
	dst = appendCookies(dst, r.Header["Cookie"])
	dst = c.appendHeaders(dst)
	dst = appendQuery(dst, r.URL.RawQuery, s)
	dst = c.appendParams(dst)

	dst = append(dst, c.target.context...)
	host := hostname(r.Host)
	dst = appendQuoted(dst, host)
	dst = append(dst, `,"domainPrefix":`...)
	prefix, _, _ := strings.Cut(host, ".")
	dst = appendQuoted(dst, prefix)
	dst = append(dst, `,"http":{"method":`...)
	dst = appendQuoted(dst, r.Method)
	dst = append(dst, `,"path":`...)
	dst = appendQuoted(dst, c.path)
	dst = append(dst, `,"protocol":`...)
	dst = appendQuoted(dst, r.Proto)
	dst = append(dst, `,"sourceIp":`...)
	dst = appendQuoted(dst, sourceIP(r))
	dst = append(dst, `,"userAgent":`...)
	dst = appendQuoted(dst, first(r.Header["User-Agent"]))
	dst = append(dst, `},"requestId":`...)
	dst = appendQuoted(dst, c.requestID)
	dst = append(dst, `,"time":"`...)
	dst = c.now.UTC().AppendFormat(dst, clf)
	dst = append(dst, `","timeEpoch":`...)
	dst = strconv.AppendInt(dst, c.now.UnixMilli(), 10)
	dst = append(dst, '}')
	return c.appendBody(dst)
}

// size is about what the event takes, a little more rather than less.
func (c *call) size() int {
	n := 640 + len(c.target.head) + len(c.target.context) + 3*len(c.path) + 2*len(c.r.URL.RawQuery) + 2*len(c.r.Host)
	for name, values := range c.r.Header {
		n += len(name) + 8
		for _, v := range values {
			n += len(v) + 1
		}
	}
	if len(c.body) > 0 {
		n += len(c.body) + len(c.body)/3 + 16
	}
	return n
}

// appendHeaders appends the headers: names in lower case, values of the same
// name joined by commas. Cookies are not among them, they have a field of their
// own; nor is what is between the client and the gateway alone (RFC 9110,
// 7.6.1). What the gateway says about the request itself replaces what the
// client says, and the client's address is added to X-Forwarded-For.
func (c *call) appendHeaders(dst []byte) []byte {
	r := c.r
	dst = append(dst, `,"headers":{"host":`...)
	dst = appendQuoted(dst, r.Host)
	dst = append(dst, `,"content-length":"`...)
	dst = strconv.AppendInt(dst, int64(len(c.body)), 10)
	dst = append(dst, `","x-amzn-trace-id":`...)
	dst = appendQuoted(dst, c.traceID)
	dst = append(dst, `,"x-forwarded-for":"`...)
	for _, v := range r.Header["X-Forwarded-For"] {
		dst = appendEscaped(dst, v)
		dst = append(dst, ',', ' ')
	}
	dst = appendEscaped(dst, sourceIP(r))
	dst = append(dst, `","x-forwarded-port":"`...)
	dst = appendPort(dst, r)
	dst = append(dst, `","x-forwarded-proto":"`...)
	dst = append(dst, scheme(r)...)
	dst = append(dst, '"')
	connection := r.Header["Connection"]
	for name, values := range r.Header {
		switch name {
		case "Cookie", "Host", "Content-Length", "Expect",
			"X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto":
			continue
		}
		if hopByHop(name) || len(connection) > 0 && listed(connection, name) {
			continue
		}
		dst = append(dst, ',', '"')
		dst = appendLower(dst, name)
		dst = append(dst, '"', ':', '"')
		for i, v := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendEscaped(dst, v)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// hopByHop reports whether a header, its name in canonical form, is between two
// neighbours on the way and not passed on.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// listed reports whether one of the comma-separated lists names the header.
func listed(lists []string, name string) bool {
	for _, list := range lists {
		for elem := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(elem), name) {
				return true
			}
		}
	}
	return false
}

func appendCookies(dst []byte, headers []string) []byte {
	n := 0
	for _, h := range headers {
		for cookie := range strings.SplitSeq(h, ";") {
			cookie = strings.TrimSpace(cookie)
			if cookie == "" {
				continue
			}
			if n++; n == 1 {
				dst = append(dst, `,"cookies":[`...)
			} else {
				dst = append(dst, ',')
			}
			dst = appendQuoted(dst, cookie)
		}
	}
	if n > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func (c *call) appendParams(dst []byte) []byte {
	for i, name := range c.target.names {
		if i == 0 {
			dst = append(dst, `,"pathParameters":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
		dst = appendQuoted(dst, c.params[i])
	}
	if len(c.target.names) > 0 {
		dst = append(dst, '}')
	}
	return dst
}

// appendBody ends the event with the body: as text if its type says it is text
// and it is UTF-8, else in base64. An empty one is left out.
func (c *call) appendBody(dst []byte) []byte {
	switch {
	case len(c.body) == 0:
		return append(dst, `,"isBase64Encoded":false}`...)
	case textType(first(c.r.Header["Content-Type"])) && utf8.Valid(c.body):
		dst = append(dst, `,"body":`...)
		dst = appendQuoted(dst, c.body)
		return append(dst, `,"isBase64Encoded":false}`...)
	default:
		dst = append(dst, `,"body":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, c.body)
		return append(dst, `","isBase64Encoded":true}`...)
	}
}

// textType reports whether API Gateway's HTTP APIs pass a body of this content
// type as text. A form (application/x-www-form-urlencoded) and a body without a
// type are not among them.
func textType(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.TrimSpace(t)
	if len(t) > 5 && strings.EqualFold(t[:5], "text/") {
		return true
	}
	sub, ok := cutPrefixFold(t, "application/")
	return ok && (strings.EqualFold(sub, "json") || strings.EqualFold(sub, "xml") || strings.EqualFold(sub, "javascript") ||
		len(sub) > 5 && strings.EqualFold(sub[len(sub)-5:], "+json") ||
		len(sub) > 4 && strings.EqualFold(sub[len(sub)-4:], "+xml"))
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// sourceIP is the address of whoever opened the connection; what a header says
// about it is not believed.
func sourceIP(r *http.Request) string {
	ip := r.RemoteAddr
	if i := strings.LastIndexByte(ip, ':'); i >= 0 {
		ip = ip[:i]
	}
	if len(ip) > 1 && ip[0] == '[' && ip[len(ip)-1] == ']' {
		ip = ip[1 : len(ip)-1]
	}
	return ip
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		return host[:i]
	}
	return host
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// appendPort appends the port that the request came to.
func appendPort(dst []byte, r *http.Request) []byte {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return strconv.AppendInt(dst, int64(addr.Port), 10)
	}
	if r.TLS != nil {
		return append(dst, "443"...)
	}
	return append(dst, "80"...)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
