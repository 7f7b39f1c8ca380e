package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/observe"
)

// MaxLogRecords bounds what one query that does not follow gives.
const MaxLogRecords = 1_000_000

// patience is how long a client may take nothing of what a stream has for it,
// before it is taken for gone.
const patience = 30 * time.Second

// logs streams records as lines of JSON, oldest first. What goes wrong on the
// way is the last line, {"error": ...}.
func (s *server) logs(q *request) (answer, error) {
	query, err := logQuery(q, time.Now())
	if err != nil {
		return answer{}, err
	}
	reader := &reader{server: s, q: q}
	if err := reader.allow(query); err != nil {
		return answer{}, err
	}
	return answer{stream: func(w http.ResponseWriter) error {
		s.streamLogs(w, q.Context(), query, reader)
		return nil
	}}, nil
}

// reader is who reads logs: what is logged of a function is for who may read the
// logs of the function, or those of its app unless that is denied of the
// function.
type reader struct {
	*server
	q    *request
	seen map[string]seen // by app and function
}

// seen is a decision, and when it was made: somebody who follows for days may
// lose rights meanwhile.
type seen struct {
	may bool
	at  time.Time
}

const seenFor = time.Second

func (r *reader) may(app, function string) bool {
	key := app + "/" + function
	if s, ok := r.seen[key]; ok && time.Since(s.at) < seenFor {
		return s.may
	}
	d := r.q.call.Decide(access.Need{Action: r.q.route.action, Resource: r.Place.FunctionARN(function)})
	may := d.Allowed || !d.Denied && r.q.may(r.Place.ARN("app", app))
	if r.seen == nil {
		r.seen = make(map[string]seen)
	}
	r.seen[key] = seen{may, time.Now()}
	return may
}

// allow refuses who may read nothing of what is asked for.
func (r *reader) allow(query observe.Query) error {
	n := 0
	for name, f := range r.Catalog.Snapshot().Functions {
		if matches(query.Function, name) && matches(query.App, f.App) && r.may(f.App, name) {
			n++
			break
		}
	}
	resource := r.Place.ARN("app", cmp.Or(query.App, "*"))
	if query.Function != "" {
		resource = r.Place.FunctionARN(query.Function)
	}
	return r.q.listed(n, resource, named("function", query.Function, "app", query.App, "request", query.RequestID)...)
}

func (s *server) streamLogs(w http.ResponseWriter, ctx context.Context, q observe.Query, reader *reader) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.Draining != nil {
		stop := context.AfterFunc(s.Draining, func() { cancel(context.Cause(s.Draining)) })
		defer stop()
	}

	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	buffered := bufio.NewWriterSize(&deadlineWriter{w, control}, 32<<10)
	if q.Follow { // the client learns at once that it was understood
		w.WriteHeader(http.StatusOK)
		if err := control.Flush(); err != nil {
			return
		}
	}
	lines := json.NewEncoder(buffered)
	end := func(err error) { // flushed below
		_ = lines.Encode(struct {
			Error *Error `json:"error"`
		}{describe(err)})
	}
	for record, err := range s.Recorder.Query(ctx, q) {
		if err != nil {
			if ctx.Err() == nil {
				s.Logger.Error("a query of the logs broke off", "error", err)
				end(err)
			}
			break
		}
		if !reader.may(record.App, record.Function) {
			if err := reader.q.call.Renew(); err != nil { // or they wait for what never comes
				end(err)
				break
			}
			continue
		}
		if err := lines.Encode(record); err != nil {
			return // the client is gone
		}
		if q.Follow {
			if buffered.Flush() != nil || control.Flush() != nil {
				return
			}
		}
	}
	_ = buffered.Flush() // the client may be gone
}

// logQuery reads what of the logs is wanted; since is a time (RFC 3339) or how
// long before now.
func logQuery(r *request, now time.Time) (observe.Query, error) {
	var q observe.Query
	p, err := parameters(r, "function", "app", "request", "since", "follow", "limit")
	if err != nil {
		return q, err
	}
	q.Function, q.App, q.RequestID = p["function"], p["app"], p["request"]
	if since, ok := p["since"]; ok {
		if q.Since, err = ParseSince(since, now); err != nil {
			return q, badRequest("the parameter since: %v", err)
		}
	}
	if follow, ok := p["follow"]; ok {
		if q.Follow, err = strconv.ParseBool(follow); err != nil {
			return q, badRequest("the parameter follow is %q; want true or false", follow)
		}
	}
	if limit, ok := p["limit"]; ok {
		if q.Limit, err = strconv.Atoi(limit); err != nil || q.Limit < 1 || q.Limit > MaxLogRecords {
			return q, badRequest("the parameter limit is %q; want a number from 1 to %d", limit, MaxLogRecords)
		}
	}
	return q, nil
}

// ParseSince reads a time as RFC 3339, or as how long before now: "5m".
func ParseSince(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2006-01-02T15:04:05Z nor how long ago, such as 5m", text)
	}
	if ago < 0 {
		return time.Time{}, fmt.Errorf("%q is in the future", text)
	}
	return now.Add(-ago), nil
}

// deadlineWriter gives each write of a long answer its own deadline: the answer
// may take hours, a client that takes nothing may not.
type deadlineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (d *deadlineWriter) Write(p []byte) (int, error) {
	_ = d.control.SetWriteDeadline(time.Now().Add(patience)) // where it is not supported there is none to reset
	return d.w.Write(p)
}
