package lambda

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/eventstream"
)

const (
	// chunkSize bounds a PayloadChunk.
	chunkSize = 64 << 10
	// writeStall is how long a client may take no byte of an answer before it
	// is given up.
	writeStall = time.Minute
)

// completion is the API's InvokeWithResponseStreamCompleteEvent.
type completion struct {
	ErrorCode    string `json:",omitempty"`
	ErrorDetails string `json:",omitempty"`
	LogResult    string `json:",omitempty"`
}

// invokeStream is the operation InvokeWithResponseStream: the answer as it comes
// in messages PayloadChunk, and how it ended in InvokeComplete. A function that
// does not stream is answered with its whole answer in chunks.
func (s *server) invokeStream(c *call, labels []string) error {
	in, err := s.prepare(c, labels[0], requestResponse, dryRun)
	if err != nil {
		return err
	}
	if in.kind == dryRun {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	resp, err := s.Invoker.Invoke(c.r.Context(), &in.request)
	if err != nil {
		return err
	}
	if resp.Error != nil && resp.Error.Outcome == gust.OutcomeSandbox {
		return resp.Error
	}
	h := c.w.Header()
	describeRun(h, in, resp)
	h.Set("Content-Type", eventstream.ContentType)
	out := messages{w: c.w, control: http.NewResponseController(c.w)}
	defer out.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may have further requests
	fe := resp.Error
	if fe == nil {
		fe = out.answer(resp.Result)
	}
	if out.err != nil {
		return nil // whoever asked has gone
	}
	end := completion{LogResult: base64.StdEncoding.EncodeToString(resp.LogTail)}
	if fe != nil {
		end.ErrorCode, end.ErrorDetails = fe.Type, string(fe.Document())
		if end.ErrorCode == "" {
			end.ErrorCode = "Unhandled"
		}
	}
	doc, err := json.Marshal(end)
	if err != nil {
		panic(http.ErrAbortHandler) // three strings always marshal
	}
	out.send("InvokeComplete", "application/json", doc)
	return nil
}

// messages writes event stream messages, each flushed at once. After an error
// it writes nothing more.
type messages struct {
	w       io.Writer
	control *http.ResponseController
	buf     []byte
	err     error
}

func (m *messages) send(event, contentType string, payload []byte) {
	if m.err != nil {
		return
	}
	if m.buf, m.err = eventstream.AppendEvent(m.buf[:0], event, contentType, payload); m.err != nil {
		return
	}
	m.control.SetWriteDeadline(time.Now().Add(writeStall)) //nolint:errcheck // then without
	if _, m.err = m.w.Write(m.buf); m.err != nil {
		return
	}
	if err := m.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		m.err = err
	}
}

// answer sends a function's answer and returns how it broke off, if it did.
func (m *messages) answer(res *gust.Result) *gust.FunctionError {
	const octets = "application/octet-stream"
	if res.Stream == nil {
		for p := res.Payload; len(p) > 0; {
			n := min(len(p), chunkSize)
			m.send("PayloadChunk", octets, p[:n])
			p = p[n:]
		}
		return nil
	}
	defer res.Stream.Close() //nolint:errcheck // it is read to its end, or given up
	chunk := make([]byte, chunkSize)
	for m.err == nil {
		n, err := res.Stream.Read(chunk)
		if n > 0 {
			m.send("PayloadChunk", octets, chunk[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return functionError(err)
		}
	}
	return nil
}
