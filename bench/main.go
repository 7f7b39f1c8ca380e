// Command bench measures the figures that Gust promises, each beside a baseline
// in the same run, and prints them as one table. With -out it also writes them
// to a file, with the date and the machine.
//
// It starts its own nodes on folders of its own and free ports, and sends
// nothing anywhere but to them.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// run is what the measurements share.
type run struct {
	bin   string // gust
	dir   string // scratch
	hello string // the function, built
	web   string // the plain server, built
	flags []string
	short bool
}

// row is one line of the table.
type row struct {
	name     string
	aim      string
	baseline string
	gust     string
	ratio    string
	p50, p99 string
	met      string // "yes", "no", or "" where there is no aim
}

// measurements are the rows, in the order of the table.
var measurements = []struct {
	name string
	f    func(*run) ([]row, error)
}{
	{"warm", warm}, {"cold", cold}, {"boots", boots}, {"networks", networks}, {"freeze", freeze}, {"burst", burst},
	{"interpreters", interpreters}, {"door", door}, {"durable", durable}, {"ready", ready}, {"memory", memory}, {"day", day}, {"saved", saved},
}

func main() {
	bin := flag.String("gust", "bin/gust", "the gust `binary`")
	out := flag.String("out", "", "write the table to this `file` too")
	only := flag.String("only", "", "measure only these, by `names` with commas: warm, cold, boots, networks, freeze, burst, interpreters, door, durable, ready, memory, day, saved")
	short := flag.Bool("short", false, "measure briefly: shows that it works, not how fast it is")
	sandbox := flag.String("sandbox", "process", "what functions run in")
	fill := flag.String("fill", "", "internal: fill the store in this `folder` and wait to be killed")
	program := flag.String("front", "", "internal: serve this `program` behind the least front")
	fronts := flag.Int("fronts", 1, "internal: that many `copies` of it")
	flag.Parse()
	if *program != "" {
		fmt.Fprintln(os.Stderr, "bench:", runFront(*program, *fronts))
		os.Exit(1)
	}
	if *fill != "" {
		fmt.Fprintln(os.Stderr, "bench:", fillStore(*fill))
		os.Exit(1)
	}
	if err := bench(*bin, *out, *only, *sandbox, *short); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(bin, out, only, sandbox string, short bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gust-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &run{bin: bin, dir: dir, short: short, flags: []string{"--sandbox", sandbox},
		hello: filepath.Join(dir, "hello", "bootstrap"), web: filepath.Join(dir, "web", "bootstrap")}
	for program, pkg := range map[string]string{r.hello: "./bench/hello", r.web: "./bench/web"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", program, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	}
	start := time.Now()
	var rows []row
	for _, m := range measurements {
		if only != "" && !strings.Contains(","+only+",", ","+m.name+",") {
			continue
		}
		began := time.Now()
		got, err := m.f(r)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: measured in %.0f s\n", m.name, time.Since(began).Seconds())
		rows = append(rows, got...)
	}
	printTable(rows)
	fmt.Printf("\nmeasured in %.0f s\n", time.Since(start).Seconds())
	if out == "" {
		return nil
	}
	return os.WriteFile(out, markdown(rows), 0o644)
}

func printTable(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tGUST\tP50\tP99\tBASELINE\tRATIO\tAIM\tMET")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.name, r.gust, r.p50, r.p99, r.baseline, r.ratio, r.aim, r.met)
	}
	_ = w.Flush()
}

// notesMark separates what is measured from what a person wrote about it, which
// stays when the file is written anew.
const notesMark = "\n## What the figures say\n"

func markdown(rows []row) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Figures\n\nMeasured on %s by `make bench`, each beside its baseline in the same run, alternating. %s.\n\n",
		time.Now().UTC().Format("2006-01-02"), machine())
	fmt.Fprintln(&b, "| figure | gust | p50 | p99 | baseline | ratio | aim | met |\n|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.gust, r.p50, r.p99, r.baseline, r.ratio, r.aim, r.met)
	}
	if old, err := os.ReadFile("bench/RESULTS.md"); err == nil {
		if _, notes, ok := bytes.Cut(old, []byte(notesMark)); ok {
			b.WriteString(notesMark)
			b.Write(notes)
		}
	}
	return b.Bytes()
}

// machine names what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "unknown"
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(data))
	}
	return fmt.Sprintf("Machine: %d cores of %s, Linux %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

// aim fills a row's ratio and whether it is met.
func (r row) against(ratio float64, met bool) row {
	r.ratio = fmt.Sprintf("%.2f", ratio)
	r.met = yes(met)
	return r
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func micros(d time.Duration) string { return fmt.Sprintf("%d us", d.Microseconds()) }
func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
func rate(f float64) string         { return fmt.Sprintf("%.1fk/s", f/1000) }

func median[T int64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]T(nil), values...)
	for i := range sorted { // a handful of values
		for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}
