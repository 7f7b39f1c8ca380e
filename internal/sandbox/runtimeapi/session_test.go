package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gust "github.com/gust-dev/gust"
)

// far is a deadline that no test waits for: 2100-01-01.
var far = time.UnixMilli(4102444800000)

func start(t testing.TB, opts Options) *Session {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(ln, opts)
	t.Cleanup(s.Close)
	return s
}

// client is the program's side of a connection.
type client struct {
	t testing.TB
	net.Conn
	in *reader
}

func connect(t testing.TB, s *Session) *client {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, Conn: nc, in: &reader{src: nc}}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Error(err)
	}
}

const nextRequest = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

func (c *client) next() { c.send(nextRequest) }

func (c *client) post(path, headers, body string) {
	c.send(fmt.Sprintf("POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, len(body), body))
}

type message struct {
	status  string
	headers map[string]string
	body    string
}

// read reads one answer.
func (c *client) read() message {
	c.t.Helper()
	m, err := c.tryRead()
	if err != nil {
		c.t.Errorf("reading an answer: %v", err)
	}
	return m
}

func (c *client) tryRead() (message, error) {
	c.SetReadDeadline(time.Now().Add(10 * time.Second)) // a hang fails, it does not hang
	m := message{headers: map[string]string{}}
	line, err := c.in.line(maxLine)
	if err != nil {
		return m, err
	}
	m.status = string(line)
	length := int64(0)
	for {
		line, err := c.in.line(maxLine)
		if err != nil {
			return m, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ": ")
		m.headers[name] = value
		if name == "Content-Length" {
			length, _ = decimal([]byte(value))
		}
	}
	b := make([]byte, length)
	_, err = io.ReadFull(c.in, b)
	m.body = string(b)
	return m, err
}

type outcome struct {
	result *gust.Result
	err    error
}

func invoke(s *Session, ctx context.Context, id, payload string, deadline time.Time) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		r, err := s.Invoke(ctx, &gust.Invocation{RequestID: id, Payload: []byte(payload), Deadline: deadline, ARN: "arn:f"})
		ch <- outcome{r, err}
	}()
	return ch
}

func wantOK(t testing.TB, ch <-chan outcome, payload string) {
	t.Helper()
	o := <-ch
	if o.err != nil || string(o.result.Payload) != payload {
		t.Errorf("got %+v, %v, want the payload %q", o.result, o.err, payload)
	}
}

func wantError(t testing.TB, err error, outcome gust.Outcome, kind, message string) {
	t.Helper()
	var fe *gust.FunctionError
	if !errors.As(err, &fe) || fe.Outcome != outcome || fe.Type != kind || !strings.Contains(fe.Message, message) {
		t.Errorf("got %#v, want %s, %s: %s", err, outcome, kind, message)
	}
}

func TestRoundTrips(t *testing.T) {
	s := start(t, Options{})
	c := connect(t, s)
	for i := range 50 {
		id := fmt.Sprint("id-", i)
		payload := strings.Repeat("x", i*i*i) // also past every buffer
		done := invoke(s, t.Context(), id, payload, far)
		c.next()
		if m := c.read(); m.body != payload || m.headers["Lambda-Runtime-Aws-Request-Id"] != id {
			t.Fatalf("got %.200v", m)
		}
		c.post("invocation/"+id+"/response", "", payload+"!")
		wantOK(t, done, payload+"!")
		if m := c.read(); m.status != "HTTP/1.1 202 Accepted" {
			t.Fatalf("got %v", m)
		}
	}
}

func TestReadyAtTheFirstNext(t *testing.T) {
	s := start(t, Options{})
	select {
	case <-s.Ready():
		t.Fatal("ready before the program was there")
	default:
	}
	connect(t, s).next()
	<-s.Ready()
	if err := s.InitError(); err != nil {
		t.Error(err)
	}
}

