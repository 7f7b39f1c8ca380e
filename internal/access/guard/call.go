package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Call is one request of somebody who is known. It is for one goroutine at a
// time.
type Call struct {
	Caller    *access.Caller
	RequestID string

	guard     *Guard
	resources []string // of what was allowed
	role      string   // that a web identity asks for; else empty
	// began is what is on record of a call that may change something while it runs.
	began *audit.Record
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

// Renew has the call go on with what its caller holds and may now, or returns an
// *access.Error if their credential is valid no longer. How long ago the request
// came is up to its sender, who may hold its body back, or follow a stream for days.
func (c *Call) Renew() error {
	err := c.guard.auth.Renew(c.Caller)
	if err == nil {
		return nil
	}
	if e := (*access.Error)(nil); errors.As(err, &e) {
		c.guard.refuse(c.Caller, e)
	}
	return err
}

// Allow returns nil if the caller may now do everything that is needed, or a
// *DeniedError for the first thing that they may not, which is recorded. Its
// other error is that of Renew, which it calls even if nothing is needed.
func (c *Call) Allow(ctx context.Context, needs ...access.Need) error {
	if err := c.Renew(); err != nil {
		return err
	}
	for i := range needs {
		n := &needs[i]
		if d := c.guard.dir.Decide(c.Caller, n); !d.Allowed {
			return c.Deny(ctx, n, d)
		}
		if n.Resource != "*" && !slices.Contains(c.resources, n.Resource) {
			c.resources = append(c.resources, n.Resource)
		}
	}
	return nil
}

// Decide is for lists, which show what their reader may see: it records no
// denial. Who could not be let in any more may nothing.
func (c *Call) Decide(n access.Need) policy.Decision {
	if c.guard.auth.Renew(c.Caller) != nil {
		return policy.Decision{Layer: policy.LayerIdentity}
	}
	return c.guard.dir.Decide(c.Caller, &n)
}

// Deny records that the caller may not do what a call needs, and returns the
// *DeniedError. It is for what is decided elsewhere than by Allow.
func (c *Call) Deny(ctx context.Context, n *access.Need, d policy.Decision) error {
	reason := d.Reason(n.Action)
	if d.Denied {
		reason += fmt.Sprintf(" (statement %s of %s)", d.Statement, d.Policy)
	}
	return c.deny(ctx, n, Denial{d.Layer, d.Denied}, reason)
}

// DenyFactor is Deny of who wants to show a second factor for a call and does not:
// no policy decides that. The reason ends AWS's sentence.
func (c *Call) DenyFactor(ctx context.Context, n *access.Need, reason string) error {
	return c.deny(ctx, n, Denial{Layer: LayerFactor}, reason)
}

func (c *Call) deny(ctx context.Context, n *access.Need, d Denial, reason string) error {
	c.guard.denied.add(d)
	// A call that is denied in its middle what it began with, since its caller has
	// the right no longer, is denied by its end.
	if b := c.began; b == nil || b.Action != n.Action || !slices.Contains(b.Resources, n.Resource) {
		r := c.record(n.Action, nil)
		r.Resources, r.Reason = []string{n.Resource}, reason
		c.guard.log.Deny(ctx, r, c.payer())
	}
	return &DeniedError{
		Principal: c.Caller.Principal.ARN, Action: n.Action, Resource: cmp.Or(n.Shown, n.Resource),
		Reason: reason, Explicit: d.Explicit, Layer: d.Layer,
	}
}

// DeniedError says that somebody who is known may not do something. Whether
// what they named is there it does not say.
type DeniedError struct {
	// Principal is an ARN.
	Principal, Action, Resource string
	// Reason is the end of AWS's sentence: "because no identity-based policy
	// allows the lambda:InvokeFunction action". Of a denial by a statement it
	// names the statement.
	Reason string
	// Explicit tells that a statement denied it; otherwise none allowed it.
	Explicit bool
	// Layer is the sort of policy that decided, or LayerFactor.
	Layer policy.Layer
}

// Error is the sentence that AWS has for it.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", e.Principal, e.Action, e.Resource, e.Reason)
}

// Level is what a call does, for the audit log.
type Level int

const (
	// Read calls look at how things are managed: one record, with the result.
	// On a full disk they go on without.
	Read Level = iota
	// Write calls may change something: they do not run unless it is recorded
	// that they begin.
	Write
	// Session calls make credentials that end by themselves, and change nothing:
	// one record, before anybody has them.
	Session
	// Data calls use what is managed, such as lambda:InvokeFunction. They are
	// recorded when they are denied, and not when they are allowed.
	Data
)

// Param names a thing of a call in its record. It is never a secret.
type Param struct{ Name, Value string }

// End records what came of a call: see Call.Record.
type End func(failed error, made ...Param) error

