package api

import (
	"context"
	"iter"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlines is an answer that remembers the newest limit of its connection.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return nil
}

// TestPausesAreNobodysFault: a limit is there while something is written, and
// neither while there is nothing to tell nor for the connection's next request.
func TestPausesAreNobodysFault(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	stream(&server{}, w, t.Context(), true, func(context.Context) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for range 2 {
				if !yield("record", nil) {
					t.Error("it ended")
				}
				if !w.write.IsZero() {
					t.Errorf("while nothing comes there is a limit of %v", time.Until(w.write))
				}
			}
		}
	})
	if got := w.Body.String(); got != "\"record\"\n\"record\"\n" || !w.write.IsZero() {
		t.Errorf("%q, with the limit %v left", got, w.write)
	}
}
