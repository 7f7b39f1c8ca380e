package runtimeapi

import (
	"encoding/json"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// maxDiscard bounds how much of a refused body is read so that the program can
// read the refusal; a connection with more is closed on it.
const maxDiscard = 64 << 20

// lingerTime bounds how long a connection is drained before it is closed.
const lingerTime = 250 * time.Millisecond

// conn is one connection from the program, and the goroutine that reads it.
type conn struct {
	s    *Session
	nc   net.Conn
	rd   reader
	head head
	body body
	lost bool // a stream's reader still has body

	// Guarded by the session's mu.
	state     connState
	changed   sync.Cond // state has changed
	streaming bool      // a stream's reader has the connection
	closing   bool      // it ends with the answer to the next it waits in
	cut       bool      // the write of an event is interrupted
}

type connState uint8

const (
	connIdle    connState = iota // its goroutine alone uses it
	connParked                   // waits in next
	connWriting                  // somebody writes an event to it
	connHeld                     // waits for an extension's event, of which there is none
)

func newConn(s *Session, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, rd: reader{src: nc}}
	c.changed.L = &s.mu
	return c
}

// serve answers one request after the other. While the connection waits in
// next it goes on reading, so that it sees the program go away.
func (c *conn) serve() {
	defer func() {
		c.nc.Close()
		s := c.s
		s.mu.Lock()
		delete(s.conns, c)
		if i := slices.Index(s.waiting, c); i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
		}
		s.mu.Unlock()
		<-s.slots
		s.leave()
	}()
	for {
		err := c.head.read(&c.rd)
		b, isBad := err.(*badRequest)
		if err != nil && !isBad || !c.idle() {
			return
		}
		if isBad {
			c.head.close = true
			c.reply(b.status, "InvalidRequest", b.message)
			c.linger()
			return
		}
		if !c.answer() {
			if !c.lost && !c.body.done {
				c.linger()
			}
			return
		}
	}
}

// linger reads for a moment what the program still sends to a connection that
// ends with an answer it should read: closing at once would reset it.
func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	c.s.mu.Lock()
	over := c.s.over
	if !over { // else Fail's deadline stands
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	}
	c.s.mu.Unlock()
	if !over {
		io.CopyN(io.Discard, c.nc, maxDiscard)
	}
}

// idle waits until an earlier request on the connection has its answer; it is
// false if there will be none.
func (c *conn) idle() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	// A write ends soon, also when the session is over, and what the program
	// has sent since counts.
	for c.state == connWriting || c.state != connIdle && !c.s.over {
		c.changed.Wait()
	}
	return c.state == connIdle && !c.closing
}

// answer carries out one request and reports whether the connection goes on.
func (c *conn) answer() bool {
	h := &c.head
	c.body = newBody(&c.rd, h)
	b := &c.body
	want := post
	switch h.route {
	case nextRoute, eventRoute:
		want = get
	case unknownRoute, restoreRoute:
		want = h.method
	}
	if h.method != want {
		return c.refuse(b, 405, "MethodNotAllowed", "this path wants another method: next is GET, all others are POST")
	}
	switch h.route {
	case nextRoute:
		return c.next(b)
	case responseRoute:
		return c.response(b)
	case errorRoute:
		return c.failed(b)
	case initErrorRoute:
		return c.initFailed(b)
	case restoreRoute:
		return c.refuse(b, 404, "NotFound", "SnapStart is not built: there is no restore phase, and AWS_LAMBDA_INITIALIZATION_TYPE never is snap-start")
	case registerRoute:
		return c.register(b)
	case eventRoute:
		return c.hold(b)
	}
	return c.refuse(b, 404, "NotFound", "the path "+strconv.Quote(h.target)+" is not part of the Runtime API 2018-06-01")
}

// next parks the connection until there is an event for it.
func (c *conn) next(b *body) bool {
	if _, err := b.discard(maxDiscard); err != nil {
		return false
	}
	s := c.s
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return false
	}
	if s.initErr != nil {
		s.mu.Unlock()
		return c.forbid(b, "InitError", "Ready")
	}
	if !s.isReady {
		s.beReady(nil)
	}
	c.state, c.closing = connParked, c.head.close
	s.waiting = append(s.waiting, c)
	w, d := s.match()
	s.mu.Unlock()
	s.deliver(w, d)
	return true
}

