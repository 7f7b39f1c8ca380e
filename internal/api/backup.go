package api

import (
	"io"
	"net/http"

	"github.com/gust-dev/gust/internal/store"
)

// backup streams one tar of everything durable, cut at one moment. A backup
// that fails on the way ends without the end of its HTTP message, so that
// nobody takes a part for the whole.
func (s *server) backup(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	out := &begun{w: &deadlineWriter{w, http.NewResponseController(w)}, header: func() {
		w.Header().Set("Content-Type", "application/x-tar")
	}}
	err := store.Backup(r.Context(), s.Store, out)
	if err != nil && out.any {
		s.Logger.Error("a backup broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
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
