// Package inside is the API's door inside environments: it answers at the
// listener that each of them has for itself (sandbox.Spec.API), gives out
// credentials of the function's role there, and hands everything else to the
// handler of the API port.
//
// A program has its environment's token in a file, and exchanges it for
// credentials, as containers' programs do on AWS; every AWS SDK knows how, and asks
// again before they expire. A token opens nothing but its own environment's
// door, and the node keeps only its hash.
//
// All doors together keep a bounded number of connections, so that a program that
// only opens some takes them from itself: the first few are each environment's
// own, further ones are shared by all.
package inside

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gust-dev/gust/internal/access"
)

// Options are what a Server works with. All of them are needed.
type Options struct {
	// API answers everything but credentials.
	API http.Handler
	// Session makes credentials of a function's role, for one of its
	// environments, that are good for so long.
	Session func(function, environment string, ttl time.Duration) (Credentials, error)
	// Good tells whether such credentials still are: sessions are revoked.
	Good func(Credentials) bool
	// Refused is told of who asks for credentials without an environment's token,
	// through its door.
	Refused func(environment string)
	// Shared is how many connections all environments together may have beside
	// those that are each one's own.
	Shared int
	Now    func() time.Time
	Logger *slog.Logger
}

// Limits of one environment's connections.
const (
	// ownConnections are kept for each environment: what a program needs that
	// does one thing at a time.
	ownConnections = 4
	// moreConnections are how many it may have of those that are shared.
	moreConnections = 60
	// stalled is for how long a program may take nothing of an answer: what is
	// frozen takes none, and would hold the answer for as long.
	stalled = 2 * time.Minute
)

// Server answers at all environments' listeners.
type Server struct {
	Options
	http   *http.Server
	shared chan struct{}
	wg     sync.WaitGroup
}

// New returns a Server that has no environment yet.
func New(o Options) *Server {
	s := &Server{Options: o, shared: make(chan struct{}, max(o.Shared, 1))}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			d := c.(*visit).door
			return context.WithValue(access.WithEnvironment(ctx, d.environment), doorKey{}, d)
		},
		// Mostly what a program does wrong, which is no error of the node's.
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

type doorKey struct{}

// Open answers at an environment's listener until what it returns is closed,
// which also ends the connections. Token is the SHA-256 of the environment's.
func (s *Server) Open(function, environment string, ln net.Listener, token [sha256.Size]byte) io.Closer {
	d := &door{
		server: s, ln: ln, function: function, environment: environment, token: token,
		own: make(chan struct{}, ownConnections), more: make(chan struct{}, moreConnections), closed: make(chan struct{}),
	}
	s.wg.Go(func() {
		if err := s.http.Serve(entrance{d}); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.Logger.Error("an environment has lost its way to the API", "function", function, "environment", environment, "error", err)
		}
	})
	return d
}

// Shutdown lets what is being answered end, until ctx ends, and takes nothing
// new.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close cuts off what is left.
func (s *Server) Close() error {
	err := s.http.Close()
	s.wg.Wait()
	return err
}

// door is one environment's.
type door struct {
	server                *Server
	ln                    net.Listener
	function, environment string
	token                 [sha256.Size]byte
	own, more             chan struct{} // places that are taken
	closed                chan struct{}

	mu     sync.Mutex
	shut   bool
	visits map[*visit]struct{}

	minting     sync.Mutex  // guards what follows
	credentials Credentials // the newest
	failure     string      // why there were none, the last time
}

// Close implements what Open says. It may be called more than once.
func (d *door) Close() error {
	err := d.shutListener()
	d.mu.Lock()
	open := d.visits
	d.visits = nil
	d.mu.Unlock()
	for v := range open {
		v.Conn.Close()
	}
	return err
}

// shutListener takes no more connections.
func (d *door) shutListener() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return nil
	}
	d.shut = true
	close(d.closed)
	return d.ln.Close()
}

// entrance is a door as a server sees it: closing it leaves the connections.
type entrance struct{ *door }

func (e entrance) Addr() net.Addr { return e.ln.Addr() }
func (e entrance) Close() error   { return e.shutListener() }

// Accept waits for a place, and then for a connection. Who comes when there is
// none waits in the kernel's backlog.
func (e entrance) Accept() (net.Conn, error) {
	leave, err := e.place()
	if err != nil {
		return nil, err
	}
	conn, err := e.ln.Accept()
	if err != nil {
		leave()
		return nil, err
	}
	v := &visit{Conn: conn, door: e.door, leave: leave}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		leave()
		conn.Close()
		return nil, net.ErrClosed
	}
	if e.visits == nil {
		e.visits = make(map[*visit]struct{})
	}
	e.visits[v] = struct{}{}
	return v, nil
}

// place takes a place for one connection: one of the environment's own, or when
// those are taken a shared one.
func (d *door) place() (leave func(), err error) {
	leaveOwn := func() { <-d.own }
	select {
	case d.own <- struct{}{}:
		return leaveOwn, nil
	default:
	}
	select {
	case d.own <- struct{}{}:
		return leaveOwn, nil
	case d.more <- struct{}{}:
	case <-d.closed:
		return nil, net.ErrClosed
	}
	select {
	case d.own <- struct{}{}:
		<-d.more
		return leaveOwn, nil
	case d.server.shared <- struct{}{}:
		return func() { <-d.server.shared; <-d.more }, nil
	case <-d.closed:
		<-d.more
		return nil, net.ErrClosed
	}
}

// crowded reports whether there is no place left, or one at most.
func (d *door) crowded() bool {
	return len(d.own) == cap(d.own) && (len(d.more) == cap(d.more) || len(d.server.shared) == cap(d.server.shared))
}

// visit is a connection through a door.
type visit struct {
	net.Conn
	door  *door
	leave func()
	once  sync.Once
}

// Write gives up what the program does not take.
func (v *visit) Write(b []byte) (int, error) {
	if err := v.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return v.Conn.Write(b)
}

// CloseWrite is asked for by net/http.
func (v *visit) CloseWrite() error {
	if c, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (v *visit) Close() error {
	err := v.Conn.Close()
	v.once.Do(func() {
		v.door.mu.Lock()
		delete(v.door.visits, v)
		v.door.mu.Unlock()
		v.leave()
	})
	return err
}
