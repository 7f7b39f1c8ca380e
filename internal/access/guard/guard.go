// Package guard stands at the door of the API port: it lets a request in whose
// credential is valid, asks for everything that the request needs whether its
// caller may, and has both recorded in the audit log.
package guard

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Directory tells what somebody may do: *identity.Directory.
type Directory interface {
	Decide(c *access.Caller, n *access.Need) policy.Decision
}

// Guard lets requests in, or not. It is safe for use by many goroutines.
type Guard struct {
	auth   *access.Authenticator
	dir    Directory
	log    *audit.Log
	logger *slog.Logger

	refused, denied counters
	unrecorded      atomic.Bool // the last call that reads could not be recorded
}

// New makes a Guard. A nil logger is none.
func New(auth *access.Authenticator, dir Directory, log *audit.Log, logger *slog.Logger) *Guard {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Guard{auth: auth, dir: dir, log: log, logger: logger}
}

// Admit tells who sent the request. Its error is an *access.Error, is
// gust.ErrTooLarge, or that of reading the body. Requests without a valid
// credential are counted in the audit log.
func (g *Guard) Admit(r *http.Request, requestID string) (*Call, error) {
	caller, err := g.auth.Authenticate(r)
	if err == nil {
		return &Call{Caller: caller, RequestID: requestID, guard: g}, nil
	}
	if e := (*access.Error)(nil); errors.As(err, &e) {
		g.refused.add(string(e.Code))
		peer := g.auth.Anonymous(r)
		g.log.Refuse(peer.Source, peer.Environment, string(e.Code))
		g.logger.Info("a request to the API was not let in", "from", r.RemoteAddr, "environment", peer.Environment,
			"method", r.Method, "path", r.URL.Path, "request_id", requestID, "reason", e)
	}
	return nil, err
}

// Anonymous is a call that needs no credential, such as
// sts:AssumeRoleWithWebIdentity.
func (g *Guard) Anonymous(r *http.Request, requestID string) *Call {
	return &Call{Caller: g.auth.Anonymous(r), RequestID: requestID, guard: g}
}

// Require lets those requests through to next that Admit lets in; it finds the
// call by CallFrom. The others are for refuse to answer.
func (g *Guard) Require(refuse func(http.ResponseWriter, *http.Request, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		w.Header().Set("X-Amzn-Requestid", id)
		c, err := g.Admit(r, id)
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(c.Context(r.Context())))
	})
}

// Figures are how many requests were not let in, by access.Code, and how many
// needs were denied, by the layer of policies that decided.
func (g *Guard) Figures() (refused, denied map[string]uint64) {
	return g.refused.all(), g.denied.all()
}

// counters count by name; there are few names.
type counters struct{ m sync.Map }

func (c *counters) add(name string) {
	n, ok := c.m.Load(name)
	if !ok {
		n, _ = c.m.LoadOrStore(name, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

func (c *counters) all() map[string]uint64 {
	all := make(map[string]uint64)
	for name, n := range c.m.Range {
		all[name.(string)] = n.(*atomic.Uint64).Load()
	}
	return all
}
