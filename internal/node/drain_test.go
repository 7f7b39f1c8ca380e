package node_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

const drainManifest = `
app: drain
functions:
  f: {runtime: provided, source: ./f, timeout: 10m, env: {TEST_MARKER: %[1]q}}
  web: {runtime: http, source: ./f, timeout: 10m, env: {TEST_MARKER: %[1]q}}
routes:
  GET /f: f
  "* /web/{rest...}": web
`

// open begins a request and reads the first line of its answer.
func (p *process) open(path string) (*http.Response, *bufio.Reader) {
	p.h.t.Helper()
	resp, err := p.web.Get("http://" + p.http + path)
	if err != nil {
		p.h.t.Fatal(err)
	}
	p.h.t.Cleanup(func() { resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); err != nil {
		p.h.t.Fatalf("%s answers %d, %q and %v", path, resp.StatusCode, line, err)
	}
	return resp, r
}

// dial opens a WebSocket to the actor.
func (p *process) dial() *websocket.Conn {
	p.h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+p.http+"/web/echo", nil)
	if err != nil {
		p.h.t.Fatal(err)
	}
	p.h.t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func echo(c *websocket.Conn, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return "", err
	}
	_, got, err := c.Read(ctx)
	return string(got), err
}

// refuses reports whether nobody listens.
func refuses(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}

// A node that is asked to stop takes nothing new and finishes what runs,
// whatever way it came in.
func TestDrainFinishesWhatRuns(t *testing.T) {
	h := newHouse(t)
	h.canLetGo()
	n := h.start("--drain", "10m")
	h.deploy(fmt.Sprintf(drainManifest, h.data))

	answers := make(chan reply, 2)
	go func() { answers <- n.get("/f?do=wait") }()
	go func() { answers <- n.invoke("f", `{"do": "wait"}`) }()
	sent := n.send("f", `{"do": "wait"}`)
	_, stream := n.open("/web/hold")
	socket := n.dial()
	if got, err := echo(socket, "before"); got != "before" {
		t.Fatalf("the WebSocket says %q, %v", got, err)
	}
	until(t, "three invocations run", func() bool {
		busy := 0
		for _, e := range n.environments("f") {
			busy += e.Running
		}
		return busy == 3
	})

	n.signal(syscall.SIGTERM)
	until(t, "users are refused", func() bool { return refuses(n.http) })
	health := func(path string) int {
		req, err := http.NewRequest("GET", "http://"+n.api+path, nil)
		return n.do(req, err).status
	}
	if ready, healthy := health("/readyz"), health("/healthz"); ready != http.StatusServiceUnavailable || healthy != http.StatusOK {
		t.Errorf("while the node drains /readyz answers %d and /healthz %d, want 503 and 200", ready, healthy)
	}
	until(t, "API clients are refused", func() bool { return n.invoke("f", "{}").status == http.StatusServiceUnavailable })
	if got, err := echo(socket, "after"); got != "after" {
		t.Errorf("while the node drains the WebSocket says %q, %v", got, err)
	}
	h.letGo("f")
	h.letGo("web")
	for range 2 {
		if r := <-answers; r.status != http.StatusOK || r.err != nil {
			t.Errorf("what ran ended with %d %s %v", r.status, r.body, r.err)
		}
	}
	if rest, err := io.ReadAll(stream); string(rest) != "released\n" {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	if err := socket.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("the WebSocket is closed with %v", err)
	}
	if status := n.ended(); status != 0 {
		t.Errorf("the node ended with status %d:\n%s", status, n.log.String())
	}

	// The event has run to its end, so it does not run again.
	n = h.start()
	id := sent.header.Get("X-Amzn-Requestid")
	runs := 0
	again := n.send("f", "{}").header.Get("X-Amzn-Requestid")
	n.logged(api.LogQuery{Function: "f"}, "the end of a later event", func(r *observe.Record) bool {
		if r.Kind == observe.KindStart && r.RequestID == id {
			runs++
		}
		return r.Kind == observe.KindReport && r.RequestID == again
	})
	if runs != 1 {
		t.Errorf("the event ran %d times", runs)
	}
	n.stop()
}

// What is still running when the limit is over is cut off, and the node's end
// tells so.
func TestDrainLimit(t *testing.T) {
	tests := map[string]func(*process) (done func() string){
		"an invocation": func(n *process) func() string {
			answer := make(chan reply, 1)
			go func() { answer <- n.invoke("f", `{"do": "sleep", "for": "9m", "say": "long"}`) }()
			n.begun("f", "long")
			return func() string {
				if r := <-answer; r.status == http.StatusOK && r.header.Get("X-Amz-Function-Error") == "" {
					return r.body
				}
				return ""
			}
		},
		"a stream": func(n *process) func() string {
			_, stream := n.open("/web/stream?for=9m")
			return func() string {
				if rest, err := io.ReadAll(stream); err == nil {
					return "whole: " + string(rest)
				}
				return ""
			}
		},
		"a WebSocket": func(n *process) func() string {
			socket := n.dial()
			if _, err := echo(socket, "before"); err != nil {
				n.h.t.Fatal(err)
			}
			return func() string {
				if got, err := echo(socket, "after"); err == nil {
					return got
				}
				return ""
			}
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			n := h.start("--drain", "100ms")
			h.deploy(fmt.Sprintf(drainManifest, h.data))
			done := begin(n)
			n.signal(syscall.SIGTERM)
			if status := n.ended(); status != 1 {
				t.Errorf("the node ended with status %d, want 1", status)
			}
			if log := n.log.String(); !strings.Contains(log, "cut off: still running after the drain limit of 100ms") {
				t.Errorf("nothing is said about it:\n%s", log)
			}
			if got := done(); got != "" {
				t.Errorf("it went well: %s", got)
			}
		})
	}
}

// Asked twice, a node ends at once, and the next one finds nothing amiss.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	h := newHouse(t)
	h.canLetGo()
	n := h.start("--drain", "10m") // for which nobody waits here
	h.deploy(fmt.Sprintf(drainManifest, h.data))
	event := n.send("f", `{"do": "wait", "say": "kept"}`)
	n.begun("f", "kept")
	_, _ = n.open("/web/hold")
	groups := map[string]bool{}
	h.groups(groups)
	n.signal(syscall.SIGTERM)
	until(t, "it says that it stops", func() bool { return strings.Contains(n.log.String(), "stopping") })
	n.signal(syscall.SIGTERM)
	if status := n.ended(); status != 128+int(syscall.SIGTERM) {
		t.Errorf("the node ended with status %d", status)
	}

	n = h.start()
	until(t, "the event runs again", func() bool { e := n.environments("f"); return len(e) == 1 && e[0].Running == 1 })
	h.letGo("f")
	n.logged(api.LogQuery{Function: "f"}, "the event's end", func(r *observe.Record) bool {
		return r.Kind == observe.KindReport && r.RequestID == event.header.Get("X-Amzn-Requestid")
	})
	n.stop()
	h.nothingLeft(groups)
}
