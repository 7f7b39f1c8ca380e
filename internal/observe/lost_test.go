package observe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/logfile"
)

// What cannot be read has a word in its place, and what is behind it still comes.
func TestWhatIsDamagedIsToldOf(t *testing.T) {
	dir := t.TempDir()
	open := func() (*logfile.Log, *Recorder) {
		log, err := logfile.Open(logfile.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return log, New(Options{Log: log, Now: func() time.Time { return testTime }})
	}
	log, r := open()
	s := r.Stream(testFunction("api"), env1)
	s.Line([]byte("one"))
	s.Line([]byte("two, which will be damaged"))
	s.Line([]byte("three"))
	if _, err := log.Append(testTime, []byte("of a later version")); err != nil {
		t.Fatal(err)
	}
	s.Line([]byte("five"))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the segments are %q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], bytes.Replace(data, []byte("two, which"), []byte("two, Which"), 1), 0o600); err != nil {
		t.Fatal(err)
	}

	log, r = open()
	defer log.Close()
	for _, q := range []Query{{}, {Function: "api"}} {
		got := query(t, r, q)
		var kinds []Kind
		for _, record := range got {
			kinds = append(kinds, record.Kind)
		}
		if want := []Kind{KindLine, KindLost, KindLine, KindLost, KindLine}; !slices.Equal(kinds, want) {
			// A filter by name does not know whose a record is that it cannot read.
			t.Fatalf("%+v: got %q; want the kinds %v", q, shown(got), want)
		}
		if lost := got[1]; lost.Seq != 2 || !strings.Contains(lost.Message, files[0]) || !lost.Time.Equal(testTime) {
			t.Errorf("the damaged record shows as %+v", lost)
		}
		if lost := got[3]; lost.Seq != 4 || !strings.Contains(lost.Message, "record 4") {
			t.Errorf("the unknown record shows as %+v", lost)
		}
	}
	if got, want := query(t, r, Query{Limit: 2}), []Kind{KindLost, KindLine}; len(got) != 2 || got[0].Kind != want[0] || got[1].Kind != want[1] {
		t.Errorf("the newest two are %q; want the kinds %v", shown(got), want)
	}
}

// A log that cannot be written to costs nothing but log records; they are
// counted, and the operator is told once a minute.
func TestALogThatFails(t *testing.T) {
	log, err := logfile.Open(logfile.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	c := &clock{t: testTime}
	r := New(Options{Log: log, Now: c.now, Logger: slog.New(slog.NewTextHandler(&complaints, nil))})
	s := r.Stream(testFunction("api"), env1)
	s.Begin(request1, trace1, c.now())
	s.Line([]byte("12345"))
	s.End(reportOf(request1, trace1))
	text := scrape(t, r)
	for _, want := range []string{
		`gust_log_dropped_lines_total{app="shop",function="api"} 1`, `gust_log_dropped_bytes_total{app="shop",function="api"} 5`,
		"gust_log_write_errors_total 4", // a start, a line, a word about what is missing, a report
		`gust_invocations_total{app="shop",function="api",outcome="ok"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if n := strings.Count(complaints.String(), "log records are lost"); n != 1 {
		t.Errorf("the operator was told %d times at once", n)
	}
	c.advance(time.Minute)
	s.Line([]byte("12345"))
	if n := strings.Count(complaints.String(), "log records are lost"); n != 2 {
		t.Errorf("the operator was told %d times in a minute; want once more", n)
	}
	if s.dropped != (Dropped{2, 10}) {
		t.Errorf("%+v wait to be told of", s.dropped)
	}
	if err := r.Close(); !errors.Is(err, gust.ErrClosing) {
		t.Errorf("closing a recorder whose log is closed: %v", err)
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	r, c := newRecorder(t, Options{})
	fill(r, c)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	for _, q := range []Query{{}, {Limit: 3}, {Follow: true}, {Function: "none", Limit: 1}} {
		var last error
		n := 0
		for _, err := range r.Query(ctx, q) {
			last = err
			n++
		}
		if n != 1 || !errors.Is(last, enough) {
			t.Errorf("%+v: %d turns, the last with %v", q, n, last)
		}
	}
}
