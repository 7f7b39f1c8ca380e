package observe

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	gust "github.com/gust-dev/gust"
)

// family is one metric. docs/METRICS.md has a row for each.
type family struct {
	name   string
	kind   prometheus.ValueType // 0 for a histogram
	labels []string
	help   string
}

const histogramKind prometheus.ValueType = 0

// The families, in the order of docs/METRICS.md.
const (
	invocations = iota
	errorsByType
	throttled
	durations
	queueWaits
	coldStarts
	prewarmed
	initDurations
	startFailures
	environments
	running
	billedSeconds
	billedGBSeconds
	networkSent
	logLines
	logBytes
	logDroppedLines
	logDroppedBytes
	logWriteErrors
	concurrencyLimit
	memoryBudget
	memoryUsed
	poolWaiting
	poolMemory
	poolBoots
	poolFailures
	diskFree
	diskReserve
	refusedRequests
	deniedRequests
	machineMemory
	machineAvailable
	machineCPU
	machineCPUs
	buildInfo
	familyCount
)

var (
	perFunction = []string{"app", "function"}
	perPool     = []string{"root", "interpreter"}
)

func labels(more ...string) []string { return append(append([]string{}, perFunction...), more...) }

var families = [familyCount]family{
	invocations:      {"gust_invocations_total", prometheus.CounterValue, labels("outcome"), "Invocations that ended, by outcome."},
	errorsByType:     {"gust_invocation_errors_total", prometheus.CounterValue, labels("type"), "Invocations that did not end well, by the type of their error; at most 20 types a function, then \"other\"."},
	throttled:        {"gust_throttles_total", prometheus.CounterValue, labels("reason"), "Invocations that were refused, by the limit that refused them."},
	durations:        {"gust_invocation_duration_seconds", histogramKind, perFunction, "From dispatch to the end of the answer."},
	queueWaits:       {"gust_queue_wait_seconds", histogramKind, perFunction, "How long invocations waited for an environment, its start included."},
	coldStarts:       {"gust_cold_starts_total", prometheus.CounterValue, labels("cause", "pool"), "Environments that became ready, by why they were started, and whether an interpreter waited for them."},
	prewarmed:        {"gust_prewarmed_environments_total", prometheus.CounterValue, labels("result"), "Environments that were started ahead of an expected use, by what became of them: used, or ended unused."},
	initDurations:    {"gust_init_duration_seconds", histogramKind, perFunction, "How long environments took to become ready."},
	startFailures:    {"gust_start_failures_total", prometheus.CounterValue, labels("outcome"), "Environments that did not become ready, by how they ended."},
	environments:     {"gust_environments", prometheus.GaugeValue, labels("state"), "Environments, by state: starting, idle, busy, frozen."},
	running:          {"gust_concurrency", prometheus.GaugeValue, perFunction, "Invocations that run."},
	billedSeconds:    {"gust_billed_seconds_total", prometheus.CounterValue, perFunction, "Billed time."},
	billedGBSeconds:  {"gust_billed_gigabyte_seconds_total", prometheus.CounterValue, perFunction, "Billed time, times the declared memory in GB (1,024 MB)."},
	networkSent:      {"gust_network_sent_bytes_total", prometheus.CounterValue, perFunction, "What environments sent to their networks, in bytes of IP packets."},
	logLines:         {"gust_log_lines_total", prometheus.CounterValue, perFunction, "Lines that programs printed and that were logged."},
	logBytes:         {"gust_log_bytes_total", prometheus.CounterValue, perFunction, "Bytes of the lines that were logged."},
	logDroppedLines:  {"gust_log_dropped_lines_total", prometheus.CounterValue, perFunction, "Lines that were not logged: over a limit, or not written."},
	logDroppedBytes:  {"gust_log_dropped_bytes_total", prometheus.CounterValue, perFunction, "Bytes of the lines that were not logged."},
	logWriteErrors:   {"gust_log_write_errors_total", prometheus.CounterValue, nil, "Log records that could not be written."},
	concurrencyLimit: {"gust_concurrency_limit", prometheus.GaugeValue, nil, "How many invocations may run at once on the node."},
	memoryBudget:     {"gust_memory_budget_bytes", prometheus.GaugeValue, nil, "Memory that environments may use together."},
	memoryUsed:       {"gust_memory_used_bytes", prometheus.GaugeValue, nil, "Memory that environments use together."},
	poolWaiting:      {"gust_pool_interpreters", prometheus.GaugeValue, perPool, "Interpreters that wait, booted, for a function."},
	poolMemory:       {"gust_pool_memory_bytes", prometheus.GaugeValue, perPool, "Memory that those used when they were booted."},
	poolBoots:        {"gust_pool_boots_total", prometheus.CounterValue, perPool, "Interpreters that were booted ahead."},
	poolFailures:     {"gust_pool_boot_failures_total", prometheus.CounterValue, perPool, "Interpreters that did not boot ahead."},
	diskFree:         {"gust_disk_free_bytes", prometheus.GaugeValue, nil, "Space that is free for the data folder."},
	diskReserve:      {"gust_disk_reserve_bytes", prometheus.GaugeValue, nil, "Free space below which writes are refused."},
	refusedRequests:  {"gust_authentication_failures_total", prometheus.CounterValue, []string{"reason"}, "Requests to the API that had no valid credential, by what was wrong."},
	deniedRequests:   {"gust_denials_total", prometheus.CounterValue, []string{"policy", "explicit"}, "Requests to the API that were denied to who asked, by the sort of policy that decided, and whether a statement denied it."},
	machineMemory:    {"gust_machine_memory_bytes", prometheus.GaugeValue, nil, "Memory of the machine."},
	machineAvailable: {"gust_machine_memory_available_bytes", prometheus.GaugeValue, nil, "Memory of the machine that could be used without swapping."},
	machineCPU:       {"gust_machine_cpu_seconds_total", prometheus.CounterValue, nil, "Time that the machine's processors were busy."},
	machineCPUs:      {"gust_machine_cpus", prometheus.GaugeValue, nil, "Processors that the node may use."},
	buildInfo:        {"gust_build_info", prometheus.GaugeValue, []string{"version", "goversion"}, "Always 1; the labels tell the build."},
}

