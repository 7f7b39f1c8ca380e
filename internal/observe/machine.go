package observe

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// memoryOfMachine reads Linux's figures; elsewhere there are none. They are in
// bytes.
func memoryOfMachine() (total, available int64, ok bool) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, false
	}
	return parseMeminfo(data)
}

func parseMeminfo(data []byte) (total, available int64, ok bool) {
	found := 0
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[2]) != "kB" {
			continue
		}
		var dst *int64
		switch string(fields[0]) {
		case "MemTotal:":
			dst = &total
		case "MemAvailable:":
			dst = &available
		default:
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 53)
		if err != nil || n < 0 {
			return 0, 0, false
		}
		*dst = n << 10
		found++
	}
	return total, available, found == 2
}

// cpuOfMachine is how long the machine's processors were neither idle nor
// waiting for a disk, since it started.
func cpuOfMachine() (time.Duration, bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	return parseStat(data)
}

// parseStat reads the first line of /proc/stat: "cpu", then hundredths of a
// second as user, nice, system, idle, iowait, irq, softirq and steal.
func parseStat(data []byte) (busy time.Duration, ok bool) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, false
	}
	for _, i := range [...]int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 63)
		if err != nil || n < 0 || n > int64(1<<36) { // 21 years of one processor
			return 0, false
		}
		busy += time.Duration(n) * 10 * time.Millisecond
	}
	return busy, true
}
