// Package observe turns what happens to functions into what people look at: log
// records and metrics. It calls nobody.
//
// A Recorder has one Stream for each environment. What an environment prints
// goes in by Line, between Begin and End of the invocation it runs; each becomes
// a record in the log file, and End counts the invocation's report. This is on
// the path of every invocation: a Stream shares no lock with another beyond the
// log file's, and its calls allocate nothing.
package observe

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/logfile"
)

// Options are a Recorder's settings. Log is needed, all else has a default.
type Options struct {
	Log *logfile.Log
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// The limits on what programs may log; zero means the default.
	EnvironmentLimit, FunctionLimit, NodeLimit Limit
	// Version is shown as that of the build.
	Version string
	Logger  *slog.Logger
}

// Recorder records. It is safe for use by many goroutines.
type Recorder struct {
	log     *logfile.Log
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics

	perEnvironment, perFunction, perNode Limit
	// bucket is what all may log together. It is counted on epoch's monotonic
	// clock.
	bucket bucket
	epoch  time.Time

	complained atomic.Int64 // when a failing log was last told of, 1 ns after epoch at the earliest; 0 is never
}

// New makes a Recorder over an open log, which stays its caller's to close.
func New(o Options) *Recorder {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Recorder{
		log: o.Log, now: o.Now, logger: o.Logger, metrics: newMetrics(o.Version),
		perEnvironment: o.EnvironmentLimit.or(DefaultEnvironmentLimit),
		perFunction:    o.FunctionLimit.or(DefaultFunctionLimit),
		perNode:        o.NodeLimit.or(DefaultNodeLimit),
		epoch:          o.Now(),
	}
}

// Close ends the recorder's use of its log: what was recorded is synced. Streams
// should be closed before.
func (r *Recorder) Close() error { return r.log.Sync() }

// Metrics answers Prometheus.
func (r *Recorder) Metrics() http.Handler { return r.metrics.handler() }

// SetStates names where the states of environments are pulled from when somebody
// looks at the metrics.
func (r *Recorder) SetStates(pull func() []EnvState) { r.metrics.states.Store(&pull) }

// SetNode names where the node's own figures are pulled from.
func (r *Recorder) SetNode(pull func() NodeFigures) { r.metrics.node.Store(&pull) }

// Throttled counts an invocation of f that was refused.
func (r *Recorder) Throttled(f *gust.Function, reason gust.ThrottleReason) {
	r.metrics.of(f).throttles[index(throttles[:], reason)].Add(1)
}

// Started counts an environment of f that became ready after init.
func (r *Recorder) Started(f *gust.Function, cause gust.ColdCause, pool Pooling, init time.Duration) {
	r.metrics.of(f).started(cause, pool, init)
}

// Prewarmed counts an environment of f that was started ahead: when it gets its
// first invocation, or when it ends without one.
func (r *Recorder) Prewarmed(f *gust.Function, used bool) {
	if used {
		r.metrics.of(f).prewarmedUsed.Add(1)
	} else {
		r.metrics.of(f).prewarmedUnused.Add(1)
	}
}

// StartFailed counts and logs an environment of f that did not become ready.
func (r *Recorder) StartFailed(f *gust.Function, failure *gust.FunctionError) {
	figures := r.metrics.of(f)
	figures.startFailures[index(outcomes[:], failure.Outcome)].Add(1)
	now := r.now()
	text := failure.Error()
	if !r.admit(figures, nil, len(text), now, 0) {
		figures.droppedLines.Add(1)
		figures.droppedBytes.Add(int64(len(text)))
		return
	}
	record := appendHead([]byte{tagInitError}, f, "")
	record = appendTrace(appendID(record, ""), "")
	r.append(now, appendLong(record, text))
}

// Forget takes a function that was removed out of the metrics. Invocations of it
// that still run are not counted any more.
func (r *Recorder) Forget(function string) { r.metrics.functions.Delete(function) }

// append writes a record. A log that cannot be written to costs log records, not
// invocations: it is counted, and told of once a minute.
func (r *Recorder) append(t time.Time, record []byte) bool {
	_, err := r.log.Append(t, record)
	if err == nil {
		return true
	}
	r.metrics.writeErrors.Add(1)
	now, last := int64(t.Sub(r.epoch))+1, r.complained.Load()
	if (last == 0 || now-last >= int64(time.Minute) || now < last) && r.complained.CompareAndSwap(last, now) {
		r.logger.Error("log records are lost", "error", err, "lost", r.metrics.writeErrors.Load())
	}
	return false
}

// admit asks the limits whether a line of n bytes may be logged: own, the
// environment's, if there is one, then the function's and the node's. It is only
// if room is left over in each.
func (r *Recorder) admit(f *figures, own *bucket, n int, at time.Time, room time.Duration) bool {
	now := int64(at.Sub(r.epoch))
	if own != nil && !own.take(&r.perEnvironment, n, now, room) {
		return false
	}
	if f.bucket.take(&r.perFunction, n, now, room) {
		if r.bucket.take(&r.perNode, n, now, room) {
			return true
		}
		f.bucket.give(&r.perFunction, n)
	}
	if own != nil {
		own.give(&r.perEnvironment, n)
	}
	return false
}
