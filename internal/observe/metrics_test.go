package observe

import (
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	gust "github.com/gust-dev/gust"
)

// scrape is what Prometheus gets.
func scrape(t testing.TB, r *Recorder) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Errorf("scraping: %d, %v: %s", w.Code, err, body)
	}
	return string(body)
}

// series are the samples of Gust's own metrics, but for those of the machine and
// the buckets of histograms.
func series(t testing.TB, r *Recorder) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(scrape(t, r)) {
		if strings.HasPrefix(line, "gust_") && !strings.HasPrefix(line, "gust_machine_") && !strings.Contains(line, "_bucket{") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// busy uses every metric of a function.
func busy(r *Recorder, f *gust.Function) {
	s := r.Stream(f, env1)
	s.Begin(request1, trace1, testTime)
	s.Line([]byte("hello"))
	report := reportOf(request1, trace1)
	report.Queue = 3 * time.Millisecond
	s.End(report)
	report.Outcome, report.ErrorType = gust.OutcomeError, "ValueError"
	report.MemorySize, report.Billed = 1024*gust.MB, 1500*time.Millisecond
	s.Begin(request2, trace1, testTime)
	s.End(report)
	r.Throttled(f, gust.ThrottleMemory)
	r.Started(f, gust.ColdScaleOut, PoolHit, 4*time.Millisecond)
	r.Prewarmed(f, true)
	r.Prewarmed(f, true)
	r.Prewarmed(f, false)
	r.StartFailed(f, &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "Runtime.ExitError"})
}

func TestMetrics(t *testing.T) {
	r, _ := newRecorder(t, Options{Version: "1.2.3", EnvironmentLimit: Limit{Bytes: gust.MB, Lines: 1, Burst: time.Second}})
	r.SetStates(func() []EnvState {
		return []EnvState{{"api", "shop", "idle", 2}, {"api", "shop", "busy", 1}, {"api", "shop", "idle", 3}}
	})
	r.SetNode(func() NodeFigures {
		return NodeFigures{ConcurrencyLimit: 1000, MemoryBudget: 1 << 30, MemoryUsed: 1 << 20, DiskFree: 5 << 30, DiskReserve: 1 << 28, Pools: []PoolFigures{
			{"ab12", "node x.cjs", 1, 5, 7, 2}, {"ab12", "node x.cjs", 2, 6, 1, 0}, {"cd34", "node x.cjs", 0, 0, 0, 0},
		}, AuthenticationFailures: map[string]uint64{"missing credential": 2}, Denials: []DenialFigures{{"identity", false, 3}, {"session", true, 1}}}
	})
	f := testFunction("api")
	busy(r, f)
	s := r.Stream(f, "2")
	s.Line([]byte("12345"))
	s.Line([]byte("dropped"))
	s.Begin(request1, trace1, testTime)

	got := series(t, r)
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "gust_build_info") })
	want := strings.Split(strings.TrimSpace(`
gust_authentication_failures_total{reason="missing credential"} 2
gust_billed_gigabyte_seconds_total{app="shop",function="api"} 1.50025
gust_billed_seconds_total{app="shop",function="api"} 1.502
gust_cold_starts_total{app="shop",cause="scale_out",function="api",pool="hit"} 1
gust_concurrency{app="shop",function="api"} 1
gust_concurrency_limit 1000
gust_denials_total{explicit="false",policy="identity"} 3
gust_denials_total{explicit="true",policy="session"} 1
gust_disk_free_bytes 5.36870912e+09
gust_disk_reserve_bytes 2.68435456e+08
gust_environments{app="shop",function="api",state="busy"} 1
gust_environments{app="shop",function="api",state="idle"} 5
gust_init_duration_seconds_sum{app="shop",function="api"} 0.004
gust_init_duration_seconds_count{app="shop",function="api"} 1
gust_invocation_duration_seconds_sum{app="shop",function="api"} 0.00246
gust_invocation_duration_seconds_count{app="shop",function="api"} 2
gust_invocation_errors_total{app="shop",function="api",type="ValueError"} 1
gust_invocations_total{app="shop",function="api",outcome="error"} 1
gust_invocations_total{app="shop",function="api",outcome="ok"} 1
gust_log_bytes_total{app="shop",function="api"} 10
gust_log_dropped_bytes_total{app="shop",function="api"} 7
gust_log_dropped_lines_total{app="shop",function="api"} 1
gust_log_lines_total{app="shop",function="api"} 2
gust_log_write_errors_total 0
gust_memory_budget_bytes 1.073741824e+09
gust_memory_used_bytes 1.048576e+06
gust_pool_boot_failures_total{interpreter="node x.cjs",root="ab12"} 2
gust_pool_boot_failures_total{interpreter="node x.cjs",root="cd34"} 0
gust_pool_boots_total{interpreter="node x.cjs",root="ab12"} 8
gust_pool_boots_total{interpreter="node x.cjs",root="cd34"} 0
gust_pool_interpreters{interpreter="node x.cjs",root="ab12"} 3
gust_pool_interpreters{interpreter="node x.cjs",root="cd34"} 0
gust_pool_memory_bytes{interpreter="node x.cjs",root="ab12"} 11
gust_pool_memory_bytes{interpreter="node x.cjs",root="cd34"} 0
gust_prewarmed_environments_total{app="shop",function="api",result="unused"} 1
gust_prewarmed_environments_total{app="shop",function="api",result="used"} 2
gust_queue_wait_seconds_sum{app="shop",function="api"} 0.006
gust_queue_wait_seconds_count{app="shop",function="api"} 2
gust_start_failures_total{app="shop",function="api",outcome="init_error"} 1
gust_throttles_total{app="shop",function="api",reason="memory"} 1
`), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if text := scrape(t, r); !strings.Contains(text, `gust_build_info{goversion="go`) || !strings.Contains(text, `version="1.2.3"`) {
		t.Error("the build is not told of")
	}
}

