package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/runtimes/client"
)

// boots: cold starts of interpreted functions, request to answer, from an
// interpreter that was booted ahead and from one that was not, beside a bare
// boot of the system's interpreter with the same client and the same handler to
// its first answer.
func boots(r *run) (rows []row, err error) {
	clients := filepath.Join(r.dir, "clients")
	if err := os.CopyFS(clients, client.Files); err != nil {
		return nil, err
	}
	if python, err := interpreterOf("python"); err == nil { // compiled once, as it is in a root
		if out, err := exec.Command(python, "-m", "compileall", "-q", clients).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling the client: %w\n%s", err, out)
		}
	}
	for _, l := range languages {
		got, err := r.boots(l, clients)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		rows = append(rows, got...)
	}
	return rows, nil
}

func (r *run) boots(l language, clients string) (rows []row, err error) {
	n := 60
	if r.short {
		n = 5
	}
	program, err := interpreterOf(l.name)
	if err != nil {
		return []row{{name: "cold start, " + l.name, baseline: err.Error(), aim: "0.30 or less on a pool hit"}}, nil
	}
	source := filepath.Join(r.dir, "app-boots-"+l.name, "f")
	if err := os.MkdirAll(source, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(source, l.file), []byte(l.source), 0o644); err != nil {
		return nil, err
	}
	var functions, routes []string
	for i := range n {
		for _, kind := range [][2]string{{"hit", ""}, {"miss", ", env: {" + l.plainly + "}"}} {
			functions = append(functions, fmt.Sprintf("%s-%d: {runtime: %s, source: ./f, handler: %s, memory: 256MB, timeout: 10s%s}", kind[0], i, l.name, l.handler, kind[1]))
			routes = append(routes, fmt.Sprintf("GET /%s/%d: %s-%d", kind[0], i, kind[0], i))
		}
	}
	err = r.with("boots-"+l.name, functions, routes, func(node *node) error {
		var bare, hit, miss sample
		for i := range n {
			for _, m := range []struct {
				into *sample
				run  func() (time.Duration, error)
			}{
				{&bare, func() (time.Duration, error) {
					return bareBoot(program, filepath.Join(clients, l.bootstrap), source, l.handler)
				}},
				{&miss, func() (time.Duration, error) { return once(node.http, fmt.Sprintf("/miss/%d", i)) }},
				{&hit, func() (time.Duration, error) { return once(node.http, fmt.Sprintf("/hit/%d", i)) }},
			} {
				// What was used is booted anew in the background meanwhile, which is
				// not the next one's time.
				time.Sleep(150 * time.Millisecond)
				d, err := m.run()
				if err != nil {
					return err
				}
				m.into.latency = append(m.into.latency, d)
			}
		}
		hits, err := node.pooled()
		if err != nil {
			return err
		}
		for _, s := range []*sample{&bare, &hit, &miss} {
			s.sum()
		}
		h, m := float64(hit.p50)/float64(bare.p50), float64(miss.p50)/float64(bare.p50)
		rows = append(rows,
			row{name: fmt.Sprintf("cold start, %s, booted ahead (pool hits: %d of %d), against a bare boot with the handler", l.name, hits, n),
				gust: millis(hit.p50), baseline: millis(bare.p50), aim: "0.30 or less", p50: millis(hit.p50), p99: millis(hit.p99)}.against(h, h <= 0.3 && hits > n/2),
			row{name: fmt.Sprintf("cold start, %s, not booted ahead, against the same", l.name),
				gust: millis(miss.p50), baseline: millis(bare.p50), aim: "1.40 or less", p50: millis(miss.p50), p99: millis(miss.p99)}.against(m, m <= 1.4))
		return nil
	})
	return rows, err
}

// interpreterOf is the system's newest, as a node takes it.
func interpreterOf(name string) (string, error) {
	if name == "node" {
		return exec.LookPath("node")
	}
	path, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	// What is found may be a script that looks for the interpreter.
	out, err := exec.Command(path, "-c", "import sys; print(sys.executable)").Output()
	return string(bytes.TrimSpace(out)), err
}

// bareBoot is the time from the start of a bare interpreter to the handler's
// first answer.
func bareBoot(program, bootstrap, source, handler string) (time.Duration, error) {
	argv := []string{bootstrap}
	if strings.HasSuffix(bootstrap, ".py") {
		argv = []string{"-S", bootstrap} // a root has no site-packages of the machine's
	}
	cmd := exec.Command(program, argv...)
	cmd.Dir = source
	// Nothing of this process's environment: a variable such as
	// NODE_EXTRA_CA_CERTS costs more than the boot.
	cmd.Env = append(cmd.Env, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", "_HANDLER="+handler, "LAMBDA_TASK_ROOT="+source, "AWS_LAMBDA_FUNCTION_NAME=bare",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=1", "AWS_LAMBDA_LOG_GROUP_NAME=g", "AWS_LAMBDA_LOG_STREAM_NAME=s")
	start := time.Now()
	r, err := respond(cmd)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	select {
	case <-r.first:
		return time.Since(start), nil
	case <-time.After(10 * time.Second):
		return 0, fmt.Errorf("%s %s did not answer in 10 s", program, bootstrap)
	}
}

// pooled counts the cold starts whose interpreter had been booted ahead.
func (n *node) pooled() (hits int, err error) {
	out, err := exec.Command(n.bin, "logs", "--json", "--data", n.data).Output()
	if err != nil {
		return 0, fmt.Errorf("gust logs: %w", err)
	}
	for line := range bytes.Lines(out) {
		var record struct {
			Kind   string
			Report struct{ Pooled bool }
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return 0, err
		}
		if record.Kind == "report" && record.Report.Pooled {
			hits++
		}
	}
	return hits, nil
}

// networks: what a network costs a cold start.
func networks(r *run) (rows []row, err error) {
	n := 60
	if r.short {
		n = 5
	}
	var functions, routes []string
	for i := range n {
		for _, network := range []string{"none", "internet"} {
			functions = append(functions, fmt.Sprintf("%s-%d: {runtime: provided, source: ./hello, memory: 256MB, timeout: 10s, network: %s}", network, i, network))
			routes = append(routes, fmt.Sprintf("GET /%s/%d: %s-%d", network, i, network, i))
		}
	}
	err = r.with("networks", functions, routes, func(node *node) error {
		var s [2]sample
		for i := range n {
			for k := range s {
				k = (k + i) % 2 // whoever is first, in turn
				time.Sleep(50 * time.Millisecond)
				d, err := once(node.http, fmt.Sprintf("/%s/%d", []string{"none", "internet"}[k], i))
				if err != nil {
					return err
				}
				s[k].latency = append(s[k].latency, d)
			}
		}
		s[0].sum()
		s[1].sum()
		rows = append(rows, row{name: "cold start, Go, network: internet, against network: none", gust: millis(s[1].p50), baseline: millis(s[0].p50),
			aim: "within 1 ms", p50: millis(s[1].p50), p99: millis(s[1].p99)}.
			against(float64(s[1].p50)/float64(s[0].p50), s[1].p50-s[0].p50 <= time.Millisecond))
		return nil
	})
	return rows, err
}
