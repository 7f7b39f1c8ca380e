package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
	"github.com/gust-dev/gust/internal/store"
)

// taking is what a change takes, may take and must not take from other apps.
type taking struct {
	snap      *Snapshot
	functions map[string]bool
	routes    map[string]bool // by shape
	// foreign are the routes of other apps, by shape, that the change is
	// about.
	foreign map[string]gust.Route
	// moved are the functions that were taken, as they were.
	moved   []*gust.Function
	refused []string
	sees    func(app string) bool
}

// newTaking reads what is to be taken. An entry is refused that cannot mean
// anything; one that has been taken already is fine, so that a deploy can be
// repeated as it is.
func newTaking(snap *Snapshot, app *gust.App, take []string, sees func(app string) bool) (*taking, error) {
	t := &taking{snap: snap, functions: make(map[string]bool), routes: make(map[string]bool), foreign: make(map[string]gust.Route), sees: sees}
	if sees == nil {
		t.sees = func(string) bool { return true }
	}
	declared := make(map[string]bool, len(app.Routes))
	for _, r := range app.Routes {
		declared[rules.Shape(r)] = true
	}
	for _, entry := range take {
		kind, name, _ := strings.Cut(entry, ":")
		switch kind {
		case "function":
			if app.Functions[name] == nil {
				return nil, fmt.Errorf("%w: %q is to be taken, but app %s declares no function %q", gust.ErrInvalid, entry, app.Name, name)
			}
			t.functions[name] = true
		case "route":
			method, path, err := rules.ParseRoute(name)
			if err != nil || rules.CheckMethod(method) != "" || rules.CheckPath(path) != "" {
				return nil, fmt.Errorf("%w: %q names no route: want route:METHOD /path, such as route:GET /hello/{name}", gust.ErrInvalid, entry)
			}
			t.routes[rules.Shape(gust.Route{Method: method, Path: path})] = true
		default:
			return nil, fmt.Errorf("%w: %q is nothing to take: want function:NAME or route:METHOD /path", gust.ErrInvalid, entry)
		}
	}
	for _, r := range snap.Routes {
		if r.App == app.Name {
			continue
		}
		shape := rules.Shape(r)
		if declared[shape] {
			t.foreign[shape] = r
		} else if t.routes[shape] && !t.functions[r.Function] && t.sees(r.App) {
			return nil, fmt.Errorf("%w: route %s of app %s is to be taken, but app %s declares neither it nor function %s, which it leads to",
				gust.ErrInvalid, r.Key(), r.App, app.Name, r.Function)
		}
	}
	return t, nil
}

// function reports whether a function of another app is taken.
func (t *taking) function(was *gust.Function) bool {
	if !t.functions[was.Name] || !t.sees(was.App) {
		t.refuse("function", was.Name, was.App)
		return false
	}
	t.moved = append(t.moved, was)
	return true
}

// owner returns the route of another app that matches the same requests as r.
func (t *taking) owner(r gust.Route) (gust.Route, bool) {
	if len(t.foreign) == 0 {
		return gust.Route{}, false
	}
	other, ok := t.foreign[rules.Shape(r)]
	return other, ok
}

// route reports whether another app's route is taken in r's place.
func (t *taking) route(r, other gust.Route) bool {
	if !t.routes[rules.Shape(r)] || !t.sees(other.App) {
		t.refuse("route", other.Key(), other.App)
		return false
	}
	return true
}

// refuse notes what belongs to another app, and to which if that is no secret.
func (t *taking) refuse(kind, name, owner string) {
	if !t.sees(owner) {
		t.refused = append(t.refused, fmt.Sprintf("%s %s belongs to another app, which you may not see; choose another name", kind, name))
		return
	}
	t.refused = append(t.refused, fmt.Sprintf("%s %s belongs to app %s; choose another name, or take it over by naming %q", kind, name, owner, kind+":"+name))
}

// dangling returns the other apps' routes that would lead to a function that
// they lose, and that are not taken yet. Each has to be named to be taken.
func (t *taking) dangling(taken []gust.Route) []gust.Route {
	var list []gust.Route
	for _, f := range t.moved {
		for _, r := range t.snap.Apps[f.App].Routes {
			switch {
			case r.Function != f.Name || slices.Contains(taken, r):
			case t.routes[rules.Shape(r)]:
				list = append(list, r)
			default:
				t.refused = append(t.refused, fmt.Sprintf("route %s of app %s leads to function %s, which is to be taken; take %q too", r.Key(), r.App, f.Name, "route:"+r.Key()))
			}
		}
	}
	return list
}

// conflict is an error about everything that belongs to others.
func (t *taking) conflict() error {
	if len(t.refused) == 0 {
		return nil
	}
	const most = 20
	list := t.refused
	if len(list) > most {
		list = append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", len(t.refused)-most))
	}
	return fmt.Errorf("%w: %s", gust.ErrConflict, strings.Join(list, "\n"))
}

// inherited are the apps that a function of app was taken over from: the one that
// has it now, and those that this one took it from.
func inherited(was *gust.Function, app string) []string {
	switch {
	case was == nil:
		return nil
	case was.App == app:
		return was.TakenFrom
	}
	from := slices.DeleteFunc(slices.Clone(was.TakenFrom), func(a string) bool { return a == was.App || a == app })
	from = append(from, was.App)
	return from[max(0, len(from)-gust.MaxTakenFrom):]
}

// takenFrom reads what Apply wrote.
func takenFrom(get func([]byte) ([]byte, error), name string) (from []string, err error) {
	key := keyTaken(name)
	value, err := get(key)
	if errors.Is(err, gust.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = decode(key, value, &from)
	}
	return from, err
}

// forget deletes a function. Whoever declares the name next has nothing to do with
// those that had it.
func forget(tx *store.Tx, name string) error {
	return errors.Join(tx.Delete(keyFunction(name)), tx.Delete(keyTaken(name)))
}
