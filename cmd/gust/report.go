package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/build"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/deploy"
)

// deployed is everything that `gust deploy --json` prints.
type deployed struct {
	*catalog.Plan
	// Functions are those that were added or changed, and Layers theirs.
	Functions []functionReport `json:"functions"`
	Layers    []contentReport  `json:"layers,omitempty"`
	// Warnings are what building them had to say.
	Warnings []string `json:"warnings,omitempty"`
}

// contentReport is how large an artifact is, and of what.
type contentReport struct {
	Name     string       `json:"name"`
	Artifact gust.Digest  `json:"artifact"`
	Size     int64        `json:"size"`     // bytes of the zip
	Unpacked int64        `json:"unpacked"` // bytes of its files
	Files    int          `json:"files"`
	Parts    []build.Part `json:"parts"` // the largest ones
}

// functionReport is what a function costs before it does anything.
type functionReport struct {
	contentReport
	// Init is how long an environment took to be ready; Pooled says that its
	// interpreter had been booted ahead. Failed is why it did not come up.
	Init   time.Duration    `json:"init,omitempty"`
	Pooled bool             `json:"pooled,omitempty"`
	Failed *api.InitFailure `json:"failed,omitempty"`
	// Unmeasured is why no environment was started.
	Unmeasured string `json:"unmeasured,omitempty"`
}

const (
	maxParts = 10 // of an artifact
	// maxMeasured bounds how many functions are started for their init, and
	// maxMeasuring how many at once: they share the node with what it serves.
	maxMeasured  = 50
	maxMeasuring = 2
	// maxWaiting is for how long a deploy waits for them together: as long as
	// an init may take, and a little.
	maxWaiting = gust.InitTimeout + 2*time.Second
)

var errSlowInit = fmt.Errorf("it was not ready within the %v that a deploy waits", maxWaiting)

// reportOn tells of the functions that a deploy changed. It starts an
// environment of each: whoever deploys learns how long its init takes, or that
// it fails, before anybody calls it.
// Without start it starts nothing.
func reportOn(ctx context.Context, a *deploy.App, plan *catalog.Plan, start bool, working *progress) (*deployed, error) {
	d := &deployed{Plan: plan, Functions: []functionReport{}}
	layers := make(map[string]bool)
	for _, change := range plan.Changes {
		b := a.Built[change.Name]
		if change.Kind != "function" || change.Op == catalog.Remove || b == nil {
			continue
		}
		d.Functions = append(d.Functions, functionReport{contentReport: contentOf(change.Name, b)})
		d.warn(b)
		for _, l := range a.Manifest.App.Functions[change.Name].Layers {
			layers[l.Name] = a.Layers[l.Name] != nil
		}
	}
	for _, name := range a.Manifest.LayerNames() {
		if layers[name] {
			d.Layers = append(d.Layers, contentOf(name, a.Layers[name]))
			d.warn(a.Layers[name])
		}
	}
	if !start {
		for i := range d.Functions {
			d.Functions[i].Unmeasured = "it was not to be started"
		}
		return d, nil
	}
	working.does("init", "starting what was changed")
	defer working.does("init", "")
	patience, stop := context.WithTimeoutCause(ctx, maxWaiting, errSlowInit)
	defer stop()
	var wg sync.WaitGroup
	turn := make(chan struct{}, maxMeasuring)
	for i := range d.Functions {
		f := &d.Functions[i]
		if i >= maxMeasured {
			f.Unmeasured = fmt.Sprintf("only the first %d functions are started", maxMeasured)
			continue
		}
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			f.measure(patience, a.Client)
		})
	}
	wg.Wait()
	return d, context.Cause(ctx)
}

func contentOf(name string, b *build.Artifact) contentReport {
	return contentReport{name, b.Digest, b.Size, b.Unpacked, b.Files, b.Parts[:min(len(b.Parts), maxParts)]}
}

func (d *deployed) warn(b *build.Artifact) {
	for _, w := range b.Warnings {
		if !slices.Contains(d.Warnings, w) {
			d.Warnings = append(d.Warnings, w)
		}
	}
}

func (f *functionReport) measure(ctx context.Context, client *api.Client) {
	up, err := client.Warm(ctx, f.Name)
	var failed *gust.FunctionError
	switch {
	case errors.As(err, &failed):
		f.Failed = &api.InitFailure{Outcome: failed.Outcome, Type: failed.Type, Message: failed.Message, Output: failed.Output}
	case err != nil && ctx.Err() != nil: // it goes on starting
		f.Unmeasured = context.Cause(ctx).Error()
	case err != nil: // its concurrency is 0, the node is full: it is deployed all the same
		f.Unmeasured = err.Error()
	default:
		f.Init, f.Pooled = up.Init, up.Pooled
	}
}

// print writes the report for people.
func (c *command) printReport(d *deployed) {
	for _, l := range d.Layers {
		c.printContent("layer "+l.Name, l, "")
	}
	for _, f := range d.Functions {
		init := ""
		switch {
		case f.Failed != nil:
			init = ", " + c.out.paint(red, "init failed")
		case f.Unmeasured != "":
			init = ", init not measured: " + printable(f.Unmeasured)
		case f.Pooled:
			init = fmt.Sprintf(", init %s (pool hit)", milliseconds(f.Init))
		default:
			init = ", init " + milliseconds(f.Init)
		}
		c.printContent(f.Name, f.contentReport, init)
		if f.Failed != nil {
			c.printFailure(f.Failed)
		}
	}
	for _, w := range d.Warnings {
		fmt.Fprintln(c.out, c.out.paint(yellow, "warning:"), printable(w))
	}
}

// printContent writes one line, and one more with what is large if anything is.
func (c *command) printContent(name string, r contentReport, more string) {
	fmt.Fprintf(c.out, "%s: %s (%s unpacked), %s%s\n", name, size(r.Size), size(r.Unpacked), count(r.Files, "file"), more)
	var large []string
	for _, p := range r.Parts[:min(len(r.Parts), 3)] {
		if share := p.Size * 100 / max(r.Unpacked, 1); r.Unpacked >= gust.MB && len(r.Parts) > 1 && share >= 5 {
			large = append(large, fmt.Sprintf("%s %s (%d%%)", printable(p.Name), size(p.Size), share))
		}
	}
	if len(large) > 0 {
		fmt.Fprintln(c.out, "    large: "+strings.Join(large, ", "))
	}
}

// printFailure writes why a function does not come up, and the end of what it
// printed.
func (c *command) printFailure(f *api.InitFailure) {
	text := f.Message
	if f.Type != "" {
		text = f.Type + ": " + text
	}
	for line := range strings.Lines(strings.TrimSpace(text) + "\n" + strings.TrimSpace(f.Output)) {
		fmt.Fprintln(c.out, "    "+printable(strings.TrimRight(line, "\r\n")))
	}
}
