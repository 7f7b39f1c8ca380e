package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
	"github.com/gust-dev/gust/internal/store"
)

func open(t *testing.T, dir string) (*Catalog, *store.Store) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Durability: store.DurabilityAlways})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

func app(name string, change ...func(*gust.App)) *gust.App {
	a := &gust.App{Name: name, Functions: map[string]*gust.Function{}}
	for _, c := range change {
		c(a)
	}
	return a
}

func function(name string, change ...func(*gust.Function)) func(*gust.App) {
	return func(a *gust.App) {
		f := &gust.Function{
			Name: name, App: a.Name, Runtime: gust.RuntimeGo, Artifact: gust.Digest(strings.Repeat("ab", 32)),
			Memory: gust.DefaultMemory, Timeout: gust.DefaultTimeout, Ephemeral: gust.DefaultEphemeral,
			CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkNone}, Idle: gust.DefaultIdle,
		}
		for _, c := range change {
			c(f)
		}
		a.Functions[name] = f
	}
}

func route(key, to string) func(*gust.App) {
	return func(a *gust.App) {
		method, path, _ := strings.Cut(key, " ")
		a.Routes = append(a.Routes, gust.Route{App: a.Name, Method: method, Path: path, Function: to})
	}
}

func memory(mb int64) func(*gust.Function) {
	return func(f *gust.Function) { f.Memory = mb * gust.MB }
}

func reserve(n int) func(*gust.Function) {
	return func(f *gust.Function) { f.Concurrency.Reserved = &n }
}

func apply(t *testing.T, c *Catalog, a *gust.App, take ...string) *Plan {
	t.Helper()
	plan, err := c.Apply(t.Context(), a, ApplyOptions{Take: take})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func (p *Plan) text() string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s %s;", c.Op, c.Kind, c.Name)
	}
	return b.String()
}

func TestDeployAgainChangesNothing(t *testing.T) {
	c, _ := open(t, t.TempDir())
	a := app("shop", function("api"), route("GET /x", "api"))
	if got := apply(t, c, a).text(); got != "add app shop;add function api;add route GET /x;" {
		t.Fatal(got)
	}
	before := c.Snapshot()
	if p := apply(t, c, app("shop", function("api"), route("GET /x", "api"))); len(p.Changes) != 0 || p.Revision != 1 {
		t.Fatalf("%+v", p)
	}
	if c.Snapshot() != before {
		t.Fatal("a new snapshot for nothing")
	}
}

