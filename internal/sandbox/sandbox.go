// Package sandbox is the seam between the node and what runs functions' code:
// start an environment, run an event in it, stop it. Every backend behind it
// passes the suite in sandboxtest.
package sandbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
)

// Backend starts environments. It is safe for use by many goroutines.
type Backend interface {
	// Name is "process" or "none", for statuses and logs.
	Name() string
	// Start begins a new environment and returns as soon as its program has
	// been started; the program initialises on its own, see
	// Environment.Ready. An error means that nothing is left of it.
	Start(ctx context.Context, spec Spec) (Environment, error)
	// Close ends every environment that is still there and gives back all
	// that the backend holds.
	Close() error
}

// Spec is all that an environment needs. Whoever fills it answers for the
// limits; a backend carries out all of it or refuses to start.
type Spec struct {
	// ID is unique on the node: 32 lower-case hexadecimal characters.
	ID string
	// Function is for naming things in errors and in the operating system.
	Function string
	Runtime  gust.Runtime
	// Code is the absolute folder on the host that the program finds,
	// read-only, as /var/task (under backend "none": where it is).
	Code string
	// Root is the absolute folder on the host that is the environment's root,
	// read-only, as package runtimes makes it. Backend "none" has no use for it.
	Root string
	// Layers are absolute folders on the host whose files the program finds,
	// read-only and merged, in /opt; of the same name, the last one's.
	Layers []string
	// Command is argv; a relative first word is looked up in the code folder.
	Command []string
	// Boot, if it is not empty, is an argv that boots the interpreter of Root
	// before it is known for which function: a backend may hand out an
	// environment in which it has been started ahead, instead of starting
	// Command. See package runtimes for what the program then reads. It is
	// empty for what cannot be bound late.
	Boot []string
	// BootEnv is the environment that Boot boots with, NAME=value. It says
	// nothing of the function, and Env takes its place.
	BootEnv []string
	// Env is the whole environment, NAME=value, but for what the backend
	// alone knows: AWS_LAMBDA_RUNTIME_API, or PORT for an http function, and
	// what API says.
	Env []string

	Memory    int64 // bytes
	Ephemeral int64 // bytes of /tmp
	CPU       gust.CPUMode
	Processes int // processes and threads together
	// Network is what the program may reach.
	Network gust.Network

	// API, if it is set, gives the program a way to the node's own API. It is
	// called once, in Start, with a listener that the program alone reaches, at
	// gust.APIPort of its loopback (under backend "none": at some port of the
	// host's, which others of the machine reach too), and with the SHA-256 of
	// the environment's token: random, another for each environment, and in a
	// file that the program can read and cannot change. What API returns is
	// closed when the program has ended, and closes the listener. The program
	// finds the API by AWS_ENDPOINT_URL, unless Env has one, and credentials by
	// AWS_CONTAINER_CREDENTIALS_FULL_URI, which is CredentialsPath there, and
	// AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.
	API func(ln net.Listener, token [sha256.Size]byte) io.Closer

	// Concurrency is how many invocations may run at once.
	Concurrency int
	// Ready is the path an http program must answer before it is ready; empty
	// means accepting a connection.
	Ready string

	// Output gets each line the program writes to its standard output or
	// error, without its newline, in order, from one goroutine at a time. A
	// line longer than gust.MaxLogLine comes in pieces. The slice is only
	// valid during the call. Output must not block for long: the program
	// waits meanwhile.
	Output func(line []byte)
}

// CredentialsPath is where an environment's API gives out credentials.
const CredentialsPath = "/_gust/credentials"

// Environment is one running sandbox.
type Environment interface {
	// Ready is closed when the program can take its first invocation, or when
	// it will never be able to; InitError tells which.
	Ready() <-chan struct{}
	// InitError is nil when the environment is ready, and else why it is not
	// (init/error, an exit, a crash). Valid once Ready is closed.
	InitError() *gust.FunctionError

	// Invoke runs one event. It returns a result, or a *gust.FunctionError
	// when the program was given the event and failed. Lines the program
	// wrote before it answered have been given to Output when Invoke returns
	// (for a stream: when its end has been read).
	//
	// When inv.Deadline passes, or the program breaks the protocol, Invoke
	// kills the environment before it returns. Whether the environment may be
	// used again is told by Done alone. Invoke may be called before Ready: it
	// waits for it within the deadline. An http environment has no Invoke.
	Invoke(ctx context.Context, inv *gust.Invocation) (*gust.Result, error)
	// RoundTrip sends a request to an http program and streams the answer;
	// the answer's body is an io.ReadWriteCloser after 101 Switching
	// Protocols. Other environments have none.
	RoundTrip(*http.Request) (*http.Response, error)

	// Freeze stops all its processes from running, Thaw lets them run again.
	// Both are idempotent. Invoke and RoundTrip do not thaw by themselves.
	Freeze() error
	Thaw() error

	// SetInit tells whether the program is initialising: CPU limits wait
	// until it is not. A new environment is.
	SetInit(bool) error

	// Usage is what the environment has used so far.
	Usage() Usage
	// BytesOut is what it has sent to its network so far, in bytes of IP
	// packets. It is cheap enough to be asked after each invocation.
	BytesOut() int64
	// Pooled reports whether its interpreter had been booted ahead.
	Pooled() bool

	// Stop asks the program to end (SIGTERM), kills what is left after grace,
	// and returns when nothing of it is left. Grace 0 kills at once. It may
	// be called more than once, and thaws.
	Stop(grace time.Duration)
	// Done is closed when the program has ended, by whatever cause, and
	// everything it had has been given back.
	Done() <-chan struct{}
	// Exit is how it ended. Valid once Done is closed.
	Exit() Exit
}

// Usage is what an environment has used.
type Usage struct {
	// Memory and PeakMemory are bytes without reclaimable page cache; peak is
	// the highest that was seen, and may miss a spike between two looks.
	Memory, PeakMemory int64
	// CPU is processor time since the start.
	CPU time.Duration
}

// Exit is how an environment ended.
type Exit struct {
	// Outcome is OutcomeExit, OutcomeCrash, OutcomeMemory, OutcomeSandbox, or
	// OutcomeOK when the node stopped it.
	Outcome gust.Outcome
	// Status is the exit status, or the number of the signal of a crash.
	Status int
}

// ErrGone is Invoke's and RoundTrip's error when the environment had ended
// before the program was given anything: the event can be run elsewhere.
var ErrGone = errors.New("the environment has ended")
