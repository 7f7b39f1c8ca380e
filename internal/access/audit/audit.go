// Package audit keeps the audit log: every management call, every denial, and
// how many calls had no valid credential. It is append-only, and each record
// holds the hash of the one before it, so that Verify finds what was changed,
// removed, put in or moved.
//
// A call that may change something has a record that is durable before it runs
// and one with its result before it is answered; one without the other shows as
// cut off. Calls at the same time share the store's syncs.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// Defaults of Options.
const (
	DefaultMaxAge  = 90 * 24 * time.Hour
	DefaultMaxSize = gust.GB
)

// Options are a Log's settings; the zero value has the defaults.
type Options struct {
	// MaxAge is how long records are kept; 0 means DefaultMaxAge.
	MaxAge time.Duration
	// MaxSize is how many bytes they may have together: the oldest go first,
	// even if they are young. 0 means DefaultMaxSize.
	MaxSize int64
	// Now is the clock that dates the records; nil means time.Now. They grow old
	// by the store's, which does not follow one that jumps.
	Now func() time.Time
	// Logger gets what an operator should know; nil means slog.Default().
	Logger *slog.Logger

	minute time.Duration // how long denials are counted before they are written; tests are in a hurry
}

// Log is the audit log of one node. It is safe for use by many goroutines.
type Log struct {
	store *store.Store
	Options

	size  atomic.Int64 // of the records, in bytes
	early atomic.Bool  // those that went last were not too old yet

	mu    sync.Mutex
	tally *tally
	late  []*Record     // ends that could not be written, for a while
	grown chan struct{} // closed with the next record; nil if nobody waits

	wake    chan struct{} // something was counted, or the log is too large
	closing chan struct{}
	keeper  sync.WaitGroup
	closed  sync.Once
}

