package audit

import (
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gust-dev/gust/internal/store"
)

// After a power cut at any sync the chain is whole, every record is there whose
// call was answered, and a call between its records is cut off.
func TestPowerCutAtEverySync(t *testing.T) {
	mem := vfs.NewCrashableMem()
	type cut struct {
		fs           *vfs.MemFS
		begun, ended int64
		at           string
	}
	var mu sync.Mutex
	var cuts []cut
	var begun, ended atomic.Int64
	var armed atomic.Bool
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		default:
			return nil
		}
		if !armed.Load() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[len(cuts)%3]}
		if cfg.UnsyncedDataPercent > 0 {
			cfg.RNG = rand.New(rand.NewPCG(7, uint64(len(cuts))))
		}
		cuts = append(cuts, cut{mem.CrashClone(cfg), begun.Load(), ended.Load(), path.Base(op.Path)})
		return nil
	})
	s := openStore(t, store.Options{FS: errorfs.Wrap(mem, hook)})
	l := open(t, s, Options{MaxSize: 20 << 10, minute: time.Hour})
	armed.Store(true)
	const calls = 40
	for i := range calls {
		e, err := l.Begin(t.Context(), do("a:Call"))
		ok(t, err)
		begun.Add(1)
		ok(t, e.End(t.Context(), OK, ""))
		ended.Add(1)
		if i == calls/2 {
			ok(t, l.trim(t.Context()))
		}
	}
	armed.Store(false)
	ok(t, l.Close())
	ok(t, s.Close())
	if len(cuts) < 2*calls {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for i, cut := range cuts {
		s := openStore(t, store.Options{FS: cut.fs})
		l := open(t, s, Options{})
		sum := whole(t, l)
		var done, off int64
		for _, r := range all(t, l, Filter{}) {
			switch r.Result {
			case OK:
				done++
			case CutOff:
				off++
			}
		}
		// Each call has two records, and a trim has one.
		var most uint64
		if most = parse(t, sum.Head).seq; off > 0 {
			most-- // the end that opening wrote
		}
		if int64(most) < cut.begun+cut.ended || int64(most) > cut.begun+cut.ended+3 {
			t.Errorf("cut %d at the sync of %s: %d calls had begun and %d ended, and there are %d records", i, cut.at, cut.begun, cut.ended, most)
		}
		if sum.Trimmed == 0 && (done < cut.ended || done+off < cut.begun || off > 1) {
			t.Errorf("cut %d at the sync of %s: %d calls had begun and %d ended; %d are ok and %d cut off", i, cut.at, cut.begun, cut.ended, done, off)
		}
		ok(t, l.Add(t.Context(), do("a:Later")))
		whole(t, l)
		ok(t, l.Close())
		ok(t, s.Close())
	}
	t.Logf("%d cuts", len(cuts))
}
