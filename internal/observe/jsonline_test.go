package observe

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestJSONLines(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	pad := strings.Repeat("x", maxJSONScan)
	tests := []struct {
		name, line     string
		level, request string
		at             time.Time
	}{
		{name: "Lambda's", line: `{"timestamp":"2026-03-01T12:00:00.500Z","level":"INFO","requestId":"r-1","message":"m"}`, level: "INFO", request: "r-1", at: at},
		{name: "slog's", line: `{"time":"2026-03-01T13:00:00.5+01:00","level":"DEBUG-4","msg":"m"}`, level: "DEBUG-4", at: at},
		{name: "pino's", line: `{"level":50,"time":1772366400500,"pid":1,"msg":"m"}`, level: "ERROR", at: at},
		{name: "zap's", line: `{"level":"warn","ts":1772366400.5,"msg":"m"}`, level: "WARN"},
		{name: "seconds", line: `{"timestamp":1772366400.5}`, at: at},
		{name: "Java's", line: `{"level":"FATAL","AWSRequestId":"r-1"}`, level: "FATAL", request: "r-1"},
		{name: "spaces", line: "{ \"level\" : \"info\" ,\t\"requestId\": \"r\" } ", level: "INFO", request: "r"},
		{name: "after what is nested", line: `{"a":{"level":"NO","b":["}",{"c":"\"}"}]},"n":null,"x":-1.5e3,"level":"error"}`, level: "ERROR"},
		{name: "only nested", line: `{"record":{"level":"INFO","requestId":"r"}}`},
		{name: "found before what is no JSON, and no more looked for", line: `{"timestamp":"2026-03-01T12:00:00.5Z","level":"INFO","requestId":"r"} and so on`, level: "INFO", request: "r", at: at},
		{name: "no JSON after all", line: `{"level":"INFO" and so on`},
		{name: "not finished", line: `{"level":"INFO","message":"m`},
		{name: "found in what is scanned of a long line", line: `{"level":"INFO","message":"` + pad + `"}`, level: "INFO"},
		{name: "too far into a long line", line: `{"message":"` + pad + `","level":"INFO"}`},
		{name: "words that are none", line: `{"level":"what a day","timestamp":"noon","requestId":"a b"}`},
		{name: "values of other kinds", line: `{"level":{},"timestamp":[],"requestId":null}`},
		{name: "true, empty", line: `{"level":true,"timestamp":"","requestId":""}`},
		{name: "a time before 1970", line: `{"timestamp":"0001-01-01T00:00:00Z"}`},
		{name: "a time after all", line: `{"timestamp":"9999-01-01T00:00:00Z"}`},
		{name: "empty", line: `{}`},
		{name: "a brace", line: `{`},
		{name: "no object", line: `{[1]}`},
		{name: "no comma", line: `{"level":"INFO" "a":1}`},
		{name: "empty key", line: `{"":1,"level":"info"}`, level: "INFO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseJSONLine([]byte(tt.line))
			if got.level != tt.level || string(got.request) != tt.request || !got.timestamp.Equal(tt.at) {
				t.Errorf("got level %q, request %q, time %v; want %q, %q, %v", got.level, got.request, got.timestamp, tt.level, tt.request, tt.at)
			}
		})
	}
}

// On what encoding/json takes for an object, both find the same.
func FuzzJSONLine(f *testing.F) {
	f.Add([]byte(`{"timestamp":"2026-03-01T12:00:00.500Z","level":"INFO","requestId":"r-1","message":"m"}`))
	f.Add([]byte(`{"a":{"b":[1,2,{"c":"\"}"}]},"level":"x","level":"y"}`))
	f.Add([]byte(`{"time":1772366400500,"AWSRequestId":7}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got := parseJSONLine(line)
		if len(got.level) > 16 || len(got.request) > 64 {
			t.Errorf("%q: level %q, request %q", line, got.level, got.request)
		}
		if y := got.timestamp.Year(); !got.timestamp.IsZero() && (y < 1971 || y > 2261) {
			t.Errorf("%q: time %v", line, got.timestamp)
		}
		var want struct{ Level, RequestID any }
		var keys map[string]json.RawMessage
		if len(line) > maxJSONScan || len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &keys) != nil {
			return
		}
		if strings.Count(string(line), `level"`) > 1 || strings.Contains(string(line), `\`) {
			return // which of two is meant, and escapes in keys, are nobody's business
		}
		if raw, ok := keys["level"]; ok && json.Unmarshal(raw, &want.Level) == nil {
			if s, ok := want.Level.(string); ok && got.level != levelName([]byte(s)) {
				t.Errorf("%q: level %q; want %q", line, got.level, levelName([]byte(s)))
			}
		} else if got.level != "" {
			t.Errorf("%q: level %q; want none", line, got.level)
		}
	})
}

func BenchmarkJSONLine(b *testing.B) {
	line := []byte(`{"timestamp":"2026-03-01T12:00:00.500Z","level":"INFO","requestId":"8f507cfc-aaaa-4697-b07a-ac58fc914c95","message":"a line of usual length"}`)
	b.ReportAllocs()
	for b.Loop() {
		parseJSONLine(line)
	}
}
