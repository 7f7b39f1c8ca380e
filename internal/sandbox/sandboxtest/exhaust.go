package sandboxtest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// exhaust takes all there is of something. It ends in an error of that name,
// for that invocation alone.
func (s *suite) exhaust(t *testing.T) {
	b := s.backend(t)
	neighbour := s.ready(t, b)
	spent := func(t *testing.T, e *env) {
		t.Helper()
		echo(t, neighbour)
		e.Stop(0)
		s.gone(t, e)
	}
	need := func(t *testing.T, claimed bool, what string) {
		if !claimed {
			t.Skip("this backend does not limit " + what)
		}
	}

	t.Run("processes", func(t *testing.T) {
		need(t, s.caps.Processes, "processes")
		e := s.ready(t, b, few)
		f := ask[wire.Findings](t, e, wire.Event{Do: "forks", N: 1000})
		if n := f.Facts["processes"]; n < 10 || n > 100 || len(f.Refused) == 0 {
			t.Errorf("it had %d processes with a limit of 100, and then %v", n, f.Refused)
		}
		echo(t, e) // and is still of use
		spent(t, e)
	})

	t.Run("a fork bomb that answers nobody", func(t *testing.T) {
		need(t, s.caps.Processes, "processes")
		e := s.ready(t, b, few)
		fails(t, e, wire.Event{Do: "forks", N: 1000, Text: "hang"}, time.Second, gust.OutcomeTimeout)
		within(t, "Done", e.Done())
		spent(t, e)
	})

	t.Run("threads", func(t *testing.T) {
		need(t, s.caps.Processes, "processes")
		e := s.ready(t, b, few)
		// Go's runtime ends the program when it gets no thread.
		fails(t, e, wire.Event{Do: "threads", N: 1000}, patience, gust.OutcomeExit)
		spent(t, e)
	})

	for _, m := range []struct {
		name string
		ev   wire.Event
		want []gust.Outcome
	}{
		{"memory", wire.Event{Do: "memory", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory}},
		// The first process only sees its children die of it.
		{"memory of many children", wire.Event{Do: "memory-children", N: 4}, []gust.Outcome{gust.OutcomeMemory}},
		{"memory in a file without a name", wire.Event{Do: "memory-memfd", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory}},
		// A backend may also give no shared memory at all, or little.
		{"memory in files", wire.Event{Do: "memory-shm", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory, gust.OutcomeOK}},
		{"memory in segments", wire.Event{Do: "memory-sysv", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory, gust.OutcomeOK}},
		{"memory in pipes", wire.Event{Do: "memory-pipes", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory, gust.OutcomeOK}},
		{"memory in connections", wire.Event{Do: "memory-tcp", Size: 2 * gust.GB}, []gust.Outcome{gust.OutcomeMemory, gust.OutcomeOK}},
	} {
		t.Run(m.name, func(t *testing.T) {
			need(t, s.caps.Memory, "memory")
			e := s.ready(t, b)
			s.runsOut(t, e, m.ev, m.want)
			spent(t, e)
		})
	}

	t.Run("the disk", func(t *testing.T) {
		need(t, s.caps.Ephemeral, "/tmp")
		e := s.ready(t, b)
		// 128 MB of memory and 512 MB of /tmp: what is written is not memory.
		f := ask[wire.Findings](t, e, wire.Event{Do: "fill", Size: gust.MinEphemeral + 64*gust.MB})
		got := f.Facts["bytes"]
		if len(f.Gained) != 0 || f.Facts["no-space"] != 1 {
			t.Errorf("a full /tmp is not refused by ENOSPC: %v, %v", f.Gained, f.Refused)
		}
		if got < gust.MinEphemeral*99/100 || got > gust.MinEphemeral+gust.MB {
			t.Errorf("%d bytes fitted, want nearly %d", got, gust.MinEphemeral)
		}
		echo(t, e)
		spent(t, e)
	})

	t.Run("files", func(t *testing.T) {
		need(t, s.caps.Ephemeral, "/tmp")
		e := s.ready(t, b)
		f := ask[wire.Findings](t, e, wire.Event{Do: "inodes", N: 300_000})
		if f.Facts["no-space"] != 1 {
			t.Errorf("%d files were made and no more: %v", f.Facts["files"], f.Refused)
		}
		t.Logf("%d files", f.Facts["files"])
		spent(t, e)
	})

	t.Run("/tmp belongs to one environment", func(t *testing.T) {
		need(t, s.caps.Isolation, "who sees /tmp")
		e := s.ready(t, b)
		ask[wire.Findings](t, e, wire.Event{Do: "deep", N: 3})
		if found, _ := filepath.Glob(filepath.Join(os.TempDir(), "dddd*")); len(found) != 0 {
			t.Errorf("its folder is in the host's /tmp: %v", found)
		}
		spent(t, e)
	})

	for name, text := range map[string]string{"output": "", "output without a newline": "line"} {
		t.Run(name, func(t *testing.T) {
			e := s.ready(t, b)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "flood", Text: text}, time.Second))
				var f *gust.FunctionError
				if !errors.As(err, &f) || f.Outcome != gust.OutcomeTimeout {
					t.Errorf("the flood ended in %v, want the outcome %s", err, gust.OutcomeTimeout)
				}
			}()
			echo(t, neighbour) // beside it
			within(t, "the end of the flood", done)
			within(t, "Done", e.Done())
			runtime.ReadMemStats(&after)
			// The recorder itself keeps 4 MB of it.
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64*gust.MB {
				t.Errorf("%d bytes of output cost the node %d bytes", e.out.total, grown)
			}
			if e.out.longest > gust.MaxLogLine {
				t.Errorf("a line of %d bytes came, want %d at most", e.out.longest, gust.MaxLogLine)
			}
			t.Logf("%d MB came", e.out.total>>20)
			spent(t, e)
		})
	}

	t.Run("open files", func(t *testing.T) {
		need(t, s.caps.Isolation, "open files")
		e := s.ready(t, b)
		f := ask[wire.Findings](t, e, wire.Event{Do: "open", N: 100_000})
		if n := f.Facts["open"]; n > gust.MaxOpenFiles || n < 100 {
			t.Errorf("it had %d open files, want %d at most", n, gust.MaxOpenFiles)
		}
		echo(t, e)
		spent(t, e)
	})

	for _, h := range []struct {
		what string
		n    int // as many as would be too many
		some int // what a neighbour may expect to get
	}{
		{"inotify", 1000, 8}, {"aio", 1000, 1}, {"message queues", 250, 1}, {"timers", 200_000, 100},
		{"locked memory", 4096, 1}, {"epoll", 900, 100}, {"pipes", 450, 4},
	} {
		t.Run("what all share: "+h.what, func(t *testing.T) {
			need(t, s.caps.Isolation, "what the kernel counts by user")
			before := ask[wire.Findings](t, s.ready(t, b), wire.Event{Do: "hoard", Text: h.what, N: h.some}).Facts["held"]
			e := s.ready(t, b)
			f := ask[wire.Findings](t, e, wire.Event{Do: "hoard", Text: h.what, N: h.n})
			for _, gained := range f.Gained {
				t.Errorf("gained: %s", gained)
			}
			t.Logf("it has %d: %v", f.Facts["held"], f.Refused)
			after := ask[wire.Findings](t, s.ready(t, b), wire.Event{Do: "hoard", Text: h.what, N: h.some})
			if after.Facts["held"] < before {
				t.Errorf("a neighbour got %d before, and now %d: %v", before, after.Facts["held"], after.Refused)
			}
			s.hostAffords(t, h.what)
			spent(t, e)
		})
	}

	t.Run("the node's descriptors", func(t *testing.T) {
		need(t, s.caps.Processes, "who connects")
		e := s.ready(t, b)
		before := descriptors()
		f := ask[wire.Findings](t, e, wire.Event{Do: "connections", N: 4})
		if grown := descriptors() - before; grown > 300 {
			t.Errorf("connections cost the node %d descriptors: %v", grown, f.Refused)
		}
		t.Log(f.Refused)
		echo(t, e)
		spent(t, e)
	})

	t.Run("the node's memory by bodies nobody asked for", func(t *testing.T) {
		need(t, s.caps.Isolation, "who connects")
		e := s.ready(t, b)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := ask[wire.Findings](t, e, wire.Event{Do: "uploads", N: 64, Size: gust.MaxSyncPayload})
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 96*gust.MB {
			t.Errorf("64 bodies cost the node %d MB: %v", grown/gust.MB, f.Refused)
		}
		t.Log(f.Refused)
		spent(t, e)
	})

	t.Run("the processor", func(t *testing.T) {
		e := s.ready(t, b)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "hog", N: 16, Millis: 1000}, patience)); err != nil {
				t.Errorf("the hog ended in %v", err)
			}
		}()
		for range 10 {
			echo(t, neighbour)
		}
		within(t, "the end of the hog", done)
		spent(t, e)
	})

	t.Run("a daemon that outlives the invocation", func(t *testing.T) {
		need(t, s.caps.Detached, "detached processes")
		e := s.ready(t, b)
		ask[wire.Findings](t, e, wire.Event{Do: "daemon"})
		echo(t, e)
		spent(t, e)
	})

	t.Run("a daemon that outlives the program", func(t *testing.T) {
		need(t, s.caps.Detached, "detached processes")
		e := s.ready(t, b)
		fails(t, e, wire.Event{Do: "daemon", N: 7}, patience, gust.OutcomeExit)
		ended(t, e, gust.OutcomeExit, 7)
		s.gone(t, e)
		spent(t, e)
	})

	t.Run("dead processes", func(t *testing.T) {
		need(t, s.caps.Processes, "processes")
		e := s.ready(t, b, few)
		f := ask[wire.Findings](t, e, wire.Event{Do: "orphans", N: 150})
		if len(f.Gained) != 0 {
			t.Errorf("of 150 orphans with a limit of 100 processes: %v", f.Gained)
		}
		spent(t, e)
	})
}

