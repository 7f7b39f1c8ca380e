// Package lambda speaks the AWS Lambda API (REST-JSON, version 2015-03-31) for
// what Gust carries out of it: invoking functions and looking at them. Every
// other operation is refused by its name. docs/compatibility.md lists all.
package lambda

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
)

// Catalog tells what is declared: *catalog.Catalog.
type Catalog interface{ Snapshot() *catalog.Snapshot }

// Invoker runs functions: *invoke.Invoker.
type Invoker interface {
	Invoke(context.Context, *invoke.Request) (*invoke.Response, error)
	InvokeAsync(context.Context, *invoke.Request) (requestID string, err error)
}

// Options are what the API works with.
type Options struct {
	Catalog Catalog
	Invoker Invoker
	// Place is in the ARNs; its zero value is gust.DefaultPlace.
	Place gust.Place
	// Logger gets the node's own failures; nil is slog.Default.
	Logger *slog.Logger
}

type server struct {
	Options
}

// New returns the handler of the Lambda API. Who asks, and whether they may, has
// been decided before it. When an answer breaks off in its middle it panics with
// http.ErrAbortHandler, as net/http wants it.
func New(o Options) http.Handler {
	if o.Place == (gust.Place{}) {
		o.Place = gust.DefaultPlace
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &server{o}
}

// call is one request to the API.
type call struct {
	w  http.ResponseWriter
	r  *http.Request
	id string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: uuid.NewString()}
	w.Header().Set("x-amzn-RequestId", c.id)
	op, labels, err := lookup(r)
	if err == nil {
		err = op.run(s, c, labels)
	}
	if err != nil {
		s.refuse(c, err)
	}
}

// lookup finds the operation of a request and the values of its path's labels.
func lookup(r *http.Request) (*operation, []string, error) {
	path := r.URL.EscapedPath()
	for i := range operations {
		op := &operations[i]
		if op.method != r.Method {
			continue
		}
		pattern, query, _ := strings.Cut(op.path, "?")
		labels, ok := matchPath(pattern, path)
		if !ok || query != "" && !slices.Contains(strings.Split(r.URL.RawQuery, "&"), query) {
			continue
		}
		if op.run == nil {
			return nil, nil, &apiError{code: "UnknownOperationException", status: http.StatusNotImplemented,
				message: "the Lambda operation " + op.name + " is not carried out by Gust: " + op.note}
		}
		return op, labels, nil
	}
	return nil, nil, &apiError{code: "UnknownOperationException", status: http.StatusNotFound,
		message: "the Lambda API has no operation " + r.Method + " " + quoted(path)}
}

// matchPath matches a path, as it was sent, to a pattern with labels, one
// segment each.
func matchPath(pattern, path string) (labels []string, ok bool) {
	path = strings.TrimSuffix(path, "/")
	for more := true; more; {
		var want, got string
		var moreGot bool
		want, pattern, more = strings.Cut(pattern, "/")
		got, path, moreGot = strings.Cut(path, "/")
		if more != moreGot {
			return nil, false
		}
		if !strings.HasPrefix(want, "{") {
			if want != got {
				return nil, false
			}
			continue
		}
		label, err := url.PathUnescape(got)
		if err != nil || label == "" {
			return nil, false
		}
		labels = append(labels, label)
	}
	return labels, true
}

// function finds what a request names, at the version it asks for.
func (s *server) function(c *call, label string) (*gust.Function, name, error) {
	n, err := parseName(label, c.r.URL.Query()["Qualifier"])
	if err != nil {
		return nil, n, err
	}
	if n.place.Account != "" && n.place.Account != s.Place.Account || n.place.Region != "" && n.place.Region != s.Place.Region {
		return nil, n, notFound(&n, s.Place)
	}
	f := s.Catalog.Snapshot().Functions[n.function]
	if f == nil || !n.asksFor(f.Version) {
		return nil, n, notFound(&n, s.Place)
	}
	return f, n, nil
}
