package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// Plan is what a deploy changes.
type Plan struct {
	App string `json:"app"`
	// Revision is the catalog's: before the change for a plan, after it for
	// what has been applied.
	Revision uint64 `json:"revision"`
	// Changes are in the order app, functions, routes, each by name. None
	// means that everything is as declared.
	Changes []Change `json:"changes"`
}

// Op is what happens to one thing.
type Op string

const (
	Add    Op = "add"
	Modify Op = "change"
	Remove Op = "remove"
)

// Change is one thing that a plan touches.
type Change struct {
	Op   Op     `json:"op"`
	Kind string `json:"kind"` // "app", "function" or "route"
	Name string `json:"name"`
	// Fields are what differs; for an addition what it declares.
	Fields []FieldChange `json:"fields,omitempty"`
	// Rights are what a function may do from now on and might not before, or the
	// other way round.
	Rights []RightChange `json:"rights,omitempty"`
}

// FieldChange is one field's old and new value, as a manifest writes them. What
// moves from one app to another has the field "app".
type FieldChange struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// PlanOptions are how to plan.
type PlanOptions struct {
	// Take lists what the app takes over if it belongs to another one:
	// "function:hello", "route:GET /x". A function is only taken together with
	// the routes that lead to it; those that the app does not declare itself
	// are removed from where they are.
	Take []string
	// Root is asked once for each interpreter of a function that is added or
	// changed: the root that it is pinned to from now on. Its errors refuse the
	// change. Nil pins nothing.
	Root func(interpreter string) (gust.Digest, error)
	// Sees tells whether an error may name another app; nil names all.
	Sees func(app string) bool
	// Allow is asked last, before anything is written, whether the change may
	// reach that far; its error refuses it. Nil allows all.
	Allow func(Reach) error
	// HasRoot tells of a function that is not changed whether its root is
	// there. One without is changed: it is pinned to another. Nil means that
	// all are.
	HasRoot func(gust.Digest) bool
}

// Reach is what a change does beyond the declaration of its own app.
type Reach struct {
	// Apps are the others that lose a function or a route.
	Apps []string
	// Rights are the functions that may do more than before.
	Rights []string
}

// Plan says what deploying app would change. It fails as Apply would, but that
// it does not look for artifacts.
func (c *Catalog) Plan(app *gust.App, o PlanOptions) (*Plan, error) {
	d, err := c.diff(c.Snapshot(), app, o)
	if err != nil {
		return nil, err
	}
	return &d.plan, nil
}

// delta is a plan with what it takes to carry it out.
type delta struct {
	plan    Plan
	written []*gust.Function // added, changed and taken, with the old version
	removed []string         // functions of the app
	routes  []gust.Route     // all that the app has afterwards, in order
	reroute bool             // they are not what the app has now
	taken   []gust.Route     // routes that other apps lose
	pin     pinning
}

// pinning gives functions their roots.
type pinning struct {
	PlanOptions
	asked map[string]pinned // by interpreter
	wrong []error
}

type pinned struct {
	root gust.Digest
	err  error
}

// of is the root of a function that is written.
func (p *pinning) of(f *gust.Function) gust.Digest {
	if p.Root == nil {
		return ""
	}
	a, ok := p.asked[f.Interpreter]
	if !ok {
		a.root, a.err = p.Root(f.Interpreter)
		p.asked[f.Interpreter] = a
	}
	if a.err != nil {
		p.wrong = append(p.wrong, fmt.Errorf("function %s: %w", f.Name, a.err))
	}
	return a.root
}

// lost reports whether a function is pinned to a root that is not there.
func (p *pinning) lost(f *gust.Function) bool { return p.HasRoot != nil && !p.HasRoot(f.Root) }

