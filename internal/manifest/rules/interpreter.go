package rules

import (
	"fmt"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

// checkInterpreter says what is wrong with the interpreter that a function asks
// for, or returns "". Whether a node has it, the node says.
func checkInterpreter(f *gust.Function) string {
	if f.Interpreter == "" {
		if hasHandler(f.Runtime) {
			return fmt.Sprintf("runtime %s needs an interpreter: want %s for the newest that the node has, or one of a version such as %s", f.Runtime, f.Runtime, exampleOf(f.Runtime))
		}
		return ""
	}
	if f.Runtime == gust.RuntimeGo {
		return "a program of runtime go needs no interpreter: leave it out"
	}
	kind, _, err := runtimes.ParseName(f.Interpreter)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is no interpreter: want node, python, or one of a version such as node@20 or python@3.11", Quote(f.Interpreter))
	case hasHandler(f.Runtime) && kind != string(f.Runtime):
		return fmt.Sprintf("runtime %s does not run in %s: want %s or one of a version such as %s", f.Runtime, f.Interpreter, f.Runtime, exampleOf(f.Runtime))
	}
	return ""
}

func exampleOf(r gust.Runtime) string {
	if r == gust.RuntimePython {
		return "python@3.11"
	}
	return "node@20"
}
