package observe

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestIDsKeepTheirForm(t *testing.T) {
	for id, size := range map[string]int{
		"":                              1,
		request1:                        17,
		env1:                            17,
		strings.ToUpper(request1):       37,
		strings.ToUpper(env1):           33,
		"a":                             2,
		strings.Repeat("-", 36):         37,
		env1[:30] + "zz":                33,
		"8f507cfc-aaaa-4697-b07a-ac58f": 30,
	} {
		b := appendID(nil, id)
		d := decoder{data: b}
		if got := d.id(); got != id || d.bad || len(d.data) != 0 {
			t.Errorf("%q comes back as %q", id, got)
		}
		if len(b) != size {
			t.Errorf("%q takes %d bytes; want %d", id, len(b), size)
		}
	}
}

func TestTracesKeepTheirForm(t *testing.T) {
	for trace, size := range map[string]int{
		"":     1,
		trace1: 25,
		trace2: 25,
		"Root=1-5759e988-bd862e3fe1be46a994272793": 42,
		trace1 + ";Lineage=a:b":                    88,
		strings.Replace(trace1, "bd86", "BD86", 1): 76,
		strings.Replace(trace1, "d=1", "d=?", 1):   76,
	} {
		b := appendTrace(nil, trace)
		d := decoder{data: b}
		if got := d.trace(); got != trace || d.bad || len(d.data) != 0 {
			t.Errorf("%q comes back as %q", trace, got)
		}
		if len(b) != size {
			t.Errorf("%q takes %d bytes; want %d", trace, len(b), size)
		}
	}
}

func TestDecodeRefusesWhatIsDamaged(t *testing.T) {
	f := testFunction("api")
	whole := appendTrace(appendID(appendHead([]byte{tagReport}, f, env1), request1), trace1)
	whole = appendReport(whole, reportOf(request1, trace1))
	if got, err := decode(nil, 1, testTime, whole); err != nil || len(got) != 2 {
		t.Fatalf("the record itself: %v, %v", got, err)
	}
	for n := range whole {
		if got, err := decode(nil, 1, testTime, whole[:n]); !errors.Is(err, gust.ErrCorrupt) || len(got) != 0 {
			t.Errorf("its first %d bytes: %v, %v", n, got, err)
		}
	}
	if _, err := decode(nil, 7, testTime, append(whole, 0)); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), "7") {
		t.Errorf("a byte more: %v", err)
	}
	for _, tag := range []byte{0, 0x10, 0x17, 0x21, 0xff} {
		whole[0] = tag
		if _, err := decode(nil, 1, testTime, whole); !errors.Is(err, gust.ErrCorrupt) {
			t.Errorf("the tag %#x: %v", tag, err)
		}
	}
}

// No bytes make decode panic; what it takes, it takes the same way again; and a
// filter leaves in exactly what decode shows to fit.
func FuzzDecode(f *testing.F) {
	fn := testFunction("api")
	head := func(tag byte) []byte {
		return appendTrace(appendID(appendHead([]byte{tag}, fn, env1), request1), trace1)
	}
	f.Add(head(tagStart), "api", "shop", request1)
	f.Add(appendReport(head(tagReport), reportOf(request1, trace1)), "api", "", request2)
	f.Add(append(head(tagLine), 0, 'h', 'i'), "", "", "")
	f.Add(append(head(tagDropped), 1, 2), "other", "shop", "")
	f.Add(appendLong(head(tagInitError), "why"), "", "other", "")
	f.Fuzz(func(t *testing.T, payload []byte, function, app, request string) {
		records, err := decode(nil, 1, testTime, payload)
		wanted := newFilter(Query{Function: function, App: app, RequestID: request})
		match := wanted.match(payload)
		if err != nil {
			return
		}
		if len(records) != recordsIn(payload) {
			t.Errorf("%d records; %d were announced", len(records), recordsIn(payload))
		}
		for _, r := range records {
			// An id may be stored in a form that its text does not have; what
			// is written here never is.
			fits := (function == "" || r.Function == function) && (app == "" || r.App == app)
			if !fits && match || fits && !match && request == "" {
				t.Errorf("the filter %q %q %q says %v of %+v", function, app, request, match, r)
			}
			if match && request != "" && len(request) <= maxID && r.RequestID != request {
				t.Errorf("the filter for request %q leaves in %q", request, r.RequestID)
			}
			AppendText(nil, &r)
		}
	})
}

