package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// goProgram compiles the source folder. What is built does not depend on where
// it is built: no paths, no version control, no C.
func (b *builder) goProgram(ctx context.Context) (_ *Artifact, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("building %s needs the Go toolchain, and there is no go in PATH: get it from https://go.dev/dl: %w", b.name, err)
	}
	tmp, err := os.MkdirTemp(b.dir(), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	b.Progress("compiling " + b.name)
	program := filepath.Join(tmp, artifact.Bootstrap(b.GOOS))
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	args := []string{"build", "-buildvcs=false", "-tags", "lambda.norpc", "-o", program}
	if slices.Contains(b.Debug, b.function.Name) {
		args = append(args, "-gcflags", "all=-N -l")
	} else {
		args = append(args, "-trimpath", "-ldflags", "-s -w")
	}
	cmd := exec.CommandContext(ctx, tool, append(args, ".")...)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+b.GOOS, "GOARCH="+b.GOARCH)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	group(cmd)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return nil, &CompileError{Source: b.name, Output: out.String(), err: err}
	}
	if !isProgram(program) {
		return nil, fmt.Errorf("%s is not package main: a function is a program: %w", b.name, gust.ErrInvalid)
	}
	b.Progress("packing " + b.name)
	return b.keep(func(w io.Writer) error {
		return artifact.Pack(ctx, w, tmp, artifact.PackOptions{})
	})
}

// isProgram reports whether the compiler made a program, and not the archive of
// a package.
func isProgram(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 7)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) != "!<arch>"
}

// CompileError is a build that failed, with what the compiler said about it. It
// is a gust.ErrInvalid.
type CompileError struct {
	Source string // as the manifest calls it
	Output string
	err    error
}

func (e *CompileError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("go build in %s failed: %v", e.Source, e.err)
	}
	return fmt.Sprintf("go build in %s failed:\n%s", e.Source, e.Output)
}

func (e *CompileError) Unwrap() []error { return []error{gust.ErrInvalid, e.err} }

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
