package main

import "testing"

func TestReadable(t *testing.T) {
	for line, want := range map[string]string{
		"plain": "plain",
		`{"timestamp":"2026-01-31T12:00:00.123Z","level":"INFO","requestId":"a","message":"hi"}`:                                         "INFO hi",
		`{"timestamp":"t","level":"WARN","message":{"an":"object"}}`:                                                                     `WARN {"an":"object"}`,
		`{"timestamp":"t","level":"ERROR","message":{"errorType":"Refusal","errorMessage":"no","stackTrace":[]}}`:                        "ERROR Refusal: no",
		`{"timestamp": "t", "level": "ERROR", "errorMessage": "no", "errorType": "ValueError", "requestId": "a", "stackTrace": ["  x"]}`: "ERROR ValueError: no",
		`{"timestamp":"t","level":"INFO","message":"two\nlines","logger":"app","order":7}`:                                               `INFO two | lines logger="app" order=7`,
		`{"level":"info","msg":"somebody else's"}`:                                                                                       `{"level":"info","msg":"somebody else's"}`,
		`{"timestamp":"t","level":"INFO","message":`:                                                                                     `{"timestamp":"t","level":"INFO","message":`,
	} {
		if got := readable(line); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", line, got, want)
		}
	}
}

func FuzzReadable(f *testing.F) {
	f.Add(`{"timestamp":"t","level":"INFO","message":{"errorType":"E"},"a":[1]}`)
	f.Fuzz(func(t *testing.T, line string) {
		if got := readable(line); line != "" && line[0] != '{' && got != line {
			t.Errorf("%q became %q", line, got)
		}
	})
}
