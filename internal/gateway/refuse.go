package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// refusal is an answer of the gateway's own.
type refusal struct {
	status  int
	message string
	reason  gust.ThrottleReason // of a throttled request
	retry   time.Duration       // when trying again may help, 0 is unknown
	allow   string              // the methods that would be right
	close   bool                // the rest of the request cannot be read
}

func (e *refusal) Error() string { return e.message }

// malformedError is an answer that is no HTTP response.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }

const internal = "Internal Server Error"

// outcomes says what a client gets for a function that failed. What went wrong
// inside is for the logs alone.
var outcomes = map[gust.Outcome]refusal{
	gust.OutcomeTimeout: {status: http.StatusGatewayTimeout, message: "Endpoint request timed out"},
	// All others are 502.
}

// sentinels says what a client gets for an error of the domain.
var sentinels = []struct {
	err error
	refusal
	text bool // the error's own text is for the client
}{
	{err: gust.ErrNotFound, refusal: refusal{status: http.StatusNotFound, message: "Not Found"}},
	{err: gust.ErrTooLarge, refusal: refusal{status: http.StatusRequestEntityTooLarge, close: true}, text: true},
	{err: gust.ErrClosing, refusal: refusal{status: http.StatusServiceUnavailable, message: "Service Unavailable", retry: time.Second, close: true}},
	{err: gust.ErrInvalid, refusal: refusal{status: http.StatusBadRequest}, text: true},
	// The client closed its side; 499 is what others log for it.
	{err: context.Canceled, refusal: refusal{status: 499, message: "Client Closed Request", close: true}},
}

// describe finds what a client gets for err, and whether the node's log gets it
// too.
func describe(err error) (refusal, bool) {
	if e := (*refusal)(nil); errors.As(err, &e) {
		return *e, false
	}
	if e := (*gust.ThrottledError)(nil); errors.As(err, &e) {
		return refusal{status: http.StatusTooManyRequests, message: "Too Many Requests", reason: e.Reason, retry: max(e.RetryAfter, time.Second)}, false
	}
	if e := (*gust.FunctionError)(nil); errors.As(err, &e) {
		if r, ok := outcomes[e.Outcome]; ok {
			return r, false
		}
		return refusal{status: http.StatusBadGateway, message: internal}, e.Outcome == gust.OutcomeSandbox
	}
	if e := (*malformedError)(nil); errors.As(err, &e) {
		return refusal{status: http.StatusBadGateway, message: internal}, true
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			r := s.refusal
			if s.text {
				r.message = err.Error()
			}
			return r, false
		}
	}
	return refusal{status: http.StatusInternalServerError, message: internal}, true
}

// refuse writes err as the response, in API Gateway's shape.
func (g *gateway) refuse(w http.ResponseWriter, c *call, err error) {
	e, loud := describe(err)
	if loud {
		g.log.warn(c, err)
	}
	body := append([]byte(`{"message":`), appendQuoted(nil, e.message)...)
	if e.reason != "" {
		body = append(body, `,"reason":`...)
		body = appendQuoted(body, string(e.reason))
	}
	body = append(body, '}')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if e.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.retry+time.Second-1)/time.Second), 10))
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	if e.close {
		h.Set("Connection", "close")
	}
	w.WriteHeader(e.status)
	w.Write(body) //nolint:errcheck // whoever asked has gone
}

// sampledLog logs at most one line a second, and says how many it left out: one
// broken function must not fill the node's log.
type sampledLog struct {
	logger *slog.Logger
	next   atomic.Int64 // Unix nanoseconds
	left   atomic.Int64
}

func (l *sampledLog) warn(c *call, err error) {
	now, next := c.now.UnixNano(), l.next.Load()
	if now < next || !l.next.CompareAndSwap(next, now+int64(time.Second)) {
		l.left.Add(1)
		return
	}
	args := []any{"request_id", c.requestID, "error", err.Error()}
	if c.target != nil {
		args = append(args, "function", c.target.function.Name, "app", c.target.function.App)
	}
	if n := l.left.Swap(0); n > 0 {
		args = append(args, "left_out", n)
	}
	l.logger.Warn(fmt.Sprintf("a request was answered with %s", internal), args...)
}

func (l *sampledLog) debug(c *call, err error) {
	l.logger.Debug("an answer broke off", "function", c.target.function.Name, "request_id", c.requestID, "error", err.Error())
}
