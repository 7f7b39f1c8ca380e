package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gust-dev/gust/internal/store"
)

// durable: synced transitions of 64 callers, beside the bare engine doing the
// same writes.
func durable(r *run) (rows []row, err error) {
	rounds, each := 5, time.Second
	if r.short {
		rounds, each = 1, 200*time.Millisecond
	}
	db, err := pebble.Open(filepath.Join(r.dir, "bare"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	dir := filepath.Join(r.dir, "durable")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := store.Open(store.Options{Dir: dir, Durability: "always"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	value := make([]byte, 256)
	bare := func(i int, key []byte) error { return db.Set(key, value, pebble.Sync) }
	ours := func(i int, key []byte) error {
		return s.Update(context.Background(), store.Partition(fmt.Sprint("bench/", i)), func(tx *store.Tx) error { return tx.Set(key, value) })
	}
	rates := map[string][]float64{}
	lat := map[string]*sample{"ours": {}, "bare": {}}
	for range rounds {
		for name, f := range map[string]func(int, []byte) error{"bare": bare, "ours": ours} {
			got, err := transitions(64, each, f)
			if err != nil {
				return nil, err
			}
			rates[name] = append(rates[name], got.rate)
			lat[name].latency = append(lat[name].latency, got.latency...)
		}
	}
	lat["ours"].sum()
	b, o := median(rates["bare"]), median(rates["ours"])
	return []row{row{name: "durable transitions, 256 bytes, 64 callers, against the bare engine", gust: rate(o), baseline: rate(b), aim: "100k/s",
		p50: micros(lat["ours"].p50), p99: micros(lat["ours"].p99)}.against(o/b, o >= 100_000)}, nil
}

// sequence makes keys that never repeat.
var sequence atomic.Uint64

func transitions(callers int, d time.Duration, f func(int, []byte) error) (all sample, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i := range callers {
		wg.Go(func() {
			var latency []time.Duration
			var failed error
			for failed == nil && time.Since(start) < d {
				key := binary.BigEndian.AppendUint64(nil, sequence.Add(1))
				t := time.Now()
				failed = f(i, key)
				latency = append(latency, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			all.latency = append(all.latency, latency...)
			err = errors.Join(err, failed)
		})
	}
	wg.Wait()
	all.rate = float64(len(all.latency)) / time.Since(start).Seconds()
	return all, err
}

// messages is how many records a node finds after kill -9.
const messages = 1_000_000

// fillStore writes the records and waits to be killed; it returns only what
// went wrong.
func fillStore(dir string) error {
	s, err := store.Open(store.Options{Dir: dir, Durability: "always"})
	if err != nil {
		return err
	}
	value := make([]byte, 256)
	for i := 0; i < messages; {
		err := s.Update(context.Background(), "messages/bench", func(tx *store.Tx) error {
			for range 1000 {
				if err := tx.Set(binary.BigEndian.AppendUint64(nil, uint64(i)), value); err != nil {
					return err
				}
				i++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	fmt.Println("filled")
	select {}
}

// ready: how soon a node answers after its start, on an empty folder and on one
// with a million records after kill -9.
func ready(r *run) (rows []row, err error) {
	runs := 9
	if r.short {
		runs = 2
	}
	var empty, full []time.Duration
	for i := range runs {
		n, err := startNode(r.bin, filepath.Join(r.dir, fmt.Sprint("ready-", i)), r.flags...)
		if err != nil {
			return nil, err
		}
		empty = append(empty, n.ready)
		n.kill()
	}
	data := filepath.Join(r.dir, "filled")
	n, err := startNode(r.bin, data, r.flags...) // makes the folder what a node expects
	if err != nil {
		return nil, err
	}
	if err := n.stop(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	fill := exec.Command(self, "-fill", data)
	out, err := fill.StdoutPipe()
	if err != nil {
		return nil, err
	}
	fill.Stderr = os.Stderr
	if err := fill.Start(); err != nil {
		return nil, err
	}
	_, err = out.Read(make([]byte, 16))
	_ = fill.Process.Kill()
	_ = fill.Wait()
	if err != nil {
		return nil, fmt.Errorf("fill the store: %w", err)
	}
	for range runs {
		n, err := startNode(r.bin, data, r.flags...)
		if err != nil {
			return nil, err
		}
		full = append(full, n.ready)
		n.kill()
	}
	e, f := median(empty), median(full)
	return []row{
		{name: "ready after start, empty", gust: millis(e), aim: "200 ms", met: yes(e <= 200*time.Millisecond)},
		row{name: "ready after kill -9 with 1,000,000 messages, against empty", gust: millis(f), baseline: millis(e), aim: "1 s"}.
			against(float64(f)/float64(e), f <= time.Second),
	}, nil
}

// memory: what a node takes that does nothing.
func memory(r *run) (rows []row, err error) {
	declared := 10_000
	if r.short {
		declared = 100
	}
	mb := func(b int64) string { return fmt.Sprintf("%.0f MB", float64(b)/(1<<20)) }
	n, err := startNode(r.bin, filepath.Join(r.dir, "data-memory"), r.flags...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	time.Sleep(3 * time.Second)
	idle, err := n.rss()
	if err != nil {
		return nil, err
	}
	var functions, routes []string
	for i := range declared {
		functions = append(functions, fmt.Sprintf("idle-%d: {runtime: provided, source: ./hello, env: {NUMBER: \"%d\"}}", i, i))
		routes = append(routes, fmt.Sprintf("GET /idle/%d: idle-%d", i, i))
	}
	dir, err := r.app("memory", functions, routes)
	if err != nil {
		return nil, err
	}
	if err := n.deploy(dir); err != nil {
		return nil, err
	}
	if _, err := once(n.http, "/idle/7"); err != nil {
		return nil, err
	}
	time.Sleep(3 * time.Second)
	many, err := n.rss()
	if err != nil {
		return nil, err
	}
	return []row{
		{name: "memory, idle", gust: mb(idle), aim: "50 MB", met: yes(idle <= 50<<20)},
		row{name: fmt.Sprintf("memory with %d functions declared, against idle", declared), gust: mb(many), baseline: mb(idle), aim: "200 MB"}.
			against(float64(many)/float64(idle), many <= 200<<20),
	}, nil
}
