package main

import (
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestDayTMP(t *testing.T) {
	began := time.Now()
	w := newWorkload(1)
	for _, p := range []gust.Prewarm{gust.PrewarmOff, gust.PrewarmAuto} {
		o := w.live(p)
		n := 0
		for _, k := range o.invocations { n += k }
		t.Logf("%q: %d invocations, cold %.3f%%, median %.2f%% p75 %.2f%%, unused %.0f GB-s, ahead %d vain %d", p, n, 100*o.overall(), 100*o.quantile(.5), 100*o.quantile(.75), o.unused, o.ahead, o.vain)
	}
	t.Log(time.Since(began))
}
