package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/artifact"
	"github.com/gust-dev/gust/internal/catalog"
)

// App is an app in a list: what it has, by name.
type App struct {
	Name      string       `json:"name"`
	Functions []string     `json:"functions"`
	Routes    []gust.Route `json:"routes"`
}

// ApplyRequest is the body of a plan and of an apply.
type ApplyRequest struct {
	App *gust.App `json:"app"`
	// Expect is the catalog's revision that the caller decided on; with any
	// other one the apply is a conflict. Without it there is no such check.
	Expect *uint64 `json:"expect,omitempty"`
	// Take lists what may be taken over from other apps: "function:NAME",
	// "route:GET /path".
	Take []string `json:"take,omitempty"`
}

func (s *server) apps(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	snapshot := s.Catalog.Snapshot()
	list := []App{}
	for _, name := range slices.Sorted(maps.Keys(snapshot.Apps)) {
		app := snapshot.Apps[name]
		if !q.may(s.Place.ARN("app", name)) {
			continue
		}
		list = append(list, App{Name: name, Functions: orEmpty(app.FunctionNames()), Routes: orEmpty(app.Routes)})
	}
	if err := q.listed(len(list), s.Place.ARN("app", "*")); err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, struct {
		Revision uint64 `json:"revision"`
		Apps     []App  `json:"apps"`
	}{snapshot.Revision, list})
}

func (s *server) functions(q *request) (answer, error) {
	p, err := parameters(q, "app")
	if err != nil {
		return answer{}, err
	}
	snapshot := s.Catalog.Snapshot()
	list := []*gust.Function{}
	for _, name := range slices.Sorted(maps.Keys(snapshot.Functions)) {
		if f := snapshot.Functions[name]; matches(p["app"], f.App) && q.may(s.Place.FunctionARN(name)) {
			list = append(list, f)
		}
	}
	if err := q.listed(len(list), s.Place.FunctionARN("*"), named("app", p["app"])...); err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, struct {
		Functions []*gust.Function `json:"functions"`
	}{list})
}

func (s *server) plan(q *request) (answer, error) {
	if err := q.allow(s.Place.ARN("app", q.PathValue("app"))); err != nil {
		return answer{}, err
	}
	req, err := applyRequest(q)
	if err != nil {
		return answer{}, err
	}
	if req.Expect != nil {
		return answer{}, badRequest("a plan has no field \"expect\"; it is for applying")
	}
	root, release := s.pins(q.Context(), req.App)
	defer release()
	plan, err := s.Catalog.Plan(req.App, catalog.PlanOptions{
		Take: req.Take, Sees: s.sees(q), Root: root, HasRoot: s.Runtimes.Has,
		Allow: func(to catalog.Reach) error { return s.allowApps(q, to.Apps) },
	})
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, plan)
}

func (s *server) apply(q *request) (answer, error) {
	if err := q.allow(s.Place.ARN("app", q.PathValue("app"))); err != nil {
		return answer{}, err
	}
	req, err := applyRequest(q)
	if err != nil {
		return answer{}, err
	}
	if err := catalog.Validate(req.App); err != nil {
		return answer{}, err
	}
	if err := s.inspect(req.App); err != nil {
		return answer{}, err
	}
	root, release := s.pins(q.Context(), req.App)
	defer release()
	plan, err := s.Catalog.Apply(q.Context(), req.App, catalog.ApplyOptions{
		Expect:  req.Expect,
		Take:    req.Take,
		Sees:    s.sees(q),
		Allow:   func(to catalog.Reach) error { return s.allowReach(q, to) },
		Root:    root,
		HasRoot: s.Runtimes.Has,
		HasArtifact: func(d gust.Digest) error {
			has, err := s.Store.Blobs().Has(d)
			if err == nil && !has {
				return missing(d)
			}
			return err
		},
	})
	if err != nil {
		return answer{}, err
	}
	s.forget(q, plan)
	return reply(http.StatusOK, plan)
}

// forget tells of the functions that a plan has removed. The plan is carried out
// by then: what fails here is no failure of the call, and is made up for by the
// next removal or the node's next start. Until then what belonged to a function is
// of no use to another app's, since it has its owner's name.
func (s *server) forget(q *request, p *catalog.Plan) {
	gone := func(c catalog.Change) bool { return c.Op == catalog.Remove && c.Kind == "function" }
	if !slices.ContainsFunc(p.Changes, gone) {
		return
	}
	if err := s.Forget(context.WithoutCancel(q.Context())); err != nil {
		s.Logger.Error("what belonged to removed functions is kept until the next removal or start", "app", p.App, "error", err)
	}
}

func (s *server) remove(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	if err := q.allow(s.Place.ARN("app", q.PathValue("app"))); err != nil {
		return answer{}, err
	}
	plan, err := s.Catalog.Remove(q.Context(), q.PathValue("app"))
	if err != nil {
		return answer{}, err
	}
	s.forget(q, plan)
	return reply(http.StatusOK, plan)
}

// sees tells which apps errors may name.
func (s *server) sees(q *request) func(app string) bool {
	return func(app string) bool { return q.mayDo("gust:ListApps", s.Place.ARN("app", app)) }
}

