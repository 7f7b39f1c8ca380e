//go:build !linux

package store

import "time"

// bootTime is not known here; the process's own steady clock serves.
func bootTime() time.Duration { return 0 }
