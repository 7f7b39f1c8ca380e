package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// patience is how long a client may take nothing of what a stream has for it,
// before it is taken for gone.
const patience = 30 * time.Second

// stream writes records as lines of JSON, for as long as they come, the client
// takes them and the node goes on. What goes wrong on the way is the last line,
// {"error": ...}. Those who follow get each record at once.
func stream[T any](s *server, w http.ResponseWriter, ctx context.Context, follow bool, records func(context.Context) iter.Seq2[T, error]) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.Draining != nil {
		stop := context.AfterFunc(s.Draining, func() { cancel(context.Cause(s.Draining)) })
		defer stop()
	}

	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	rest := func() { _ = control.SetWriteDeadline(time.Time{}) } // a pause is not the client's, nor is the next request
	defer rest()
	buffered := bufio.NewWriterSize(&deadlineWriter{w, control}, 32<<10)
	if follow { // the client learns at once that it was understood
		w.WriteHeader(http.StatusOK)
		if err := control.Flush(); err != nil {
			return
		}
	}
	lines := json.NewEncoder(buffered)
	for record, err := range records(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				e := describe(err)
				if e.Status >= 500 {
					s.Logger.Error("a stream broke off", "error", err)
				}
				_ = lines.Encode(struct { // flushed below
					Error *Error `json:"error"`
				}{e})
			}
			break
		}
		if err := lines.Encode(record); err != nil {
			return // the client is gone
		}
		if follow {
			if buffered.Flush() != nil || control.Flush() != nil {
				return
			}
			rest()
		}
	}
	_ = buffered.Flush() // the client may be gone
}

// deadlineWriter gives each write of a long answer its own deadline: the answer
// may take hours, a client that takes nothing may not.
type deadlineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (d *deadlineWriter) Write(p []byte) (int, error) {
	_ = d.control.SetWriteDeadline(time.Now().Add(patience)) // where it is not supported there is none to reset
	return d.w.Write(p)
}

// read gives what stream wrote, for as long as ctx. what is what it is of, for
// the error.
func read[T any](ctx context.Context, c *Client, path, what string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		resp, err := c.send(ctx, "GET", path, nil, nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		lines := json.NewDecoder(bufio.NewReader(resp.Body))
		for {
			var line json.RawMessage
			var failed struct{ Error *Error }
			record := new(T)
			err := lines.Decode(&line)
			switch {
			case err == io.EOF:
				return
			case err != nil:
			case bytes.HasPrefix(line, []byte(`{"error":`)):
				if err = json.Unmarshal(line, &failed); err == nil && failed.Error != nil {
					yield(nil, failed.Error)
					return
				}
			default:
				err = json.Unmarshal(line, record)
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading %s: %w", what, err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}
