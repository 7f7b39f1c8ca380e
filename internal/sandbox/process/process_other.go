//go:build !linux || !(amd64 || arm64)

package process

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// ErrUnsupported: the process sandbox is made of what the Linux kernel has.
var ErrUnsupported = errors.New("the process sandbox needs Linux on amd64 or arm64")

// Backend cannot be made on this system.
type Backend struct{}

// New fails on this system.
func New(Options) (*Backend, error) {
	return nil, fmt.Errorf("%w, this is %s on %s; run gust in a Linux virtual machine, "+
		"or without any isolation of the functions: --sandbox none", ErrUnsupported, runtime.GOOS, runtime.GOARCH)
}

// Name implements sandbox.Backend.
func (*Backend) Name() string { return "process" }

// Start implements sandbox.Backend.
func (*Backend) Start(context.Context, sandbox.Spec) (sandbox.Environment, error) {
	return nil, ErrUnsupported
}

// Permits says why a function's network cannot be given.
func (*Backend) Permits(gust.Network) error { return ErrUnsupported }

// Warnings are what is not as it should be, for people.
func (*Backend) Warnings() []string { return nil }

// Prepare announces what will be started.
func (*Backend) Prepare([]sandbox.Spec) {}

// Pools lists what waits.
func (*Backend) Pools() []Pool { return nil }

// Close implements sandbox.Backend.
func (*Backend) Close() error { return nil }
