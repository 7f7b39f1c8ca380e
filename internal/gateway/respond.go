package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// writeStall is how long a client may take no byte of an answer before it is
// given up.
const writeStall = time.Minute

// integrationType is the content type of a streamed answer that begins with a
// prelude.
const integrationType = "application/vnd.awslambda.http-integration-response"

func isIntegration(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(t), integrationType)
}

// writeHead sets the headers; more is the Content-Type of a body without one.
func (a *reply) writeHead(h http.Header, untyped string) {
	for _, f := range a.fields {
		if values, ok := h[f.name]; ok {
			h[f.name] = append(values, f.value)
		} else {
			h[f.name] = []string{f.value}
		}
	}
	if !a.typed && untyped != "" && bodyAllowed(a.status) {
		h["Content-Type"] = []string{untyped}
	}
}

// write writes a whole answer. A body that has no type is text, as API Gateway
// has it.
func (a *reply) write(w http.ResponseWriter, method string) {
	untyped := ""
	if len(a.body) > 0 {
		untyped = "text/plain; charset=utf-8"
	}
	h := w.Header()
	a.writeHead(h, untyped)
	if !bodyAllowed(a.status) {
		w.WriteHeader(a.status)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	w.WriteHeader(a.status)
	if method == http.MethodHead || len(a.body) == 0 {
		return
	}
	if len(a.body) <= maxPooled {
		w.Write(a.body) //nolint:errcheck // whoever asked has gone
		return
	}
	out := newStalling(w)
	defer out.done()
	out.write(a.body) //nolint:errcheck // whoever asked has gone
}

// bodyAllowed reports whether a response of this status has a body (RFC 9110,
// 6.4.1).
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// stream writes an answer as it comes: with a prelude, if its type says so, or
// else as it is. An error means that nothing has been written; an answer that
// breaks off later breaks off the response.
func (g *gateway) stream(w http.ResponseWriter, c *call, res *gust.Result, s *scratch) error {
	var body io.ReadCloser = res.Stream
	if body == nil {
		body = io.NopCloser(bytes.NewReader(res.Payload))
	}
	defer body.Close() //nolint:errcheck // it is read to its end, or given up
	if s.copy == nil {
		s.copy = make([]byte, 32<<10)
	}
	answer := reply{status: http.StatusOK}
	untyped := "application/octet-stream"
	var early []byte // of the body, read together with the prelude
	var end error    // the body's, if it was seen early
	if isIntegration(res.ContentType) {
		prelude, rest, err := readPrelude(body, s)
		if err != nil {
			return err
		}
		if answer, err = parsePrelude(prelude, s); err != nil {
			return &malformedError{err}
		}
		early = rest
	} else {
		if res.ContentType != "" {
			if !validValue(res.ContentType) {
				return &malformedError{errors.New("the content type of the answer holds a control character")}
			}
			untyped = res.ContentType
		}
		// The head waits for the first bytes: until then a failure is a
		// response of its own.
		var n int
		for n == 0 && end == nil {
			n, end = body.Read(s.copy)
		}
		early = s.copy[:n]
		if end != nil && end != io.EOF && n == 0 {
			return end
		}
	}
	out := newStalling(w)
	defer out.done()
	answer.writeHead(w.Header(), untyped)
	w.WriteHeader(answer.status)
	if !bodyAllowed(answer.status) {
		return nil
	}
	if err := out.write(early); err != nil {
		return nil
	}
	for end == nil {
		var n int
		n, end = body.Read(s.copy)
		if err := out.write(s.copy[:n]); err != nil {
			return nil // the client has gone
		}
	}
	if end != io.EOF {
		g.log.debug(c, end)
		panic(http.ErrAbortHandler) // the client must see that it is not whole
	}
	return nil
}

// stalling writes and flushes at once, and gives the client writeStall for
// each megabyte of it.
type stalling struct {
	w       io.Writer
	control *http.ResponseController
}

func newStalling(w http.ResponseWriter) stalling {
	return stalling{w, http.NewResponseController(w)}
}

func (o stalling) write(p []byte) error {
	for {
		o.control.SetWriteDeadline(time.Now().Add(writeStall)) //nolint:errcheck // then without
		n := min(len(p), 1<<20)
		if n > 0 {
			if _, err := o.w.Write(p[:n]); err != nil {
				return err
			}
		}
		if p = p[n:]; len(p) == 0 {
			break
		}
	}
	if err := o.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// done takes the deadline back: the connection may have further requests.
func (o stalling) done() {
	o.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // then there is none
}

// delimiter ends a prelude.
const delimiter = "\x00\x00\x00\x00\x00\x00\x00\x00"

// readPrelude reads up to the delimiter and returns what is before it, and what
// was read after it. Both lie in the scratch. JSON has no zero bytes, so the
// first one begins the delimiter.
func readPrelude(r io.Reader, s *scratch) (prelude, rest []byte, err error) {
	buf := s.body[:0]
	defer func() { s.body = buf }()
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		from := max(0, len(buf)-len(delimiter)+1)
		buf = buf[:len(buf)+n]
		if i := bytes.IndexByte(buf[from:], 0); i >= 0 && len(buf) >= from+i+len(delimiter) {
			i += from
			if i > maxPrelude {
				break
			}
			if string(buf[i:i+len(delimiter)]) != delimiter {
				return nil, nil, &malformedError{errors.New("the prelude of the answer does not end with eight zero bytes")}
			}
			return buf[:i], buf[i+len(delimiter):], nil
		}
		switch {
		case len(buf) > maxPrelude+len(delimiter):
			return nil, nil, errPreludeSize
		case err == io.EOF:
			return nil, nil, &malformedError{errors.New("the answer ended before its prelude did, with eight zero bytes")}
		case err != nil:
			return nil, nil, err
		}
	}
	return nil, nil, errPreludeSize
}

var errPreludeSize = &malformedError{errors.New("the prelude of the answer is over the limit of 131072 bytes (128 KB)")}
