package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// ToolError is a tool of a language that failed, with what it said. It is a
// gust.ErrInvalid: what it was given is the user's.
type ToolError struct {
	// Doing is what was run, and where as the manifest calls it: "npm ci in
	// ./api".
	Doing  string
	Output string
	// Hint, if any, is what to do about it.
	Hint string
	err  error
}

func (e *ToolError) Error() string {
	text := e.Doing + " failed"
	if e.Output == "" {
		text += ": " + e.err.Error()
	} else {
		text += ":\n" + e.Output
	}
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

func (e *ToolError) Unwrap() []error { return []error{gust.ErrInvalid, e.err} }

// tool is a command line of a language's own tools.
type tool struct {
	path string // of the program
	args []string
	dir  string
	env  []string // added to this process's
	// in is where it is done as the manifest calls it, hint what to do when
	// it fails.
	in, hint string
}

// run runs the tool to its end. When ctx ends, it and all that it started are
// killed.
func (t tool) run(ctx context.Context) error {
	var out output
	_, err := t.start(ctx, &out)
	return err
}

// output runs the tool and returns what it prints.
func (t tool) output(ctx context.Context) (string, error) {
	var out output
	return t.start(ctx, &out)
}

func (t tool) start(ctx context.Context, errs *output) (string, error) {
	cmd := exec.CommandContext(ctx, t.path, t.args...)
	cmd.Dir = t.dir
	// What one package manager tells the programs that it starts must not
	// steer another one: gust may be run by a script of package.json.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		for _, prefix := range []string{"npm_config_local_prefix=", "npm_config_workspace", "npm_package_", "npm_lifecycle_", "INIT_CWD=", "NODE_OPTIONS=", "PYTHONPATH=", "PYTHONHOME="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
	cmd.Env = append(cmd.Env, t.env...)
	var out output
	cmd.Stdout, cmd.Stderr = &out, errs
	group(cmd)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		said := strings.TrimSpace(out.String() + "\n" + errs.String())
		return "", &ToolError{Doing: t.String(), Output: said, Hint: t.hint, err: err}
	}
	return out.String(), nil
}

// String is what is done, with a short command line: "npm ci in ./api".
func (t tool) String() string {
	words := []string{t.path[strings.LastIndexByte(t.path, '/')+1:]}
	for _, a := range t.args {
		if len(words) == 4 || strings.HasPrefix(a, "-c") || strings.Contains(a, "\n") {
			break
		}
		words = append(words, a)
	}
	return strings.Join(words, " ") + " in " + t.in
}

// find looks a program up in PATH; the error says what it is needed for, and
// what to do instead.
func find(program, purpose, instead string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s, and there is no %s in PATH: %s: %w", purpose, program, instead, gust.ErrInvalid)
	}
	return path, nil
}
