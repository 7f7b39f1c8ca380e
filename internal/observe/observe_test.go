package observe

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/logfile"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	request1 = "8f507cfc-aaaa-4697-b07a-ac58fc914c95"
	request2 = "8f507cfc-bbbb-4697-b07a-ac58fc914c95"
	trace1   = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	trace2   = "Root=1-5759e988-000000000000000000000001;Parent=53995c3f42cd8ad8;Sampled=0"
	env1     = "0123456789abcdef0123456789abcdef"
)

// testFunction is a function of app shop that serves one event at a time.
func testFunction(name string) *gust.Function {
	return &gust.Function{Name: name, App: "shop", Version: 3, Runtime: gust.RuntimeGo, Memory: 128 * gust.MB}
}

// newRecorder is a recorder over a fresh log, with a clock that stands still.
func newRecorder(t testing.TB, o Options) (*Recorder, *clock) {
	t.Helper()
	log, err := logfile.Open(logfile.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: testTime}
	o.Log, o.Now = log, c.now
	r := New(o)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, c
}

func reportOf(requestID, traceID string) *gust.Report {
	return &gust.Report{
		RequestID: requestID, TraceID: traceID, Source: "invoke", Start: testTime,
		Duration: 1230 * time.Microsecond, Billed: 2 * time.Millisecond,
		MemoryUsed: 30 * gust.MB, MemorySize: 128 * gust.MB, Outcome: gust.OutcomeOK,
	}
}

// query collects what a query that does not follow gives.
func query(t testing.TB, r *Recorder, q Query) []Record {
	t.Helper()
	var all []Record
	for record, err := range r.Query(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
	return all
}

// show is a record in few words: kind, request, message.
func show(r Record) string {
	s := string(r.Kind)
	if r.RequestID != "" {
		s += " " + r.RequestID[9:13]
	}
	if r.Message != "" {
		s += " " + r.Message
	}
	if r.Dropped != nil {
		s += fmt.Sprintf(" %d lines %d bytes", r.Dropped.Lines, r.Dropped.Bytes)
	}
	return s
}

func shown(records []Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, show(r))
	}
	return out
}
