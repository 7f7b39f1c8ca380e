package gust

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Sentinels that adapters map to their protocol's codes.
var (
	// ErrNotFound: what was named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else changed it first, or owns the name.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the input is wrong; the text says what, where and what
	// would be right.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: the input is over a limit that the text names.
	ErrTooLarge = errors.New("too large")
	// ErrNoSpace: the disk is full; reads go on, writes are refused.
	ErrNoSpace = errors.New("no space left for the data folder")
	// ErrCorrupt: stored data does not match its checksum; the text names the
	// file.
	ErrCorrupt = errors.New("corrupt")
	// ErrClosing: the node is draining.
	ErrClosing = errors.New("the node is shutting down")
	// ErrBusy: it is too much at once. Trying again may help.
	ErrBusy = errors.New("the node is busy")
)

// Clip is s in up to limit bytes of whole characters, for an error or a record; it
// ends with "..." where there is more.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := max(limit-len("..."), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// ThrottleReason says which limit refused an invocation.
type ThrottleReason string

const (
	ThrottleFunction ThrottleReason = "function" // its reserved concurrency
	ThrottleNode     ThrottleReason = "node"     // the node-wide limit
	ThrottleMemory   ThrottleReason = "memory"   // the node's memory budget
	ThrottleQueue    ThrottleReason = "queue"    // its queue is full or waited too long
	ThrottleBackoff  ThrottleReason = "backoff"  // its environments cannot start
)

// ThrottledError refuses an invocation before it ran.
type ThrottledError struct {
	Function string
	Reason   ThrottleReason
	// Detail names the limit and its value.
	Detail string
	// RetryAfter is when trying again may help; 0 means unknown.
	RetryAfter time.Duration
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("function %s is throttled by its %s limit: %s", e.Function, e.Reason, e.Detail)
}

// FunctionError is how an invocation ended that gave no answer, or that
// answered with an error.
type FunctionError struct {
	Outcome Outcome
	// Type and Message are the function's own (OutcomeError, OutcomeInit), or
	// in Lambda's words: "Sandbox.Timedout", "Runtime.ExitError",
	// "Runtime.OutOfMemory", "Function.ResponseSizeTooLarge".
	Type    string
	Message string
	// Payload is the error document the function sent, if it sent one.
	Payload []byte
	// Output is the end of what the program printed, when it did not come up.
	Output string
}

func (e *FunctionError) Error() string {
	if e.Type == "" {
		return e.Message
	}
	return e.Type + ": " + e.Message
}

// Document is the error as Lambda answers it: the function's own document, or
// {"errorType": ..., "errorMessage": ...}.
func (e *FunctionError) Document() []byte {
	if len(e.Payload) > 0 {
		return e.Payload
	}
	doc, err := json.Marshal(struct {
		Type    string `json:"errorType,omitempty"`
		Message string `json:"errorMessage"`
	}{e.Type, e.Message})
	if err != nil { // two strings always marshal
		panic(err)
	}
	return doc
}
