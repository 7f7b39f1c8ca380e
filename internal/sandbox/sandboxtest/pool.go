package sandboxtest

import (
	"crypto/rand"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// pool: an environment that was booted ahead shows nothing of its life before.
// That it holds like any other is what the rest of the suite shows, which is run
// with such environments.
func (s *suite) pool(t *testing.T) {
	if s.caps.Pool == nil {
		t.Skip("its environments are not booted ahead")
	}
	t.Run("nothing of its life before", func(t *testing.T) {
		b := s.backend(t)
		// Each leaves something for the next one to find.
		for range 3 {
			e := s.ready(t, b)
			if u := e.Usage(); u.CPU < 0 || u.Memory <= 0 || u.PeakMemory > 64*gust.MB {
				t.Errorf("it has used %+v at its start", u)
			}
			f := ask[wire.Findings](t, e, wire.Event{Do: "before", Text: rand.Text()})
			for _, gained := range f.Gained {
				t.Errorf("found: %s", gained)
			}
			if len(f.Refused) < 6 {
				t.Errorf("it looked for little: %v", f.Refused)
			}
			e.Stop(0)
			s.gone(t, e)
		}
	})

	t.Run("what waits ends with the backend", func(t *testing.T) {
		b := s.newBackend(t)
		spec, _ := s.changed(nil)
		s.caps.Pool.Await(t, b, spec)
		if len(s.processes("")) == 0 {
			t.Error("nothing is seen to wait")
		}
		if err := b.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if left := s.processes(""); len(left) != 0 {
			t.Errorf("it is closed, and there is still %v", left)
		}
	})
}