// Open takes up the log in the store. Calls that a former run had begun and not
// ended are noted as cut off.
func Open(ctx context.Context, s *store.Store, o Options) (*Log, error) {
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.minute == 0 {
		o.minute = time.Minute
	}
	l := &Log{store: s, Options: o, tally: newTally(), wake: make(chan struct{}, 1), closing: make(chan struct{})}
	err := l.check()
	if err == nil {
		err = l.cutOff(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l.keeper.Go(l.keep)
	return l, nil
}

// Close writes what was counted and waits for what is under way. Calls must not
// begin after it.
func (l *Log) Close() error {
	var err error
	l.closed.Do(func() {
		close(l.closing)
		l.keeper.Wait()
		if err = l.flush(context.Background()); err != nil {
			err = fmt.Errorf("close the audit log: %w", err)
		}
	})
	return err
}

// Entry is a call that began.
type Entry struct {
	log   *Log
	begin Record
}

// Begin notes that a call is about to run that may change something. When it
// returns an error there is no such record, and the call must not run.
func (l *Log) Begin(ctx context.Context, r *Record) (*Entry, error) {
	b := r.bounded()
	b.Kind, b.Result = KindBegin, Running
	err := l.update(ctx, func(c *chain) error {
		if err := c.append(b); err != nil {
			return err
		}
		return c.tx.Set(openKey(b.Seq), nil)
	})
	if err != nil {
		return nil, fmt.Errorf("the call is not carried out, because it cannot be recorded in the audit log: %w", err)
	}
	return &Entry{l, *b}, nil
}

// Ending is what came of a call.
type Ending struct {
	Result Result
	// Code is the error's; Reason is why it was denied.
	Code, Reason string
	// Parameters are those that were not known when it began.
	Parameters map[string]string
}

// End notes what came of the call. It is called once. An error means that the
// call is carried out and its end is not recorded; that is made up for when it can
// be.
func (e *Entry) End(ctx context.Context, of Ending) error {
	r := e.begin
	r.Kind, r.Began, r.Start = KindEnd, e.begin.Seq, e.begin.Time
	r.Result, r.Code, r.Reason = of.Result, gust.Clip(of.Code, maxText), gust.Clip(of.Reason, maxReason)
	if len(of.Parameters) > 0 {
		all := maps.Clone(of.Parameters)
		maps.Copy(all, r.Parameters)
		r.Parameters = clipped(all)
	}
	err := e.log.update(context.WithoutCancel(ctx), func(c *chain) error { return c.end(&r) })
	if err == nil {
		return nil
	}
	e.log.postpone(&r)
	return fmt.Errorf("the call was carried out, and its result could not be recorded in the audit log: %w", err)
}

// Add notes a whole call in one record: one that reads, by its result.
func (l *Log) Add(ctx context.Context, r *Record) error {
	b := r.bounded()
	b.Kind = KindCall
	if err := l.update(context.WithoutCancel(ctx), func(c *chain) error { return c.append(b) }); err != nil {
		return fmt.Errorf("record a call in the audit log: %w", err)
	}
	return nil
}

// AddOrCount is Add of a call that changes nothing that lasts, of which somebody
// who may hardly anything makes as many as they like. Above callsAMinute of one
// sort by one who (a principal; of a role's sessions the role, of web identities the
// provider) the rest are counted.
func (l *Log) AddOrCount(ctx context.Context, r *Record, who, sort string) error {
	if !l.count(func(t *tally) bool { return t.call(caller{who, sort}, outcome{r.Action, r.Result}, l.Now()) }) {
		return nil
	}
	return l.Add(ctx, r)
}

// Deny notes a call that was denied to somebody known. Above denialsAMinute of one
// who (see AddOrCount) the rest are counted, and so is one that cannot be written: a
// denial is one in any case.
func (l *Log) Deny(ctx context.Context, r *Record, who string) {
	if !l.count(func(t *tally) bool { return t.principal(who, l.Now()) }) {
		return
	}
	b := r.bounded()
	b.Kind, b.Result = KindCall, Denied
	if err := l.update(context.WithoutCancel(ctx), func(c *chain) error { return c.append(b) }); err != nil {
		l.Logger.Warn("a denial could not be recorded in the audit log, and is counted", "principal", b.Principal, "action", b.Action, "error", err)
		l.count(func(t *tally) bool { t.over(who, l.Now(), 1); return true })
	}
}

// Refuse counts a call that had no valid credential, by where it came from (an
// address, or an environment's own listener) and in which way. It touches no
// disk.
func (l *Log) Refuse(source netip.Addr, environment, reason string) {
	from := origin{network(source), environment}
	if environment != "" { // its address is always the same
		from.source = ""
	}
	l.count(func(t *tally) bool { t.source(from, reason, l.Now(), 1); return true })
}

func (l *Log) count(f func(*tally) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok := f(l.tally)
	l.rouse()
	return ok
}

// maxLate bounds how many ends wait for the disk.
const maxLate = 10_000

// postpone keeps an end that could not be written.
func (l *Log) postpone(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) >= maxLate {
		l.Logger.Error("the result of a call is lost, because too many wait for the disk: at the next start the call is noted as cut off",
			"record", r.Began, "action", r.Action, "result", r.Result)
		return
	}
	l.late = append(l.late, r)
	l.rouse()
}

// rouse has the keeper look in a while.
func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// trimEvery is how often records that have become too old are looked for.
const trimEvery = time.Hour

// keep writes what was counted a minute after the first of it, and removes what
// is too old or too much.
func (l *Log) keep() {
	ctx := context.Background()
	count, old := time.NewTimer(l.minute), time.NewTimer(l.minute)
	defer count.Stop()
	defer old.Stop()
	count.Stop()
	counting := false
	for {
		select {
		case <-l.closing:
			return
		case <-l.wake:
			if !counting {
				counting = true
				count.Reset(l.minute)
			}
		case <-count.C:
			counting = false
			if err := l.flush(ctx); err != nil && !errors.Is(err, gust.ErrClosing) {
				l.Logger.Warn("denials could not be written to the audit log; they are counted on", "error", err)
				l.rouse()
			}
			if l.size.Load() > l.MaxSize {
				l.trimmed(ctx)
			}
		case <-old.C:
			l.trimmed(ctx)
			old.Reset(trimEvery)
		}
	}
}

func (l *Log) trimmed(ctx context.Context) {
	if err := l.trim(ctx); err != nil && !errors.Is(err, gust.ErrClosing) {
		l.Logger.Warn("old records of the audit log could not be removed", "error", err)
	}
}

// flush writes what was counted and the ends that wait, in one transition.
// What cannot be written is counted on.
func (l *Log) flush(ctx context.Context) error {
	l.mu.Lock()
	t, late := l.tally, l.late
	l.tally, l.late = newTally(), nil
	l.mu.Unlock()
	records := t.records()
	if len(records)+len(late) == 0 {
		return nil
	}
	err := l.update(ctx, func(c *chain) error {
		for _, r := range late {
			if err := c.end(r); err != nil {
				return err
			}
		}
		for _, r := range records {
			if err := c.append(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.late = append(late, l.late...)
		t.add(l.tally)
		l.tally = t
	}
	return err
}

// Early tells that the newest of the records that were removed went before their
// age, because all together were too large.
func (l *Log) Early() bool { return l.early.Load() }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{gust.ErrInvalid}, args...)...)
}
