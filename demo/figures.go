package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// logs shows the last of what the crash left behind.
func (s *show) logs(ctx context.Context) error {
	fmt.Println("$ gust logs hello | tail -n 16")
	out, err := s.node.quiet(ctx, "logs", "hello")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines[max(0, len(lines)-16):] {
		if r := []rune(line); len(r) > 160 {
			line = string(r[:157]) + "..."
		}
		fmt.Println(line)
	}
	if !strings.Contains(out, "REPORT") {
		return fmt.Errorf("no report is in the logs")
	}
	return nil
}

// figures puts what the node's reports and metrics say, and what was measured
// here, into tables.
func (s *show) figures(ctx context.Context) error {
	type sample struct{ cold, warm []time.Duration }
	samples := map[string]*sample{}
	outcomes := map[string]int{}
	for r, err := range s.node.client.Logs(ctx, api.LogQuery{}) {
		if err != nil {
			return err
		}
		if r.Kind != observe.KindReport {
			continue
		}
		outcomes[string(r.Report.Outcome)]++
		f := samples[r.Function]
		if f == nil {
			f = new(sample)
			samples[r.Function] = f
		}
		switch {
		case r.Report.Outcome != "ok":
		case r.Report.Cold != "":
			f.cold = append(f.cold, r.Report.Init)
		default:
			f.warm = append(f.warm, r.Report.Duration)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\tcount\tp50\tp99")
	row := func(name string, d []time.Duration) {
		if len(d) > 0 {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", name, len(d), ms(percentile(d, 50)), ms(percentile(d, 99)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		row(name+": environment from nothing to ready (the node's reports)", samples[name].cold)
		row(name+": first request, cold, from outside", []time.Duration{s.took["cold "+name]})
		row(name+": request, warm, from outside, one at a time", s.warm[name])
	}
	if err := w.Flush(); err != nil {
		return err
	}

	fmt.Println("\nEnvironments started, by cause (gust_cold_starts_total):")
	metrics, err := s.node.client.Metrics(ctx)
	if err != nil {
		return err
	}
	defer metrics.Close()
	causes, err := counter(metrics, "gust_cold_starts_total", "cause")
	if err != nil {
		return err
	}
	total := 0.0
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		fmt.Printf("  %-12s %4.0f\n", cause, causes[cause])
		total += causes[cause]
	}
	fmt.Printf("  %-12s %4.0f\n", "all", total)
	fmt.Println("\nInvocations, by outcome (the node's reports):")
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		fmt.Printf("  %-12s %4d\n", outcome, outcomes[outcome])
	}
	if total == 0 {
		return fmt.Errorf("the node counts no cold start")
	}
	return nil
}

// counter sums a metric of the Prometheus text form by one of its labels.
func counter(r io.Reader, metric, label string) (map[string]float64, error) {
	sums := make(map[string]float64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), metric+"{")
		if !ok {
			continue
		}
		labels, number, ok := strings.Cut(rest, "} ")
		if !ok {
			continue
		}
		_, value, ok := strings.Cut(labels, label+`="`)
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, `"`)
		var n float64
		if _, err := fmt.Sscan(number, &n); err != nil {
			return nil, fmt.Errorf("reading %s: %w", metric, err)
		}
		sums[value] += n
	}
	return sums, lines.Err()
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
