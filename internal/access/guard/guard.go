// Package guard stands at the door of the API port: it lets a request in whose
// credential is valid, asks for everything that the request needs whether its
// caller may, and has both recorded.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Authenticator tells who sent a request: *access.Authenticator.
type Authenticator interface {
	Authenticate(*http.Request) (*access.Caller, error)
}

// Directory tells what somebody may do: *identity.Directory.
type Directory interface {
	Decide(c *access.Caller, n *access.Need) policy.Decision
}

// Guard lets requests in, or not. It is safe for use by many goroutines.
type Guard struct {
	auth   Authenticator
	dir    Directory
	log    *audit.Log
	logger *slog.Logger

	denials counters
	refused counters
}

// New makes a Guard. All but logger are needed.
func New(auth Authenticator, dir Directory, log *audit.Log, logger *slog.Logger) *Guard {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Guard{auth: auth, dir: dir, log: log, logger: logger}
}

// Admit tells who sent the request. Its error is an *access.Error, is
// gust.ErrTooLarge, or that of reading the body; requests without a valid
// credential are counted in the audit log.
func (g *Guard) Admit(r *http.Request, requestID string) (*Call, error) {
	caller, err := g.auth.Authenticate(r)
	if err == nil {
		return &Call{Caller: caller, RequestID: requestID, guard: g}, nil
	}
	if e := (*access.Error)(nil); errors.As(err, &e) {
		g.refused.add(string(e.Code))
		from, _ := netip.ParseAddrPort(r.RemoteAddr) // what is none counts as unknown
		g.log.Refuse(from.Addr(), string(e.Code))
		g.logger.Info("a request to the API was not let in", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "request_id", requestID, "reason", e)
	}
	return nil, err
}

// Figures are how many requests were not let in, by access.Code, and how many
// needs were denied, by the layer of policies that decided.
func (g *Guard) Figures() (refused, denied map[string]uint64) {
	return g.refused.all(), g.denials.all()
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

// Call is one request of somebody who is known. It is for one goroutine at a
// time.
type Call struct {
	Caller    *access.Caller
	RequestID string

	guard     *Guard
	resources []string // of what was allowed
}

type callKey struct{}

// Context returns ctx with the call in it.
func (c *Call) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallFrom is the call of a request that the guard let in, or nil.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Allow returns nil if the caller may do everything that is needed, or a
// *DeniedError for the first that they may not, which is recorded.
func (c *Call) Allow(ctx context.Context, needs ...access.Need) error {
	for i := range needs {
		d := c.guard.dir.Decide(c.Caller, &needs[i])
		if !d.Allowed {
			return c.deny(ctx, &needs[i], d)
		}
		if r := needs[i].Resource; r != "*" && !slices.Contains(c.resources, r) {
			c.resources = append(c.resources, r)
		}
	}
	return nil
}

// May reports whether the caller may, and records nothing: for lists, which show
// what their reader may see.
func (c *Call) May(n access.Need) bool { return c.guard.dir.Decide(c.Caller, &n).Allowed }

func (c *Call) deny(ctx context.Context, n *access.Need, d policy.Decision) error {
	err := &DeniedError{
		Principal: c.Caller.Principal.ARN, Action: n.Action, Resource: n.Resource,
		Explicit: d.Denied, Layer: d.Layer, Policy: d.Policy, Statement: d.Statement,
	}
	c.guard.denials.add(string(d.Layer))
	r := c.record(n.Action, n.Resource, nil)
	r.Result, r.Reason = audit.Denied, err.Reason()
	c.guard.log.Deny(ctx, r)
	return err
}

// Level is what a call does, for the audit log.
type Level int

const (
	// Read calls look at how things are managed: one record, with the result.
	Read Level = iota
	// Write calls may change something: they do not run unless it is recorded
	// that they begin.
	Write
	// Data calls use what is managed, such as lambda:InvokeFunction. They are
	// recorded when they are denied, and not when they are allowed.
	Data
)

// Param names a thing of a call in its record. It is never a secret.
type Param struct{ Name, Value string }

// Record notes the call in the audit log, as its level asks for. Resources that
// were allowed before are among the record's. When it returns an error, the call
// must not run. Otherwise end is called once, with the call's error or nil,
// before it is answered; if it returns an error, that is the answer.
func (c *Call) Record(ctx context.Context, level Level, action, resource string, params ...Param) (end func(error) error, err error) {
	if level == Data {
		return func(error) error { return nil }, nil
	}
	r := c.record(action, resource, params)
	if level == Read {
		return func(failed error) error {
			r.Result, r.Code = result(failed)
			if err := c.guard.log.Add(ctx, r); err != nil { // on a full disk reading goes on
				c.guard.logger.Warn("a call that reads could not be recorded", "principal", r.Principal, "action", action, "request_id", c.RequestID, "error", err)
			}
			return nil
		}, nil
	}
	entry, err := c.guard.log.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	return func(failed error) error {
		result, code := result(failed)
		return entry.End(ctx, result, code)
	}, nil
}

func (c *Call) record(action, resource string, params []Param) *audit.Record {
	p := c.Caller.Principal
	r := &audit.Record{
		Principal: p.ARN, KeyID: c.Caller.KeyID, Session: p.Session, SourceIdentity: p.SourceIdentity,
		Action: action, Resources: c.resources,
		Environment: c.Caller.Environment, UserAgent: c.Caller.UserAgent, RequestID: c.RequestID,
	}
	if resource != "" && resource != "*" && !slices.Contains(r.Resources, resource) {
		r.Resources = append([]string{resource}, r.Resources...)
	}
	if c.Caller.Source.IsValid() {
		r.Source = c.Caller.Source.Unmap().String()
	}
	if len(params) > 0 {
		r.Parameters = make(map[string]string, len(params))
		for _, p := range params {
			r.Parameters[p.Name] = p.Value
		}
	}
	return r
}

// DeniedError says that somebody who is known may not do something.
type DeniedError struct {
	// Principal is an ARN.
	Principal, Action, Resource string
	// Explicit tells that a statement denied it; otherwise none allowed it.
	Explicit bool
	// Layer is the sort of policy that decided.
	Layer policy.Layer
	// Policy and Statement are the statement that denied it.
	Policy, Statement string
}

// Error is the sentence that AWS has for it.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", e.Principal, e.Action, e.Resource, e.Reason())
}

// Reason is the end of the sentence: why.
func (e *DeniedError) Reason() string {
	return ""
}

// ErrorCode is what the audit log calls it.
func (e *DeniedError) ErrorCode() string { return "AccessDenied" }

// result is an error as the audit log has it.
func result(err error) (audit.Result, string) {
	if err == nil {
		return audit.OK, ""
	}
	return audit.Failed, "internal"
}