// diff compares app with what is declared. It takes nothing of app over that
// the caller could change.
func (c *Catalog) diff(snap *Snapshot, app *gust.App, o PlanOptions) (*delta, error) {
	if err := Validate(app); err != nil {
		return nil, err
	}
	t, err := newTaking(snap, app, o.Take, o.Sees)
	if err != nil {
		return nil, err
	}
	d := &delta{plan: Plan{App: app.Name, Revision: snap.Revision, Changes: []Change{}}, pin: pinning{PlanOptions: o, asked: make(map[string]pinned)}}
	old := snap.Apps[app.Name]
	if old == nil {
		old = &gust.App{Name: app.Name}
		d.add(Add, "app", app.Name)
	}
	d.diffFunctions(snap, old, app, t)
	d.diffRoutes(old, app, t)
	if err := t.conflict(); err != nil {
		return nil, err
	}
	if err := errors.Join(d.pin.wrong...); err != nil {
		return nil, err
	}
	if err := c.checkNetworks(d); err != nil {
		return nil, err
	}
	if err := c.checkConcurrency(snap, d); err != nil {
		return nil, err
	}
	if o.Allow != nil {
		if err := o.Allow(d.reach(snap)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// reach looks at what the change does beyond its own app. A function that comes
// from another app has the rights of that one's no longer, but those that are
// declared now.
func (d *delta) reach(snap *Snapshot) Reach {
	var r Reach
	for _, f := range d.written {
		var had []gust.Grant
		if was := snap.Functions[f.Name]; was != nil && was.App == f.App {
			had = was.Policy
		} else if was != nil {
			r.Apps = append(r.Apps, was.App)
		}
		if widens(had, f.Policy) {
			r.Rights = append(r.Rights, f.Name)
		}
	}
	for _, route := range d.taken {
		r.Apps = append(r.Apps, route.App)
	}
	slices.Sort(r.Apps)
	r.Apps = slices.Compact(r.Apps)
	return r
}

// widens reports whether grants may allow what others did not: there is one more
// that allows, or one less that denies.
func widens(had, has []gust.Grant) bool {
	new := func(g gust.Grant) bool { return !slices.ContainsFunc(had, g.Equal) }
	gone := func(g gust.Grant) bool { return !slices.ContainsFunc(has, g.Equal) }
	return slices.ContainsFunc(has, func(g gust.Grant) bool { return g.Effect != gust.Deny && new(g) }) ||
		slices.ContainsFunc(had, func(g gust.Grant) bool { return g.Effect == gust.Deny && gone(g) })
}

// checkNetworks holds what is written against what the node can give. What was
// deployed when it could more stays.
func (c *Catalog) checkNetworks(d *delta) error {
	var v rules.Violations
	for _, f := range d.written {
		if err := c.permits(f.Network); err != nil {
			v = append(v, rules.Violation{Path: rules.Join(rules.Join("functions", f.Name), "network"), Text: err.Error()})
		}
	}
	if len(v) > 0 {
		return v
	}
	return nil
}

func (d *delta) add(op Op, kind, name string, fields ...FieldChange) {
	d.plan.Changes = append(d.plan.Changes, Change{Op: op, Kind: kind, Name: name, Fields: fields})
}

func (d *delta) diffFunctions(snap *Snapshot, old, app *gust.App, t *taking) {
	removed := make(map[string]bool)
	for name := range old.Functions {
		removed[name] = app.Functions[name] == nil
	}
	for _, name := range union(old.Functions, app.Functions) {
		f, was := app.Functions[name], snap.Functions[name]
		switch {
		case removed[name]:
			d.add(Remove, "function", name)
			d.rights(was, nil)
			d.removed = append(d.removed, name)
		case was != nil && was.App != app.Name && !t.function(was):
		case was == nil:
			d.write(nil, f)
		case !was.Equal(f) || d.pin.lost(was):
			d.write(was, f)
		}
	}
}

// write adds or changes a function; was is nil for an addition.
func (d *delta) write(was, is *gust.Function) {
	op, version := Add, uint64(0)
	if was != nil {
		op, version = Modify, was.Version
	}
	f := clone(is, version)
	f.Root, f.TakenFrom = d.pin.of(f), inherited(was, f.App)
	d.add(op, "function", f.Name, fieldChanges(was, f)...)
	d.rights(was, f)
	d.written = append(d.written, f)
}

// clone copies a function that somebody else may still change.
func clone(f *gust.Function, version uint64) *gust.Function {
	g := *f
	g.Version = version
	g.Command = slices.Clone(f.Command)
	g.Layers = slices.Clone(f.Layers)
	g.Env = maps.Clone(f.Env)
	g.Policy = slices.Clone(f.Policy)
	for i, grant := range g.Policy {
		g.Policy[i] = grant.Clone()
	}
	g.Concurrency.Schedule = slices.Clone(f.Concurrency.Schedule)
	if r := f.Concurrency.Reserved; r != nil {
		n := *r
		g.Concurrency.Reserved = &n
	}
	return &g
}

func (d *delta) diffRoutes(old, app *gust.App, t *taking) {
	d.routes = slices.Clone(app.Routes)
	slices.SortFunc(d.routes, compareRoutes)
	gone := make(map[string]gust.Route, len(old.Routes))
	for _, r := range old.Routes {
		gone[r.Key()] = r
	}
	var changes []Change
	for _, r := range d.routes {
		was, had := gone[r.Key()]
		delete(gone, r.Key())
		other, foreign := t.owner(r)
		switch {
		case foreign && !t.route(r, other):
			continue
		case foreign:
			d.taken = append(d.taken, other)
			fields := []FieldChange{{Name: "app", Old: other.App, New: r.App}}
			if other.Path != r.Path {
				fields = append(fields, FieldChange{Name: "path", Old: other.Path, New: r.Path})
			}
			if other.Function != r.Function {
				fields = append(fields, FieldChange{Name: "to", Old: other.Function, New: r.Function})
			}
			changes = append(changes, Change{Op: Modify, Kind: "route", Name: r.Key(), Fields: fields})
		case !had:
			changes = append(changes, Change{Op: Add, Kind: "route", Name: r.Key(), Fields: []FieldChange{{Name: "to", New: r.Function}}})
		case was.Function != r.Function:
			changes = append(changes, Change{Op: Modify, Kind: "route", Name: r.Key(), Fields: []FieldChange{{Name: "to", Old: was.Function, New: r.Function}}})
		default:
			continue
		}
		d.reroute = true
	}
	for key := range gone {
		changes = append(changes, Change{Op: Remove, Kind: "route", Name: key})
		d.reroute = true
	}
	for _, r := range t.dangling(d.taken) {
		changes = append(changes, Change{Op: Remove, Kind: "route", Name: r.Key(), Fields: []FieldChange{{Name: "app", Old: r.App}}})
		d.taken = append(d.taken, r)
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	d.plan.Changes = append(d.plan.Changes, changes...)
}

// checkConcurrency holds what all functions set aside to the node's limit. As
// on Lambda a part of it, 100, has to stay for those that set nothing aside; on
// a node with a small limit it is a tenth. A change that sets aside no more than
// before is never refused: the limit may have been lowered since.
func (c *Catalog) checkConcurrency(snap *Snapshot, d *delta) error {
	rest := min(100, c.concurrency/10)
	before, after := 0, 0
	for _, f := range snap.Functions {
		before += f.SetAside()
	}
	after = before
	for _, name := range d.removed {
		after -= snap.Functions[name].SetAside()
	}
	for _, f := range d.written {
		if was := snap.Functions[f.Name]; was != nil {
			after -= was.SetAside()
		}
		after += f.SetAside()
	}
	if after > before && after > c.concurrency-rest {
		return fmt.Errorf("%w: all functions together would set aside %d of the node's concurrency of %d (reserved or provisioned); at most %d may be, so that %d stay for the others",
			gust.ErrInvalid, after, c.concurrency, c.concurrency-rest, rest)
	}
	return nil
}

// union is the keys of both maps in order.
func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func compareRoutes(a, b gust.Route) int {
	return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
}

// Validate returns everything that is wrong with an app by itself, as a
// gust.ErrInvalid. It is what a manifest and the API are held to.
func Validate(app *gust.App) error {
	if v := append(rules.Check(app), rules.CheckArtifacts(app)...); len(v) > 0 {
		return v
	}
	return nil
}
