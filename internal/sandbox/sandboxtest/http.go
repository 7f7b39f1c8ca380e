package sandboxtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// web makes a spec that of an http function.
func web(s *sandbox.Spec) {
	s.Runtime, s.Command, s.Concurrency = gust.RuntimeHTTP, []string{"./bootstrap", "http"}, gust.DefaultHTTPPerEnvironment
}

func request(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://function.test"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func (s *suite) http(t *testing.T) {
	if s.caps.Pool != nil {
		t.Skip("an http program is its function's own and not booted ahead")
	}
	b := s.backend(t)

	t.Run("request and answer", func(t *testing.T) {
		e := s.ready(t, b, web)
		res, err := e.RoundTrip(request(t, "PUT", "/echo?a=1&b=%20", strings.NewReader("some body")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusTeapot || string(body) != "some body" || err != nil {
			t.Errorf("%s, %q, %v", res.Status, body, err)
		}
		for name, want := range map[string]string{"X-Method": "PUT", "X-Query": "a=1&b=%20", "X-Host": "function.test"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})

	t.Run("a path says when it is ready", func(t *testing.T) {
		e := s.ready(t, b, web, func(s *sandbox.Spec) { s.Ready = "/ready" })
		if got := get(t, e, "/looks"); got < "3" {
			t.Errorf("it was ready after %s looks at its path, which answers 503 twice", got)
		}
	})

	t.Run("what it prints", func(t *testing.T) {
		e := s.ready(t, b, web)
		get(t, e, "/lines?n=100")
		e.out.wait(t, "web line 99")
	})

	t.Run("many at once", func(t *testing.T) {
		e := s.ready(t, b, web)
		const n = 20
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				res, err := e.RoundTrip(request(t, "GET", fmt.Sprintf("/barrier?n=%d", n), nil))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			})
		}
		wg.Wait()
	})

	t.Run("both sides stream", func(t *testing.T) {
		e := s.ready(t, b, web)
		r, w := io.Pipe()
		res, err := e.RoundTrip(request(t, "POST", "/duplex", r))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answers := bufio.NewReader(res.Body)
		for i := range 5 {
			fmt.Fprintf(w, "%d\n", i)
			if got, err := answers.ReadString('\n'); got != fmt.Sprintf("you said %d\n", i) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		w.Close()
		if rest, err := io.ReadAll(answers); len(rest) != 0 || err != nil {
			t.Errorf("the end is %q, %v", rest, err)
		}
	})

	t.Run("an upgrade", func(t *testing.T) {
		e := s.ready(t, b, web)
		req := request(t, "GET", "/upgrade", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		res, err := e.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res.Status)
		}
		conn, ok := res.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("the body after 101 is a %T, want an io.ReadWriteCloser", res.Body)
		}
		defer conn.Close()
		lines := bufio.NewReader(conn)
		for i := range 5 {
			fmt.Fprintf(conn, "line %d\n", i)
			if got, err := lines.ReadString('\n'); got != fmt.Sprintf("line %d\n", i) {
				t.Fatalf("%q, %v", got, err)
			}
		}
	})

	t.Run("who waits can give up", func(t *testing.T) {
		e := s.ready(t, b, web)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if res, err := e.RoundTrip(request(t, "GET", "/hang", nil).WithContext(ctx)); err == nil {
			t.Errorf("it was answered: %s", res.Status)
		}
		get(t, e, "/looks") // and only that request is gone
	})

	t.Run("a program that speaks no HTTP", func(t *testing.T) {
		e := s.ready(t, b, web)
		for _, target := range []string{"/junk", "/status", "/length", "/chunks", "/endless-header"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := e.RoundTrip(request(t, "GET", target, nil).WithContext(ctx))
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			if err == nil {
				t.Errorf("%s was answered: %s", target, res.Status)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: the answer never ended", target)
			}
		}
		get(t, e, "/looks") // its other answers are as good as ever
	})

	t.Run("an exit", func(t *testing.T) {
		e := s.ready(t, b, web)
		res, err := e.RoundTrip(request(t, "GET", "/exit", nil))
		if err == nil {
			t.Fatalf("it was answered: %s", res.Status)
		}
		var f *gust.FunctionError
		if !errors.As(err, &f) || f.Outcome != gust.OutcomeExit {
			t.Errorf("%v (%T), want the outcome %s", err, err, gust.OutcomeExit)
		}
		ended(t, e, gust.OutcomeExit, 5)
	})

	t.Run("a program that exits before it listens", func(t *testing.T) {
		e := s.start(t, b, web, with("ATTACKER_INIT", "exit"))
		within(t, "Ready", e.Ready())
		if f := e.InitError(); f == nil || f.Outcome != gust.OutcomeInit || !strings.Contains(f.Output, "leaving") {
			t.Errorf("the init error is %+v", f)
		}
		ended(t, e, gust.OutcomeExit, 3)
	})

	t.Run("a program that is never ready", func(t *testing.T) {
		e := s.start(t, b, web, func(s *sandbox.Spec) { s.Ready = "/never" })
		e.Stop(0)
		within(t, "Ready", e.Ready())
		if e.InitError() == nil {
			t.Error("it is ready")
		}
	})
}

// get asks for a page that has to be there.
func get(t *testing.T, e *env, target string) string {
	t.Helper()
	res, err := e.RoundTrip(request(t, "GET", target, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %q, %v", target, res.Status, body, err)
	}
	return string(body)
}
