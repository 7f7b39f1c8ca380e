// Package api is Gust's own HTTP API, /v1/..., for what no AWS API does: what
// is deployed, plans and their application, artifacts, logs, the node's state,
// backups. docs/API.md documents every route of it. Client speaks it, and is
// all that the command needs to work with a node.
//
// The package decodes, calls the domain and encodes. Who is asking is told by
// guard.Require, which whoever mounts the handler puts before it; each route has
// an action of its own, and asks the guard whether the caller may.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/store"
)

// MaxDocument bounds a request's JSON: an app as large as a manifest may
// declare one.
const MaxDocument = 32 * gust.MB

// maxUnasked bounds a body that has to be read before it is known whether its
// sender may anything at all.
const maxUnasked = 16 * gust.KB

// HeaderRequestID carries an id in every response, and in the log line about
// one that failed.
const HeaderRequestID = "Gust-Request-Id"

// Options are what the API works on. All but Logger are needed.
type Options struct {
	Catalog      *catalog.Catalog
	Runtimes     *runtimes.Roots
	Store        *store.Store
	Recorder     *observe.Recorder
	Audit        *audit.Log
	Directory    *identity.Directory
	Place        gust.Place
	Environments func() []invoke.Environment
	// Warm is Invoker.Warm.
	Warm func(ctx context.Context, function string) (*invoke.WarmUp, error)
	// Replace is Invoker.Replace: it is called when the sessions of the
	// function's role were ended.
	Replace func(function string)
	// Status is asked for each GET /v1/status.
	Status func() Status
	// Forget is called when functions were removed: what belonged to their
	// names is not for who gets them later.
	Forget func(context.Context) error
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
		o.Logger = slog.Default()
	}
	s := &server{Options: o, mux: http.NewServeMux()}
	methods := make(map[string][]string) // by path, for 405
	for i := range routes {
		r := &routes[i]
		s.mux.Handle(r.method+" "+r.path, s.endpoint(r))
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		s.mux.Handle(path, s.endpoint(&route{handle: wrongMethod(allowed)}))
	}
	s.mux.Handle("/", s.endpoint(&route{handle: noRoute}))
	return s.mux
}

type server struct {
	Options
	mux *http.ServeMux
}

type handler func(*server, *request) (answer, error)

// route is one of the API's. Whoever may do its action may ask for it; one
// without an action is for everybody who has a key.
type route struct {
	method, path string
	action       string
	level        guard.Level
	handle       handler
}

// routes is the whole API, in the order of docs/API.md.
var routes = []route{
	{"GET", "/v1/version", "", guard.Data, (*server).version},
	{"GET", "/v1/status", "gust:GetStatus", guard.Read, (*server).status},
	{"GET", "/v1/whoami", "", guard.Data, (*server).whoami},
	{"GET", "/v1/apps", "gust:ListApps", guard.Read, (*server).apps},
	{"POST", "/v1/apps/{app}/plan", "gust:PlanApp", guard.Read, (*server).plan},
	{"PUT", "/v1/apps/{app}", "gust:DeployApp", guard.Write, (*server).apply},
	{"DELETE", "/v1/apps/{app}", "gust:RemoveApp", guard.Write, (*server).remove},
	{"GET", "/v1/functions", "gust:ListFunctions", guard.Read, (*server).functions},
	{"GET", "/v1/environments", "gust:ListEnvironments", guard.Read, (*server).environments},
	{"POST", "/v1/functions/{name}/warm", "gust:WarmFunction", guard.Write, (*server).warm},
	{"GET", "/v1/runtimes", "gust:ListRuntimes", guard.Read, (*server).runtimes},
	{"POST", "/v1/runtimes", "gust:AddRuntime", guard.Write, (*server).addRuntime},
	{"DELETE", "/v1/runtimes/{name}", "gust:RemoveRuntime", guard.Write, (*server).removeRuntime},
	{"HEAD", "/v1/artifacts/{sha256}", "gust:PutArtifact", guard.Data, (*server).hasArtifact},
	{"PUT", "/v1/artifacts/{sha256}", "gust:PutArtifact", guard.Write, (*server).putArtifact},
	{"GET", "/v1/logs", "gust:ReadLogs", guard.Read, (*server).logs},
	{"POST", "/v1/explain", "gust:ExplainAccess", guard.Read, (*server).explain},
	{"POST", "/v1/roles/{name}/revoke", "gust:RevokeSessions", guard.Write, revoke(identity.KindRole)},
	{"POST", "/v1/users/{name}/revoke", "gust:RevokeSessions", guard.Write, revoke(identity.KindUser)},
	{"GET", "/v1/audit", "gust:ReadAudit", guard.Read, (*server).audit},
	{"GET", "/v1/audit/verify", "gust:ReadAudit", guard.Read, (*server).verifyAudit},
	{"POST", "/v1/backup", "gust:Backup", guard.Write, (*server).backup},
}

