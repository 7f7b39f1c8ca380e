package runtimeapi

import (
	"bytes"
	"strings"
)

// method is what the API knows.
type method uint8

const (
	otherMethod method = iota
	get
	post
)

// route is an endpoint of the API.
type route uint8

const (
	unknownRoute route = iota
	nextRoute
	responseRoute
	errorRoute
	initErrorRoute
	restoreRoute
	registerRoute
	eventRoute
)

// A request that cannot be answered in any other way than with 400, 431, 501
// or 505 ends its connection.
type badRequest struct {
	status  int
	message string
}

func (e *badRequest) Error() string { return e.message }

func bad(status int, message string) error { return &badRequest{status, message} }

// maxID bounds ids in paths and headers; those of the API have 36.
const maxID = 128

// head is what matters of a request's head. It is reused, and allocates
// nothing for requests that are usual.
type head struct {
	method method
	route  route
	// target is set for an unknown route only.
	target string
	id     [maxID]byte
	idLen  int

	invocationID    [maxID]byte
	invocationIDLen int // -1 if there is none

	close   bool // the connection ends after this message
	host    bool
	chunked bool
	length  int64 // -1 if there is none
	expect  bool
	mode    responseMode
	kind    string // content type
	errType string
	extName string
	extID   string
}

type responseMode uint8

const (
	buffered responseMode = iota
	streaming
	wrongMode
)

// read reads a head. What it returns is io.EOF (nothing came), a *badRequest,
// or why the connection broke.
func (h *head) read(src *reader) error {
	kind := h.kind
	*h = head{length: -1, invocationIDLen: -1}
	var line []byte
	for range 3 { // empty lines before a request are ignored (RFC 9112 2.2)
		var err error
		if line, err = src.line(maxLine); err != nil {
			return lineError(err)
		}
		if len(line) > 0 {
			break
		}
	}
	if err := h.requestLine(line); err != nil {
		return err
	}
	for total := len(line); ; {
		line, err := src.line(maxLine)
		if err == errLineTooLong && isCause(src.pending()) {
			if err := src.skipLine(maxSkipped); err != nil {
				return lineError(err)
			}
			continue
		}
		if err != nil {
			return lineError(err)
		}
		if len(line) == 0 {
			return h.check()
		}
		if total += len(line) + 2; total > maxHead {
			return lineError(errLineTooLong)
		}
		if err := h.header(line, kind); err != nil {
			return err
		}
	}
}

func lineError(err error) error {
	switch err {
	case errLineTooLong:
		return bad(431, "the request's head is too long: a line may have 16 KB, the head 64 KB")
	case errMalformed:
		return bad(400, "a line of the request's head does not end in CRLF")
	}
	return err
}

const causeHeader = "lambda-runtime-function-xray-error-cause"

func isCause(b []byte) bool {
	return len(b) > len(causeHeader) && b[len(causeHeader)] == ':' && fold(b[:len(causeHeader)], causeHeader)
}

func (h *head) requestLine(line []byte) error {
	verb, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !isToken(verb) || len(target) == 0 {
		return bad(400, "the request line is malformed")
	}
	switch {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		h.close, h.host = true, true
	case bytes.HasPrefix(version, []byte("HTTP/")):
		return bad(505, "the Runtime API speaks HTTP/1.1")
	default:
		return bad(400, "the request line is malformed")
	}
	switch string(verb) {
	case "GET":
		h.method = get
	case "POST":
		h.method = post
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f {
			return bad(400, "the request's path is malformed")
		}
	}
	// Proxies' absolute form.
	if rest, ok := bytes.CutPrefix(target, []byte("http://")); ok {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			return bad(400, "the request's path is malformed")
		}
		target = rest[i:]
	}
	path, _, _ := bytes.Cut(target, []byte("?"))
	h.routePath(path)
	return nil
}

