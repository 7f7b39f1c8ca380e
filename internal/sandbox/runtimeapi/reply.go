package runtimeapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	gust "github.com/gust-dev/gust"
)

var (
	acceptedBytes = []byte("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")
	continueBytes = []byte("HTTP/1.1 100 Continue\r\n\r\n")
)

// accepted answers 202; like every answer it reports whether the connection
// goes on.
func (c *conn) accepted() bool {
	if c.head.close {
		return c.write(202, "", []byte(`{"status":"OK"}`))
	}
	_, err := c.nc.Write(acceptedBytes)
	return err == nil
}

// proceed invites the body that a client holds back.
func (c *conn) proceed(b *body) bool {
	if !c.head.expect || b.done || len(c.rd.pending()) > 0 {
		return true
	}
	c.head.expect = false
	_, err := c.nc.Write(continueBytes)
	return err == nil
}

// refuse answers with an error to a request whose body is not wanted.
func (c *conn) refuse(b *body, status int, kind, message string) bool {
	if !b.done && c.head.expect && len(c.rd.pending()) == 0 {
		c.head.close = true // whether the body comes is up to the client
	} else if _, err := b.discard(maxDiscard); err != nil {
		c.head.close = true
	}
	return c.reply(status, kind, message)
}

// forbid refuses a state transition, in the words of Lambda's state machine.
func (c *conn) forbid(b *body, from, to string) bool {
	return c.refuse(b, 403, "InvalidStateTransition", "State transition from "+from+" to "+to+" failed for runtime. Error: State transition is not allowed")
}

// reply answers with an error document.
func (c *conn) reply(status int, kind, message string) bool {
	doc, err := json.Marshal(struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}{message, kind})
	if err != nil { // two strings always marshal
		panic(err)
	}
	return c.write(status, "", doc)
}

func (c *conn) write(status int, header string, doc []byte) bool {
	b := make([]byte, 0, 256+len(doc))
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nContent-Type: application/json\r\n"...)
	b = append(b, header...)
	if status == 405 {
		b = append(b, "Allow: GET, POST\r\n"...)
	}
	if c.head.close {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(doc))+1, 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, doc...)
	b = append(b, '\n')
	_, err := c.nc.Write(b)
	return err == nil && !c.head.close
}

// documentWithCause is the content type of an error document that carries its
// X-Ray cause inside.
const documentWithCause = "application/vnd.aws.lambda.error.cause+json"

// withoutCause keeps of an error document what callers get.
func withoutCause(doc []byte) []byte {
	var d struct {
		Message string          `json:"errorMessage"`
		Type    string          `json:"errorType"`
		Stack   json.RawMessage `json:"stackTrace,omitempty"`
	}
	if json.Unmarshal(doc, &d) != nil {
		return doc
	}
	out, err := json.Marshal(d)
	if err != nil {
		return doc
	}
	return out
}

// functionError is what a program said of its own failure. kind is the header
// or trailer's word for it; the document's own counts more, because callers
// see that.
func functionError(outcome gust.Outcome, kind string, doc []byte) *gust.FunctionError {
	e := &gust.FunctionError{Outcome: outcome, Type: kind}
	var d struct {
		Type    any `json:"errorType"`
		Message any `json:"errorMessage"`
	}
	switch {
	case json.Valid(doc):
		e.Payload = doc
		if json.Unmarshal(doc, &d) == nil {
			if s, ok := d.Type.(string); ok && s != "" {
				e.Type = s
			}
			e.Message, _ = d.Message.(string)
		}
	default:
		e.Message = string(bytes.ToValidUTF8(doc[:min(len(doc), gust.MaxLogLine)], []byte("�")))
	}
	if e.Type == "" {
		e.Type = "Runtime.Unknown"
	}
	return e
}

// broken is the error of a program that breaks the protocol.
func broken(kind, message string) *gust.FunctionError {
	return &gust.FunctionError{Outcome: gust.OutcomeProtocol, Type: kind, Message: message}
}

func truncated() *gust.FunctionError {
	return broken("Runtime.TruncatedResponse", "the connection ended before the whole response had come")
}

// tooLarge is the error of a response of size bytes, 0 if that is not known.
func tooLarge(size, limit int64) *gust.FunctionError {
	e := &gust.FunctionError{Outcome: gust.OutcomeSize, Type: "Function.ResponseSizeTooLarge"}
	e.Message = fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", limit)
	if size > 0 {
		e.Message = fmt.Sprintf("Response payload size (%d bytes) exceeded maximum allowed payload size (%d bytes).", size, limit)
	}
	return e
}

func isMalformed(err error) bool {
	var b *badRequest
	return errors.Is(err, errMalformed) || errors.Is(err, errLineTooLong) || errors.As(err, &b)
}
