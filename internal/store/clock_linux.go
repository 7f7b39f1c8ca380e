package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime counts since the machine was started, its suspensions included.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
