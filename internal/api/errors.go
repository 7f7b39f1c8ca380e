package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
)

// Error is how the API says no, on both sides of the wire.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is for programs; see the table in docs/API.md.
	Code string `json:"code"`
	// Message is one sentence for people: what, where, what would be right.
	Message string `json:"message"`
	// Details are the single problems where there are several.
	Details   []string `json:"details,omitempty"`
	RequestID string   `json:"request_id,omitempty"`
	// Denied is what was denied, with CodeDenied.
	Denied *Denied `json:"denied,omitempty"`

	after time.Duration // when the client may send it again; 0 is never
}

// Denied is a *guard.DeniedError on the wire.
type Denied struct {
	Principal string `json:"principal"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	// Reason says which sort of policy decided; if a statement denied it, which.
	Reason string `json:"reason"`
	// Explicit tells that a statement denied it; otherwise none allowed it.
	Explicit bool `json:"explicit"`
}

// CodeDenied: the key is valid, and may not do this.
const CodeDenied = "denied"

// codeUnauthorized: the key, or what it stands for, is valid no longer.
const codeUnauthorized = "unauthorized"

// ErrorCode is what the audit log calls the error.
func (e *Error) ErrorCode() string { return e.Code }

// Error is the message, and the details on lines of their own.
func (e *Error) Error() string {
	if len(e.Details) == 0 {
		return e.Message
	}
	return e.Message + ":\n" + strings.Join(e.Details, "\n")
}

// Unwrap gives the domain's error of the code, so that errors.Is tells on the
// client's side what it does on the node's.
func (e *Error) Unwrap() error {
	for _, k := range kinds {
		if k.code == e.Code {
			return k.err
		}
	}
	return nil
}

// kinds maps the domain's errors to the API's.
var kinds = []struct {
	err    error
	status int
	code   string
}{
	{gust.ErrNotFound, http.StatusNotFound, "not_found"},
	{gust.ErrConflict, http.StatusConflict, "conflict"},
	{gust.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{gust.ErrInvalid, http.StatusUnprocessableEntity, "invalid"},
	{gust.ErrNoSpace, http.StatusInsufficientStorage, "no_space"},
	{gust.ErrCorrupt, http.StatusInternalServerError, "corrupt"},
	{gust.ErrClosing, http.StatusServiceUnavailable, "closing"},
	{gust.ErrBusy, http.StatusServiceUnavailable, "busy"},
	{access.ErrSlow, http.StatusRequestTimeout, "slow"},
}

// CodeArtifactMissing: an app names artifacts that the node does not have; the
// details are their digests.
const CodeArtifactMissing = "artifact_missing"

// codeThrottled: a limit of the node or of the function forbids it now.
const codeThrottled = "throttled"

func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "bad_request", Message: fmt.Sprintf(format, args...)}
}

// describe finds the API's form of err. The lines of an error that has several
// are its details.
func describe(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		e := *own
		return &e
	}
	if d := (*guard.DeniedError)(nil); errors.As(err, &d) {
		return &Error{Status: http.StatusForbidden, Code: CodeDenied, Message: d.Error(),
			Denied: &Denied{Principal: d.Principal, Action: d.Action, Resource: d.Resource, Reason: d.Reason, Explicit: d.Explicit}}
	}
	if refused := (*access.Error)(nil); errors.As(err, &refused) {
		return &Error{Status: http.StatusUnauthorized, Code: codeUnauthorized, Message: refused.Public()}
	}
	if throttled := (*gust.ThrottledError)(nil); errors.As(err, &throttled) {
		return &Error{Status: http.StatusTooManyRequests, Code: codeThrottled, Message: throttled.Error()}
	}
	e := &Error{Status: http.StatusInternalServerError, Code: "internal", Message: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			e.Status, e.Code = k.status, k.code
			e.Message = strings.TrimPrefix(e.Message, k.err.Error()+": ") // the code says it
			break
		}
	}
	if lines := strings.Split(e.Message, "\n"); len(lines) > 1 {
		e.Message, e.Details = fmt.Sprintf("there are %d problems", len(lines)), lines
	}
	return e
}
