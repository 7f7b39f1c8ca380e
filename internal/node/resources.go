package node

import (
	"bufio"
	"log"
	"log/slog"
	"os"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/sandbox/process"
)

// memoryBudget is what all environments may use together, with those in which
// an interpreter waits: what the configuration says, or 80 % of what the node
// may have.
func memoryBudget(c Config) int64 {
	if c.Memory > 0 {
		return int64(c.Memory)
	}
	return machineMemory() / 10 * 8
}

// poolMemory is what interpreters that wait for a function may use: a tenth of
// the budget, which functions have that much less of, up to what waits for a
// few functions with a burst each. Where that is not enough for one, none waits.
func poolMemory(c Config) int64 {
	const least, most = 64 * gust.MB, gust.GB
	if tenth := memoryBudget(c) / 10; c.Sandbox == "process" && tenth >= least {
		return min(tenth, most)
	}
	return 0
}

// machineMemory is the least of the machine's memory and the limit of the
// container that the node is in: the root of the control groups that it sees. A
// limit further down, as MemoryMax= of a systemd unit is, is not looked at: --memory
// says so there. It is 4 GB where neither can be read.
func machineMemory() int64 {
	total := int64(4 * gust.GB)
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "MemTotal:"); ok {
				if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
					total = kb * gust.KB
				}
				break
			}
		}
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && limit > 0 {
			total = min(total, limit)
		}
	}
	return total
}

// figures are what the metrics say of the node.
func (n *Node) figures() observe.NodeFigures {
	free, reserve := n.store.Free()
	var pools []observe.PoolFigures
	if b, ok := n.backend.(*process.Backend); ok {
		for _, p := range b.Pools() {
			pools = append(pools, observe.PoolFigures(p))
		}
	}
	refused, denied := n.guard.Figures()
	failures := make(map[string]uint64, len(refused))
	for code, count := range refused {
		failures[string(code)] = count
	}
	var denials []observe.DenialFigures
	for d, count := range denied {
		denials = append(denials, observe.DenialFigures{Policy: string(d.Layer), Explicit: d.Explicit, Count: count})
	}
	return observe.NodeFigures{
		ConcurrencyLimit: n.config.Concurrency,
		MemoryBudget:     memoryBudget(n.config) - poolMemory(n.config), MemoryUsed: n.invoker.Totals().Memory,
		DiskFree: free, DiskReserve: reserve, Pools: pools,
		AuthenticationFailures: failures, Denials: denials,
	}
}

// serverLog turns what net/http has to say into debug messages: clients that
// break off are no news.
func serverLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
