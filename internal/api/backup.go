package api

import (
	"io"
	"net/http"
	"time"

	"github.com/gust-dev/gust/internal/store"
)

// backup streams one tar of everything durable, cut at one moment. A backup
// that fails on the way ends without the end of its HTTP message, so that
// nobody takes a part for the whole.
func (s *server) backup(q *request) (answer, error) {
	if err := q.allow(everything); err != nil {
		return answer{}, err
	}
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		control := http.NewResponseController(w)
		defer control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may have further requests
		out := &begun{w: &deadlineWriter{w, control}, header: func() {
			w.Header().Set("Content-Type", "application/x-tar")
		}}
		err := store.Backup(q.Context(), s.Store, out)
		if err != nil && out.any {
			s.Logger.Error("a backup broke off", "error", err)
			return brokenOff{err}
		}
		return err
	}}, nil
}

// begun remembers whether anything was written.
type begun struct {
	w      io.Writer
	header func()
	any    bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.any = true
		b.header()
	}
	return b.w.Write(p)
}
