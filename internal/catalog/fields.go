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
	add("interpreter", f.Interpreter)
	add("root", f.Root.Short())
	add("handler", f.Handler)
	add("artifact", f.Artifact.Short())
	names := make([]string, len(f.Layers))
	for i, l := range f.Layers {
		names[i] = l.Name
	}
	add("layers", strings.Join(names, ", ")) // their order counts
	for _, l := range f.Layers {
		add("layers."+l.Name, l.Artifact.Short())
	}
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
	add("network", f.Network.String())
	add("idle", rules.FormatDuration(f.Idle))
	if r := f.Concurrency.Reserved; r != nil {
		add("concurrency.reserved", strconv.Itoa(*r))
	}
	number("concurrency.provisioned", f.Concurrency.Provisioned)
	for i, s := range f.Concurrency.Schedule {
		entry := fmt.Sprintf("{cron: %q", s.Cron)
		if s.Timezone != "" {
			entry += ", timezone: " + s.Timezone
		}
		if s.For != 0 {
			entry += ", for: " + rules.FormatDuration(s.For)
		}
		add(fmt.Sprintf("concurrency.schedule[%d]", i), fmt.Sprintf("%s, provisioned: %d}", entry, s.Provisioned))
	}
	add("concurrency.prewarm", string(f.Concurrency.Prewarm))
	number("concurrency.per_environment", f.Concurrency.PerEnvironment)
	if q := f.Concurrency.Queue; q != (gust.Queue{}) {
		add("concurrency.queue.size", strconv.Itoa(q.Size))
		add("concurrency.queue.wait", rules.FormatDuration(q.Wait))
	}
	return out
}
