package lambda

import (
	"context"
	"errors"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

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
func describe(err error) *wire.Error {
	if e := (*gust.ThrottledError)(nil); errors.As(err, &e) {
		return &wire.Error{Name: "TooManyRequestsException", Message: "Rate Exceeded: " + e.Error(), RetryAfter: max(e.RetryAfter, time.Second),
			Detail: &TooManyRequestsException{Type: new("User"), Reason: new(throttled[e.Reason])}}
	}
	if e := (*identity.LimitError)(nil); errors.As(err, &e) { // only policies of functions have any here
		return fault("PolicyLengthExceededException", err.Error())
	}
	for _, d := range domain {
		if errors.Is(err, d.err) {
			e := fault(d.code, err.Error())
			e.Status = d.status
			return e
		}
	}
	return fault("ServiceException", err.Error())
}

// fault is an error of the API. Each tells whose fault it is.
func fault(name, text string) *wire.Error {
	e := &wire.Error{Name: name, Message: text, Detail: &ServiceException{Type: new("User")}}
	if name == "ServiceException" {
		e.Detail = &ServiceException{Type: new("Service")}
	}
	return e
}
