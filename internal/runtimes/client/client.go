// Package client holds Gust's runtime clients, which run between an interpreter
// and a handler: they find the handler, take events from the Lambda Runtime API
// and send answers, with errors, logs and contexts as on Lambda. docs/NODE.md and
// docs/PYTHON.md tell what functions see, ../DESIGN.md how a client is started.
//
// They are JavaScript and Python without dependencies, for Node.js from 18 and
// Python from 3.9 on. What they do for each event is little and in one piece: one
// read, the handler, one write that holds the answer and the question for the next
// event. What they load, they load before it is known for which function.
//
// The golden errors in testdata are what callers get; conformance/ holds them
// against the vendor's clients.
package client

import "embed"

// Files are what a runtime root has in /var/runtime. An interpreter starts
// bootstrap.cjs or bootstrap.py; those find the rest beside them. Python compiles
// gustclient at each start unless its bytecode is there: who makes a root runs
// compileall on it.
//
//go:embed bootstrap.cjs node/*.cjs bootstrap.py gustclient/*.py
var Files embed.FS
