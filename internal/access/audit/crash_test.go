package audit

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/store"
	"github.com/gust-dev/gust/internal/store/storetest"
)

// After a power cut at any sync the chain is whole, every record is there whose
// call was answered, and a call between its records is cut off.
func TestPowerCutAtEverySync(t *testing.T) {
	type progress struct{ begun, ended int64 }
	var begun, ended atomic.Int64
	disk := storetest.New(func() progress { return progress{begun.Load(), ended.Load()} })
	s := openStore(t, store.Options{FS: disk.FS()})
	l := open(t, s, Options{MaxSize: 20 << 10, minute: time.Hour})
	disk.Arm()
	const calls = 40
	for i := range calls {
		e, err := l.Begin(t.Context(), do("a:Call"))
		ok(t, err)
		begun.Add(1)
		ok(t, e.End(t.Context(), OK, "", nil))
		ended.Add(1)
		if i == calls/2 {
			ok(t, l.trim(t.Context()))
		}
	}
	cuts := disk.Disarm()
	ok(t, l.Close())
	ok(t, s.Close())
	if len(cuts) < 2*calls {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for i, cut := range cuts {
		s := openStore(t, store.Options{FS: cut.FS})
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
		if int64(most) < cut.Seen.begun+cut.Seen.ended || int64(most) > cut.Seen.begun+cut.Seen.ended+3 {
			t.Errorf("cut %d at the sync of %s: %d calls had begun and %d ended, and there are %d records", i, cut.At, cut.Seen.begun, cut.Seen.ended, most)
		}
		if sum.Trimmed == 0 && (done < cut.Seen.ended || done+off < cut.Seen.begun || off > 1) {
			t.Errorf("cut %d at the sync of %s: %d calls had begun and %d ended; %d are ok and %d cut off", i, cut.At, cut.Seen.begun, cut.Seen.ended, done, off)
		}
		ok(t, l.Add(t.Context(), do("a:Later")))
		whole(t, l)
		ok(t, l.Close())
		ok(t, s.Close())
	}
	t.Logf("%d cuts", len(cuts))
}
