package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	gust "github.com/gust-dev/gust"
)

// apiError is an error in the API's words.
type apiError struct {
	code    string
	status  int
	message string
	reason  string        // of TooManyRequestsException
	retry   time.Duration // when trying again may help, 0 is unknown
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// domain maps the domain's errors to the API's. What is not here is a
// ServiceException with status 500.
var domain = []struct {
	err    error
	code   string
	status int
}{
	{gust.ErrNotFound, "ResourceNotFoundException", http.StatusNotFound},
	{gust.ErrTooLarge, "RequestTooLargeException", http.StatusRequestEntityTooLarge},
	{gust.ErrInvalid, "InvalidParameterValueException", http.StatusBadRequest},
	{gust.ErrConflict, "ResourceConflictException", http.StatusConflict},
	{gust.ErrNoSpace, "ServiceException", http.StatusServiceUnavailable},
	{gust.ErrClosing, "ServiceException", http.StatusServiceUnavailable},
	{context.Canceled, "ServiceException", 499}, // nobody is there to read it
}

// throttled maps the reasons of the domain to those that the API has; the text
// names the limit.
var throttled = map[gust.ThrottleReason]string{
	gust.ThrottleFunction: "ReservedFunctionConcurrentInvocationLimitExceeded",
	gust.ThrottleQueue:    "ReservedFunctionConcurrentInvocationLimitExceeded",
	gust.ThrottleNode:     "ConcurrentInvocationLimitExceeded",
	gust.ThrottleMemory:   "ConcurrentInvocationLimitExceeded",
	gust.ThrottleBackoff:  "FunctionInvocationRateLimitExceeded",
}

// describe finds the API's form of err.
func describe(err error) *apiError {
	if e := (*apiError)(nil); errors.As(err, &e) {
		return e
	}
	if e := (*gust.ThrottledError)(nil); errors.As(err, &e) {
		return &apiError{code: "TooManyRequestsException", status: http.StatusTooManyRequests,
			message: "Rate Exceeded: " + e.Error(), reason: throttled[e.Reason], retry: max(e.RetryAfter, time.Second)}
	}
	for _, d := range domain {
		if errors.Is(err, d.err) {
			return &apiError{code: d.code, status: d.status, message: err.Error()}
		}
	}
	return &apiError{code: "ServiceException", status: http.StatusInternalServerError, message: err.Error()}
}

// refuse writes err as the response.
func (s *server) refuse(c *call, err error) {
	e := describe(err)
	if e.status == http.StatusInternalServerError {
		s.Logger.Error("the Lambda API failed", "request_id", c.id, "path", c.r.URL.Path, "error", err.Error())
	}
	kind := "User"
	if e.status >= 500 {
		kind = "Service"
	}
	doc := map[string]string{"Type": kind}
	// The API's model spells it in two ways.
	switch e.code {
	case "ResourceNotFoundException", "ServiceException":
		doc["Message"] = e.message
	default:
		doc["message"] = e.message
	}
	if e.reason != "" {
		doc["Reason"] = e.reason
	}
	h := c.w.Header()
	h.Set("x-amzn-ErrorType", e.code)
	if e.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.retry+time.Second-1)/time.Second), 10))
	}
	writeJSON(c.w, e.status, doc)
}

// writeJSON writes a document of the API.
func writeJSON(w http.ResponseWriter, status int, doc any) {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("a document of the API does not marshal: %v", err)) // they hold strings, numbers and maps of them
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // whoever asked has gone
}