func (h *head) routePath(path []byte) {
	if rest, ok := bytes.CutPrefix(path, []byte("/2018-06-01/runtime/")); ok {
		if rest, ok := bytes.CutPrefix(rest, []byte("invocation/")); ok {
			if string(rest) == "next" {
				h.route = nextRoute
				return
			}
			id, what, _ := bytes.Cut(rest, []byte("/"))
			switch string(what) {
			case "response":
				h.route = responseRoute
			case "error":
				h.route = errorRoute
			}
			if h.route != unknownRoute {
				// A longer one cannot be known; cut, it is not either.
				h.idLen = copy(h.id[:], id)
				return
			}
		}
		switch string(rest) {
		case "init/error":
			h.route = initErrorRoute
			return
		case "restore/next", "restore/error":
			h.route = restoreRoute
		}
	}
	switch string(path) {
	case "/2020-01-01/extension/register":
		h.route = registerRoute
	case "/2020-01-01/extension/event/next":
		h.route = eventRoute
	default:
		h.target = string(path[:min(len(path), 200)])
	}
}

// header takes one header line. Names are looked at by length first: most of
// what clients send does not matter here.
func (h *head) header(line []byte, lastKind string) error {
	name, value, err := field(line)
	if err != nil {
		return err
	}
	switch len(name) {
	case len("host"):
		if fold(name, "host") {
			h.host = true
		}
	case len("expect"):
		if fold(name, "expect") {
			if !fold(value, "100-continue") {
				return bad(417, "the expectation is unknown, want 100-continue")
			}
			h.expect = true
		}
	case len("connection"):
		if fold(name, "connection") {
			for part := range bytes.SplitSeq(value, []byte(",")) {
				if fold(bytes.TrimSpace(part), "close") {
					h.close = true
				}
			}
		}
	case len("content-type"):
		if fold(name, "content-type") {
			h.kind = intern(value, lastKind)
		}
	case len("content-length"):
		if fold(name, "content-length") {
			n, ok := decimal(value)
			if !ok || h.length >= 0 && h.length != n {
				return bad(400, "the content length is malformed")
			}
			h.length = n
		}
	case len("transfer-encoding"):
		if fold(name, "transfer-encoding") {
			if !fold(value, "chunked") || h.chunked {
				return bad(501, "the transfer encoding is unknown, want chunked")
			}
			h.chunked = true
		}
	case len("lambda-extension-name"):
		if fold(name, "lambda-extension-name") {
			h.extName = string(value)
		}
	case len("lambda-extension-identifier"):
		if fold(name, "lambda-extension-identifier") {
			h.extID = string(value)
		}
	case len("lambda-runtime-invocation-id"):
		if fold(name, "lambda-runtime-invocation-id") {
			h.invocationIDLen = copy(h.invocationID[:], value)
		}
	case len("lambda-runtime-function-error-type"):
		if fold(name, "lambda-runtime-function-error-type") {
			h.errType = string(value)
		}
	case len("lambda-runtime-function-response-mode"):
		if fold(name, "lambda-runtime-function-response-mode") {
			h.mode = wrongMode
			if string(value) == "streaming" {
				h.mode = streaming
			}
		}
	}
	return nil
}

// check judges the head as a whole.
func (h *head) check() error {
	switch {
	case !h.host:
		return bad(400, "the Host header is missing")
	case h.chunked && h.length >= 0:
		return bad(400, "both a content length and a transfer encoding are given")
	case !h.chunked && h.length < 0:
		h.length = 0
	}
	return nil
}

// field splits a header or trailer line.
func field(line []byte) (name, value []byte, err error) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !isToken(line[:i]) {
		return nil, nil, bad(400, "a header line is malformed")
	}
	value = bytes.Trim(line[i+1:], " \t")
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, bad(400, "a header has a control character")
		}
	}
	return line[:i], value, nil
}

// isToken reports whether b is an RFC 9110 token.
func isToken(b []byte) bool {
	for _, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' ||
			strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0) {
			return false
		}
	}
	return len(b) > 0
}

// fold reports whether b is lower, an ASCII string in lower case, in any case.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// intern returns value as a string without allocating for the types that
// functions send, or when it is the same as last time.
func intern(value []byte, last string) string {
	if string(value) == last {
		return last
	}
	switch string(value) {
	case "application/json":
		return "application/json"
	case "application/octet-stream":
		return "application/octet-stream"
	}
	return string(value)
}