// few makes a spec that may have few processes, and memory enough that they are
// what it runs out of.
func few(s *sandbox.Spec) { s.Processes, s.Memory = 100, 1*gust.GB }

// runsOut runs an event that takes memory until there is none. Where
// OutcomeOK is among what may come, the program may also have been refused it
// and have answered so.
func (s *suite) runsOut(t *testing.T, e *env, ev wire.Event, want []gust.Outcome) {
	t.Helper()
	res, err := e.Invoke(t.Context(), invocation(ev, patience))
	if err == nil {
		var f wire.Findings
		if json.Unmarshal(res.Payload, &f) != nil || len(f.Gained) != 0 || want[len(want)-1] != gust.OutcomeOK {
			t.Fatalf("it was answered: %.500s", res.Payload)
		}
		if got := f.Facts["bytes"]; got > 2*e.spec.Memory {
			t.Errorf("it has %d bytes in the kernel with a limit of %d", got, e.spec.Memory)
		}
		t.Logf("refused: %v", f.Refused)
		return
	}
	var f *gust.FunctionError
	if !errors.As(err, &f) || f.Outcome != gust.OutcomeMemory || f.Type != "Runtime.OutOfMemory" {
		t.Fatalf("it ended in %v (%+v), want the outcome %s", err, f, gust.OutcomeMemory)
	}
	ended(t, e, gust.OutcomeMemory, -1)
}