func TestHistogramBuckets(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{-1, 0, 100 * time.Microsecond, 100*time.Microsecond + 1, time.Millisecond, 15 * time.Minute, 15*time.Minute + 1} {
		h.observe(d)
	}
	count, sum, cumulative := h.snapshot()
	if count != 7 || len(cumulative) != len(bounds) {
		t.Errorf("%d observations in %d buckets", count, len(cumulative))
	}
	for bound, want := range map[float64]uint64{0.0001: 3, 0.00025: 4, 0.0005: 4, 0.001: 5, 300: 5, 900: 6} {
		if cumulative[bound] != want {
			t.Errorf("up to %v s: %d; want %d", bound, cumulative[bound], want)
		}
	}
	if want := (30*time.Minute + time.Millisecond + 200*time.Microsecond + 2).Seconds(); sum != want {
		t.Errorf("the sum is %v; want %v", sum, want)
	}
}

func TestAFunctionCostsNothingBeforeItsFirstUse(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	before := series(t, r)
	r.Throttled(testFunction("api"), gust.ThrottleNode)
	busy(r, testFunction("other"))
	r.Forget("api")
	r.Forget("other")
	r.Forget("never was")
	after := series(t, r)
	withoutErrors := func(s string) bool { return strings.HasPrefix(s, "gust_log_write_errors") }
	if !slices.Equal(slices.DeleteFunc(before, withoutErrors), slices.DeleteFunc(after, withoutErrors)) {
		t.Errorf("after everything was forgotten there are\n%s", strings.Join(after, "\n"))
	}
}

// Counters of a function that another app took over are not the old app's.
func TestAFunctionThatMovesStartsAnew(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	r.Throttled(testFunction("api"), gust.ThrottleNode)
	moved := testFunction("api")
	moved.App = "blog"
	r.Throttled(moved, gust.ThrottleNode)
	text := scrape(t, r)
	if strings.Contains(text, `app="shop"`) || !strings.Contains(text, `gust_throttles_total{app="blog",function="api",reason="node"} 1`) {
		t.Errorf("got\n%s", text)
	}
}

// An invocation that outlives its function's removal does no harm.
func TestForgottenWhileRunning(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	s.Begin(request1, trace1, testTime)
	r.Forget("api")
	s.Line([]byte("late"))
	s.End(reportOf(request1, trace1))
	if text := scrape(t, r); strings.Contains(text, `function="api"`) {
		t.Errorf("got\n%s", text)
	}
}

