package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// language is one that Gust has a runtime client for.
type language struct {
	name, handler string
	file, source  string // the function
	bootstrap     string // of Gust's client
	// plainly is a variable that an interpreter reads as it starts, so that
	// the function gets none that was booted ahead: what a miss of the pool is.
	plainly string
	vendor  vendor
}

// vendor is the vendor's runtime client, as conformance/install.sh installs it,
// and how it is started.
type vendor struct{ installed, needs, start string }

var languages = []language{
	{
		name: "node", handler: "index.handler", bootstrap: "bootstrap.cjs", plainly: "NODE_OPTIONS: --no-deprecation",
		file: "index.js", source: "exports.handler = async () => ({ statusCode: 200, body: 'hello' });\n",
		vendor: vendor{".cache/conformance/node", "node_modules/aws-lambda-ric/dist/rapid-client.node",
			"exec node node_modules/aws-lambda-ric/bin/index.mjs index.handler"},
	},
	{
		name: "python", handler: "app.handler", bootstrap: "bootstrap.py", plainly: "PYTHONNODEBUGRANGES: '1'",
		file: "app.py", source: "def handler(event, context):\n    return {\"statusCode\": 200, \"body\": \"hello\"}\n",
		vendor: vendor{".cache/conformance/python", "awslambdaric", "exec python3 -m awslambdaric app.handler"},
	},
}

// interpreters: a warm Node and Python function under Gust's own runtime clients
// beside the same under the vendor's, on the same node, with the same
// interpreter.
func interpreters(r *run) (rows []row, err error) {
	for _, l := range languages {
		got, err := r.interpreter(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		rows = append(rows, got...)
	}
	return rows, nil
}

func (r *run) interpreter(l language) (rows []row, err error) {
	name := "warm, " + l.name + ", %s, against the vendor's client"
	if _, err := os.Stat(filepath.Join(l.vendor.installed, l.vendor.needs)); err != nil {
		return []row{{name: fmt.Sprintf(name, "8 callers"), baseline: "not installed: conformance/install.sh", aim: "0.80 or more"}}, nil
	}
	rounds, each := 7, 1500*time.Millisecond
	if r.short {
		rounds, each = 1, 200*time.Millisecond
	}
	ours, theirs := filepath.Join(r.dir, "app-"+l.name, "ours"), filepath.Join(r.dir, "app-"+l.name, "theirs")
	for _, dir := range []string{ours, theirs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, l.file), []byte(l.source), 0o644); err != nil {
			return nil, err
		}
	}
	if err := copyClient(theirs, l.vendor.installed); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(theirs, "bootstrap"), []byte("#!/bin/sh\n"+l.vendor.start+"\n"), 0o755); err != nil {
		return nil, err
	}
	functions := []string{
		fmt.Sprintf("ours: {runtime: %s, source: ./ours, handler: %s, memory: 256MB, timeout: 10s}", l.name, l.handler),
		fmt.Sprintf("theirs: {runtime: provided, interpreter: %s, source: ./theirs, memory: 256MB, timeout: 10s}", l.name),
	}
	err = r.with(l.name, functions, []string{"GET /ours: ours", "GET /theirs: theirs"}, func(n *node) error {
		paths := []string{"/ours", "/theirs"}
		for _, path := range paths { // warm up
			if _, err := load(n.http, path, 8, each); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		rates := map[string][]float64{}
		var eight, one [2]sample
		for range rounds {
			for i, path := range paths {
				for callers, into := range map[int]*sample{8: &eight[i], 1: &one[i]} {
					s, err := load(n.http, path, callers, each)
					if err != nil {
						return fmt.Errorf("%s: %w", path, err)
					}
					if callers == 8 {
						rates[path] = append(rates[path], s.rate)
					}
					into.latency = append(into.latency, s.latency...)
				}
			}
		}
		for i := range paths {
			eight[i].sum()
			one[i].sum()
		}
		g, v := median(rates["/ours"]), median(rates["/theirs"])
		rows = append(rows,
			row{name: fmt.Sprintf(name, "8 callers"), gust: rate(g), baseline: rate(v), aim: "0.80 or more",
				p50: micros(eight[0].p50), p99: micros(eight[0].p99)}.against(g/v, g/v >= 0.8),
			row{name: fmt.Sprintf(name, "1 caller"), gust: micros(one[0].p50), baseline: micros(one[1].p50),
				p50: micros(one[0].p50), p99: micros(one[0].p99), ratio: fmt.Sprintf("%.2f", float64(one[0].p50)/float64(one[1].p50))})
		return nil
	})
	return rows, err
}

// copyClient copies what an installed client needs at run time.
func copyClient(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == "deps" || name == "build" || name == ".bin" || name == "__pycache__"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular() || strings.HasPrefix(name, "package") && filepath.Dir(rel) == ".":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}
