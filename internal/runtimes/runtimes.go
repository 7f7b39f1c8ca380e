// Package runtimes keeps the roots that functions run in. A runtime is an
// interpreter (or, as "base", none) with just what it needs beside it:
// libraries, certificates, time zones, a shell, and Gust's own client of the
// Lambda Runtime API in /var/runtime. It is a folder that is named by the digest
// of all that is in it, copied from the system, a tarball or an unpacked image,
// never changed, and checked before it is used. A version of a function is
// pinned to one, so what the host upgrades changes nothing that runs.
package runtimes

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Runtime is one that the node has.
type Runtime struct {
	// Name is what functions ask for: "node@20", "python@3.11", or "base".
	Name string `json:"name"`
	// Version is the interpreter's own: "20.20.2". Empty for base.
	Version string `json:"version,omitempty"`
	// Digest names the root. Empty on a node without isolation, where the
	// interpreter is the system's.
	Digest gust.Digest `json:"digest,omitempty"`
	// Path is the root's folder on the host. Empty like Digest.
	Path string `json:"-"`
	// Program is the interpreter as a function's program finds it, absolute.
	// Empty for base.
	Program string `json:"program,omitempty"`
	// Client is the folder of Gust's runtime clients as a function's program
	// finds it: /var/runtime in a root.
	Client string `json:"-"`
	// Source is where it came from: "system", or the path that was given.
	Source string    `json:"source"`
	Size   int64     `json:"size"` // bytes of its files
	Added  time.Time `json:"added,omitzero"`
}

// Library is what a node knows of its runtimes. Package invoke asks it for what
// functions run in, package api lets people change it.
type Library interface {
	// Resolve finds what an interpreter that was asked for means now:
	// "node@20" exactly, "node" the newest, "" base. One that is not there is
	// a gust.ErrInvalid with the command that adds it.
	Resolve(interpreter string) (Runtime, error)
	// Acquire finds the root that a version is pinned to, waits until it has
	// been checked, and keeps it from being removed until release is called.
	// Without a root (a node without isolation, a version of before there were
	// any) it resolves f.Interpreter.
	Acquire(ctx context.Context, f *gust.Function) (r Runtime, release func(), err error)
}

// The kinds of interpreters.
const (
	kindNode   = "node"
	kindPython = "python"
	// nameBase is the runtime without one.
	nameBase = "base"
)

var nameForm = regexp.MustCompile(`^(?:(node)(?:@([1-9][0-9]{0,2}))?|(python)(?:@(3\.(?:0|[1-9][0-9]{0,2})))?)$`)

// ParseName reads what a function may ask for, "node@20", "python@3.11", or
// without a version "node" and "python". The error says what would be right.
func ParseName(s string) (kind, version string, err error) {
	m := nameForm.FindStringSubmatch(s)
	if m == nil {
		return "", "", invalid("%q is no runtime: want node@MAJOR such as node@20, or python@3.MINOR such as python@3.11", shorten(s))
	}
	return m[1] + m[3], m[2] + m[4], nil
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// nameOf is the runtime that an interpreter of a version is.
func nameOf(kind, version string) string {
	parts := strings.SplitN(version, ".", 3)
	if kind == kindPython && len(parts) > 1 {
		return kind + "@" + parts[0] + "." + parts[1]
	}
	return kind + "@" + parts[0]
}

// compareNames orders node@9 before node@20, and python@3.9 before python@3.11.
func compareNames(a, b string) int {
	key := func(name string) string {
		kind, version, _ := strings.Cut(name, "@")
		for part := range strings.SplitSeq(version, ".") {
			kind += fmt.Sprintf("@%8s", part)
		}
		return kind
	}
	return cmp.Compare(key(a), key(b))
}

// refusal is a gust.ErrInvalid whose text is only what is wrong.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) Unwrap() error   { return gust.ErrInvalid }

func invalid(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
