package httpapp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"

	gust "github.com/gust-dev/gust"
)

var crashed = &gust.FunctionError{Outcome: gust.OutcomeExit, Type: "Runtime.ExitError", Message: "exit status 3"}

// start serves h as the program, and returns its App.
func start(t testing.TB, h http.HandlerFunc, opts Options) *App {
	t.Helper()
	ln := listen(t)
	srv := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(ln) })
	a := New(dialer(ln.Addr()), opts)
	t.Cleanup(func() {
		a.Close()
		srv.Close()
		serving.Wait()
	})
	return a
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dialer(addr net.Addr) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, addr.Network(), addr.String())
	}
}

// raw answers each connection with what it says, whatever is asked, reading a
// request's head first.
func raw(t testing.TB, answer func(net.Conn, *http.Request)) *App {
	t.Helper()
	ln := listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					answer(c, req)
				}
			})
		}
	})
	a := New(dialer(ln.Addr()), Options{})
	t.Cleanup(func() { a.Close(); ln.Close(); all.Wait() })
	return a
}

func request(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRequestsArriveAsTheyAre(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v %d %s", r.Method, r.Host, r.RequestURI, r.Header, r.ContentLength, b)
	}, Options{})
	for _, c := range []struct {
		name string
		req  *http.Request
		want string
	}{
		{"a host and a query", request(t, "GET", "https://shop.example/a%2Fb?c=d&e", nil), "GET shop.example /a%2Fb?c=d&e map[] 0 "},
		{"neither", request(t, "DELETE", "/x", nil), "DELETE program /x map[] 0 "},
		{"a body of known length", request(t, "POST", "/x", strings.NewReader("body")), "POST program /x map[Content-Length:[4]] 4 body"},
		{"a body of unknown length", request(t, "POST", "/x", iotest.OneByteReader(strings.NewReader("body"))), "POST program /x map[] -1 body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.req.URL.String()
			resp, err := a.RoundTrip(c.req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(b) != c.want {
				t.Errorf("got %s, %v", b, err)
			}
			if c.req.URL.String() != before || resp.Request != c.req {
				t.Error("the caller's request was changed")
			}
		})
	}
	req := request(t, "GET", "/", nil)
	req.Header.Set("User-Agent", "browser")
	req.Header.Set("Accept-Encoding", "br")
	resp, err := a.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "map[Accept-Encoding:[br] User-Agent:[browser]]") {
		t.Errorf("got %s", b)
	}
}

func TestBodiesStreamBothWays(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("Trailer", "Sum")
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			io.WriteString(w, "re: "+line)
			rc.Flush()
		}
		w.Header().Set("Sum", "42")
	}, Options{})
	r, w := io.Pipe()
	go io.WriteString(w, "0\n")
	resp, err := a.RoundTrip(request(t, "POST", "/", r))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for i := range 5 { // each line is answered before the next is sent
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("re: %d\n", i) {
			t.Fatalf("got %q, %v", line, err)
		}
		if i < 4 {
			fmt.Fprintf(w, "%d\n", i+1)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v", rest, err)
	}
	if resp.Trailer.Get("Sum") != "42" {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

func TestCompressedAnswersAreLeftAlone(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "not really")
	}, Options{})
	resp, err := a.RoundTrip(request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "not really" || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %q, %v", b, resp.Header)
	}
}

func TestWebSocket(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), kind, append([]byte("re: "), b...))
		}
	}, Options{})
	// The client goes through the App alone, as through a gateway.
	c, resp, err := websocket.Dial(t.Context(), "ws://shop.example/chat", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: roundTripper(a.RoundTrip)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", resp.StatusCode)
	}
	for _, text := range []string{"a", strings.Repeat("long ", 5000)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(t.Context()); err != nil || string(b) != "re: "+text {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestExpectContinue(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	}, Options{})
	for path, want := range map[string]string{"/refuse": "403 ", "/take": "200 body"} {
		body := &spy{Reader: strings.NewReader("body")}
		req := request(t, "POST", path, body)
		req.Header.Set("Expect", "100-continue")
		resp, err := a.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, b); got != want {
			t.Errorf("%s: got %s", path, got)
		}
		if read := body.read.Load(); read != (path == "/take") {
			t.Errorf("%s: the body was read: %v", path, read)
		}
	}
}

type spy struct {
	io.Reader
	read atomic.Bool
}

func (s *spy) Read(p []byte) (int, error) {
	s.read.Store(true)
	return s.Reader.Read(p)
}

