package invoke

import (
	"io"

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

// stream ends an invocation when its answer has been read or given up.
type stream struct {
	io.ReadCloser
	end  func(error)
	done bool
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
	if s.done {
		return
	}
	s.done = true
	if err == io.EOF {
		err = nil
	}
	s.end(err)
}
