package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// goProgram compiles the source folder. What is built does not depend on where
// it is built: no paths, no version control, no C.
func (b *builder) goProgram(ctx context.Context) (_ *Artifact, err error) {
	compiler, err := find("go", "building "+b.name+" needs the Go toolchain", "get it from https://go.dev/dl")
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(b.dir(), ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	b.Progress("compiling " + b.name)
	program := filepath.Join(tmp, "bootstrap")
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	args := []string{"build", "-buildvcs=false", "-tags", "lambda.norpc", "-o", program}
	if slices.Contains(b.Debug, b.function.Name) {
		args = append(args, "-gcflags", "all=-N -l")
	} else {
		args = append(args, "-trimpath", "-ldflags", "-s -w")
	}
	compile := tool{path: compiler, args: append(args, "."), dir: b.source, doing: "go build", in: b.name,
		env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + b.GOARCH}}
	if err := compile.run(ctx); err != nil {
		return nil, err
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
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == "\x7fELF"
}
