package sandboxtest

import (
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// limits: what an environment uses is seen, and CPU modes are carried out.
func (s *suite) limits(t *testing.T) {
	b := s.backend(t)

	t.Run("usage", func(t *testing.T) {
		if !s.caps.Usage {
			t.Skip("this backend measures no usage")
		}
		e := s.ready(t, b)
		before := e.Usage()
		ask[string](t, e, wire.Event{Do: "hold", Size: 48 * gust.MB})
		ask[string](t, e, wire.Event{Do: "spin", Millis: 100})
		after := e.Usage()
		if grown := after.Memory - before.Memory; grown < 40*gust.MB {
			t.Errorf("it holds 48 MB more and its memory grew by %d bytes to %d", grown, after.Memory)
		}
		if after.PeakMemory < after.Memory || after.PeakMemory > 128*gust.MB {
			t.Errorf("its peak is %d, its memory %d", after.PeakMemory, after.Memory)
		}
		// On a machine that is busy with others it gets little of it.
		if used := after.CPU - before.CPU; used < 10*time.Millisecond {
			t.Errorf("it was busy for 100 ms and used %v", used)
		}
		e.Stop(0)
		if final := e.Usage(); final.CPU < after.CPU || final.PeakMemory < after.PeakMemory {
			t.Errorf("after the end the usage is %+v, it was %+v", final, after)
		}
	})

	t.Run("cpu modes", func(t *testing.T) {
		for _, mode := range []gust.CPUMode{gust.CPUShared, gust.CPUStrict} {
			e := s.ready(t, b, func(s *sandbox.Spec) { s.CPU = mode })
			for _, initialising := range []bool{true, false, false, true, false} {
				if err := e.SetInit(initialising); err != nil {
					t.Fatalf("%s: SetInit(%v): %v", mode, initialising, err)
				}
			}
			echo(t, e)
		}
	})
}

func (s *suite) freeze(t *testing.T) {
	if !s.caps.Freeze {
		t.Skip("this backend does not freeze")
	}
	b := s.backend(t)

	t.Run("a frozen environment uses no CPU", func(t *testing.T) {
		e, clock := s.ready(t, b), s.ready(t, b)
		ask[string](t, e, wire.Event{Do: "spinning"})
		// The time that passes is that of a neighbour at work.
		passes := func() { ask[string](t, clock, wire.Event{Do: "spin", Millis: 150}) }
		used := func() time.Duration {
			begin := e.Usage().CPU
			passes()
			return e.Usage().CPU - begin
		}
		if s.caps.Usage {
			if got := used(); got < 5*time.Millisecond {
				t.Errorf("running it used %v", got)
			}
		}
		for range 2 {
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
		}
		if s.caps.Usage {
			if got := used(); got > 10*time.Millisecond {
				t.Errorf("frozen it used %v", got)
			}
		}
		for range 2 {
			if err := e.Thaw(); err != nil {
				t.Fatal(err)
			}
		}
		echo(t, e)
		if s.caps.Usage {
			if got := used(); got < 5*time.Millisecond {
				t.Errorf("thawed it used %v", got)
			}
		}
	})

	t.Run("many times", func(t *testing.T) {
		e := s.ready(t, b)
		for range 50 {
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
			if err := e.Thaw(); err != nil {
				t.Fatal(err)
			}
			echo(t, e)
		}
	})

	for _, do := range []string{"churn", "stopped"} {
		t.Run("with processes that "+map[string]string{"churn": "come and go", "stopped": "are stopped"}[do], func(t *testing.T) {
			if do == "stopped" && !s.caps.Isolation {
				t.Skip("without isolation thawing is SIGCONT, which wakes what had stopped itself")
			}
			e := s.ready(t, b)
			ask[string](t, e, wire.Event{Do: do})
			for range 10 {
				if err := e.Freeze(); err != nil {
					t.Fatal(err)
				}
				if err := e.Thaw(); err != nil {
					t.Fatal(err)
				}
				echo(t, e)
			}
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
			stopped := make(chan struct{})
			go func() { defer close(stopped); e.Stop(20 * time.Millisecond) }()
			within(t, "Stop", stopped)
			s.gone(t, e)
		})
	}

	t.Run("a frozen environment can be stopped", func(t *testing.T) {
		for _, grace := range []time.Duration{0, 50 * time.Millisecond, time.Minute} {
			e := s.ready(t, b)
			ask[string](t, e, wire.Event{Do: "polite"})
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
			stopped := make(chan struct{})
			go func() { defer close(stopped); e.Stop(grace) }()
			within(t, "Stop", stopped)
			ended(t, e, gust.OutcomeOK, -1)
			s.gone(t, e)
		}
	})

	t.Run("an invocation that times out frozen", func(t *testing.T) {
		e := s.ready(t, b)
		if err := e.Freeze(); err != nil {
			t.Fatal(err)
		}
		fails(t, e, wire.Event{Do: "echo"}, 200*time.Millisecond, gust.OutcomeTimeout)
		within(t, "Done", e.Done())
	})

	t.Run("after the end", func(t *testing.T) {
		e := s.ready(t, b)
		e.Stop(0)
		// Nothing is there to be frozen: an error or none, but at once.
		e.Freeze()
		e.Thaw()
		e.SetInit(false)
	})
}
