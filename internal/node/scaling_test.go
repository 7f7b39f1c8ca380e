package node_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// together makes n calls at once and gives their answers.
func together(n int, call func() reply) []reply {
	answers := make([]reply, n)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = call() })
	}
	wg.Wait()
	return answers
}

// A burst gets an environment for each invocation; those over a limit are
// refused at once, by name.
func TestBurst(t *testing.T) {
	h := newHouse(t)
	h.canLetGo()
	n := h.start("--concurrency", "70")
	h.deploy(fmt.Sprintf(`
app: burst
functions:
  open: {runtime: provided, source: ./f, timeout: 5m, env: {TEST_MARKER: %[1]q}}
  capped: {runtime: provided, source: ./f, timeout: 5m, env: {TEST_MARKER: %[1]q}, concurrency: {reserved: 2}}
  off: {runtime: provided, source: ./f, concurrency: {reserved: 0}}
  patient: {runtime: provided, source: ./f, timeout: 5m, env: {TEST_MARKER: %[1]q}, concurrency: {reserved: 1, queue: {size: 4, wait: 1m}}}
routes:
  GET /open: open
  GET /capped: capped
  GET /off: off
  GET /patient: patient
`, h.data))
	answers := together(60, func() reply { return n.get("/open?do=sleep&for=1s") })
	environments := map[string]bool{}
	for _, r := range answers {
		if r.status != http.StatusOK {
			t.Fatalf("one of the burst is answered %d %s %v", r.status, r.body, r.err)
		}
		environments[r.said().Environment] = true
	}
	if len(environments) < 2 {
		t.Errorf("60 at once ran in %d environments", len(environments))
	}

	// Reserved concurrency caps, at both doors.
	held := n.hold("capped", 2)
	r := n.get("/capped")
	if r.status != http.StatusTooManyRequests || !strings.Contains(r.body, `"reason":"function"`) || r.header.Get("Retry-After") == "" {
		t.Errorf("over the cap: %d %s", r.status, r.body)
	}
	r = n.invoke("capped", "{}")
	if r.status != http.StatusTooManyRequests || r.header.Get("X-Amzn-Errortype") != "TooManyRequestsException" ||
		!strings.Contains(r.body, `"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"`) || !strings.Contains(r.body, "2 of its reserved concurrency of 2") {
		t.Errorf("over the cap: %d %s %s", r.status, r.header, r.body)
	}
	held()
	if r := n.get("/capped"); r.status != http.StatusOK {
		t.Errorf("below the cap: %d %s", r.status, r.body)
	}
	if r := n.get("/off"); r.status != http.StatusTooManyRequests {
		t.Errorf("what is turned off answers %d %s", r.status, r.body)
	}

	// A queue has those wait that it has room for, and refuses the others while
	// they wait.
	held = n.hold("patient", 1)
	waiting := make(chan reply, 9)
	for range 9 {
		go func() { waiting <- n.get("/patient") }()
	}
	for range 5 {
		if r := <-waiting; r.status != http.StatusTooManyRequests || !strings.Contains(r.body, `"reason":"queue"`) {
			t.Errorf("nine more for one that runs and four that wait: %d %s", r.status, r.body)
		}
	}
	held()
	for range 4 {
		if r := <-waiting; r.status != http.StatusOK {
			t.Errorf("one that waited is answered %d %s", r.status, r.body)
		}
	}
	for _, want := range []string{
		`gust_throttles_total{app="burst",function="capped",reason="function"} 2`,
		`gust_throttles_total{app="burst",function="patient",reason="queue"} 5`,
		`gust_cold_starts_total{app="burst",cause="warm_up",function="open",pool="none"} 1`,
		`gust_cold_starts_total{app="burst",cause="scale_out",function="open",pool="none"} `,
		`gust_concurrency_limit 70`,
		`gust_queue_wait_seconds_count{app="burst",function="patient"} 5`,
	} {
		if m := n.metrics(); !strings.Contains(m, want) {
			t.Errorf("the figures lack %s", want)
		}
	}
	n.stop()

	// The node's limit: 10, of which 3 are reserved.
	n = h.start("--concurrency", "10")
	held = n.hold("open", 7)
	for range 3 {
		if r := n.get("/open"); r.status != http.StatusTooManyRequests || !strings.Contains(r.body, `"reason":"node"`) {
			t.Errorf("over the node's limit: %d %s", r.status, r.body)
		}
	}
	if r := n.get("/capped"); r.status != http.StatusOK {
		t.Errorf("what has a reserve answers %d %s", r.status, r.body)
	}
	held()
	if r := n.get("/open"); r.status != http.StatusOK {
		t.Errorf("below the node's limit: %d %s", r.status, r.body)
	}
	n.stop()
}