// Record notes the call in the audit log, as its level asks for, with resource
// and those that were allowed before. When it returns an error the call must
// not run: a gust.ErrBusy is for who makes too many. Otherwise end is called once,
// before the call is answered, with its error or nil and what only its answer names.
// It returns the error to answer with: the call's, or why what came of it could not
// be recorded.
//
// Of calls that change nothing the first few in a minute are recorded, and the
// others counted, but for root's, who could do without the log. What the anonymous
// failed at is counted, like requests without a credential.
func (c *Call) Record(ctx context.Context, level Level, action, resource string, params ...Param) (end End, err error) {
	if level == Data {
		return func(failed error, _ ...Param) error { return failed }, nil
	}
	p := c.Caller.Principal
	if p.Kind != access.KindRoot && p.Kind != access.KindAnonymous {
		if err := c.guard.pace.take(c.payer(), c.Caller.At); err != nil {
			return nil, err
		}
	}
	r := c.managed(action, resource, params)
	switch level {
	case Read:
		return func(failed error, _ ...Param) error {
			of := result(failed)
			if of.Result == audit.Denied {
				return failed // Deny has recorded it
			}
			r.Result, r.Code = of.Result, of.Code
			err := c.addOrCount(ctx, r, "reads")
			if was := c.guard.unrecorded.Swap(err != nil); err != nil && !was { // one line for all
				c.guard.logger.Warn("calls that read go on and are not recorded", "error", err)
			}
			return failed
		}, nil
	case Session:
		return func(failed error, made ...Param) error {
			r := c.managed(action, resource, slices.Concat(params, made)) // by now it may be known who it is
			of := result(failed)
			if of.Result == audit.Denied {
				return failed
			}
			r.Result, r.Code = of.Result, of.Code
			if failed != nil && c.Caller.Principal.Kind == access.KindAnonymous {
				c.guard.log.Refuse(c.Caller.Source, c.Caller.Environment, cmp.Or(r.Code, string(r.Result)))
				return failed
			}
			if err := c.addOrCount(ctx, r, action); failed == nil {
				return err
			}
			return failed
		}, nil
	}
	entry, err := c.guard.log.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	c.began = r
	return func(failed error, made ...Param) error {
		c.began = nil
		of := result(failed)
		of.Parameters = parameters(made)
		if err := entry.End(ctx, of); err != nil && failed == nil {
			return err
		}
		return failed
	}, nil
}

// Vouched says that a call which came without a credential is a web identity's, for
// whom a provider vouches, and which role it asks for. Its error, a gust.ErrBusy,
// refuses the call: they make too many.
func (c *Call) Vouched(identity *access.Principal, role string) error {
	c.Caller.Credential = &access.Credential{Principal: identity}
	c.resources, c.role = []string{role}, role
	return c.guard.pace.take(identity.ARN, c.Caller.At)
}

// payer is to whom a call is put down: of a role's sessions the role, whatever they
// are called, and of web identities, of which there are any number, the provider.
func (c *Call) payer() string {
	p := c.Caller.Principal
	if p.Kind == access.KindFederated {
		return p.Provider
	}
	return cmp.Or(p.RoleARN, p.ARN)
}

func (c *Call) addOrCount(ctx context.Context, r *audit.Record, sort string) error {
	if c.Caller.Principal.Kind == access.KindRoot {
		return c.guard.log.Add(ctx, r)
	}
	who := c.payer()
	if r.Result == audit.OK {
		who = cmp.Or(c.role, who) // it trusts them, so it is not made up
	}
	return c.guard.log.AddOrCount(ctx, r, who, sort)
}

// managed is the record of a management call, with resource and those that were
// allowed before.
func (c *Call) managed(action, resource string, params []Param) *audit.Record {
	r := c.record(action, params)
	r.Resources = slices.Clone(c.resources)
	if resource != "" && resource != "*" && !slices.Contains(r.Resources, resource) {
		r.Resources = append(r.Resources, resource)
	}
	return r
}

// record is what the audit log is told of the call.
func (c *Call) record(action string, params []Param) *audit.Record {
	p := c.Caller.Principal
	r := &audit.Record{
		Principal: p.ARN, KeyID: c.Caller.KeyID, Session: p.Session, SourceIdentity: p.SourceIdentity, Action: action,
		Environment: c.Caller.Environment, UserAgent: c.Caller.UserAgent, RequestID: c.RequestID,
	}
	if p.ARN == "" {
		r.Principal = string(p.Kind) // anonymous
	}
	if c.Caller.Source.IsValid() {
		r.Source = c.Caller.Source.String()
	}
	r.Parameters = parameters(params)
	return r
}

func parameters(list []Param) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.Name] = p.Value
	}
	return m
}

// codes are what the audit log calls errors that do not say it by themselves.
var codes = []struct {
	err  error
	code string
}{
	{gust.ErrNotFound, "not_found"},
	{gust.ErrConflict, "conflict"},
	{gust.ErrTooLarge, "too_large"},
	{gust.ErrInvalid, "invalid"},
	{gust.ErrNoSpace, "no_space"},
	{gust.ErrCorrupt, "corrupt"},
	{gust.ErrClosing, "closing"},
	{gust.ErrBusy, "busy"},
	{context.Canceled, "canceled"},
}

// result is what came of a call. An error that has a code in its protocol tells
// it by ErrorCode.
func result(err error) audit.Ending {
	if err == nil {
		return audit.Ending{Result: audit.OK}
	}
	if denied := (*DeniedError)(nil); errors.As(err, &denied) {
		return audit.Ending{Result: audit.Denied, Reason: denied.Reason}
	}
	if refused := (*access.Error)(nil); errors.As(err, &refused) {
		return audit.Ending{Result: audit.Refused, Code: string(refused.Code)}
	}
	var own interface{ ErrorCode() string }
	if errors.As(err, &own) {
		return audit.Ending{Result: audit.Failed, Code: own.ErrorCode()}
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return audit.Ending{Result: audit.Failed, Code: c.code}
		}
	}
	return audit.Ending{Result: audit.Failed, Code: "internal"}
}