// endpoint gives each request its id, records what came of it, and answers.
func (s *server) endpoint(r *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		q := &request{Request: hr, w: w, call: guard.CallFrom(hr.Context()), route: r}
		id, body, sent := "", []byte(nil), false
		var a answer
		err := errNoCall
		defer func() { _ = q.finish(errUnfinished) }() // if the handler panics
		if q.call != nil {
			id = q.call.RequestID
			w.Header().Set(HeaderRequestID, id)
			a, err = r.handle(s, q)
		}
		if err == nil && a.stream == nil && a.body != nil {
			if body, err = json.Marshal(a.body); err != nil {
				err = fmt.Errorf("encoding the answer: %w", err)
			}
		}
		if err == nil && a.stream != nil {
			if r.level == guard.Read { // what matters is that it is given
				err = q.finish(nil)
			}
			if err == nil {
				err = a.stream(w)
				sent = err == nil
			}
		}
		err = q.finish(err)
		switch {
		case err != nil && sent: // it is whole, and nothing may stand behind it
			s.Logger.Error("an API request was answered, and then failed", "method", hr.Method, "path", hr.URL.Path, "request_id", id, "error", err)
		case errors.As(err, new(brokenOff)):
			panic(http.ErrAbortHandler) // nobody must take a part for the whole
		case err != nil:
			s.refuse(w, hr, id, err)
		case a.stream == nil:
			if body != nil {
				w.Header().Set("Content-Type", "application/json")
				body = append(body, '\n')
			}
			w.WriteHeader(a.status)
			_, _ = w.Write(body) // the answer has begun; if the client is gone, so be it
		}
	})
}

// refuse answers an error.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, id string, err error) {
	e := describe(err)
	if errors.Is(err, gust.ErrBusy) {
		w.Header().Set("Retry-After", strconv.Itoa(int(access.BusyRetry.Seconds())))
	}
	e.RequestID = id
	if e.Status >= 500 && s.Logger != nil {
		s.Logger.Error("an API request failed", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
	}
	body, err := json.Marshal(struct {
		Error *Error `json:"error"`
	}{e})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone; there is nobody else to tell
}

func wrongMethod(allowed []string) handler {
	if slices.Contains(allowed, "GET") && !slices.Contains(allowed, "HEAD") {
		allowed = append(allowed, "HEAD") // ServeMux answers it
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	return func(_ *server, q *request) (answer, error) {
		q.w.Header().Set("Allow", list)
		return answer{}, &Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
			Message: fmt.Sprintf("%s cannot be used on %s; it answers %s", q.Method, q.URL.Path, list)}
	}
}

func noRoute(_ *server, q *request) (answer, error) {
	return answer{}, &Error{Status: http.StatusNotFound, Code: "no_route",
		Message: fmt.Sprintf("there is no %s in this version of the API; docs/API.md lists what there is", q.URL.Path)}
}

// decode reads the request's body, one JSON document with no unknown field and
// nothing after it, of at most limit bytes.
func decode(q *request, v any, limit int64) error {
	data, err := access.Hold(q.Request, http.MaxBytesReader(q.w, q.Body, limit), q.ContentLength, limit)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err == nil {
		err = d.Decode(v)
	}
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		} else if err == nil {
			err = errors.New("something follows the JSON document")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, gust.ErrBusy), errors.Is(err, access.ErrSlow):
		return err
	case errors.As(err, &tooLarge):
		size := fmt.Sprintf("%d MB", limit/gust.MB)
		if limit < gust.MB {
			size = fmt.Sprintf("%d KB", limit/gust.KB)
		}
		return fmt.Errorf("the request's document is over %s: %w", size, gust.ErrTooLarge)
	case err == io.EOF:
		return badRequest("the request has no body; want a JSON document")
	default:
		return badRequest("the request's body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// parameters refuses query parameters that are not known, or given twice. They
// are read as signatures read them: a plus sign is a plus sign, and no space.
func parameters(q *request, known ...string) (map[string]string, error) {
	values := make(map[string]string)
	for pair := range strings.SplitSeq(q.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err == nil {
			value, err = url.PathUnescape(value)
		}
		if err != nil {
			return nil, badRequest("the parameter %.100q is wrong: %v", pair, err)
		}
		if !slices.Contains(known, name) {
			if len(known) == 0 {
				return nil, badRequest("%s has no parameter %q; it has none", q.URL.Path, name)
			}
			return nil, badRequest("%s has no parameter %q; it has: %s", q.URL.Path, name, strings.Join(known, ", "))
		}
		if _, twice := values[name]; twice {
			return nil, badRequest("the parameter %s is given twice; once is right", name)
		}
		values[name] = value
	}
	return values, nil
}
