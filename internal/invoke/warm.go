package invoke

import (
	"context"
	"errors"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke/scale"
)

// WarmUp is an environment that is ready, and how it came up.
type WarmUp struct {
	Function string `json:"function"`
	Version  uint64 `json:"version"`
	// Environment is its id.
	Environment string `json:"environment"`
	// Cause is why it was started: gust.ColdWarmUp for this wish or another
	// one, else it was there or on its way before.
	Cause gust.ColdCause `json:"cause"`
	// Init is how long it took to be ready; Pooled says that its interpreter
	// had been booted ahead.
	Init   time.Duration `json:"init"`
	Pooled bool          `json:"pooled"`
}

// Warm waits until the current version of a function has an environment that is
// ready. If it has none, one is started, which then is kept like any other that
// is unused; never more than that. The error is a *gust.FunctionError when it
// did not come up (or had not before, and is backed off), or what kept it from
// being started: gust.ErrNotFound, *gust.ThrottledError, gust.ErrClosing, or
// ctx's. An environment goes on starting when ctx ends.
func (iv *Invoker) Warm(ctx context.Context, function string) (*WarmUp, error) {
	t := &ticket{granted: make(chan grant, 1)}
	t.Ticket = scale.Ticket{Function: function, Data: t}
	iv.mu.Lock()
	if _, err := iv.find(&Request{Function: function}); err != nil {
		iv.mu.Unlock()
		return nil, err
	}
	iv.act(iv.scaler.Warm(time.Now(), &t.Ticket))
	iv.mu.Unlock()
	iv.nudge()

	var g grant
	select {
	case g = <-t.granted:
	case <-ctx.Done():
		g = iv.withdraw(t, context.Cause(ctx))
	case <-iv.intake.Done():
		g = iv.withdraw(t, gust.ErrClosing)
	}
	if g.err != nil {
		if iv.intake.Err() != nil {
			return nil, gust.ErrClosing // a start that was cut off says so less clearly
		}
		var backoff *scale.BackoffError
		if errors.As(g.err, &backoff) {
			return nil, backoffError(backoff)
		}
		return nil, g.err
	}
	x := g.env
	return &WarmUp{
		Function: x.fn.Name, Version: x.fn.Version, Environment: x.id,
		Cause: x.env.Cause, Init: x.init, Pooled: x.sandbox.Pooled(),
	}, nil
}
