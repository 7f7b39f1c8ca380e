package node

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// How slowly the body of a request to the API may come: each may take
// bodyPatience, and a second for every bodyRate bytes of it.
const (
	bodyPatience = time.Minute
	bodyRate     = 64 * gust.KB
)

// bodyFree is how much of each body counts for nothing: connections are bounded,
// and whoever sends little is let in however much others send.
const bodyFree = 64 * gust.KB

// bodies bounds what requests of one door make the node hold: for how long, and
// how much of it at once. A body is read before it is known whether its sender may
// anything at all, since its signature is over it, and what an environment's
// program makes the node hold is charged to no limit of the environment.
type bodies struct {
	patience time.Duration
	most     int64 // bytes of all bodies together, but for what is free
	held     atomic.Int64
}

// newBodies gives a door a 64th of what environments may use, and not less than
// ten of the largest events take. With buffers that grow, and what is not collected
// yet, it takes three times as much.
func newBodies(c Config) *bodies {
	return &bodies{patience: bodyPatience, most: max(memoryBudget(c)/64, 10*gust.MaxSyncPayload)}
}

// bound ends the connections of those whose bodies do not come, and refuses what
// is too much. Without the first a connection and a place at the door would cost
// whoever takes them one packet, for good, and no key: before net/http answers it
// waits for the rest of a body, whether somebody wanted it or not.
func (b *bodies) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			body := &body{
				ReadCloser: r.Body, of: b, control: http.NewResponseController(w), limit: time.Now().Add(b.patience),
				kept: !strings.HasPrefix(r.URL.Path, "/v1/artifacts/"), // those go to the disk as they come
			}
			body.allow()
			defer func() { b.held.Add(-body.counted) }()
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// body is one request's. It is read by one goroutine at a time.
type body struct {
	io.ReadCloser
	of            *bodies
	control       *http.ResponseController
	limit         time.Time
	kept          bool
	read, counted int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if more := b.read + int64(n) - bodyFree - b.counted; b.kept && more > 0 {
		if b.of.held.Add(more) > b.of.most {
			b.of.held.Add(-more)
			return 0, fmt.Errorf("%w: the bodies of all requests together are over the limit of %d MB", gust.ErrBusy, b.of.most/gust.MB)
		}
		b.counted += more
	}
	b.read += int64(n)
	switch {
	case err == io.EOF:
		b.limit = time.Time{} // net/http watches for the client's leaving from now on
		b.allow()
	case err == nil && !b.limit.IsZero():
		b.limit = b.limit.Add(time.Duration(n) * time.Second / bodyRate)
		b.allow()
	}
	return n, err
}

// allow makes limit the connection's. Where that cannot be, as in tests without
// one, nobody waits.
func (b *body) allow() { _ = b.control.SetReadDeadline(b.limit) }