func TestChangedFunctionsGetAVersionAndOthersKeepTheirs(t *testing.T) {
	dir := t.TempDir()
	c, s := open(t, dir)
	apply(t, c, app("shop", function("a"), function("b")))
	b := c.Snapshot().Functions["b"]
	changed := c.Watch()
	p := apply(t, c, app("shop", function("a", memory(256)), function("b")))
	<-changed
	if len(p.Changes) != 1 || fmt.Sprint(p.Changes[0].Fields) != "[{memory 128MB 256MB}]" {
		t.Fatalf("%+v", p.Changes)
	}
	snap := c.Snapshot()
	if snap.Functions["a"].Version != 2 || snap.Functions["b"] != b {
		t.Fatal("versions", snap.Functions["a"].Version, snap.Functions["b"].Version)
	}
	// A name that was removed goes on from its last version.
	apply(t, c, app("shop", function("b")))
	apply(t, c, app("shop", function("a"), function("b")))
	if v := c.Snapshot().Functions["a"].Version; v != 3 {
		t.Fatal("version", v)
	}
	// All of it is there after a restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, dir)
	got := again.Snapshot()
	if got.Revision != 4 || !got.Functions["a"].Equal(c.Snapshot().Functions["a"]) || got.Functions["a"].Version != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatBelongsToAnotherAppIsRefusedUnlessTaken(t *testing.T) {
	two := func() *gust.App { return app("two", function("f", memory(512)), route("GET /a/{name}", "f")) }
	tests := []struct {
		name string
		app  *gust.App
		take []string
		want string // the plan, or the error
		kind error
	}{
		{"nothing taken", two(), nil, "conflict: function f belongs to app one; choose another name, or take it over by naming \"function:f\"\n" +
			"route GET /a/{id} belongs to app one; choose another name, or take it over by naming \"route:GET /a/{id}\"", gust.ErrConflict},
		{"the function alone", two(), []string{"function:f"}, "conflict: route GET /a/{id} belongs to app one; choose another name, or take it over by naming \"route:GET /a/{id}\"\n" +
			"route GET /a/{id} of app one leads to function f, which is to be taken; take \"route:GET /a/{id}\" too\n" +
			"route POST /f of app one leads to function f, which is to be taken; take \"route:POST /f\" too", gust.ErrConflict},
		{"a route that would dangle", app("two", function("f")), []string{"function:f", "route:GET /a/{x}"}, "conflict: route POST /f of app one leads to function f, which is to be taken; take \"route:POST /f\" too", gust.ErrConflict},
		{"all of it", two(), []string{"function:f", "route:GET /a/{name}", "route:POST /f"}, "add app two;change function f;change route GET /a/{name};remove route POST /f;", nil},
		{"a route alone", app("two", function("h"), route("GET /g", "h")), []string{"route:GET /g"}, "add app two;add function h;change route GET /g;", nil},
		{"what is free anyway", app("two", function("h")), []string{"function:h", "route:GET /nowhere"}, "add app two;add function h;", nil},

		{"what the app does not declare", app("two"), []string{"function:f"}, `invalid: "function:f" is to be taken, but app two declares no function "f"`, gust.ErrInvalid},
		{"a route that has nothing to do with the app", app("two"), []string{"route:GET /g"}, "invalid: route GET /g of app one is to be taken, but app two declares neither it nor function g, which it leads to", gust.ErrInvalid},
		{"no route", app("two"), []string{"route:/g"}, `invalid: "route:/g" names no route: want route:METHOD /path, such as route:GET /hello/{name}`, gust.ErrInvalid},
		{"another kind", app("two"), []string{"queue:q"}, `invalid: "queue:q" is nothing to take: want function:NAME or route:METHOD /path`, gust.ErrInvalid},
		{"no kind", app("two"), []string{"f"}, `invalid: "f" is nothing to take: want function:NAME or route:METHOD /path`, gust.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, s := open(t, t.TempDir())
			apply(t, c, app("one", function("f"), function("g"), route("GET /a/{id}", "f"), route("POST /f", "f"), route("GET /g", "g")))
			before := c.Snapshot()
			planned, perr := c.Plan(test.app, PlanOptions{Take: test.take})
			applied, err := c.Apply(t.Context(), test.app, ApplyOptions{Take: test.take})
			if test.kind != nil {
				if !errors.Is(err, test.kind) || err.Error() != test.want || perr == nil || perr.Error() != test.want {
					t.Errorf("planned %v\napplied %v\n   want %s", perr, err, test.want)
				}
				if c.Snapshot() != before {
					t.Error("something was changed")
				}
				return
			}
			if perr != nil || err != nil {
				t.Fatal(perr, err)
			}
			if planned.text() != test.want || applied.text() != test.want || planned.Revision != 1 || applied.Revision != 2 {
				t.Errorf("planned %d %s\napplied %d %s\n   want %s", planned.Revision, planned.text(), applied.Revision, applied.text(), test.want)
			}
			// The same deploy again changes nothing, as it is.
			if again, err := c.Apply(t.Context(), test.app, ApplyOptions{Take: test.take}); err != nil || len(again.Changes) != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			consistent(t, c.Snapshot())
			reopened(t, c, s)
		})
	}
}

