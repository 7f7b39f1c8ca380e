package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// bodyTimeout is how long the whole body of a request that becomes an event may
// take.
const bodyTimeout = time.Minute

// uncounted is what each request may hold without asking the budget.
const uncounted = 64 << 10

// budget bounds the memory that all requests together hold.
type budget struct {
	limit int64
	used  atomic.Int64
}

// hold is what one request holds of a budget.
type hold struct {
	budget   *budget
	function string
	bytes    int64
}

// set makes the hold n bytes, or fails if that would be more than it is now and
// more than there is.
func (h *hold) set(n int64) error {
	if n <= uncounted {
		n = 0
	}
	more := n - h.bytes
	if more == 0 {
		return nil
	}
	if h.budget.used.Add(more) > h.budget.limit && more > 0 {
		h.budget.used.Add(-more)
		return &gust.ThrottledError{
			Function: h.function, Reason: gust.ThrottleMemory, RetryAfter: time.Second,
			Detail: fmt.Sprintf("the bodies of all requests together take the limit of %d bytes", h.budget.limit),
		}
	}
	h.bytes = n
	return nil
}

func (h *hold) release() { h.set(0) } //nolint:errcheck // less is always there

// readBody reads a request's body to its end into the scratch. What was
// announced but has not come takes no memory.
func readBody(w http.ResponseWriter, c *call, s *scratch, h *hold) ([]byte, error) {
	r := c.r
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > gust.MaxSyncPayload {
		return nil, tooLarge(r.ContentLength)
	}
	// The deadline is taken back after the body, not at the end: net/http
	// watches the connection for the client's leaving from then on.
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
		defer control.SetReadDeadline(time.Time{}) //nolint:errcheck // what failed is the connection
	}
	buf := s.body[:0]
	defer func() { s.body = buf[:0] }()
	for {
		if len(buf) == cap(buf) {
			n := min(max(2*cap(buf), 4<<10), gust.MaxSyncPayload+1)
			if err := h.set(int64(n)); err != nil {
				return nil, err
			}
			grown := make([]byte, len(buf), n)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > gust.MaxSyncPayload:
			return nil, tooLarge(int64(len(buf)))
		case err == io.EOF:
			return buf, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &refusal{status: http.StatusRequestTimeout, close: true,
				message: fmt.Sprintf("the body of the request did not come within %v", bodyTimeout)}
		case err != nil:
			return nil, &refusal{status: http.StatusBadRequest, close: true, message: "the body of the request broke off"}
		}
	}
}

func tooLarge(n int64) error {
	return fmt.Errorf("%w: a body or event of %d bytes is over the limit of 6 MB (%d bytes)", gust.ErrTooLarge, n, gust.MaxSyncPayload)
}