// claim finds the invocation that a response or an error is for, and reserves
// its answer for this connection. Without one it has refused the request.
func (c *conn) claim(b *body) (cl *call, goesOn bool) {
	s, h := c.s, &c.head
	s.mu.Lock()
	id := h.id[:h.idLen]
	cl = s.active[string(id)]
	stale := cl != nil && h.invocationIDLen >= 0 && string(h.invocationID[:h.invocationIDLen]) != string(cl.id[:])
	switch {
	case stale, cl == nil && len(id) > 0 && string(id) == s.expired:
		s.mu.Unlock()
		return nil, c.refuse(b, 410, "InvokeTimeout", "Invoke timeout")
	case cl == nil && len(id) > 0 && string(id) == s.answered && s.opts.Concurrency == 1:
		s.mu.Unlock()
		to := "InvocationResponse"
		if h.route == errorRoute {
			to = "InvocationErrorResponse"
		}
		return nil, c.forbid(b, "RuntimeResponseSentState", to)
	case cl == nil || cl.reading != nil:
		s.mu.Unlock()
		return nil, c.refuse(b, 400, "InvalidRequestID", "Invalid request ID")
	case cl.state == settled: // abandoned: nobody wants the answer
		s.remove(cl)
		s.mu.Unlock()
		ok := c.refuse(b, 410, "InvokeTimeout", "Invoke timeout")
		s.dispatch()
		return nil, ok
	}
	cl.reading = c
	s.mu.Unlock()
	return cl, true
}

// dispatch gives out what can be given out.
func (s *Session) dispatch() {
	s.mu.Lock()
	w, d := s.match()
	s.mu.Unlock()
	s.deliver(w, d)
}

// finish settles a claimed call; it is false if that came too late.
func (c *conn) finish(cl *call, result *gust.Result, err error) (inTime, more bool) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	cl.reading = nil
	if inTime = cl.state != settled; inTime {
		s.answered = cl.inv.RequestID
		cl.result, cl.err = result, err
		s.remove(cl)
		s.settle(cl)
	} else if s.active[cl.inv.RequestID] == cl {
		s.remove(cl) // abandoned
	}
	return inTime, len(s.pending) > 0 && len(s.waiting) > 0
}