// With a function come those that it was taken from, until the name is free.
func TestAFunctionKnowsWhomItWasTakenFrom(t *testing.T) {
	dir := t.TempDir()
	c, s := open(t, dir)
	take := func(name string, options ...func(*gust.Function)) {
		t.Helper()
		if _, err := c.Apply(t.Context(), app(name, function("f", options...)), ApplyOptions{Take: []string{"function:f"}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(from ...string) {
		t.Helper()
		again, err := Open(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*Catalog{c, again} {
			if f := c.Snapshot().Functions["f"]; !slices.Equal(f.TakenFrom, from) || f.AnswersFor("nobody") || !f.AnswersFor(f.App) {
				t.Errorf("%s has it from %q, want %q", f.App, f.TakenFrom, from)
			}
		}
	}
	take("one")
	want()
	take("two")
	want("one")
	take("two", memory(512))
	want("one")
	forged := app("two", function("f", memory(256)))
	forged.Functions["f"].TakenFrom = []string{"nobody"}
	apply(t, c, forged)
	want("one")
	take("three")
	want("one", "two")
	take("one")
	want("two", "three")
	apply(t, c, app("one")) // declares it no longer
	take("four")
	want()
	take("five")
	want("four")
	if _, err := c.Remove(t.Context(), "five"); err != nil {
		t.Fatal(err)
	}
	take("four")
	want()
	for i := range gust.MaxTakenFrom + 1 {
		take(fmt.Sprint("many-", i))
	}
	if f := c.Snapshot().Functions["f"]; len(f.TakenFrom) != gust.MaxTakenFrom || f.AnswersFor("four") || !f.AnswersFor("many-0") {
		t.Errorf("%q", f.TakenFrom)
	}
}

// consistent checks what holds for every snapshot.
func consistent(t *testing.T, s *Snapshot) {
	t.Helper()
	functions, routes := 0, 0
	for name, a := range s.Apps {
		if a.Name != name {
			t.Errorf("app %s is called %s", name, a.Name)
		}
		if err := Validate(a); err != nil {
			t.Error(err)
		}
		for n, f := range a.Functions {
			if functions++; s.Functions[n] != f || f.Version == 0 || f.Modified.IsZero() {
				t.Errorf("function %s: %+v", n, f)
			}
			if !s.HasArtifact(f.Artifact) {
				t.Errorf("the artifact of %s is not named", n)
			}
		}
		routes += len(a.Routes)
	}
	if functions != len(s.Functions) || routes != len(s.Routes) || !slices.IsSortedFunc(s.Routes, compareRoutes) {
		t.Errorf("%d functions of %d, %d routes of %d", len(s.Functions), functions, len(s.Routes), routes)
	}
	shapes := make(map[string]bool)
	for _, r := range s.Routes {
		if shape := rules.Shape(r); shapes[shape] {
			t.Errorf("two routes match %s", shape)
		} else {
			shapes[shape] = true
		}
	}
}

// reopened checks that a catalog that is opened anew has the same in it.
func reopened(t *testing.T, c *Catalog, s *store.Store) {
	t.Helper()
	again, err := Open(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := state(t, again.Snapshot()), state(t, c.Snapshot()); got != want {
		t.Errorf("after opening it again: %s\nwant %s", got, want)
	}
}

// state is a snapshot as text.
func state(t *testing.T, s *Snapshot) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSnapshotsNeverChange(t *testing.T) {
	c, _ := open(t, t.TempDir())
	n := 5
	a := app("shop", function("a", func(f *gust.Function) {
		f.Runtime, f.Command = gust.RuntimeHTTP, []string{"x"}
		f.Env = map[string]string{"A": "1"}
		f.Concurrency.Reserved = &n
	}), route("GET /a", "a"))
	apply(t, c, a)
	first := c.Snapshot()
	want := state(t, first)
	// Neither by whoever deployed them,
	f := a.Functions["a"]
	f.Env["A"], f.Command[0], n, f.Memory, a.Routes[0].Path = "2", "y", 6, 1, "/b"
	delete(a.Functions, "a")
	// nor by what is deployed later.
	apply(t, c, app("shop", function("a"), function("b"), route("GET /b", "b")))
	apply(t, c, app("other", function("a"), route("GET /b", "a")), "function:a", "route:GET /b")
	if _, err := c.Remove(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if got := state(t, first); got != want {
		t.Errorf("it was %s\nand is %s", want, got)
	}
	consistent(t, c.Snapshot())
}

func TestFieldsOfAPlan(t *testing.T) {
	c, _ := open(t, t.TempDir())
	full := function("f", func(f *gust.Function) {
		n := 10
		f.Runtime, f.Command, f.Ready, f.Description = gust.RuntimeHTTP, []string{"./x", "a b"}, "/ok", "text"
		f.Env = map[string]string{"A": "1", "B": ""}
		f.Layers = []gust.Layer{{Name: "b", Artifact: gust.Digest(strings.Repeat("b", 64))}, {Name: "a", Artifact: gust.Digest(strings.Repeat("a", 64))}}
		f.CPU, f.Idle, f.Memory = gust.CPUStrict, 0, gust.GB
		f.Concurrency = gust.Concurrency{Reserved: &n, Provisioned: 1, PerEnvironment: 5, Queue: gust.Queue{Size: 3, Wait: time.Second}, Prewarm: gust.PrewarmAuto,
			Schedule: []gust.Scheduled{{Cron: "0 8 * * *", Timezone: "Europe/Berlin", For: time.Hour, Provisioned: 2}, {Cron: "0 20 1 * *"}}}
	})
	apply(t, c, app("a", function("f"), route("GET /x", "f")))
	plan, err := c.Plan(app("a", full, function("g"), route("GET /x", "g")), PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{Op: Modify, Kind: "function", Name: "f", Fields: []FieldChange{
			{"description", "", "text"}, {"runtime", "go", "http"},
			{"layers", "", "b, a"}, {"layers.b", "", "bbbbbbbbbbbb"}, {"layers.a", "", "aaaaaaaaaaaa"}, {"command", "", `["./x","a b"]`}, {"ready", "", "/ok"}, {"memory", "128MB", "1GB"},
			{"env.A", "", "1"}, {"env.B", "", ""}, {"cpu", "shared", "strict"}, {"idle", "10m", "0s"},
			{"concurrency.reserved", "", "10"}, {"concurrency.provisioned", "", "1"},
			{"concurrency.schedule[0]", "", `{cron: "0 8 * * *", timezone: Europe/Berlin, for: 1h, provisioned: 2}`},
			{"concurrency.schedule[1]", "", `{cron: "0 20 1 * *", provisioned: 0}`}, {"concurrency.prewarm", "", "auto"}, {"concurrency.per_environment", "", "5"},
			{"concurrency.queue.size", "", "3"}, {"concurrency.queue.wait", "", "1s"}}},
		{Op: Add, Kind: "function", Name: "g", Fields: []FieldChange{
			{"app", "", "a"}, {"runtime", "", "go"}, {"artifact", "", "abababababab"}, {"memory", "", "128MB"}, {"timeout", "", "3s"},
			{"ephemeral_storage", "", "512MB"}, {"cpu", "", "shared"}, {"network", "", "none"}, {"idle", "", "10m"}}},
		{Op: Modify, Kind: "route", Name: "GET /x", Fields: []FieldChange{{"to", "f", "g"}}},
	}
	if !reflect.DeepEqual(plan.Changes, want) {
		t.Errorf("got  %+v\nwant %+v", plan.Changes, want)
	}
	// What differs is named, whatever it is: Equal and the plan agree.
	apply(t, c, app("a", full))
	plan, err = c.Plan(app("a", function("f")), PlanOptions{})
	if err != nil || len(plan.Changes) != 1 || len(plan.Changes[0].Fields) != len(want[0].Fields) {
		t.Errorf("%+v, %v", plan, err)
	}
}

// TestRightsOfAPlan: what a function may do from now on, and no more, one a line.
func TestRightsOfAPlan(t *testing.T) {
	c, _ := open(t, t.TempDir())
	may := func(grants ...gust.Grant) func(*gust.Function) {
		return func(f *gust.Function) { f.Policy = grants }
	}
	invoke := gust.Grant{Effect: gust.Allow, Actions: []string{"lambda:InvokeFunction", "lambda:GetFunction"}, Resources: []string{"function:f"}}
	rights := func(plan *Plan) string {
		var b strings.Builder
		for _, change := range plan.Changes {
			for _, r := range change.Rights {
				fmt.Fprintf(&b, "%s: %s %s;", change.Name, r.Op, r.Text)
			}
		}
		return b.String()
	}
	plan := apply(t, c, app("a", function("f", may(invoke)), function("g")))
	if got, want := rights(plan), "f: add may lambda:GetFunction on function:f;f: add may lambda:InvokeFunction on function:f;"; got != want {
		t.Errorf("added: %s", got)
	}
	if plan := apply(t, c, app("a", function("f", may(invoke)), function("g"))); len(plan.Changes) != 0 {
		t.Errorf("the same again: %+v", plan)
	}
	version := c.Snapshot().Functions["f"].Version
	less := gust.Grant{Effect: gust.Allow, Actions: []string{"lambda:InvokeFunction"}, Resources: []string{"function:f"}}
	deny := gust.Grant{Effect: gust.Deny, Actions: []string{"s3:*"}, Resources: []string{"*"},
		When: map[string]map[string][]string{"StringEquals": {"aws:PrincipalTag/team": {"a", "b"}}}}
	plan = apply(t, c, app("a", function("f", may(less, deny)), function("g")))
	if got, want := rights(plan), "f: add may not s3:* on everything when StringEquals aws:PrincipalTag/team: a, b;f: remove may lambda:GetFunction on function:f;"; got != want {
		t.Errorf("changed: %s", got)
	}
	if c.Snapshot().Functions["f"].Version == version {
		t.Error("another policy is no other version")
	}
	deny.When["StringEquals"]["aws:PrincipalTag/team"][0] = "changed" // what the catalog has is its own
	plan, err := c.Plan(app("a", function("f", may(less, deny)), function("g")), PlanOptions{})
	if err != nil || !strings.Contains(rights(plan), "team: changed, b") {
		t.Errorf("%+v, %v", plan, err)
	}
	less.Sid = "Again"
	deny.When["StringEquals"]["aws:PrincipalTag/team"][0] = "a"
	plan = apply(t, c, app("a", function("f", may(deny, less)), function("g")))
	if len(plan.Changes) != 1 || rights(plan) != "" || plan.Changes[0].Fields[0].Name != "policy" {
		t.Errorf("in other words: %+v", plan)
	}
	plan = apply(t, c, app("a", function("g")))
	if got, want := rights(plan), "f: remove may lambda:InvokeFunction on function:f;f: remove may not s3:* on everything when StringEquals aws:PrincipalTag/team: a, b;"; got != want {
		t.Errorf("removed: %s", got)
	}
	if _, err := c.Plan(app("a", function("g", may(less))), PlanOptions{}); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), `functions.g.policy[0].on[0]: the app has no function named "f"`) {
		t.Errorf("a reference to what is not there: %v", err)
	}
}

func TestArtifactsAreAskedForOnceAndTogether(t *testing.T) {
	c, _ := open(t, t.TempDir())
	with := func(digit string) func(*gust.Function) {
		return func(f *gust.Function) { f.Artifact = gust.Digest(strings.Repeat(digit, 64)) }
	}
	apply(t, c, app("shop", function("old", with("0"))))
	var asked []gust.Digest
	_, err := c.Apply(t.Context(), app("shop", function("old", with("0")), function("a", with("1")), function("b", with("1")), function("c", with("2"))),
		ApplyOptions{HasArtifact: func(d gust.Digest) error {
			asked = append(asked, d)
			return fmt.Errorf("artifact %s: %w", d.Short(), gust.ErrNotFound)
		}})
	if !errors.Is(err, gust.ErrNotFound) || err.Error() != "function a: artifact 111111111111: not found\nfunction c: artifact 222222222222: not found" {
		t.Errorf("got %v", err)
	}
	if len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	apply(t, c, app("shop", function("a", with("1")), function("b", with("1")), function("c", with("2"))))
	got := slices.Sorted(c.Snapshot().Artifacts())
	if len(got) != 2 || got[0][0] != '1' || got[1][0] != '2' || c.Snapshot().HasArtifact(gust.Digest(strings.Repeat("0", 64))) {
		t.Errorf("the artifacts are %v", got)
	}
	// Layers are artifacts too, and kept once.
	layered := func(f *gust.Function) {
		f.Layers = []gust.Layer{{Name: "x", Artifact: gust.Digest(strings.Repeat("3", 64))}, {Name: "y", Artifact: gust.Digest(strings.Repeat("1", 64))}}
	}
	asked = nil
	_, err = c.Apply(t.Context(), app("shop", function("a", with("1"), layered), function("b", with("1"), layered)), ApplyOptions{HasArtifact: func(d gust.Digest) error {
		asked = append(asked, d)
		return nil
	}})
	if err != nil || len(asked) != 2 {
		t.Errorf("asked for %v: %v", asked, err)
	}
	got = slices.Sorted(c.Snapshot().Artifacts())
	if len(got) != 2 || got[0][0] != '1' || got[1][0] != '3' || !c.Snapshot().HasArtifact(gust.Digest(strings.Repeat("3", 64))) {
		t.Errorf("the artifacts are %v", got)
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	for name, change := range map[string]struct{ key, value, want string }{
		"revision":           {"revision", "x", "corrupt: the record revision of the catalog has 1 bytes, not 8"},
		"function":           {"function/f", "{", "corrupt: the record function/f of the catalog: unexpected end of JSON input"},
		"another function":   {"function/f", `{"name": "g", "app": "a"}`, `corrupt: the record function/f of the catalog is of function "g" in app "a"`},
		"function of no app": {"function/f", `{"name": "f", "app": "b"}`, `corrupt: the record function/f of the catalog is of function "f" in app "b"`},
		"routes":             {"routes/a", "x", "corrupt: the record routes/a of the catalog: invalid character 'x' looking for beginning of value"},
		"routes of no app":   {"routes/b", "[]", "corrupt: the record routes/b of the catalog is of an app that is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := open(t, t.TempDir())
			apply(t, c, app("a", function("f"), route("GET /", "f")))
			err := s.Update(t.Context(), partition, func(tx *store.Tx) error { return tx.Set([]byte(change.key), []byte(change.value)) })
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), s, Options{})
			if !errors.Is(err, gust.ErrCorrupt) || err.Error() != "read the catalog: "+change.want {
				t.Errorf("got %v\nwant %s", err, change.want)
			}
		})
	}
}

func TestConcurrencyIsHeldToTheNodesLimit(t *testing.T) {
	_, s := open(t, t.TempDir())
	c, err := Open(t.Context(), s, Options{NodeConcurrency: 50})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, c, app("one", function("a", reserve(30))))
	_, err = c.Apply(t.Context(), app("two", function("b", reserve(16))), ApplyOptions{})
	if !errors.Is(err, gust.ErrInvalid) || err.Error() != "invalid: all functions together would set aside 46 of the node's concurrency of 50 (reserved or provisioned); at most 45 may be, so that 5 stay for the others" {
		t.Errorf("got %v", err)
	}
	apply(t, c, app("two", function("b", reserve(15))))
	// What is scheduled counts at its most.
	scheduled := func(f *gust.Function) {
		f.Concurrency = gust.Concurrency{Provisioned: 1, Schedule: []gust.Scheduled{{Cron: "0 8 * * *", Provisioned: 16}, {Cron: "0 9 * * *", Provisioned: 2}}}
	}
	if _, err := c.Apply(t.Context(), app("two", function("b", scheduled)), ApplyOptions{}); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "set aside 46") {
		t.Errorf("got %v", err)
	}
	// A node that was given a lower limit still takes what does not add to it.
	c, err = Open(t.Context(), s, Options{NodeConcurrency: 20})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, c, app("two", function("b", reserve(15), memory(256))))
	apply(t, c, app("two", function("b", reserve(14))))
	if _, err := c.Apply(t.Context(), app("two", function("b", reserve(15))), ApplyOptions{}); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestNothingHappensWhenAnythingIsWrong(t *testing.T) {
	c, _ := open(t, t.TempDir())
	apply(t, c, app("shop", function("a")))
	before := c.Snapshot()
	missing := errors.New("no such artifact")
	stale := uint64(7)
	for name, try := range map[string]func() error{
		"invalid": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a", memory(1)), function("b")), ApplyOptions{})
			return err
		},
		"artifact": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a"), function("b")), ApplyOptions{HasArtifact: func(gust.Digest) error { return missing }})
			return err
		},
		"stale": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("b")), ApplyOptions{Expect: &stale})
			return err
		},
		"reserved": func() error {
			_, err := c.Apply(t.Context(), app("shop", function("a", reserve(901))), ApplyOptions{})
			return err
		},
		"unknown app": func() error { _, err := c.Remove(t.Context(), "nobody"); return err },
		"cancelled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := c.Apply(ctx, app("shop", function("b")), ApplyOptions{})
			return err
		},
	} {
		if err := try(); err == nil || c.Snapshot() != before {
			t.Errorf("%s: %v, revision %d", name, err, c.Snapshot().Revision)
		}
	}
	apply(t, c, app("shop", function("a", reserve(900))))
}