func TestInitError(t *testing.T) {
	s := start(t, Options{})
	waiting := invoke(s, t.Context(), "a", "", far)
	c := connect(t, s)
	c.post("init/error", "Lambda-Runtime-Function-Error-Type: Runtime.NoSuchHandler\r\n", `{"errorMessage":"no handler","errorType":"Init.Error","stackTrace":[]}`)
	if m := c.read(); m.status != "HTTP/1.1 202 Accepted" {
		t.Errorf("got %v", m)
	}
	<-s.Ready()
	wantError(t, s.InitError(), gust.OutcomeInit, "Init.Error", "no handler")
	wantError(t, (<-waiting).err, gust.OutcomeInit, "Init.Error", "no handler")
	wantError(t, (<-invoke(s, t.Context(), "b", "", far)).err, gust.OutcomeInit, "Init.Error", "no handler")
	if string(s.InitError().Document()) != `{"errorMessage":"no handler","errorType":"Init.Error","stackTrace":[]}` {
		t.Errorf("the document is %s", s.InitError().Document())
	}
}

func TestFailEndsWhateverWaits(t *testing.T) {
	s := start(t, Options{})
	c := connect(t, s)
	given := invoke(s, t.Context(), "given", "", far)
	c.next()
	c.read()
	queued := invoke(s, t.Context(), "queued", "", far)
	until(t, func() bool { return s.queued() != 0 })
	c.Close()
	e := &gust.FunctionError{Outcome: gust.OutcomeExit, Message: "exit status 2"}
	s.Fail(e)
	if o := <-given; o.err != error(e) {
		t.Errorf("given: got %v", o.err)
	}
	if o := <-queued; o.err != ErrEnded {
		t.Errorf("queued: got %v", o.err)
	}
	if _, err := s.Invoke(t.Context(), &gust.Invocation{Deadline: far}); err != ErrEnded {
		t.Errorf("afterwards: got %v", err)
	}
	if s.InitError() != nil {
		t.Error("it had been ready")
	}
}

// until waits for a state that gives no signal.
func until(t testing.TB, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("it never came to that")
		}
	}
}

func (s *Session) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// What the program had sent when it died still counts.
func TestFailTakesWhatWasSent(t *testing.T) {
	for range 20 {
		s := start(t, Options{})
		c := connect(t, s)
		done := invoke(s, t.Context(), "a", "", far)
		c.next()
		c.read()
		c.post("invocation/a/response", "", "last words")
		c.Close()
		s.Fail(&gust.FunctionError{Outcome: gust.OutcomeExit})
		wantOK(t, done, "last words")
	}
}

func TestFailBeforeReady(t *testing.T) {
	s := start(t, Options{})
	waiting := invoke(s, t.Context(), "a", "", far)
	e := &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "Runtime.ExitError", Message: "exit status 1"}
	s.Fail(e)
	<-s.Ready()
	if s.InitError() != e {
		t.Errorf("got %v", s.InitError())
	}
	if o := <-waiting; o.err != error(e) && o.err != ErrEnded {
		t.Errorf("got %v", o.err)
	}
}

func TestFailWithASilentConnectionStillThere(t *testing.T) {
	s := start(t, Options{})
	c := connect(t, s)
	c.next()
	<-s.Ready()
	connect(t, s).send("POST /2018-06")
	s.Fail(&gust.FunctionError{Outcome: gust.OutcomeExit}) // returns although both are open
}

