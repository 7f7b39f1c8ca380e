package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// TestKilledInTheMiddle kills a node 20 times in the middle of deploys and of
// load. After each start every deploy that was acknowledged is there, none is
// half there, every event that was accepted runs, and nothing that the dead one
// ran is left.
func TestKilledInTheMiddle(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	h := newHouse(t)
	generation := 0
	accepted := &events{ids: map[string]bool{}}
	groups := map[string]bool{}
	for round := range rounds {
		n := h.start()
		h.processesLeft()
		h.groups(groups)
		h.generation(n, generation)
		generation = h.disturb(n, generation, 2+rand.N(30), accepted)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	n := h.start()
	h.processesLeft()
	h.generation(n, generation)
	h.deploy(h.generations(generation+1, "")) // now it can start
	accepted.haveRun(t, n)
	if generation == 0 || len(accepted.ids) == 0 {
		t.Errorf("%d deploys and %d events were acknowledged: the test showed nothing", generation, len(accepted.ids))
	}
	n.stop()
	h.processesLeft()
	h.nothingLeft(groups)
}

// generations is the manifest of two functions that have to agree, and of one
// that gets events, and begins as init says.
func (h *house) generations(generation int, init string) string {
	env := fmt.Sprintf("GENERATION: %q, TEST_MARKER: %q", strconv.Itoa(generation), h.data)
	return fmt.Sprintf(`app: generations
functions:
  one: {runtime: provided, source: ./f, env: {%[1]s}}
  two: {runtime: provided, source: ./f, env: {%[1]s}}
  late: {runtime: provided, source: ./f, timeout: 1m, env: {%[1]s, INIT: %[2]q}}
routes:
  GET /one: one
  GET /two: two
`, env, init)
}

// never is how a function begins that is not ready while a test runs.
const never = "sleep 1h"

// generation checks that what is declared and what runs is one generation, and
// no older than the last one that was acknowledged.
func (h *house) generation(n *process, acknowledged int) {
	h.t.Helper()
	got := map[string]string{}
	for _, f := range []string{"one", "two"} {
		switch r := n.get("/" + f); {
		case r.err != nil:
			h.t.Fatal(r.err)
		case r.status == http.StatusNotFound && acknowledged == 0:
			got[f] = "0"
		case r.status != http.StatusOK:
			h.t.Fatalf("%s answers %d: %s\n%s", f, r.status, r.body, n.log.String())
		default:
			got[f] = r.said().Generation
		}
	}
	g, err := strconv.Atoi(got["one"])
	if err != nil || got["one"] != got["two"] {
		h.t.Errorf("a deploy is half there: %v", got)
	}
	if g < acknowledged {
		h.t.Errorf("generation %d was acknowledged, and %d is there", acknowledged, g)
	}
}

// events are the request ids of asynchronous invocations that were accepted.
type events struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (e *events) add(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids[id] = true
}

// haveRun waits until the log has the end of every event, by `gust logs`'s
// records.
func (e *events) haveRun(t *testing.T, n *process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	left := len(e.ids)
	seen := map[string]bool{}
	for r, err := range n.client.Logs(ctx, api.LogQuery{Function: "late", Follow: true}) {
		if err != nil {
			t.Errorf("%d of %d events that were accepted never ran: %v", left, len(e.ids), err)
			return
		}
		if r.Kind == observe.KindReport && r.Report.Source == "async" && r.Report.Outcome == "ok" && e.ids[r.RequestID] && !seen[r.RequestID] {
			seen[r.RequestID] = true
			if left--; left == 0 {
				return
			}
		}
	}
}

// disturb deploys, invokes and sends events, and kills the node after so many
// of all that were done. It returns the last generation that was acknowledged.
func (h *house) disturb(n *process, generation, times int, accepted *events) (acknowledged int) {
	var left, last atomic.Int64
	left.Store(int64(times))
	last.Store(int64(generation))
	happened := func() {
		if left.Add(-1) == 0 {
			_ = n.cmd.Process.Kill()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for g := generation + 1; left.Load() > 0; g++ {
			h.manifest(h.generations(g, never))
			if _, status := h.gust("deploy", "--no-start", h.app); status != 0 {
				return // it was killed
			}
			last.Store(int64(g))
			happened()
		}
	})
	wg.Go(func() {
		for sent := 0; sent < 3 && left.Load() > 0; {
			switch r := n.send("late", "{}"); {
			case r.err != nil:
				return
			case r.status == http.StatusAccepted:
				accepted.add(r.header.Get("X-Amzn-Requestid"))
				sent++
				happened()
			}
		}
	})
	for _, f := range []string{"one", "two"} {
		wg.Go(func() {
			for left.Load() > 0 {
				switch r := n.get("/" + f); {
				case r.status == 0:
					return
				case r.status == http.StatusOK && r.err == nil:
					happened()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		h.t.Errorf("nothing happens any more:\n%s", n.log.String())
	}
	n.kill()
	<-done
	return int(last.Load())
}

// processesLeft waits until no process of a function is left, as nobody runs any:
// those of a node that was killed are being ended still.
func (h *house) processesLeft() {
	h.t.Helper()
	until(h.t, "the processes of functions are gone", func() bool {
		environs, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			h.t.Fatal(err)
		}
		return !slices.ContainsFunc(environs, func(file string) bool {
			data, err := os.ReadFile(file)
			return err == nil && bytes.Contains(data, []byte("TEST_MARKER="+h.data))
		})
	})
}

// groups adds the control groups that a running node has, in all hierarchies.
func (h *house) groups(all map[string]bool) {
	h.t.Helper()
	if h.sandbox != "process" {
		return
	}
	var paths []string
	data, err := os.ReadFile(filepath.Join(h.data, "run", "cgroups"))
	if err == nil {
		err = json.Unmarshal(data, &paths)
	}
	if err != nil || len(paths) == 0 {
		h.t.Fatalf("which groups does the node have? %v, %v", paths, err)
	}
	for _, p := range paths {
		all[p] = true
	}
}

// nothingLeft looks for what a node that has ended may have left outside of
// what it keeps.
func (h *house) nothingLeft(groups map[string]bool) {
	h.t.Helper()
	for g := range groups {
		if _, err := os.Stat(g); err == nil {
			h.t.Errorf("the control group %s is left", g)
		}
	}
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil && bytes.Contains(data, []byte(h.data)) {
		h.t.Errorf("mounts are left:\n%s", data)
	}
	until(h.t, "its loop devices are free", func() bool { return len(h.loops()) == 0 }) // the kernel frees them in its own time
	err := filepath.WalkDir(filepath.Join(h.data, "run"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			h.t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		h.t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(h.data, "node.json")); err == nil {
		h.t.Error("node.json is left")
	}
}

// loops are the loop devices on files of the data folder.
func (h *house) loops() (found []string) {
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, d := range devices {
		if file, err := os.ReadFile(d); err == nil && strings.HasPrefix(string(file), h.data) {
			found = append(found, d)
		}
	}
	return found
}
