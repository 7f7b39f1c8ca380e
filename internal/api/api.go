// Package api is Gust's own HTTP API, /v1/..., for what no AWS API does: what
// is deployed, plans and their application, artifacts, logs, the node's state,
// backups. docs/API.md documents every route of it. Client speaks it, and is
// all that the command needs to work with a node.
//
// The package decodes, calls the domain and encodes. Who is asking is the
// business of whoever mounts the handler.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/store"
)

// MaxDocument bounds a request's JSON: an app as large as a manifest may
// declare one.
const MaxDocument = 32 * gust.MB

// HeaderRequestID carries an id in every response, and in the log line about
// one that failed.
const HeaderRequestID = "Gust-Request-Id"

// Options are what the API works on. All but Logger are needed.
type Options struct {
	Catalog      *catalog.Catalog
	Runtimes     *runtimes.Roots
	Store        *store.Store
	Recorder     *observe.Recorder
	Environments func() []invoke.Environment
	// Warm is Invoker.Warm.
	Warm func(ctx context.Context, function string) (*invoke.WarmUp, error)
	// Status is asked for each GET /v1/status.
	Status func() Status
	// Build is what the node's binary is.
	Build Build
	// Draining ends what would otherwise go on for as long as the client
	// likes: logs that are followed.
	Draining context.Context
	Logger   *slog.Logger
}

// New returns the handler for everything under /v1/.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, mux: http.NewServeMux()}
	methods := make(map[string][]string) // by path, for 405
	for _, r := range routes {
		s.mux.Handle(r.method+" "+r.path, s.endpoint(r.handle))
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		s.mux.Handle(path, s.endpoint(wrongMethod(allowed)))
	}
	s.mux.Handle("/", s.endpoint(noRoute))
	return s.mux
}

type server struct {
	Options
	mux *http.ServeMux
}

type handler func(*server, http.ResponseWriter, *http.Request) error

// routes is the whole API, in the order of docs/API.md.
var routes = []struct {
	method, path string
	handle       handler
}{
	{"GET", "/v1/version", (*server).version},
	{"GET", "/v1/status", (*server).status},
	{"GET", "/v1/apps", (*server).apps},
	{"POST", "/v1/apps/{app}/plan", (*server).plan},
	{"PUT", "/v1/apps/{app}", (*server).apply},
	{"DELETE", "/v1/apps/{app}", (*server).remove},
	{"GET", "/v1/functions", (*server).functions},
	{"GET", "/v1/environments", (*server).environments},
	{"POST", "/v1/functions/{name}/warm", (*server).warm},
	{"GET", "/v1/runtimes", (*server).runtimes},
	{"POST", "/v1/runtimes", (*server).addRuntime},
	{"DELETE", "/v1/runtimes/{name}", (*server).removeRuntime},
	{"HEAD", "/v1/artifacts/{sha256}", (*server).hasArtifact},
	{"PUT", "/v1/artifacts/{sha256}", (*server).putArtifact},
	{"GET", "/v1/logs", (*server).logs},
	{"POST", "/v1/backup", (*server).backup},
}

// endpoint gives each request its id and answers what handle returns as error;
// a handler that has begun its answer ends it by itself.
func (s *server) endpoint(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		w.Header().Set(HeaderRequestID, id)
		err := handle(s, w, r)
		if err == nil {
			return
		}
		e := describe(err)
		e.RequestID = id
		if e.Status >= 500 {
			s.Logger.Error("an API request failed", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
		}
		_ = reply(w, e.Status, struct { // the client may be gone; there is nobody else to tell
			Error *Error `json:"error"`
		}{e})
	})
}

func wrongMethod(allowed []string) handler {
	if slices.Contains(allowed, "GET") && !slices.Contains(allowed, "HEAD") {
		allowed = append(allowed, "HEAD") // ServeMux answers it
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	return func(_ *server, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", list)
		return &Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
			Message: fmt.Sprintf("%s cannot be used on %s; it answers %s", r.Method, r.URL.Path, list)}
	}
}

func noRoute(_ *server, _ http.ResponseWriter, r *http.Request) error {
	return &Error{Status: http.StatusNotFound, Code: "no_route",
		Message: fmt.Sprintf("there is no %s in this version of the API; docs/API.md lists what there is", r.URL.Path)}
}

// reply writes v as JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the answer has begun; if the client is gone, so be it
	return nil
}

// decode reads the request's body, one JSON document with no unknown field and
// nothing after it, of at most MaxDocument bytes.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxDocument))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		} else if err == nil {
			err = errors.New("something follows the JSON document")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Errorf("the request's document is over %d MB: %w", MaxDocument/gust.MB, gust.ErrTooLarge)
	case err == io.EOF:
		return badRequest("the request has no body; want a JSON document")
	default:
		return badRequest("the request's body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// parameters refuses query parameters that are not known, or given twice.
func parameters(r *http.Request, known ...string) (map[string]string, error) {
	values := make(map[string]string)
	for name, given := range r.URL.Query() {
		if !slices.Contains(known, name) {
			if len(known) == 0 {
				return nil, badRequest("%s has no parameter %q; it has none", r.URL.Path, name)
			}
			return nil, badRequest("%s has no parameter %q; it has: %s", r.URL.Path, name, strings.Join(known, ", "))
		}
		if len(given) > 1 {
			return nil, badRequest("the parameter %s is given %d times; once is right", name, len(given))
		}
		values[name] = given[0]
	}
	return values, nil
}
