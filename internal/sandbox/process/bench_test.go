//go:build linux && (amd64 || arm64)

package process

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// percentiles reports p50 and p99 of durations.
func percentiles(b *testing.B, ds []time.Duration) {
	if len(ds) == 0 {
		return
	}
	b.ReportMetric(float64(percentile(ds, 50).Microseconds()), "p50-us")
	b.ReportMetric(float64(percentile(ds, 99).Microseconds()), "p99-us")
}

func percentile(ds []time.Duration, p int) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)*p/100]
}

// BenchmarkBareExec is the floor: the program alone, from exec to its end.
func BenchmarkBareExec(b *testing.B) {
	program := filepath.Join(hello(b), "bootstrap")
	var ds []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := exec.Command(program).Run(); err != nil {
			b.Fatal(err)
		}
		ds = append(ds, time.Since(begin))
	}
	percentiles(b, ds)
}

// networks are those that a cold start is measured with, one beside the other.
var networks = []gust.Network{
	{Mode: gust.NetworkNone}, {Mode: gust.NetworkInternet}, {Mode: gust.NetworkList, Allow: []string{"api.stripe.com:443", "10.0.0.5:5432"}},
}

// BenchmarkColdStart is from Start to the first answer, with a spare and
// without, of each network in turn. Stopping, and waiting for the next spare, is
// not measured.
func BenchmarkColdStart(b *testing.B) {
	for _, spares := range []int{DefaultSpares, 0} {
		b.Run(fmt.Sprintf("spares=%d", spares), func(b *testing.B) {
			backend := newBackend(b, options(b, spares))
			ds := map[gust.NetworkMode][]time.Duration{}
			for b.Loop() {
				for _, n := range networks {
					spec := helloSpec(hello(b))
					spec.Network, spec.API = n, waits
					settleFor(b, backend, spec)
					begin := time.Now()
					e := start(b, backend, spec)
					invoke(b, e)
					ds[n.Mode] = append(ds[n.Mode], time.Since(begin))
					e.Stop(0)
				}
			}
			for mode, ds := range ds {
				slices.Sort(ds)
				b.ReportMetric(float64(ds[len(ds)/2].Microseconds()), "p50-us/"+string(mode))
				b.ReportMetric(float64(ds[len(ds)*99/100].Microseconds()), "p99-us/"+string(mode))
			}
			b.ReportMetric(0, "ns/op") // all three, and their ends
		})
	}
}

// waits is the least that there has to be for a Spec.API: somebody who waits for
// connections.
func waits(ln net.Listener, _ [sha256.Size]byte) io.Closer {
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			c.Close()
		}
	}()
	return ln
}

// BenchmarkPoolHit is Start when an interpreter waits, to its having been told
// what it is for, and to the first answer. The interpreter is testdata/hello.
func BenchmarkPoolHit(b *testing.B) {
	o := options(b, DefaultSpares)
	o.PoolMemory = 512 * gust.MB
	backend := newBackend(b, o)
	spec := late(b, interpreter(b, backend))
	backend.Prepare([]sandbox.Spec{spec})
	var ds, starts []time.Duration
	for b.Loop() {
		b.StopTimer()
		eventually(b, "one waits", func() bool { return waiting(backend) > 0 })
		settle(b, backend)
		b.StartTimer()
		begin := time.Now()
		e := start(b, backend, anew(spec))
		starts = append(starts, time.Since(begin))
		invoke(b, e)
		ds = append(ds, time.Since(begin))
		b.StopTimer()
		if !e.Pooled() {
			b.Fatal("it is not out of the pool")
		}
		e.Stop(0)
		b.StartTimer()
	}
	percentiles(b, ds)
	slices.Sort(starts)
	b.ReportMetric(float64(starts[len(starts)/2].Microseconds()), "p50-us/start")
}

// settleFor waits until a spare of the kind is there, if there are any.
func settleFor(b *testing.B, backend *Backend, spec sandbox.Spec) {
	<-backend.base.ready
	if backend.spares.want == 0 {
		return
	}
	spec.Root = backend.base.path
	backend.spares.expect(kindOf(spec))
	eventually(b, "a spare is made", func() bool {
		backend.spares.mu.Lock()
		defer backend.spares.mu.Unlock()
		return slices.ContainsFunc(backend.spares.cells, func(c *cell) bool { return c.kind == kindOf(spec) })
	})
}

// settle waits until the root and all spares are there.
func settle(b *testing.B, backend *Backend) {
	<-backend.base.ready
	eventually(b, "spares are made", func() bool {
		backend.spares.mu.Lock()
		defer backend.spares.mu.Unlock()
		return len(backend.spares.cells) >= backend.spares.want
	})
}

// BenchmarkParts is what an environment is made of before it has a function.
func BenchmarkParts(b *testing.B) {
	backend := newBackend(b, options(b, 0))
	settle(b, backend)
	b.Run("cell", func(b *testing.B) {
		var ds []time.Duration
		for b.Loop() {
			begin := time.Now()
			c, err := backend.newCell(kind{root: backend.base.path}, gust.DefaultMemory, gust.MaxProcesses)
			if err != nil {
				b.Fatal(err)
			}
			ds = append(ds, time.Since(begin))
			b.StopTimer()
			c.release()
			b.StartTimer()
		}
		percentiles(b, ds)
	})
	b.Run("tmp", func(b *testing.B) {
		var ds []time.Duration
		for b.Loop() {
			begin := time.Now()
			v, err := backend.scratch.newVolume(b.Context(), gust.DefaultEphemeral)
			if err != nil {
				b.Fatal(err)
			}
			ds = append(ds, time.Since(begin))
			b.StopTimer()
			v.close()
			b.StartTimer()
		}
		percentiles(b, ds)
	})
}

// BenchmarkBurst starts 200 environments at once, each to its first answer,
// without a network and with one.
func BenchmarkBurst(b *testing.B) {
	const n = 200
	for _, network := range networks[:2] {
		b.Run("network="+network.String(), func(b *testing.B) {
			backend := newBackend(b, options(b, DefaultSpares))
			settle(b, backend)
			spec := helloSpec(hello(b))
			spec.Network, spec.API = network, waits
			for b.Loop() {
				var wg sync.WaitGroup
				envs := make([]sandbox.Environment, n)
				for i := range envs {
					wg.Go(func() {
						envs[i] = start(b, backend, spec)
						invoke(b, envs[i])
					})
				}
				wg.Wait()
				b.StopTimer()
				begin := time.Now()
				for _, e := range envs {
					wg.Go(func() { e.Stop(0) })
				}
				wg.Wait()
				b.ReportMetric(float64(time.Since(begin).Microseconds())/n, "us/stop")
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/env")
		})
	}
}

// BenchmarkWarm is one invocation of an environment that is ready.
func BenchmarkWarm(b *testing.B) {
	e := start(b, newBackend(b, options(b, 0)), helloSpec(hello(b)))
	invoke(b, e)
	for b.Loop() {
		invoke(b, e)
	}
}

// BenchmarkFreezeThaw is one of each.
func BenchmarkFreezeThaw(b *testing.B) {
	e := start(b, newBackend(b, options(b, 0)), helloSpec(hello(b)))
	invoke(b, e)
	for b.Loop() {
		if err := e.Freeze(); err != nil {
			b.Fatal(err)
		}
		if err := e.Thaw(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUsage is one look at what an environment uses.
func BenchmarkUsage(b *testing.B) {
	e := start(b, newBackend(b, options(b, 0)), helloSpec(hello(b)))
	invoke(b, e)
	for b.Loop() {
		e.Usage()
	}
}
