package invoke

import (
	"cmp"
	"slices"
	"time"

	"github.com/gust-dev/gust/internal/invoke/scale"
	"github.com/gust-dev/gust/internal/observe"
)

// Environment is one environment, for lists.
type Environment struct {
	ID       string    `json:"id"`
	App      string    `json:"app"`
	Function string    `json:"function"`
	Version  uint64    `json:"version"`
	State    string    `json:"state"` // starting, idle, busy, frozen
	Since    time.Time `json:"since"`
	Memory   int64     `json:"memory"` // bytes in use; expected ones while it starts
	Running  int       `json:"running"`
	Served   uint64    `json:"served"`
	Cause    string    `json:"cause"`
}

// Environments lists every environment by app, function and age.
func (iv *Invoker) Environments() []Environment {
	list := []Environment{}
	iv.mu.Lock()
	iv.scaler.Each(func(e *scale.Env) {
		env := Environment{
			App: e.Function.App, Function: e.Function.Name, Version: e.Function.Version,
			State: e.State.String(), Since: e.Since, Memory: e.Memory, Running: e.Load, Served: e.Served, Cause: string(e.Cause),
		}
		if x, ok := e.Data.(*environment); ok {
			env.ID = x.id
		}
		list = append(list, env)
	})
	iv.mu.Unlock()
	slices.SortFunc(list, func(a, b Environment) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Function, b.Function), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// States counts environments by function and state.
func (iv *Invoker) States() []observe.EnvState {
	type key struct {
		app, function string
		state         scale.State
	}
	counts := map[key]int{}
	iv.mu.Lock()
	iv.scaler.Each(func(e *scale.Env) { counts[key{e.Function.App, e.Function.Name, e.State}]++ })
	iv.mu.Unlock()
	list := make([]observe.EnvState, 0, len(counts))
	for k, n := range counts {
		list = append(list, observe.EnvState{App: k.app, Function: k.function, State: k.state.String(), Count: n})
	}
	return list
}

// Totals are the node's figures: concurrency, what runs, waits and queues, and
// the memory of all environments.
func (iv *Invoker) Totals() scale.Totals {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	return iv.scaler.Totals()
}
