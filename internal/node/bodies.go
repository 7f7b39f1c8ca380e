package node

import (
	"io"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
)

// How slowly the body of a request to the API may come: each may take
// bodyPatience, and a second for every bodyRate bytes of it.
const (
	bodyPatience = time.Minute
	bodyRate     = 64 * gust.KB
)

// timely ends the connections of those whose bodies do not come. Without it a
// connection and a place at the door would cost whoever takes them one packet,
// for good, and no key: before net/http answers it waits for the rest of a
// body, whether somebody wanted it or not.
func timely(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			b := &timelyBody{ReadCloser: r.Body, control: http.NewResponseController(w), limit: time.Now().Add(patience)}
			b.allow()
			r.Body = b
		}
		next.ServeHTTP(w, r)
	})
}

type timelyBody struct {
	io.ReadCloser
	control *http.ResponseController
	limit   time.Time
}

func (b *timelyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
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
func (b *timelyBody) allow() { _ = b.control.SetReadDeadline(b.limit) }