// EnvState counts environments of a function that are in one state.
type EnvState struct {
	Function string `json:"function"`
	App      string `json:"app"`
	State    string `json:"state"` // "starting", "idle", "busy" or "frozen"
	Count    int    `json:"count"`
}

// NodeFigures are what only the node knows of itself. Those that are 0 are left
// out of the metrics.
type NodeFigures struct {
	ConcurrencyLimit         int
	MemoryBudget, MemoryUsed int64 // bytes, of all environments
	DiskFree, DiskReserve    int64 // bytes, of the data folder's file system
	Pools                    []PoolFigures
	// AuthenticationFailures counts requests to the API by what was wrong with
	// their credential.
	AuthenticationFailures map[string]uint64
	Denials                []DenialFigures
}

// DenialFigures count what was denied by one sort of policy.
type DenialFigures struct {
	Policy   string // "identity", "resource", "boundary", "session" or "factor"
	Explicit bool   // a statement denied it; otherwise none allowed it
	Count    uint64
}

// PoolFigures are of the interpreters of one kind that are booted ahead.
type PoolFigures struct {
	Root, Interpreter string
	Waiting           int
	Memory            int64 // bytes
	Boots, Failures   uint64
}

// metrics are the figures of all functions, and the registry that shows them.
type metrics struct {
	functions   sync.Map // of a function's name to *figures
	writeErrors atomic.Int64
	states      atomic.Pointer[func() []EnvState]
	node        atomic.Pointer[func() NodeFigures]
	version     string
	descs       [familyCount]*prometheus.Desc
	registry    *prometheus.Registry
}

func newMetrics(version string) *metrics {
	m := &metrics{version: version, registry: prometheus.NewRegistry()}
	for i, f := range families {
		m.descs[i] = prometheus.NewDesc(f.name, f.help, f.labels, nil)
	}
	m.registry.MustRegister(m,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// of returns the figures of a function, and makes them at its first use. A name
// that went over to another app starts anew.
func (m *metrics) of(f *gust.Function) *figures {
	for {
		v, ok := m.functions.Load(f.Name)
		if !ok {
			v, _ = m.functions.LoadOrStore(f.Name, newFigures(f))
		}
		old := v.(*figures)
		if old.app == f.App {
			return old
		}
		fresh := newFigures(f)
		if m.functions.CompareAndSwap(f.Name, old, fresh) {
			return fresh
		}
	}
}

func newFigures(f *gust.Function) *figures {
	return &figures{app: strings.ToValidUTF8(f.App, "_"), function: strings.ToValidUTF8(f.Name, "_")}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		EnableOpenMetrics:   true,
	})
}

// Describe is for the registry.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
}

// Collect is for the registry. It shows a function's counters from the first
// time that they count.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	e := emitter{m, ch}
	m.functions.Range(func(_, v any) bool {
		e.function(v.(*figures))
		return true
	})
	e.states()
	e.node()
	e.machine()
	e.value(logWriteErrors, float64(m.writeErrors.Load()))
	e.value(buildInfo, 1, m.version, runtime.Version())
}

// emitter sends metrics of one scrape.
type emitter struct {
	m  *metrics
	ch chan<- prometheus.Metric
}

func (e emitter) value(family int, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(e.m.descs[family], families[family].kind, v, labels...)
}

// count sends a counter that has counted.
func (e emitter) count(family int, n *atomic.Int64, labels ...string) {
	if v := n.Load(); v != 0 {
		e.value(family, float64(v), labels...)
	}
}

