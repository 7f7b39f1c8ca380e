package observe

import (
	"net/http"
	"strings"
	"testing"
)

func TestTraceFrom(t *testing.T) {
	const (
		id     = "5759e988bd862e3fe1be46a994272793"
		root   = "Root=1-5759e988-bd862e3fe1be46a994272793"
		parent = "53995c3f42cd8ad8"
		w3c    = "00-" + id + "-" + parent + "-"
	)
	tests := []struct {
		name        string
		amzn, w3c   []string
		traceID     string // "*" is any of this trace, "" a new root
		traceparent string
	}{
		{"neither", nil, nil, "", ""},
		{"AWS's", []string{root + ";Parent=" + parent + ";Sampled=1"}, nil, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},
		{"AWS's, not sampled", []string{"Sampled=0; Parent=" + parent + "; " + root}, nil, root + ";Parent=" + parent + ";Sampled=0", w3c + "00"},
		{"AWS's, undecided", []string{root + ";Parent=" + parent + ";Sampled=?"}, nil, root + ";Parent=" + parent + ";Sampled=0", w3c + "00"},
		{"AWS's in capitals", []string{"Root=1-" + strings.ToUpper(root[7:]) + ";Parent=" + strings.ToUpper(parent) + ";Sampled=1"}, nil, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},
		{"with a lineage", []string{root + ";Parent=" + parent + ";Sampled=1;Lineage=1:fc3b4ff1:0"}, nil, root + ";Parent=" + parent + ";Sampled=1;Lineage=1:fc3b4ff1:0", w3c + "01"},
		{"with a load balancer's own", []string{"Self=1-67891234-12456789abcdef012345678;" + root + ";Parent=" + parent}, nil, root + ";Parent=" + parent + ";Sampled=0", w3c + "00"},
		{"without a parent", []string{root}, nil, "*", "*"},
		{"W3C's", nil, []string{w3c + "01"}, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},
		{"W3C's, with more flags", nil, []string{w3c + "fe"}, root + ";Parent=" + parent + ";Sampled=0", w3c + "00"},
		{"W3C's of a later version", nil, []string{"cc-" + id + "-" + parent + "-01-what-else"}, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},
		{"both: W3C's", []string{trace2}, []string{w3c + "01"}, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},
		{"both, one bad", []string{root + ";Parent=" + parent + ";Sampled=1"}, []string{"00-x"}, root + ";Parent=" + parent + ";Sampled=1", w3c + "01"},

		{"AWS's twice", []string{trace1, trace1}, nil, "", ""},
		{"no root", []string{"Parent=" + parent + ";Sampled=1"}, nil, "", ""},
		{"two roots", []string{root + ";" + root}, nil, "", ""},
		{"a root of another version", []string{"Root=2-5759e988-bd862e3fe1be46a994272793"}, nil, "", ""},
		{"a short root", []string{"Root=1-5759e988-bd862e3f"}, nil, "", ""},
		{"a root of zeros", []string{"Root=1-00000000-000000000000000000000000"}, nil, "", ""},
		{"a parent that is none", []string{root + ";Parent=x"}, nil, "", ""},
		{"too long", []string{root + ";Parent=" + parent + ";A=" + strings.Repeat("a", 1000)}, nil, "", ""},
		{"W3C's twice", nil, []string{w3c + "01", w3c + "01"}, "", ""},
		{"W3C's of version ff", nil, []string{"ff-" + id + "-" + parent + "-01"}, "", ""},
		{"W3C's of version 00 with more", nil, []string{w3c + "01-x"}, "", ""},
		{"W3C's of a later version without a dash", nil, []string{"cc-" + id + "-" + parent + "-01x"}, "", ""},
		{"W3C's in capitals", nil, []string{strings.ToUpper(w3c) + "01"}, "", ""},
		{"W3C's of zeros", nil, []string{"00-" + strings.Repeat("0", 32) + "-" + parent + "-01"}, "", ""},
		{"W3C's with a span of zeros", nil, []string{"00-" + id + "-" + strings.Repeat("0", 16) + "-01"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for _, v := range tt.amzn {
				h.Add("X-Amzn-Trace-Id", v)
			}
			for _, v := range tt.w3c {
				h.Add("traceparent", v)
			}
			traceID, traceparent := TraceFrom(h)
			switch tt.traceID {
			case "":
				if strings.Contains(traceID, root) || !strings.HasSuffix(traceID, ";Sampled=0") {
					t.Errorf("got %q; want a new root", traceID)
				}
				if again, _ := TraceFrom(h); again == traceID {
					t.Errorf("two roots are the same: %q", again)
				}
			case "*":
				if !strings.HasPrefix(traceID, root+";Parent=") {
					t.Errorf("got %q", traceID)
				}
			default:
				if traceID != tt.traceID || traceparent != tt.traceparent {
					t.Errorf("got %q, %q\nwant %q, %q", traceID, traceparent, tt.traceID, tt.traceparent)
				}
			}
			a, ok := ParseTraceID(traceID)
			b, ok2 := ParseTraceparent(traceparent)
			a.rest = ""
			if !ok || !ok2 || a != b {
				t.Errorf("%q and %q are not of one trace", traceID, traceparent)
			}
		})
	}
}

// Whatever comes in, what goes out is valid in both forms, and goes through
// unchanged the next time.
func FuzzTrace(f *testing.F) {
	f.Add(trace1, "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
	f.Add("Self=1;Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1|b:2", "")
	f.Add(";;=;", "cc-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-")
	f.Fuzz(func(t *testing.T, amzn, w3c string) {
		traceID, traceparent := TraceFrom(http.Header{traceHeader: {amzn}, traceparentHeader: {w3c}})
		a, ok := ParseTraceID(traceID)
		b, ok2 := ParseTraceparent(traceparent)
		if !ok || !ok2 || a.ID != b.ID || a.Parent != b.Parent || a.Sampled != b.Sampled {
			t.Fatalf("%q, %q became %q, %q", amzn, w3c, traceID, traceparent)
		}
		if a.String() != traceID || b.Traceparent() != traceparent {
			t.Errorf("%q, %q become %q, %q the next time", traceID, traceparent, a.String(), b.Traceparent())
		}
		if len(traceID) > maxText || strings.ContainsAny(traceID, "\r\n ,\"") {
			t.Errorf("%q became %q", amzn, traceID)
		}
	})
}