// allowReach refuses a deploy that its caller could not do by other means: to
// take from an app takes the right to deploy it, and to give functions rights
// takes that to give their roles policies.
func (s *server) allowReach(q *request, to catalog.Reach) error {
	if err := s.allowApps(q, to.Apps); err != nil {
		return err
	}
	for _, f := range to.Rights {
		if err := q.call.Allow(q.Context(), access.Need{Action: "iam:PutRolePolicy", Resource: s.Place.FunctionRoleARN(f)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) allowApps(q *request, apps []string) error {
	if err := q.still(); err != nil { // looking into artifacts took a while
		return err
	}
	for _, app := range apps {
		if err := q.call.Allow(q.Context(), access.Need{Action: q.route.action, Resource: s.Place.ARN("app", app)}); err != nil {
			return err
		}
	}
	return nil
}

// applyRequest reads a request whose app is the one in the path.
func applyRequest(q *request) (*ApplyRequest, error) {
	if _, err := parameters(q); err != nil {
		return nil, err
	}
	var req ApplyRequest
	if err := decode(q, &req, MaxDocument); err != nil {
		return nil, err
	}
	if err := q.still(); err != nil {
		return nil, err
	}
	if req.App == nil {
		return nil, badRequest("the request's body has no \"app\"")
	}
	if name := q.PathValue("app"); req.App.Name != name {
		return nil, badRequest("the path says app %q, the document says %q; they have to agree", name, req.App.Name)
	}
	for name, f := range req.App.Functions {
		if f == nil {
			return nil, badRequest("function %q is null; leave it out, or describe it", name)
		}
	}
	return &req, nil
}

// inspect looks into the artifacts that the app would run, but for those that
// already run: whoever deploys learns now that one cannot work. What is not
// there, or is damaged, is asked for, so that deploying again heals it.
func (s *server) inspect(app *gust.App) error {
	snapshot := s.Catalog.Snapshot()
	var lacking []gust.Digest
	var errs []error
	lacks := func(d gust.Digest) {
		if !slices.Contains(lacking, d) {
			lacking = append(lacking, d)
		}
	}
	// has asks for an artifact that needs no reading.
	has := func(d gust.Digest) {
		if has, err := s.Store.Blobs().Has(d); err != nil {
			errs = append(errs, err)
		} else if !has {
			lacks(d)
		}
	}
	// Thousands of functions may share an artifact; it is read once for each
	// way in which it is to be run.
	judged := map[string]bool{}
	once := func(way string) bool {
		first := !judged[way]
		judged[way] = true
		return first
	}
	inspector := artifact.HostInspector()
	for _, name := range app.FunctionNames() {
		f := app.Functions[name]
		for _, l := range f.Layers {
			switch {
			case !once("layer " + string(l.Artifact)):
			case snapshot.HasArtifact(l.Artifact):
				has(l.Artifact)
			default:
				err := s.read(l.Artifact, lacks, func(blob artifact.Blob) error { return inspector.InspectLayer(blob, blob.Size()) })
				if err != nil {
					errs = append(errs, fmt.Errorf("function %s: layer %s: %w", name, l.Name, err))
				}
			}
		}
		if !once(fmt.Sprintf("%s %s %s %q %q %q", f.Artifact, f.Runtime, f.Interpreter, f.Handler, f.Command, f.Layers)) {
			continue
		}
		if g := snapshot.Functions[name]; g != nil && slices.Equal(slices.Collect(g.Artifacts()), slices.Collect(f.Artifacts())) &&
			g.Runtime == f.Runtime && g.Interpreter == f.Interpreter && g.Handler == f.Handler && slices.Equal(g.Command, f.Command) {
			has(f.Artifact)
			continue
		}
		err := s.read(f.Artifact, lacks, func(blob artifact.Blob) error { return inspector.Inspect(blob, blob.Size(), f) })
		if err == nil && len(f.Layers) > 0 && len(lacking) == 0 {
			err = s.checkUnpacked(f, lacks)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("function %s: %w", name, err))
		}
	}
	if len(lacking) > 0 {
		return missing(lacking...)
	}
	return errors.Join(errs...)
}

// read opens an artifact for look, or says that the node lacks it.
func (s *server) read(d gust.Digest, lacks func(gust.Digest), look func(artifact.Blob) error) error {
	blob, err := s.Store.Blobs().Open(d)
	if errors.Is(err, gust.ErrNotFound) || errors.Is(err, gust.ErrCorrupt) {
		lacks(d)
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(look(blob), blob.Close())
}

// checkUnpacked holds what a function and its layers unpack to, together, to
// the limit.
func (s *server) checkUnpacked(f *gust.Function, lacks func(gust.Digest)) error {
	var total int64
	for d := range f.Artifacts() {
		err := s.read(d, lacks, func(blob artifact.Blob) error {
			list, err := artifact.Contents(blob, blob.Size())
			for _, c := range list {
				total += c.Size
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if total > gust.MaxUnpacked {
		return fmt.Errorf("its code and its layers unpack to %d bytes, above the maximum of %d: %w", total, int64(gust.MaxUnpacked), gust.ErrTooLarge)
	}
	return nil
}

func missing(digests ...gust.Digest) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Code: CodeArtifactMissing,
		Message: "the node does not have every artifact that the app names; upload them first (PUT /v1/artifacts/{sha256})"}
	for _, d := range digests {
		e.Details = append(e.Details, string(d))
	}
	return e
}

// orEmpty makes JSON say [] and not null.
func orEmpty[E any](s []E) []E {
	if s == nil {
		return []E{}
	}
	return s
}
