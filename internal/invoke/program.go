package invoke

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

// command is what an environment of f runs, in the runtime r; task is the code
// as the program sees it.
func command(f *gust.Function, r runtimes.Runtime, task string) []string {
	switch f.Runtime {
	case gust.RuntimeNode:
		return wrapped(f, task, append(append([]string{r.Program}, nodeFlags(f.Memory)...), filepath.Join(r.Client, "bootstrap.cjs")))
	case gust.RuntimePython:
		return wrapped(f, task, []string{r.Program, filepath.Join(r.Client, "bootstrap.py")})
	}
	if len(f.Command) == 0 {
		return []string{"./bootstrap"}
	}
	if names(r, f.Command[0]) {
		return append([]string{r.Program}, f.Command[1:]...)
	}
	return f.Command
}

// names tells whether a command's first word is the interpreter of r by one of
// the names that it goes by: node, or python, python3 and python3.11.
func names(r runtimes.Runtime, word string) bool {
	if r.Program == "" || word == "" || strings.Contains(word, "/") {
		return false
	}
	kind, version, _ := strings.Cut(r.Name, "@")
	major, _, _ := strings.Cut(version, ".")
	return slices.Contains([]string{kind, kind + major, kind + version}, word)
}

// execWrapper names a program that is started in the interpreter's place, with
// the interpreter's command as its arguments ("Modifying the runtime environment"
// in the AWS Lambda Developer Guide).
const execWrapper = "AWS_LAMBDA_EXEC_WRAPPER"

func wrapped(f *gust.Function, task string, argv []string) []string {
	wrapper := f.Env[execWrapper]
	if wrapper == "" {
		return argv
	}
	if own, ok := strings.CutPrefix(wrapper, "/var/task/"); ok {
		wrapper = path.Join(task, own)
	}
	return append([]string{wrapper}, argv...)
}

// Node's heap is bounded so that it fails by its own error, which names the heap
// and has a trace, before the kernel ends it without a word: what is left is for
// the young generation, the interpreter and buffers.
const (
	nodeReserve = 24 * gust.MB // of an interpreter that has done nothing
	nodeHeap    = 85           // percent of the rest
)

func nodeFlags(memory int64) []string {
	return []string{"--max-old-space-size=" + strconv.FormatInt((memory-nodeReserve)*nodeHeap/100/gust.MB, 10)}
}

// managed adds what Lambda's managed runtimes have beside what all have.
func managed(env map[string]string, f *gust.Function, r runtimes.Runtime, task string) {
	_, version, _ := strings.Cut(r.Name, "@")
	switch f.Runtime {
	case gust.RuntimeNode:
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_nodejs" + version + ".x"
		env["NODE_PATH"] = fmt.Sprintf("/opt/nodejs/node%s/node_modules:/opt/nodejs/node_modules:%s", version, task)
	case gust.RuntimePython:
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_python" + version
	}
	// The node takes level, time and request out of lines in JSON.
	env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
}

// pathOf is the path on which programs are looked for, the interpreter's folder
// among them.
func pathOf(r runtimes.Runtime) string {
	const usual = "/usr/local/bin:/usr/bin:/bin:/opt/bin"
	if r.Program == "" {
		return usual
	}
	folder := filepath.Dir(r.Program)
	if slices.Contains(strings.Split(usual, ":"), folder) {
		return usual
	}
	return folder + ":" + usual
}
