package invoke

import (
	"io"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// Request asks for one invocation of a function by name.
type Request struct {
	Function string
	// Qualifier is empty, "$LATEST" or the number of the current version.
	Qualifier string
	// Payload is the event. It is not changed, and must not be until Invoke
	// has returned.
	Payload []byte
	// Source is what asked: "http", "invoke" or "async", for the report.
	Source string
	// RequestID is a lower-case UUID; empty makes a new one.
	RequestID string
	// TraceID is in the X-Amzn-Trace-Id form; empty means none.
	TraceID string
	// ClientContext and CognitoIdentity are JSON documents, handed on as they
	// are.
	ClientContext   string
	CognitoIdentity string
	// Tail asks for the end of the invocation's log.
	Tail bool

	// load reads the payload of an event that is kept, once it has its
	// environment: what waits takes no memory. Such an event is not queued
	// either, and is for the function of app alone.
	load func() ([]byte, error)
	app  string
}

// Response is how an invocation ended. Exactly one of Result and Error is set.
type Response struct {
	RequestID string
	// Version is the version that ran.
	Version uint64
	Result  *gust.Result
	Error   *gust.FunctionError
	// LogTail is the last 4 KB of the log in Lambda's text form, if it was
	// asked for. For a stream it is there once the stream has been read to its
	// end or closed.
	LogTail []byte
}

// stream ends an invocation when its answer has been read or given up, or when
// its time is over though nobody does either.
type stream struct {
	io.ReadCloser
	end   func(error)
	timer *time.Timer
	once  sync.Once
}

// streamGrace is how long after its deadline, at which the program is killed, a
// stream that nobody reads counts.
const streamGrace = time.Second

// newStream calls end once: with how reading or closing ended, or with late.
func newStream(from io.ReadCloser, left time.Duration, late error, end func(error)) *stream {
	s := &stream{ReadCloser: from, end: end}
	s.timer = time.AfterFunc(left+streamGrace, func() { s.once.Do(func() { end(late) }) })
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.finish(err)
	}
	return n, err
}

func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	s.finish(err)
	return err
}

func (s *stream) finish(err error) {
	s.once.Do(func() {
		s.timer.Stop()
		if err == io.EOF {
			err = nil
		}
		s.end(err)
	})
}
