package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var callers = []int{1, 8, 64, 256}

// spread runs b.N calls from n goroutines.
func spread(b *testing.B, n int, call func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := call(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transitions/s")
}

// BenchmarkUpdate is one synced transition of 256 bytes each; compare with
// BenchmarkBareEngine, which is the engine alone with the same options and keys.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range callers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, Options{})
			value := make([]byte, 256)
			b.ReportAllocs()
			spread(b, n, func(i int) error {
				var key [8]byte
				binary.BigEndian.PutUint64(key[:], uint64(i))
				return s.Update(context.Background(), partitions[i%len(partitions)], func(tx *Tx) error { return tx.Set(key[:], value) })
			})
		})
	}
}

var partitions = func() (ps []Partition) {
	for i := range 1000 {
		ps = append(ps, Partition(fmt.Sprintf("queue/%d", i)))
	}
	return ps
}()

func BenchmarkBareEngine(b *testing.B) {
	for _, n := range callers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &Store{log: quiet()}
			o := s.engineOptions()
			o.FS, o.EventListener = vfs.Default, nil
			db, err := pebble.Open(b.TempDir(), o)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			value := make([]byte, 256)
			b.ReportAllocs()
			spread(b, n, func(i int) error {
				var key [8]byte
				binary.BigEndian.PutUint64(key[:], uint64(i))
				return db.Set(appendDataKey(make([]byte, 0, 64), partitions[i%len(partitions)], key[:]), value, pebble.Sync)
			})
		})
	}
}

func BenchmarkView(b *testing.B) {
	s := open(b, Options{})
	for i := range 1000 {
		set(b, s, "p", fmt.Sprint(i), "value")
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := get(s, "p", fmt.Sprint(i%1000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenEmpty(b *testing.B) {
	for b.Loop() {
		s, err := Open(Options{Dir: b.TempDir(), Logger: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
