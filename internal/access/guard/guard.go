// Package guard stands at the door of the API port: it lets a request in whose
// credential is valid, asks for everything that the request needs whether its
// caller may, and has both recorded in the audit log.
package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Directory tells what somebody may do: *identity.Directory, or a test that
// denies what it likes.
type Directory interface {
	Decide(c *access.Caller, n *access.Need) policy.Decision
}

// Guard lets requests in, or not. It is safe for use by many goroutines.
type Guard struct {
	auth   *access.Authenticator
	dir    Directory
	log    *audit.Log
	logger *slog.Logger

	refused    counters[access.Code]
	denied     counters[Denial]
	unrecorded atomic.Bool // the last call that reads could not be recorded
	pace       pace
}

// New makes a Guard. A nil logger means slog.Default().
func New(auth *access.Authenticator, dir Directory, log *audit.Log, logger *slog.Logger) *Guard {
	if logger == nil {
		logger = slog.Default()
	}
	return &Guard{auth: auth, dir: dir, log: log, logger: logger, pace: pace{of: map[string]*allowance{}}}
}

// Admit tells who sent the request. Its error is an *access.Error, is
// gust.ErrTooLarge, gust.ErrBusy (too many bodies at once) or access.ErrSlow, or
// that of reading the body. Requests without a valid
// credential are counted in the audit log.
func (g *Guard) Admit(r *http.Request, requestID string) (*Call, error) {
	caller, err := g.auth.Authenticate(r)
	if err == nil {
		return &Call{Caller: caller, RequestID: requestID, guard: g}, nil
	}
	g.turnAway(r, requestID, err)
	return nil, err
}

// Missing is the *access.Error for a request that carries no credential and needs
// one. It is counted as those are that Admit does not let in.
func (g *Guard) Missing(r *http.Request, requestID string) error {
	err := &access.Error{Code: access.Missing, Detail: "no credential"}
	g.turnAway(r, requestID, err)
	return err
}

// turnAway counts a request that is not let in.
func (g *Guard) turnAway(r *http.Request, requestID string, err error) {
	if e := (*access.Error)(nil); errors.As(err, &e) {
		peer := g.auth.Anonymous(r)
		g.refuse(peer, e)
		// Whoever can connect can have as many of these lines as they like; the
		// audit log counts.
		g.logger.Debug("a request to the API was not let in", "from", r.RemoteAddr, "environment", peer.Environment,
			"method", fmt.Sprintf("%.20s", r.Method), "path", fmt.Sprintf("%.200s", r.URL.Path), "request_id", requestID, "reason", e)
	}
}

// refuse counts a request that has no valid credential.
func (g *Guard) refuse(c *access.Caller, e *access.Error) {
	g.refused.add(e.Code)
	g.log.Refuse(c.Source, c.Environment, string(e.Code))
}

// Anonymous is a call that needs no credential, such as
// sts:AssumeRoleWithWebIdentity.
func (g *Guard) Anonymous(r *http.Request, requestID string) *Call {
	return &Call{Caller: g.auth.Anonymous(r), RequestID: requestID, guard: g}
}

// Require lets those requests through to next that Admit lets in; it finds the
// call by CallFrom. The others are for refuse to answer, and so are those that
// are signed for another service than Gust's own: what was meant for that, with
// its rules for paths, is nothing that anybody asked for here.
func (g *Guard) Require(refuse func(http.ResponseWriter, *http.Request, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		w.Header().Set("X-Amzn-Requestid", id)
		c, err := g.Admit(r, id)
		if err == nil && c.Caller.Service != "" && c.Caller.Service != access.Service {
			err = &access.Error{Code: access.Scope, Detail: fmt.Sprintf("the request is signed for the service %.64q: sign it for %q", c.Caller.Service, access.Service)}
			g.turnAway(r, id, err)
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(c.Context(r.Context())))
	})
}

// LayerFactor is in a policy's place where a second factor is not shown.
const LayerFactor policy.Layer = "factor"

// Denial is a way in which something is denied.
type Denial struct {
	Layer    policy.Layer
	Explicit bool
}

// Figures are how many requests were not let in, and how many were denied what
// they needed.
func (g *Guard) Figures() (refused map[access.Code]uint64, denied map[Denial]uint64) {
	return g.refused.all(), g.denied.all()
}

// counters count by key; there are few keys.
type counters[K comparable] struct{ m sync.Map }

func (c *counters[K]) add(key K) {
	n, ok := c.m.Load(key)
	if !ok {
		n, _ = c.m.LoadOrStore(key, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

func (c *counters[K]) all() map[K]uint64 {
	all := make(map[K]uint64)
	for key, n := range c.m.Range {
		all[key.(K)] = n.(*atomic.Uint64).Load()
	}
	return all
}
