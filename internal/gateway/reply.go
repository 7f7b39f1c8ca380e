package gateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
)

// Limits on what a function's answer makes of a response's head.
const (
	// maxReplyHeader bounds the names and values of all its headers together.
	maxReplyHeader = 64 << 10
	maxReplyFields = 1000
	// maxPrelude bounds the JSON that begins a streamed answer.
	maxPrelude = 128 << 10
)

// reply is a function's answer as an HTTP response.
type reply struct {
	status int
	fields []field // in the order they were in; names in canonical form
	body   []byte
	// typed says that one of the fields is a Content-Type.
	typed bool
	size  int // of all names and values
}

type field struct{ name, value string }

// parseReply reads a function's answer by the rules of payload format version
// 2.0: an object with a statusCode says itself what the response is; any other
// JSON is the body of a 200 of type application/json. The reply's body may lie
// in payload or in the scratch.
func parseReply(payload []byte, s *scratch) (reply, error) {
	sc := scanner{data: payload}
	m := members{}
	if sc.peek() == '{' {
		if err := m.read(&sc); err != nil {
			return reply{}, fmt.Errorf("the answer is not JSON: %w", err)
		}
	} else if _, err := sc.value(); err != nil {
		return reply{}, fmt.Errorf("the answer is not JSON: %w", err)
	}
	if err := sc.end(); err != nil {
		return reply{}, fmt.Errorf("the answer is not JSON: %w", err)
	}
	if m.status == nil {
		return reply{status: http.StatusOK, fields: append(s.fields[:0], field{"Content-Type", "application/json"}), body: payload, typed: true}, nil
	}
	r := reply{fields: s.fields[:0]}
	if err := r.head(&m); err != nil {
		return reply{}, err
	}
	s.fields = r.fields
	var err error
	r.body, err = m.text(s)
	return r, err
}

// parsePrelude reads the JSON that begins a streamed answer of type
// application/vnd.awslambda.http-integration-response. Without a statusCode the
// status is 200.
func parsePrelude(prelude []byte, s *scratch) (reply, error) {
	sc := scanner{data: prelude}
	m := members{}
	if err := m.read(&sc); err != nil {
		return reply{}, fmt.Errorf("the prelude of the answer is not a JSON object: %w", err)
	}
	if err := sc.end(); err != nil {
		return reply{}, fmt.Errorf("the prelude of the answer is not a JSON object: %w", err)
	}
	if m.status == nil {
		m.status = []byte("200")
	}
	if m.body != nil {
		return reply{}, errors.New(`the prelude of the answer has a body: it has to follow the prelude, after eight zero bytes`)
	}
	r := reply{fields: s.fields[:0]}
	err := r.head(&m)
	s.fields = r.fields
	return r, err
}

// members are those of an answer's members that mean something, each as it
// stands in the text, nil where there is none. Of several with the same name
// the last one counts.
type members struct {
	status, headers, multi, cookies, body, base64 []byte
}

func (m *members) read(sc *scanner) error {
	return sc.object(func(name str) error {
		value, err := sc.value()
		switch {
		case err != nil:
			return err
		case name.is("statusCode"):
			m.status = value
		case name.is("headers"):
			m.headers = value
		case name.is("multiValueHeaders"):
			m.multi = value
		case name.is("cookies"):
			m.cookies = value
		case name.is("body"):
			m.body = value
		case name.is("isBase64Encoded"):
			m.base64 = value
		}
		return nil
	})
}

// head fills in everything but the body.
func (r *reply) head(m *members) error {
	if err := r.setStatus(m.status); err != nil {
		return err
	}
	if err := r.setHeaders("headers", m.headers, func(sc *scanner, name string) error {
		value, err := fieldValue(sc)
		if err != nil {
			return err
		}
		return r.add(name, value, only)
	}); err != nil {
		return err
	}
	if err := r.setHeaders("multiValueHeaders", m.multi, func(sc *scanner, name string) error {
		if sc.null() {
			return nil
		}
		return sc.array(func() error {
			value, err := fieldValue(sc)
			if err != nil {
				return err
			}
			return r.add(name, value, unlessSame)
		})
	}); err != nil {
		return err
	}
	return r.setCookies(m.cookies)
}

