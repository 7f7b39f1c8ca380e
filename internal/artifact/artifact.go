// Package artifact packs, judges and unpacks the zips that functions are
// deployed as.
//
// Pack is deterministic, and stores without compressing: the same files make
// the same bytes in every version of Gust, so deploying them again changes
// nothing, and a cold start copies instead of inflating.
//
// What comes from outside is not trusted. One strict reader stands behind
// Inspect and Unpack, so what one accepts the other does too. It takes regular
// files and folders in one consistent archive, and refuses, naming the entry:
// paths that are absolute, hold "..", ".", a backslash, a control character or
// what is not UTF-8; names that stand twice or differ in case alone; symbolic
// links, devices and the like; encryption and methods other than storing and
// deflating; entries that overlap, or that hold more than they declare; more
// files, bytes or compression than the limits allow. Symbolic links are refused
// even when they stay inside: what a function sees is then what the archive
// lists, wherever it is unpacked. Modes are reduced to whether a file is
// executable; owners, times and extra fields are dropped.
package artifact

import (
	"fmt"

	gust "github.com/gust-dev/gust"
)

// Limits on archives beside gust.MaxArtifact, gust.MaxUnpacked and
// gust.MaxArtifactFiles.
const (
	// maxPath and maxSegment bound the names of entries, in bytes.
	maxPath    = 1024
	maxSegment = 255
	// maxDirectory bounds the archive's own list of its entries, in bytes.
	maxDirectory = 64 * gust.MB
	// maxRatio bounds how much smaller than its contents an archive over
	// minBomb may be.
	maxRatio = 100
	minBomb  = 64 * gust.MB
	// deflateRatio is more than deflating can ever make of a byte.
	deflateRatio = 1032
)

// refusal is an error about an archive: its text alone, of a kind.
type refusal struct {
	text string
	kind error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func invalid(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), gust.ErrInvalid}
}

func tooLarge(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), gust.ErrTooLarge}
}

// quote is a name in an error, cut when it is long.
func quote(name string) string {
	const limit = 120
	if len(name) > limit {
		return fmt.Sprintf("%q...", name[:limit])
	}
	return fmt.Sprintf("%q", name)
}