func TestRemoveTakesAllOfAnApp(t *testing.T) {
	c, _ := open(t, t.TempDir())
	apply(t, c, app("one", function("a"), route("GET /a", "a")))
	apply(t, c, app("two", function("b"), route("GET /b", "b")))
	plan, err := c.Remove(t.Context(), "one")
	if err != nil || plan.text() != "remove app one;remove function a;remove route GET /a;" {
		t.Fatal(plan, err)
	}
	if snap := c.Snapshot(); len(snap.Apps) != 1 || len(snap.Functions) != 1 || len(snap.Routes) != 1 {
		t.Fatalf("%+v", snap)
	}
}

// TestRootsArePinned: what is added or changed gets the root that its interpreter
// means now, what is not keeps its own, as long as that is there.
func TestRootsArePinned(t *testing.T) {
	c, _ := open(t, t.TempDir())
	now := map[string]gust.Digest{"": "base-1", "node@20": "node-1"}
	gone := map[gust.Digest]bool{}
	asked := 0
	o := PlanOptions{
		Root: func(interpreter string) (gust.Digest, error) {
			asked++
			if d, ok := now[interpreter]; ok {
				return d, nil
			}
			return "", fmt.Errorf("the node has no runtime %s: %w", interpreter, gust.ErrInvalid)
		},
		HasRoot: func(d gust.Digest) bool { return !gone[d] },
	}
	in := func(interpreter string) func(*gust.Function) {
		return func(f *gust.Function) {
			f.Root = "whatever the caller says"
			if f.Interpreter = interpreter; interpreter != "" {
				f.Runtime = gust.RuntimeProvided
			}
		}
	}
	apply := func(a *gust.App) (*Plan, error) {
		planned, err := c.Plan(a, o)
		applied, aerr := c.Apply(t.Context(), a, ApplyOptions{Root: o.Root, HasRoot: o.HasRoot})
		if fmt.Sprint(err) != fmt.Sprint(aerr) || err == nil && fmt.Sprint(planned.Changes) != fmt.Sprint(applied.Changes) {
			t.Errorf("planned %+v, %v; applied %+v, %v", planned, err, applied, aerr)
		}
		return applied, aerr
	}
	roots := func() string {
		s := c.Snapshot()
		return strings.Join([]string{string(s.Functions["a"].Root), string(s.Functions["b"].Root), string(s.Functions["c"].Root), fmt.Sprint(s.Roots())}, " ")
	}
	app1 := func(changes ...func(*gust.Function)) *gust.App {
		return app("shop", function("a", changes...), function("b", in("node@20")), function("c", in("node@20")))
	}
	if _, err := apply(app1(in(""))); err != nil {
		t.Fatal(err)
	}
	if got, want := roots(), "base-1 node-1 node-1 map[base-1:[a] node-1:[b c]]"; got != want || asked != 4 {
		t.Errorf("the roots are %s, want %s; asked %d times", got, want, asked)
	}
	// The host is upgraded: only what changes moves.
	now = map[string]gust.Digest{"": "base-2", "node@20": "node-2"}
	if plan, err := apply(app1(in(""))); err != nil || len(plan.Changes) != 0 {
		t.Errorf("nothing changed: %+v, %v", plan, err)
	}
	plan, err := apply(app1(in(""), memory(256)))
	if err != nil || roots() != "base-2 node-1 node-1 map[base-2:[a] node-1:[b c]]" {
		t.Errorf("the roots are %s, %v", roots(), err)
	}
	if want := []FieldChange{{"root", "base-1", "base-2"}, {"memory", "128MB", "256MB"}}; len(plan.Changes) != 1 || !slices.Equal(plan.Changes[0].Fields, want) {
		t.Errorf("the changes are %+v, want %+v", plan.Changes, want)
	}
	// A root that is lost is replaced, though nothing else changed.
	gone["node-1"] = true
	plan, err = apply(app1(in(""), memory(256)))
	if err != nil || len(plan.Changes) != 2 || roots() != "base-2 node-2 node-2 map[base-2:[a] node-2:[b c]]" || c.Snapshot().Functions["b"].Version != 2 {
		t.Errorf("the roots are %s after %+v, %v", roots(), plan, err)
	}
	// What is not there is refused, each function by its name, and what does not
	// change is not asked about.
	delete(now, "node@20")
	if _, err := apply(app1(in(""), memory(512))); err != nil {
		t.Error(err)
	}
	before := c.Snapshot().Revision
	_, err = apply(app("shop", function("a", in("python@3.12")), function("b", in("node@20"), memory(512)), function("c", in("node@20"))))
	if want := "function a: the node has no runtime python@3.12: invalid\nfunction b: the node has no runtime node@20: invalid"; !errors.Is(err, gust.ErrInvalid) || err.Error() != want || c.Snapshot().Revision != before {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

// What the node cannot give is refused by name when it is deployed; what was
// deployed before stays.
func TestNetworksThatTheNodeCannotGive(t *testing.T) {
	c, _ := open(t, t.TempDir())
	internet := func(f *gust.Function) { f.Network.Mode = gust.NetworkInternet }
	if _, err := c.Apply(t.Context(), app("a", function("old", internet)), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	c.permits = func(n gust.Network) error {
		if n.Mode == gust.NetworkNone {
			return nil
		}
		return errors.New("no rights for it")
	}
	if _, err := c.Apply(t.Context(), app("a", function("old", internet), function("g")), ApplyOptions{}); err != nil {
		t.Errorf("what has not changed: %v", err)
	}
	for _, a := range []*gust.App{app("b", function("new", internet)), app("a", function("old", internet), function("g", internet))} {
		_, err := c.Apply(t.Context(), a, ApplyOptions{})
		if !errors.Is(err, gust.ErrInvalid) || !strings.HasSuffix(err.Error(), ".network: no rights for it") {
			t.Errorf("app %s: %v", a.Name, err)
		}
	}
}
