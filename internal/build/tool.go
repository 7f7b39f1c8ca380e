package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	// doing is what is done, "npm ci", and in where as the manifest calls it;
	// hint, if any, is what to do when it fails.
	doing, in, hint string
}

// run runs the tool to its end. When ctx ends, it and all that it started are
// killed.
func (t tool) run(ctx context.Context) error {
	var said output
	return t.start(ctx, &said, &said)
}

// output runs the tool and returns what it prints.
func (t tool) output(ctx context.Context) (string, error) {
	var out bytes.Buffer
	err := t.start(ctx, &out, &output{})
	return out.String(), err
}

func (t tool) start(ctx context.Context, out io.Writer, said *output) error {
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
	cmd.Stdout, cmd.Stderr = out, said
	group(cmd)
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &ToolError{Doing: t.doing + " in " + t.in, Output: strings.TrimSpace(said.String()), Hint: t.hint, err: err}
	}
	return nil
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

// output keeps the beginning of what a program prints.
type output struct {
	bytes.Buffer
	dropped int
}

const maxOutput = 64 * gust.KB

func (o *output) Write(p []byte) (int, error) {
	kept := min(len(p), maxOutput-o.Len())
	o.dropped += len(p) - kept
	o.Buffer.Write(p[:kept])
	return len(p), nil
}

func (o *output) String() string {
	s := string(bytes.TrimRight(o.Bytes(), "\n"))
	if o.dropped > 0 {
		s += fmt.Sprintf("\n... and %d bytes more", o.dropped)
	}
	return s
}
