package sandboxtest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// doors answer, in the node's place, at the listeners that the suite's
// environments have for the node's API.
type doors struct {
	mu   sync.Mutex
	open map[string]*door // by environment
}

// door is one environment's.
type door struct {
	id      string
	token   [sha256.Size]byte
	ln      net.Listener
	server  *http.Server
	cancel  context.CancelFunc
	served  chan struct{} // closed when it is closed and nothing of it is left
	held    chan struct{} // gets who asks for /held
	release chan struct{} // lets one of those go
}

// at is Spec.API of an environment.
func (ds *doors) at(id string) func(net.Listener, [sha256.Size]byte) io.Closer {
	return func(ln net.Listener, token [sha256.Size]byte) io.Closer {
		ctx, cancel := context.WithCancel(context.Background())
		d := &door{id: id, token: token, ln: ln, cancel: cancel, served: make(chan struct{}), held: make(chan struct{}), release: make(chan struct{})}
		d.server = &http.Server{Handler: d, BaseContext: func(net.Listener) context.Context { return ctx }}
		ds.mu.Lock()
		if ds.open == nil {
			ds.open = map[string]*door{}
		}
		ds.open[id] = d
		ds.mu.Unlock()
		go func() {
			defer close(d.served)
			_ = d.server.Serve(ln) // until it is closed
		}()
		return d
	}
}

func (ds *doors) of(e *env) *door {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.open[e.spec.ID]
}

// ServeHTTP tells everybody through whose door they came, and whether they have
// shown its token.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/held" {
		d.held <- struct{}{}
		select {
		case <-d.release:
		case <-r.Context().Done():
			return
		}
	}
	_ = json.NewEncoder(w).Encode(wire.Door{
		Environment: d.id, Known: sha256.Sum256([]byte(r.Header.Get("Authorization"))) == d.token, Path: r.URL.Path,
	})
}

// Close implements what Spec.API returns.
func (d *door) Close() error {
	d.cancel()
	err := d.server.Close()
	d.ln.Close() // should Serve not have begun
	<-d.served
	return err
}

// api: each environment has a way to the node's API, and a token, of its own.
func (s *suite) api(t *testing.T) {
	b := s.backend(t)
	call := func(t *testing.T, e *env, path string) {
		t.Helper()
		got := ask[wire.Door](t, e, wire.Event{Do: "call", Text: path})
		if want := (wire.Door{Environment: e.spec.ID, Known: true, Path: path}); got != want {
			t.Errorf("%s: the node saw %+v, want %+v", path, got, want)
		}
	}

	t.Run("calls", func(t *testing.T) {
		one, other := s.ready(t, b), s.ready(t, b)
		for _, e := range []*env{one, other} {
			call(t, e, "/some/path")
			call(t, e, sandbox.CredentialsPath)
		}
		if s.doors.of(one).token == s.doors.of(other).token {
			t.Error("two environments have the same token")
		}
	})

	t.Run("a call while it starts", func(t *testing.T) {
		e := s.ready(t, b, with("ATTACKER_INIT", "call"))
		e.out.wait(t, e.spec.ID)
	})

	t.Run("a call of an http program", func(t *testing.T) {
		if s.caps.Pool != nil {
			t.Skip("an http program is its function's own and not booted ahead")
		}
		e := s.ready(t, b, web)
		if got := get(t, e, "/call"); !strings.Contains(got, e.spec.ID) || !strings.Contains(got, `"known":true`) {
			t.Errorf("the node saw %s", got)
		}
	})

	t.Run("the variables", func(t *testing.T) {
		for _, name := range []string{
			"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
			"AWS_ENDPOINT_URL", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		} {
			t.Setenv(name, "the node's own")
		}
		e := s.ready(t, b)
		d := s.doors.of(e)
		var names []string
		for _, v := range ask[[]string](t, e, wire.Event{Do: "environ"}) {
			name, value, _ := strings.Cut(v, "=")
			if strings.HasPrefix(name, "AWS_") {
				names = append(names, name)
			}
			if strings.Contains(value, "the node's own") || sha256.Sum256([]byte(value)) == d.token {
				t.Errorf("%s has what it must not have", name)
			}
		}
		slices.Sort(names)
		want := []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL", "AWS_LAMBDA_RUNTIME_API"}
		if !slices.Equal(names, want) {
			t.Errorf("it has the variables %q, want %q", names, want)
		}
	})

	t.Run("an endpoint of its own choice", func(t *testing.T) {
		const mine = "AWS_ENDPOINT_URL=https://aws.test"
		e := s.ready(t, b, func(s *sandbox.Spec) { s.Env = append(s.Env, mine) })
		got := slices.DeleteFunc(ask[[]string](t, e, wire.Event{Do: "environ"}), func(v string) bool { return !strings.HasPrefix(v, "AWS_ENDPOINT_URL=") })
		if !slices.Equal(got, []string{mine}) {
			t.Errorf("it has %q, want %q", got, mine)
		}
	})

	t.Run("without one", func(t *testing.T) {
		e := s.ready(t, b, func(s *sandbox.Spec) { s.API = nil })
		for _, v := range ask[[]string](t, e, wire.Event{Do: "environ"}) {
			if strings.HasPrefix(v, "AWS_ENDPOINT_URL") || strings.HasPrefix(v, "AWS_CONTAINER") {
				t.Errorf("it has %s", v)
			}
		}
		if !s.caps.Isolation {
			return // the port is the host's
		}
		f := ask[wire.Findings](t, e, wire.Event{Do: "reach", Targets: wire.Targets{TCP: []string{"127.0.0.1:9002"}}})
		if len(f.Refused) != 1 || !strings.Contains(f.Refused[0], "refused") {
			t.Errorf("who connects is not refused: %+v", f)
		}
	})

	t.Run("a call over a freeze", func(t *testing.T) {
		e := s.ready(t, b)
		d := s.doors.of(e)
		done := make(chan struct{})
		go func() { defer close(done); call(t, e, "/held") }()
		within(t, "the call", d.held)
		if err := e.Freeze(); err != nil {
			t.Fatal(err)
		}
		d.release <- struct{}{}
		select {
		case <-done:
			if s.caps.Freeze {
				t.Error("a frozen program has answered")
			}
		default:
		}
		if err := e.Thaw(); err != nil {
			t.Fatal(err)
		}
		within(t, "the answer", done)
		call(t, e, "/again")
	})

	t.Run("a call over the end", func(t *testing.T) {
		e := s.ready(t, b)
		d := s.doors.of(e)
		go e.Invoke(t.Context(), invocation(wire.Event{Do: "call", Text: "/held"}, patience)) //nolint:errcheck // its environment ends
		within(t, "the call", d.held)
		e.Stop(0)
		within(t, "the door's end", d.served)
		if conn, err := net.Dial("tcp", d.ln.Addr().String()); err == nil && !s.caps.Isolation {
			conn.Close()
			t.Error("somebody still listens there")
		}
	})
}
