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
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gust-dev/gust/internal/store"
)

// durable: synced transitions of 64 callers, beside the bare engine doing the
// same writes under the same options, on this disk and on one that takes 2 ms to
// sync.
func durable(r *run) (rows []row, err error) {
	for _, d := range []struct {
		name string
		fs   vfs.FS
		aim  float64
	}{
		{"this disk", vfs.Default, 100_000},
		{"2 ms a sync", slowDisk{vfs.Default, 2 * time.Millisecond}, 10_000},
	} {
		got, err := durableOn(r, d.fs, filepath.Join(r.dir, d.name))
		if err != nil {
			return nil, err
		}
		got.name = "durable transitions, 256 bytes, 64 callers, " + d.name + ", against the bare engine"
		got.aim = rate(d.aim)
		rows = append(rows, got.against(got.ours/got.theirs, got.ours >= d.aim).row)
	}
	return rows, nil
}

// compared is a row with the rates in it.
type compared struct {
	row
	ours, theirs float64
}

func (c compared) against(ratio float64, met bool) compared {
	c.row = c.row.against(ratio, met)
	return c
}

func durableOn(r *run, fs vfs.FS, dir string) (c compared, err error) {
	rounds, each := 5, time.Second
	if r.short {
		rounds, each = 1, 200*time.Millisecond
	}
	o := &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}}
	o.MemTableSize, o.MemTableStopWritesThreshold = 16<<20, 4 // as the store has it
	o.L0CompactionThreshold, o.L0StopWritesThreshold = 4, 24
	db, err := pebble.Open(filepath.Join(dir, "bare"), o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := store.Open(store.Options{Dir: filepath.Join(dir, "ours"), FS: fs, Durability: store.DurabilityAlways})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	value := make([]byte, 256)
	partitions := make([]store.Partition, 64)
	for i := range partitions {
		partitions[i] = store.Partition(fmt.Sprint("bench/", i))
	}
	bare := func(_ int, key []byte) error { return db.Set(key, value, pebble.Sync) }
	ours := func(i int, key []byte) error {
		return s.Update(context.Background(), partitions[i], func(tx *store.Tx) error { return tx.Set(key, value) })
	}
	var bareRates, rates []float64
	var all sample
	for range rounds {
		b, err := transitions(64, each, bare)
		if err != nil {
			return c, err
		}
		o, err := transitions(64, each, ours)
		if err != nil {
			return c, err
		}
		bareRates, rates = append(bareRates, b.rate), append(rates, o.rate)
		all.latency = append(all.latency, o.latency...)
	}
	all.sum()
	c.ours, c.theirs = median(rates), median(bareRates)
	c.row = row{gust: rate(c.ours), baseline: rate(c.theirs), p50: micros(all.p50), p99: micros(all.p99)}
	return c, nil
}

// silent keeps the engine's messages out of the table.
type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

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
	for i := range runs {
		// A start tidies up, so each gets the folder as the kill left it.
		dir := fmt.Sprint(data, "-", i)
		if out, err := exec.Command("cp", "-a", data, dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copy the data folder: %w\n%s", err, out)
		}
		n, err := startNode(r.bin, dir, r.flags...)
		if err != nil {
			return nil, err
		}
		full = append(full, n.ready)
		n.kill()
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
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
