package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// app writes a folder that deploys functions, each a line "name: options", all
// of the same built program.
func (r *run) app(name string, functions []string, routes []string) (string, error) {
	dir := filepath.Join(r.dir, "app-"+name)
	for _, program := range []string{r.hello, r.web} {
		to := filepath.Join(dir, filepath.Base(filepath.Dir(program)))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return "", err
		}
		data, err := os.ReadFile(program)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(to, "bootstrap"), data, 0o755); err != nil {
			return "", err
		}
	}
	manifest := fmt.Sprintf("app: %s\nfunctions:\n  %s\nroutes:\n  %s\n", name, strings.Join(functions, "\n  "), strings.Join(routes, "\n  "))
	return dir, os.WriteFile(filepath.Join(dir, "gust.yaml"), []byte(manifest), 0o644)
}

// with runs f on a fresh node that has the app.
func (r *run) with(name string, functions, routes []string, f func(*node) error) (err error) {
	dir, err := r.app(name, functions, routes)
	if err != nil {
		return err
	}
	n, err := startNode(r.bin, filepath.Join(r.dir, "data-"+name), r.flags...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if err := n.deploy(dir); err != nil {
		return err
	}
	if err := f(n); err != nil {
		return fmt.Errorf("%w\nthe node said:\n%s", err, n.logs.String())
	}
	return nil
}

// plain starts the plain HTTP server as a process of its own.
func (r *run) plain() (addr string, stop func(), err error) {
	file := filepath.Join(r.dir, "plain-address")
	_ = os.Remove(file)
	cmd := exec.Command(r.web, file)
	cmd.Env = append(os.Environ(), "PORT=0")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 5000 {
		if data, err := os.ReadFile(file); err == nil && len(data) > 0 {
			return string(data), stop, nil
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	return "", nil, errors.New("the plain server did not start")
}

// warm: a Go function on the Runtime API and one that serves HTTP, through the
// gateway, beside a plain HTTP server and a bare Runtime API responder.
func warm(r *run) (rows []row, err error) {
	rounds, each := 7, 1500*time.Millisecond
	if r.short {
		rounds, each = 1, 200*time.Millisecond
	}
	functions := []string{
		"warm: {runtime: provided, source: ./hello, memory: 256MB, timeout: 10s}",
		"web: {runtime: http, source: ./web, memory: 256MB, timeout: 10s}",
	}
	err = r.with("warm", functions, []string{"GET /warm: warm", "GET /web: web"}, func(n *node) error {
		plainAddr, stop, err := r.plain()
		if err != nil {
			return err
		}
		defer stop()
		frontAddr, stopFront, err := startFront(r.hello, 8)
		if err != nil {
			return err
		}
		defer stopFront()
		var plain, bare, gust, web, front []float64
		var one, eight, plainOne, webOne, webEight, frontOne sample
		for _, w := range [][2]string{{n.http, "/warm"}, {n.http, "/web"}, {frontAddr, "/"}} { // warm up
			if _, err := load(w[0], w[1], 8, each/2); err != nil {
				return err
			}
		}
		merge := func(into *sample, s sample) { into.latency = append(into.latency, s.latency...) }
		for range rounds {
			for _, m := range []struct {
				addr, path string
				callers    int
				rates      *[]float64
				into       *sample
			}{
				{plainAddr, "/", 8, &plain, nil},
				{n.http, "/warm", 8, &gust, &eight},
				{frontAddr, "/", 8, &front, nil},
				{n.http, "/web", 8, &web, &webEight},
				{plainAddr, "/", 1, nil, &plainOne},
				{n.http, "/warm", 1, nil, &one},
				{frontAddr, "/", 1, nil, &frontOne},
				{n.http, "/web", 1, nil, &webOne},
			} {
				s, err := load(m.addr, m.path, m.callers, each)
				if err != nil {
					return fmt.Errorf("%s: %w", m.path, err)
				}
				if m.rates != nil {
					*m.rates = append(*m.rates, s.rate)
				}
				if m.into != nil {
					merge(m.into, s)
				}
			}
			b, err := bareRate(r.hello, 8, each)
			if err != nil {
				return err
			}
			bare = append(bare, b)
		}
		for _, s := range []*sample{&one, &eight, &plainOne, &webOne, &webEight, &frontOne} {
			s.sum()
		}
		g, p, b, w, f := median(gust), median(plain), median(bare), median(web), median(front)
		rows = append(rows,
			row{name: "warm, Runtime API, 8 callers, against plain net/http", gust: rate(g), baseline: rate(p), aim: "0.12 or more",
				p50: micros(eight.p50), p99: micros(eight.p99)}.against(g/p, g/p >= 0.12),
			row{name: "the same against a bare Runtime API responder behind net/http", gust: rate(g), baseline: rate(f), aim: "0.80 or more"}.against(g/f, g/f >= 0.8),
			row{name: "the same against a bare responder that nobody calls: events wait in memory", gust: rate(g), baseline: rate(b), ratio: fmt.Sprintf("%.2f", g/b)},
			row{name: "the same, spread: p99 over p50", gust: micros(eight.p99), baseline: micros(eight.p50), aim: "under 5"}.
				against(float64(eight.p99)/float64(eight.p50), eight.p99 < 5*eight.p50),
			row{name: "warm, Runtime API, 1 caller, against a bare responder behind net/http", gust: micros(one.p50), baseline: micros(frontOne.p50), aim: "110 us or less",
				p50: micros(one.p50), p99: micros(one.p99)}.against(float64(one.p50)/float64(frontOne.p50), one.p50 <= 110*time.Microsecond),
			row{name: "warm, http runtime, 8 callers, against plain net/http", gust: rate(w), baseline: rate(p), aim: "0.25 or more",
				p50: micros(webEight.p50), p99: micros(webEight.p99)}.against(w/p, w/p >= 0.25),
			row{name: "warm, http runtime, 1 caller, against plain net/http", gust: micros(webOne.p50), baseline: micros(plainOne.p50),
				p50: micros(webOne.p50), p99: micros(webOne.p99), ratio: fmt.Sprintf("%.2f", float64(webOne.p50)/float64(plainOne.p50))},
		)
		return nil
	})
	return rows, err
}

// cold: from zero, request to answer, beside a bare start of the same program.
func cold(r *run) (rows []row, err error) {
	n := 60
	if r.short {
		n = 5
	}
	var functions, routes []string
	for i := range n {
		functions = append(functions, fmt.Sprintf("cold-%d: {runtime: provided, source: ./hello, memory: 256MB, timeout: 10s}", i))
		routes = append(routes, fmt.Sprintf("GET /cold/%d: cold-%d", i, i))
	}
	err = r.with("cold", functions, routes, func(node *node) error {
		var bare, gust sample
		for i := range n {
			b, err := bareCold(r.hello)
			if err != nil {
				return err
			}
			g, err := once(node.http, fmt.Sprintf("/cold/%d", i))
			if err != nil {
				return err
			}
			bare.latency, gust.latency = append(bare.latency, b), append(gust.latency, g)
			// What a start leaves to do in the background is not the next one's
			// time: cold starts one after the other without a pause are a burst.
			time.Sleep(50 * time.Millisecond)
		}
		bare.sum()
		gust.sum()
		ratio := float64(gust.p50) / float64(bare.p50)
		rows = append(rows, row{name: "cold start, Go, from zero, against a bare exec", gust: millis(gust.p50), baseline: millis(bare.p50),
			aim: "3 or less, p50 below 10 ms", p50: millis(gust.p50), p99: millis(gust.p99)}.against(ratio, ratio <= 3 && gust.p50 < 10*time.Millisecond))
		return nil
	})
	return rows, err
}

// freeze: what thawing an idle environment costs its next invocation.
func freeze(r *run) (rows []row, err error) {
	n := 40
	if r.short {
		n = 5
	}
	var functions, routes []string
	for i := range n {
		functions = append(functions, fmt.Sprintf("idle-%d: {runtime: provided, source: ./hello, timeout: 10s}", i))
		routes = append(routes, fmt.Sprintf("GET /idle/%d: idle-%d", i, i))
	}
	err = r.with("freeze", functions, routes, func(node *node) error {
		var frozen, warm sample
		for i := range n {
			if _, err := once(node.http, fmt.Sprintf("/idle/%d", i)); err != nil {
				return err
			}
		}
		time.Sleep(2500 * time.Millisecond) // the grace is 1 s
		for i := range n {
			path := fmt.Sprintf("/idle/%d", i)
			f, err := once(node.http, path)
			if err != nil {
				return err
			}
			w, err := once(node.http, path)
			if err != nil {
				return err
			}
			frozen.latency, warm.latency = append(frozen.latency, f), append(warm.latency, w)
		}
		frozen.sum()
		warm.sum()
		rows = append(rows, row{name: "first call to a frozen environment, against the next", gust: micros(frozen.p50), baseline: micros(warm.p50),
			p50: micros(frozen.p50), p99: micros(frozen.p99), ratio: fmt.Sprintf("%.2f", float64(frozen.p50)/float64(warm.p50))})
		return nil
	})
	return rows, err
}

// burst: everything at once from zero, each sleeping a second.
func burst(r *run) (rows []row, err error) {
	n := 1000
	if r.short {
		n = 50
	}
	functions := []string{"burst: {runtime: provided, source: ./hello, memory: 256MB, timeout: 30s}"}
	err = r.with("burst", functions, []string{"GET /burst: burst"}, func(node *node) error {
		latency := make([]time.Duration, n)
		errs := make([]error, n)
		var wg sync.WaitGroup
		start := time.Now()
		for i := range n {
			wg.Go(func() { latency[i], errs[i] = once(node.http, "/burst?sleep=1000") })
		}
		wg.Wait()
		took := time.Since(start)
		if err := errors.Join(errs...); err != nil {
			return err
		}
		s := sample{latency: latency}
		s.sum()
		rows = append(rows, row{name: fmt.Sprintf("burst from 0 to %d at once, each sleeping 1 s, against that second", n),
			gust: millis(took), baseline: "1000 ms", aim: "all done in 5 s", p50: millis(s.p50), p99: millis(s.p99)}.against(took.Seconds(), took <= 5*time.Second))
		return nil
	})
	return rows, err
}
