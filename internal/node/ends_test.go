package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// However a program ends, the answer over HTTP, the Lambda API's document and
// the report say so, each in its own words, and the next invocation runs.
func TestEndsAreToldApart(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy(`
app: ends
functions:
  f: {runtime: provided, source: ./f, timeout: 1m}
  hasty: {runtime: provided, source: ./f, timeout: 3s}
  dead: {runtime: provided, source: ./f, env: {INIT: crash}}
  greedy: {runtime: provided, source: ./f, env: {INIT: eat}}
  web: {runtime: http, source: ./f, timeout: 1m}
  hastyweb: {runtime: http, source: ./f, timeout: 3s}
routes:
  GET /f: f
  GET /hasty: hasty
  GET /dead: dead
  GET /greedy: greedy
  "GET /web/{rest...}": web
  "GET /hastyweb/{rest...}": hastyweb
`)
	tests := []struct {
		name, function, do string
		status             int
		errorType, message string
		outcome            gust.Outcome
		isolated           bool
	}{
		{"error", "f", "error", 502, "errorString", "told to answer with an error", gust.OutcomeError, false},
		{"exit", "f", "exit", 502, "Runtime.ExitError", "exit status 3", gust.OutcomeExit, false},
		{"crash", "f", "crash", 502, "Runtime.ExitError", "signal: aborted", gust.OutcomeCrash, false},
		{"timeout", "hasty", "sleep", 504, "Sandbox.Timedout", "timed out after 3.00 seconds", gust.OutcomeTimeout, false},
		{"too large an answer", "f", "large", 502, "Function.ResponseSizeTooLarge", "6", gust.OutcomeSize, false},
		{"out of memory", "f", "eat", 502, "Runtime.OutOfMemory", "128 MB", gust.OutcomeMemory, true},
		{"crash before it is ready", "dead", "", 502, "Runtime.ExitError", "signal: aborted", gust.OutcomeInit, false},
		{"out of memory before it is ready", "greedy", "", 502, "Runtime.OutOfMemory", "128 MB", gust.OutcomeMemory, true},
		{"http exit", "web", "exit", 502, "Runtime.ExitError", "exit status 3", gust.OutcomeExit, false},
		{"http crash", "web", "crash", 502, "Runtime.ExitError", "signal: aborted", gust.OutcomeCrash, false},
		{"http timeout", "hastyweb", "sleep", 504, "Sandbox.Timedout", "timeout of 3s", gust.OutcomeTimeout, false},
		{"http out of memory", "web", "eat", 502, "Runtime.OutOfMemory", "128 MB", gust.OutcomeMemory, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.isolated {
				h := *h
				h.t = t
				h.isolated()
			}
			path := "/" + tt.function
			web := strings.HasSuffix(tt.function, "web")
			if web {
				path += "/"
			}
			r := n.get(path + "?for=10m&do=" + tt.do)
			if r.status != tt.status || !strings.Contains(r.body, `{"message":"`) || r.err != nil {
				t.Errorf("over HTTP it is %d %s %v, want %d", r.status, r.body, r.err, tt.status)
			}
			n.reported(t, tt.function, r.header.Get("X-Amzn-Requestid"), tt.outcome, tt.errorType, tt.message)
			if web {
				if r := n.get(path); r.status != http.StatusOK {
					t.Errorf("the next one is %d %s", r.status, r.body)
				}
				return
			}
			r = n.invoke(tt.function, fmt.Sprintf(`{"do": %q, "for": "10m"}`, tt.do))
			var doc struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
				t.Errorf("the document %s: %v", r.body, err)
			}
			if r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "Unhandled" || doc.ErrorType != tt.errorType || !strings.Contains(doc.ErrorMessage, tt.message) {
				t.Errorf("by the Lambda API it is %d %s, want %s with %q", r.status, r.body, tt.errorType, tt.message)
			}
			n.reported(t, tt.function, r.header.Get("X-Amzn-Requestid"), tt.outcome, tt.errorType, tt.message)
			if tt.do == "" {
				return // it never comes up
			}
			if r := n.invoke(tt.function, "{}"); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
				t.Errorf("the next one is %d %s", r.status, r.body)
			}
			out, status := h.gust("invoke", tt.function, "-d", fmt.Sprintf(`{"do": %q, "for": "10m"}`, tt.do))
			if status != 1 || !strings.Contains(out, tt.errorType) || !strings.Contains(out, tt.message) {
				t.Errorf("gust invoke ends with %d: %s", status, out)
			}
		})
	}
	m := n.metrics()
	for _, want := range []string{
		`gust_invocations_total{app="ends",function="f",outcome="error"} `,
		`gust_invocations_total{app="ends",function="f",outcome="exit"} `,
		`gust_invocations_total{app="ends",function="f",outcome="crash"} `,
		`gust_invocations_total{app="ends",function="hasty",outcome="timeout"} `,
		`gust_invocations_total{app="ends",function="f",outcome="ok"} `,
		`gust_invocations_total{app="ends",function="hastyweb",outcome="timeout"} `,
		`gust_invocation_errors_total{app="ends",function="f",type="Runtime.ExitError"} `,
		`gust_cold_starts_total{app="ends",cause="crash",function="f",pool="none"} `,
		`gust_invocation_duration_seconds_bucket{app="ends",function="f",le="+Inf"} `,
		`gust_init_duration_seconds_count{app="ends",function="f"} `,
	} {
		if !strings.Contains(m, want) {
			t.Errorf("the figures lack %s", want)
		}
	}
	n.stop()
}