func TestErrorTypesAreBoundedAndPlain(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	end := func(outcome gust.Outcome, errorType string) {
		report := reportOf(request1, trace1)
		report.Outcome, report.ErrorType = outcome, errorType
		s.Begin(request1, trace1, testTime)
		s.End(report)
	}
	end(gust.OutcomeTimeout, "")
	end(gust.OutcomeError, "java.lang.Exception\n{\"\xff"+strings.Repeat("x", 1000))
	for i := range 1000 {
		end(gust.OutcomeError, fmt.Sprint("type-", i))
		end(gust.OutcomeError, "type-0")
	}
	types := regexp.MustCompile(`gust_invocation_errors_total\{.*type="([^"]*)"\} (\d+)`).FindAllStringSubmatch(scrape(t, r), -1)
	if len(types) != maxErrorTypes+1 {
		t.Errorf("there are %d types; want %d", len(types), maxErrorTypes+1)
	}
	counts := map[string]string{}
	for _, m := range types {
		counts[m[1]] = m[2]
		if len(m[1]) > maxErrorTypeLen {
			t.Errorf("the type %q is too long", m[1])
		}
	}
	for name, want := range map[string]string{"timeout": "1", "type-0": "1001", "other": "982"} {
		if counts[name] != want {
			t.Errorf("%s was counted %q times; want %s", name, counts[name], want)
		}
	}
}

func TestUnknownLabelsCountAsOther(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	r.Throttled(testFunction("api"), "whatever")
	r.Started(testFunction("api"), "", "", 0)
	text := scrape(t, r)
	for _, want := range []string{`gust_throttles_total{app="shop",function="api",reason="other"} 1`, `gust_cold_starts_total{app="shop",cause="other",function="api",pool="none"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// docs/METRICS.md has a row for each family, in the same order, and all is named
// as Prometheus wants it.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "| `gust_") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, f := range families {
		kind := "histogram"
		if f.kind != histogramKind {
			kind = strings.ToLower(f.kind.ToDTO().String())
		}
		labels := "none"
		if len(f.labels) > 0 {
			labels = strings.Join(f.labels, ", ")
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", f.name, kind, labels, f.help))
	}
	if !slices.Equal(rows, want) {
		t.Errorf("the table in docs/METRICS.md is\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

func TestMetricsAreNamedWell(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	busy(r, testFunction("api"))
	var own strings.Builder
	for line := range strings.Lines(scrape(t, r)) {
		if strings.Contains(line, "gust_") {
			own.WriteString(line)
		}
	}
	problems, err := promlint.New(strings.NewReader(own.String())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

func TestMachineFigures(t *testing.T) {
	total, available, ok := parseMeminfo([]byte("MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    8000 kB\nHugePages_Total:       0\n"))
	if !ok || total != 16000<<10 || available != 8000<<10 {
		t.Errorf("meminfo: %d, %d, %v", total, available, ok)
	}
	busy, ok := parseStat([]byte("cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 2 3 4\n"))
	if !ok || busy != 1710*time.Millisecond {
		t.Errorf("stat: %v, %v", busy, ok)
	}
	for _, bad := range []string{"", "cpu", "MemTotal: x kB\nMemAvailable: 1 kB\n", "MemTotal: 1 kB\n", "cpu a b c d e f g h i\n", "cpu -1 2 3 4 5 6 7 8 9\n"} {
		if _, _, ok := parseMeminfo([]byte(bad)); ok {
			t.Errorf("%q is taken for memory figures", bad)
		}
		if _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q is taken for processor figures", bad)
		}
	}
}

func FuzzMachineFigures(f *testing.F) {
	f.Add([]byte("MemTotal:       16000 kB\nMemAvailable:    8000 kB\n"))
	f.Add([]byte("cpu  100 20 30 4000 50 6 7 8 0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if total, available, ok := parseMeminfo(data); ok && (total < 0 || available < 0) {
			t.Errorf("%d of %d bytes", available, total)
		}
		if busy, ok := parseStat(data); ok && busy < 0 {
			t.Errorf("busy for %v", busy)
		}
	})
}

func BenchmarkScrape(b *testing.B) {
	r, _ := newRecorder(b, Options{})
	for i := range 100 {
		busy(r, testFunction(fmt.Sprint("function-", i)))
	}
	for b.Loop() {
		scrape(b, r)
	}
}
