package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// Plan is what a deploy changes.
type Plan struct {
	App string `json:"app"`
	// Revision is the catalog's: before the change for a plan, after it for
	// what has been applied.
	Revision uint64   `json:"revision"`
	Changes  []Change `json:"changes"`
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
}

// FieldChange is one field's old and new value, as a manifest writes them.
type FieldChange struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// PlanOptions are how to plan.
type PlanOptions struct {
	// Take lists what may be taken from other apps: "function:hello",
	// "route:GET /x".
	Take []string
}

// Plan says what deploying app would change. It fails as Apply would.
func (c *Catalog) Plan(app *gust.App, o PlanOptions) (*Plan, error) {
	d, err := c.diff(c.Snapshot(), app, o.Take)
	if err != nil {
		return nil, err
	}
	return &d.plan, nil
}

// delta is a plan with what it takes to carry it out.
type delta struct {
	plan      Plan
	written   []*gust.Function // added and changed, with the old version
	removed   []string         // functions
	routes    []gust.Route     // all of the app's
	reroute   bool             // routes differ
	takenFrom []takenRoute
}

type takenRoute struct {
	app   string
	route gust.Route
}

// diff compares app with what is declared. The app's functions and routes get
// its name; nothing else of it is changed.
func (c *Catalog) diff(snap *Snapshot, app *gust.App, take []string) (*delta, error) {
	if err := Validate(app); err != nil {
		return nil, err
	}
	d := &delta{plan: Plan{App: app.Name, Revision: snap.Revision, Changes: []Change{}}}
	old := snap.Apps[app.Name]
	if old == nil {
		old = &gust.App{Name: app.Name}
		d.plan.Changes = append(d.plan.Changes, Change{Op: Add, Kind: "app", Name: app.Name})
	}
	t := taking{take: take, used: map[string]bool{}}
	d.functions(snap, old, app, &t)
	d.diffRoutes(snap, old, app, &t)
	if err := t.err(snap, d); err != nil {
		return nil, err
	}
	return d, c.checkConcurrency(snap, d)
}

func (d *delta) functions(snap *Snapshot, old, app *gust.App, t *taking) {
	for _, name := range app.FunctionNames() {
		f := *app.Functions[name]
		f.Name, f.App = name, app.Name
		was := snap.Functions[name]
		if was != nil && was.App != app.Name && !t.allows("function:"+name, was.App) {
			continue
		}
		switch {
		case was == nil:
			d.plan.Changes = append(d.plan.Changes, Change{Op: Add, Kind: "function", Name: name, Fields: fieldChanges(nil, &f)})
		case was.Equal(&f):
			continue
		default:
			d.plan.Changes = append(d.plan.Changes, Change{Op: Modify, Kind: "function", Name: name, Fields: fieldChanges(was, &f)})
		}
		d.written = append(d.written, &f)
	}
	for _, name := range old.FunctionNames() {
		if app.Functions[name] == nil {
			d.plan.Changes = append(d.plan.Changes, Change{Op: Remove, Kind: "function", Name: name})
			d.removed = append(d.removed, name)
		}
	}
}

func (d *delta) diffRoutes(snap *Snapshot, old, app *gust.App, t *taking) {
	d.routes = slices.Clone(app.Routes)
	sortRoutes(d.routes)
	was := map[string]gust.Route{}
	for _, r := range old.Routes {
		was[r.Key()] = r
	}
	for i := range d.routes {
		r := &d.routes[i]
		r.App = app.Name
		if other, ok := snap.shapes[rules.Shape(*r)]; ok && other.App != app.Name {
			if !t.allows("route:"+r.Key(), other.App) {
				continue
			}
			d.takenFrom = append(d.takenFrom, takenRoute{other.App, other})
		}
		o, ok := was[r.Key()]
		delete(was, r.Key())
		switch {
		case !ok:
			d.plan.Changes = append(d.plan.Changes, Change{Op: Add, Kind: "route", Name: r.Key(), Fields: []FieldChange{{Name: "to", New: r.Function}}})
		case o.Function != r.Function:
			d.plan.Changes = append(d.plan.Changes, Change{Op: Modify, Kind: "route", Name: r.Key(), Fields: []FieldChange{{"to", o.Function, r.Function}}})
		default:
			continue
		}
		d.reroute = true
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		d.plan.Changes = append(d.plan.Changes, Change{Op: Remove, Kind: "route", Name: key})
		d.reroute = true
	}
}

// taking keeps what belongs to other apps: what may be taken, and what may not.
type taking struct {
	take    []string
	used    map[string]bool
	refused []string
}

func (t *taking) allows(what, owner string) bool {
	if slices.Contains(t.take, what) {
		t.used[what] = true
		return true
	}
	kind, name, _ := strings.Cut(what, ":")
	t.refused = append(t.refused, fmt.Sprintf("%s %s belongs to app %s; choose another name, or take it over by naming %q", kind, name, owner, what))
	return false
}