// A function that cannot start says why, is backed off, and costs others
// nothing, not even a start.
func TestFunctionThatCannotStart(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy(`
app: broken
functions:
  broken: {runtime: provided, source: ./f, env: {INIT: exit}}
  hangs: {runtime: provided, source: ./f, timeout: 15m, env: {INIT: sleep 1h}}
  web: {runtime: http, source: ./f, env: {INIT: exit}}
  fine: {runtime: provided, source: ./f}
  late: {runtime: provided, source: ./f}
routes:
  GET /broken: broken
  GET /hangs: hangs
  GET /web: web
  GET /fine: fine
  GET /late: late
`)
	if r := n.get("/fine"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // they end when the node does
			req, err := http.NewRequest("GET", "http://"+n.http+"/hangs", nil)
			n.do(req, err)
		})
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if r := n.get("/broken"); r.status == http.StatusOK {
					t.Errorf("what cannot start answers %s", r.body)
				}
			}
		})
	}
	until(t, "the function is backed off", func() bool {
		r := n.invoke("broken", "{}")
		return r.header.Get("X-Amz-Function-Error") == "Unhandled" && strings.Contains(r.body, "exit status 4") &&
			strings.Contains(r.body, "times in a row and is not tried again for")
	})
	until(t, "many starts hang", func() bool { return len(n.environments("hangs")) == 8 })
	for range 50 {
		if r := n.get("/fine"); r.status != http.StatusOK {
			t.Fatalf("a neighbour answers %d %s", r.status, r.body)
		}
	}
	if r := n.get("/late"); r.status != http.StatusOK { // it has to start
		t.Fatalf("a neighbour that starts answers %d %s", r.status, r.body)
	}
	close(done)
	if r := n.get("/web"); r.status != http.StatusBadGateway {
		t.Errorf("an http function that cannot start answers %d %s", r.status, r.body)
	}
	for function, why := range map[string]string{"broken": "exit status 4", "web": "exit status 4"} {
		n.logged(api.LogQuery{Function: function}, "why "+function+" does not start", func(r *observe.Record) bool {
			return r.Kind == observe.KindInitError && strings.Contains(r.Message, why)
		})
		n.logged(api.LogQuery{Function: function}, "the last output of "+function, func(r *observe.Record) bool {
			return r.Kind == observe.KindLine && r.Message == "cannot find my configuration"
		})
	}
	for _, want := range []string{
		`gust_start_failures_total{app="broken",function="broken",outcome="init_error"} `,
		`gust_throttles_total{app="broken",function="broken",reason="backoff"} `,
		`gust_environments{app="broken",function="hangs",state="starting"} 8`,
	} {
		if m := n.metrics(); !strings.Contains(m, want) {
			t.Errorf("the figures lack %s", want)
		}
	}
	n.kill()
	wg.Wait()
}

// Unused environments are frozen, then reclaimed; provisioned ones stay, and
// are replaced when they die.
func TestIdleAndProvisioned(t *testing.T) {
	h := newHouse(t)
	h.isolated()
	n := h.start()
	h.deploy(fmt.Sprintf(`
app: idle
functions:
  short: {runtime: provided, source: ./f, idle: 1s, env: {TEST_MARKER: %[1]q}}
  long: {runtime: provided, source: ./f, idle: 1h, env: {TEST_MARKER: %[1]q}}
  kept: {runtime: provided, source: ./f, idle: 1s, env: {TEST_MARKER: %[1]q}, concurrency: {provisioned: 2}}
  web: {runtime: http, source: ./f, idle: 1s}
routes:
  GET /web: web
`, h.data))
	until(t, "provisioned environments are ready without being asked", func() bool {
		ready := 0
		for _, e := range n.environments("kept") {
			if e.State != "starting" && e.Cause == "provisioned" {
				ready++
			}
		}
		return ready == 2
	})
	for _, f := range []string{"short", "long"} {
		if r := n.invoke(f, "{}"); r.status != http.StatusOK {
			t.Fatal(r)
		}
	}
	if r := n.get("/web"); r.status != http.StatusOK {
		t.Fatal(r)
	}
	until(t, "the unused ones are reclaimed", func() bool { return len(n.environments("short")) == 0 && len(n.environments("web")) == 0 })
	until(t, "their processes are gone", func() bool { return len(h.pids("short")) == 0 })
	until(t, "the other is frozen", func() bool { e := n.environments("long"); return len(e) == 1 && e[0].State == "frozen" })
	if got := len(n.environments("kept")); got != 2 {
		t.Errorf("%d provisioned environments are there, want 2", got)
	}

	// Frozen means no processor time at all.
	pids := h.pids("long")
	if len(pids) != 1 {
		t.Fatalf("processes of long: %v", pids)
	}
	until(t, "the kernel has frozen it", func() bool { return h.frozen(pids[0]) }) // the node says so a moment before
	before := cpuTime(t, pids[0])
	seen := n.environments("long")[0].Since
	for range 100 { // other work meanwhile
		n.invoke("kept", "{}")
	}
	if after := cpuTime(t, pids[0]); after != before {
		t.Errorf("a frozen environment used processor time: %s, then %s", before, after)
	}
	if e := n.environments("long"); len(e) != 1 || !e[0].Since.Equal(seen) {
		t.Errorf("it was thawed meanwhile: %+v", e)
	}
	if r := n.invoke("long", "{}"); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("thawed it answers %d %s", r.status, r.body)
	}
	if got := h.pids("long"); !slices.Equal(got, pids) {
		t.Errorf("the frozen environment %v was not used again, but %v", pids, got)
	}

	// What dies is replaced.
	until(t, "two processes run", func() bool { return len(h.pids("kept")) == 2 })
	dead := h.pids("kept")[0]
	if err := syscall.Kill(dead, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is replaced", func() bool {
		pids := h.pids("kept")
		return len(pids) == 2 && !slices.Contains(pids, dead)
	})
	until(t, "the node knows", func() bool {
		ready := 0
		for _, e := range n.environments("kept") {
			if e.State != "starting" {
				ready++
			}
		}
		return ready == 2
	})
	if r := n.invoke("kept", "{}"); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("after it was replaced it answers %d %s", r.status, r.body)
	}
	n.stop()
}

