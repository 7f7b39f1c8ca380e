package node_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// A warm-up starts one environment, which the next invocation finds warm; a
// program that does not come up is told of with what it printed; and a schedule
// starts environments by itself.
func TestWarmUpsAndSchedules(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho the database is gone\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.source("bad", script)
	h.deploy(`
app: warm
functions:
  f: {runtime: provided, source: ./f}
  bad: {runtime: provided, source: ./bad}
  due: {runtime: provided, source: ./f, concurrency: {schedule: [{cron: "* * * * *", provisioned: 2}]}}
`)
	ctx := context.Background()
	up, err := n.client.Warm(ctx, "f")
	if err != nil || up.Version != 1 || up.Cause != gust.ColdWarmUp || up.Init <= 0 {
		t.Fatal(up, err)
	}
	if again, err := n.client.Warm(ctx, "f"); err != nil || *again != *up {
		t.Errorf("another one: %+v, %v", again, err)
	}
	if r := n.invoke("f", "{}"); r.status != http.StatusOK {
		t.Errorf("%d %s %v", r.status, r.body, r.err)
	}
	if envs := n.environments("f"); len(envs) != 1 || envs[0].ID != up.Environment || envs[0].Served != 1 {
		t.Errorf("%+v", envs)
	}
	var fe *gust.FunctionError
	if _, err := n.client.Warm(ctx, "bad"); !errors.As(err, &fe) || fe.Outcome != gust.OutcomeInit || !strings.Contains(fe.Output, "the database is gone") {
		t.Errorf("%v: %+v", err, fe)
	}
	until(t, "two environments that are due", func() bool {
		ready := 0
		for _, e := range n.environments("due") {
			if e.Cause == string(gust.ColdProvisioned) && e.State != "starting" {
				ready++
			}
		}
		return ready == 2
	})
}