// err is a conflict about everything that belongs to others, or that would leave
// another app's route without its function.
func (t *taking) err(snap *Snapshot, d *delta) error {
	for _, what := range t.take {
		if !t.used[what] {
			kind, name, _ := strings.Cut(what, ":")
			return fmt.Errorf("%w: %q is to be taken, but the app declares no such thing that belongs to another app (%s %s)", gust.ErrInvalid, what, kind, name)
		}
	}
	taken := map[string]bool{}
	for _, r := range d.takenFrom {
		taken[r.route.Key()] = true
	}
	for _, f := range d.written {
		was := snap.Functions[f.Name]
		if was == nil || was.App == f.App {
			continue
		}
		for _, r := range snap.Apps[was.App].Routes {
			if r.Function == f.Name && !taken[r.Key()] {
				t.refused = append(t.refused, fmt.Sprintf("route %s of app %s leads to function %s; take %q too", r.Key(), was.App, f.Name, "route:"+r.Key()))
			}
		}
	}
	if len(t.refused) > 0 {
		return fmt.Errorf("%w: %s", gust.ErrConflict, strings.Join(t.refused, "\n"))
	}
	return nil
}

// checkConcurrency holds what all functions set aside to the node's limit. As
// on Lambda a part has to stay for those that set nothing aside.
func (c *Catalog) checkConcurrency(snap *Snapshot, d *delta) error {
	rest := min(100, c.concurrency/10)
	before, after := 0, 0
	gone := map[string]bool{}
	for _, name := range d.removed {
		gone[name] = true
	}
	for _, f := range snap.Functions {
		before += setAside(f)
		if !gone[f.Name] {
			after += setAside(f)
		}
	}
	for _, f := range d.written {
		if was := snap.Functions[f.Name]; was != nil {
			after -= setAside(was)
		}
		after += setAside(f)
	}
	if after > before && after > c.concurrency-rest {
		return fmt.Errorf("%w: all functions together would set aside %d of the node's concurrency of %d (reserved or provisioned); at most %d may be, so that %d stay for the others",
			gust.ErrInvalid, after, c.concurrency, c.concurrency-rest, rest)
	}
	return nil
}

func setAside(f *gust.Function) int {
	if f.Concurrency.Reserved != nil {
		return *f.Concurrency.Reserved
	}
	return f.Concurrency.Provisioned
}

// fieldChanges lists the fields in which two functions differ, in the order of
// the manifest; was is nil for an addition.
func fieldChanges(was, is *gust.Function) []FieldChange {
	var out []FieldChange
	olds := map[string]string{}
	if was != nil {
		for _, f := range fields(was) {
			olds[f.Name] = f.New
		}
	}
	for _, f := range fields(is) {
		old, had := olds[f.Name]
		delete(olds, f.Name)
		if was == nil || !had || old != f.New {
			out = append(out, FieldChange{Name: f.Name, Old: old, New: f.New})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(olds)) {
		out = append(out, FieldChange{Name: name, Old: olds[name]})
	}
	return out
}

// fields are what a function declares, as a manifest writes it.
func fields(f *gust.Function) (out []FieldChange) {
	add := func(name, value string) {
		if value != "" {
			out = append(out, FieldChange{Name: name, New: value})
		}
	}
	number := func(name string, n int) {
		if n != 0 {
			add(name, strconv.Itoa(n))
		}
	}
	add("app", f.App)
	add("description", f.Description)
	add("runtime", string(f.Runtime))
	add("artifact", f.Artifact.Short())
	if len(f.Command) > 0 {
		command, _ := json.Marshal(f.Command) // strings always marshal
		add("command", string(command))
	}
	add("ready", f.Ready)
	add("memory", rules.FormatSize(f.Memory))
	add("timeout", rules.FormatDuration(f.Timeout))
	add("ephemeral_storage", rules.FormatSize(f.Ephemeral))
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		out = append(out, FieldChange{Name: "env." + name, New: f.Env[name]})
	}
	add("cpu", string(f.CPU))
	add("network", string(f.Network))
	add("idle", rules.FormatDuration(f.Idle))
	if r := f.Concurrency.Reserved; r != nil {
		add("concurrency.reserved", strconv.Itoa(*r))
	}
	number("concurrency.provisioned", f.Concurrency.Provisioned)
	number("concurrency.per_environment", f.Concurrency.PerEnvironment)
	if q := f.Concurrency.Queue; q != (gust.Queue{}) {
		add("concurrency.queue.size", strconv.Itoa(q.Size))
		add("concurrency.queue.wait", rules.FormatDuration(q.Wait))
	}
	return out
}