// frozen tells whether the kernel says that the control group of a process is.
func (h *house) frozen(pid int) bool {
	h.t.Helper()
	groups := map[string]bool{}
	h.groups(groups)
	for g := range groups {
		members, err := filepath.Glob(filepath.Join(g, "*", "cgroup.procs"))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, file := range members {
			pids, err := os.ReadFile(file)
			if err != nil || !slices.Contains(strings.Fields(string(pids)), strconv.Itoa(pid)) {
				continue
			}
			events, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup.events")) // of version 2
			state, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "freezer.state"))  // of version 1
			if strings.Contains(string(events), "frozen 1") || strings.TrimSpace(string(state)) == "FROZEN" {
				return true
			}
		}
	}
	return false
}

// cpuTime is the processor time of a process, in the kernel's ticks.
func cpuTime(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		data, err = os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(data))
		return f[13] + " " + f[14]
	}
	return strings.Fields(string(data))[0]
}

// Deploys under load fail no request: what runs finishes on its version, what
// comes gets the new one.
func TestDeployUnderLoad(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	manifest := func(generation int) string {
		return fmt.Sprintf(`
app: live
functions:
  f: {runtime: provided, source: ./f, timeout: 1m, env: {GENERATION: "%[1]d"}}
  web: {runtime: http, source: ./f, timeout: 1m, env: {GENERATION: "%[1]d"}}
routes:
  GET /f: f
  "GET /web/{rest...}": web
`, generation)
	}
	h.deploy(manifest(1))
	long := make(chan reply, 1)
	go func() { long <- n.invoke("f", `{"do": "sleep", "for": "3s", "say": "long"}`) }()
	_, stream := n.open("/web/stream?for=3s")
	n.begun("f", "long")

	done := make(chan struct{})
	var served atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		path := []string{"/f", "/web/", "/f?do=sleep&for=20ms", "/web/?do=sleep&for=20ms"}[i%4]
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-done:
					return
				default:
				}
				r := n.get(path)
				g, err := strconv.Atoi(r.said().Generation)
				if r.status != http.StatusOK || r.err != nil || err != nil {
					t.Errorf("%s is answered %d %s %v", path, r.status, r.body, r.err)
					return
				}
				if g < last {
					t.Errorf("%s is answered by generation %d after %d", path, g, last)
				}
				last = g
				served.Add(1)
			}
		})
	}
	deploys := 6
	if testing.Short() {
		deploys = 3
	}
	for g := 2; g <= deploys; g++ {
		before := served.Load()
		h.deploy(manifest(g))
		for _, path := range []string{"/f", "/web/"} {
			if got := n.get(path).said().Generation; got != strconv.Itoa(g) {
				t.Errorf("after generation %d was deployed %s is answered by %q", g, path, got)
			}
		}
		until(t, "load goes on", func() bool { return served.Load() > before+20 || t.Failed() })
	}
	close(done)
	wg.Wait()
	if r := <-long; r.status != http.StatusOK || r.said().Generation != "1" {
		t.Errorf("what ran during the deploys ended with %d %s", r.status, r.body)
	}
	if line, err := stream.ReadString('\n'); line != "last\n" {
		t.Errorf("the stream that ran during the deploys ended with %q, %v", line, err)
	}
	until(t, "only the newest version is left", func() bool {
		for _, e := range n.environments("") {
			if e.Version != uint64(deploys) {
				return false
			}
		}
		return true
	})
	n.stop()
}