// response takes an answer.
func (c *conn) response(b *body) bool {
	cl, goesOn := c.claim(b)
	if cl == nil {
		return goesOn
	}
	h := &c.head
	switch {
	case h.mode == wrongMode:
		c.finish(cl, nil, broken("Runtime.InvalidResponseModeHeader", "the response's Lambda-Runtime-Function-Response-Mode is unknown, want streaming or none"))
		return c.refuse(b, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
	case !c.proceed(b):
		c.finish(cl, nil, truncated())
		return false
	case h.mode == streaming, h.chunked && (h.kind == streamedHTTP || h.kind == streamedBytes):
		return c.stream(cl, b)
	}
	limit := c.s.opts.MaxResponse
	payload, err := b.all(limit)
	switch {
	case err != nil:
		return c.brokenOff(cl, b, err, int64(len(payload)), limit)
	case b.errorType != "":
		return c.settled(c.finish(cl, nil, functionError(gust.OutcomeError, b.errorType, b.errorBody)))
	}
	return c.settled(c.finish(cl, &gust.Result{Payload: payload, ContentType: h.kind}, nil))
}

// The content types of what a handler of aws-lambda-go streams, which sends no
// response mode: a function URL's response, which begins with its status and
// headers, and the bytes of any other reader. Its JSON is chunked too.
const (
	streamedHTTP  = "application/vnd.awslambda.http-integration-response"
	streamedBytes = "application/octet-stream"
)

// failed takes an error document.
func (c *conn) failed(b *body) bool {
	cl, goesOn := c.claim(b)
	if cl == nil {
		return goesOn
	}
	if !c.proceed(b) {
		c.finish(cl, nil, truncated())
		return false
	}
	limit := c.s.opts.MaxResponse
	doc, err := b.all(limit)
	if err != nil {
		return c.brokenOff(cl, b, err, int64(len(doc)), limit)
	}
	if c.head.kind == documentWithCause {
		doc = withoutCause(doc)
	}
	return c.settled(c.finish(cl, nil, functionError(gust.OutcomeError, c.head.errType, doc)))
}

// brokenOff settles a call whose body could not be taken.
func (c *conn) brokenOff(cl *call, b *body, err error, got, limit int64) bool {
	if err != errTooLong {
		fe := truncated()
		if err != io.ErrUnexpectedEOF && isMalformed(err) {
			fe = broken("Runtime.InvalidResponse", "the response's body is malformed")
		}
		inTime, more := c.finish(cl, nil, fe)
		c.head.close = true
		if inTime {
			c.reply(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
		}
		if more {
			c.s.dispatch()
		}
		return false
	}
	// The rest is read so that its size can be named and the program can
	// read what it did wrong.
	rest, err := b.discard(maxDiscard)
	fe := tooLarge(got+rest, limit)
	if err != nil {
		fe = tooLarge(0, limit)
		c.head.close = true
	}
	_, more := c.finish(cl, nil, fe)
	ok := c.reply(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.FormatInt(limit, 10)+" bytes).")
	if more {
		c.s.dispatch()
	}
	return ok
}

// settled tells the program that its answer was taken, or came too late.
func (c *conn) settled(inTime, more bool) bool {
	ok := false
	if inTime {
		ok = c.accepted()
	} else {
		ok = c.reply(410, "InvokeTimeout", "Invoke timeout")
	}
	if more {
		c.s.dispatch()
	}
	return ok
}

// initFailed takes the error of a program that cannot become ready.
func (c *conn) initFailed(b *body) bool {
	if !c.proceed(b) {
		return false
	}
	doc, err := b.all(c.s.opts.MaxResponse)
	switch err {
	case nil:
	case errTooLong:
		return c.refuse(b, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.FormatInt(c.s.opts.MaxResponse, 10)+" bytes).")
	default:
		c.head.close = true
		return c.reply(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
	}
	s := c.s
	s.mu.Lock()
	from := ""
	switch {
	case s.initErr != nil:
		from = "InitError"
	case s.isReady:
		from = "Ready"
	default:
		s.beReady(functionError(gust.OutcomeInit, c.head.errType, doc))
	}
	s.mu.Unlock()
	if from != "" {
		return c.forbid(b, from, "InitError")
	}
	return c.accepted()
}

// register takes an extension that wants no events, which is all that is
// built.
func (c *conn) register(b *body) bool {
	if !c.proceed(b) {
		return false
	}
	doc, err := b.all(16 << 10)
	var want struct {
		Events []string `json:"events"`
	}
	switch {
	case err == errTooLong:
		return c.refuse(b, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (16384 bytes).")
	case err != nil:
		return false
	case c.head.extName == "":
		return c.reply(403, "Extension.InvalidExtensionName", "Empty extension name")
	case json.Unmarshal(doc, &want) != nil:
		return c.reply(403, "InvalidRequestFormat", `the body is not a document like {"events":[]}`)
	case len(want.Events) > 0:
		return c.reply(403, "Extension.InvalidEventType", "extensions' events are not built; an extension may register for none")
	}
	doc, _ = json.Marshal(map[string]string{"functionName": c.s.opts.Function, "functionVersion": "$LATEST", "handler": "bootstrap"})
	return c.write(200, "Lambda-Extension-Identifier: "+c.s.extension()+"\r\n", doc)
}

// extension is the id of every extension: none gets anything.
func (s *Session) extension() string {
	var c call
	c.identify(s.base, 0)
	return string(c.id[:])
}

// hold lets an extension wait for events, of which there will be none.
func (c *conn) hold(b *body) bool {
	if _, err := b.discard(maxDiscard); err != nil {
		return false
	}
	if c.head.extID != c.s.extension() {
		return c.reply(403, "Extension.UnknownExtensionIdentifier", "Unknown extension "+strconv.Quote(c.head.extID))
	}
	c.s.mu.Lock()
	c.state = connHeld
	c.s.mu.Unlock()
	return true
}