func TestConnectionsAreKept(t *testing.T) {
	var dials atomic.Int32
	ln := listen(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
	go srv.Serve(ln)
	defer srv.Close()
	dial := dialer(ln.Addr())
	a := New(func(ctx context.Context) (net.Conn, error) { dials.Add(1); return dial(ctx) }, Options{})
	defer a.Close()
	<-a.Ready()
	dials.Store(0)
	for range 20 {
		resp, err := a.RoundTrip(request(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections for 20 requests", n)
	}
}

func TestReadiness(t *testing.T) {
	t.Run("by a connection", func(t *testing.T) {
		// The port is known before the program listens on it.
		ln := listen(t)
		addr := ln.Addr()
		ln.Close()
		asked := make(chan struct{}, 1)
		dial := dialer(addr)
		a := New(func(ctx context.Context) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				select {
				case asked <- struct{}{}:
				default:
				}
			}
			return c, err
		}, Options{})
		defer a.Close()
		<-asked
		select {
		case <-a.Ready():
			t.Fatal("ready before anybody listened")
		default:
		}
		ln, err := net.Listen("tcp", addr.String())
		if err != nil {
			t.Skip("the port was taken meanwhile:", err)
		}
		defer ln.Close()
		<-a.Ready()
		if err := a.InitError(); err != nil {
			t.Error(err)
		}
	})
	for _, status := range []int{200, 204, 301} {
		t.Run(fmt.Sprintf("by a path that answers %d at last", status), func(t *testing.T) {
			var asked atomic.Int32
			a := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI != "/ready?full=1" || r.Header.Get("User-Agent") != "gust-ready" {
					t.Errorf("asked for %s with %v", r.RequestURI, r.Header)
				}
				w.Header().Set("Location", "/elsewhere")
				switch asked.Add(1) {
				case 1:
					w.WriteHeader(503)
				case 2:
					w.WriteHeader(404)
				default:
					w.WriteHeader(status)
				}
			}, Options{ReadyPath: "/ready?full=1"})
			<-a.Ready()
			if n := asked.Load(); n != 3 || a.InitError() != nil {
				t.Errorf("asked %d times, %v", n, a.InitError())
			}
		})
	}
	t.Run("never", func(t *testing.T) {
		a := New(func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }, Options{})
		got := make(chan error)
		go func() {
			_, err := a.RoundTrip(request(t, "GET", "/", nil))
			got <- err
		}()
		a.Fail(crashed)
		<-a.Ready()
		if a.InitError() != crashed {
			t.Errorf("got %v", a.InitError())
		}
		if err := <-got; err != error(crashed) {
			t.Errorf("got %v", err)
		}
		a.Close()
		if a.InitError() != crashed {
			t.Errorf("got %v", a.InitError())
		}
	})
	t.Run("not within the context", func(t *testing.T) {
		a := New(func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }, Options{})
		defer a.Close()
		cause := errors.New("no time left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, err := a.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx)); err != cause {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancelledRequestIsCancelledThere(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}, Options{})
	cause := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-entered; cancel(cause) }()
	if _, err := a.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx)); err != cause {
		t.Errorf("got %v", err)
	}
	<-left
}

func TestProgramEnds(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		var a *App
		a = raw(t, func(c net.Conn, _ *http.Request) { go a.Fail(crashed); c.Close() })
		if _, err := a.RoundTrip(request(t, "POST", "/", strings.NewReader("x"))); err != error(crashed) {
			t.Errorf("got %v", err)
		}
		if _, err := a.RoundTrip(request(t, "GET", "/", nil)); err != ErrEnded {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("in the answer", func(t *testing.T) {
		var a *App
		a = raw(t, func(c net.Conn, _ *http.Request) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			go a.Fail(crashed)
			c.Close()
		})
		resp, err := a.RoundTrip(request(t, "POST", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "half" || err != error(crashed) {
			t.Errorf("got %q, %v", b, err)
		}
		if _, again := resp.Body.Read(make([]byte, 1)); again != err {
			t.Errorf("then %v", again)
		}
		resp.Body.Close()
	})
}

func TestProgramBreaksTheProtocol(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":      "",
		"no HTTP":      "hello\r\n\r\n",
		"endless head": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHead),
		"bad chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := raw(t, func(c net.Conn, _ *http.Request) { io.WriteString(c, answer); c.Close() })
			resp, err := a.RoundTrip(request(t, "POST", "/", nil))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			var fe *gust.FunctionError
			if !errors.As(err, &fe) || fe.Outcome != gust.OutcomeProtocol || fe.Type != "Runtime.InvalidResponse" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whoever sends a body that breaks off gets that back, and the program is not
// blamed.
func TestRequestBodyThatFails(t *testing.T) {
	a := start(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, Options{})
	broken := errors.New("the upload broke off")
	_, err := a.RoundTrip(request(t, "POST", "/", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A kept connection that the program has closed meanwhile costs an idempotent
// request nothing; one that is not is never sent twice.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			n := 0
			a := raw(t, func(c net.Conn, r *http.Request) {
				mu.Lock()
				n++
				k := n
				b, _ := io.ReadAll(r.Body)
				got = append(got, r.URL.Path+string(b))
				mu.Unlock()
				if k == 2 {
					c.Close() // instead of an answer
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			send := func(path string) error {
				resp, err := a.RoundTrip(request(t, method, path, bytes.NewReader([]byte("b"))))
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				return err
			}
			if err := send("/1"); err != nil {
				t.Fatal(err)
			}
			err := send("/2")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case method == "GET" && (err != nil || len(got) != 3 || got[2] != "/2b"):
				t.Errorf("got %v, %v", got, err)
			case method == "POST" && (err == nil || len(got) != 2):
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestCloseEndsRequests(t *testing.T) {
	entered := make(chan struct{})
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}, Options{})
	go func() { <-entered; a.Close() }()
	_, err := a.RoundTrip(request(t, "POST", "/", nil))
	var fe *gust.FunctionError
	if !errors.As(err, &fe) || fe.Type != "Sandbox.Stopped" {
		t.Errorf("got %v", err)
	}
}

func TestReadyPathThatHangsIsAskedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as the program is given to answer")
	}
	release := make(chan struct{})
	var asked atomic.Int32
	a := start(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}, Options{ReadyPath: "/"})
	defer close(release)
	select {
	case <-a.Ready():
	case <-time.After(10 * readyTimeout):
		t.Fatal("it is not asked again")
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	a := start(b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, Options{})
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := a.RoundTrip(request(b, "GET", "http://x/", nil))
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		resp.Body.Close()
	}
}
