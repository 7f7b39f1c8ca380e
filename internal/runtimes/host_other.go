//go:build !linux

package runtimes

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
)

// Roots are made on Linux alone: elsewhere there is no isolation that would use
// them, and Open refuses.

var errNoRoots = errors.New("roots are made on Linux alone")

func noRoots() error { return errNoRoots }

func identify(fs.FileInfo) string { return "" }

func syncTree(string) error { return errNoRoots }

func inside(ctx context.Context, _ string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}
