package sandboxtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// with sets what the program does before its first event.
func with(name, value string) func(*sandbox.Spec) {
	return func(s *sandbox.Spec) { s.Env = append(s.Env, name+"="+value) }
}

func (s *suite) lifecycle(t *testing.T) {
	b := s.backend(t)

	t.Run("name", func(t *testing.T) {
		if b.Name() == "" {
			t.Error("the backend has no name")
		}
	})

	t.Run("start and stop", func(t *testing.T) {
		e := s.ready(t, b)
		echo(t, e)
		select {
		case <-e.Done():
			t.Fatal("it is done while it runs")
		default:
		}
		e.Stop(0)
		ended(t, e, gust.OutcomeOK, -1)
		e.Stop(time.Minute) // again, and at once
	})

	t.Run("stop before it is ready", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "hang"))
		e.Stop(0)
		ended(t, e, gust.OutcomeOK, -1)
		within(t, "Ready of a stopped environment", e.Ready())
		if e.InitError() == nil {
			t.Error("it is ready, though it was stopped before")
		}
	})

	t.Run("stop from many sides", func(t *testing.T) {
		e := s.ready(t, b)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { e.Stop(time.Duration(i) * 100 * time.Millisecond) })
		}
		wg.Wait()
		ended(t, e, gust.OutcomeOK, -1)
	})

	t.Run("stop lets it say goodbye", func(t *testing.T) {
		e := s.ready(t, b)
		ask[string](t, e, wire.Event{Do: "polite"})
		begin := time.Now()
		e.Stop(time.Minute)
		within(t, "Done", e.Done())
		if !slices.Contains(e.out.all(), "goodbye") {
			t.Errorf("its last words are missing:\n%s", e.out.tail())
		}
		if waited := time.Since(begin); waited > 30*time.Second {
			t.Errorf("it ended by itself and Stop waited %v", waited)
		}
	})

	t.Run("stop ends what hears nothing", func(t *testing.T) {
		e := s.ready(t, b)
		ask[string](t, e, wire.Event{Do: "deaf"})
		stopped := make(chan struct{})
		go func() { defer close(stopped); e.Stop(50 * time.Millisecond) }()
		within(t, "Stop of a deaf program", stopped)
		ended(t, e, gust.OutcomeOK, -1)
		s.gone(t, e)
	})

	t.Run("stop ends what runs", func(t *testing.T) {
		e := s.ready(t, b)
		failed := make(chan error, 1)
		go func() {
			_, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "hang"}, time.Minute))
			failed <- err
		}()
		e.Stop(10 * time.Millisecond)
		select {
		case err := <-failed:
			if err == nil {
				t.Error("the invocation was answered")
			}
		case <-time.After(patience):
			t.Fatal("Invoke does not return after Stop")
		}
	})

	t.Run("init error", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "error"))
		within(t, "Ready", e.Ready())
		f := e.InitError()
		if f == nil || f.Outcome != gust.OutcomeInit || f.Type != "Attacker.Init" || !strings.Contains(f.Message, "told not to") {
			t.Fatalf("the init error is %+v", f)
		}
		within(t, "Done", e.Done())
	})

	t.Run("init exit", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "exit"))
		within(t, "Ready", e.Ready())
		f := e.InitError()
		if f == nil || f.Outcome != gust.OutcomeInit || !strings.Contains(f.Message, "3") {
			t.Fatalf("the init error is %+v, want the exit status 3 in it", f)
		}
		if !strings.Contains(f.Output, "leaving before the first event") {
			t.Errorf("its last output is %q", f.Output)
		}
		ended(t, e, gust.OutcomeExit, 3)
	})

	t.Run("init crash", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "crash"))
		within(t, "Ready", e.Ready())
		if f := e.InitError(); f == nil || f.Outcome != gust.OutcomeInit || !strings.Contains(f.Output, "about to die") {
			t.Fatalf("the init error is %+v", f)
		}
		ended(t, e, gust.OutcomeCrash, -1)
	})

	t.Run("invoke waits for a slow init", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "slow"))
		echo(t, e)
		within(t, "Ready", e.Ready())
	})

	t.Run("invoke does not wait for ever", func(t *testing.T) {
		e := s.start(t, b, with("ATTACKER_INIT", "hang"))
		f := fails(t, e, wire.Event{Do: "echo"}, 300*time.Millisecond, gust.OutcomeTimeout, gust.OutcomeInit)
		t.Log(f)
		within(t, "Done after the deadline", e.Done())
	})

	t.Run("a program that is not there", func(t *testing.T) {
		plain := filepath.Join(s.dir, "plain")
		if err := os.MkdirAll(plain, 0o755); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(plain, "text"), []byte("no program\n"), 0o644)
		os.WriteFile(filepath.Join(plain, "junk"), []byte{0x7f, 'E', 'L', 'F', 0, 1, 2}, 0o755)
		for name, change := range map[string]func(*sandbox.Spec){
			"is missing":     func(s *sandbox.Spec) { s.Command = []string{"./nothing"} },
			"may not be run": func(s *sandbox.Spec) { s.Code, s.Command = plain, []string{"./text"} },
			"is no program":  func(s *sandbox.Spec) { s.Code, s.Command = plain, []string{"./junk"} },
			"is a folder":    func(s *sandbox.Spec) { s.Command = []string{"."} },
			"has no code":    func(s *sandbox.Spec) { s.Code = filepath.Join(plain, "missing") },
			"has no words":   func(s *sandbox.Spec) { s.Command = nil },
		} {
			t.Run(name, func(t *testing.T) {
				e, err := s.tryStart(t, b, change)
				if err != nil {
					t.Log(err)
					return
				}
				// Or it is found out inside.
				within(t, "Ready", e.Ready())
				if f := e.InitError(); f == nil {
					t.Fatal("it is ready")
				} else {
					t.Log(f)
				}
				within(t, "Done", e.Done())
			})
		}
	})

	t.Run("names and words of every kind", func(t *testing.T) {
		for name, change := range map[string]func(*sandbox.Spec){
			"a path for a name":       func(s *sandbox.Spec) { s.Function = "../../../../tmp/name" },
			"an absolute name":        func(s *sandbox.Spec) { s.Function = "/etc" },
			"a long name":             func(s *sandbox.Spec) { s.Function = strings.Repeat("n", 300) },
			"a name with a newline":   func(s *sandbox.Spec) { s.Function = "a\nb" },
			"a NUL in a variable":     func(s *sandbox.Spec) { s.Env = append(s.Env, "A=1\x00LD_PRELOAD=/tmp/x") },
			"a variable without =":    func(s *sandbox.Spec) { s.Env = append(s.Env, "NOTHING") },
			"a variable of no name":   func(s *sandbox.Spec) { s.Env = append(s.Env, "=value") },
			"a NUL in the command":    func(s *sandbox.Spec) { s.Command = []string{"./boot\x00strap"} },
			"a command that leads up": func(s *sandbox.Spec) { s.Command = []string{"../../../../../../bin/sh"} },
			"very many words": func(s *sandbox.Spec) {
				s.Command = append([]string{"./bootstrap"}, strings.Split(strings.Repeat("word ", 100_000), " ")...)
			},
			"a very long word": func(s *sandbox.Spec) { s.Command = append(s.Command, strings.Repeat("w", 4<<20)) },
			"a negative limit": func(s *sandbox.Spec) { s.Memory = -1 },
			"no processes":     func(s *sandbox.Spec) { s.Processes = 0 },
			"no concurrency":   func(s *sandbox.Spec) { s.Concurrency = 0 },
			"a relative code":  func(s *sandbox.Spec) { s.Code = "code" },
			"a used id":        func(s *sandbox.Spec) { s.ID = "../../" + s.ID },
		} {
			t.Run(name, func(t *testing.T) {
				// Carried out, or refused: it must not hang, panic, or leave the
				// environment half done.
				e, err := s.tryStart(t, b, change)
				if err != nil {
					t.Log(err)
					return
				}
				within(t, "Ready", e.Ready())
				if f := e.InitError(); f != nil {
					t.Log(f)
					return
				}
				echo(t, e)
			})
		}
	})

	t.Run("many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		envs := make([]*env, 24)
		for i := range envs {
			wg.Go(func() { envs[i], _ = s.tryStart(t, b) })
		}
		wg.Wait()
		for i, e := range envs {
			if e == nil {
				t.Fatalf("environment %d did not start", i)
			}
			echo(t, e)
		}
		for _, e := range envs {
			wg.Go(func() { e.Stop(0) })
		}
		wg.Wait()
	})

	t.Run("close ends everything", func(t *testing.T) {
		b := s.newBackend(t)
		var envs []*env
		for range 3 {
			envs = append(envs, s.ready(t, b))
		}
		if err := b.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		for _, e := range envs {
			within(t, "Done after Close", e.Done())
			s.gone(t, e)
		}
		if e, err := s.tryStart(t, b); err == nil {
			e.Stop(0)
			t.Error("a closed backend starts environments")
		}
	})
}
