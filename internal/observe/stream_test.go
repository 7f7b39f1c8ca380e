package observe

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestAnInvocationIsRecordedWhole(t *testing.T) {
	r, clock := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	s.Begin(request1, trace1, clock.now())
	clock.advance(time.Millisecond)
	s.Line([]byte("hello"))
	s.Line([]byte(`{"level":"warn","timestamp":"2026-03-01T11:59:59.5Z","msg":"slow"}`))
	clock.advance(time.Millisecond)
	report := reportOf(request1, trace1)
	report.Cold, report.Init, report.Queue = gust.ColdScaleOut, 4*time.Millisecond, 5*time.Millisecond
	report.Outcome, report.ErrorType, report.ErrorMessage = gust.OutcomeError, "E", "no"
	s.End(report)

	full := *report
	full.App, full.Function, full.Version, full.Environment = "shop", "api", 3, env1
	base := Record{App: "shop", Function: "api", Version: 3, Environment: env1, RequestID: request1, TraceID: trace1}
	want := []Record{base, base, base, base, base}
	want[0].Seq, want[0].Kind, want[0].Time = 1, KindStart, testTime
	want[1].Seq, want[1].Kind, want[1].Time, want[1].Message = 2, KindLine, testTime.Add(time.Millisecond), "hello"
	want[2].Seq, want[2].Kind, want[2].Time, want[2].Message = 3, KindLine, testTime.Add(time.Millisecond), `{"level":"warn","timestamp":"2026-03-01T11:59:59.5Z","msg":"slow"}`
	want[2].Level, want[2].Timestamp = "WARN", testTime.Add(-500*time.Millisecond)
	want[3].Seq, want[3].Kind, want[3].Time = 4, KindEnd, testTime.Add(2*time.Millisecond)
	want[4].Seq, want[4].Kind, want[4].Time, want[4].Report = 4, KindReport, testTime.Add(2*time.Millisecond), &full
	got := query(t, r, Query{})
	if len(got) != len(want) {
		t.Fatalf("got %q", shown(got))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("record %d is\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}

func TestWhoseLineItIs(t *testing.T) {
	named := func(id string) []byte { return fmt.Appendf(nil, `{"requestId":%q}`, id) }
	t.Run("one invocation at a time", func(t *testing.T) {
		r, clock := newRecorder(t, Options{})
		s := r.Stream(testFunction("api"), env1)
		s.Line([]byte("init"))
		s.Begin(request1, trace1, clock.now())
		s.Line([]byte("plain"))
		s.Line(named(request2)) // whatever it says, it is the one that runs
		s.End(reportOf(request1, trace1))
		s.Line([]byte("late"))
		s.Line(named(request1)) // late, and says whose it is
		s.Begin(request2, trace2, clock.now())
		s.Abandon(request2)
		s.Line([]byte("nobody's"))
		want := []string{
			"line init", "start aaaa", "line aaaa plain", `line aaaa {"requestId":"` + request2 + `"}`, "end aaaa", "report aaaa",
			"line late", `line aaaa {"requestId":"` + request1 + `"}`, "start bbbb", "line nobody's",
		}
		if got := shown(query(t, r, Query{})); !slices.Equal(got, want) {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
	t.Run("several at a time", func(t *testing.T) {
		r, clock := newRecorder(t, Options{})
		f := testFunction("web")
		f.Concurrency.PerEnvironment = 2
		s := r.Stream(f, env1)
		s.Begin(request1, trace1, clock.now())
		s.Begin(request2, trace2, clock.now())
		s.Line([]byte("plain"))
		s.Line(named(request2))
		s.Line(named(request1))
		s.End(reportOf(request1, trace1))
		s.End(reportOf(request2, trace2))
		got := query(t, r, Query{})
		want := []string{
			"start aaaa", "start bbbb", "line plain", `line bbbb {"requestId":"` + request2 + `"}`, `line aaaa {"requestId":"` + request1 + `"}`,
			"end aaaa", "report aaaa", "end bbbb", "report bbbb",
		}
		if !slices.Equal(shown(got), want) {
			t.Errorf("got\n%q\nwant\n%q", shown(got), want)
		}
		if got[3].TraceID != trace2 || got[4].TraceID != trace1 {
			t.Errorf("the lines have the traces %q and %q", got[3].TraceID, got[4].TraceID)
		}
		if len(s.traces) != 0 {
			t.Errorf("after all ended the stream still knows %v", s.traces)
		}
	})
}

func TestLongLinesComeInPieces(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	line := bytes.Repeat([]byte("x"), 2*gust.MaxLogLine+1)
	s.Line(line)
	var sizes []int
	for _, record := range query(t, r, Query{}) {
		sizes = append(sizes, len(record.Message))
	}
	if want := []int{gust.MaxLogLine, gust.MaxLogLine, 1}; !slices.Equal(sizes, want) {
		t.Errorf("the pieces have %d bytes; want %d", sizes, want)
	}
	if kept := cap(s.buf); kept > maxKept {
		t.Errorf("the stream keeps a buffer of %d bytes; at most %d", kept, maxKept)
	}
}

// Whatever happens to the words of a report, its record can be written.
func TestHugeNamesAreCut(t *testing.T) {
	r, clock := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), strings.Repeat("e", 1000))
	huge := strings.Repeat("h", 1<<20)
	report := reportOf(huge, huge)
	report.Outcome, report.ErrorType, report.ErrorMessage = gust.OutcomeError, huge, huge
	s.Begin(huge, huge, clock.now())
	s.End(report)
	for _, record := range query(t, r, Query{}) {
		if len(record.Environment) != maxID || len(record.RequestID) != maxID || len(record.TraceID) != maxText {
			t.Errorf("%s: got %d, %d, %d bytes", record.Kind, len(record.Environment), len(record.RequestID), len(record.TraceID))
		}
		if record.Report != nil && (len(record.Report.ErrorMessage) != maxMessage || len(record.Report.ErrorType) != maxText) {
			t.Errorf("the report has %d, %d bytes", len(record.Report.ErrorMessage), len(record.Report.ErrorType))
		}
	}
	if got := query(t, r, Query{RequestID: huge}); len(got) != 3 {
		t.Errorf("asking for the whole name finds %q", shown(got))
	}
}

func TestAFloodIsBoundedAndSaysWhatIsMissing(t *testing.T) {
	// A line a second, ten at once; bytes do not matter.
	limit := Limit{Bytes: gust.GB, Lines: 1, Burst: 10 * time.Second}
	free := Limit{Bytes: gust.GB, Lines: 1_000_000, Burst: time.Hour}
	flood := func(s *Stream, n int) {
		for range n {
			s.Line([]byte("12345"))
		}
	}
	t.Run("at its end", func(t *testing.T) {
		r, clock := newRecorder(t, Options{EnvironmentLimit: limit, FunctionLimit: free, NodeLimit: free})
		s := r.Stream(testFunction("api"), env1)
		flood(s, 30)
		clock.advance(time.Second)
		flood(s, 1) // room for it alone is not enough: no stutter
		clock.advance(time.Second)
		flood(s, 1)
		got := shown(query(t, r, Query{}))
		want := append(slices.Repeat([]string{"line 12345"}, 10), "dropped 21 lines 105 bytes", "line 12345")
		if !slices.Equal(got, want) {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
	t.Run("at the end of the invocation", func(t *testing.T) {
		r, clock := newRecorder(t, Options{EnvironmentLimit: limit, FunctionLimit: free, NodeLimit: free})
		s := r.Stream(testFunction("api"), env1)
		s.Begin(request1, trace1, clock.now())
		flood(s, 11)
		s.End(reportOf(request1, trace1))
		got := shown(query(t, r, Query{RequestID: request1}))
		if want := []string{"dropped aaaa 1 lines 5 bytes", "end aaaa", "report aaaa"}; !slices.Equal(got[11:], want) {
			t.Errorf("got\n%q\nwant at the end\n%q", got, want)
		}
		s.Close()
		if n := len(query(t, r, Query{})); n != len(got) {
			t.Error("it was told of twice")
		}
	})
	t.Run("at the end of the environment", func(t *testing.T) {
		r, _ := newRecorder(t, Options{EnvironmentLimit: limit, FunctionLimit: free, NodeLimit: free})
		s := r.Stream(testFunction("api"), env1)
		flood(s, 13)
		s.Close()
		if got := shown(query(t, r, Query{})); got[len(got)-1] != "dropped 3 lines 15 bytes" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a function's environments share a limit, functions do not", func(t *testing.T) {
		r, _ := newRecorder(t, Options{EnvironmentLimit: free, FunctionLimit: limit, NodeLimit: free})
		f := testFunction("api")
		flood(r.Stream(f, env1), 8)
		flood(r.Stream(f, "2"), 8)
		flood(r.Stream(testFunction("other"), "3"), 8)
		if n := len(query(t, r, Query{Function: "api"})); n != 10 {
			t.Errorf("the function logged %d lines; want 10", n)
		}
		if n := len(query(t, r, Query{Function: "other"})); n != 8 {
			t.Errorf("the other function logged %d lines; want 8", n)
		}
	})
	t.Run("a node has a limit", func(t *testing.T) {
		r, _ := newRecorder(t, Options{EnvironmentLimit: free, FunctionLimit: free, NodeLimit: limit})
		for i := range 5 {
			flood(r.Stream(testFunction(fmt.Sprint("f", i)), env1), 5)
		}
		if n := len(query(t, r, Query{})); n != 10 {
			t.Errorf("%d lines were logged; want 10", n)
		}
	})
	t.Run("bytes count too", func(t *testing.T) {
		r, _ := newRecorder(t, Options{EnvironmentLimit: Limit{Bytes: 100, Lines: 1_000_000, Burst: time.Second}, FunctionLimit: free, NodeLimit: free})
		s := r.Stream(testFunction("api"), env1)
		for range 5 {
			s.Line(make([]byte, 40))
		}
		if n := len(query(t, r, Query{})); n != 2 {
			t.Errorf("%d lines of 40 bytes were logged; want 2 of 100 bytes", n)
		}
	})
	t.Run("a clock that jumps back does not stop the log", func(t *testing.T) {
		r, clock := newRecorder(t, Options{EnvironmentLimit: limit, FunctionLimit: limit, NodeLimit: limit})
		s := r.Stream(testFunction("api"), env1)
		flood(s, 20)
		clock.advance(-24 * time.Hour)
		flood(s, 1)
		clock.advance(3 * time.Second)
		flood(s, 1)
		if got := shown(query(t, r, Query{})); got[len(got)-1] != "line 12345" {
			t.Errorf("got %q", got)
		}
	})
}

func TestTailIsLambdas(t *testing.T) {
	tests := []struct {
		name   string
		report func(*gust.Report)
		want   string
	}{
		{"warm", func(*gust.Report) {},
			"START RequestId: " + request1 + " Version: 3\nhello\n" +
				"END RequestId: " + request1 + "\n" +
				"REPORT RequestId: " + request1 + "\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t\n"},
		{"cold", func(r *gust.Report) { r.Cold, r.Init = gust.ColdFirst, 4560*time.Microsecond },
			"START RequestId: " + request1 + " Version: 3\nhello\n" +
				"END RequestId: " + request1 + "\n" +
				"REPORT RequestId: " + request1 + "\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 4.56 ms\t\n"},
		{"timeout", func(r *gust.Report) {
			r.Outcome, r.ErrorType, r.ErrorMessage = gust.OutcomeTimeout, "Sandbox.Timedout", request1+" Task timed out after 3.00 seconds"
			r.Duration, r.Billed = 3*time.Second, 3*time.Second
		},
			"START RequestId: " + request1 + " Version: 3\nhello\n2026-03-01T12:00:00.000Z " + request1 + " Task timed out after 3.00 seconds\n\n" +
				"END RequestId: " + request1 + "\n" +
				"REPORT RequestId: " + request1 + "\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tStatus: timeout\t\n"},
		{"exit", func(r *gust.Report) {
			r.Outcome, r.ErrorType, r.ErrorMessage = gust.OutcomeExit, "Runtime.ExitError", "Runtime exited with error: exit status 1"
		},
			"START RequestId: " + request1 + " Version: 3\nhello\nRequestId: " + request1 + " Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n" +
				"END RequestId: " + request1 + "\n" +
				"REPORT RequestId: " + request1 + "\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tStatus: error\tError Type: Runtime.ExitError\t\n"},
		{"the handler's own error", func(r *gust.Report) { r.Outcome, r.ErrorType, r.ErrorMessage = gust.OutcomeError, "E", "no" },
			"START RequestId: " + request1 + " Version: 3\nhello\n" +
				"END RequestId: " + request1 + "\n" +
				"REPORT RequestId: " + request1 + "\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, clock := newRecorder(t, Options{})
			s := r.Stream(testFunction("api"), env1)
			s.Line([]byte("before"))
			s.Capture()
			s.Begin(request1, trace1, clock.now())
			s.Line([]byte("hello"))
			report := reportOf(request1, trace1)
			tt.report(report)
			s.End(report)
			if got := string(s.Captured()); got != tt.want {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
			s.Line([]byte("after"))
			if got := s.Captured(); len(got) != 0 || s.tail.buf != nil {
				t.Errorf("nobody captures, and %q is kept", got)
			}
		})
	}
}

func TestTailIsTheLastOfALot(t *testing.T) {
	r, clock := newRecorder(t, Options{EnvironmentLimit: Limit{Bytes: 1, Lines: 1}}) // the tail has what the log drops
	s := r.Stream(testFunction("api"), env1)
	s.Capture()
	s.Begin(request1, trace1, clock.now())
	var all strings.Builder
	fmt.Fprintf(&all, "START RequestId: %s Version: 3\n", request1)
	for i := range 2000 {
		line := fmt.Sprintf("%d %s", i, strings.Repeat("x", i%300))
		s.Line([]byte(line))
		all.WriteString(line + "\n")
		if len(s.tail.buf) > 2*MaxTail+300 {
			t.Fatalf("the tail grew to %d bytes", len(s.tail.buf))
		}
	}
	want := all.String()
	if got := string(s.Captured()); got != want[len(want)-MaxTail:] {
		t.Errorf("got %d bytes\n%q\nwant\n%q", len(got), got, want[len(want)-MaxTail:])
	}
	s.Capture()
	s.Line(bytes.Repeat([]byte("y"), 3*MaxTail))
	if got, want := string(s.Captured()), strings.Repeat("y", MaxTail-1)+"\n"; got != want {
		t.Errorf("of one long line %d bytes are left: %.20q...", len(got), got)
	}
}

// Two captures at once: each has what was recorded since the first began, and
// nothing is kept after the last.
func TestCapturesMayOverlap(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	s.Capture()
	s.Line([]byte("a"))
	s.Capture()
	s.Line([]byte("b"))
	if got := string(s.Captured()); got != "a\nb\n" {
		t.Errorf("the first has %q", got)
	}
	s.Line([]byte("c"))
	if got := string(s.Captured()); got != "a\nb\nc\n" {
		t.Errorf("the second has %q", got)
	}
	if s.tail.buf != nil {
		t.Error("a tail is kept that nobody captures")
	}
}

func TestStartFailedIsLogged(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	r.StartFailed(testFunction("api"), &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "Runtime.ExitError", Message: "exit status 1"})
	if got, want := shown(query(t, r, Query{})), []string{"init_error Runtime.ExitError: exit status 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// Everything at once, for the race detector; no line may be lost or misplaced.
func TestHammer(t *testing.T) {
	const environments, rounds = 8, 50
	r, clock := newRecorder(t, Options{})
	var wg sync.WaitGroup
	for i := range environments {
		wg.Go(func() {
			s := r.Stream(testFunction(fmt.Sprint("f", i%3)), fmt.Sprintf("%032d", i))
			defer s.Close()
			for n := range rounds {
				id := fmt.Sprintf("%08d-%04d-0000-0000-000000000000", n, i)
				s.Begin(id, trace1, clock.now())
				s.Line([]byte("one"))
				s.Line([]byte("two"))
				s.End(reportOf(id, trace1))
			}
			r.Started(testFunction("f0"), gust.ColdFirst, PoolMiss, time.Millisecond)
			r.Throttled(testFunction("f1"), gust.ThrottleNode)
			r.Forget("f2")
			scrape(t, r)
		})
	}
	wg.Wait()
	for i := range environments {
		id := fmt.Sprintf("%08d-%04d-0000-0000-000000000000", rounds-1, i)
		want := []string{"start", "line", "line", "end", "report"}
		var got []string
		for _, record := range query(t, r, Query{RequestID: id}) {
			got = append(got, string(record.Kind))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v; want %v", id, got, want)
		}
	}
	if n := len(query(t, r, Query{})); n != environments*rounds*5 {
		t.Errorf("%d records; want %d", n, environments*rounds*5)
	}
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	r, clock := newRecorder(t, Options{NodeLimit: Limit{Bytes: gust.GB, Lines: 1e9, Burst: time.Hour}, FunctionLimit: Limit{Bytes: gust.GB, Lines: 1e9, Burst: time.Hour}, EnvironmentLimit: Limit{Bytes: gust.GB, Lines: 1e9, Burst: time.Hour}})
	s := r.Stream(testFunction("api"), env1)
	report := reportOf(request1, trace1)
	plain, structured := []byte("a line of text"), []byte(`{"level":"info","requestId":"`+request1+`","msg":"a line of JSON"}`)
	at := clock.now()
	n := testing.AllocsPerRun(2000, func() {
		s.Begin(request1, trace1, at)
		s.Line(plain)
		s.Line(structured)
		s.End(report)
	})
	if n != 0 {
		t.Errorf("an invocation allocates %v times", n)
	}
}

func BenchmarkInvocation(b *testing.B) {
	free := Limit{Bytes: gust.GB, Lines: 1e9, Burst: 24 * time.Hour}
	r, _ := newRecorder(b, Options{NodeLimit: free, FunctionLimit: free, EnvironmentLimit: free})
	r.now = time.Now
	plain, structured := []byte("GET /orders/1234 took 12 ms"), []byte(`{"level":"info","requestId":"`+request1+`","msg":"a line of JSON"}`)
	run := func(b *testing.B, s *Stream, report *gust.Report) {
		s.Begin(request1, trace1, time.Now())
		s.Line(plain)
		s.Line(structured)
		s.End(report)
	}
	b.Run("one", func(b *testing.B) {
		s, report := r.Stream(testFunction("api"), env1), reportOf(request1, trace1)
		b.ReportAllocs()
		for b.Loop() {
			run(b, s, report)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			s, report := r.Stream(testFunction("api"), env1), reportOf(request1, trace1)
			for pb.Next() {
				run(b, s, report)
			}
		})
	})
}
