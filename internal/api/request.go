package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
)

// request is one request on its way through the handler of its route, which
// says by allow what it is about before it looks at anything or does anything.
type request struct {
	*http.Request
	w     http.ResponseWriter
	call  *guard.Call
	route *route
	need  access.Need // what allow asked for
	end   guard.End   // records what came of it
}

// answer is what a handler answers: a status and JSON, or a stream.
type answer struct {
	status int
	body   any
	// stream writes the answer by itself. Its error is one that nobody was told
	// of yet, or a brokenOff.
	stream func(http.ResponseWriter) error
}

// brokenOff is an answer that ended too soon, after it had begun.
type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

func reply(status int, body any) (answer, error) { return answer{status: status, body: body}, nil }

// everything is the resource of what is about the node as a whole.
const everything = "*"

// allow refuses the request unless its caller may do the route's action with the
// resource, and records it as the route's level asks for.
func (q *request) allow(resource string, params ...guard.Param) error {
	return q.allowShown(resource, "", params...)
}

// allowShown is allow, and a denial calls the resource what is shown.
func (q *request) allowShown(resource, shown string, params ...guard.Param) error {
	q.need = access.Need{Action: q.route.action, Resource: resource, Shown: shown}
	if err := q.still(); err != nil {
		return err
	}
	return q.record(resource, params...)
}

// still refuses the request unless what was allowed is allowed now. Whoever
// allows before the body is read asks again when it is: it comes as slowly as its
// sender likes.
func (q *request) still() error { return q.call.Allow(q.Context(), q.need) }

func (q *request) record(resource string, params ...guard.Param) (err error) {
	q.end, err = q.call.Record(q.Context(), q.route.level, q.route.action, resource, params...)
	return err
}

// may reports whether the caller may do the route's action with a resource, or
// another action. Whoever has left may nothing, so that their list ends.
func (q *request) may(resource string) bool { return q.mayDo(q.route.action, resource) }

func (q *request) mayDo(action, resource string) bool {
	return q.Context().Err() == nil && q.call.Decide(access.Need{Action: action, Resource: resource}).Allowed
}

// listed ends the choice of what a list shows: of everything, what the caller
// may see. Who may see nothing is refused, unless they might if there was more:
// resource stands for all that there could be.
func (q *request) listed(shown int, resource string, params ...guard.Param) error {
	if q.Context().Err() != nil { // nobody waits for the list, and so it was not made
		return context.Cause(q.Context())
	}
	if shown == 0 {
		return q.allow(resource, params...)
	}
	return q.record("", params...)
}

// finish records what came of the request.
func (q *request) finish(err error) error {
	if q.end == nil {
		return err
	}
	end := q.end
	q.end = nil
	return end(err)
}

// named are the parameters of a record, without those that are empty.
func named(pairs ...string) []guard.Param {
	var list []guard.Param
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, guard.Param{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return list
}

// Behind lets who may do action on the node through to next, and answers the
// others as the API does: it is for what is no part of the API and stands beside
// it, such as the metrics.
func Behind(action string, level guard.Level, next http.Handler) http.Handler {
	r := &route{action: action, level: level, handle: func(_ *server, q *request) (answer, error) {
		if err := q.allow(everything); err != nil {
			return answer{}, err
		}
		return answer{stream: func(w http.ResponseWriter) error {
			next.ServeHTTP(w, q.Request)
			return nil
		}}, nil
	}}
	return (&server{}).endpoint(r)
}

var (
	errNoCall     = errors.New("the request did not come through the guard")
	errUnfinished = errors.New("the request was not carried out to its end")
)
