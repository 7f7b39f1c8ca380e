package gust

import (
	"io"
	"time"
)

// Invocation is one run of a function version on one event, as an environment
// gets it.
type Invocation struct {
	// RequestID is a lower-case UUID. A retry of an asynchronous event has
	// the same one.
	RequestID string
	Payload   []byte
	// Deadline is when the environment is stopped if it has not answered.
	Deadline time.Time
	// ARN is the function as it was asked for, with its qualifier if any.
	ARN string
	// TraceID is in the X-Amzn-Trace-Id form (Root=...;Parent=...;Sampled=...).
	TraceID string
	// ClientContext is JSON, CognitoIdentity too; empty means none.
	ClientContext   string
	CognitoIdentity string
}

// Result is what a function answered. An invocation that ended in any other way
// has a *FunctionError instead.
type Result struct {
	// Payload is the whole answer unless Stream is set.
	Payload     []byte
	ContentType string
	// Stream is the answer of a function that streams. Whoever gets it reads
	// it to its end and closes it; only then the environment is free again.
	// An error in the middle ends it with a *FunctionError.
	Stream io.ReadCloser
}

// Outcome is how an invocation ended. Its values are the labels of metrics.
type Outcome string

const (
	OutcomeOK Outcome = "ok"
	// OutcomeError: the handler returned or threw an error.
	OutcomeError Outcome = "error"
	// OutcomeTimeout: no answer before the function's timeout.
	OutcomeTimeout Outcome = "timeout"
	// OutcomeExit: the program ended by itself, with whatever status.
	OutcomeExit Outcome = "exit"
	// OutcomeCrash: the program was ended by a signal it did not survive.
	OutcomeCrash Outcome = "crash"
	// OutcomeMemory: the kernel ended the program at its memory limit.
	OutcomeMemory Outcome = "out_of_memory"
	// OutcomeInit: the environment did not come up (its own error, an exit,
	// or no readiness in time).
	OutcomeInit Outcome = "init_error"
	// OutcomeSize: the answer was over its limit.
	OutcomeSize Outcome = "response_size"
	// OutcomeProtocol: the program broke the protocol it is spoken to in.
	OutcomeProtocol Outcome = "protocol_error"
	// OutcomeSandbox: the node could not start or keep the environment.
	OutcomeSandbox Outcome = "sandbox_error"
)

// ColdCause says why an environment was started.
type ColdCause string

const (
	ColdFirst       ColdCause = "first"       // the version had never run
	ColdScaleOut    ColdCause = "scale_out"   // all environments were busy
	ColdIdle        ColdCause = "idle"        // the last one was reclaimed
	ColdDeploy      ColdCause = "deploy"      // an older version had environments
	ColdRevoked     ColdCause = "revoked"     // the sessions of its role were ended, and the last one's were among them
	ColdCrash       ColdCause = "crash"       // the last one died
	ColdProvisioned ColdCause = "provisioned" // nobody waited for it
	ColdPrewarmed   ColdCause = "prewarmed"   // an invocation was expected
	ColdWarmUp      ColdCause = "warm_up"     // somebody asked for it to be ready, without an event
)

// Report is what one invocation cost and how it ended: the source of every log
// line, metric, trace and price about it.
type Report struct {
	App         string    `json:"app"`
	Function    string    `json:"function"`
	Version     uint64    `json:"version"`
	Environment string    `json:"environment"`
	RequestID   string    `json:"request_id"`
	TraceID     string    `json:"trace_id,omitempty"`
	Source      string    `json:"source"` // what asked: "http", "invoke", "async"
	Start       time.Time `json:"start"`

	// Cold is empty for a warm invocation.
	Cold ColdCause `json:"cold,omitempty"`
	// Pooled tells of a cold one that its interpreter had been booted ahead.
	Pooled bool `json:"pooled,omitempty"`
	// Init is how long the environment took to be ready, when this invocation
	// was its first.
	Init time.Duration `json:"init,omitempty"`
	// Queue is how long the invocation waited for its environment, the start
	// of a new one included.
	Queue time.Duration `json:"queue"`
	// Duration is from dispatch to the end of the answer.
	Duration time.Duration `json:"duration"`
	// Billed is Duration (and Init, as Lambda bills it) rounded up to 1 ms.
	Billed time.Duration `json:"billed"`
	// MemoryUsed is the environment's peak so far in bytes, page cache not
	// counted.
	MemoryUsed int64 `json:"memory_used"`
	MemorySize int64 `json:"memory_size"`
	// BytesOut is what the environment sent to its network since its last
	// report, in bytes of IP packets.
	BytesOut int64 `json:"bytes_out,omitempty"`

	Outcome      Outcome `json:"outcome"`
	ErrorType    string  `json:"error_type,omitempty"`
	ErrorMessage string  `json:"error_message,omitempty"`
}
