//go:build linux

package network_test

import (
	"slices"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/network"
	"github.com/gust-dev/gust/internal/sandbox/network/networktest"
)

// BenchmarkLink is what one environment's network costs: the interface, which is
// made ahead, the policy, a look at the counter, and the end.
func BenchmarkLink(b *testing.B) {
	w := networktest.New(b)
	n := open(b, w)
	for _, allow := range []gust.Network{internet(), list("api.stripe.com:443", "10.0.0.5:5432")} {
		b.Run(string(allow.Mode), func(b *testing.B) {
			took := map[string][]time.Duration{}
			timed := func(what string, f func() error) {
				begin := time.Now()
				if err := f(); err != nil {
					b.Fatal(err)
				}
				took[what] = append(took[what], time.Since(begin))
			}
			for b.Loop() {
				ns, err := network.NewNamespace()
				if err != nil {
					b.Fatal(err)
				}
				var l *network.Link
				timed("attach", func() (err error) { l, err = n.Attach(int(ns.Fd())); return err })
				timed("allow", func() error { return l.Allow(allow) })
				timed("count", func() error { l.BytesOut(); return nil })
				timed("close", func() error { l.Close(); return nil })
				ns.Close()
			}
			for what, ds := range took {
				slices.Sort(ds)
				b.ReportMetric(float64(ds[len(ds)/2].Nanoseconds())/1e3, "p50-us/"+what)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCount is one look at an environment's counter, when nothing was sent.
func BenchmarkCount(b *testing.B) {
	networktest.New(b)
	p := attach(b, open(b, nil), internet())
	for b.Loop() {
		p.BytesOut()
	}
}