func TestDeadline(t *testing.T) {
	t.Run("given", func(t *testing.T) {
		s := start(t, Options{})
		c := connect(t, s)
		c.next()
		until(t, func() bool { return s.parked() == 1 })
		o := <-invoke(s, t.Context(), "a", "", time.Now().Add(20*time.Millisecond))
		if o.err != ErrDeadline {
			t.Fatalf("got %v", o.err)
		}
		c.read()
		c.post("invocation/a/response", "", "late")
		if m := c.read(); m.status != "HTTP/1.1 410 Gone" || !strings.Contains(m.body, `"InvokeTimeout"`) {
			t.Errorf("got %v", m)
		}
		// The session itself goes on; ending the program is the backend's.
		done := invoke(s, t.Context(), "b", "", far)
		c.next()
		c.read()
		c.post("invocation/b/error", "", `{"errorType":"E","errorMessage":"m"}`)
		wantError(t, (<-done).err, gust.OutcomeError, "E", "m")
	})
	t.Run("not given", func(t *testing.T) {
		s := start(t, Options{})
		if o := <-invoke(s, t.Context(), "a", "", time.Now().Add(time.Millisecond)); o.err != ErrDeadline {
			t.Fatalf("got %v", o.err)
		}
		if n := s.queued(); n != 0 {
			t.Errorf("%d calls are still queued", n)
		}
	})
	t.Run("while the answer comes", func(t *testing.T) {
		s := start(t, Options{})
		c := connect(t, s)
		c.next()
		until(t, func() bool { return s.parked() == 1 })
		done := invoke(s, t.Context(), "a", "", time.Now().Add(300*time.Millisecond))
		c.read()
		c.send("POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		if o := <-done; o.err != ErrDeadline {
			t.Fatalf("got %v", o.err)
		}
		if _, err := c.Read(make([]byte, 100)); err == nil {
			t.Error("the connection is still open")
		}
	})
	t.Run("while the event is written", func(t *testing.T) {
		// A pipe has no buffer: the write blocks until the program reads.
		synctest.Test(t, func(t *testing.T) {
			ln := newPipeListener()
			s := New(ln, Options{})
			c := &client{t: t, Conn: ln.dial()}
			c.next()
			<-s.Ready()
			begin := time.Now()
			_, err := s.Invoke(t.Context(), &gust.Invocation{RequestID: "a", Payload: make([]byte, 1<<20), Deadline: begin.Add(3 * time.Second)})
			if err != ErrDeadline || time.Since(begin) != 3*time.Second {
				t.Errorf("got %v after %v", err, time.Since(begin))
			}
			s.Close()
		})
	})
}