// reported waits for what is said of an invocation in the log: its report, or
// that its environment did not come up, which has none.
func (p *process) reported(t *testing.T, function, request string, outcome gust.Outcome, errorType, message string) {
	t.Helper()
	var seen *observe.Record
	p.logged(api.LogQuery{Function: function}, "the report of "+request, func(r *observe.Record) bool {
		if r.Kind == observe.KindReport && r.RequestID == request || r.Kind == observe.KindInitError {
			seen = r
			return true
		}
		return false
	})
	if seen.Kind == observe.KindInitError {
		if !strings.Contains(seen.Message, errorType) || !strings.Contains(seen.Message, message) {
			t.Errorf("the log says %q, want %s with %q", seen.Message, errorType, message)
		}
		return
	}
	if r := seen.Report; r.Outcome != outcome || r.ErrorType != errorType || !strings.Contains(r.ErrorMessage, message) {
		t.Errorf("the report says %s, %s, %q, want %s, %s with %q", r.Outcome, r.ErrorType, r.ErrorMessage, outcome, errorType, message)
	}
}

// Bombs hurt only who throws them.
func TestBombs(t *testing.T) {
	h := newHouse(t)
	h.isolated()
	n := h.start()
	h.deploy(`
app: bombs
functions:
  bomb: {runtime: provided, source: ./f, timeout: 1m, memory: 2GB}
  fine: {runtime: provided, source: ./f}
routes:
  GET /fine: fine
`)
	r := n.invoke("bomb", `{"do": "fork"}`)
	if said := r.said(); said.Processes == 0 || said.Processes >= gust.MaxProcesses || !strings.Contains(said.Text, "resource temporarily unavailable") {
		t.Errorf("a fork bomb had %d processes and ended with %q (%d %s)", said.Processes, said.Text, r.status, r.body)
	}
	if r := n.invoke("bomb", `{"do": "fill"}`); !strings.Contains(r.said().Text, "no space left on device") {
		t.Errorf("filling /tmp ended with %d %s", r.status, r.body)
	}
	if r := n.invoke("bomb", `{}`); r.status != http.StatusOK || r.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("after that it answers %d %s", r.status, r.body)
	}
	if r := n.get("/fine"); r.status != http.StatusOK {
		t.Errorf("a neighbour answers %d %s", r.status, r.body)
	}
	n.stop()
}
