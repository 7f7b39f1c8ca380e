package main

import (
	"maps"
	"testing"

	gust "github.com/gust-dev/gust"
)

// Prediction has fewer cold starts than a fixed 10 minutes, with less memory that
// waits. What comes out is the same in every run.
func TestPredictionIsWorthIt(t *testing.T) {
	w := newWorkload(1)
	fixed, auto := w.live(gust.PrewarmOff), w.live(gust.PrewarmAuto)
	if !maps.Equal(fixed.invocations, auto.invocations) || len(auto.invocations) < dayFunctions*9/10 {
		t.Fatalf("they did not live through the same day: %d and %d functions", len(fixed.invocations), len(auto.invocations))
	}
	if got, most := auto.overall(), 0.6*fixed.overall(); got > most {
		t.Errorf("%.3f of all invocations are cold, want at most %.3f", got, most)
	}
	if got, most := auto.quantile(0.5), 0.5*fixed.quantile(0.5); got > most {
		t.Errorf("%.3f are cold of the median function's, want at most %.3f", got, most)
	}
	if got, most := auto.unused, fixed.unused; got > most {
		t.Errorf("%.0f GB-s are unused, want at most %.0f", got, most)
	}
	if auto.ahead < 1000 || auto.vain > auto.ahead/10 {
		t.Errorf("%d were started ahead, %d of them in vain", auto.ahead, auto.vain)
	}
}
