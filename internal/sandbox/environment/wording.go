package environment

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// The words are Lambda's own, as functions' callers and their alarms match
// them. Types that Lambda does not have begin with "Sandbox.".

// Timeout is the error of an invocation that had no answer when its deadline
// passed; after is how long it was given.
func Timeout(requestID string, after time.Duration) *gust.FunctionError {
	return &gust.FunctionError{
		Outcome: gust.OutcomeTimeout,
		Type:    "Sandbox.Timedout",
		Message: strings.TrimSpace(fmt.Sprintf("%s Task timed out after %.2f seconds", requestID, after.Seconds())),
	}
}

// Ended is the error of an invocation whose program ended before it answered.
// requestID may be empty; memory is the environment's limit in bytes.
func Ended(requestID string, exit sandbox.Exit, memory int64) *gust.FunctionError {
	e := &gust.FunctionError{Outcome: exit.Outcome, Type: "Runtime.ExitError"}
	switch exit.Outcome {
	case gust.OutcomeMemory:
		e.Type = "Runtime.OutOfMemory"
		e.Message = fmt.Sprintf("Runtime exited with error: signal: killed: out of memory, its limit is %d MB", memory/gust.MB)
	case gust.OutcomeExit:
		e.Message = "Runtime exited without providing a reason"
		if exit.Status != 0 {
			e.Message = fmt.Sprintf("Runtime exited with error: exit status %d", exit.Status)
		}
	case gust.OutcomeCrash:
		e.Message = "Runtime exited with error: signal: " + syscall.Signal(exit.Status).String()
	case gust.OutcomeOK:
		// The node ended it while somebody else's invocation was under way.
		e.Outcome = gust.OutcomeSandbox
		e.Type = "Sandbox.Stopped"
		e.Message = "the environment was stopped before the invocation was done"
	default:
		e.Outcome = gust.OutcomeSandbox
		e.Type = "Sandbox.Failure"
		e.Message = "the environment failed before the invocation was done"
	}
	e.Message = "Error: " + e.Message
	if requestID != "" {
		e.Message = "RequestId: " + requestID + " " + e.Message
	}
	return e
}

// NotStarted is the error of an environment whose program ended before it was
// ready; output is the end of what it printed.
func NotStarted(exit sandbox.Exit, memory int64, output []byte) *gust.FunctionError {
	e := Ended("", exit, memory)
	e.Outcome = gust.OutcomeInit
	if exit.Outcome == gust.OutcomeMemory {
		e.Outcome = gust.OutcomeMemory // told apart in the report
	}
	e.Output = string(output)
	return e
}

// InvalidEntrypoint is the error of a program that could not be executed.
func InvalidEntrypoint(err error) *gust.FunctionError {
	return &gust.FunctionError{
		Outcome: gust.OutcomeInit,
		Type:    "Runtime.InvalidEntrypoint",
		Message: "Error: " + err.Error(),
	}
}
