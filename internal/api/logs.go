package api

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/observe"
)

// MaxLogRecords bounds what one query that does not follow gives.
const MaxLogRecords = 1_000_000

// logs streams records, oldest first.
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
		stream(s, w, q.Context(), query.Follow, func(ctx context.Context) iter.Seq2[observe.Record, error] {
			return reader.shown(s.Recorder.Query(ctx, query))
		})
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

// shown leaves out what the reader may not read, and ends for whom the node no
// longer knows: or they wait for what never comes.
func (r *reader) shown(records iter.Seq2[observe.Record, error]) iter.Seq2[observe.Record, error] {
	return func(yield func(observe.Record, error) bool) {
		for record, err := range records {
			if err == nil && !r.may(record.App, record.Function) {
				if err = r.q.call.Renew(); err == nil {
					continue
				}
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
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
