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
// A timer in the same partition says when it is due; while it runs there is
// none, and after a crash the next start sets it again.
const (
	asyncPartition = "async/"
	asyncTimer     = "async"
	asyncEvent     = "event/"
	asyncPayload   = "payload/"
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
	f, err := iv.lookup(r)
	iv.mu.Unlock()
	if err != nil {
		return "", err
	}
	if f.Runtime == gust.RuntimeHTTP {
		return "", fmt.Errorf("%w: function %s: %w", gust.ErrInvalid, f.Name, ErrHTTPOnly)
	}
	id := r.RequestID
	if id == "" {
		id = uuid.NewString()
	}
	e := event{Accepted: iv.Store.Now(), TraceID: r.TraceID, ClientContext: r.ClientContext, CognitoIdentity: r.CognitoIdentity}
	err = iv.Store.Update(ctx, store.Partition(asyncPartition+f.Name), func(tx *store.Tx) error {
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

// consume runs asynchronous events as they fall due, until the invoker closes.
func (iv *Invoker) consume() {
	if err := iv.recoverEvents(); err != nil && iv.ctx.Err() == nil {
		iv.Logger.Error("asynchronous events of the last run could not be taken up", "error", err)
	}
	slots := make(chan struct{}, max(1, iv.Limits.Concurrency))
	err := iv.Store.RunTimers(iv.ctx, asyncTimer, func(ctx context.Context, p store.Partition, t store.Timer) error {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		taken := false
		defer func() {
			if !taken {
				<-slots
			}
		}()
		var e event
		var payload []byte
		err := iv.Store.Update(ctx, p, func(tx *store.Tx) (err error) {
			if e, payload, err = load(tx, t.ID); err != nil {
				return err
			}
			return tx.DeleteTimer(t.ID)
		})
		if err != nil {
			return fmt.Errorf("take event %s of %s: %w", t.ID, p, err)
		}
		taken = true
		iv.wg.Go(func() {
			defer func() { <-slots }()
			iv.attempt(p, t.ID, e, payload)
		})
		return nil
	})
	if err != nil && iv.ctx.Err() == nil {
		iv.Logger.Error("asynchronous events have stopped", "error", err)
	}
}

func load(tx *store.Tx, id string) (e event, payload []byte, err error) {
	data, err := tx.Get([]byte(asyncEvent + id))
	if err != nil {
		return e, nil, err
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, nil, fmt.Errorf("%w: event %s: %w", gust.ErrCorrupt, id, err)
	}
	payload, err = tx.Get([]byte(asyncPayload + id))
	return e, payload, err
}

// attempt runs an event once and notes what came of it.
func (iv *Invoker) attempt(p store.Partition, id string, e event, payload []byte) {
	function := strings.TrimPrefix(string(p), asyncPartition)
	resp, err := iv.Invoke(iv.ctx, &Request{
		Function: function, Payload: payload, Source: "async", RequestID: id,
		TraceID: e.TraceID, ClientContext: e.ClientContext, CognitoIdentity: e.CognitoIdentity,
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
		return // it did not run, or was cut off: the next start takes it up
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
		if e.Attempts >= asyncAttempts || errors.Is(err, gust.ErrNotFound) {
			lost = err
		}
	}
	if lost != nil {
		iv.Logger.Error("an asynchronous event is given up", "function", function, "request", id,
			"attempts", e.Attempts, "throttled", e.Refused, "accepted", e.Accepted, "error", lost)
	}
	err = iv.Store.Update(context.WithoutCancel(iv.ctx), p, func(tx *store.Tx) error {
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
	if err != nil { // it runs again after the next start
		iv.Logger.Error("the end of an asynchronous event could not be kept; it will run again", "function", function, "request", id, "error", err)
	}
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
		err := iv.Store.Update(iv.ctx, p, func(tx *store.Tx) error {
			for key := range tx.Scan([]byte(asyncEvent)) {
				id := strings.TrimPrefix(string(key), asyncEvent)
				if _, err := tx.Timer(id); errors.Is(err, gust.ErrNotFound) {
					err = tx.SetTimer(store.Timer{ID: id, At: tx.Now(), Kind: asyncTimer})
					if err != nil {
						return err
					}
				} else if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
