package access

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

// ErrSlow: the sender of a body was given up; the text names the limit.
var ErrSlow = errors.New("the body of the request came too slowly")

// BusyRetry is when trying again may help, after gust.ErrBusy.
const BusyRetry = time.Second

const (
	// smallBody is up to what a body is small, in bytes: large ones are never in
	// the way of those.
	smallBody = 64 * gust.KB
	// firstPiece is what is made ready for a body of which nothing has come and
	// nothing is proven, in bytes.
	firstPiece = 16 * gust.KB
	// bodyPatience is how long a body may bring nothing, and bodyRate, in bytes a
	// second, how much it has to bring on the average after that.
	bodyPatience = 20 * time.Second
	bodyRate     = 16 * gust.KB
)

// Bodies bounds what the bodies of all requests take in memory together, and how
// slowly they may come. Each has a limit of its own, which says nothing where
// thousands come at once; and who knows the ID of a key, which is no secret, can
// have bodies read before anything is proven. So there are parts that cannot use
// up each other: of those whose sender has proven nothing, for small ones and for
// others, and of those whose sender has. It is safe for use by many goroutines.
type Bodies struct {
	small, unproven, proven part
	patience                time.Duration
	now                     func() time.Time
}

// part is what some bodies may take together.
type part struct {
	what  string
	limit int64
	more  int64 // that small ones may take over the limit
	held  atomic.Int64
}

// NewBodies makes Bodies that take up to limit bytes together.
func NewBodies(limit int64) *Bodies {
	return &Bodies{
		small:    part{what: fmt.Sprintf("small ones, up to %d KB, whose signature is not verified yet", smallBody/gust.KB), limit: limit / 16},
		unproven: part{what: "those whose signature is not verified yet", limit: limit / 4},
		proven:   part{what: "those whose sender is known", limit: limit / 16 * 9, more: limit / 8},
		patience: bodyPatience, now: time.Now,
	}
}

// Held is how many bytes are held now.
func (b *Bodies) Held() int64 {
	return b.small.held.Load() + b.unproven.held.Load() + b.proven.held.Load()
}

// Handler has the requests to next counted: what is read into memory by an
// Authenticator or by Hold is given back when next returns.
func (b *Bodies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		in := &incoming{body: r.Body, w: w, bodies: b}
		in.await() // what nobody reads is read by the server in the end
		r.Body = in
		defer in.release()
		next.ServeHTTP(w, r)
	})
}

// Hold reads into memory what from brings, r's body or what is made of it, or a
// byte more than limit of it; size is how much there will be, -1 is unknown. It
// is the caller's until the request is answered. The error is gust.ErrBusy, or from's:
// that of a body may be ErrSlow.
func Hold(r *http.Request, from io.Reader, size, limit int64) ([]byte, error) {
	return incomingOf(r).readAll(from, size, limit)
}

// incoming is the body of one request as it comes, and what of it is held. A nil
// one is of a request that nobody counts.
type incoming struct {
	body   io.ReadCloser
	w      http.ResponseWriter
	bodies *Bodies
	// Of what is held:
	proven bool
	held   int64
	// Of how it comes:
	got      int64
	waited   time.Duration
	deadline time.Time
	ended    bool
}

// incomingOf finds it, whatever has been put in its place since.
func incomingOf(r *http.Request) *incoming {
	switch b := r.Body.(type) {
	case *incoming:
		return b
	case *verifiedBody:
		return b.in
	case *chunks:
		return b.of
	}
	return nil
}

// part is where so many bytes count, and how many there may be of it.
func (in *incoming) part(bytes int64) (p *part, limit int64) {
	b := in.bodies
	switch small := bytes <= smallBody; {
	case in.proven && small:
		return &b.proven, b.proven.limit + b.proven.more
	case in.proven:
		return &b.proven, b.proven.limit
	case small:
		return &b.small, b.small.limit
	}
	return &b.unproven, b.unproven.limit
}

// take counts so many bytes more, before they are made room for.
func (in *incoming) take(more int64) error {
	if in == nil || more <= 0 {
		return nil
	}
	was, _ := in.part(in.held)
	to, limit := in.part(in.held + more)
	return in.move(was, to, limit, in.held+more)
}

// prove counts the body among those whose sender is known.
func (in *incoming) prove() error {
	if in == nil || in.proven {
		return nil
	}
	was, _ := in.part(in.held)
	in.proven = true
	to, limit := in.part(in.held)
	err := in.move(was, to, limit, in.held)
	in.proven = err == nil
	return err
}

// move makes what is held size bytes, of another part perhaps.
func (in *incoming) move(was, to *part, limit, size int64) error {
	add := size
	if was == to {
		add -= in.held
	}
	if to.held.Add(add) > limit && add > 0 {
		to.held.Add(-add)
		return fmt.Errorf("%w: the limit of the bodies that it holds, of %s, is %d bytes together; try again in a moment", gust.ErrBusy, to.what, limit)
	}
	if was != to {
		was.held.Add(-in.held)
	}
	in.held = size
	return nil
}

func (in *incoming) release() {
	p, _ := in.part(in.held)
	p.held.Add(-in.held)
	in.held = 0
}

// readAll does what Hold says. No room is made for what only is claimed to come,
// unless the sender is known.
func (in *incoming) readAll(from io.Reader, size, limit int64) ([]byte, error) {
	goal := limit + 1
	if size >= 0 {
		goal = min(size+1, goal) // one more, to meet the end without growing
	}
	first := goal
	if size < 0 || in == nil || !in.proven {
		first = min(goal, firstPiece)
	}
	if err := in.take(first); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, first)
	for int64(len(buf)) <= limit {
		if len(buf) == cap(buf) {
			grown := 2 * int64(cap(buf))
			if int64(cap(buf)) < goal {
				grown = min(grown, goal)
			}
			if err := in.take(grown - int64(cap(buf))); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, grown), buf...)
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// Read reads what has come, and gives the sender up who does not go on. Time in
// which nobody reads is not the sender's.
func (in *incoming) Read(p []byte) (n int, err error) {
	if in.ended {
		return in.body.Read(p)
	}
	start := in.await()
	n, err = in.body.Read(p)
	in.got += int64(n)
	switch {
	case err == io.EOF:
		// Now, and not when the request is answered: the server watches the
		// connection for the client's leaving from here on.
		in.ended = true
		in.until(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The deadline stays: the server would wait for the rest.
		return n, fmt.Errorf("%w: it has to go on within %v, and with %d KB a second after that", ErrSlow, in.bodies.patience, bodyRate/gust.KB)
	default:
		in.waited += in.bodies.now().Sub(start)
	}
	return n, err
}

func (in *incoming) Close() error { return in.body.Close() }

// await says by when the next bytes have to come. Setting it costs a little, so
// it is not done where it changes little.
func (in *incoming) await() (now time.Time) {
	patience := in.bodies.patience
	now = in.bodies.now()
	wait := min(patience, patience+time.Duration(in.got)*time.Second/time.Duration(bodyRate)-in.waited)
	if off := now.Add(wait).Sub(in.deadline); off > patience/8 || off < -patience/8 {
		in.until(now.Add(wait))
	}
	return now
}

func (in *incoming) until(t time.Time) {
	in.deadline = t
	http.NewResponseController(in.w).SetReadDeadline(t) //nolint:errcheck // then without: what has none is a test's
}
