package invoke

import (
	"context"
	"errors"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke/scale"
)

// abort ends a start; it is what a starting environment has for Data.
type abort context.CancelCauseFunc

var errReplaced = errors.New("it was replaced while it started")

// act carries out what the scaler decided. The caller holds mu, so nothing
// here may block: what takes time gets a goroutine.
func (iv *Invoker) act(actions []scale.Action) {
	var freeze []*environment
	for _, a := range actions {
		switch a.Op {
		case scale.Dispatch:
			x := a.Env.Data.(*environment)
			if a.Thaw {
				x.frozen.Store(false)
				iv.nudge()
			}
			if a.Cold && a.Env.Cause == gust.ColdPrewarmed {
				iv.Recorder.Prewarmed(x.fn, true)
			}
			a.Ticket.Data.(*ticket).granted <- grant{env: x, cold: a.Cold}
		case scale.Warmed:
			a.Ticket.Data.(*ticket).granted <- grant{env: a.Env.Data.(*environment)}
		case scale.Refuse:
			a.Ticket.Data.(*ticket).granted <- grant{err: a.Err}
		case scale.Start:
			if iv.ctx.Err() != nil {
				continue // stopAll has looked already
			}
			ctx, cancel := context.WithCancelCause(iv.ctx)
			a.Env.Data = abort(cancel)
			iv.wg.Go(func() { iv.start(ctx, cancel, a.Env) })
			iv.nudge()
		case scale.Abort:
			if cancel, ok := a.Env.Data.(abort); ok {
				cancel(errReplaced)
			}
		case scale.Stop:
			x := a.Env.Data.(*environment)
			iv.wg.Go(x.stop)
		case scale.Freeze:
			x := a.Env.Data.(*environment)
			x.frozen.Store(true)
			freeze = append(freeze, x)
		}
	}
	if len(freeze) > 0 {
		iv.wg.Go(func() {
			for _, x := range freeze {
				iv.freeze(x)
			}
		})
	}
}

// declare tells the scaler the newest snapshot. The caller holds mu.
func (iv *Invoker) declare(snap *catalog.Snapshot) {
	iv.declared = snap
	iv.act(iv.scaler.Declare(time.Now(), snap.Functions))
}

// Replace gives a function new environments in the place of those that it has, as
// a deploy does: what runs in them finishes. It is for when the sessions of its
// role were ended, which programs hold on to.
func (iv *Invoker) Replace(function string) {
	iv.mu.Lock()
	iv.act(iv.scaler.Replace(time.Now(), function, gust.ColdRevoked))
	iv.mu.Unlock()
	iv.nudge()
}

// tickEvery bounds how often time is let pass for the scaler: freezing and
// reclaiming late by as much harms nobody.
const tickEvery = 100 * time.Millisecond

// loop lets time pass for the scaler, and tells it what environments use. While
// nothing runs it sleeps until there is something to do by time.
func (iv *Invoker) loop() {
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	soon := true // the timer is set to tickEvery
	var measured time.Time
	var awake []*environment
	for {
		select {
		case <-timer.C:
		case <-iv.wake:
			if !soon {
				soon = true
				timer.Reset(tickEvery)
			}
			continue
		case <-iv.ctx.Done():
			return
		}
		soon = false
		now := time.Now()
		iv.mu.Lock()
		next, actions := iv.scaler.Tick(now)
		if iv.ctx.Err() == nil {
			iv.act(actions)
		}
		iv.mu.Unlock()
		wait := next.Sub(now)
		if now.Sub(measured) >= measureEvery {
			measured = now
			awake = iv.measure(awake[:0])
		}
		if len(awake) > 0 {
			wait = min(wait, measureEvery)
		}
		timer.Reset(max(wait, tickEvery))
	}
}

// nudge lets the loop look at the time again, when something has begun that
// ends by time.
func (iv *Invoker) nudge() {
	select {
	case iv.wake <- struct{}{}:
	default:
	}
}