// What is written is read back, whatever it is.
func FuzzRecord(f *testing.F) {
	f.Add("api", env1, request1, trace1, int64(1), int64(2), "Error", "message")
	f.Add("", "", "", "Root=", int64(-1), int64(math.MaxInt64), "\xff", "\n")
	f.Fuzz(func(t *testing.T, name, environment, request, trace string, a, b int64, errorType, message string) {
		cut := func(s string, n int) string { return s[:min(len(s), n)] }
		fn := &gust.Function{Name: cut(name, maxText), App: cut(errorType, maxText), Version: uint64(a)}
		want := gust.Report{
			App: fn.App, Function: fn.Name, Version: fn.Version, Environment: cut(environment, maxID),
			RequestID: cut(request, maxID), TraceID: cut(trace, maxText), Source: "async", Start: time.Unix(0, b).UTC(),
			Cold: gust.ColdIdle, Init: time.Duration(a), Queue: time.Duration(b), Duration: time.Duration(a ^ b), Billed: -1,
			MemoryUsed: a, MemorySize: b, Outcome: gust.OutcomeCrash, ErrorType: cut(errorType, maxText), ErrorMessage: cut(message, maxMessage),
		}
		payload := appendTrace(appendID(appendHead([]byte{tagReport}, fn, environment), request), trace)
		payload = appendReport(payload, &want)
		got, err := decode(nil, 1, testTime, payload)
		if err != nil || len(got) != 2 || !reflect.DeepEqual(*got[1].Report, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
		f := newFilter(Query{Function: fn.Name, App: fn.App, RequestID: request})
		if !f.match(payload) {
			t.Error("a filter for it leaves it out")
		}
	})
}

func TestText(t *testing.T) {
	base := Record{Time: testTime.Add(123456789), App: "shop", Function: "api", Version: 3, Environment: env1, RequestID: request1}
	report := reportOf(request1, trace1)
	report.Cold, report.Init = gust.ColdFirst, 4560*time.Microsecond
	report.Outcome, report.ErrorType, report.ErrorMessage = gust.OutcomeMemory, "Runtime.OutOfMemory", "over 128 MB\x07"
	report.Pooled = true
	const head = "2026-03-01T12:00:00.123Z api 01234567 "
	tests := []struct {
		change func(*Record)
		want   string
	}{
		{func(r *Record) { r.Kind, r.Message = KindLine, "hello\tworld ✓" }, head + "hello\tworld ✓\n"},
		{func(r *Record) { r.Kind, r.Message = KindLine, "\x1b[31mred\x1b[0m\r\x00\u009b\u202e\xff" }, head + `\x1b[31mred\x1b[0m\r\x00\u009b\u202e\xff` + "\n"},
		{func(r *Record) { r.Kind = KindStart }, head + "START RequestId: " + request1 + " Version: 3\n"},
		{func(r *Record) { r.Kind = KindEnd }, head + "END RequestId: " + request1 + "\n"},
		{func(r *Record) { r.Kind, r.Report = KindReport, report }, head + "REPORT RequestId: " + request1 +
			"\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 4.56 ms\t" +
			"Status: error\tError Type: Runtime.OutOfMemory\tCold Start: first, pooled\tOutcome: out_of_memory\tRuntime.OutOfMemory: over 128 MB\\a\n"},
		{func(r *Record) { r.Kind, r.Dropped = KindDropped, &Dropped{7, 99} }, head + "DROPPED 7 lines, 99 bytes: over the limit of what may be logged\n"},
		{func(r *Record) { r.Kind, r.Message, r.Environment = KindInitError, "exit status 1", "" }, "2026-03-01T12:00:00.123Z api INIT_ERROR exit status 1\n"},
		{func(r *Record) { r.Kind = KindReport }, head + "\n"},
	}
	for _, tt := range tests {
		r := base
		tt.change(&r)
		if got := string(AppendText(nil, &r)); got != tt.want {
			t.Errorf("%s: got\n%q\nwant\n%q", r.Kind, got, tt.want)
		}
	}
}
