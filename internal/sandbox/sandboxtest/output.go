package sandboxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func decode[T any](t *testing.T, doc []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%.200q: %v", doc, err)
	}
	return v
}

func (s *suite) output(t *testing.T) {
	b := s.backend(t)

	t.Run("is whole and in order when the answer is there", func(t *testing.T) {
		e := s.ready(t, b)
		for round := range 10 {
			before := len(e.out.all())
			ask[string](t, e, wire.Event{Do: "lines", N: 500, Text: fmt.Sprintf("round %d line", round)})
			got := e.out.all()[before:]
			if len(got) != 500 {
				t.Fatalf("round %d: %d of 500 lines were there", round, len(got))
			}
			for i, line := range got {
				if want := fmt.Sprintf("round %d line %d", round, i); line != want {
					t.Fatalf("line %d is %q, want %q", i, line, want)
				}
			}
		}
		if e.out.overlap.Load() {
			t.Error("Output was called by two goroutines at once")
		}
	})

	t.Run("of the init is whole when it is ready", func(t *testing.T) {
		e := s.ready(t, b, with("ATTACKER_INIT", "print"))
		echo(t, e)
		if got := e.out.all(); len(got) != 1000 || got[999] != "init line 999" {
			t.Errorf("%d of 1000 lines are there", len(got))
		}
	})

	t.Run("long lines come in pieces", func(t *testing.T) {
		e := s.ready(t, b)
		const size = 3*gust.MaxLogLine + 17
		ask[string](t, e, wire.Event{Do: "longline", Size: size})
		got := e.out.all()
		if e.out.longest > gust.MaxLogLine {
			t.Errorf("a line of %d bytes came, want %d at most", e.out.longest, gust.MaxLogLine)
		}
		if len(got) == 0 || got[len(got)-1] != "after" {
			t.Fatalf("%d lines came and the last is not the last", len(got))
		}
		if whole := strings.Join(got[:len(got)-1], ""); whole != strings.Repeat("x", size) {
			t.Errorf("the pieces make %d bytes, want %d", len(whole), size)
		}
	})

	t.Run("a stream", func(t *testing.T) {
		e := s.ready(t, b)
		res, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "stream", N: 100, Size: 70_000}, patience))
		if err != nil {
			t.Fatal(err)
		}
		if res.Stream == nil {
			t.Fatalf("the answer is no stream but %d bytes", len(res.Payload))
		}
		n, err := io.Copy(io.Discard, res.Stream)
		if n != 7_000_000 || err != nil {
			t.Errorf("%d bytes came, %v", n, err)
		}
		if err := res.Stream.Close(); err != nil {
			t.Error(err)
		}
		if got := e.out.all(); len(got) == 0 || got[len(got)-1] != "streamed" {
			t.Errorf("what was printed during the stream is missing: %q", got)
		}
		echo(t, e)
	})

	t.Run("a stream that ends in an error", func(t *testing.T) {
		e := s.ready(t, b)
		f := s.brokenStream(t, e, "midway")
		if f.Outcome != gust.OutcomeError || f.Type != "Attacker.Midway" || !strings.Contains(string(f.Document()), "half way") {
			t.Errorf("the error is %+v", f)
		}
		echo(t, e)
	})

	t.Run("a stream whose program ends", func(t *testing.T) {
		e := s.ready(t, b)
		if f := s.brokenStream(t, e, "halfway"); f.Outcome != gust.OutcomeExit {
			t.Errorf("the error is %+v", f)
		}
		ended(t, e, gust.OutcomeExit, 4)
	})

	t.Run("a stream over its limit", func(t *testing.T) {
		e := s.ready(t, b)
		const piece = 1 * gust.MB
		res, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "stream", N: gust.MaxStreamPayload/piece + 1, Size: piece}, patience))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Stream)
		res.Stream.Close()
		var f *gust.FunctionError
		if !errors.As(err, &f) || f.Outcome != gust.OutcomeSize || n > gust.MaxStreamPayload {
			t.Errorf("%d bytes came, and then %v, want the outcome %s", n, err, gust.OutcomeSize)
		}
	})

	t.Run("a stream that nobody reads", func(t *testing.T) {
		e := s.ready(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := e.Invoke(ctx, invocation(wire.Event{Do: "stream", N: 1000, Size: 70_000}, patience))
		if err != nil {
			t.Fatal(err)
		}
		// Whoever asked goes away. The environment may be lost by it, but it must
		// not hang.
		res.Stream.Close()
		stopped := make(chan struct{})
		go func() { defer close(stopped); e.Stop(0) }()
		within(t, "Stop", stopped)
	})

	t.Run("who waits can give up", func(t *testing.T) {
		e := s.ready(t, b)
		gone := errors.New("nobody waits any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := e.Invoke(ctx, invocation(wire.Event{Do: "hang"}, time.Minute))
			failed <- err
		}()
		cancel(gone)
		select {
		case err := <-failed:
			if !errors.Is(err, gone) {
				t.Errorf("Invoke says %v, want the cause", err)
			}
		case <-time.After(patience):
			t.Fatal("Invoke does not return when its context ends")
		}
	})
}

// brokenStream reads a stream to its bad end.
func (s *suite) brokenStream(t *testing.T, e *env, do string) *gust.FunctionError {
	t.Helper()
	res, err := e.Invoke(t.Context(), invocation(wire.Event{Do: do}, patience))
	if err != nil {
		t.Fatal(err)
	}
	if res.Stream == nil {
		t.Fatalf("the answer is no stream but %q", res.Payload)
	}
	defer res.Stream.Close()
	got, err := io.ReadAll(res.Stream)
	if string(got) != "first half" {
		t.Errorf("before the error there is %q", got)
	}
	var f *gust.FunctionError
	if !errors.As(err, &f) {
		t.Fatalf("the stream ends with %v, want a *gust.FunctionError", err)
	}
	return f
}