// setStatus takes a number or a string of three digits, as API Gateway does.
func (r *reply) setStatus(value []byte) error {
	text := string(value)
	if len(text) == 5 && text[0] == '"' {
		text = text[1:4]
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < 200 || status > 599 {
		return fmt.Errorf("the answer's statusCode is %.40s: it has to be a whole number from 200 to 599", value)
	}
	r.status = status
	return nil
}

func (r *reply) setHeaders(member string, value []byte, each func(sc *scanner, name string) error) error {
	sc := scanner{data: value}
	if value == nil || sc.null() {
		return nil
	}
	err := sc.object(func(name str) error {
		sc.peek()
		return each(&sc, name.String())
	})
	if err != nil {
		return fmt.Errorf("the answer's %s are wrong: %w", member, err)
	}
	return nil
}

func (r *reply) setCookies(value []byte) error {
	sc := scanner{data: value}
	if value == nil || sc.null() {
		return nil
	}
	err := sc.array(func() error {
		sc.peek()
		cookie, err := sc.string()
		if err != nil {
			return err
		}
		return r.add("Set-Cookie", cookie.String(), further)
	})
	if err != nil {
		return fmt.Errorf("the answer's cookies are wrong: %w", err)
	}
	return nil
}

// fieldValue reads a header's value: a string, or a number, true or false as
// they are written.
func fieldValue(sc *scanner) (string, error) {
	switch c := sc.peek(); {
	case c == '"':
		v, err := sc.string()
		return v.String(), err
	case c == '-' || '0' <= c && c <= '9' || c == 't' || c == 'f':
		v, err := sc.value()
		return string(v), err
	}
	return "", sc.fail("a string")
}

// among says what a header does among others of its name.
type among int

const (
	further    among = iota // it stands beside them
	only                    // it replaces them
	unlessSame              // it stands beside them, unless one is the same
)

// add adds a header. Headers that are between two neighbours alone, and the
// body's length, are the gateway's to say and left out.
func (r *reply) add(name, value string, how among) error {
	if !validName(name) {
		return fmt.Errorf("%.80q is not the name of a header", name)
	}
	if !validValue(value) {
		return fmt.Errorf("the value of header %.80q holds a control character", name)
	}
	if r.size += len(name) + len(value); r.size > maxReplyHeader || len(r.fields) == maxReplyFields {
		return fmt.Errorf("all headers together are over the limit of %d bytes (64 KB) or %d headers", maxReplyHeader, maxReplyFields)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "Content-Length", requestIDHeader:
		return nil
	case "Content-Type":
		r.typed, how = true, only
	}
	if hopByHop(name) {
		return nil
	}
	if how != further {
		for i := range r.fields {
			if f := &r.fields[i]; f.name == name && (how == only || f.value == value) {
				f.value = value
				return nil
			}
		}
	}
	r.fields = append(r.fields, field{name, value})
	return nil
}

// text is the body: a string, decoded if isBase64Encoded says so. It may lie
// in the scratch.
func (m *members) text(s *scratch) ([]byte, error) {
	encoded, err := m.isBase64()
	if err != nil {
		return nil, err
	}
	sc := scanner{data: m.body}
	if m.body == nil || sc.null() {
		return nil, nil
	}
	v, err := sc.string()
	if err != nil {
		return nil, errors.New("the answer's body is not a string: numbers and objects have to be written as JSON into one")
	}
	body := v.raw
	if v.escaped {
		s.body = v.append(s.body[:0])
		body = s.body
	}
	if !encoded {
		return body, nil
	}
	plain := body
	if !v.escaped { // the payload is not ours to write to
		s.body = append(s.body[:0], body...)
		plain = s.body
	}
	n, err := base64.StdEncoding.Decode(plain, body)
	if err != nil {
		return nil, fmt.Errorf("the answer's body is not in base64, as its isBase64Encoded says: %w", err)
	}
	return plain[:n], nil
}

func (m *members) isBase64() (bool, error) {
	sc := scanner{data: m.base64}
	if m.base64 == nil || sc.null() {
		return false, nil
	}
	b, err := sc.bool()
	if err != nil {
		return false, fmt.Errorf("the answer's isBase64Encoded is %.40s: it has to be true or false", m.base64)
	}
	return b, nil
}

// validName reports whether s is a token (RFC 9110, 5.6.2).
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		default:
			switch c {
			case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
			default:
				return false
			}
		}
	}
	return s != ""
}

// validValue reports whether s may be a header's value (RFC 9110, 5.5).
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