func TestCancelledContext(t *testing.T) {
	s := start(t, Options{})
	cause := errors.New("the caller went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	queued := invoke(s, ctx, "a", "", far)
	cancel(cause)
	if o := <-queued; o.err != cause {
		t.Errorf("queued: got %v", o.err)
	}
	c := connect(t, s)
	ctx, cancel = context.WithCancelCause(t.Context())
	given := invoke(s, ctx, "b", "", far)
	c.next()
	c.read()
	cancel(cause)
	if o := <-given; !errors.Is(o.err, cause) || !errors.Is(o.err, ErrAbandoned) {
		t.Errorf("given: got %v", o.err)
	}
	// Its answer is not taken for anybody else's, and gives its place back.
	next := invoke(s, t.Context(), "c", "", far)
	c.post("invocation/b/response", "", "unwanted")
	if m := c.read(); m.status != "HTTP/1.1 410 Gone" {
		t.Errorf("got %v", m)
	}
	c.next()
	if m := c.read(); m.headers["Lambda-Runtime-Aws-Request-Id"] != "c" {
		t.Errorf("got %v", m)
	}
	c.post("invocation/c/response", "", "ok")
	wantOK(t, next, "ok")
}

// A connection that goes away while it waits loses no event.
func TestEventGoesToALivingConnection(t *testing.T) {
	s := start(t, Options{})
	dead := connect(t, s)
	dead.next()
	<-s.Ready()
	dead.Close()
	until(t, func() bool { return s.parked() == 0 })
	done := invoke(s, t.Context(), "a", "e", far)
	c := connect(t, s)
	c.next()
	if m := c.read(); m.body != "e" {
		t.Fatalf("got %v", m)
	}
	c.post("invocation/a/response", "", "r")
	wantOK(t, done, "r")
}

func (s *Session) parked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

func TestOneAtATime(t *testing.T) {
	s := start(t, Options{})
	a, b := connect(t, s), connect(t, s)
	a.next()
	b.next()
	until(t, func() bool { return s.parked() == 2 })
	first := invoke(s, t.Context(), "1", "1", far)
	until(t, func() bool { return s.parked() == 1 })
	second := invoke(s, t.Context(), "2", "2", far)
	until(t, func() bool { return s.queued() == 1 })
	// Whichever connection got it, the other gets nothing before the answer;
	// and the answer may come over any.
	c := connect(t, s)
	c.post("invocation/2/response", "", "too early")
	if m := c.read(); m.status != "HTTP/1.1 400 Bad Request" || !strings.Contains(m.body, "InvalidRequestID") {
		t.Errorf("got %v", m)
	}
	c.post("invocation/1/response", "", "one")
	wantOK(t, first, "one")
	c.read()
	c.post("invocation/2/response", "", "two")
	wantOK(t, second, "two")
}

func TestManyAtATime(t *testing.T) {
	const concurrency, each = 8, 25
	s := start(t, Options{Concurrency: concurrency})
	var program, invokers sync.WaitGroup
	for range concurrency {
		c := connect(t, s)
		program.Go(func() {
			for { // until the session is closed, wherever that is
				if _, err := io.WriteString(c.Conn, nextRequest); err != nil {
					return
				}
				m, err := c.tryRead()
				if err != nil {
					return
				}
				body := "re: " + m.body
				if _, err := fmt.Fprintf(c.Conn, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
					m.headers["Lambda-Runtime-Aws-Request-Id"], len(body), body); err != nil {
					return
				}
				if _, err := c.tryRead(); err != nil {
					return
				}
			}
		})
	}
	for i := range 2 * concurrency {
		invokers.Go(func() {
			for j := range each {
				id := fmt.Sprintf("%d-%d", i, j)
				o := <-invoke(s, t.Context(), id, "event "+id, far)
				if o.err != nil || string(o.result.Payload) != "re: event "+id {
					t.Errorf("%s: got %+v, %v", id, o.result, o.err)
				}
			}
		})
	}
	invokers.Wait()
	s.Close()
	program.Wait()
}

// The same request id twice at once would make answers ambiguous.
func TestSameRequestIDIsOutOnceAtATime(t *testing.T) {
	s := start(t, Options{Concurrency: 2})
	a, b := connect(t, s), connect(t, s)
	first := invoke(s, t.Context(), "same", "1", far)
	a.next()
	a.read()
	second := invoke(s, t.Context(), "same", "2", far)
	b.next()
	until(t, func() bool { return s.parked() == 1 && s.queued() == 1 })
	a.post("invocation/same/response", "", "one")
	wantOK(t, first, "one")
	a.read()
	if m := b.read(); m.body != "2" {
		t.Errorf("got %v", m)
	}
	b.post("invocation/same/response", "", "two")
	wantOK(t, second, "two")
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		s := New(ln, Options{})
		var held []net.Conn
		for range 2*1 + 16 {
			held = append(held, ln.dial())
		}
		late := make(chan net.Conn)
		go func() { late <- ln.dial() }()
		synctest.Wait()
		select {
		case <-late:
			t.Error("one connection too many was accepted")
		default:
		}
		held[7].Close()
		c := &client{t: t, Conn: <-late}
		c.next()
		<-s.Ready()
		s.Close()
	})
}

// A node short of descriptors serves the program as soon as it has some.
func TestAcceptingGoesOnAfterAFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(&flaky{Listener: ln, failures: 3}, Options{})
	defer s.Close()
	connect(t, s).next()
	<-s.Ready()
}

type flaky struct {
	net.Listener
	failures int
}

func (l *flaky) Accept() (net.Conn, error) {
	if l.failures--; l.failures >= 0 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestHeadersOfAnEventCannotBeForged(t *testing.T) {
	s := start(t, Options{})
	c := connect(t, s)
	go s.Invoke(t.Context(), &gust.Invocation{
		RequestID: "a", Deadline: far, ARN: "arn",
		TraceID:       "Root=1\r\nLambda-Runtime-Deadline-Ms: 1\r\n\r\nbody",
		ClientContext: "{\n\t\"custom\": {}\n}",
	})
	c.next()
	m := c.read()
	if got := m.headers["Lambda-Runtime-Trace-Id"]; got != "Root=1  Lambda-Runtime-Deadline-Ms: 1    body" {
		t.Errorf("trace id %q", got)
	}
	if got := m.headers["Lambda-Runtime-Client-Context"]; got != `{  "custom": {} }` {
		t.Errorf("client context %q", got)
	}
	if got := m.headers["Lambda-Runtime-Deadline-Ms"]; got != "4102444800000" {
		t.Errorf("deadline %q", got)
	}
}

// pipeListener accepts in-memory connections, which synctest can see through.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	a, b := net.Pipe()
	l.conns <- b
	return a
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