func (e emitter) histogram(family int, h *histogram, labels ...string) {
	if count, sum, buckets := h.snapshot(); count > 0 {
		e.ch <- prometheus.MustNewConstHistogram(e.m.descs[family], count, sum, buckets, labels...)
	}
}

func (e emitter) function(f *figures) {
	for i := range outcomes {
		e.count(invocations, &f.outcomes[i], f.app, f.function, string(outcomes[i]))
		e.count(startFailures, &f.startFailures[i], f.app, f.function, string(outcomes[i]))
	}
	f.errorTypes.Range(func(name, n any) bool {
		e.count(errorsByType, n.(*atomic.Int64), f.app, f.function, name.(string))
		return true
	})
	for i := range throttles {
		e.count(throttled, &f.throttles[i], f.app, f.function, string(throttles[i]))
	}
	for i := range causes {
		for j := range poolings {
			e.count(coldStarts, &f.causes[i][j], f.app, f.function, string(causes[i]), string(poolings[j]))
		}
	}
	e.count(prewarmed, &f.prewarmedUsed, f.app, f.function, "used")
	e.count(prewarmed, &f.prewarmedUnused, f.app, f.function, "unused")
	e.histogram(durations, &f.duration, f.app, f.function)
	e.histogram(queueWaits, &f.queue, f.app, f.function)
	e.histogram(initDurations, &f.init, f.app, f.function)
	e.value(running, float64(f.running.Load()), f.app, f.function)
	if ms := f.billed.Load(); ms != 0 {
		e.value(billedSeconds, float64(ms)/1e3, f.app, f.function)
		e.value(billedGBSeconds, float64(f.megabyteMillis.Load())/1e3/1024, f.app, f.function)
	}
	if n := f.bytesOut.Load(); n != 0 {
		e.value(networkSent, float64(n), f.app, f.function)
	}
	e.count(logLines, &f.logLines, f.app, f.function)
	e.count(logBytes, &f.logBytes, f.app, f.function)
	e.count(logDroppedLines, &f.droppedLines, f.app, f.function)
	e.count(logDroppedBytes, &f.droppedBytes, f.app, f.function)
}

func (e emitter) states() {
	pull := e.m.states.Load()
	if pull == nil {
		return
	}
	sums := map[EnvState]int{}
	for _, s := range (*pull)() {
		n := s.Count
		s.Count = 0
		sums[s] += n
	}
	for s, n := range sums {
		e.value(environments, float64(n), strings.ToValidUTF8(s.App, "_"), strings.ToValidUTF8(s.Function, "_"), strings.ToValidUTF8(s.State, "_"))
	}
}

func (e emitter) node() {
	pull := e.m.node.Load()
	if pull == nil {
		return
	}
	n := (*pull)()
	for _, v := range [...]struct {
		family int
		value  int64
	}{
		{concurrencyLimit, int64(n.ConcurrencyLimit)},
		{memoryBudget, n.MemoryBudget},
		{memoryUsed, n.MemoryUsed},
		{diskFree, n.DiskFree},
		{diskReserve, n.DiskReserve},
	} {
		if v.value != 0 {
			e.value(v.family, float64(v.value))
		}
	}
	for reason, count := range n.AuthenticationFailures {
		e.value(refusedRequests, float64(count), strings.ToValidUTF8(reason, "_"))
	}
	for _, d := range n.Denials {
		e.value(deniedRequests, float64(d.Count), strings.ToValidUTF8(d.Policy, "_"), strconv.FormatBool(d.Explicit))
	}
	// Kinds may differ in what has no label.
	type key struct{ root, interpreter string }
	sums := map[key]PoolFigures{}
	for _, p := range n.Pools {
		k := key{strings.ToValidUTF8(p.Root, "_"), strings.ToValidUTF8(p.Interpreter, "_")}
		s := sums[k]
		sums[k] = PoolFigures{Waiting: s.Waiting + p.Waiting, Memory: s.Memory + p.Memory, Boots: s.Boots + p.Boots, Failures: s.Failures + p.Failures}
	}
	for k, p := range sums {
		e.value(poolWaiting, float64(p.Waiting), k.root, k.interpreter)
		e.value(poolMemory, float64(p.Memory), k.root, k.interpreter)
		e.value(poolBoots, float64(p.Boots), k.root, k.interpreter)
		e.value(poolFailures, float64(p.Failures), k.root, k.interpreter)
	}
}

func (e emitter) machine() {
	e.value(machineCPUs, float64(runtime.GOMAXPROCS(0)))
	if total, available, ok := memoryOfMachine(); ok {
		e.value(machineMemory, float64(total))
		e.value(machineAvailable, float64(available))
	}
	if busy, ok := cpuOfMachine(); ok {
		e.value(machineCPU, busy.Seconds())
	}
}

func (f *figures) started(cause gust.ColdCause, pool Pooling, init time.Duration) {
	f.causes[index(causes[:], cause)][index(poolings[:], pool)].Add(1)
	f.init.observe(init)
}
