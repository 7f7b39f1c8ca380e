package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// An asynchronous event is kept in the partition of its function, under two
// keys: what is known about it, which changes, and its payload, which does not.
// A timer in the same partition says when it is due. While it runs there is a
// third key in the timer's place, from which the next start after a crash sets
// it again: so what a start costs grows with what ran, not with what waits.
const (
	asyncPartition = "async/"
	asyncTimer     = "async"
	asyncEvent     = "event/"
	asyncPayload   = "payload/"
	asyncRunning   = "running/"
)

// Retries of asynchronous events, as Lambda's ("How Lambda handles errors and
// retries with asynchronous invocation"): two more attempts after an error, one
// and two minutes later; throttled ones again and again, from one second to five
// minutes apart, for six hours.
const (
	asyncAttempts = 3
	asyncMaxWait  = 6 * time.Hour
)

// event is what is known about an accepted asynchronous event.
type event struct {
	// App is whose function it is for. Another app's that gets the name has
	// nothing to do with it, unless it takes the function over; and one that
	// names none is nobody's.
	App      string    `json:"app"`
	Accepted time.Time `json:"accepted"`
	Attempts int       `json:"attempts,omitempty"` // that ended in an error
	Refused  int       `json:"refused,omitempty"`  // times it was throttled
	// Waited is how long it was put off in all. The age is counted so, and not
	// by the clock, because a clock that jumps must not expire an event.
	Waited          time.Duration `json:"waited,omitempty"`
	TraceID         string        `json:"trace_id,omitempty"`
	ClientContext   string        `json:"client_context,omitempty"`
	CognitoIdentity string        `json:"cognito_identity,omitempty"`
}

func (e *event) save(tx *store.Tx, id string) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.Set([]byte(asyncEvent+id), data)
}

// InvokeAsync accepts an event and returns its request id. The event is on disk
// when it returns, and is run at least once.
func (iv *Invoker) InvokeAsync(ctx context.Context, r *Request) (string, error) {
	if len(r.Payload) > gust.MaxAsyncPayload {
		return "", fmt.Errorf("%w: the event is %d bytes, an asynchronous invocation takes at most %d (1 MB)", gust.ErrTooLarge, len(r.Payload), gust.MaxAsyncPayload)
	}
	iv.mu.Lock()
	f, err := iv.lookup(r, false)
	iv.mu.Unlock()
	if err != nil {
		return "", err
	}
	id := r.RequestID
	if id == "" {
		id = uuid.NewString()
	}
	e := event{App: f.App, Accepted: iv.Store.Now(), TraceID: r.TraceID, ClientContext: r.ClientContext, CognitoIdentity: r.CognitoIdentity}
	err = iv.Store.Update(ctx, store.Partition(asyncPartition+f.Name), func(tx *store.Tx) error {
		if _, err := tx.Get([]byte(asyncEvent + id)); err == nil {
			return fmt.Errorf("%w: an event with the request id %s is being run already", gust.ErrConflict, id)
		} else if !errors.Is(err, gust.ErrNotFound) {
			return err
		}
		if err := tx.Set([]byte(asyncPayload+id), r.Payload); err != nil {
			return err
		}
		if err := e.save(tx, id); err != nil {
			return err
		}
		return tx.SetTimer(store.Timer{ID: id, At: tx.Now(), Kind: asyncTimer})
	})
	if err != nil {
		return "", fmt.Errorf("keep the event of function %s: %w", f.Name, err)
	}
	return id, nil
}

// consume runs asynchronous events as they fall due, until the invoker begins to
// drain.
func (iv *Invoker) consume() {
	iv.persist(iv.intake, "asynchronous events of the last run could not be taken up", iv.recoverEvents)
	slots := make(chan struct{}, max(1, iv.Limits.Concurrency))
	iv.persist(iv.intake, "asynchronous events stand still", func() error {
		return iv.Store.RunTimers(iv.intake, asyncTimer, func(ctx context.Context, p store.Partition, t store.Timer) error {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			e, err := iv.takeEvent(ctx, p, t.ID)
			if err != nil || e == nil {
				<-slots
				return err
			}
			iv.wg.Go(func() {
				defer func() { <-slots }()
				iv.attempt(p, t.ID, *e)
			})
			return nil
		})
	})
}

