package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
)

// hasHandler tells whether a runtime calls a handler, and starts no program of
// the function's.
func hasHandler(r gust.Runtime) bool { return r == gust.RuntimeNode || r == gust.RuntimePython }

// maxHandler is Lambda's ("CreateFunction" in the AWS Lambda API Reference).
const maxHandler = 128

// checkHandler says what is wrong with a function's handler, or returns "". What
// it names is found when the function starts.
func checkHandler(f *gust.Function) string {
	example := "index.handler"
	if f.Runtime == gust.RuntimePython {
		example = "app.handler"
	}
	file, name, dotted := strings.Cut(path.Base(f.Handler), ".")
	switch {
	case !hasHandler(f.Runtime):
		if f.Handler != "" && slices.Contains(gust.Runtimes, f.Runtime) {
			return fmt.Sprintf("only runtimes node and python have a handler; runtime %s starts a program", f.Runtime)
		}
		return ""
	case f.Handler == "":
		return "the function has no handler: write the file and the function in it, such as " + example
	case len(f.Handler) > maxHandler:
		return fmt.Sprintf("%d bytes are above the maximum of %d", len(f.Handler), maxHandler)
	case !dotted || file == "" || name == "" || strings.HasSuffix(name, ".") || strings.Contains(f.Handler, "..") || path.IsAbs(f.Handler) ||
		strings.ContainsFunc(f.Handler, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }):
		return fmt.Sprintf("%s is no handler: want the file and the function in it, such as %s or %s", Quote(f.Handler), example, "folder/"+example)
	}
	return ""
}

// wrapper names a program that starts the interpreter.
const wrapper = "AWS_LAMBDA_EXEC_WRAPPER"

// chosen are names of a reserved family that are the function's to set, with the
// values that they may have: what Lambda has in a function's logging
// configuration, and the wrapper, which is a path.
var chosen = map[string][]string{
	"AWS_LAMBDA_LOG_FORMAT": {"JSON", "TEXT"},
	"AWS_LAMBDA_LOG_LEVEL":  {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"},
	wrapper:                 nil,
}

// checkWrapper says what is wrong with where a wrapper is declared, or returns "".
func checkWrapper(f *gust.Function) string {
	if f.Env[wrapper] == "" || hasHandler(f.Runtime) {
		return ""
	}
	return fmt.Sprintf("only runtimes node and python start a wrapper; runtime %s starts a program of its own, which can be one", f.Runtime)
}
