package sandboxtest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

func (s *suite) invocations(t *testing.T) {
	b := s.backend(t)

	t.Run("one after the other", func(t *testing.T) {
		e := s.ready(t, b)
		for range 20 {
			echo(t, e)
		}
	})

	t.Run("what the program is told", func(t *testing.T) {
		e := s.ready(t, b)
		inv := invocation(wire.Event{Do: "headers"}, patience)
		inv.ClientContext = `{"client":{"app_title":"suite"}}`
		inv.CognitoIdentity = `{"cognitoIdentityId":"us-east-1:1"}`
		res, err := e.Invoke(t.Context(), inv)
		if err != nil {
			t.Fatal(err)
		}
		got := decode[map[string][]string](t, res.Payload)
		for name, want := range map[string]string{
			"Lambda-Runtime-Aws-Request-Id":       inv.RequestID,
			"Lambda-Runtime-Invoked-Function-Arn": inv.ARN,
			"Lambda-Runtime-Trace-Id":             inv.TraceID,
			"Lambda-Runtime-Client-Context":       inv.ClientContext,
			"Lambda-Runtime-Cognito-Identity":     inv.CognitoIdentity,
			"Lambda-Runtime-Deadline-Ms":          itoa(inv.Deadline.UnixMilli()),
		} {
			if v := strings.Join(got[name], "|"); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	})

	t.Run("the environment variables are the given ones", func(t *testing.T) {
		t.Setenv("GUST_SANDBOXTEST_SECRET", "of the node")
		e := s.ready(t, b, with("EMPTY", ""), with("UTF8", "grüße"), with("SPACES", " a  b\n"), func(s *sandbox.Spec) { s.API = nil })
		got := ask[[]string](t, e, wire.Event{Do: "environ"})
		var rest []string
		for _, v := range got {
			// Without a /tmp of its own a program is told another place.
			if !slices.Contains(e.spec.Env, v) && (s.caps.Isolation || !strings.HasPrefix(v, "TMPDIR=")) {
				rest = append(rest, v)
			}
		}
		if len(rest) != 1 || !strings.HasPrefix(rest[0], "AWS_LAMBDA_RUNTIME_API=") {
			t.Errorf("beside the given ones there are %q, want AWS_LAMBDA_RUNTIME_API alone", rest)
		}
		for _, v := range e.spec.Env {
			if !slices.Contains(got, v) {
				t.Errorf("%q is missing", v)
			}
		}
	})

	t.Run("where it finds itself", func(t *testing.T) {
		e := s.ready(t, b, func(s *sandbox.Spec) { s.Command = []string{"./bootstrap", "a word", ""} })
		got := ask[struct {
			Dir, Exe string
			Args     []string
		}](t, e, wire.Event{Do: "where"})
		dir := "/var/task"
		if !s.caps.Isolation {
			dir = s.code
		}
		if got.Dir != dir {
			t.Errorf("it runs in %s, want %s", got.Dir, dir)
		}
		if len(got.Args) != 3 || got.Args[1] != "a word" || got.Args[2] != "" {
			t.Errorf("its arguments are %q", got.Args)
		}
	})

	t.Run("error", func(t *testing.T) {
		e := s.ready(t, b)
		f := fails(t, e, wire.Event{Do: "error", Text: "of its own"}, patience, gust.OutcomeError)
		if f.Type != "Attacker.Asked" || f.Message != "of its own" || !strings.Contains(string(f.Document()), "of its own") {
			t.Errorf("the error is %+v", f)
		}
		echo(t, e) // an error is no end
	})

	t.Run("timeout", func(t *testing.T) {
		e := s.ready(t, b)
		f := fails(t, e, wire.Event{Do: "hang"}, 200*time.Millisecond, gust.OutcomeTimeout)
		if f.Type != "Sandbox.Timedout" {
			t.Errorf("its type is %q", f.Type)
		}
		within(t, "Done", e.Done())
		s.gone(t, e)
	})

	t.Run("timeout of what answers nothing else either", func(t *testing.T) {
		e := s.ready(t, b)
		ask[string](t, e, wire.Event{Do: "deaf"})
		fails(t, e, wire.Event{Do: "hang"}, 200*time.Millisecond, gust.OutcomeTimeout)
		within(t, "Done", e.Done())
	})

	t.Run("exit", func(t *testing.T) {
		for _, status := range []int{0, 1, 42, 255} {
			e := s.ready(t, b)
			f := fails(t, e, wire.Event{Do: "exit", N: status}, patience, gust.OutcomeExit)
			if f.Type != "Runtime.ExitError" || !strings.Contains(f.Message, itoa(int64(status))) && status != 0 {
				t.Errorf("status %d gives %+v", status, f)
			}
			ended(t, e, gust.OutcomeExit, status)
			if !slices.Contains(e.out.all(), "last words") {
				t.Errorf("its last words are missing:\n%s", e.out.tail())
			}
		}
	})

	t.Run("crash", func(t *testing.T) {
		e := s.ready(t, b)
		fails(t, e, wire.Event{Do: "crash"}, patience, gust.OutcomeCrash)
		within(t, "Done", e.Done())
		got := e.Exit()
		if got.Outcome != gust.OutcomeCrash || got.Status != int(syscall.SIGSEGV) && got.Status != int(syscall.SIGKILL) {
			t.Errorf("it ended as %+v, want a crash by signal %d", got, syscall.SIGSEGV)
		}
	})

	t.Run("an end between two invocations", func(t *testing.T) {
		e := s.ready(t, b)
		ask[string](t, e, wire.Event{Do: "leave", N: 6})
		ended(t, e, gust.OutcomeExit, 6)
		_, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "echo"}, patience))
		var f *gust.FunctionError
		if err == nil || errors.As(err, &f) && f.Outcome == gust.OutcomeTimeout {
			t.Errorf("Invoke after the end gives %v", err)
		}
	})

	t.Run("an answer that is too large", func(t *testing.T) {
		e := s.ready(t, b)
		fails(t, e, wire.Event{Do: "large", Size: gust.MaxSyncPayload + 1}, patience, gust.OutcomeSize)
	})

	t.Run("an answer as large as may be", func(t *testing.T) {
		e := s.ready(t, b)
		if got := ask[string](t, e, wire.Event{Do: "large", Size: gust.MaxSyncPayload}); len(got) != gust.MaxSyncPayload-2 {
			t.Errorf("%d bytes came", len(got))
		}
	})

	t.Run("an event as large as may be", func(t *testing.T) {
		e := s.ready(t, b)
		want := strings.Repeat("e", gust.MaxSyncPayload-100)
		if got := ask[map[string]string](t, e, wire.Event{Do: "echo", Text: want}); got["text"] != want {
			t.Errorf("%d bytes came", len(got["text"]))
		}
	})

	t.Run("an answer to what nobody asked", func(t *testing.T) {
		e := s.ready(t, b)
		if got := ask[string](t, e, wire.Event{Do: "stale"}); got != "first" {
			t.Errorf("the answer is %q, want the first", got)
		}
		e.out.wait(t, "stale 202 4")
		echo(t, e)
		for _, line := range e.out.all() {
			if strings.HasPrefix(line, "stale ") && !staleRefused(line) {
				t.Errorf("%q: only the first answer may be accepted", line)
			}
		}
	})

	t.Run("what is no HTTP", func(t *testing.T) {
		e := s.ready(t, b)
		for _, text := range []string{"\x16\x03\x01\x00\x00", "GET\r\n\r\n", strings.Repeat("A", 70_000), "POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
			"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
			"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"} {
			// What breaks the protocol may cost the program its environment, but
			// it ends by name and at once.
			_, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "garbage", Text: text}, patience))
			var f *gust.FunctionError
			if err != nil && (!errors.As(err, &f) || f.Outcome != gust.OutcomeProtocol) {
				t.Fatalf("%.40q: %v", text, err)
			}
			if err != nil {
				within(t, "Done", e.Done())
				e = s.ready(t, b)
			}
		}
		echo(t, e)
	})

	t.Run("many at once", func(t *testing.T) {
		const n = 8
		e := s.ready(t, b, func(s *sandbox.Spec) { s.Concurrency = n }, with("AWS_LAMBDA_MAX_CONCURRENCY", itoa(n)))
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				res, err := e.Invoke(t.Context(), invocation(wire.Event{Do: "barrier", N: n}, patience))
				if err != nil || string(res.Payload) != `"together"` {
					t.Errorf("%v, %v", res, err)
				}
			})
		}
		wg.Wait()
	})

	t.Run("an exit fails all that run", func(t *testing.T) {
		const n = 4
		e := s.ready(t, b, func(s *sandbox.Spec) { s.Concurrency = n }, with("AWS_LAMBDA_MAX_CONCURRENCY", itoa(n)))
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { exits(t, e, wire.Event{Do: "together", N: n}) })
		}
		wg.Wait()
		ended(t, e, gust.OutcomeExit, 3)
	})
}

// staleRefused says that of three answers only the first was accepted.
func staleRefused(line string) bool {
	words := strings.Fields(line)
	return len(words) == 4 && words[1] == "202" && strings.HasPrefix(words[2], "4") && strings.HasPrefix(words[3], "4")
}

// exits is fails for a goroutine that is not the test's own.
func exits(t *testing.T, e *env, ev wire.Event) {
	_, err := e.Invoke(t.Context(), invocation(ev, patience))
	var f *gust.FunctionError
	if !errors.As(err, &f) || f.Outcome != gust.OutcomeExit {
		t.Errorf("%s: %v, want the outcome %s", ev.Do, err, gust.OutcomeExit)
	}
}
