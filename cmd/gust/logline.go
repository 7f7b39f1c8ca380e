package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// readable is a line as people read it: of a record in JSON, as the runtimes node
// and python write it, the level, the message, and what it has besides; any other
// as it is. What is not shown is there with --json.
func readable(line string) string {
	if !strings.HasPrefix(line, "{") {
		return line
	}
	var record map[string]json.RawMessage
	if json.Unmarshal([]byte(line), &record) != nil {
		return line
	}
	level, message := text(record["level"]), record["message"]
	if level == "" || record["timestamp"] == nil || message == nil && record["errorType"] == nil {
		return line
	}
	said := text(message)
	var failure struct{ ErrorType, ErrorMessage string }
	switch {
	case message == nil:
		said = text(record["errorType"]) + ": " + text(record["errorMessage"])
		delete(record, "errorType")
		delete(record, "errorMessage")
	case json.Unmarshal(message, &failure) == nil && failure.ErrorType != "":
		said = failure.ErrorType + ": " + failure.ErrorMessage
	}
	// An end of line within a record stays on the record's line.
	parts := []string{level, strings.ReplaceAll(said, "\n", " | ")}
	for _, name := range []string{"timestamp", "level", "message", "requestId", "stackTrace"} {
		delete(record, name)
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		parts = append(parts, name+"="+string(record[name]))
	}
	return strings.Join(parts, " ")
}

// text is a string of JSON, or else the JSON as it stands.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return cmp.Or(string(raw), s)
}