// persist does what only the store can make fail, again and again until it
// succeeds, ctx ends or the store closes: a full disk has room some day.
func (iv *Invoker) persist(ctx context.Context, failure string, do func() error, args ...any) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Minute) {
		err := do()
		if err == nil || ctx.Err() != nil || errors.Is(err, gust.ErrClosing) {
			return
		}
		iv.Logger.Error(failure+"; it is tried again", append(args, "after", wait, "error", err)...)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// takeEvent puts the mark that an event runs in the place of its timer. Nil
// means that there is no such event any more.
func (iv *Invoker) takeEvent(ctx context.Context, p store.Partition, id string) (e *event, err error) {
	err = iv.Store.Update(ctx, p, func(tx *store.Tx) error {
		e = nil
		if err := tx.DeleteTimer(id); err != nil {
			return err
		}
		data, err := tx.Get([]byte(asyncEvent + id))
		if errors.Is(err, gust.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		e = new(event)
		if err := json.Unmarshal(data, e); err != nil {
			return fmt.Errorf("%w: %w", gust.ErrCorrupt, err)
		}
		return tx.Set([]byte(asyncRunning+id), nil)
	})
	if err != nil {
		return nil, fmt.Errorf("take event %s of %s: %w", id, p, err)
	}
	return e, nil
}

// payload reads the payload of a kept event.
func (iv *Invoker) payload(p store.Partition, id string) (payload []byte, err error) {
	err = iv.Store.View(p, func(s *store.Snapshot) (err error) {
		payload, err = s.Get([]byte(asyncPayload + id))
		return err
	})
	return payload, err
}

// attempt runs an event once and notes what came of it.
func (iv *Invoker) attempt(p store.Partition, id string, e event) {
	function := strings.TrimPrefix(string(p), asyncPartition)
	resp, err := iv.Invoke(iv.ctx, &Request{
		Function: function, Source: "async", RequestID: id,
		TraceID: e.TraceID, ClientContext: e.ClientContext, CognitoIdentity: e.CognitoIdentity,
		load: func() ([]byte, error) { return iv.payload(p, id) }, app: e.App,
	})
	if err == nil && resp.Result != nil && resp.Result.Stream != nil {
		err = discard(resp.Result.Stream)
	}
	var wait time.Duration
	var lost error // why it is not tried again
	var throttled *gust.ThrottledError
	switch {
	case err == nil && resp.Error == nil:
	case errors.Is(err, gust.ErrClosing) || iv.ctx.Err() != nil:
		return // the next start takes it up
	case errors.As(err, &throttled):
		e.Refused++
		wait = spread(min(time.Second<<min(e.Refused-1, 10), 5*time.Minute))
		if e.Waited += wait; e.Waited > asyncMaxWait {
			lost = err
		}
	default:
		if err == nil {
			err = resp.Error
		}
		wait = spread(time.Duration(e.Attempts+1) * time.Minute)
		e.Attempts++
		e.Waited += wait
		if e.Attempts >= asyncAttempts || errors.Is(err, gust.ErrNotFound) || errors.Is(err, gust.ErrInvalid) {
			lost = err
		}
	}
	if lost != nil {
		iv.Logger.Error("an asynchronous event is given up", "function", function, "app", e.App, "request", id,
			"attempts", e.Attempts, "throttled", e.Refused, "accepted", e.Accepted, "error", lost)
	}
	iv.persist(iv.ctx, "the end of an asynchronous event could not be kept", func() error {
		return iv.Store.Update(context.WithoutCancel(iv.ctx), p, func(tx *store.Tx) error {
			if err := tx.Delete([]byte(asyncRunning + id)); err != nil {
				return err
			}
			if wait > 0 && lost == nil {
				if err := e.save(tx, id); err != nil {
					return err
				}
				return tx.SetTimer(store.Timer{ID: id, At: tx.Now().Add(wait), Kind: asyncTimer})
			}
			if err := tx.Delete([]byte(asyncEvent + id)); err != nil {
				return err
			}
			return tx.Delete([]byte(asyncPayload + id))
		})
	}, "function", function, "request", id)
}

// discard reads a streamed answer that nobody waits for to its end.
func discard(r io.ReadCloser) error {
	_, err := io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// spread moves a pause by up to a tenth either way, so that what failed
// together is not tried again together.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// recoverEvents sets the timer of each event that ran when the node ended.
func (iv *Invoker) recoverEvents() error {
	partitions, err := iv.Store.Partitions(asyncPartition)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		err := iv.Store.Update(iv.intake, p, func(tx *store.Tx) error {
			var ids []string
			for key := range tx.Scan([]byte(asyncRunning)) {
				ids = append(ids, strings.TrimPrefix(string(key), asyncRunning))
			}
			for _, id := range ids {
				if err := tx.Delete([]byte(asyncRunning + id)); err != nil {
					return err
				}
				if err := tx.SetTimer(store.Timer{ID: id, At: tx.Now(), Kind: asyncTimer}); err != nil {
					return err
				}
			}
			return tx.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
